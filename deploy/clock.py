"""Ward time: the wall's on a ward, a faster one in the demo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_LOOK_AGAIN_S: Final = 1.0  # a clock may be set while somebody waits for it


@dataclass(slots=True)
class WardClock:
    """Ward time that begins at `start_ns` and runs `speed` times as fast as the wall.

    It follows the monotonic clock, so that it neither jumps nor runs backwards when the wall's clock is set.

    Attributes:
        speed: Seconds of ward time in a second of the wall; 1 on a ward.
        start_ns: Ward time at its start; the wall's time by default.
        waiting: True lets it stand at `start_ns` until `begin`.
    """

    speed: float = 1.0
    start_ns: int = field(default_factory=time.time_ns)
    waiting: bool = False
    _zero: int = field(default_factory=time.monotonic_ns)

    def __post_init__(self) -> None:
        """Refuse a clock that stands still."""
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}, must be above 0")

    def begin(self) -> None:
        """Let a waiting clock run: everything that lives by it is ready."""
        self._zero, self.waiting = time.monotonic_ns(), False

    def hold(self) -> None:
        """Let it stand where it is: what was sent is still judged, and nothing falls due meanwhile."""
        self.start_ns, self.waiting = self.now_ns(), True

    def now_ns(self) -> int:
        """Nanoseconds UTC of ward time."""
        if self.waiting:
            return self.start_ns
        passed = time.monotonic_ns() - self._zero
        return self.start_ns + (passed if self.speed == 1 else int(passed * self.speed))

    async def sleep_until(self, t_ns: int) -> None:
        """Return when ward time has reached `t_ns`; at once where it has already."""
        while (left := t_ns - self.now_ns()) > 0:
            await asyncio.sleep(0.05 if self.waiting else left / self.speed / 1e9)


@dataclass(slots=True)
class WallClock:
    """Ward time of a real ward: the wall's, which all parts and devices share, but never backwards and never at rest.

    A clock that was set forward (after a suspend, or once the network gave the time) is followed at once. One that was
    set back is met by running at half its pace: ticks and with them alarms go on meanwhile.

    Attributes:
        speed: Seconds of ward time in a second of the wall; above 1 only in trials.
        since_ns: Instant at which ward time and the wall agree; matters only where `speed` is not 1.
        wall_ns: The wall.
        monotonic_ns: What only rises.
    """

    speed: float = 1.0
    since_ns: int = 0
    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    _newest: tuple[int, int] | None = None  # ward time, and when by the other clock it was so

    def __post_init__(self) -> None:
        """Refuse a clock that stands still."""
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}, must be above 0")

    def now_ns(self) -> int:
        """Nanoseconds UTC of ward time."""
        wall, steady = self.wall_ns(), self.monotonic_ns()
        now = wall if self.speed == 1 else self.since_ns + int((wall - self.since_ns) * self.speed)
        if self._newest is not None:
            then, at = self._newest
            now = max(now, then + int((steady - at) * self.speed) // 2)
        self._newest = now, steady
        return now

    async def sleep_until(self, t_ns: int) -> None:
        """Return when ward time has reached `t_ns`; at once where it has already."""
        while (left := t_ns - self.now_ns()) > 0:
            await asyncio.sleep(min(left / self.speed / 1e9, _LOOK_AGAIN_S))
