"""Ward time: the wall's on a ward, a faster one in the demo."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


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
