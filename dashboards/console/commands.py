"""What a person says about an alarm: from the page's words to a command of the log, or why not.

The ward decides; here is refused only what could never be meant, so that the person learns it at once. Times come as
durations: the page's clock decides nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from dashboards.console.accounts import Role
from dashboards.console.state import ConsoleState
from dashboards.console.words import rule_of
from vitals import topics
from vitals.events import Kind
from vitals.log import Action, Command
from vitals.signs import SECOND_NS

_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_LONGEST_S: Final = 7 * 24 * 3600.0

Text = Annotated[str, msgspec.Meta(max_length=500)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_S)]


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A command as the page sends it.

    Attributes:
        command_id: Chosen by the page; sent again with the same id it is the same command.
        alarm_id: Which alarm.
        patient: Whose.
        action: What is said.
        seen: Number of the newest event of the alarm that stood on the page.
        reason: Why: a shelf and an expectation need one.
        for_s: How long a shelf lasts, in ward time.
        within_s: How long what is expected may take, in ward time.
        bound: Value that breaks the shelf, or that is expected.
        direction: Which side of `bound` is meant.
        outcome: Of a resolved alarm.
        note: Free text.
    """

    command_id: str
    alarm_id: Text
    patient: Text
    action: Action
    seen: int
    reason: Text = ""
    for_s: Seconds | None = None
    within_s: Seconds | None = None
    bound: float | None = None
    direction: Literal["above", "below"] | None = None
    outcome: Literal["confirmed", "dismissed", "duplicate"] | None = None
    note: Text = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was not sent, for the person."""

    status: int
    text: str


def read(body: bytes, state: ConsoleState, by: str, role: Role, now_ns: int) -> Command | Refusal:
    """The command that a page's words mean.

    Args:
        body: JSON as `Wish` describes it.
        state: To know the alarm.
        by: Who is signed in. Never taken from the page.
        role: Theirs: an engineer speaks about equipment, and never about a patient.
        now_ns: Ward time.
    """
    try:
        wish = msgspec.json.decode(body, type=Wish)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Refusal(422, f"Not a command: {error}")
    if not _ID.fullmatch(wish.command_id):
        return Refusal(422, "Not a command: command_id must be 8 to 64 letters, digits or dashes")
    view = state.own if wish.patient == topics.OWN else state.patients.get(wish.patient)
    alarm = view.alarms.get(wish.alarm_id) if view else None
    if alarm is None:
        return Refusal(409, "This alarm is not known here (any more). Look at the page again.")
    if role is Role.ENGINEER and alarm.newest.kind is not Kind.TECHNICAL:
        return Refusal(403, "An engineer speaks about alarms of the equipment only. Ask a clinician.")
    if alarm.closed:
        return Refusal(409, "This alarm has been closed meanwhile.")
    wrong = _wrong(wish, alarm.newest.rule)
    if wrong:
        return Refusal(422, wrong)
    return Command(
        command_id=wish.command_id,
        patient=wish.patient,
        alarm_id=wish.alarm_id,
        action=wish.action,
        by=by,
        at_ns=now_ns,
        seen=wish.seen,
        reason=wish.reason.strip(),
        until_ns=None if wish.for_s is None else now_ns + round(wish.for_s * SECOND_NS),
        bound=wish.bound,
        direction=wish.direction,
        within_ns=None if wish.within_s is None else round(wish.within_s * SECOND_NS),
        outcome=wish.outcome,
        note=wish.note.strip(),
    )


def _wrong(wish: Wish, rule_id: str) -> str:
    """What is missing or too much; "" where nothing is."""
    if wish.bound is not None and not math.isfinite(wish.bound):
        return "The value must be a number."
    if (wish.bound is None) != (wish.direction is None):
        return "A value needs a side: above or below."
    rule = rule_of(rule_id)
    if wish.bound is not None and rule is not None and rule.measure is None:
        return "This alarm is about no single measure: leave the value out. Its return to normal is what counts."
    if wish.action == "shelve":
        return _wrong_shelf(wish, rule_id)
    if wish.action == "expect":
        if not wish.reason.strip():
            return "Say what was done."
        return "" if wish.within_s else "Say how long it may take."
    if wish.action == "resolve" and wish.outcome is None:
        return "Say what it was: confirmed, dismissed or a duplicate."
    return ""


def _wrong_shelf(wish: Wish, rule_id: str) -> str:
    if not wish.reason.strip():
        return "A shelf needs a reason."
    if wish.for_s is None:
        return "A shelf needs an end."
    rule = rule_of(rule_id)
    if rule is not None and wish.for_s * SECOND_NS > rule.shelf_max_ns:
        return f"This alarm may be shelved for {rule.shelf_max_ns / (60 * SECOND_NS):.0f} minutes at most."
    return ""
