"""Open alarms from events alone: what a console, a pager or any other program does to know where things stand.

Every event carries the whole state after it, so a fold needs no rule and no clock. Events may come twice and may be
joined in the middle; those of one alarm come in order, as their topic keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from vitals.alarm_state import Facts
from vitals.events import PRIORITY_RANK, AlarmEvent, EventName, Evidence, Kind, Priority, ScoreEvidence

VERSION: Final = 1

WHY: Final = frozenset({"raised", "recurred", "worsened"})
"""Events that say why somebody should look; each replaces the reason before."""


class OpenAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is not closed, as its events tell it.

    Attributes:
        alarm_id: Its name.
        patient: Pseudonym.
        rule: Id of the rule.
        rule_version: The table the rule stood in.
        kind: About the patient or about the equipment.
        priority: Highest it had since it was raised.
        device: The device a technical alarm is about.
        raised_ns: When it was raised, from its name.
        n: Number of its newest event; a command says it as `seen`.
        level: The band at its newest event.
        due_ns: When the next step falls due if nobody does anything.
        state: The facts after its newest event.
        why: Cause of the newest event that says why somebody should look.
        evidence: The readings of that event.
        score: The score of that event.
        delayed: Whether that event rests on readings that we received late.
        last: Its newest event.
        last_at_ns: The time of that.
    """

    alarm_id: str
    patient: str
    rule: str
    rule_version: str
    kind: Kind
    priority: Priority
    device: str
    raised_ns: int
    n: int
    level: int
    due_ns: int | None
    state: Facts
    why: str
    evidence: tuple[Evidence, ...]
    score: ScoreEvidence | None
    delayed: bool
    last: EventName
    last_at_ns: int


def split_id(alarm_id: str) -> tuple[str, int]:
    """An alarm's name without its instant, and the instant: of one such name only the newest instant can be open."""
    name, _, raised_ns = alarm_id.rpartition(":")
    return name, int(raised_ns)


class _State(msgspec.Struct, kw_only=True):
    """A fold as it travels."""

    version: int = VERSION
    alarms: list[OpenAlarm]
    seen: dict[str, tuple[int, int]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[_State]] = msgspec.msgpack.Decoder(_State)


class Fold:
    """Open alarms so far, by name.

    Attributes:
        open: The open alarms.
    """

    def __init__(self) -> None:
        self.open: dict[str, OpenAlarm] = {}
        # Newest (raised, n) of each name without instant: what is not newer has been seen, also after it closed.
        self._seen: dict[str, tuple[int, int]] = {}

    def to_bytes(self) -> bytes:
        """All of it, also what it has seen of alarms that are closed."""
        return _encoder.encode(_State(alarms=list(self.open.values()), seen=self._seen))

    @classmethod
    def from_bytes(cls, data: bytes) -> Fold:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: If the bytes are not that.
        """
        state = _decoder.decode(data)
        if state.version != VERSION:
            raise ValueError(f"fold of alarms: version is {state.version}, this reader knows {VERSION}")
        fold = cls()
        fold.open = {alarm.alarm_id: alarm for alarm in state.alarms}
        fold._seen = state.seen
        return fold

    def join(self, other: Fold) -> None:
        """Take in the alarms of other patients."""
        self.open |= other.open
        self._seen |= other._seen

    def apply(self, event: AlarmEvent) -> bool:
        """Take in one event.

        Returns:
            Whether it changed something; a repeated event and a refused command do not.
        """
        if event.event == "command_refused":
            return False
        name, raised_ns = split_id(event.alarm_id)
        if (raised_ns, event.n) <= self._seen.get(name, (-1, 0)):
            return False
        self._seen[name] = (raised_ns, event.n)
        before = self.open.pop(event.alarm_id, None)
        if event.event != "closed":
            self.open[event.alarm_id] = _after(before, event, raised_ns)
        return True


def _after(before: OpenAlarm | None, event: AlarmEvent, raised_ns: int) -> OpenAlarm:
    # Who told last why somebody should look; what others say (acknowledged, unobserved) does not replace it.
    tells: AlarmEvent | OpenAlarm = event if before is None or event.event in WHY else before
    return OpenAlarm(
        alarm_id=event.alarm_id,
        patient=event.patient,
        rule=event.rule,
        rule_version=event.rule_version,
        kind=event.kind,
        priority=event.priority,
        device=tells.device,
        raised_ns=raised_ns,
        n=event.n,
        level=event.level,
        due_ns=event.due_ns,
        state=event.state,
        why=tells.cause if isinstance(tells, AlarmEvent) else tells.why,
        evidence=tells.evidence,
        score=tells.score,
        delayed=tells.delayed,
        last=event.event,
        last_at_ns=event.at_ns,
    )


def fold(events: Iterable[AlarmEvent]) -> dict[str, OpenAlarm]:
    """The open alarms after some events, by name."""
    state = Fold()
    for event in events:
        state.apply(event)
    return state.open


def worst_first(alarms: Iterable[OpenAlarm]) -> list[OpenAlarm]:
    """As a page shows them: highest priority first, unattended before attended, the longest standing first."""

    def rank(alarm: OpenAlarm) -> tuple[int, bool, bool, int, str]:
        attended = alarm.state.get("attention") == "acknowledged" or alarm.state.get("shelf") == "shelved"
        returned = alarm.state.get("condition") == "returned"
        return (-PRIORITY_RANK[alarm.priority], attended, returned, alarm.raised_ns, alarm.alarm_id)

    return sorted(alarms, key=rank)
