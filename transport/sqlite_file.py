"""A SQLite file of a part's own, beside the stores: write-ahead log, transactions begun by hand."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

__all__ = ["Connection", "FileInUse", "open_sqlite", "sole_user", "transaction"]


class FileInUse(Exception):  # noqa: N818  # says what it is
    """Another process has the file for itself."""


@contextmanager
def sole_user(path: Path) -> Iterator[None]:
    """Have a file for oneself until left, or until the process ends in whichever way.

    Args:
        path: Of the file; the lock stands beside it.

    Raises:
        FileInUse: If somebody else has it.
    """
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FileInUse(f"{path.name} is used by another process") from None
        yield


def open_sqlite(path: Path, *, durable: bool = True) -> Connection:
    """Open a file, made where there is none; its folder must exist.

    Args:
        path: Where.
        durable: False leaves the flushing to the system: a kill -9 loses nothing then either, a power cut may.

    Returns:
        A connection that begins no transaction by itself; one thread at a time, whichever.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    return db


@contextmanager
def transaction(db: Connection) -> Iterator[Connection]:
    """All of it or nothing; nobody else writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
