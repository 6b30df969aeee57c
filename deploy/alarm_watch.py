"""Reads the alarm topic beside the console: what was raised, for summaries, tests and commands."""

from __future__ import annotations

import asyncio
import contextlib

from transport.kafka import KafkaSettings, TopicReader
from vitals import topics
from vitals.events import AlarmEvent, event_decoder


class AlarmWatch:
    """All alarm events so far, each once.

    Attributes:
        events: In the order they were read.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is read before `start`."""
        self._reader = TopicReader(settings, (topics.ALARMS.name,))
        self._seen: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self.events: list[AlarmEvent] = []

    async def start(self) -> None:
        """Connect, and follow from now on."""
        await self._reader.start()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._reader.stop()

    async def caught_up(self) -> None:
        """Wait until everything that stands in the topic now has been read."""
        end = await self._reader.end_offsets()
        while any(self._reader.positions[place] < offset for place, offset in end.items()):
            await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        async for record in self._reader:
            event = event_decoder.decode(record.value or b"")
            if event.event_id not in self._seen:
                self._seen.add(event.event_id)
                self.events.append(event)
