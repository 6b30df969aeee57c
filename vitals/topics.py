"""Every MQTT topic, Kafka topic and key. Built and parsed here only; shells that must agree meet here.

What stands in InfluxDB is the table of `vitals.measurements`.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

DEVICE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PATIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

OWN: Final = "teleward"
"""Stands in the patient's place of alarms about ourselves: a person who can't be reached, a pipeline that stands."""
SYNTHETIC: Final = "teleward-test"
"""The patient who is nobody: pushed through everything to see that it works, and left out of every clinical count."""
SYNTHETIC_DEVICE: Final = "teleward-test-1"


def clinical(patient: str) -> bool:
    """Whether a name is a patient's: neither ourselves nor the one who is nobody."""
    return patient not in {OWN, SYNTHETIC}


# MQTT. The device's id is its user name and a level of its topic, so that the broker can hold it to its own.
MQTT_ROOT: Final = "teleward/v1"
MQTT_BUNDLES: Final = f"{MQTT_ROOT}/+/bundle"
MQTT_MARKS: Final = f"{MQTT_ROOT}/+/mark"
MQTT_CLOCK: Final = f"{MQTT_ROOT}/clock"
"""Where a bridge says what time it is, for devices that echo it (`vitals.clocks`)."""

MARK_ACK_SUFFIX: Final = "mark/done"


def bundle_topic(device: str) -> str:
    """Where a device publishes its bundles."""
    return f"{MQTT_ROOT}/{device}/bundle"


def mark_topic(player: str) -> str:
    """Where a player publishes its marks: in a replay they are the ward's ticks."""
    return f"{MQTT_ROOT}/{player}/mark"


def arrivals_topic(player: str) -> str:
    """Where a player says when the bundles that it is about to publish were received: in a replay of what was live."""
    return f"{MQTT_ROOT}/{player}/arrivals"


def device_of(topic: str) -> str | None:
    """The device or player of a topic under `MQTT_ROOT`; None for any other topic."""
    parts = topic.split("/")
    if len(parts) < 4 or parts[0] != "teleward" or parts[1] != "v1" or not DEVICE_ID.fullmatch(parts[2]):
        return None
    return parts[2]


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """A Kafka topic and what holds for it on every stack.

    Attributes:
        name: Its name.
        partitioned: True where it has as many partitions as the input (a patient keeps its number); else one.
        compacted: True where only the newest record of a key counts.
        retention_h: Hours kept; 0 for ever: compacted, or bounded in bytes (the snapshots).
        what: In words, for `teleward doctor`.
    """

    name: str
    partitioned: bool
    compacted: bool
    retention_h: int
    what: str


INPUT: Final = KafkaTopic("teleward.input", True, False, 7 * 24, "the one log: blocks, ticks, commands and the rest")
REGISTRY: Final = KafkaTopic("teleward.registry", False, True, 0, "bindings, enrolments, limits: newest by key")
QUARANTINE: Final = KafkaTopic("teleward.quarantine", False, False, 30 * 24, "refused bytes with reason and origin")
FRAMES: Final = KafkaTopic("teleward.frames", True, False, 7 * 24, "closed frames with their scores, as columns")
ALARMS: Final = KafkaTopic("teleward.alarms", True, False, 365 * 24, "alarm events, one record each, by patient")
SNAPSHOTS: Final = KafkaTopic("teleward.snapshots", True, False, 0, "ward state in shards, manifest last")
DEADLETTER: Final = KafkaTopic("teleward.deadletter", False, False, 30 * 24, "input records that could not be read")
HEALTH: Final = KafkaTopic("teleward.health", False, False, 2 * 24, "what the parts say of themselves")
DUTY: Final = KafkaTopic("teleward.duty", False, True, 0, "who has the pager, and what became of messages: newest")
ANSWERS: Final = KafkaTopic("teleward.answers", False, False, 2 * 24, "links that were used, and what came of it")
AUDIT: Final = KafkaTopic("teleward.audit", False, False, 10 * 365 * 24, "what people were told, said and did")

ALL: Final = (
    INPUT,
    REGISTRY,
    QUARANTINE,
    FRAMES,
    ALARMS,
    SNAPSHOTS,
    DEADLETTER,
    HEALTH,
    DUTY,
    ANSWERS,
    AUDIT,
)

PARTITIONS: Final = 4  # default of every stack; a patient's partition never changes while a topic lives


def partition_of(patient: str, partitions: int = PARTITIONS) -> int:
    """The partition that holds all of a patient's records (CRC-32, the same in every language)."""
    return zlib.crc32(patient.encode()) % partitions


def registry_key(kind: str, subject: str, rule: str = "") -> bytes:
    """Key in the registry: ``binding:dev-1``, ``enrolment:p-7``, ``limit:p-7:spo2-low``."""
    return ":".join(filter(None, (kind, subject, rule))).encode()
