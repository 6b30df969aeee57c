"""Users of the MQTT broker: devices, bridges, players. Makes their passwords, and the files that the broker reads.

A device's password is made here, shown once and kept nowhere; the broker's file has only its hash. Our own parts need
theirs at each start, so that those are kept, readable by their owner alone.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from deploy.brokers.mosquitto import Role, rules
from vitals import topics

_PASSWORD_BYTES: Final = 24
# Mosquitto's own number. It guards weak passwords little, and ours are 192 random bits, which need no guarding; more
# would cost the broker's single thread at every sign-in of a thousand devices that come back at once.
_ITERATIONS: Final = 101
_SALT_BYTES: Final = 12


class AccountError(Exception):
    """A user could not be added or taken away; the message says why."""


class _User(msgspec.Struct, frozen=True):
    role: Role
    password: str  # its hash, as the broker's file has it


class Accounts:
    """The users of one broker, in a folder that the broker reads.

    Each change writes the whole files anew and puts them in place at once. The broker takes them at its start, or when
    it is told to (`tell_broker`).
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written before a method is called.

        Args:
            folder: Where ``users.json``, ``passwords``, ``rules`` and the folder ``own`` are.
        """
        self.folder = folder

    @property
    def passwords(self) -> Path:
        """Mosquitto's ``password_file``."""
        return self.folder / "passwords"

    @property
    def rules(self) -> Path:
        """Mosquitto's ``acl_file``."""
        return self.folder / "rules"

    def users(self) -> dict[str, Role]:
        """Name -> role."""
        return {name: user.role for name, user in self._read().items()}

    def add(self, name: str, role: Role = Role.DEVICE, *, renew: bool = False) -> str:
        """Add a user.

        Args:
            name: Its name, for a device the id in its bundles.
            role: What it may do.
            renew: True gives an existing user of that role a new password, for one that was lost.

        Returns:
            The password. It is kept nowhere.

        Raises:
            AccountError: If the name can't be one, or is taken.
        """
        if not topics.DEVICE_ID.fullmatch(name):
            raise AccountError(f"{name!r} can't be a name: letters, digits, '.', '_' and '-', at most 64")
        with self._changing() as users:
            old = users.get(name)
            if old is not None and old.role is not role:
                raise AccountError(f"{name!r} is a {old.role.value} already")
            if old is not None and not renew:
                raise AccountError(f"{name!r} exists already; renew it to give it a new password")
            password = secrets.token_urlsafe(_PASSWORD_BYTES)
            users[name] = _User(role, hash_password(password))
        return password

    def remove(self, name: str) -> None:
        """Take a user away.

        Raises:
            AccountError: If there is none of that name.
        """
        with self._changing() as users:
            if users.pop(name, None) is None:
                raise AccountError(f"there is no user {name!r}")
            self.own_file(name).unlink(missing_ok=True)

    def own(self, name: str, role: Role) -> str:
        """The password of one of our own parts, made when it is first asked for and kept.

        Raises:
            AccountError: If the name belongs to a user of another role.
        """
        kept = self.own_file(name)
        if kept.exists() and self.users().get(name) is role:
            return kept.read_text(encoding="utf-8")
        password = self.add(name, role, renew=True)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        _write(kept, password)
        return password

    def prepare(self) -> None:
        """Write the broker's files even if there are no users yet: it doesn't start without them."""
        with self._changing():
            pass

    def own_file(self, name: str) -> Path:
        """Where the password of one of our own parts is kept."""
        return self.folder / "own" / name

    def _read(self) -> dict[str, _User]:
        try:
            text = (self.folder / "users.json").read_bytes()
        except FileNotFoundError:
            return {}
        return msgspec.json.decode(text, type=dict[str, _User])

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, _User]]:
        """The users, to be changed by one process at a time, and written if nothing is raised."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = self._read()
            yield users
            roles = {name: user.role for name, user in users.items()}
            _write(self.folder / "users.json", msgspec.json.format(msgspec.json.encode(users)).decode())
            _write(self.passwords, "".join(f"{name}:{user.password}\n" for name, user in sorted(users.items())))
            _write(self.rules, rules(roles))


def hash_password(password: str) -> str:
    """A password as Mosquitto 2 keeps it: PBKDF2 with SHA-512, its own format 7.

    Done here and not by `mosquitto_passwd`, which wants the password on its command line or in a file, and which
    isn't there where the broker is a container.
    """
    salt = os.urandom(_SALT_BYTES)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def tell_broker(pid_file: Path) -> bool:
    """Have a running Mosquitto read its users again; who was taken away is cut.

    Args:
        pid_file: As in its configuration.

    Returns:
        False if none runs by that file. (A container is told by its engine.)
    """
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        # Left behind by a broker that was killed, the number may be anybody's by now.
        if b"mosquitto" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return False
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        return False
    return True


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.new")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - with this mode from the first byte on
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
