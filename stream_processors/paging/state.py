"""What the pager knows, what is said to it, and what it decides. Values only: `core` turns one into the next.

A *page* is what people are told about one patient (or about the equipment as a whole): it grows with each alarm and
ends when none of them calls any more. A *member* is one alarm of it that calls. A *round* is one way through a
policy's steps: it begins when an alarm calls, and anew when it is worse or an acknowledgement has ended.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, TypeAlias

import msgspec

from vitals.alarm_fold import OpenAlarm
from vitals.alarm_state import Alarm
from vitals.events import AlarmEvent, Priority
from vitals.log import Command

STATE_VERSION: Final = 1


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that calls.

    Attributes:
        alarm_id: Which.
        since: What began this round: the number of its event, and the group it left.
        policy: By name, to notice that another one holds now.
        priority: At which it calls.
        start_ns: When the round began, quiet hours passed.
        step: Index of the next step of the policy; from its length on: repeats of the last.
        due_ns: When the next step falls due.
        told: Who has heard of it in this round.
        declined: Who handed it on, or could not be reached.
        later: person -> when they may hear of it: they heard of the page a moment ago.
        held_by: Who answered here; the ward has not confirmed it yet.
        held_until_ns: Until when that holds off the next step.
    """

    alarm_id: str
    since: str
    policy: str
    priority: Priority
    start_ns: int
    step: int = 0
    due_ns: int = 0
    told: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    later: dict[str, int] = {}
    held_by: str = ""
    held_until_ns: int = 0

    def next_ns(self) -> int:
        """When somebody has to look at it again."""
        return max(min(self.due_ns, *self.later.values()) if self.later else self.due_ns, self.held_until_ns)


class Heard(msgspec.Struct, frozen=True):
    """When a person last heard of a page, and the highest priority they heard of."""

    at_ns: int
    priority: Priority


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What people are told about one subject.

    Attributes:
        key: The patient, or ``teleward`` for the equipment as a whole.
        opened_ns: When its first alarm called.
        members: Alarms that call, by id.
        heard: By person.
    """

    key: str
    opened_ns: int
    members: dict[str, Member] = {}
    heard: dict[str, Heard] = {}

    @property
    def page_id(self) -> str:
        """Its name: ``p-7:1767225660000000000``."""
        return f"{self.key}:{self.opened_ns}"


class HeldBack(msgspec.Struct, frozen=True, kw_only=True):
    """A page that a person gets with the next digest."""

    message_id: str
    page_key: str
    alarm_ids: tuple[str, ...]
    at_ns: int


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A person's pages beyond the limit.

    Attributes:
        due_ns: When the next digest goes out.
        items: What stands in it.
    """

    due_ns: int
    items: tuple[HeldBack, ...] = ()


class PagerState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the core remembers.

    Attributes:
        alarms: Open alarms by id, the pager's own among them.
        seen: Newest (raised, n) by name without instant: repeated events change nothing.
        pages: By key.
        own: The machines of the pager's own alarms, by `own.key`.
        answered: alarm -> who answered it last.
        sent: person -> when they were paged within the last hour.
        digests: By person.
    """

    alarms: dict[str, OpenAlarm] = {}
    seen: dict[str, tuple[int, int]] = {}
    pages: dict[str, Page] = {}
    own: dict[str, Alarm] = {}
    answered: dict[str, str] = {}
    sent: dict[str, tuple[int, ...]] = {}
    digests: dict[str, Digest] = {}


class Happened(msgspec.Struct, frozen=True, tag=True):
    """An alarm event came.

    Attributes:
        event: The event.
        more: True where more events are known to wait: nobody is told before the last of them.
    """

    event: AlarmEvent
    more: bool = False


AnswerAction: TypeAlias = Literal["acknowledge", "on-my-way", "hand-on", "snooze"]


class Answered(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A person answered a page.

    Attributes:
        person: Who.
        action: What they said.
        alarms: alarm id -> number of the newest event they saw.
        command_id: Of the answer; the same answer again changes nothing.
        until_ns: End of a snooze.
        reason: Why, for a snooze.
    """

    person: str
    action: AnswerAction
    alarms: dict[str, int]
    command_id: str
    until_ns: int | None = None
    reason: str = ""


class Undelivered(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """No channel of a person took a page: the next one is told at once."""

    person: str
    alarm_ids: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A watcher found something about the equipment, or found it over (`cause` is None)."""

    rule: str
    about: str = ""
    cause: str | None = None
    level: int = 1


class Said(msgspec.Struct, frozen=True, tag=True):
    """A person said something about one of the pager's own alarms, on the console."""

    command: Command


class Tick(msgspec.Struct, frozen=True, tag=True):
    """Time has come to `now_ns`."""


Input: TypeAlias = Happened | Answered | Undelivered | Found | Said | Tick

SendKind: TypeAlias = Literal["page", "digest", "limit", "refused", "test", "quiet", "hand-over"]


class Send(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Tell somebody something. Carries all that the text needs: what is told is what stood there when it was decided.

    Attributes:
        message_id: Stable: of person, alarm, round and step. The same id is never sent twice.
        person: To whom.
        kind: What it is.
        page_id: Of which page.
        priority: Highest of its alarms.
        alarms: What it tells of, worst first.
        alarm_ids: Of these, those that call the person.
        at_ns: When it was decided.
        because: Why this person, now: ``step 2 of high: line second``.
        note: For messages that are no page: their words.
        round: What of its alarms it belongs to, as ``alarm_id#since``: it is not sent any more when none stands.
    """

    message_id: str
    person: str
    kind: SendKind
    page_id: str = ""
    priority: Priority = Priority.LOW
    alarms: tuple[OpenAlarm, ...] = ()
    alarm_ids: tuple[str, ...] = ()
    at_ns: int = 0
    because: str = ""
    note: str = ""
    round: tuple[str, ...] = ()


class HoldBack(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A person is beyond their limit: this page comes with the next digest."""

    item: HeldBack
    person: str
    due_ns: int


class Order(msgspec.Struct, frozen=True, tag=True):
    """A command for the ward."""

    command: Command


class Publish(msgspec.Struct, frozen=True, tag=True):
    """An event of one of the pager's own alarms."""

    event: AlarmEvent


class Note(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Something for the journal: nothing is decided silently.

    Attributes:
        what: A word: ``stand-in``, ``stale-answer``, ``handed-on``.
        text: What it was.
        person: About whom.
        alarm_id: About what.
    """

    what: str
    text: str
    person: str = ""
    alarm_id: str = ""


Decision: TypeAlias = Send | HoldBack | Order | Publish | Note


def message_id(*parts: str) -> str:
    """A short stable name of something that is said once."""
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
