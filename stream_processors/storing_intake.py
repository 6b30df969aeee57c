"""What the storing app makes of records: a batch that grows until it is written. No clock, no network."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from transport.stores.base import Batch, BlockRecord, HopWindow, PartHealth, RefusalRecord, StoredEvent
from vitals import block, frames_codec, quarantine, topics
from vitals import log as records
from vitals.events import Frames, event_decoder
from vitals.hops import Histogram, Stamp
from vitals.ledger import Origin, Refusal
from vitals.measurements import MINUTE_EVERY_NS
from vitals.patient_states import PatientState, PatientStates
from vitals.signs import SECOND_NS

READ: Final = (topics.INPUT, topics.FRAMES, topics.ALARMS, topics.QUARANTINE, topics.HEALTH)
STATES: Final = "states:"
"""Books of `PatientStates` have names that begin so."""

FRAMES_AT_ONCE: Final = 200
"""Patients whose frames are written with one batch: a thousand at once made readings wait for a third of a second."""

_STATUS: Final = {"ok": 0, "slow": 1, "down": 2}
_HOPS_EVERY_NS: Final = 10 * SECOND_NS  # parts say them every two seconds, and they count from the part's start


class Waiting:
    """Records read and not yet acknowledged by the store.

    Attributes: as `transport.stores.base.Batch`, and
        count: Records it was made of.
        readings: Readings in it.
    """

    def __init__(self) -> None:
        """Nothing waits."""
        self.blocks: list[BlockRecord] = []
        self.refusals: list[RefusalRecord] = []
        self.frames: list[Frames] = []
        self.events: list[StoredEvent] = []
        self.hops: list[HopWindow] = []
        self.states: list[PatientState] = []
        self.health: list[PartHealth] = []
        self.ledger_at_ns: int | None = None
        self.books: dict[str, bytes] = {}
        self.settled: dict[tuple[str, int], int] = {}
        self.count = 0
        self.readings = 0

    def batch(self) -> Batch:
        """All of it, as it is now: what joins later does not change a batch that a thread is writing."""
        return Batch(
            blocks=list(self.blocks),
            refusals=list(self.refusals),
            frames=list(self.frames),
            events=list(self.events),
            hops=list(self.hops),
            states=list(self.states),
            health=list(self.health),
            ledger_at_ns=self.ledger_at_ns,
            books=dict(self.books),
            settled=[Origin(topic, partition, offset) for (topic, partition), offset in sorted(self.settled.items())],
        )

    def join(self, then: Waiting) -> None:
        """Put what came later behind it."""
        self.blocks += then.blocks
        self.refusals += then.refusals
        self.frames += then.frames
        self.events += then.events
        self.hops += then.hops
        self.states += then.states
        self.health += then.health
        self.ledger_at_ns = then.ledger_at_ns if self.ledger_at_ns is None else self.ledger_at_ns
        self.books |= then.books
        self.settled |= then.settled
        self.count += then.count
        self.readings += then.readings


class Intake:
    """Records in, what waits out. It remembers how things stand for patients, in books that the store keeps.

    Attributes:
        waiting: What was taken since `take_all`; but for frames, which wait to be taken piece by piece.
        frames_values: Values in frames that wait.
        log_hop: Times between Kafka's log and monitoring, whose halves two parts tell.
    """

    def __init__(self) -> None:
        """Nothing was read yet; `restore` before the first record."""
        self.waiting = Waiting()
        # Frames not yet in a batch, in pieces, and behind those of each record its place and the offset it settles.
        self._frames: deque[Frames | tuple[tuple[str, int], int]] = deque()
        self.frames_values = 0
        self.log_hop = Histogram()
        self._states: dict[int, PatientStates] = {}
        self._owed: dict[tuple[str, int], int] = {}  # settled but for events that wait for their cause
        self._told_ns = -1  # minute of the ledger's sums
        self._hops_ns: dict[tuple[str, str], int] = {}
        self._appended: deque[tuple[int, int, int]] = deque(maxlen=4096)
        self._fetched: dict[tuple[int, int], int] = {}

    def restore(self, books: Mapping[str, bytes], ends: Mapping[int, int]) -> list[int]:
        """Forget what waits, and go on from what the store keeps.

        Args:
            books: Those whose names begin with `STATES`.
            ends: Partition of the input that is ours -> the offset behind its newest record.

        Returns:
            Partitions whose books tell of offsets that there are not: the topic is another one, and they began anew.
        """
        self.forget()
        self._owed.clear()
        self._states, strange = {}, []
        for partition, end in ends.items():
            states = PatientStates(partition, books)
            if states.position >= end:
                strange.append(partition)
                states = PatientStates(partition)
            self._states[partition] = states
        return strange

    def forget(self) -> None:
        """Nothing waits: it is read again by whoever has the partitions."""
        self.waiting = Waiting()
        self._frames.clear()
        self.frames_values = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not (self.waiting.count or self.waiting.frames or self._frames)

    @property
    def records(self) -> int:
        """Records that wait, those among them whose frames are written piece by piece."""
        return self.waiting.count + sum(not isinstance(one, Frames) for one in self._frames)

    @property
    def now_ns(self) -> int:
        """Ward time as far as it was read, in the partition that is behind most; -1 before the first tick."""
        return min((states.now_ns for states in self._states.values() if states.now_ns >= 0), default=-1)

    def take(self, message: Any, emitted_ns: int | None = None) -> None:
        """One record.

        Args:
            message: It.
            emitted_ns: Of an alarm event: when Kafka had it, where that is known.

        Raises:
            ValueError, TypeError, KeyError, RecursionError, DecodeError: If it is none; nothing was taken of it.
        """
        origin = Origin(message.topic, message.partition, message.offset)
        value = message.value or b""
        if message.topic == topics.INPUT.name:
            self._input(message, origin, value)
        elif message.topic == topics.FRAMES.name:
            pieces = list(frames_codec.parts(frames_codec.decode(value), FRAMES_AT_ONCE))
            self._frames += pieces
            self.frames_values += sum(piece.value.size for piece in pieces)
        elif message.topic == topics.ALARMS.name:
            self._event(message, value, emitted_ns)
        elif message.topic == topics.QUARANTINE.name:
            self._quarantined(origin, value)
        else:
            self._health(msgspec.json.decode(value, type=dict[str, Any]))

    def settle(self, message: Any) -> None:
        """The record was taken, or cannot be: it need not be read again."""
        place, offset = (message.topic, message.partition), message.offset + 1
        if message.topic == topics.FRAMES.name:  # when its last piece is
            self._frames.append((place, offset))
            return
        self.waiting.settled[place] = offset
        self.waiting.count += 1

    def take_all(self) -> Waiting:
        """What waits, with all that goes with it; from here on something new waits."""
        waiting, self.waiting = self.waiting, Waiting()
        self._take_frames(waiting)
        for partition, states in self._states.items():
            waiting.states += states.retold()
            waiting.books |= states.changed()
            place = topics.ALARMS.name, partition
            taken = max(waiting.settled.get(place, 0), self._owed.pop(place, 0))
            if not taken:
                continue
            if states.held is not None:
                # It stands in the store; how things stand with it must be read again after a restart. Its cause
                # settles it when it comes, be there another event with it or not.
                self._owed[place] = taken
                taken = min(states.held, taken)
            waiting.settled[place] = taken
        return waiting

    def _take_frames(self, waiting: Waiting) -> None:
        """Put as many of the frames that wait into a batch as fit, one piece at least."""
        rows = 0
        while self._frames:
            first = self._frames[0]
            if isinstance(first, Frames):
                rows += len(first.patients)
                if rows > FRAMES_AT_ONCE and waiting.frames:
                    return
                waiting.frames.append(first)
                self.frames_values -= first.value.size
            else:
                waiting.settled[first[0]] = first[1]
                waiting.count += 1
            self._frames.popleft()

    def _input(self, message: Any, origin: Origin, value: bytes) -> None:
        kind = dict(message.headers or {}).get(records.HEADER)
        record: records.Record
        if kind == records.BLOCK:
            record = block.decode(value)
            self.waiting.blocks.append(BlockRecord(origin, record))
            self.waiting.readings += record.readings
        else:
            record = records.decode(value)
        states = self._states.get(message.partition)
        if states is None:
            return
        self.waiting.states += states.record(record, message.offset)
        minute_ns = self.now_ns // MINUTE_EVERY_NS * MINUTE_EVERY_NS
        if minute_ns > self._told_ns:
            self._told_ns = self.waiting.ledger_at_ns = minute_ns

    def _event(self, message: Any, value: bytes, emitted_ns: int | None) -> None:
        headers = dict(message.headers or {})
        stamps = msgspec.json.decode(headers.get("stamps") or b"{}", type=dict[str, int])
        if emitted_ns is not None:
            stamps[Stamp.EMITTED] = max(emitted_ns, stamps.get(Stamp.SCORED, 0))
        event = event_decoder.decode(value)
        cause = headers.get("cause")
        offset = None if cause is None else int(cause.rpartition(b":")[2])
        self.waiting.events.append(StoredEvent(event, stamps, message.partition))
        states = self._states.get(message.partition)
        if states is not None:
            states.event(event, offset, message.offset)

    def _quarantined(self, origin: Origin, value: bytes) -> None:
        told = quarantine.decode(value)
        if told.fault is not None:
            refusal = Refusal(device=told.device, boot=told.boot, seq=told.seq, n=told.n, n_before=told.n_before)
            self.waiting.refusals.append(RefusalRecord(origin, refusal))

    def _health(self, told: dict[str, Any]) -> None:
        """What a part says of itself: hop times, numbers, and the two halves of the hop from Kafka's log."""
        at_ns, part = int(told.get("at_ns", 0)), str(told.get("part", ""))
        hops = {
            hop: Histogram.from_bytes(bytes.fromhex(data))
            for hop, data in (told.get("hops") or {}).items()
            if at_ns >= self._hops_ns.get((part, hop), -1) + _HOPS_EVERY_NS
        }
        health = PartHealth(
            part, at_ns, _STATUS.get(str(told.get("status")), 2), str(told.get("text", "")), numbers(told)
        )
        self._meet(told)
        self.waiting.health.append(health)
        for hop, histogram in hops.items():
            if histogram.count:
                self._hops_ns[part, hop] = at_ns
                self.waiting.hops.append(HopWindow(part, hop, at_ns, histogram))

    def _meet(self, told: dict[str, Any]) -> None:
        for partition, offset, stamp in told.get("fetched") or ():
            self._fetched[partition, offset] = stamp
        self._appended.extend((p, o, s) for p, o, s in told.get("appended") or ())
        for _ in range(len(self._appended)):
            partition, offset, stamp = self._appended.popleft()
            fetched = self._fetched.pop((partition, offset), None)
            if fetched is not None:
                self.log_hop.record(max(0, fetched - stamp))
            else:
                self._appended.append((partition, offset, stamp))
        while len(self._fetched) > 8192:  # halves that never met
            del self._fetched[next(iter(self._fetched))]


def numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """Every number that a part tells, by name: those of `counts` by their own, nested ones behind an underscore.

    Example: ``{"tick_ns": 5, "counts": {"refused": {"range": 2}}}`` tells ``tick_ns`` 5 and ``refused_range`` 2.
    """
    found: dict[str, float] = {}

    def walk(name: str, value: object) -> None:
        if isinstance(value, Mapping):
            for inner, more in value.items():
                walk(f"{name}_{inner}" if name else str(inner), more)
        elif isinstance(value, int | float):  # a truth is 0 or 1
            found[name] = float(value)

    walk("", {name: value for name, value in told.items() if name not in ("counts", "hops", "at_ns", "v")})
    walk("", told.get("counts") or {})
    return found
