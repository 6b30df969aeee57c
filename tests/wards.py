"""Building records of the log by hand, for tests of the ward."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vitals.detector import Detector, FrameInput, Scored, State
from vitals.log import Binding, Enrolment, Record
from vitals.reading import Block, IntArray, Quality
from vitals.signs import SECOND_NS, Sign

START_NS = 1_700_000_000 * SECOND_NS // (60 * SECOND_NS) * (60 * SECOND_NS)


@dataclass
class SentBundle:
    """A bundle as a test thinks of it; times in seconds from START_NS."""

    device: str
    patient: str
    seq: int
    at_s: float
    readings: list[tuple[str, float, float]]  # sign, value, second
    boot: int = 1
    received_s: float | None = None
    quality: dict[int, Quality] = field(default_factory=dict)
    battery: float = -1.0
    queued: int = 0


def ns(seconds: float) -> int:
    """Seconds from the start of every test -> nanoseconds UTC."""
    return START_NS + round(seconds * SECOND_NS)


def block(bundles: Iterable[SentBundle]) -> Block:
    """One block of some bundles, in their order."""
    rows = list(bundles)
    patients = sorted({b.patient for b in rows})
    devices = sorted({b.device for b in rows})
    counts = [len(b.readings) for b in rows]

    def ints(values: Iterable[int]) -> np.ndarray:
        return np.array(list(values), dtype=np.int64)

    flat = [(b, i, r) for b in rows for i, r in enumerate(b.readings)]
    return Block(
        patients=patients,
        devices=devices,
        patient=ints(patients.index(b.patient) for b in rows),
        device=ints(devices.index(b.device) for b in rows),
        boot=ints(b.boot for b in rows),
        seq=ints(b.seq for b in rows),
        sent_ns=ints(ns(b.at_s) for b in rows),
        received_ns=ints(ns(b.at_s if b.received_s is None else b.received_s) for b in rows),
        n=ints(counts),
        n_before=ints(0 for _ in rows),
        refused=ints(0 for _ in rows),
        battery_pct=np.array([b.battery for b in rows], dtype=np.float64),
        queued=ints(b.queued for b in rows),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        sign=np.array([Sign[r[0].upper()] for _, _, r in flat], dtype=np.uint8),
        quality=np.array([b.quality.get(i, Quality.GOOD) for b, i, _ in flat], dtype=np.uint8),
        value=np.array([r[1] for _, _, r in flat], dtype=np.float64),
        time_ns=ints(ns(r[2]) for _, _, r in flat),
    )


def admitted(patient: str, devices: dict[str, float], age: float | None = None) -> list[Record]:
    """A patient and the devices worn, each with its period in seconds."""
    return [
        Enrolment(patient=patient, state="admitted", at_ns=START_NS, age=age),
        *(
            Binding(device=device, patient=patient, from_ns=0, period_ns=round(period * SECOND_NS))
            for device, period in devices.items()
        ),
    ]


def take_step(detector: Detector, frames: FrameInput, rows: IntArray, state: State) -> Scored:
    """Have a detector look at some patients of a ward, and keep their state in the ward's arrays, as the ward does."""
    scored, after = detector.step(frames, {name: array[rows] for name, array in state.items()})
    for name, array in state.items():
        array[rows] = after[name]
    return scored
