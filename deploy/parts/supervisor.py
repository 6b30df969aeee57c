"""Starts things in an order, watches them, starts again what dies, with growing pauses, and stops them in an order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from stream_processors.settings import NEEDS_SOMEONE

FIRST_PAUSE_S: Final = 0.2  # patients wait
LONGEST_PAUSE_S: Final = 30.0
WELL_AFTER_S: Final = 60.0


class Watched(Protocol):
    """A process that is looked after: a server, or a part. One with a true `may_end` is done when it ends well."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    async def start(self) -> None:
        """Start it; returns when it works.

        Raises:
            Exception: If it does not come up; the message says why.
        """
        ...

    async def died(self) -> int:
        """Wait until it ends, by whatever; its exit status."""
        ...

    async def stop(self) -> None:
        """End it in order. Safe to call when it has ended."""
        ...


def pause_s(failures: int) -> float:
    """How long to wait before the next start, after so many failures in a row (from 1): 0.2, 0.4, 0.8 ... 30 s."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 32))


@dataclass(slots=True)
class Care:
    """What was seen of one thing.

    Attributes:
        restarts: How often it was started again.
        failures: Failures in a row; forgotten after a minute of health.
        since_s: When it last came up, monotonic; 0 while it is down.
        why: What ended it last, in words; "" for nothing yet.
    """

    restarts: int = 0
    failures: int = 0
    since_s: float = 0.0
    why: str = ""


@dataclass(slots=True)
class Supervisor:
    """Looks after stages of things: a stage is started when the one before it is up, and stopped in the other order.

    Attributes:
        say: Prints a line for people.
        sleep: Waits; tests hand in their own.
        care: Name -> what was seen of it.
    """

    say: Callable[[str], None]
    sleep: Callable[[float], object] = asyncio.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    care: dict[str, Care] = field(default_factory=dict)
    _stages: list[list[Watched]] = field(default_factory=list)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def start(self, stage: Sequence[Watched]) -> None:
        """Start a stage's things beside each other, then watch each.

        Raises:
            Exception: The first that did not come up at all; nothing of the stage runs then.
        """
        began = await asyncio.gather(*(one.start() for one in stage), return_exceptions=True)
        failed = [one for one in began if isinstance(one, BaseException)]
        if failed:
            await asyncio.gather(*(one.stop() for one in stage))
            raise failed[0]
        self._stages.append(list(stage))
        for one in stage:
            self.care[one.name] = Care(since_s=self.monotonic_s())
            self._tasks[one.name] = asyncio.create_task(self._watch(one), name=f"watch {one.name}")

    async def stop(self) -> None:
        """Stop all: the newest stage first, and within a stage one after the other as they were named."""
        for stage in reversed(self._stages):
            for one in stage:
                task = self._tasks.pop(one.name)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await one.stop()
        self._stages.clear()

    async def _watch(self, one: Watched) -> None:
        care = self.care[one.name]
        while True:
            status = await one.died()
            if status == 0 and getattr(one, "may_end", False):
                care.since_s, care.why = 0.0, "ended"
                self.say(f"{one.name} has come to its end")
                return
            if care.since_s and self.monotonic_s() - care.since_s >= WELL_AFTER_S:
                care.failures = 0
            care.since_s = 0.0
            care.why = _ended(status)
            if status == NEEDS_SOMEONE:
                self.say(f"{one.name} needs somebody to decide something: see the end of its log; it is not restarted")
                return
            await self._start_again(one, care)

    async def _start_again(self, one: Watched, care: Care) -> None:
        while True:
            care.failures += 1
            pause = pause_s(care.failures)
            self.say(f"{one.name} {care.why}; it is started again in {pause:g} s")
            await self.sleep(pause)  # type: ignore[misc]  # whatever is handed in can be awaited
            care.restarts += 1
            try:
                await one.start()
            except Exception as error:  # noqa: BLE001  # whatever it was, it is tried again, and said
                care.why = f"did not come up: {error}"
                continue
            care.since_s = self.monotonic_s()
            self.say(f"{one.name} is up again")
            return


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
