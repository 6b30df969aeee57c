"""Local accounts: names, roles and hashed passwords, in a file that a person can read.

The file is JSON: ``{"accounts": [{"name": "imre", "role": "clinician", "password": "scrypt$15$8$3$...$..."}]}``.
The password is never in it, only what `hash_password` makes of it.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Final

import msgspec

# scrypt with N=2^15, r=8, p=3: one of the OWASP password storage cheat sheet's equivalent choices, 32 MB for each try.
_LOG_N, _R, _P = 15, 8, 3
_MAX_MEMORY: Final = 96 * 1024 * 1024
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like another letter on a small screen
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Role(enum.StrEnum):
    """What a person may do: see `dashboards.console.access` for the table, docs/console.md for the words."""

    VIEWER = "viewer"  # looks
    CLINICIAN = "clinician"  # looks after patients: speaks about every alarm
    LEAD = "lead"  # as a clinician, and answers for the shift: audit, passes for carers, how people answered
    ENGINEER = "engineer"  # keeps it running: audit and times, speaks about alarms of the equipment only
    CARER = "carer"  # a patient or who cares for one: sees that one patient's own page and nothing else


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Someone who may sign in.

    Attributes:
        name: What they sign in with, and what stands beside everything they do.
        role: What they may do.
        password: Hashed, as `hash_password` writes it.
        patient: Whom a carer may see; "" for everybody else.
    """

    name: str
    role: Role
    password: str
    patient: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    accounts: list[Account]


class AccountsError(ValueError):
    """The accounts file cannot be read; the message says where and why."""


def hash_password(password: str, salt: bytes | None = None) -> str:
    """A password as it may be written down: ``scrypt$log2(N)$r$p$salt$hash``, the last two in base64."""
    salt = secrets.token_bytes(16) if salt is None else salt
    digest = _scrypt(password, salt, _LOG_N, _R, _P)
    return f"scrypt${_LOG_N}${_R}${_P}${_b64(salt)}${_b64(digest)}"


def verify_password(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed; False too for a hash that cannot be read."""
    try:
        scheme, log_n, r, p, salt, digest = hashed.split("$")
        if scheme != "scrypt" or not 10 <= int(log_n) <= 17 or int(r) * int(p) > 64:
            return False
        tried = _scrypt(password, base64.b64decode(salt), int(log_n), int(r), int(p))
        return hmac.compare_digest(tried, base64.b64decode(digest))
    except ValueError:
        return False


def generate_password() -> str:
    """Four groups of four: 79 bits, and short enough to type from a terminal."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def read_accounts(path: Path) -> list[Account]:
    """The accounts of a file.

    Raises:
        AccountsError: If it is not there, is not such a file, names somebody twice or nobody properly.
    """
    try:
        accounts = msgspec.json.decode(path.read_bytes(), type=_File).accounts
    except OSError as error:
        raise AccountsError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise AccountsError(f"{path}: {error}") from error
    seen: set[str] = set()
    for account in accounts:
        if not NAME.fullmatch(account.name):
            raise AccountsError(f"{path}: {account.name!r} is no name for an account")
        if account.name in seen:
            raise AccountsError(f"{path}: {account.name!r} stands in it twice")
        if not account.password.startswith("scrypt$"):
            raise AccountsError(f"{path}: the password of {account.name!r} is not hashed")
        if (account.role is Role.CARER) != bool(account.patient):
            why = "is a carer of nobody" if account.role is Role.CARER else "is no carer and cannot have a patient"
            raise AccountsError(f"{path}: {account.name!r} {why}; carers, and only they, name one patient")
        seen.add(account.name)
    return accounts


def write_accounts(path: Path, accounts: list[Account]) -> None:
    """Write the accounts for their owner's eyes only, whole or not at all."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(_File(accounts)), indent=2) + b"\n")
    fresh.replace(path)


class AccountBook:
    """Everybody who may sign in: those of a file, which is read again when it changes, and those made while running.

    Args:
        accounts: Made while running.
        file: Of the others; None: there are none.

    Attributes:
        wrong: Why the file could not be read again, for people; "" where it could.

    Raises:
        AccountsError: If the file cannot be read at the start.
    """

    def __init__(self, accounts: list[Account] | None = None, file: Path | None = None) -> None:
        self._made = {account.name: account for account in accounts or []}
        self._file = file
        self._of_file: dict[str, Account] = {}
        self._stamp: object = None
        self.wrong = ""
        if file is not None:
            self._stamp = _stamp(file)
            self._of_file = {account.name: account for account in read_accounts(file)}

    def get(self, name: str) -> Account | None:
        """Who has this name."""
        self._look()
        return self._made.get(name) or self._of_file.get(name)

    def add(self, account: Account) -> None:
        """Let somebody in; the same name again replaces who had it."""
        self._made[account.name] = account

    def _look(self) -> None:
        """Read the file again where it is another one: who was removed is out at once, who was added is in.

        A file that cannot be read changes nothing (a slip of an editor must not shut a ward out of its page), and
        `wrong` says so to every page.
        """
        if self._file is None or (stamp := _stamp(self._file)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._of_file = {account.name: account for account in read_accounts(self._file)}
            self.wrong = ""
        except AccountsError as error:
            self.wrong = str(error)

    def check(self, name: str, password: str) -> Account | None:
        """Who signs in with these, or None. Slow on purpose: call it off the event loop."""
        account = self.get(name)
        fits = verify_password(password, account.password if account else _NOBODY)
        return account if fits else None


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file is written or replaced; None where it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# Tried when the name is unknown, so that the answer takes as long and tells nothing. No password hashes to zeros.
_NOBODY: Final = f"scrypt${_LOG_N}${_R}${_P}${_b64(bytes(16))}${_b64(bytes(32))}"
