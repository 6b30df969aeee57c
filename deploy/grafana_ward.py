"""A real ward whose store is InfluxDB, with everything that it kept noted beside: what `teleward grafana check` asks.

Simulated patients of whom some fall ill, devices with every fault, the bridge, both Faust apps, the storing app and a
native InfluxDB; somebody acknowledges alarms. Time runs fast; what is kept is what a ward would have kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dashboards.feed import CommandSender
from deploy.demo import DemoSettings, run_demo
from deploy.grafana_facts import Facts
from deploy.native.installed import look
from deploy.native.servers import Influx, ServerError
from deploy.ward_process import WardProcess
from transport.kafka import KafkaSettings
from transport.stores.base import Batch
from transport.stores.influx import InfluxStore
from transport.stores.influx_http import InfluxSettings
from transport.stores.influx_setup import set_up_influx
from vitals.log import Command

SCENARIO: Final = "ward-faults"
_LOOK_EVERY_S: Final = 0.1


class NotedStore(InfluxStore):
    """The store of the real stack; what it has acknowledged is noted."""

    def __init__(self, settings: InfluxSettings, facts: Facts) -> None:
        """Notes go into `facts`."""
        super().__init__(settings)
        self._facts = facts

    def write(self, batch: Batch) -> None:
        """See `Store`."""
        super().write(batch)
        self._facts.note(batch)


@dataclass(frozen=True, slots=True)
class FilledInflux:
    """A running InfluxDB that holds a ward's day.

    Attributes:
        url: Of its HTTP interface.
        database: Which database.
        facts: What was written.
        summary: What the ward said at its end.
    """

    url: str
    database: str
    facts: Facts
    summary: dict[str, Any]


@asynccontextmanager
async def filled_influx(folder: Path, minutes: float, say: Callable[[str], None]) -> AsyncIterator[FilledInflux]:
    """A native InfluxDB in a folder, filled by a real run.

    Args:
        folder: For its data; must be empty.
        minutes: Of the wall, for the run.
        say: Prints a line for people.

    Raises:
        ServerError: If InfluxDB is not on this machine; the message says how to get it.
        WardFailedError: If a part of the ward could not go on.
    """
    there = look()
    missing = [str(one) for one in there.missing() if "InfluxDB" in one.what]
    if missing:
        raise ServerError("; ".join(missing))
    async with Influx(folder / "influxd", there.influxd) as influx:
        settings = InfluxSettings(influx.url)
        await asyncio.to_thread(set_up_influx, settings)
        facts = Facts()
        summary = await run_demo(
            DemoSettings(SCENARIO, minutes=minutes, headless=True), say,
            store=lambda: NotedStore(settings, facts), beside=_answer_alarms,
        )  # fmt: skip
        yield FilledInflux(influx.url, settings.database, facts, summary)


async def _answer_alarms(ward: WardProcess) -> None:
    """Acknowledge every second alarm that is raised, as somebody at the console would."""
    sender = CommandSender(KafkaSettings(ward.stack.bootstrap), ward.settings.partitions)
    await sender.start()
    try:
        seen = 0
        while True:
            raised = [event for event in ward.alarms.events if event.event == "raised"]
            for number, event in enumerate(raised[seen:], seen):
                if number % 2 == 0:
                    await sender(
                        Command(
                            command_id=f"check-{number:08d}", patient=event.patient, alarm_id=event.alarm_id,
                            action="acknowledge", by="check", at_ns=ward.clock.now_ns(),
                        )
                    )  # fmt: skip
            seen = len(raised)
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await sender.stop()
