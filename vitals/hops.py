"""The hops of a reading's way, with a stamp at the end of each, and a histogram for the times between them.

```
  measured -> published -> received -> appended -> fetched -> scored -> emitted -> stored
  (device)    (device)     (bridge)    (Kafka)     (monitoring)         (Kafka) -> shown
                                                             |
                                                             +-> queued -> sent -> answered -> acknowledged
                                                                 (pager)          (a person)   (ward, pager)
```

A stamp is ward time in nanoseconds; in a demo that runs faster than the wall, a difference of stamps divided by the
speed is the time that passed. `measured` and `published` come from the device's clock, the others from clocks of
ours: what lies between the two kinds holds the device clock's error.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt


class Stamp(enum.StrEnum):
    """An instant on the way of a reading; the text is its key wherever stamps travel."""

    MEASURED = "measured"
    PUBLISHED = "published"
    RECEIVED = "received"
    APPENDED = "appended"
    FETCHED = "fetched"
    SCORED = "scored"
    EMITTED = "emitted"
    STORED = "stored"
    SHOWN = "shown"
    QUEUED = "queued"
    SENT = "sent"
    ANSWERED = "answered"
    ACKNOWLEDGED = "acknowledged"


class Hop(enum.StrEnum):
    """One stage of the way; the text names it in histograms, stores and on pages."""

    GATHER = "gather"
    RADIO = "radio"
    INGEST = "ingest"
    LOG = "log"
    JUDGE = "judge"
    EMIT = "emit"
    STORE = "store"
    SHOW = "show"
    NOTICE = "notice"
    SEND = "send"
    ANSWER = "answer"
    CONFIRM = "confirm"
    TO_ALARM = "to_alarm"
    TO_SHOWN = "to_shown"
    TO_ANSWERED = "to_answered"


# Beside the stamps: by how much the device's clock is ahead of ours, in nanoseconds, at least and at most, where both
# directions are known (`vitals.clocks`).
CLOCK_LEAST: Final = "clock_least"
CLOCK_MOST: Final = "clock_most"

# Ways of every bundle from the device's hand, alarm or not: what a benchmark counts. Both ends cross clocks.
TO_SCORED: Final = "to_scored"
TO_STORED: Final = "to_stored"


@dataclass(frozen=True, slots=True)
class HopRow:
    """One row of the table of hops.

    Attributes:
        start: Stamp at its start.
        end: Stamp at its end.
        contains: What the time goes into.
        crosses_clocks: True where one end is the device's clock and the other ours: the difference holds the error
            of the device's clock and may be negative (recorded as 0; whoever records counts those beside it).
    """

    start: Stamp
    end: Stamp
    contains: str
    crosses_clocks: bool = False


HOPS: Final[dict[Hop, HopRow]] = {
    Hop.GATHER: HopRow(
        Stamp.MEASURED, Stamp.PUBLISHED, "waiting on the device for its bundle to be full and its radio"
    ),
    Hop.RADIO: HopRow(
        Stamp.PUBLISHED, Stamp.RECEIVED, "network, broker, and whatever the bridge had to do before", True
    ),
    Hop.INGEST: HopRow(
        Stamp.RECEIVED, Stamp.APPENDED, "decoding, judging, the open block, Kafka's acknowledgement by all replicas"
    ),
    Hop.LOG: HopRow(Stamp.APPENDED, Stamp.FETCHED, "Kafka's log and the consumer's queue"),
    Hop.JUDGE: HopRow(
        Stamp.FETCHED, Stamp.SCORED, "the ward; for what a frame decides, also the wait for the tick that closes it"
    ),
    Hop.EMIT: HopRow(Stamp.SCORED, Stamp.EMITTED, "Kafka's acknowledgement of the event"),
    Hop.STORE: HopRow(Stamp.EMITTED, Stamp.STORED, "the storing app's batch and the store's answer"),
    Hop.SHOW: HopRow(Stamp.EMITTED, Stamp.SHOWN, "the console's consumer, the stream to the page, the page"),
    Hop.NOTICE: HopRow(
        Stamp.SCORED, Stamp.QUEUED, "Kafka, the pager's consumer, and the wait that the policy asks for"
    ),
    Hop.SEND: HopRow(Stamp.QUEUED, Stamp.SENT, "the outbox, and the first channel that took the page"),
    Hop.ANSWER: HopRow(Stamp.SENT, Stamp.ANSWERED, "a person, and those who were told after them"),
    Hop.CONFIRM: HopRow(
        Stamp.ANSWERED, Stamp.ACKNOWLEDGED, "the answer as a command to the ward, and its event back at the pager"
    ),
    Hop.TO_ALARM: HopRow(Stamp.MEASURED, Stamp.EMITTED, "all of it, from the patient to the alarm", True),
    Hop.TO_SHOWN: HopRow(Stamp.MEASURED, Stamp.SHOWN, "all of it, from the patient to the clinician's page", True),
    Hop.TO_ANSWERED: HopRow(Stamp.MEASURED, Stamp.ANSWERED, "all of it, from the patient to a person's answer", True),
}


def differences(stamps: Mapping[str, int]) -> dict[Hop, int]:
    """The hops that a set of stamps tells, in nanoseconds; hops with a stamp missing are left out.

    Args:
        stamps: Nanoseconds by `Stamp`; other keys are left alone.
    """
    return {
        hop: stamps[row.end] - stamps[row.start]
        for hop, row in HOPS.items()
        if row.start in stamps and row.end in stamps
    }


def spread(hop: Hop, stamps: Mapping[str, int]) -> tuple[int, int] | None:
    """How long a hop that crosses clocks took at least and at most, by the bounds of the device's clock.

    Args:
        hop: One that begins at the device and ends with us.
        stamps: Nanoseconds by `Stamp`, and `CLOCK_LEAST` and `CLOCK_MOST`.

    Returns:
        Nanoseconds; None where the hop crosses no clocks, or its stamps or the bounds are not known.
    """
    row = HOPS[hop]
    if not row.crosses_clocks or not {row.start, row.end, CLOCK_LEAST, CLOCK_MOST} <= stamps.keys():
        return None
    told = stamps[row.end] - stamps[row.start]
    return max(0, told + stamps[CLOCK_LEAST]), max(0, told + stamps[CLOCK_MOST])


def appended_at(stamp_ms: int, wall_ns: int, now_ns: int, speed: float = 1.0) -> int:
    """Ward time at which a broker put a record into its log, from the time stamp that it gave it.

    The stamp is a whole millisecond, rounded down; its end is taken, so that nothing seems appended before it was
    sent, and never an instant that is still to come. So it is right to a millisecond, beside what the broker's clock
    is off.

    Example: stamped in millisecond 5, looked at when the wall says 8.5 ms and ward time 108.5 ms: 106 ms.

    Args:
        stamp_ms: The broker's wall clock.
        wall_ns: Our wall clock now.
        now_ns: Ward time now.
        speed: Seconds of ward time in a second of the wall.
    """
    return now_ns - round(max(0, wall_ns - (stamp_ms + 1) * 1_000_000) * speed)


_FIRST_NS: Final = 1_000  # below a microsecond all values share the first bucket: no clock of ours is finer
# 64 linear buckets in each doubling: a bucket is at most 1/64 of its lower end wide, and a value is told as the
# middle of its bucket, so it is wrong by less than 1/128 = 0.8 %.
_PER_DOUBLING: Final = 64
_DOUBLINGS: Final = 32  # 1 us * 2**32 = 1 h 11 min 35 s
_BUCKETS: Final = 2 + _DOUBLINGS * _PER_DOUBLING  # and one below, one above
# Version, counts that follow, samples, total (16 bytes: a few hundred readings of last year's recording, sent today,
# pass what 8 hold), least, greatest.
_FORMAT: Final = struct.Struct("<BIq16sqq")
_FORMAT_1: Final = struct.Struct("<BIqqqq")  # as it was: read, not written
_PAIR: Final = np.dtype([("bucket", "<u2"), ("count", "<u8")])
_VERSION: Final = 2

IntLike = npt.NDArray[np.int64]


def _edges() -> npt.NDArray[np.float64]:
    """Lower ends of the buckets 1.. in nanoseconds, and the upper end of the last."""
    steps = np.arange(_PER_DOUBLING) / _PER_DOUBLING
    doublings = 2.0 ** np.arange(_DOUBLINGS)
    lower = (_FIRST_NS * doublings[:, None] * (1 + steps)).reshape(-1)
    return np.append(lower, _FIRST_NS * 2.0**_DOUBLINGS)


_EDGES: Final = _edges()
_MIDDLES: Final = np.concatenate([[_FIRST_NS / 2], (_EDGES[:-1] + _EDGES[1:]) / 2, [_EDGES[-1]]])


class HistogramError(ValueError):
    """Bytes that are no histogram, or one of another version."""


class Histogram:
    """Times in nanoseconds, kept to 1 % from 1 us to 1 h; count, total, least and greatest are exact.

    Times below 1 us are told as 0.5 us or as the least seen, times above 1 h 11 min as the greatest seen. 16 KB,
    however many samples.
    """

    def __init__(self) -> None:
        self._counts: IntLike = np.zeros(_BUCKETS, dtype=np.int64)
        self.count = 0
        """Samples."""
        self.total_ns = 0
        """Their sum, exact."""
        self.min_ns = 0
        """The least of them; 0 where there is none."""
        self.max_ns = 0
        """The greatest of them; 0 where there is none."""

    def record(self, duration_ns: int) -> None:
        """Add one sample; a negative one (two clocks that disagree) counts as 0."""
        duration_ns = max(duration_ns, 0)
        self._counts[_bucket(duration_ns)] += 1
        self.min_ns = min(self.min_ns, duration_ns) if self.count else duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        self.count += 1
        self.total_ns += duration_ns

    def record_many(self, durations_ns: IntLike) -> None:
        """Add samples of any shape; negative ones count as 0."""
        if not durations_ns.size:
            return
        durations = np.maximum(durations_ns.reshape(-1), 0)
        buckets = np.searchsorted(_EDGES, durations, side="right")
        self._counts += np.bincount(buckets, minlength=_BUCKETS)
        low, high = int(durations.min()), int(durations.max())
        self.min_ns = min(self.min_ns, low) if self.count else low
        self.max_ns = max(self.max_ns, high)
        self.count += len(durations)
        self.total_ns += (int((durations >> 32).sum()) << 32) + int((durations & 0xFFFF_FFFF).sum())

    def merge(self, other: Histogram) -> None:
        """Add all samples of another histogram."""
        if not other.count:
            return
        self._counts += other._counts
        self.min_ns = min(self.min_ns, other.min_ns) if self.count else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.count += other.count
        self.total_ns += other.total_ns

    def since(self, before: Histogram) -> Histogram:
        """The samples that came since an earlier state of this histogram; least and greatest to 1 %.

        Raises:
            ValueError: If the other one is no earlier state of this one.
        """
        counts = self._counts - before._counts
        if (counts < 0).any():
            raise ValueError("the other histogram holds samples that this one does not: was its process restarted?")
        out = Histogram()
        out._counts = counts
        out.count, out.total_ns = self.count - before.count, self.total_ns - before.total_ns
        held = np.flatnonzero(counts)
        if len(held):
            out.min_ns = max(self.min_ns, int(_MIDDLES[held[0]]))
            out.max_ns = self.max_ns if held[-1] == _BUCKETS - 1 else min(self.max_ns, int(_MIDDLES[held[-1]]))
        return out

    @property
    def mean_ns(self) -> float:
        """Total time / number of samples, exact; NaN where there is none."""
        return self.total_ns / self.count if self.count else float("nan")

    def percentile(self, percent: float) -> float:
        """The least time that `percent` of the samples do not pass, in nanoseconds, to 1 %; NaN where there is none.

        Of 10 samples the 50th percentile is the 5th in order, the 90th the 9th, the 99th the 10th
        (`numpy.percentile` with method ``inverted_cdf``).
        """
        return self.percentiles(percent)[0]

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Several percentiles in one pass."""
        for percent in percents:
            if not 0 <= percent <= 100:
                raise ValueError(f"percentile {percent} is not within 0..100")
        if not self.count:
            return tuple(float("nan") for _ in percents)
        # Rounded first: 99.9 / 100 * 1000 is a hair above 999 in binary, and must not ask for the 1000th.
        ranks = np.maximum(np.ceil(np.round(np.array(percents) / 100 * self.count, 6)), 1)
        buckets = np.searchsorted(np.cumsum(self._counts), ranks)
        told = np.where((buckets == _BUCKETS - 1) | (ranks >= self.count), self.max_ns, _MIDDLES[buckets])
        told = np.where(ranks <= 1, self.min_ns, told)  # the least and the greatest are told exactly
        return tuple(float(value) for value in np.clip(told, self.min_ns, self.max_ns))

    def to_bytes(self) -> bytes:
        """For Kafka and snapshots: only the buckets that hold something."""
        held = np.flatnonzero(self._counts)
        pairs = np.empty(len(held), dtype=_PAIR)
        pairs["bucket"] = held
        pairs["count"] = self._counts[held]
        total = self.total_ns.to_bytes(16, "little")
        return _FORMAT.pack(_VERSION, len(held), self.count, total, self.min_ns, self.max_ns) + pairs.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Histogram:
        """Read what `to_bytes` wrote.

        Raises:
            HistogramError: If the bytes are not that.
        """
        form = _FORMAT_1 if data[:1] == b"\x01" else _FORMAT
        if len(data) < form.size or data[0] not in (1, _VERSION):
            raise HistogramError(f"not a histogram of version {_VERSION}")
        _, held, count, total, min_ns, max_ns = form.unpack_from(data)
        if len(data) != form.size + held * _PAIR.itemsize:
            raise HistogramError(f"{len(data)} bytes cannot hold {held} buckets")
        total_ns = total if isinstance(total, int) else int.from_bytes(total, "little")
        pairs = np.frombuffer(data, dtype=_PAIR, offset=form.size)
        counts = pairs["count"].astype(np.int64)
        if held and (pairs["bucket"].max() >= _BUCKETS or (counts < 0).any()):
            raise HistogramError("a bucket lies outside of the table")
        histogram = cls()
        histogram._counts[pairs["bucket"]] = counts
        if int(histogram._counts.sum()) != count:
            raise HistogramError(f"the buckets do not hold the {count} samples that it names")
        histogram.count, histogram.total_ns, histogram.min_ns, histogram.max_ns = count, total_ns, min_ns, max_ns
        return histogram


def _bucket(duration_ns: int) -> int:
    """The bucket of one time: `searchsorted` for a single number, in a sixth of its time."""
    if duration_ns < _FIRST_NS:
        return 0
    doubling = (duration_ns // _FIRST_NS).bit_length() - 1
    if doubling >= _DOUBLINGS:
        return _BUCKETS - 1
    # Integers all the way: whole nanoseconds against edges that are multiples of 1000 / 64.
    step = (duration_ns * _PER_DOUBLING) // (_FIRST_NS << doubling) - _PER_DOUBLING
    return 1 + doubling * _PER_DOUBLING + step
