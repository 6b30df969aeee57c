"""One alarm as the page knows it: a fold of its events, and no more.

Every event carries the alarm's whole state after it (`vitals.alarm_state.Alarm.facts`). So the newest event alone says
how an alarm stands, the newest that says why someone should look says why it does, and all of them are its story.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vitals.alarm_fold import WHY, split_id
from vitals.events import PRIORITY_RANK, AlarmEvent, Kind


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said about an alarm.

    Attributes:
        by: Who.
        at_ns: When.
        until_ns: When it ends; None where the event does not tell.
        reason: Why.
        bound: The value that breaks a shelf or meets an expectation.
        direction: Which side of it: ``above`` or ``below``.
    """

    by: str
    at_ns: int
    until_ns: int | None = None
    reason: str = ""
    bound: float | None = None
    direction: str = ""


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm after its newest event.

    Attributes:
        newest: Its newest event that changed it (a refused command changes nothing).
        events: All events we have, oldest first.
        raised_ns: When it was raised, from its name.
        why: The newest event that says why someone should look: raised, recurred, worsened.
        condition: ``active`` or ``returned``.
        unobserved_since_ns: The last good reading of its inputs; None while they are heard.
        acknowledged: None: nobody has.
        shelf: None: not shelved.
        expecting: None: nothing is expected.
        closed: Over.
    """

    newest: AlarmEvent
    events: tuple[AlarmEvent, ...]
    raised_ns: int
    why: AlarmEvent
    condition: str = "active"
    unobserved_since_ns: int | None = None
    acknowledged: Said | None = None
    shelf: Said | None = None
    expecting: Said | None = None
    closed: bool = False

    @property
    def seen(self) -> int:
        """Number of the newest event: what a command says that its person saw."""
        return self.newest.n

    @property
    def attended(self) -> bool:
        """Whether somebody has it: acknowledged, shelved, or waiting for what they expect."""
        return bool(self.acknowledged or self.shelf or self.expecting)

    @property
    def urgency(self) -> int:
        """For sorting; higher is worse. Priority first, then the patient before the equipment."""
        return 2 * PRIORITY_RANK[self.newest.priority] + (self.newest.kind is Kind.PHYSIOLOGICAL)


def about(event: AlarmEvent) -> str:
    """The alarm that an event is about; a refused command has a name of its own and says which alarm it meant."""
    if event.event == "command_refused":
        return _text(event, "alarm_id") or event.alarm_id
    return event.alarm_id


def fold(view: AlarmView | None, event: AlarmEvent) -> AlarmView | None:
    """The alarm after one more event.

    Args:
        view: The alarm so far; None where this is the first event of it that we see.
        event: The next event about it, in the order of its partition. Repeats have been dropped.

    Returns:
        The alarm; None where a command was refused about an alarm that is not there.
    """
    if event.event == "command_refused":
        return replace(view, events=(*view.events, event)) if view else None
    observed = event.state.get("observation") != "unobserved"
    return AlarmView(
        newest=event,
        events=(*(view.events if view else ()), event),
        raised_ns=view.raised_ns if view else split_id(event.alarm_id)[1],
        why=event if view is None or event.event in WHY else view.why,
        condition=_text(event, "condition") or "active",
        unobserved_since_ns=None if observed else _number(event, "unobserved_since_ns", event.at_ns),
        acknowledged=_said(event, "acknowledged"),
        shelf=_said(event, "shelved"),
        expecting=_said(event, "expecting"),
        closed=event.state.get("closed") is True or event.event == "closed",
    )


def worst_first(alarms: Iterable[AlarmView]) -> list[AlarmView]:
    """Unattended before attended, by urgency, standing before returned, and then the longest standing."""
    return sorted(alarms, key=lambda a: (a.attended, -a.urgency, a.condition == "returned", a.raised_ns, a.seen))


def _said(event: AlarmEvent, word: str) -> Said | None:
    """What the state says that somebody said; None where nobody did."""
    by = _text(event, f"{word}_by")
    if not by:
        return None
    bound = event.state.get(f"{word}_bound")
    return Said(
        by=by,
        at_ns=_number(event, f"{word}_at_ns", event.at_ns) or event.at_ns,
        until_ns=_number(event, f"{word}_until_ns", None),
        reason=_text(event, f"{word}_reason"),
        bound=float(bound) if isinstance(bound, int | float) else None,
        direction=_text(event, f"{word}_direction"),
    )


def _number(event: AlarmEvent, key: str, otherwise: int | None) -> int | None:
    found = event.state.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else otherwise


def _text(event: AlarmEvent, key: str) -> str:
    found = event.state.get(key)
    return found if isinstance(found, str) else ""
