"""A process whose wall clock can be set while it runs (libfaketime); what only rises stays as it is."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

_PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def _library() -> Path | None:
    named = ctypes.util.find_library("faketimeMT")
    found = [path for place in _PLACES for path in Path("/").glob(place.removeprefix("/"))]
    return Path(named) if named else next(iter(found), None)


def why_not() -> str:
    """What keeps us from setting a process's clock here, in words; "" where nothing does."""
    return "" if _library() else "libfaketime is missing (Debian: apt-get install libfaketime)"


class SetClock:
    """The wall clock of one process, as far as it is off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)

    def set(self, ahead_s: float) -> None:
        """Set it so many seconds of the wall ahead of the machine's, behind it where negative."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+.6f}\n", encoding="ascii")
        fresh.replace(self._file)  # the process reads it at any moment

    def environment(self) -> dict[str, str]:
        """What the process is told."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
