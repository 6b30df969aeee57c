"""The Kafka topics of a real Kafka: created as `vitals.topics` says, and compared with it at every start.

A topic that exists is never changed here: a wrong number of partitions would send a patient's records elsewhere, and a
shorter retention throws records away at once. Whoever starts the ward is told what differs, in words.

``python -m deploy.kafka_topics --bootstrap HOST:PORT [--replication 3]`` does it once, for the containers.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from deploy.brokers import values
from vitals import topics

_HOUR_MS: Final = 3_600_000
_MIB: Final = 1 << 20
_LOOK_S: Final = 0.05
_TIMEOUT_MS: Final = 15_000
_FOR_EVER: Final = "-1"
_STAMPED: Final = (topics.INPUT, topics.ALARMS)


class TopicsError(Exception):
    """Topics are not as they should be; the message is a line for each difference."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How a topic should be on a real Kafka.

    Attributes:
        name: Its name.
        partitions: How many.
        replication: Copies of each partition.
        config: Settings of the topic that are not left to the broker, as Kafka spells them.
    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that is not as planned.

    Attributes:
        topic: Which.
        what: ``partitions``, ``replication``, or the name of a setting.
        found: As it is; "" where the topic is missing.
        wanted: As it should be.
    """

    topic: str
    what: str
    found: str
    wanted: str

    def __str__(self) -> str:
        if self.what == "existence":
            return f"{self.topic} does not exist"
        return f"{self.topic}: {self.what} is {self.found}, should be {self.wanted}"


def plan(
    *,
    partitions: int = topics.PARTITIONS,
    replication: int = 1,
    wanted: Iterable[topics.KafkaTopic] = topics.ALL,
) -> tuple[TopicPlan, ...]:
    """What every topic should be.

    Args:
        partitions: Of the input and all that goes with it.
        replication: Copies; an acknowledgement means all copies in sync but one (3 copies: at least 2 have it).
        wanted: Topics.

    Raises:
        ValueError: If a number is below 1.
    """
    if partitions < 1 or replication < 1:
        raise ValueError(f"partitions is {partitions}, replication is {replication}; both must be at least 1")
    return tuple(
        TopicPlan(topic.name, partitions if topic.partitioned else 1, replication, _config(topic, replication))
        for topic in wanted
    )


def _config(topic: topics.KafkaTopic, replication: int) -> dict[str, str]:
    config = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(topic.retention_h * _HOUR_MS) if topic.retention_h else _FOR_EVER,
        "retention.bytes": _FOR_EVER,
        "max.message.bytes": str(values.KAFKA_MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(max(1, replication - 1)),
        "compression.type": "producer",
        # By the wall clock either way, never by ward time: a replay of an old recording must not look expired. Where
        # a hop ends in the log, the broker says when it did.
        "message.timestamp.type": "LogAppendTime" if topic in _STAMPED else "CreateTime",
    }
    if topic.compacted:
        # Read whole before the bridge's first message: tidied every hour and when a tenth of it is old, so that this
        # stays quick after a year of bindings.
        config |= {"segment.ms": str(_HOUR_MS), "min.cleanable.dirty.ratio": "0.1"}
    if topic == topics.SNAPSHOTS:
        # A snapshot a second replaces the last one; what is behind the newest few is only weight. Never by age: the
        # newest one counts however long the ward was down. Each partition keeps at least these bytes, so many whole
        # snapshots (4 partitions of 10,000 patients: about 20 MB each), and what comes within five minutes more.
        config |= {"retention.bytes": str(256 * _MIB), "segment.bytes": str(64 * _MIB)}
    return config


async def ensure(bootstrap: str, wanted: Iterable[TopicPlan], *, timeout_s: float = 30.0) -> tuple[str, ...]:
    """Create what is missing, compare all the rest.

    Args:
        bootstrap: ``host:port`` of a broker or more.
        wanted: Of `plan`.
        timeout_s: For all of it.

    Returns:
        Names of the topics that were created; each has its leaders when this returns.

    Raises:
        TopicsError: If one that exists differs, or one could not be created. What was missing is created all the same.
        KafkaError: If Kafka does not answer.
    """
    plans = tuple(wanted)
    async with asyncio.timeout(timeout_s), _admin(bootstrap) as admin:
        found = await _describe(admin, plans)
        missing = [one for one in plans if one.name not in found]
        if missing:
            await _create(admin, missing)
            found = await _until_led(admin, plans)
        differences = await _differences(admin, plans, found)
    if differences:
        raise TopicsError("\n".join(str(one) for one in differences))
    return tuple(one.name for one in missing)


async def check(bootstrap: str, wanted: Iterable[TopicPlan]) -> tuple[Difference, ...]:
    """Compare only, for `teleward doctor`; what is missing is a difference too.

    Raises:
        KafkaError: If Kafka does not answer.
    """
    plans = tuple(wanted)
    async with _admin(bootstrap) as admin:
        return await _differences(admin, plans, await _describe(admin, plans))


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, client_id="teleward-topics", request_timeout_ms=_TIMEOUT_MS
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _describe(admin: AIOKafkaAdminClient, plans: tuple[TopicPlan, ...]) -> dict[str, dict[str, Any]]:
    # All of them: to ask for one by name makes it, on a broker that is set up to do so.
    names = {one.name for one in plans}
    described = await admin.describe_topics()
    return {topic["topic"]: topic for topic in described if topic["error_code"] == 0 and topic["topic"] in names}


async def _create(admin: AIOKafkaAdminClient, missing: list[TopicPlan]) -> None:
    new = [NewTopic(one.name, one.partitions, one.replication, topic_configs=dict(one.config)) for one in missing]
    answer = await admin.create_topics(new, timeout_ms=_TIMEOUT_MS)
    refused = []
    for name, code, *reason in answer.topic_errors:
        error = for_code(code)
        # Somebody else made it meanwhile: then it is compared like any other.
        if code and error is not TopicAlreadyExistsError:
            refused.append(f"{name} was not created: {(reason or [None])[0] or error.__name__}")
    if refused:
        raise TopicsError("\n".join(refused))


async def _until_led(admin: AIOKafkaAdminClient, plans: tuple[TopicPlan, ...]) -> dict[str, dict[str, Any]]:
    while True:
        found = await _describe(admin, plans)
        led = [part["leader"] >= 0 for topic in found.values() for part in topic["partitions"]]
        if len(found) == len(plans) and all(led):
            return found
        await asyncio.sleep(_LOOK_S)


async def _differences(
    admin: AIOKafkaAdminClient, plans: tuple[TopicPlan, ...], found: dict[str, dict[str, Any]]
) -> tuple[Difference, ...]:
    there = [one for one in plans if one.name in found]
    configs = await _configs(admin, there)
    differences = []
    for one in plans:
        topic = found.get(one.name)
        if topic is None:
            differences.append(Difference(one.name, "existence", "", "there"))
            continue
        parts = topic["partitions"]
        pairs = [("partitions", len(parts), one.partitions)]
        pairs += [("replication", min(len(part["replicas"]) for part in parts), one.replication)]
        rows = [(what, str(is_), str(should)) for what, is_, should in pairs]
        rows += [(what, configs[one.name].get(what, ""), should) for what, should in sorted(one.config.items())]
        differences += [Difference(one.name, what, is_, should) for what, is_, should in rows if is_ != should]
    return tuple(differences)


async def _configs(admin: AIOKafkaAdminClient, there: list[TopicPlan]) -> dict[str, dict[str, str]]:
    if not there:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, one.name) for one in there])
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }


def main(arguments: list[str] | None = None) -> int:
    """See the module; exit status 0 only if every topic is there as planned."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka_topics", description="Create and check Kafka topics.")
    parser.add_argument("--bootstrap", required=True, help="host:port of a broker or more, with commas")
    parser.add_argument("--partitions", type=int, default=topics.PARTITIONS)
    parser.add_argument("--replication", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        wanted = plan(partitions=given.partitions, replication=given.replication)
        created = asyncio.run(ensure(given.bootstrap, wanted))
    except (TopicsError, KafkaError, TimeoutError) as error:
        print(error or "Kafka did not answer in time", file=sys.stderr)
        return 1
    print(f"created {len(created)} topics, all are as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
