"""A recording as devices would have sent it: bundles at instants, in one order that every replay shares. Pure.

```
  rows of a patient (1 Hz)   0 1 2 3 4 5 6 7 8 9 | 10 11 ...      one bundle for each 10 s, at its newest row
  instants                                     9                 so nothing in it is late, or of the future
  rows of a patient (1/min)  0      60     120                   one bundle for each row, at the row
```

Who plays it, with brokers or without, does for each instant: time goes on to it (a mark, a tick), then its bundles.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import numpy as np

from device_sim.bundling import Bundler, stamped
from vitals.log import Binding, Enrolment
from vitals.reading import IntArray
from vitals.recording import Recording
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Consciousness, Sign
from vitals.ward_parts import DETECTORS_AFTER_NS
from vitals.wire import Format, SentReading

Instant: TypeAlias = tuple[int, list[tuple[str, bytes]]]
"""When, and the bundles of that instant: device and bytes, by device."""

WINDOW_NS: Final = 10 * SECOND_NS
# Frames close when the newest tick has passed them by the allowed lateness; their detectors are asked after that.
CLOSED_AFTER_NS: Final = 10 * SECOND_NS + DETECTORS_AFTER_NS
_STRIDE_NS: Final = HOUR_NS
_WAKE_NS: Final = 48 * HOUR_NS
BOOT: Final = 0  # the same recording again is the same bundles again, and counts as duplicates


class DeviceConflictError(ValueError):
    """A recording says that two patients wore the same device at the same time."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """What one device measured of one patient: rows of the recording, by time."""

    device: str
    patient: int
    rows: IntArray
    instants: IntArray
    cadence_ns: int


def device_of_patient(patient: str) -> str:
    """The device that a recording's patient wears where it names none: ``rec-p-7``; a long name is shortened."""
    device = f"rec-{patient}"
    return device if len(device) <= 64 else f"{device[:55]}-{zlib.crc32(patient.encode()):08x}"


def _streams(recording: Recording) -> list[_Stream]:
    out: list[_Stream] = []
    for i, patient in enumerate(recording.patients):
        rows = np.arange(int(recording.offsets[i]), int(recording.offsets[i + 1]))
        worn = recording.device[rows]
        for code in np.unique(worn).tolist():
            mine = rows[worn == code]
            device = recording.devices[code] if code >= 0 else device_of_patient(patient)
            cadence_ns = _cadence_ns(recording.time_ns[mine])
            out.append(_Stream(device, i, mine, _instants(recording, mine, cadence_ns), cadence_ns))
    return out


def _cadence_ns(time_ns: IntArray) -> int:
    """Median time between rows, the shorter middle one of two; a minute where there is but one row."""
    gaps = np.diff(np.unique(time_ns))
    return int(np.sort(gaps)[(len(gaps) - 1) // 2]) if len(gaps) else MINUTE_NS


def _instants(recording: Recording, rows: IntArray, cadence_ns: int) -> IntArray:
    """When each row goes out: when it was received, where that is known; else with the newest row of its window."""
    time_ns = recording.time_ns[rows]
    out = time_ns
    if cadence_ns < WINDOW_NS:
        window = time_ns // WINDOW_NS  # rows stand by time, so a window's rows stand together
        ends = np.flatnonzero(np.append(np.diff(window) != 0, True))
        out = time_ns[ends][np.searchsorted(ends, np.arange(len(rows)))]
    if recording.received_ns is not None:
        received_ns = recording.received_ns[rows]
        out = np.where(received_ns >= 0, np.maximum(received_ns, time_ns), out)
    return np.asarray(out, np.int64)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A bundle that is due.

    Attributes:
        device: Who publishes.
        payload: Its bytes.
        n: How many readings they hold.
        received_ns: When it was received, where that is known to be another instant than that of the play.
    """

    device: str
    payload: bytes
    n: int
    received_ns: int | None = None


def bundles_at_instants(recording: Recording, encoding: Format = "msgpack") -> Iterator[Instant]:
    """The bundles of a recording.

    A row in which nothing was measured is an empty bundle: the device was there.

    Args:
        recording: What is played.
        encoding: How the devices write.

    Yields:
        Instants in order, each with its bundles by device id. The last one has no bundles: it is when the frames that
        the last readings fell into can close.
    """
    for now_ns, outgoing in outgoing_at_instants(recording, encoding):
        yield now_ns, [(bundle.device, bundle.payload) for bundle in outgoing]


def outgoing_at_instants(recording: Recording, encoding: Format) -> Iterator[tuple[int, list[Outgoing]]]:
    """`bundles_at_instants`, with the count of readings that a ledger needs."""
    streams = _streams(recording)
    if not streams:
        return
    rank = {device: i for i, device in enumerate(sorted({s.device for s in streams}))}
    row = np.concatenate([s.rows for s in streams])
    instant = np.concatenate([s.instants for s in streams])
    stream = np.repeat(np.arange(len(streams)), [len(s.rows) for s in streams])
    by_device = np.array([rank[s.device] for s in streams])[stream]
    order = np.lexsort((recording.time_ns[row], stream, by_device, instant))  # stable: equal times as in the source
    row, instant, stream = row[order], instant[order], stream[order]
    starts = np.flatnonzero(np.append(True, (np.diff(instant) != 0) | (np.diff(stream) != 0)))
    ends = np.append(starts[1:], len(row))

    signs = sorted(recording.signs)
    values = np.stack([recording.signs[s] for s in signs], axis=1) if signs else np.empty((recording.rows, 0))
    bundlers = {device: Bundler(device, BOOT) for device in rank}
    now_ns, ready = int(instant[0]), list[Outgoing]()
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if instant[first] != now_ns:
            yield now_ns, ready
            for between_ns in _on_the_way(now_ns, int(instant[first])):
                yield between_ns, []
            now_ns, ready = int(instant[first]), list[Outgoing]()
        device = streams[stream[first]].device
        readings: list[SentReading] = []
        for k in row[first:end].tolist():
            at_ns = int(recording.time_ns[k])
            measured = zip(signs, values[k].tolist(), strict=True)
            readings += [_reading(sign, value, at_ns) for sign, value in measured if not math.isnan(value)]
        payload = stamped(bundlers[device].make(readings), now_ns, 0, encoding)
        ready.append(Outgoing(device, payload, len(readings)))
    yield now_ns, ready
    yield _closing_ns(now_ns, max(s.cadence_ns for s in streams)), []


def _on_the_way(from_ns: int, to_ns: int) -> range:
    """Instants without bundles that a long gap needs: a receiver that closed all its frames at once would burst.

    After two days nothing of a patient is valid any more and frames bring nothing; the rest of a gap is one step.
    """
    return range(from_ns + _STRIDE_NS, min(to_ns, from_ns + _WAKE_NS), _STRIDE_NS)


def _reading(sign: Sign, value: float, time_ns: int) -> SentReading:
    if sign is Sign.CONSCIOUSNESS:
        return SentReading(sign=sign.column, value=Consciousness(int(value)).name, time_ns=time_ns)
    if sign is Sign.OXYGEN:
        return SentReading(sign=sign.column, value=value > 0, time_ns=time_ns)
    return SentReading(sign=sign.column, value=value, time_ns=time_ns)


def _closing_ns(last_ns: int, cadence_ns: int) -> int:
    """When the frames of the last readings can close: minutes, or hours where the rows are far apart.

    Not later: silence after the end of a recording is no finding.
    """
    grid_ns = HOUR_NS if cadence_ns >= HOUR_NS // 2 else MINUTE_NS
    return (last_ns // grid_ns + 1) * grid_ns + CLOSED_AFTER_NS


def records_of(recording: Recording) -> tuple[Enrolment | Binding, ...]:
    """What must be said before the first bundle: every patient admitted, every device bound to its wearer.

    Raises:
        DeviceConflictError: If two patients wore a device at the same time.
    """
    streams = _streams(recording)
    worn: dict[str, list[tuple[int, int, _Stream]]] = {}
    for stream in streams:
        times = recording.time_ns[stream.rows]
        worn.setdefault(stream.device, []).append((int(times[0]), int(times[-1]), stream))
    out: list[Enrolment | Binding] = []
    for i, patient in enumerate(recording.patients):
        first, end = int(recording.offsets[i]), int(recording.offsets[i + 1])
        if end > first:
            out.append(_enrolment(recording, i, patient, int(recording.time_ns[first])))
    for device, wearers in sorted(worn.items()):
        wearers.sort(key=lambda w: w[:2])
        for (_, last_ns, one), (next_ns, _, other) in pairwise(wearers):
            if next_ns <= last_ns:
                names = f"{recording.patients[one.patient]} and {recording.patients[other.patient]}"
                raise DeviceConflictError(
                    f"device {device} is worn by {names} at the same time; name one device for each"
                )
        ends = [*(begin for begin, _, _ in wearers[1:]), None]
        out += [
            Binding(
                device=device,
                patient=recording.patients[stream.patient],
                from_ns=begin,
                to_ns=end,
                period_ns=max(stream.cadence_ns, WINDOW_NS),
            )
            for (begin, _, stream), end in zip(wearers, ends, strict=True)
        ]
    return tuple(out)


def _enrolment(recording: Recording, i: int, patient: str, at_ns: int) -> Enrolment:
    age, sex = float(recording.age[i]), float(recording.sex[i])
    word: Literal["f", "m"] | None = None if np.isnan(sex) else "m" if sex else "f"
    return Enrolment(
        patient=patient, state="admitted", at_ns=at_ns, by="recording", age=None if np.isnan(age) else age, sex=word
    )
