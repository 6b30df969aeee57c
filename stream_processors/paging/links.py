"""Answers in one tap: signed links that work once, for one person, one page and a limited time.

A link carries no data: it names a message, and the signature is over what that message was about (person, alarms with
the numbers they saw, action, end). So it is short enough for a text message, and what it means can't be altered.
Opening it must change nothing (mail scanners and previews open links); only what the page then sends back does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from stream_processors.paging.state import Send
from vitals.signs import SECOND_NS

LinkAction: TypeAlias = Literal["acknowledge", "on-my-way", "hand-on", "snooze", "confirm"]

ACTIONS: Final[dict[str, LinkAction]] = {
    "a": "acknowledge",
    "o": "on-my-way",
    "h": "hand-on",
    "s": "snooze",
    "c": "confirm",
}
"""In a token, by letter. ``confirm`` answers a test page or takes over a shift."""

PAGE_ACTIONS: Final[tuple[LinkAction, ...]] = ("acknowledge", "on-my-way", "hand-on", "snooze")

_LETTERS: Final = {action: letter for letter, action in ACTIONS.items()}
_TOKEN: Final = re.compile(r"([0-9a-f]{24})\.([a-z])\.([0-9a-f]{1,12})\.([A-Za-z0-9_-]{22})")
_SHORTEST_KEY: Final = 32

Why: TypeAlias = Literal["forged", "old", "foreign", "used"]


@dataclass(frozen=True, slots=True)
class Token:
    """A link's token, taken apart and not yet believed."""

    text: str
    message_id: str
    action: LinkAction
    until_s: int

    @property
    def link_id(self) -> str:
        """What is used once."""
        return f"{self.message_id}.{_LETTERS[self.action]}"


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """A link that does nothing, and why: ``forged``, ``old``, ``foreign`` (another's, or of another site), ``used``."""

    why: Why
    text: str


class Links:
    """Signs and reads links.

    Args:
        keys: The first signs, all are believed: so a key can be changed without breaking what is under way.
        site: Of whom the links are: those of another site are not believed though the key be the same.
    """

    def __init__(self, keys: tuple[bytes, ...], site: str) -> None:
        if not keys or any(len(key) < _SHORTEST_KEY for key in keys):
            raise ValueError(f"a key for links has at least {_SHORTEST_KEY} bytes; there are {[len(k) for k in keys]}")
        self._keys = keys
        self._site = site

    def sign(self, send: Send, action: LinkAction, until_ns: int) -> str:
        """The token of a link."""
        until_s = until_ns // SECOND_NS
        return f"{send.message_id}.{_LETTERS[action]}.{until_s:x}.{self._mac(self._keys[0], send, action, until_s)}"

    def check(
        self, text: str, send: Send | None, now_ns: int, *, used: bool, person: str | None = None
    ) -> Token | LinkRefused:
        """Whether a link may do what it says.

        Args:
            text: The token.
            send: The message it names (`read` says which); None where there is none.
            now_ns: Ward time.
            used: Whether it has been used.
            person: Who is signed in where it is opened; None: nobody.
        """
        token = read(text)
        if token is None:
            return LinkRefused("forged", "This is no link of ours.")
        if send is None:
            return LinkRefused("foreign", "This link belongs to no page that was sent from here.")
        signature = text.rpartition(".")[2]
        expected = (self._mac(key, send, token.action, token.until_s) for key in self._keys)
        if not any(hmac.compare_digest(signature, mac) for mac in expected):
            return LinkRefused("forged", "This is no link of ours.")
        if person is not None and person != send.person:
            return LinkRefused("foreign", "This link was sent to somebody else; answer on the console.")
        if now_ns >= token.until_s * SECOND_NS:
            return LinkRefused("old", "This link has run out; answer on the console.")
        if used:
            return LinkRefused("used", "This link was used before; look on the console.")
        return token

    def _mac(self, key: bytes, send: Send, action: LinkAction, until_s: int) -> str:
        seen = [f"{alarm.alarm_id}={alarm.n}" for alarm in send.alarms]
        said = "\n".join((self._site, send.message_id, send.person, action, str(until_s), *seen))
        return base64.urlsafe_b64encode(hmac.digest(key, said.encode(), hashlib.sha256)[:16]).decode().rstrip("=")


def read(text: str) -> Token | None:
    """A token taken apart; None where it is none."""
    found = _TOKEN.fullmatch(text)
    if found is None or found[2] not in ACTIONS:
        return None
    return Token(text, found[1], ACTIONS[found[2]], int(found[3], 16))
