"""A clock and a broker for the simulator's tests: no waiting, no network, everything counted."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from vitals.signs import SECOND_NS

START_NS = 1_750_000_000 * SECOND_NS


class FakeClock:
    """Goes to the earliest instant that somebody sleeps for, once everybody else has come to rest.

    `lag_ns` makes it overshoot every time, as a busy machine does.
    """

    def __init__(self, now_ns: int = START_NS, lag_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._lag_ns = lag_ns
        self._sleepers: list[tuple[int, int]] = []
        self._number = itertools.count()

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, t_ns: int) -> None:
        me = (t_ns, next(self._number))
        heapq.heappush(self._sleepers, me)
        try:
            while self._now_ns < t_ns:
                for _ in range(4):
                    await asyncio.sleep(0)
                if self._sleepers[0] == me:
                    self._now_ns = max(self._now_ns, t_ns + self._lag_ns)
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)


class FakeBroker:
    """Takes every message, or does what `fate` says: raise before it took it, or after."""

    def __init__(self, fate: Callable[[int], str] = lambda _: "take") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.tries = 0
        self.connections = 1
        self._reconnected = asyncio.Event()
        self._fate = fate

    def reconnect(self) -> None:
        """A new connection in the place of a broken one."""
        self.connections += 1
        self._reconnected.set()
        self._reconnected = asyncio.Event()

    async def until_reconnected(self, after: int) -> int:
        while self.connections <= after:
            await self._reconnected.wait()
        return self.connections

    async def publish(self, topic: str, payload: bytes) -> None:
        self.tries += 1
        fate = self._fate(self.tries)
        if fate == "lose":
            raise ConnectionError("gone before it was taken")
        await asyncio.sleep(0)
        self.messages.append((topic, payload))
        if fate == "forget":
            raise ConnectionError("gone before the acknowledgement")

    def by_device(self) -> dict[str, list[bytes]]:
        """The bytes of each device, in the order they were taken."""
        out: dict[str, list[bytes]] = {}
        for topic, payload in self.messages:
            out.setdefault(topic.split("/")[2], []).append(payload)
        return out


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something has come about."""
    while not condition():
        await asyncio.sleep(0)
