"""What whoever serves a page and the pager say to each other about links: asked, and told what came of it.

The pager alone holds the key of the links and knows which are used, so it alone decides. Whoever serves the answer
page writes an `Ask` and waits a moment for the `Told` of the same id. An ask outlives the pager: one that was written
while it was away is judged when it is back, by the time at which it was asked. Commands about the pager's own alarms
(`topics.OWN` in the patient's place) go the same way, for no ward knows those.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from vitals.log import Command

Refused: TypeAlias = Literal["", "forged", "old", "foreign", "used"]


class Ask(msgspec.Struct, frozen=True, tag_field="type", tag="ask", kw_only=True):
    """A link was opened or used.

    Attributes:
        ask_id: Of this request; the same again is answered the same.
        token: Of the link.
        use: False: it was only opened, which changes nothing but the receipt.
        at_ns: When, by the clock of whoever serves the page; whether the link was in time is judged by it.
        person: Who is signed in there; None: nobody.
        for_ns: For a snooze: how long; None takes the site's.
        reason: For a snooze: why.
    """

    ask_id: str
    token: str
    use: bool
    at_ns: int
    person: str | None = None
    for_ns: int | None = None
    reason: str = ""


class Told(msgspec.Struct, frozen=True, tag_field="type", tag="told", kw_only=True):
    """What came of an ask.

    Attributes:
        ask_id: Of the ask.
        refused: Why the link does nothing; "" where it does.
        person: Whose page it is; "" where refused.
        action: What the link does: ``acknowledge``, ``on-my-way``, ``hand-on``, ``snooze``, ``confirm``.
        kind: Of the message: a page, a test page, a hand-over.
        title: Of the message, or why it was refused.
        lines: What the message said.
        at_ns: When it was sent.
        alarms: The alarms that it is about.
        used: True where the link has done now what it says.
    """

    ask_id: str
    refused: Refused = ""
    person: str = ""
    action: str = ""
    kind: str = ""
    title: str = ""
    lines: tuple[str, ...] = ()
    at_ns: int = 0
    alarms: tuple[str, ...] = ()
    used: bool = False


class Shown(msgspec.Struct, frozen=True, tag_field="type", tag="shown", kw_only=True):
    """A message by the channel ``console:``, for one person who is signed in there.

    Attributes:
        message_id: The same on every try.
        person: To whom; to nobody else.
        kind: As of `Told`.
        priority: ``high``, ``medium`` or ``low``.
        title: Of the message.
        body: Of the message, without how to answer.
        at_ns: When it was sent.
        tokens: action -> token of a link: what the person may answer right there.
        alarms: The alarms that it is about: once nobody is wanted for them any more, it asks nothing.
    """

    message_id: str
    person: str
    kind: str
    priority: str
    title: str
    body: str
    at_ns: int
    tokens: dict[str, str] = {}
    alarms: tuple[str, ...] = ()


class Confirm(msgspec.Struct, frozen=True, tag_field="type", tag="confirm", kw_only=True):
    """A person who is signed in confirms a test page, or takes over a shift, without its link.

    Attributes:
        ask_id: Of this request; a `Told` answers it. ``foreign`` unless the message is theirs.
        message_id: Of the message.
        person: Who is signed in: whoever serves the page vouches for it, as for `Command.by`.
        at_ns: When, by the clock of whoever serves the page.
    """

    ask_id: str
    message_id: str
    person: str
    at_ns: int


class TestMe(msgspec.Struct, frozen=True, tag_field="type", tag="test-me", kw_only=True):
    """A person who is signed in asks for a test page to themselves, now. A `Told` answers it.

    Attributes:
        ask_id: Of this request.
        person: Who is signed in.
        at_ns: When.
    """

    ask_id: str
    person: str
    at_ns: int


Answer: TypeAlias = Ask | Told | Shown | Confirm | TestMe | Command

encoder: Final = msgspec.json.Encoder()
decoder: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)
