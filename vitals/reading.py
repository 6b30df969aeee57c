"""A reading, a bundle, a block: frozen values. Time is integer nanoseconds UTC, suffix ``_ns``.

The format on the wire is `vitals.wire`'s, the format in Kafka `vitals.block`'s; here is what they mean.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, NewType

import numpy as np
import numpy.typing as npt

from vitals.signs import Sign

PatientId = NewType("PatientId", str)
DeviceId = NewType("DeviceId", str)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]


class Quality(enum.IntEnum):
    """What the device or the receiver knows of a reading beyond its value. Facts, not errors: all are kept.

    GOOD and DOUBTFUL readings are *usable*; the others are stored and shown, and never judged.
    """

    GOOD = 0
    DOUBTFUL = 1  # possible but not plausible (SpO2 of 45 %): judged all the same
    POOR = 2  # the sensor says its signal is poor
    NO_CONTACT = 3  # the sensor says it does not touch the patient; the value, if any, means nothing


USABLE_UP_TO: Final = Quality.DOUBTFUL


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one sign of one patient at one instant, from one device.

    Attributes:
        sign: What was measured.
        value: In the sign's canonical unit; NaN only where quality is NO_CONTACT.
        time_ns: When it was measured, by the device's clock.
        quality: What is known of it beyond the value.
    """

    sign: Sign
    value: float
    time_ns: int
    quality: Quality = Quality.GOOD


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a device publishes: its readings since the last one.

    Attributes:
        device: Who measured.
        boot: Number of the device's start, rising by at least one with each (a counter, or its start in seconds).
        seq: Number of the bundle within the boot, from 0, without gaps.
        sent_ns: When the device handed it to its radio for the first time.
        n: How many readings the device put in, refused ones included.
        n_before: How many readings it put into all earlier bundles of this boot: with `n`, a gap can be counted.
        battery_pct: Charge, 0..100; -1 where the device does not tell.
        queued: How many bundles still wait on the device behind this one.
        readings: The accepted readings, in the device's order.
    """

    device: DeviceId
    boot: int
    seq: int
    sent_ns: int
    n: int
    n_before: int
    battery_pct: float = -1.0
    queued: int = 0
    readings: tuple[Reading, ...] = field(default_factory=tuple)


@dataclass(slots=True)
class Block:
    """Readings of many patients of one partition, as columns: one Kafka record.

    One row for each bundle, and one row for each accepted reading, grouped by bundle in the bundle's order:
    bundle ``i`` owns the reading rows ``offsets[i]:offsets[i + 1]``.

    Attributes:
        patients: Names that `patient` counts into.
        devices: Names that `device` counts into.
        patient: Shape (bundles,), index into `patients`.
        device: Shape (bundles,), index into `devices`.
        boot: Shape (bundles,).
        seq: Shape (bundles,).
        sent_ns: Shape (bundles,), by the device's clock.
        received_ns: Shape (bundles,), by the bridge's clock.
        n: Shape (bundles,), readings the device put in.
        n_before: Shape (bundles,), readings in all its earlier bundles of the boot.
        refused: Shape (bundles,), readings of `n` that were refused and stand in quarantine.
        battery_pct: Shape (bundles,), -1 where not told.
        queued: Shape (bundles,), bundles still waiting on the device.
        offsets: Shape (bundles + 1,).
        sign: Shape (readings,), `Sign` as a number.
        quality: Shape (readings,), `Quality` as a number.
        value: Shape (readings,), canonical units; NaN only with NO_CONTACT.
        time_ns: Shape (readings,).
        clocks: Index into `devices` -> the least and the most that the device's clock is ahead of the bridge's, in
            nanoseconds (`vitals.clocks`); only devices of which both are known. Nothing is judged by it.
    """

    patients: list[str]
    devices: list[str]
    patient: IntArray
    device: IntArray
    boot: IntArray
    seq: IntArray
    sent_ns: IntArray
    received_ns: IntArray
    n: IntArray
    n_before: IntArray
    refused: IntArray
    battery_pct: FloatArray
    queued: IntArray
    offsets: IntArray
    sign: ByteArray
    quality: ByteArray
    value: FloatArray
    time_ns: IntArray
    clocks: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def bundles(self) -> int:
        """How many bundles it holds."""
        return len(self.seq)

    @property
    def readings(self) -> int:
        """How many readings it holds."""
        return len(self.sign)
