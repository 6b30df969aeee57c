"""What the pager is told by its environment: ``teleward run pager``.

| variable | what |
|---|---|
| ``TELEWARD_ROTA`` | the rota's file; needed |
| ``TELEWARD_POLICY`` | the policies' file; without it `stream_processors.paging.policy.DEFAULT` |
| ``TELEWARD_PAGER_DB`` | its database; audit and file channels stand beside it; ``pager/pager.db`` |
| ``TELEWARD_AUDIT`` | the audit's file; ``audit.jsonl`` beside the database |
| ``TELEWARD_PAGER_CONSOLE_URL`` | where people find the console, with a slash at its end; links need it |
| ``TELEWARD_LINK_KEY_FILE`` | keys of the links, a line each; the first signs, all are believed |
| ``TELEWARD_HEARTBEAT_URL`` | asked while all is well: whoever expects it notices when it stops |
| ``TELEWARD_SITE`` | of whom the links are |
| ``TELEWARD_TEST_PASSWORD_FILE`` | password of the device ``teleward-test-1``: with it the test patient lives |
| ``TELEWARD_TEST_EVERY_MIN`` | minutes from one of its trials to the next; 30 |
| ``TELEWARD_SECRET_NAME`` | stands for ``${NAME}`` in the address of a channel |
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.paging import PagingSettings
from deploy.parts.environment import TEST_PASSWORD_FILE, Environment, SettingError
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.policy_file import read_policies
from stream_processors.paging.probe import ProbeSettings
from stream_processors.paging.rota_file import RotaFile, read_rota
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.turn import Plan
from vitals.signs import MINUTE_NS

ROTA: Final = "TELEWARD_ROTA"
POLICY: Final = "TELEWARD_POLICY"
DB: Final = "TELEWARD_PAGER_DB"
AUDIT: Final = "TELEWARD_AUDIT"
CONSOLE_URL: Final = "TELEWARD_PAGER_CONSOLE_URL"
LINK_KEY_FILE: Final = "TELEWARD_LINK_KEY_FILE"
HEARTBEAT_URL: Final = "TELEWARD_HEARTBEAT_URL"
SITE: Final = "TELEWARD_SITE"
TEST_EVERY: Final = "TELEWARD_TEST_EVERY_MIN"
SECRETS: Final = "TELEWARD_SECRET_"


def paging(environment: Environment) -> PagingSettings:
    """Settings of the part.

    Raises:
        SettingError: If a variable is missing or cannot be read.
        FileError: If rota or policies cannot be used, with a line for everything that is wrong.
    """
    rota_path, policy_path = _file(environment, ROTA), None
    if rota_path is None:
        raise SettingError(f"{ROTA} is not set; it names the rota's file (docs/paging.md shows one)")
    policy_path = _file(environment, POLICY)
    db = Path(environment.text(DB, "pager/pager.db"))
    console_url = environment.text(CONSOLE_URL)
    if console_url and not console_url.endswith("/"):
        raise SettingError(f"{CONSOLE_URL} is {console_url!r}; it ends with a slash")
    files = PlanFiles(rota_path, policy_path)
    rota, plan = files.read()
    return PagingSettings(
        pager=PagerSettings(
            kafka=environment.kafka("pager"),
            console_url=console_url,
            answer_url=f"{console_url}a/" if console_url else "",
            heartbeat_url=environment.text(HEARTBEAT_URL),
        ),
        folder=db.parent,
        db=db,
        audit=Path(environment.text(AUDIT, str(db.with_name("audit.jsonl")))),
        rota=rota,
        plan=plan,
        keys=_keys(environment, needed=bool(console_url)),
        site=environment.text(SITE, "teleward"),
        secrets={
            name.removeprefix(SECRETS): value
            for name, value in environment.variables.items()
            if name.startswith(SECRETS)
        },
        probe=_probe(environment),
        reread=files.changed,
    )


def _probe(environment: Environment) -> ProbeSettings | None:
    """None where the test patient has no way to the broker."""
    if not environment.text(TEST_PASSWORD_FILE):
        return None
    every_min = environment.number(TEST_EVERY, 30.0)
    try:
        return ProbeSettings(every_ns=round(every_min * MINUTE_NS), speed=environment.clock().speed)
    except ValueError as error:
        raise SettingError(
            f"{TEST_EVERY} is {every_min:g}; a trial may take three minutes: it takes above 3"
        ) from error


class PlanFiles:
    """The files of rota and policies, read again when they change."""

    def __init__(self, rota: Path, policies: Path | None) -> None:
        self._rota, self._policies = rota, policies
        self._seen = self._stamp()

    def read(self) -> tuple[RotaFile, Plan]:
        """What stands in them now.

        Raises:
            FileError: If they cannot be used.
            OSError: If they cannot be read.
        """
        rota = read_rota(self._rota.read_text(encoding="utf-8"), self._rota.name)
        if self._policies is None:
            return rota, Plan(rota.rota, DEFAULT)
        text = self._policies.read_text(encoding="utf-8")
        return rota, Plan(rota.rota, read_policies(text, self._policies.name, rota.rota))

    def changed(self) -> tuple[RotaFile, Plan] | None:
        """What stands in them, where that changed since it was asked last; None where it did not."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        found = self.read()
        self._seen = stamp
        return found

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        paths = (self._rota,) if self._policies is None else (self._rota, self._policies)
        return tuple((found.st_mtime_ns, found.st_size) for found in (path.stat() for path in paths))


def _file(environment: Environment, name: str) -> Path | None:
    text = environment.text(name)
    if not text:
        return None
    if not Path(text).is_file():
        raise SettingError(f"{name} names {text}, which is no file")
    return Path(text)


def _keys(environment: Environment, *, needed: bool) -> tuple[bytes, ...]:
    """A line each. Without a console nobody can answer by link, and there are none."""
    path = _file(environment, LINK_KEY_FILE)
    if path is None:
        if needed:
            raise SettingError(
                f"{LINK_KEY_FILE} is not set; it names a file with a key of at least 32 characters in its first line "
                f"(head -c 32 /dev/urandom | base64), or leave {CONSOLE_URL} out: then pages hold no links"
            )
        return ()
    keys = tuple(line.strip().encode() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if not keys or any(len(key) < 32 for key in keys):
        raise SettingError(f"{LINK_KEY_FILE} names {path}; each of its lines holds at least 32 characters")
    return keys
