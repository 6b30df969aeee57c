"""What passes through the pager's file to Kafka: commands, own events, what came of links, the audit.

At least once: each is idempotent by id at the other end, and forgotten here only when Kafka has it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from stream_processors.paging.outlets import Outlets
from stream_processors.paging.store import PagerStore
from stream_processors.paging.trouble import Trouble
from stream_processors.paging.waiting import Clock
from transport.kafka import KafkaError


@dataclass(slots=True)
class Passing:
    """The loop.

    Attributes:
        store: The file.
        outlets: Where it goes.
        clock: Ward time.
        pause_ns: Between tries.
        trouble: Told of tries that fail.
        more: Set when there may be something.
    """

    store: PagerStore
    outlets: Outlets
    clock: Clock
    pause_ns: int
    trouble: Trouble
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.more.clear()
            try:
                await self.once()
                self.trouble.well()
            except (KafkaError, OSError, TimeoutError) as error:
                self.trouble.failed(error)
                await self.clock.sleep_until(self.clock.now_ns() + self.pause_ns)
                continue
            await self.more.wait()

    async def once(self) -> None:
        """Hand on all that waits: people's answers first, for somebody looks at a page."""
        for told in self.store.told():
            await self.outlets.tell(told)
            self.store.passed(told)
        for command in self.store.commands():
            await self.outlets.order(command)
            self.store.passed(command)
        for event in self.store.events():
            await self.outlets.publish(event)
            self.store.passed(event)
        while entries := self.store.entries():
            newest: dict[str, int] = {}
            for seq, table, entry in entries:
                await self.outlets.record(entry)
                newest[table] = max(seq, newest.get(table, 0))
            for table, seq in newest.items():
                self.store.written(table, seq)
