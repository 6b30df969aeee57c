"""Faults of a real ward: what goes wrong with a device, its radio, its clock, its sensor, its firmware.

A fault is planned: which device, what, from when to when. What it hits in that time (this bundle, that reading) is
drawn from the device's own generator, in the device's own order of events, so that the same seed breaks the same
things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.wire import SentReading


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One row of the table of faults.

    Attributes:
        label: In words.
        rate: Share of bundles (motion: of readings) that it hits, by default; None: no matter of chance.
        lasts_ns: How long, by default; None: to the end.
        extra: Which further fields a scenario may give it.
    """

    label: str
    rate: float | None
    lasts_ns: int | None
    extra: tuple[str, ...] = ()


FAULTS: Final[dict[str, FaultRow]] = {
    "lost": FaultRow("packets are lost before the broker; the device sends again", 0.2, None),
    "twice": FaultRow("packets arrive twice", 0.2, None),
    "reordered": FaultRow("packets are overtaken by later ones", 0.1, None),
    "clock": FaultRow("the device's clock is wrong and drifts", None, None, ("offset", "drift_ppm")),
    "sensor-off": FaultRow("the sensor does not touch the patient", None, 10 * MINUTE_NS),
    "motion": FaultRow("movement makes spikes", 0.1, 30 * MINUTE_NS),
    "battery": FaultRow("the battery dies; later somebody puts in a full one", None, 45 * MINUTE_NS, ("low_for",)),
    "offline": FaultRow("out of reach of the radio; then everything at once", None, 60 * MINUTE_NS),
    "malformed": FaultRow("broken firmware sends what nobody can read", 0.05, None),
}

FOREVER_NS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Fault:
    """A planned fault of one device.

    Attributes:
        device: Its id.
        kind: Row of `FAULTS`.
        from_ns: Start. Of a battery: when it dies.
        to_ns: First instant without it. Of a battery: when the device starts again.
        rate: Share of what it can hit.
        offset_ns: Clock: ahead (positive) or behind.
        drift_ppm: Clock: runs fast by so many microseconds a second.
        low_for_ns: Battery: how long before its death it says that it is low.
    """

    device: str
    kind: str
    from_ns: int
    to_ns: int = FOREVER_NS
    rate: float = 1.0
    offset_ns: int = 0
    drift_ppm: float = 0.0
    low_for_ns: int = 30 * MINUTE_NS


class Faults:
    """The faults of one device, asked by kind and time.

    Args:
        planned: All of this device.
        random: The device's generator. It is drawn from only where a fault is active: a device without faults
            behaves the same with or without them elsewhere.
    """

    def __init__(self, planned: Sequence[Fault], random: np.random.Generator) -> None:
        self._of = {kind: [f for f in planned if f.kind == kind] for kind in {f.kind for f in planned}}
        self._random = random
        self.hits: dict[str, int] = {}

    def of(self, kind: str) -> list[Fault]:
        """All planned faults of a kind."""
        return self._of.get(kind, [])

    def active(self, kind: str, t_ns: int) -> Fault | None:
        """The fault of a kind that holds at an instant."""
        for fault in self._of.get(kind, ()):
            if fault.from_ns <= t_ns < fault.to_ns:
                return fault
        return None

    def strikes(self, kind: str, t_ns: int) -> bool:
        """Whether chance hits this bundle (or reading) now; counted in `hits`."""
        fault = self.active(kind, t_ns)
        if fault is None or self._random.random() >= fault.rate:
            return False
        self.count(kind)
        return True

    def count(self, kind: str) -> None:
        """One more thing that a fault did."""
        self.hits[kind] = self.hits.get(kind, 0) + 1

    def pick(self, n: int) -> int:
        """A number below n, by chance."""
        return int(self._random.integers(n))

    def device_time(self, t_ns: int) -> int:
        """What the device's clock shows at an instant."""
        fault = self.active("clock", t_ns)
        if fault is None:
            return t_ns
        return t_ns + fault.offset_ns + int((t_ns - fault.from_ns) * fault.drift_ppm * 1e-6)


# What broken firmware does to one reading of a bundle, by the fault a receiver should find. All of it fits the types
# of `SentReading`, so that a queue on a disk can hold it.
_BROKEN_READINGS: Final = ("unknown-sign", "wrong-unit", "impossible", "not-finite", "future", "wrong-type")
# And to whole messages: the bundle cut short, and messages outside of the sequence.
_BROKEN_MESSAGES: Final = ("truncated", "garbage", "oversized", "wrong-version")
BROKEN: Final = _BROKEN_READINGS + _BROKEN_MESSAGES


def broken_reading(reading: SentReading, how: str) -> SentReading:
    """A reading as broken firmware writes it.

    Args:
        reading: The good one.
        how: One of the first six of `BROKEN`.
    """
    sign, value, unit, time_ns = reading.sign, reading.value, reading.unit, reading.time_ns
    match how:
        case "unknown-sign":
            sign = "glucos"
        case "wrong-unit":
            unit = "furlong"
        case "impossible":
            value = -4000.0
        case "not-finite":
            value = float("nan")
        case "future":
            time_ns += 600 * SECOND_NS
        case "wrong-type":
            value = "ninety"
        case _:
            raise ValueError(f"no way to break a reading is called {how!r}")
    return SentReading(sign=sign, value=value, unit=unit, time_ns=time_ns)


def is_reading_fault(how: str) -> bool:
    """Whether it breaks a reading (the bundle stays good) or a message."""
    return how in _BROKEN_READINGS


def garbage(how: str, device: str) -> bytes:
    """A message outside of the sequence that nobody can read."""
    match how:
        case "garbage":
            return b"\x00\xff\xfe boot failed at 0x8000"
        case "oversized":
            return b'{"v":1,"device":"' + device.encode() + b'","log":"' + b"x" * 70_000 + b'"}'
        case "wrong-version":
            return b'{"v":0,"device":"' + device.encode() + b'","hr":71}'
        case _:
            raise ValueError(f"no message outside of the sequence is called {how!r}")
