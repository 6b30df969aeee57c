"""Signing in: sessions as signed cookies, a throttle for guesses, and proof that a request came from our own page.

Sessions are stateless but for those that were ended early, and for passes (`dashboards.console.session_book`). A
cookie is ``payload.signature``; the payload names the person, when the session ends and a random id. It is HttpOnly
and SameSite=Strict; every request that changes something must besides carry a header that no foreign page can set,
and an Origin that is ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from dashboards.console.accounts import Account, AccountBook, Role
from dashboards.console.session_book import Pass, SessionBook

CSRF_HEADER: Final = "x-teleward"
CSRF_VALUE: Final = "console"
PASS: Final = "by a pass"  # noqa: S105  # a name, and no secret
"""Stands in the place of a name where somebody came by a link to one patient's own page. No account can have it."""


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    ends_s: float
    session: str
    fits: str  # a digest of the account's hash: a new password ends the sessions that the old one opened
    patient: str = ""  # of a pass: whom it shows; a pass has no account


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        name: Who.
        role: What they may do, as the accounts say now (not as they said at sign-in).
        id: Names the session, never a secret that opens it.
        ends_s: When it ends, seconds of the wall.
        patient: Whom a carer may see; "" for everybody else.
    """

    name: str
    role: Role
    id: str
    ends_s: float
    patient: str = ""


class Sessions:
    """Makes and reads session cookies.

    Args:
        secret: Signs them.
        length_s: How long they last.
        accounts: Asked at every request, so that a removed account is out at once.
        now_s: The wall clock, in seconds.
        book: What was ended early, and passes; None keeps them in memory.

    Attributes:
        book: The same.
    """

    def __init__(
        self,
        secret: bytes,
        length_s: float,
        accounts: AccountBook,
        now_s: Callable[[], float],
        book: SessionBook | None = None,
    ) -> None:
        self._secret = secret
        self._length_s = length_s
        self._accounts = accounts
        self._now_s = now_s
        self.book = SessionBook(None, now_s) if book is None else book

    def open(self, account: Account) -> str:
        """A cookie for somebody whose password was right."""
        return self._made("session", _Payload(account.name, self._now_s() + self._length_s, _fresh(), _digest(account)))

    def invite(self, patient: str, by: str, length_s: float) -> str:
        """What a link to one patient's own page carries: good once, for so many seconds.

        Raises:
            SessionBookError: If it could not be written down.
        """
        now = self._now_s()
        made = Pass(id=_fresh(), patient=patient, by=by, made_s=now, ends_s=now + length_s)
        self.book.put(made)
        return self._made("invitation", _Payload(PASS, made.ends_s, made.id, "", patient))

    def accept(self, invitation: str, length_s: float) -> tuple[Pass, str] | None:
        """Use an invitation.

        Args:
            invitation: What the link carries.
            length_s: How long whoever uses it stays signed in.

        Returns:
            The pass, and a cookie; None if the invitation is forged, over, taken back or was used before.

        Raises:
            SessionBookError: If its use could not be written down: then nobody is let in.
        """
        payload = self._taken("invitation", invitation)
        held = self.book.get(payload.session) if payload else None
        if held is None or held.used_s is not None or held.taken_back_by:
            return None
        now = self._now_s()
        used = msgspec.structs.replace(held, used_s=now, ends_s=now + length_s)
        self.book.put(used)
        return used, self._made("session", _Payload(PASS, used.ends_s, used.id, "", used.patient))

    def take_back(self, name: str, by: str) -> Pass | None:
        """A pass opens nothing any more, and whoever came in by it is out; None where there is no such pass.

        Raises:
            SessionBookError: If that could not be written down.
        """
        held = self.book.get(name)
        if held is not None and not held.taken_back_by:
            held = msgspec.structs.replace(held, taken_back_by=by)
            self.book.put(held)
        return held

    def read(self, cookie: str | None) -> Session | None:
        """Who a cookie speaks for; None if forged, ended, signed out, or of nobody we know any more."""
        payload = self._taken("session", cookie)
        if payload is None or self.book.ended(payload.session):
            return None
        if payload.patient:
            held = self.book.get(payload.session)
            if held is None or held.taken_back_by:
                return None
            return Session(PASS, Role.CARER, payload.session, payload.ends_s, payload.patient)
        account = self._accounts.get(payload.name)
        if account is None or not hmac.compare_digest(payload.fits, _digest(account)):
            return None
        return Session(account.name, account.role, payload.session, payload.ends_s, account.patient)

    def close(self, session: Session) -> None:
        """Sign out: the cookie opens nothing any more, wherever it was copied to.

        Raises:
            SessionBookError: If that could not be written down; in this process it holds nevertheless.
        """
        self.book.end(session.id, session.ends_s)

    def _made(self, what: str, payload: _Payload) -> str:
        body = base64.urlsafe_b64encode(msgspec.json.encode(payload)).rstrip(b"=")
        return f"{body.decode()}.{self._sign(what, body)}"

    def _taken(self, what: str, text: str | None) -> _Payload | None:
        """What a signed text says; None if it is not ours, not of this kind, or over."""
        if not text or "." not in text or not text.isascii():
            return None
        body, _, signature = text.partition(".")
        if not hmac.compare_digest(self._sign(what, body.encode()), signature):
            return None
        try:
            padded = body + "=" * (-len(body) % 4)
            payload = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Payload)
        except (ValueError, msgspec.DecodeError):
            return None
        return payload if payload.ends_s > self._now_s() else None

    def _sign(self, what: str, body: bytes) -> str:
        return hmac.new(self._secret, what.encode() + b":" + body, hashlib.sha256).hexdigest()


@dataclass(slots=True)
class _Tries:
    failures: int = 0
    until_s: float = 0.0
    newest_s: float = 0.0


class Bucket:
    """So many tries of an address in a while, and no more: for what anybody may ask without signing in.

    Args:
        now_s: A clock that only rises, in seconds.
        tries: That may come at once.
        refill_s: Until one more is allowed.
        most: Addresses kept; the oldest are forgotten first.
    """

    def __init__(self, now_s: Callable[[], float], tries: int = 20, refill_s: float = 3.0, most: int = 10_000) -> None:
        self._now_s = now_s
        self._tries = tries
        self._refill_s = refill_s
        self._most = most
        self._full_s: dict[str, float] = {}  # when an address will have all its tries again

    def wait_s(self, address: str) -> float:
        """Takes one try; seconds until the next is allowed where there is none, 0 where it was taken."""
        now = self._now_s()
        full = max(now, self._full_s.pop(address, now))
        over = full + self._refill_s - now - self._tries * self._refill_s
        self._full_s[address] = full if over > 0 else full + self._refill_s
        while len(self._full_s) > self._most:
            self._full_s.pop(next(iter(self._full_s)))
        return max(0.0, over)


class Throttle:
    """Slows guessing: the first failures are free, then each doubles the wait.

    Counted for a name from an address, so that a stranger who guesses cannot lock out the person herself, and for an
    address alone with more patience, so that one stranger cannot try every name.

    Example: with 5 free failures the sixth makes you wait 2 s, the seventh 4 s, up to `longest_s`.

    Args:
        now_s: A clock that only rises, in seconds.
        free: Failures before the first wait.
        longest_s: The longest wait, and how long failures are remembered.
        most: Entries kept; the oldest are forgotten first.
    """

    def __init__(self, now_s: Callable[[], float], free: int = 5, longest_s: float = 300.0, most: int = 10_000) -> None:
        self._now_s = now_s
        self._free = free
        self._longest_s = longest_s
        self._most = most
        self._tries: dict[tuple[str, str], _Tries] = {}

    def wait_s(self, name: str, address: str) -> float:
        """Seconds until somebody may try again; 0: now."""
        now = self._now_s()
        waits = (self._tries[key].until_s - now for key in ((name, address), ("", address)) if key in self._tries)
        return max(0.0, *waits, 0.0)

    def failed(self, name: str, address: str) -> None:
        """A password was wrong."""
        self._count((name, address), self._free)
        self._count(("", address), 4 * self._free)
        while len(self._tries) > self._most:
            self._tries.pop(next(iter(self._tries)))

    def succeeded(self, name: str, address: str) -> None:
        """A password was right: that person's failures are forgotten (the address's are not)."""
        self._tries.pop((name, address), None)

    def _count(self, key: tuple[str, str], free: int) -> None:
        now = self._now_s()
        tries = self._tries.pop(key, _Tries())
        if now - tries.newest_s > self._longest_s:
            tries.failures = 0
        tries.failures += 1
        tries.newest_s = now
        over = tries.failures - free
        if over > 0:
            tries.until_s = now + min(self._longest_s, 2.0**over)
        self._tries[key] = tries


def foreign(headers: Mapping[str, str]) -> str:
    """Why a request that changes something is not from our own page; "" where it is.

    Browsers send Origin with every POST; a client that is none (a script with a cookie) must set it too.
    """
    if headers.get(CSRF_HEADER) != CSRF_VALUE:
        return f"the header {CSRF_HEADER} is missing"
    origin = headers.get("origin")
    if not origin:
        return "the request names no origin"
    if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return "the request comes from another site"
    return ""


def _fresh() -> str:
    return secrets.token_urlsafe(12)


def _digest(account: Account) -> str:
    return hashlib.sha256(account.password.encode()).hexdigest()[:16]
