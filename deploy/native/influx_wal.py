"""Takes torn tails off the log files of InfluxDB 1.8 before it opens them.

A server that dies while it writes, or whose disk is full, leaves half an entry at the end of a log file (``*.wal``).
At its next start 1.8 first opens the newest file to go on behind its end, and then, reading it, cuts the half entry off
(``WAL.Open`` before ``Engine.reloadCache``): what it writes and acknowledges from then on stands behind a hole. The
start after that finds the hole, takes it for damage, and cuts off all that follows it: acknowledged points are gone.
A file that ends with a whole entry has no such story.

An entry is a byte of type, four bytes of length (big endian), and so many bytes.
"""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_HEAD: Final = struct.Struct(">BI")
_TYPES: Final = (1, 2, 3)  # points, and two kinds of deletions


def whole_bytes(path: Path) -> int:
    """How many bytes from the beginning are whole entries."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + _HEAD.size <= size:
            file.seek(at)
            kind, length = _HEAD.unpack(file.read(_HEAD.size))
            if kind not in _TYPES or at + _HEAD.size + length > size:
                break
            at += _HEAD.size + length
    return at


def mend(folder: Path) -> dict[Path, int]:
    """Cut the torn tail of every log file below a folder; not while the server runs.

    A file with something else than a torn tail (whole entries follow the damage) is left to the server as it is.

    Returns:
        File -> bytes cut off.
    """
    cut = {}
    for path in sorted(folder.rglob("*.wal")):
        size, whole = path.stat().st_size, whole_bytes(path)
        if whole == size or not _torn(path, whole, size):
            continue
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
        log.warning("%s ended with half an entry of %d bytes, never acknowledged: cut off", path, size - whole)
        cut[path] = size - whole
    return cut


def _torn(path: Path, at: int, size: int) -> bool:
    """Whether what begins there is one entry that is not all there."""
    if size - at < _HEAD.size:
        return True
    with path.open("rb") as file:
        file.seek(at)
        kind, length = _HEAD.unpack(file.read(_HEAD.size))
    return kind in _TYPES and at + _HEAD.size + length > size
