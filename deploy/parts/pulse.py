"""A part's pulse: a small file that it writes every two seconds while its loop turns, for whoever asks if it lives.

Beside what the parts say of themselves through Kafka: that way is silent when Kafka is, and a part that waits for Kafka
is well. A container's health check and `teleward doctor` read the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec

EVERY_S: Final = 2.0
SILENT_AFTER_S: Final = 10.0
HUNG_AFTER_S: Final = 60.0  # longer than any pause of a loop that is only busy: reading 80 MB of state takes seconds


class Beat(msgspec.Struct, frozen=True):
    """One beat.

    Attributes:
        pid: Of the process.
        at_s: Monotonic clock of the machine, in seconds.
        status: ``ok``, ``slow`` or ``down``: what the part says of itself.
        text: The same in words.
    """

    pid: int
    at_s: float
    status: str
    text: str


class Pulse:
    """``async with Pulse(path, how)``: beats until it is left, then takes the file away."""

    def __init__(self, path: str, how: Callable[[], tuple[str, str]]) -> None:
        """Nothing is written before it is entered.

        Args:
            path: The file; "" writes none.
            how: What the part says of itself.
        """
        self._path = Path(path) if path else None
        self._how = how
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._beat(self._path)
            self._task = asyncio.create_task(self._keep_beating(self._path), name="pulse")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None and self._path is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._path.unlink(missing_ok=True)

    async def _keep_beating(self, path: Path) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._beat(path)

    def _beat(self, path: Path) -> None:
        fresh = path.with_name(f".{path.name}.new")
        with contextlib.suppress(OSError):  # a full disk ends no part; its missing pulse is seen
            fresh.write_bytes(msgspec.json.encode(Beat(os.getpid(), time.monotonic(), *self._how())))
            fresh.replace(path)


def silent_s(path: Path) -> float | None:
    """Seconds since the last beat; None where there is none to be read."""
    try:
        return time.monotonic() - msgspec.json.decode(path.read_bytes(), type=Beat).at_s
    except (OSError, ValueError):
        return None


def feel(path: Path) -> str:
    """What is wrong by a part's pulse, in words; "" where nothing is."""
    try:
        beat = msgspec.json.decode(path.read_bytes(), type=Beat)
    except FileNotFoundError:
        return "it is not running (it has left no pulse)"
    except (OSError, ValueError) as error:
        return f"its pulse cannot be read: {error}"
    silent_s = time.monotonic() - beat.at_s
    if silent_s > SILENT_AFTER_S or silent_s < 0:
        return f"it has been silent for {silent_s:.0f} s" if silent_s >= 0 else "its pulse is from before a restart"
    return "" if beat.status == "ok" else f"it says: {beat.text}"
