"""Waiting by a clock that is handed in."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Ward time."""

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        ...

    async def sleep_until(self, t_ns: int) -> None:
        """Return when ward time has reached an instant."""
        ...


async def until(clock: Clock, due_ns: int, event: asyncio.Event) -> None:
    """Wait for an instant or an event, whichever comes first."""
    tasks = (asyncio.create_task(event.wait()), asyncio.create_task(_sleep(clock, due_ns)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _sleep(clock: Clock, due_ns: int) -> bool:
    await clock.sleep_until(due_ns)
    return True
