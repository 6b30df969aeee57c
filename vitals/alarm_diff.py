"""Two runs' alarm events held side by side: which alarms came, went or moved, and what evidence differs. Pure.

Alarms of one name in both runs are compared event by event. Of the others, two of one patient, rule and device that
were raised within an hour of each other are one alarm that moved, nearest first; what is left came or went.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from vitals.events import AlarmEvent, Evidence
from vitals.signs import HOUR_NS

MOVED_WITHIN_NS: Final = HOUR_NS
_NOT_COMPARED: Final = frozenset({"event_id", "alarm_id"})

Reading: TypeAlias = tuple[str, str, int]
"""Device, sign, time: what names a reading that an alarm rests on."""
Change: TypeAlias = Literal["came", "went", "moved", "changed"]


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """One alarm that is not the same in both runs.

    Attributes:
        change: came (only in the new run), went (only in the old), moved (raised at another time), changed.
        patient: Whose.
        rule: Of the alarm.
        old_ns: When it was raised in the old run; None where it was not.
        new_ns: When it was raised in the new run; None where it was not.
        why: What differs, a sentence each.
    """

    change: Change
    patient: str
    rule: str
    old_ns: int | None
    new_ns: int | None
    why: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        moved = None if self.old_ns is None or self.new_ns is None else (self.new_ns - self.old_ns) / 1e9
        return {
            "change": self.change, "patient": self.patient, "rule": self.rule, "old_ns": self.old_ns,
            "new_ns": self.new_ns, "by_s": moved, "why": list(self.why),
        }  # fmt: skip


def wanted_readings(events: Iterable[AlarmEvent]) -> set[Reading]:
    """The readings that some events rest on: whoever knows the recording can look them up for `compare`."""
    return {(e.device, e.sign, e.time_ns) for event in events for e in event.evidence}


def compare(
    old: Iterable[AlarmEvent], new: Iterable[AlarmEvent], played: Mapping[Reading, float | None] | None = None
) -> tuple[int, list[AlarmChange]]:
    """Hold two runs side by side.

    Args:
        old: Events of the one run.
        new: Events of the other.
        played: Of the readings that either run's events rest on, those that the new run was given, with their
            values; None where nobody knows.

    Returns:
        How many alarms are the same in both; and the others, by patient, time and rule.
    """
    before, after = _alarms(old), _alarms(new)
    changes = [
        _changed(before[name], after[name], played)
        for name in before.keys() & after.keys()
        if before[name] != after[name]
    ]
    same = len(before.keys() & after.keys()) - len(changes)
    went = [before[name] for name in before.keys() - after.keys()]
    came = [after[name] for name in after.keys() - before.keys()]
    changes += _paired(went, came, played)
    return same, sorted(changes, key=lambda c: (c.patient, c.old_ns or c.new_ns or 0, c.rule))


def _alarms(events: Iterable[AlarmEvent]) -> dict[str, list[AlarmEvent]]:
    found: dict[str, dict[int, AlarmEvent]] = defaultdict(dict)
    for event in events:
        found[event.alarm_id][event.n] = event
    return {name: [by_n[n] for n in sorted(by_n)] for name, by_n in found.items()}


def _paired(
    went: Sequence[list[AlarmEvent]], came: Sequence[list[AlarmEvent]], played: Mapping[Reading, float | None] | None
) -> list[AlarmChange]:
    pairs = sorted(
        (abs(b[0].at_ns - a[0].at_ns), i, j)
        for i, a in enumerate(went)
        for j, b in enumerate(came)
        if (a[0].patient, a[0].rule, a[0].device) == (b[0].patient, b[0].rule, b[0].device)
        and abs(b[0].at_ns - a[0].at_ns) <= MOVED_WITHIN_NS
    )
    gone: set[int] = set()
    here: set[int] = set()
    out: list[AlarmChange] = []
    for _, i, j in pairs:
        if i not in gone and j not in here:
            gone.add(i)
            here.add(j)
            a, b = went[i][0], came[j][0]
            out.append(AlarmChange("moved", a.patient, a.rule, a.at_ns, b.at_ns, _differs(a, b, played)))
    for i, events in enumerate(went):
        if i not in gone:
            first = events[0]
            why = _missing(first, played) or ("its evidence was given; what it leads to differs (a limit, a command)",)
            out.append(AlarmChange("went", first.patient, first.rule, first.at_ns, None, why))
    for j, events in enumerate(came):
        if j not in here:
            first = events[0]
            out.append(
                AlarmChange("came", first.patient, first.rule, None, first.at_ns, (f"rests on {_rests(first)}",))
            )
    return out


def _changed(
    old: Sequence[AlarmEvent], new: Sequence[AlarmEvent], played: Mapping[Reading, float | None] | None
) -> AlarmChange:
    first = old[0]
    for a, b in zip(old, new, strict=False):
        if a != b:
            why = (f"event {a.n}: {a.event} became {b.event}",) if a.event != b.event else ()
            return AlarmChange(
                "changed", first.patient, first.rule, first.at_ns, new[0].at_ns, (*why, *_differs(a, b, played))
            )
    longer, word = (old, "only in the old run") if len(old) > len(new) else (new, "only in the new run")
    extra = longer[min(len(old), len(new))]
    why = (f"event {extra.n} ({extra.event}) is {word}: {extra.cause}",)
    return AlarmChange("changed", first.patient, first.rule, first.at_ns, new[0].at_ns, why)


def _differs(a: AlarmEvent, b: AlarmEvent, played: Mapping[Reading, float | None] | None) -> tuple[str, ...]:
    """What differs between two events, evidence first."""
    out = list(_missing(a, played))
    told = {e for e in a.evidence if (e.device, e.sign, e.time_ns) in (played or {})}
    limits = {(e.sign, e.limit) for e in a.evidence}, {(e.sign, e.limit) for e in b.evidence}
    if limits[0] != limits[1]:
        out.append(f"limits were {_limits(a.evidence)}, are {_limits(b.evidence)}")
    if a.evidence != b.evidence and (played is None or told):
        out.append(f"rested on {_rests(a)}, rests on {_rests(b)}")
    if a.score != b.score:
        out.append(f"score was {_score(a)}, is {_score(b)}")
    fields = [name for name in AlarmEvent.__struct_fields__ if name not in {*_NOT_COMPARED, "evidence", "score"}]
    rest = [name for name in fields if getattr(a, name) != getattr(b, name)]
    if rest:
        out.append(f"differs in {', '.join(rest)}")
    return tuple(out)


def _missing(event: AlarmEvent, played: Mapping[Reading, float | None] | None) -> tuple[str, ...]:
    """Which of an event's readings the new run was not given, or with another value."""
    if played is None:
        return ()
    out: list[str] = []
    for e in event.evidence:
        key = (e.device, e.sign, e.time_ns)
        if key not in played:
            out.append(f"{_reading(e)} is not among the readings")
        elif e.value is not None and played[key] != e.value:
            out.append(f"{_reading(e)} is {played[key]} here")
    return tuple(out)


def _reading(e: Evidence) -> str:
    return f"{e.sign} {e.value:g} of {e.time_ns}" if e.value is not None else f"{e.sign} of {e.time_ns}"


def _rests(event: AlarmEvent) -> str:
    if event.evidence:
        return ", ".join(map(_reading, event.evidence))
    return event.cause


def _limits(evidence: Iterable[Evidence]) -> str:
    return ", ".join(f"{e.sign} {e.limit:g}" for e in evidence if e.limit is not None) or "none"


def _score(event: AlarmEvent) -> str:
    score = event.score
    return "none" if score is None else f"{score.name} {score.low:g}..{score.high:g} (version {score.version})"


def decode_events(lines: Iterable[bytes]) -> list[AlarmEvent]:
    """Events of JSON Lines; empty lines are passed over.

    Raises:
        ValueError: If a line is no alarm event, with its number.
    """
    decoder = msgspec.json.Decoder(AlarmEvent)
    out: list[AlarmEvent] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                out.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeError) as error:
                raise ValueError(f"line {number} is no alarm event: {error}") from error
    return out
