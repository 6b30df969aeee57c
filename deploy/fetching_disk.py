"""What fetched files meet on this machine's disk, and the words for what stops a fetch."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class FetchError(Exception):
    """It cannot be fetched like this; the message says what to do. What is there stays and is gone on from."""


class FileRefusedError(FetchError):
    """One file cannot be had; the others may."""


class PassingError(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        answered: Whether the server was there at all. If it was, only this file is lost when patience ends.
        retry_after_s: How long the server asked us to wait; None where it did not say.
    """

    def __init__(self, words: str, *, answered: bool, retry_after_s: float | None = None) -> None:
        super().__init__(words)
        self.answered = answered
        self.retry_after_s = retry_after_s


def digest_of(path: Path) -> str:
    """SHA-256 of a file; nothing for what is none (a device would never end)."""
    with on_disk(path):
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def size_of(path: Path) -> int:
    """Bytes of a file; 0 for one that is not there."""
    with on_disk(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def remove(path: Path) -> None:
    """Take a file away, if it is there."""
    with on_disk(path):
        path.unlink(missing_ok=True)


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Say in a sentence what is wrong with the disk.

    Raises:
        FetchError: If it is full, no folder, or not ours to write.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise FetchError(f"{error.filename or path} is in the way: --out takes a folder, or a name not used") from error
    except OSError as error:
        if error.errno in _FULL:
            raise FetchError(
                f"the disk is full at {path}; both sets take about 350 MB: make room and start again, nothing is lost"
            ) from error
        raise FetchError(f"{path} cannot be read or written: {error.strerror or error}") from error
