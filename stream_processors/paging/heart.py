"""The pager's signs of life: words of health in Kafka, and an address outside that is asked while all loops go round.

Who watches: the console says when the words stop; whoever has the address (healthchecks and the like) says so when
nobody asks it any more, and that reaches people when our machines, network or power are what failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from stream_processors.paging.outlets import Outlets
from stream_processors.paging.outside import Unreachable
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.waiting import Clock
from transport.kafka import KafkaError

log = logging.getLogger(__name__)


class Heart:
    """Beats while every loop comes round.

    Attributes:
        also: More to say in words of health, by name.
    """

    def __init__(
        self,
        settings: PagerSettings,
        outlets: Outlets,
        clock: Clock,
        fetch: Callable[..., bytes],
        head: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._outlets = outlets
        self._clock = clock
        self._fetch = fetch
        self._head = head
        self._came: dict[str, float] = {}
        self._outside = ""
        self.also: dict[str, Callable[[], Any]] = {}

    def came_round(self, loop: str) -> None:
        """A loop has come round."""
        self._came[loop] = time.monotonic()

    def stuck(self) -> tuple[str, ...]:
        """Loops that have not come round for too long: while there is one, the heart stands still."""
        now_s = time.monotonic()
        return tuple(name for name, at in self._came.items() if now_s - at > self._settings.stuck_s)

    async def beats(self) -> AsyncIterator[int]:
        """The instant of each beat, by ward time; none while a loop is stuck."""
        outside_ns = 0
        while True:
            now_ns = self._clock.now_ns()
            stuck = self.stuck()
            with contextlib.suppress(KafkaError, OSError, TimeoutError):  # told by silence too
                await self._outlets.say(self.health(now_ns, stuck))
            if not stuck:
                yield now_ns
                if self._settings.heartbeat_url and now_ns >= outside_ns:
                    outside_ns = now_ns + self._settings.heartbeat_every_ns
                    await self._ask_outside()
            await asyncio.sleep(self._settings.health_every_s)

    async def _ask_outside(self) -> None:
        """Ask the address, and leave the head of the audit's chain there, where nobody of ours can change it."""
        head = self._head()
        said = f"audit {head}".encode() if head else None
        try:
            await asyncio.to_thread(self._fetch, self._settings.heartbeat_url, say=said)
        except Unreachable as error:
            if not self._outside:
                log.warning("the heartbeat's address did not answer: %s", error)
            self._outside = str(error)
        else:
            self._outside = ""

    def health(self, now_ns: int, stuck: tuple[str, ...]) -> dict[str, Any]:
        """What the pager says of itself."""
        text = f"loops that stand still: {', '.join(stuck)}" if stuck else "pages"
        if self._outside:
            text += f"; its heartbeat's address {self._outside}"
        status = "down" if stuck else "slow" if self._outside else "ok"
        told = {"part": "pager", "status": status, "text": text, "at_ns": now_ns, "audit_head": self._head()}
        return told | {name: tell() for name, tell in self.also.items()}
