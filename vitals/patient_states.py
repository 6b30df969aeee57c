"""How things stand for every watched patient at regular instants, alarms or not: what a dashboard may rely on.

Whoever draws or alerts from a store sees series. A series that ends may mean that the patient is well, that the sensor
fell off, or that nothing runs any more. So every watched patient has a point each ten seconds of ward time for as long
as the ward watches, made of what the ward decided: the events of alarms, and the ticks, enrolments and blocks of its
partition. A discharge is told once, as such. Then a series that stops has one meaning left: the pipeline has stopped.

Events come by a topic of their own, after the record that caused them and perhaps after ticks that followed it. Each
names its cause's offset. When it has come, every instant told after that offset is told again with it, once for all
events that came together (`retold`); an equal instant replaces the one before. In the end the points are those of the
log, whatever order they were made in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from vitals.alarm_fold import Fold, OpenAlarm, worst_first
from vitals.events import PRIORITY_RANK, AlarmEvent, Kind
from vitals.log import Binding, Enrolment, Record, Tick
from vitals.measurements import STATE_EVERY_NS
from vitals.reading import Block
from vitals.signs import SECOND_NS

VERSION: Final = 1
WATCHED: Final = 2
PAUSED: Final = 1
DISCHARGED: Final = 0

_TOLD: Final = 1_024  # instants that an event may still change: almost three hours of ward time
_CHANGES: Final = 3  # earlier changes of a patient that such an instant may need
_BRIDGE_BEHIND_NS: Final = 10 * SECOND_NS  # as `vitals.ward.WardSettings`


@dataclass(frozen=True, slots=True)
class PatientState:
    """How things stand for one patient at one instant. The fields are those of `measurements.ALARM_STATE`.

    Attributes:
        patient: Pseudonym.
        partition: Of the input topic.
        at_ns: A multiple of `STATE_EVERY_NS`.
        watch: `WATCHED`, `PAUSED` or `DISCHARGED`.
        priority: Highest of the open alarms, 0 none, 1 low, 2 medium, 3 high.
        unattended_priority: Highest of those neither acknowledged nor shelved.
        physiological_priority: Highest of those about the patient.
        technical_priority: Highest of those about equipment.
        open: Alarms that are not closed.
        unattended: Of these, neither acknowledged nor shelved.
        shelved: Of these, shelved.
        unobserved: Of these, whose inputs have fallen silent.
        oldest_open_s: Since the oldest of them was raised; 0 where there is none.
        oldest_unattended_s: Likewise of the unattended.
        overdue_s: By how much the next step owed is late; 0 where none is.
        worst: The one to look at first; None where none is open.
    """

    patient: str
    partition: int
    at_ns: int
    watch: int
    priority: int = 0
    unattended_priority: int = 0
    physiological_priority: int = 0
    technical_priority: int = 0
    open: int = 0
    unattended: int = 0
    shelved: int = 0
    unobserved: int = 0
    oldest_open_s: float = 0.0
    oldest_unattended_s: float = 0.0
    overdue_s: float = 0.0
    worst: OpenAlarm | None = None


def state_of(patient: str, partition: int, at_ns: int, watch: int, alarms: Iterable[OpenAlarm]) -> PatientState:
    """How things stand with these alarms, of one patient, open at that instant."""
    alarms = worst_first(alarms)
    unattended = [alarm for alarm in alarms if _unattended(alarm)]
    due = [alarm.due_ns for alarm in alarms if alarm.due_ns is not None]
    return PatientState(
        patient=patient,
        partition=partition,
        at_ns=at_ns,
        watch=watch,
        priority=_highest(alarms),
        unattended_priority=_highest(unattended),
        physiological_priority=_highest(a for a in alarms if a.kind is Kind.PHYSIOLOGICAL),
        technical_priority=_highest(a for a in alarms if a.kind is Kind.TECHNICAL),
        open=len(alarms),
        unattended=len(unattended),
        shelved=sum(alarm.state.get("shelf") == "shelved" for alarm in alarms),
        unobserved=sum(alarm.state.get("observation") == "unobserved" for alarm in alarms),
        oldest_open_s=_age_s(alarms, at_ns),
        oldest_unattended_s=_age_s(unattended, at_ns),
        overdue_s=max(0, at_ns - min(due)) / SECOND_NS if due else 0.0,
        worst=alarms[0] if alarms else None,
    )


def _unattended(alarm: OpenAlarm) -> bool:
    return alarm.state.get("attention") != "acknowledged" and alarm.state.get("shelf") != "shelved"


def _highest(alarms: Iterable[OpenAlarm]) -> int:
    return max((PRIORITY_RANK[alarm.priority] + 1 for alarm in alarms), default=0)


def _age_s(alarms: list[OpenAlarm], at_ns: int) -> float:
    return max([0, *(at_ns - alarm.raised_ns for alarm in alarms)]) / SECOND_NS


class _Change(msgspec.Struct, array_like=True):
    """From which offset on a patient is watched, paused or discharged."""

    offset: int
    state: int
    until_ns: int | None = None


class _Memory(msgspec.Struct):
    """What has to be remembered of a partition, beside its patients."""

    version: int = VERSION
    position: int = -1
    bridges: dict[str, int] = {}
    told: list[tuple[int, int]] = []


_encode: Final = msgspec.msgpack.Encoder().encode
_memory: Final[msgspec.msgpack.Decoder[_Memory]] = msgspec.msgpack.Decoder(_Memory)
_changes: Final[msgspec.msgpack.Decoder[dict[str, list[_Change]]]] = msgspec.msgpack.Decoder(dict[str, list[_Change]])


class PatientStates:
    """One partition: its records and events in, states of its patients out.

    Attributes:
        position: Offset of the newest record of the input that was taken; -1 before the first.

    What it has to remember are books, by name; they are asked for as they change (`changed`) and given back after a
    restart. Events that came before their cause are not among them: they are read again, from `held` on.
    """

    def __init__(self, partition: int, books: Mapping[str, bytes] | None = None) -> None:
        """Begin, or go on.

        Args:
            partition: Of the input topic.
            books: Everything that `changed` gave, newest by name; those of others do no harm.

        Raises:
            ValueError: If a book is not what `changed` gave.
        """
        self._partition = partition
        self._name = f"states:{partition}"
        books = books or {}
        known = _memory.decode(books[self._name]) if self._name in books else _Memory()
        if known.version != VERSION:
            raise ValueError(f"patient states: version is {known.version}, this reader knows {VERSION}")
        self.position = known.position
        self._bridges = known.bridges
        self._told: deque[tuple[int, int]] = deque(known.told, maxlen=_TOLD)  # offset of the tick, instant
        watch = books.get(f"{self._name}:watch")
        self._watch: dict[str, list[_Change]] = {} if watch is None else _changes.decode(watch)
        alarms = f"{self._name}:alarms:"
        self._folds = {n.removeprefix(alarms): Fold.from_bytes(b) for n, b in books.items() if n.startswith(alarms)}
        self._ahead: deque[tuple[int, int, AlarmEvent]] = deque()  # cause, own offset, event
        # Patient -> since which offset which alarms were open: instants told since then must be told again.
        self._late: dict[str, list[tuple[int, tuple[OpenAlarm, ...]]]] = {}
        self._moved = self._watch_changed = False
        self._folds_changed: set[str] = set()

    def changed(self) -> dict[str, bytes]:
        """What has changed since it was asked last."""
        books = {}
        if self._moved:
            memory = _Memory(VERSION, self.position, self._bridges, list(self._told))
            books[self._name] = _encode(memory)
        if self._watch_changed:
            books[f"{self._name}:watch"] = _encode(self._watch)
        for patient in sorted(self._folds_changed):
            books[f"{self._name}:alarms:{patient}"] = self._folds[patient].to_bytes()
        self._moved = self._watch_changed = False
        self._folds_changed.clear()
        return books

    @property
    def now_ns(self) -> int:
        """Ward time of this partition: the least of its bridges' newest ticks; -1 before the first."""
        newest = max(self._bridges.values(), default=-1)
        return min((t for t in self._bridges.values() if t >= newest - _BRIDGE_BEHIND_NS), default=-1)

    @property
    def held(self) -> int | None:
        """Offset, in the topic of events, of the first event that waits for its cause; None where none does."""
        return min((offset for _, offset, _ in self._ahead), default=None)

    def record(self, record: Record, offset: int) -> list[PatientState]:
        """A record of the input.

        Args:
            record: What.
            offset: Where it stands in the partition.

        Returns:
            A state of every patient where it let an instant pass, else none.
        """
        if offset <= self.position:
            return []
        self.position, self._moved = offset, True
        while self._ahead and self._ahead[0][0] <= offset:
            cause, _, event = self._ahead.popleft()
            self._apply(event, cause)
        match record:
            case Block():
                for patient in record.patients:
                    self._meet(patient, offset)
            case Binding():
                self._meet(record.patient, offset)
            case Enrolment():
                state = {"admitted": WATCHED, "paused": PAUSED, "discharged": DISCHARGED}[record.state]
                self._set(record.patient, _Change(offset, state, record.until_ns))
            case Tick():
                return self._tick(record, offset)
        return []

    def event(self, event: AlarmEvent, cause: int | None, offset: int) -> None:
        """Something was decided; what it changes of instants already told comes with `retold`.

        Args:
            event: What.
            cause: Offset of the record that brought it about; None where it is not known.
            offset: Its own, in the topic of events.
        """
        if cause is not None and cause > self.position:
            self._ahead.append((cause, offset, event))
        else:
            self._apply(event, cause)

    def retold(self) -> list[PatientState]:
        """The instants already told that events since the last call have changed, as they are now.

        Ask it before `changed`: a restart knows of the events, and tells only what is still to come.
        """
        late, self._late = self._late, {}
        told = list(self._told)
        states: list[PatientState] = []
        for patient, held in late.items():
            first = [bisect_left(told, (since, -1)) for since, _ in held]
            for (_, alarms), begin, end in zip(held, first, [*first[1:], len(told)], strict=True):
                for i in range(begin, end):
                    states += self._states((patient,), i, alarms)
        return states

    def _apply(self, event: AlarmEvent, cause: int | None) -> None:
        fold = self._folds.setdefault(event.patient, Fold())
        if not fold.apply(event):
            return
        self._folds_changed.add(event.patient)
        last = self._told[-1][0] if self._told else -1
        since = last if cause is None else cause
        # One that is not late ends what a late one before it is told for.
        if 0 <= since <= last or event.patient in self._late:
            self._late.setdefault(event.patient, []).append((since, tuple(fold.open.values())))

    def _tick(self, said: Tick, offset: int) -> list[PatientState]:
        self._bridges[said.bridge] = max(said.now_ns, self._bridges.get(said.bridge, said.now_ns))
        at_ns = self.now_ns // STATE_EVERY_NS * STATE_EVERY_NS
        if self.now_ns < 0 or (self._told and at_ns <= self._told[-1][1]):
            return []
        self._told.append((offset, at_ns))
        return list(self._states(self._watch, len(self._told) - 1))

    def _meet(self, patient: str, offset: int) -> None:
        """Whoever wears something is watched, enrolled or not."""
        if patient not in self._watch:
            self._set(patient, _Change(offset, WATCHED))

    def _set(self, patient: str, change: _Change) -> None:
        self._watch[patient] = [*self._watch.get(patient, ())[-_CHANGES:], change]
        self._watch_changed = True

    def _states(
        self, patients: Iterable[str], i: int, open_then: tuple[OpenAlarm, ...] | None = None
    ) -> Iterator[PatientState]:
        """States at the i-th of the instants told; of the discharged only at the first after it was said.

        With the alarms that are open now, or with those that were.
        """
        offset, at_ns = self._told[i]
        before = self._told[i - 1][0] if i else -1
        for patient in patients:
            change = self._change(patient, offset)
            if change is None:
                continue
            if change.state == DISCHARGED and change.offset <= before:
                continue
            over = change.until_ns is not None and at_ns >= change.until_ns
            watch = WATCHED if change.state == PAUSED and over else change.state
            fold = self._folds.get(patient)
            alarms = open_then if open_then is not None else () if fold is None else fold.open.values()
            yield state_of(patient, self._partition, at_ns, watch, alarms)

    def _change(self, patient: str, offset: int) -> _Change | None:
        """What held for a patient when the record at `offset` had been taken."""
        held = (change for change in reversed(self._watch.get(patient, ())) if change.offset <= offset)
        return next(held, None)
