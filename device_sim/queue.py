"""What a device has made and the broker has not acknowledged: kept until it has, over restarts where on a disk.

A bundle enters as a *draft* (no send time yet). When it is first handed to the radio its bytes are fixed, send time
included, and stored before they go out: whatever happens then, the same bytes go out again. Once acknowledged it stays
for `vitals.wire.RESEND_S` more, of the wall, since a broker that is killed forgets what it took since it last saved.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from vitals import wire
from vitals.wire import RESEND_S, SentBundle

Key = tuple[int, int]
"""Boot and sequence number."""


@dataclass(slots=True)
class Queued:
    """A bundle that waits.

    Attributes:
        key: Boot and sequence number.
        n: Readings in it.
        draft: The bundle without its send time.
        payload: Its bytes, once it has been handed to the radio.
    """

    key: Key
    n: int
    draft: SentBundle
    payload: bytes | None = None


class Acknowledged(NamedTuple):
    """A bundle that the broker has acknowledged lately.

    Attributes:
        key: Boot and sequence number.
        n: Readings in it.
        payload: The bytes that went out.
    """

    key: Key
    n: int
    payload: bytes


class Queue(Protocol):
    """Keeps bundles in the order they were made."""

    def last_boot(self) -> int:
        """The newest boot it knows of, -1 for none."""
        ...

    def started(self, boot: int) -> None:
        """The device has started anew, as `boot`."""
        ...

    def put(self, item: Queued) -> None:
        """Keep a draft."""
        ...

    def fix(self, key: Key, payload: bytes) -> None:
        """Keep the bytes of a bundle, before they go out for the first time."""
        ...

    def done(self, key: Key) -> None:
        """The broker has acknowledged it; a second time changes nothing."""
        ...

    def lately(self) -> list[Acknowledged]:
        """What was acknowledged no longer than `RESEND_S` ago, oldest first."""
        ...

    def waiting(self) -> list[Queued]:
        """All that wait, oldest first."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class MemoryQueue:
    """Lives as long as the process: for demonstrations and simulations, which say that they are volatile.

    Args:
        keep_s: How long it keeps what was acknowledged; 0 where the broker dies with the devices.
        now_s: Seconds of the wall.
    """

    def __init__(self, keep_s: float = RESEND_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self._items: dict[Key, Queued] = {}
        self._boot = -1
        self._keep_s = keep_s
        self._now_s = now_s
        self._lately: deque[tuple[float, Acknowledged]] = deque()

    def last_boot(self) -> int:
        """See `Queue`."""
        return self._boot

    def started(self, boot: int) -> None:
        """See `Queue`."""
        self._boot = boot

    def put(self, item: Queued) -> None:
        """See `Queue`."""
        self._items[item.key] = item

    def fix(self, key: Key, payload: bytes) -> None:
        """See `Queue`."""
        self._items[key].payload = payload

    def done(self, key: Key) -> None:
        """See `Queue`."""
        item = self._items.pop(key, None)
        if item is not None and item.payload is not None and self._keep_s:
            self._forget()
            self._lately.append((self._now_s(), Acknowledged(key, item.n, item.payload)))

    def lately(self) -> list[Acknowledged]:
        """See `Queue`."""
        self._forget()
        return [kept for _, kept in self._lately]

    def _forget(self) -> None:
        oldest_s = self._now_s() - self._keep_s
        while self._lately and self._lately[0][0] < oldest_s:
            self._lately.popleft()

    def waiting(self) -> list[Queued]:
        """See `Queue`."""
        return list(self._items.values())

    def close(self) -> None:
        """See `Queue`."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS boot (boot INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (
    boot INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL, draft BLOB NOT NULL, payload BLOB,
    PRIMARY KEY (boot, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acknowledged (
    at_s REAL NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL, payload BLOB NOT NULL
);
"""


class FileQueue:
    """One SQLite file for each device: survives the death of the process.

    Args:
        path: The file; made where it is not there.
        now_s: Seconds of the wall since 1970.
    """

    def __init__(self, path: Path, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        # Autocommit: every call is in the file before it returns, so a killed process loses nothing. A power cut may
        # lose the last moments (no fsync for each bundle: hundreds of simulated devices share one disk).
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def last_boot(self) -> int:
        """See `Queue`."""
        (boot,) = self._db.execute("SELECT coalesce(max(boot), -1) FROM boot").fetchone()
        return int(boot)

    def started(self, boot: int) -> None:
        """See `Queue`."""
        self._db.execute("INSERT INTO boot VALUES (?)", (boot,))

    def put(self, item: Queued) -> None:
        """See `Queue`."""
        draft = wire.encode(item.draft, "msgpack")
        self._db.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", (*item.key, item.n, draft, item.payload))

    def fix(self, key: Key, payload: bytes) -> None:
        """See `Queue`."""
        self._db.execute("UPDATE waiting SET payload = ? WHERE boot = ? AND seq = ?", (payload, *key))

    def done(self, key: Key) -> None:
        """See `Queue`."""
        keep = "INSERT INTO acknowledged SELECT ?, boot, seq, n, payload FROM waiting WHERE boot = ? AND seq = ?"
        self._db.execute(f"{keep} AND payload IS NOT NULL", (self._now_s(), *key))
        self._db.execute("DELETE FROM waiting WHERE boot = ? AND seq = ?", key)
        self._db.execute("DELETE FROM acknowledged WHERE at_s < ?", (self._now_s() - RESEND_S,))

    def lately(self) -> list[Acknowledged]:
        """See `Queue`."""
        rows = self._db.execute(
            "SELECT boot, seq, n, payload FROM acknowledged WHERE at_s >= ? ORDER BY rowid", (self._now_s() - RESEND_S,)
        )
        return [Acknowledged((boot, seq), n, payload) for boot, seq, n, payload in rows]

    def waiting(self) -> list[Queued]:
        """See `Queue`."""
        rows = self._db.execute("SELECT boot, seq, n, draft, payload FROM waiting ORDER BY boot, seq")
        return [
            Queued((boot, seq), n, msgspec.msgpack.decode(draft, type=SentBundle), payload)
            for boot, seq, n, draft, payload in rows
        ]

    def close(self) -> None:
        """See `Queue`."""
        self._db.close()
