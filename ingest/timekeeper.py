"""Keeps ward time: probes the broker at the pace of the ticks, and says when time may go on (`ingest.horizon`)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Final

from ingest.horizon import Horizon, probe_topic
from ingest.lane import NEVER
from ingest.settings import BridgeSettings, Clock
from transport.kafka import KafkaSettings, TopicReader
from transport.mqtt import MqttClient, MqttError
from vitals import log as records
from vitals import topics
from vitals.log import Tick

_TAIL: Final = 64  # records of each partition in which the newest tick is looked for; nearly every group ends in one


class TimeKeeper:
    """One bridge's time.

    Attributes:
        horizon: How far it may go.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        clock: Clock,
        client: MqttClient,
        *,
        holding: Callable[[], bool],
        goes_on: Callable[[int], None],
    ) -> None:
        """Nothing happens before `run`.

        Args:
            settings: The bridge's.
            clock: Ward time.
            client: Where probes go out; they come back by `returned`.
            holding: Whether the bridge holds anything that is not yet appended.
            goes_on: Called with the ward time up to which ticks may now be written.
        """
        self.horizon = Horizon(uuid.uuid4().hex, settings.patience_s)
        self._settings = settings
        self._clock = clock
        self._client = client
        self._holding = holding
        self._goes_on = goes_on
        self._probing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Probe every second of ward time, at most so many times a second of the wall, and on each connection."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._each_second())
            group.create_task(self._each_connection())

    async def _each_second(self) -> None:
        settings = self._settings
        while True:
            began = time.monotonic()
            now_ns = self._clock.now_ns()
            self._look(now_ns, began)
            await self._clock.sleep_until((now_ns // settings.tick_ns + 1) * settings.tick_ns)
            await asyncio.sleep(max(0.0, began + 1 / settings.ticks_per_s - time.monotonic()))

    async def _each_connection(self) -> None:
        generation = 0
        while True:
            generation = await self._client.until_connected(after=generation)
            self._look(self._clock.now_ns(), time.monotonic())

    def returned(self, payload: bytes) -> None:
        """A probe has come back: all that was published before it is in its lane."""
        if self.horizon.returned(payload):
            self._goes_on(self.horizon.now_ns)

    def _look(self, now_ns: int, at_s: float) -> None:
        if self._holding():
            self.horizon.heard()  # it is we, or Kafka, who are slow: what waits at the broker must come first
        if self.horizon.looked(now_ns, at_s):
            self._goes_on(self.horizon.now_ns)
        if self._client.connected and not self._probing:
            payload = self.horizon.probe(now_ns, self._client.generation)
            if payload is not None:
                task = asyncio.create_task(self._probe(payload))
                self._probing.add(task)
                task.add_done_callback(self._probing.discard)

    async def _probe(self, payload: bytes) -> None:
        try:
            await self._client.publish(probe_topic(self._settings.bridge), payload)
        except MqttError:
            self.horizon.not_sent()


async def newest_ticks(kafka: KafkaSettings, partitions: int, bridge: str) -> list[int]:
    """How far a bridge's time had come in each partition of the log; `NEVER` where that can't be told any more."""
    name = topics.INPUT.name
    back = {(name, partition): -_TAIL for partition in range(partitions)}
    async with TopicReader(kafka, (name,), offsets=back) as reader:
        found = await reader.read_to_end()
    newest = [NEVER] * partitions
    for record in found:
        if record.header(records.HEADER) == b"tick" and record.value:
            tick = records.decode(record.value)
            if isinstance(tick, Tick) and tick.bridge == bridge:
                newest[record.partition] = max(newest[record.partition], tick.now_ns)
    return newest
