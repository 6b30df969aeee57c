"""The duty board: who has the pager, who will, whom nothing reaches, and what became of the newest messages.

Whoever runs the rota (the pager) says it as a whole, again whenever it changes and at least every half minute, so that
whoever shows it needs nothing else and can tell when it is old. It names people by the ids they sign in with. It holds
neither addresses of channels nor tokens of links: what stands here may be shown to everybody who is signed in.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from vitals.events import Priority

KEY: Final = b"board"
"""Of the one record in `topics.DUTY`."""

MessageKind: TypeAlias = Literal["page", "digest", "limit", "refused", "test", "quiet", "hand-over"]
ReceiptName: TypeAlias = Literal[
    "queued",
    "held-back",
    "sent",
    "delivered",
    "opened",
    "answered",
    "acted",
    "failed",
    "withdrawn",
    "in-doubt",
]


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a line of a team from an instant to an instant, swaps and absences applied."""

    team: str
    line: str
    person: str
    from_ns: int
    to_ns: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which nobody is in a line."""

    team: str
    line: str
    from_ns: int
    to_ns: int


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who is paged now for a line.

    Attributes:
        team: Of the rota.
        line: Of the team.
        people: Who is paged, in order; the last one's name while nobody has taken over.
        until_ns: When somebody else's shift begins; None: not within the days the board tells of.
        why: Where it is not simply whose shift it is: who stands in, or who has not taken over; "" else.
    """

    team: str
    line: str
    people: tuple[str, ...]
    until_ns: int | None = None
    why: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be paged.

    Attributes:
        person: As they sign in.
        teams: Of which they are a member.
        leads: Teams that they lead.
        channels: How many ways to them there are.
        broken: Of these, how many failed when they were last tried.
        proven_ns: When they last confirmed a test page; None: never, as far as is remembered.
    """

    person: str
    teams: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    channels: int = 0
    broken: int = 0
    proven_ns: int | None = None


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """A test page: its message, whom it asks, the shift it is for, when it was confirmed (None: not yet)."""

    message_id: str
    person: str
    from_ns: int
    sent_ns: int
    answered_ns: int | None = None


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """A change of person in a line; until it is accepted the one before keeps the pager."""

    message_id: str
    team: str
    line: str
    out: str
    into: str
    from_ns: int
    accepted_ns: int | None = None
    digest: str = ""


class Receipt(msgspec.Struct, frozen=True):
    """What became of a message, and when."""

    what: ReceiptName
    at_ns: int
    detail: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a person, and its receipts in order.

    Attributes:
        message_id: Its name.
        person: To whom.
        kind: What it is.
        priority: Highest of its alarms.
        at_ns: When it was decided.
        title: Its first line.
        because: Why this person, then.
        alarms: Ids of the alarms it tells of.
        receipts: In order.
    """

    message_id: str
    person: str
    kind: MessageKind
    priority: Priority
    at_ns: int
    title: str
    because: str = ""
    alarms: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it.

    Attributes:
        at_ns: When it was said, ward time.
        zone: Of the rota (IANA name): a shift's hours are said in it.
        people: Everybody.
        holders: Who has the pager now, for each line of each team.
        duties: From the Monday before now until the end of the look-ahead, in order of time.
        gaps: Ahead.
        unreachable: Duties ahead of people who have no channel that works.
        tests: Under way, and those remembered.
        hand_overs: Under way.
        messages: The newest ones, newest first.
    """

    at_ns: int
    zone: str
    people: tuple[Member, ...] = ()
    holders: tuple[Holder, ...] = ()
    duties: tuple[Duty, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unreachable: tuple[Duty, ...] = ()
    tests: tuple[Test, ...] = ()
    hand_overs: tuple[HandOver, ...] = ()
    messages: tuple[Message, ...] = ()


class DutyError(ValueError):
    """Bytes that are no duty board."""


encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final[msgspec.json.Decoder[Board]] = msgspec.json.Decoder(Board)


def decode(data: bytes) -> Board:
    """A board from its bytes.

    Raises:
        DutyError: If they are none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DutyError(f"not a duty board: {error}") from error
