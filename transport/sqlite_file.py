"""A SQLite file of a part's own, beside the stores: write-ahead log, transactions begun by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

__all__ = ["Connection", "open_sqlite", "transaction"]


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
