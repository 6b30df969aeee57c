"""Beside the pager: the alarm topic once more from its beginning, folded apart, walked every minute (`auditor`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from stream_processors.paging import own
from stream_processors.paging.auditor import attended, audit
from stream_processors.paging.engine import Engine
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Found
from stream_processors.paging.trouble import Trouble
from stream_processors.paging.waiting import Clock
from transport.kafka import KafkaError, TopicReader
from vitals import topics
from vitals.alarm_fold import Fold
from vitals.events import event_decoder

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Auditing:
    """The auditor's host.

    Attributes:
        settings: How often.
        engine: Whose promises are looked at.
        clock: Ward time.
        found: Takes what it found.
        came_round: Called after each walk.
        trouble: Told of readings that fail.
    """

    settings: PagerSettings
    engine: Engine
    clock: Clock
    found: Callable[[Found], None]
    came_round: Callable[[], None]
    trouble: Trouble

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except (KafkaError, TimeoutError, OSError) as error:
                self.trouble.failed(error)
            await self.clock.sleep_until(self.clock.now_ns() + self.settings.pass_pause_ns)

    async def _follow(self) -> None:
        fold, since = Fold(), dict[str, int]()
        async with TopicReader(self.settings.patient_kafka, (topics.ALARMS.name,)) as reader:
            while True:
                async with asyncio.timeout(self.settings.kafka_wait_s):
                    records = await reader.read_to_end()
                self.trouble.well()
                for record in records:
                    with contextlib.suppress(msgspec.DecodeError):
                        fold.apply(event_decoder.decode(record.value or b""))
                since = self.walk(fold, since)
                self.came_round()
                await self.clock.sleep_until(self.clock.now_ns() + self.settings.audit_every_ns)

    def walk(self, fold: Fold, since: dict[str, int]) -> dict[str, int]:
        """Look at all open alarms once.

        Args:
            fold: What the topic says is open.
            since: alarm -> since when it has been seen calling, from the last walk.

        Returns:
            The same for the next walk.
        """
        now_ns, state = self.clock.now_ns(), self.engine.state
        since = {name: since.get(name, now_ns) for name, alarm in fold.open.items() if not attended(alarm)}
        promised = {name: m.next_ns() for page in state.pages.values() for name, m in page.members.items()}
        grouped = (group := state.own.get(own.GATEWAY)) is not None and not group.closed
        policies = self.engine.plan.policies
        overdue = audit(fold.open.values(), policies, promised, now_ns, seen_since_ns=since, grouped=grouped)
        found = {o.alarm.alarm_id: f"{o.alarm.rule} of {o.alarm.patient}: {o.why}" for o in overdue}
        standing = {a.device for a in state.own.values() if a.rule == own.AUDIT and a.active and not a.closed}
        try:
            for name in standing - set(found):
                self.found(Found(rule=own.AUDIT, about=name))
            for name, cause in found.items():
                self.found(Found(rule=own.AUDIT, about=name, cause=cause))
        except Exception as error:
            # The core itself is what fails: past it, to everyone.
            log.exception("the core cannot take a finding")
            self.engine.emergency(f"The pager has failed ({type(error).__name__}). Look at the console now.", now_ns)
        return since
