"""One alarm as the page knows it: a fold of its events, and no more.

`vitals.events.AlarmEvent.state` holds the four facts after each event; who did what and until when is in the events
themselves. So any newest stretch of an alarm's events gives the same facts, and the whole of them its story.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        raised_ns: Of its first event.
        why: The newest event that says why it stands: raised, recurred, worsened, missed.
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
        return self.events[-1].n

    @property
    def attended(self) -> bool:
        """Whether somebody has it: acknowledged, shelved, or waiting for what they expect."""
        return bool(self.acknowledged or self.shelf or self.expecting)

    @property
    def urgency(self) -> int:
        """For sorting; higher is worse. Priority first, then the patient before the equipment."""
        return 2 * PRIORITY_RANK[self.newest.priority] + (self.newest.kind is Kind.PHYSIOLOGICAL)


def fold(view: AlarmView | None, event: AlarmEvent) -> AlarmView | None:
    """The alarm after one more event.

    Args:
        view: The alarm so far; None where this is the first event of it that we see.
        event: The next event, in the order of its partition. Repeats have been dropped.

    Returns:
        The alarm; None where a command was refused about an alarm that does not exist.
    """
    if event.event == "command_refused":
        return replace(view, events=(*view.events, event)) if view else None
    if view is None:
        raised = _number(event, "raised_ns")
        view = AlarmView(event, (), event.at_ns if raised is None else int(raised), event)
    view = _happened(view, event)
    return _stated(replace(view, newest=event, events=(*view.events, event)), event)


def _happened(view: AlarmView, event: AlarmEvent) -> AlarmView:
    """What the event's name alone says. Names of other versions that we know are read too."""
    name: str = event.event
    match name:
        case "raised":  # a second time: what was expected did not come
            return replace(view, condition="active", why=event, expecting=None)
        case "recurred":
            return replace(view, condition="active", why=event)
        case "missed_event":
            return replace(view, condition="returned", why=event)
        case "worsened":
            return replace(view, condition="active", why=event, acknowledged=None, shelf=None, expecting=None)
        case "returned":
            return replace(view, condition="returned")
        case "unobserved":
            return replace(view, unobserved_since_ns=_unobserved_since(event))
        case "observed":
            return replace(view, unobserved_since_ns=None)
        case "acknowledged":
            return replace(view, acknowledged=_said(event, "acknowledged"))
        case "acknowledgement_expired":
            return replace(view, acknowledged=None)
        case "shelved":
            return replace(view, shelf=_said(event, "shelf"))
        case "unshelved":
            return replace(view, shelf=None)
        case "expecting":
            return replace(view, expecting=_said(event, "expect"))
        case "expectation_met" | "expectation_missed":
            return replace(view, expecting=None)
        case "closed":
            return replace(view, closed=True)
        case _:
            return view


def _stated(view: AlarmView, event: AlarmEvent) -> AlarmView:
    """What the event's own `state` says, which wins over our reading of its name."""
    state = event.state
    condition = state.get("condition")
    if isinstance(condition, str):
        view = replace(view, condition=condition)
    if isinstance(state.get("closed"), bool):
        view = replace(view, closed=bool(state["closed"]))
    if state.get("attention") == "unacknowledged":
        view = replace(view, acknowledged=None)
    elif state.get("attention") == "acknowledged" and view.acknowledged is None:
        view = replace(view, acknowledged=_said(event, "acknowledged"))
    if state.get("shelf") == "none":
        view = replace(view, shelf=None)
    elif state.get("shelf") == "shelved" and view.shelf is None:
        view = replace(view, shelf=_said(event, "shelf"))
    if state.get("observation") == "observed":
        view = replace(view, unobserved_since_ns=None)
    elif state.get("observation") == "unobserved" and view.unobserved_since_ns is None:
        view = replace(view, unobserved_since_ns=_unobserved_since(event))
    return view


def _said(event: AlarmEvent, about: str) -> Said:
    until, bound = _number(event, f"{about}_until_ns"), _number(event, f"{about}_bound")
    at = _number(event, f"{about}_at_ns")
    return Said(
        by=_text(event, f"{about}_by") or event.by,
        at_ns=event.at_ns if at is None else int(at),
        until_ns=event.due_ns if until is None else int(until),
        reason=_text(event, f"{about}_reason") or (event.cause if about != "acknowledged" else ""),
        bound=bound,
        direction=_text(event, f"{about}_direction"),
    )


def _unobserved_since(event: AlarmEvent) -> int:
    stated = _number(event, "unobserved_since_ns")
    if stated is not None:
        return int(stated)
    return max((piece.time_ns for piece in event.evidence), default=event.at_ns)


def _number(event: AlarmEvent, key: str) -> float | int | None:
    found = event.state.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _text(event: AlarmEvent, key: str) -> str:
    found = event.state.get(key)
    return found if isinstance(found, str) else ""
