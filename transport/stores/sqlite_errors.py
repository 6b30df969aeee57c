"""What SQLite says when it cannot do a thing now, as `StoreUnavailable`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from transport.stores.base import StoreUnavailable

BUSY_S: Final = 0.5
FULL_S: Final = 30.0
# Primary result code -> seconds to wait (https://sqlite.org/rescode.html). What is not here is a fault of ours.
RETRY_S: Final = {
    sqlite3.SQLITE_BUSY: BUSY_S,
    sqlite3.SQLITE_LOCKED: BUSY_S,
    sqlite3.SQLITE_NOMEM: 5.0,
    sqlite3.SQLITE_IOERR: 5.0,
    sqlite3.SQLITE_CANTOPEN: 5.0,
    sqlite3.SQLITE_READONLY: FULL_S,
    sqlite3.SQLITE_FULL: FULL_S,
}


@contextmanager
def available() -> Iterator[None]:
    """Let pass what SQLite says, but for what another try may mend.

    Raises:
        StoreUnavailable: For a lock, a full disk, a file that cannot be opened, read or written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        wait = None if code is None else RETRY_S.get(code & 0xFF)
        if wait is None:
            raise
        raise StoreUnavailable(f"SQLite: {error}", wait) from error
