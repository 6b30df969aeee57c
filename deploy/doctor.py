"""``teleward doctor``: asks every part of a stack how it is, and says in words what is wrong and what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.brokers import values
from deploy.brokers.mosquitto import Role
from deploy.devices import Accounts
from deploy.kafka_topics import check, plan
from deploy.native.installed import look
from deploy.parts import environment as env
from deploy.parts.environment import Environment, SettingError
from deploy.parts.pulse import feel
from deploy.up.settings import StackState, read_state, runs
from transport.kafka import KafkaSettings, TopicReader, read_partition_tail
from transport.mqtt import MqttClient, MqttError, MqttSettings
from transport.stores.influx_setup import check_influx
from transport.stores.opened import influx_settings
from vitals import log as records
from vitals import topics
from vitals.log import LogError, Tick

_ASK_S: Final = 25.0  # Mosquitto tells of itself every ten seconds
_LITTLE_DISK: Final = 2 << 30
_MUCH_LAG: Final = 200  # records; a tick a second and partition is written even on an idle ward
_OLD_TICK_S: Final = 10.0
_CERTIFICATE_DAYS: Final = 30
_TAIL: Final = 64
_HEALTH_TAIL: Final = 200  # every part speaks every two seconds


class Finding(msgspec.Struct, frozen=True):
    """What was found of one thing.

    Attributes:
        what: It.
        well: Whether it is as it should be.
        text: In words: how it is.
        advice: What to do where it is not well.
    """

    what: str
    well: bool
    text: str
    advice: str = ""


def examine_part(variables: Mapping[str, str], part: str) -> list[Finding]:
    """One part of this machine or container by its pulse.

    Args:
        variables: Names the file of the pulse.
        part: Its name; ``self`` for the one that this environment is about.
    """
    path = variables.get(env.PULSE, "")
    if not path:
        return [Finding(part, False, f"{env.PULSE} is not set", "name the file that the part writes its pulse into")]
    wrong = feel(Path(path))
    return [Finding(part, not wrong, wrong or "well", "" if not wrong else "look into its log")]


def examine(folder: Path) -> list[Finding]:
    """Everything of the stack of a folder; what native stacks need of the machine where none runs."""
    try:
        state = read_state(folder)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return [Finding("stack", False, f"{folder / 'stack.json'} cannot be read: {error}", "start the stack again")]
    if state is None or not runs(state):
        missing = look().missing()
        found = [Finding("machine", False, str(one), one.how) for one in missing]
        text = f"no stack runs in {folder}" + ("" if state is None else f" (process {state.pid} is gone)")
        return [*found, Finding("stack", False, text, f"teleward up --stack native --folder {folder}")]
    return asyncio.run(_examine(state, folder))


async def _examine(state: StackState, folder: Path) -> list[Finding]:
    found = [Finding("stack", True, f"process {state.pid} watches {len(state.parts)} parts")]
    found += [_part(name, folder) for name in state.parts]
    asked = await asyncio.gather(
        _within("Kafka", lambda: _kafka(state)),
        _within("Mosquitto", lambda: _mosquitto(state)),
        _within("store", lambda: _store(state)),
        _within("page", lambda: _page(state)),
        _within("test patient", lambda: _test_patient(state)),
    )
    for findings in asked:
        found += findings
    return [*found, _disk(folder), *_certificate(state, folder)]


async def _within(what: str, ask: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Ask, but not for ever; whatever goes wrong is a finding."""
    try:
        async with asyncio.timeout(_ASK_S):
            return await ask()
    except TimeoutError:
        return [Finding(what, False, f"no answer within {_ASK_S:g} s", "see its log; `teleward up` starts it again")]
    except (OSError, KafkaError, MqttError, SettingError) as error:
        return [Finding(what, False, f"{type(error).__name__}: {error}", "see its log; `teleward up` starts it again")]


def _part(name: str, folder: Path) -> Finding:
    wrong = feel(folder / "pulse" / f"{name}.json")
    return Finding(name, not wrong, wrong or "well", f"see {folder / 'log' / name}.log" if wrong else "")


async def _kafka(state: StackState) -> list[Finding]:
    bootstrap = state.variables[env.KAFKA]
    partitions = int(state.variables[env.PARTITIONS])
    wrong = [str(one) for one in await check(bootstrap, plan(partitions=partitions))]
    found = [
        Finding(
            "Kafka topics", not wrong, "; ".join(wrong) or "as they should be",
            "it is never changed for you: use Kafka's own tools, and know what it costs" if wrong else "",
        )
    ]  # fmt: skip
    found.append(await _ticks(bootstrap, partitions, Environment(state.variables).clock().now_ns()))
    found += await _lags(bootstrap, partitions)
    dead = await _count(bootstrap, topics.DEADLETTER.name, 1)
    found.append(
        Finding(
            "dead letters", not dead, f"{dead} records could not be read" if dead else "none",
            f"each stands in {topics.DEADLETTER.name} with its reason" if dead else "",
        )
    )  # fmt: skip
    return found


async def _ticks(bootstrap: str, partitions: int, now_ns: int) -> Finding:
    newest = []
    for partition in range(partitions):
        tail = await read_partition_tail(KafkaSettings(bootstrap), topics.INPUT.name, partition, _TAIL)
        newest.append(max((tick for record in tail if (tick := _tick(record.value)) is not None), default=0))
    if not min(newest):
        return Finding("ward time", False, "a partition has no tick", "is the bridge running and connected?")
    behind_s = (now_ns - min(newest)) / 1e9
    if behind_s < -1:
        text, advice = (
            f"it is {-behind_s:.0f} s ahead of this machine's clock",
            "was the clock set back? it is met slowly",
        )
        return Finding("ward time", False, text, advice)
    well = behind_s < _OLD_TICK_S
    return Finding(
        "ward time", well, f"{max(0.0, behind_s):.1f} s behind the clock",
        "" if well else "nobody's time goes on: see bridge and Mosquitto",
    )  # fmt: skip


def _tick(value: bytes | None) -> int | None:
    try:
        record = records.decode(value or b"")
    except LogError:
        return None
    return record.now_ns if isinstance(record, Tick) else None


async def _lags(bootstrap: str, partitions: int) -> list[Finding]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    found = []
    try:
        for app, topic in (("monitoring", topics.INPUT), ("storing", topics.INPUT), ("storing", topics.ALARMS)):
            offsets = await admin.list_consumer_group_offsets(f"teleward-{app}")
            ends = await _ends(bootstrap, topic.name, partitions)
            at = {tp.partition: told.offset for tp, told in offsets.items() if tp.topic == topic.name}
            lag = sum(end - at.get(partition, 0) for partition, end in ends.items())
            well = lag < _MUCH_LAG * partitions
            advice = "" if well else f"it does not keep up or does not run: see {app} and what it writes to"
            found.append(Finding(f"{app} of {topic.name}", well, f"{lag} records behind", advice))
    finally:
        await admin.close()
    return found


async def _ends(bootstrap: str, topic: str, partitions: int) -> dict[int, int]:
    async with TopicReader(KafkaSettings(bootstrap), (topic,), begin="latest") as reader:
        ends = await reader.end_offsets()
    return {partition: ends.get((topic, partition), 0) for partition in range(partitions)}


async def _count(bootstrap: str, topic: str, partitions: int) -> int:
    return sum((await _ends(bootstrap, topic, partitions)).values())


async def _mosquitto(state: StackState) -> list[Finding]:
    """Signs in as the watcher and reads what the broker says of itself."""
    password = Accounts(Path(state.accounts)).own(values.WATCHER_USER, Role.WATCHER)
    settings = MqttSettings(
        values.WATCHER_USER, port=state.mqtt_port, username=values.WATCHER_USER, password=password, session_expiry_s=0
    )
    told: dict[str, float] = {}
    # Mosquitto tells what has changed, and forgets it a minute later: where nothing is dropped, nothing is told of it.
    # What it remembers comes in the order of the subscriptions, so all of it is there when the last one is.
    wanted = {
        "$SYS/broker/publish/messages/dropped": "dropped",
        "$SYS/broker/load/publish/dropped/15min": "dropped a minute",
        "$SYS/broker/heap/current": "heap",
    }
    async with MqttClient(settings, tuple(wanted)) as client:
        while "heap" not in told:
            for message in await client.receive():
                told[wanted[message.topic]] = float(message.payload)
                client.ack(message)
    dropped = told.get("dropped", 0.0) or told.get("dropped a minute", 0.0)
    well = told["heap"] < values.BROKER_QUEUE_WARN_BYTES and not dropped
    text = f"{told['heap'] / 1e6:.1f} MB in use, {'messages dropped' if dropped else 'nothing dropped'} lately"
    advice = "" if well else "bundles wait for a bridge that is away, or its limits are not ours: see bridge"
    return [Finding("Mosquitto", well, text, advice)]


async def _store(state: StackState) -> list[Finding]:
    store = await asyncio.to_thread(Environment({**os.environ, **state.variables}).store, read_only=True)
    try:
        ready = await asyncio.to_thread(store.ready)
    finally:
        await asyncio.to_thread(store.close)
    advice = "" if ready.ready else "alarms go on without it; what waits is in Kafka"
    found = [Finding("store", ready.ready, ready.why or "answers", advice)]
    settings = influx_settings(state.variables[env.STORE])
    if ready.ready and settings is not None:
        wrong = await asyncio.to_thread(check_influx, settings)
        mend = "start the stack again: it is set up at each start" if wrong else ""
        found.append(Finding("InfluxDB's set-up", not wrong, "; ".join(wrong) or "as it should be", mend))
    return found


async def _page(state: StackState) -> list[Finding]:
    def ask() -> int:
        with urllib.request.urlopen(f"{state.page}healthz", timeout=_ASK_S) as answer:  # noqa: S310 - our own
            status: int = answer.status
            return status

    status = await asyncio.to_thread(ask)
    return [Finding("page", status == 200, f"{state.page} answers {status}", "" if status == 200 else "see console")]


async def _test_patient(state: StackState) -> list[Finding]:
    """What became of the newest test alarm, as the pager says."""
    if not state.variables.get(env.TEST_PASSWORD_FILE):
        return []
    tail = await read_partition_tail(KafkaSettings(state.variables[env.KAFKA]), topics.HEALTH.name, 0, _HEALTH_TAIL)
    told = [said for record in tail if (said := _said(record.value)).get("part") == "pager"]
    test = told[-1].get("test") if told else None
    if not isinstance(test, dict):
        return [Finding("test patient", False, "the pager says nothing of it", "is the pager running? see its log")]
    if "ok" not in test:
        return [Finding("test patient", True, f"its first test alarm is to come; {test.get('sent', 0)} bundles sent")]
    if not test["ok"]:
        return [Finding("test patient", False, f"{test.get('why')}", "real alarms may not come through either")]
    hops = test.get("hops", {})
    text = f"its alarm was answered {hops.get('total', 0) / 1e3:.1f} s after it was raised"
    return [Finding("test patient", True, f"{text}; {test.get('failed', 0)} of {test.get('trials', 0)} failed")]


def _said(value: bytes | None) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value or b"{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _disk(folder: Path) -> Finding:
    left = shutil.disk_usage(folder).free
    well = left > _LITTLE_DISK
    advice = "" if well else "make room: a full disk stops Kafka, and with it everything"
    return Finding("disk", well, f"{left / 1e9:.1f} GB free", advice)


def _certificate(state: StackState, folder: Path) -> list[Finding]:
    path = folder / "certificates" / "server.pem"
    if not state.tls_port or not path.exists():
        return []
    ends = ssl.cert_time_to_seconds(ssl._ssl._test_decode_cert(str(path))["notAfter"])  # type: ignore[attr-defined]  # noqa: SLF001 - the one reader of certificates in the library
    days = (ends - time.time()) / 86_400
    well = days > _CERTIFICATE_DAYS
    return [
        Finding(
            "certificate", well, f"of the MQTT broker ends in {days:.0f} days",
            "" if well else "restart the stack: a new one is made",
        )
    ]  # fmt: skip


def report(found: list[Finding]) -> dict[str, Any]:
    """All findings as one object; ``well`` only if every one is."""
    return {"well": all(one.well for one in found), "findings": [msgspec.to_builtins(one) for one in found]}


def show(result: dict[str, Any]) -> None:
    """Print it for people."""
    for one in result["findings"]:
        mark = "well " if one["well"] else "WRONG"
        print(f"{mark}  {one['what']}: {one['text']}")
        if one["advice"]:
            print(f"       -> {one['advice']}")
