"""What a store keeps and answers, whichever it is: SQLite on the embedded stack, InfluxDB elsewhere.

A store is written in batches: `write` returns once the batch is durable, and until then an offset must not be
committed. Writing the same batch again changes nothing, so whoever is unsure writes again. Everything is found by
patient, sign, device and time; nothing here is the truth about alarms (the sequence of their events is).

Calls block; a host on an event loop makes them in a thread. One thread writes at a time, others may read meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vitals.alarm_fold import OpenAlarm
from vitals.envelope import Envelope
from vitals.events import AlarmEvent, Frames
from vitals.hops import Histogram
from vitals.ledger import Ledger, Origin, Refusal
from vitals.patient_states import PatientState
from vitals.reading import Block, BoolArray, ByteArray, FloatArray, IntArray
from vitals.signs import Sign


class StoreUnavailable(Exception):  # noqa: N818  # an outcome that every caller expects, not a fault of the program
    """The store cannot do this now: locked, full, unreachable. The batch does not count as kept; try again later.

    A store without transactions may hold a part of it by then; the same batch again, alone or with more behind it,
    changes nothing of that part.

    Attributes:
        retry_after_s: How long to wait before the next try.
    """

    def __init__(self, why: str, retry_after_s: float) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a store takes batches and answers.

    Attributes:
        ready: True if it does.
        why: What is wrong where it does not, in words.
    """

    ready: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block as it stood in Kafka: its readings, and its facts for the ledger.

    Attributes:
        origin: Where it stood.
        block: What stood there.
    """

    origin: Origin
    block: Block


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """What a record of the quarantine says of a message that was refused whole (not of single refused readings).

    Attributes:
        origin: Where it stood.
        refusal: What it says.
    """

    origin: Origin
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An alarm event and when it passed each hop.

    Attributes:
        event: The event.
        stamps: Nanoseconds by `hops.Stamp`, as far as they are known.
        partition: Of the topic that it came by; not told when it is read back.
    """

    event: AlarmEvent
    stamps: Mapping[str, int] = field(default_factory=dict)
    partition: int = 0


@dataclass(frozen=True, slots=True)
class HopWindow:
    """How long one hop took, over a window of time, as one part measured it.

    Attributes:
        part: Which part measured it.
        hop: Which hop.
        at_ns: End of the window; with part and hop it names the window.
        histogram: The times.
    """

    part: str
    hop: str
    at_ns: int
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class PartHealth:
    """What a part said of itself.

    Attributes:
        part: Which part.
        at_ns: When; with the part it names the row.
        status: 0 ok, 1 slow, 2 down.
        text: The same in words.
        numbers: Every number it told, by name.
    """

    part: str
    at_ns: int
    status: int
    text: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written together, all of it or nothing.

    Of two readings of equal patient, sign, device and time the first stands, and the second counts as a duplicate.

    Attributes:
        blocks: Readings.
        refusals: For the ledger.
        frames: Closed frames and their scores; named by patient and end.
        events: Alarm events; named by their id.
        hops: Hop times.
        states: How things stand for patients, for dashboards; a store that no dashboard draws from leaves them out.
        health: What parts said of themselves, likewise.
        ledger_at_ns: Ward time at which the ledger's sums are to be told, likewise; None not with this batch.
        books: What the host itself has to remember, by name; each replaces the one before. Kept in one step with
            `settled`.
        settled: For each partition that moved: the offset before which everything was written or needs no writing.
    """

    blocks: Sequence[BlockRecord] = ()
    refusals: Sequence[RefusalRecord] = ()
    frames: Sequence[Frames] = ()
    events: Sequence[StoredEvent] = ()
    hops: Sequence[HopWindow] = ()
    states: Sequence[PatientState] = ()
    health: Sequence[PartHealth] = ()
    ledger_at_ns: int | None = None
    books: Mapping[str, bytes] = field(default_factory=dict)
    settled: Sequence[Origin] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one sign of one patient, oldest first.

    Attributes:
        time_ns: Shape (n,).
        value: Shape (n,), canonical unit; NaN only with NO_CONTACT.
        quality: Shape (n,), `Quality` as a number.
        device: Shape (n,), index into `devices`.
        received_ns: Shape (n,), when the bridge had it.
        devices: Names that `device` counts into.
    """

    time_ns: IntArray
    value: FloatArray
    quality: ByteArray
    device: IntArray
    received_ns: IntArray
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Last:
    """The newest reading of each patient and sign; columns of equal length, by patient, then sign.

    Attributes:
        patient: Names.
        sign: Shape (n,), `Sign` as a number.
        time_ns: Shape (n,).
        value: Shape (n,), canonical unit; NaN only with NO_CONTACT.
        quality: Shape (n,), `Quality` as a number.
        device: Names.
    """

    patient: list[str]
    sign: ByteArray
    time_ns: IntArray
    value: FloatArray
    quality: ByteArray
    device: list[str]


@dataclass(frozen=True, slots=True)
class FrameSeries:
    """Frames of one patient, oldest first; the arrays of `events.Frames` with time for patients.

    Attributes:
        start_ns: Shape (n,).
        end_ns: Shape (n,).
        value: Shape (n, N_SIGNS).
        measured: Shape (n, N_SIGNS).
        age_ns: Shape (n, N_SIGNS).
        low: Shape (n, len(SCORES)).
        high: Shape (n, len(SCORES)).
        missing: Shape (n,).
        detectors: For each detector that scored one of them, shape (n,), NaN not assessable.
    """

    start_ns: IntArray
    end_ns: IntArray
    value: FloatArray
    measured: BoolArray
    age_ns: IntArray
    low: FloatArray
    high: FloatArray
    missing: IntArray
    detectors: dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a store holds.

    Attributes:
        readings: Readings, each once.
        frames: Frames, one for each patient and end.
        events: Alarm events.
        hops: Windows of hop times.
    """

    readings: int = 0
    frames: int = 0
    events: int = 0
    hops: int = 0


class Store(Protocol):
    """Keeps what storing hands it and answers what pages and commands ask.

    Every method but `ready` and `close` may raise `StoreUnavailable`.
    """

    def ready(self) -> Readiness:
        """Whether it takes batches and answers; does not raise."""
        ...

    def begin(self) -> None:
        """Another process may have written since: whatever is remembered of what the store holds is asked for anew."""
        ...

    def write(self, batch: Batch) -> None:
        """Keep a batch, durably, or nothing of it. Again the same: no change."""
        ...

    def patients(self) -> list[str]:
        """Everybody of whom there is a reading or a frame, by name."""
        ...

    def last(self, patients: Collection[str] | None = None) -> Last:
        """The newest reading of each sign, of some patients or of all."""
        ...

    def series(self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int) -> dict[Sign, Series]:
        """Readings with from_ns <= time_ns < to_ns: an entry for each sign asked for, perhaps empty."""
        ...

    def envelope(
        self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int, width_ns: int
    ) -> dict[Sign, Envelope]:
        """Usable readings with from_ns <= time_ns < to_ns, a point for each `width_ns` from `from_ns` that holds one.

        An entry for each sign asked for, perhaps empty. Of usable quality are readings up to `USABLE_UP_TO`.
        """
        ...

    def frames(self, patient: str, from_ns: int, to_ns: int) -> FrameSeries:
        """Frames with from_ns <= end_ns < to_ns."""
        ...

    def watched(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """When patients were watched: the frames with from_ns <= end_ns < to_ns, in pieces of an hour at most.

        Returns:
            Patient -> first instants and first instants after, in order. A piece begins with the first frame of its
            hour and is as long as all of that hour together: how long is exact, when is to the hour.
        """
        ...

    def alarm_events(
        self, patient: str | None = None, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[StoredEvent]:
        """Events with from_ns <= at_ns < to_ns, of one patient or of all: by time, then alarm, then number."""
        ...

    def open_alarms(self, patient: str | None = None) -> list[OpenAlarm]:
        """Alarms that are not closed, as their events tell them, the oldest first."""
        ...

    def hops(self, from_ns: int, to_ns: int) -> list[HopWindow]:
        """Windows with from_ns <= at_ns < to_ns, by time."""
        ...

    def ledger(self) -> Ledger:
        """The ledger of everything written; the caller adds the devices' own accounts."""
        ...

    def settled(self, topic: str, partition: int) -> int | None:
        """The offset that the newest batch settled for this partition; None where none did."""
        ...

    def books(self, prefix: str) -> dict[str, bytes]:
        """What the host wrote last under each name that begins so."""
        ...

    def rejected(self) -> dict[str, int]:
        """Points that the store would not take, however often, by reason, since it was opened; the rest was kept."""
        ...

    def counts(self) -> Counts:
        """How many rows there are."""
        ...

    def forget(self, *, readings_before_ns: int | None = None, events_before_ns: int | None = None) -> Counts:
        """Take away what is older: readings, frames and hop times; events of alarms that are closed.

        The ledger keeps its sums.

        Returns:
            How many rows were taken away.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
