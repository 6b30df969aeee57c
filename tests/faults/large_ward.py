"""Kafka, monitoring workers and a log with many patients in it, written without bridge and devices.

Each second of the wall is one of ward time: a tick, the bundles of a tenth of the patients, and in each partition a
beacon, a patient not heard of before whose saturation has been low for long enough, so that it is an alarm at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import natives
from aiokafka import AIOKafkaConsumer, TopicPartition
from wards import SentBundle, block, ns

from deploy.kafka_topics import ensure, plan
from deploy.native.servers import QUICK_START, Kafka
from deploy.parts import environment as env
from deploy.parts.process import PartProcess
from deploy.parts.supervisor import Supervisor
from stream_processors.snapshots import read_newest
from transport.kafka import KafkaSettings, TopicReader, make_producer
from vitals import block as blocks
from vitals import log, topics
from vitals.log import Binding, Enrolment, Record, Tick
from vitals.reading import Block
from vitals.signs import SECOND_NS

PARTITIONS = 4
SESSION_S = 3.0
_EVERY_S = 10  # between two bundles of a patient
_LOW_S = 75  # the limit of saturation asks for a minute
_BLOCK = 250  # bundles
_HISTORY_S = 190  # three frames have closed


@dataclass
class LargeWard:
    """``async with LargeWard(folder, patients, workers) as ward``: three minutes are behind it, and time goes on.

    Attributes:
        folder: Of data and logs.
        patients: How many, beside the beacons.
        workers: Monitoring processes.
        parts: The workers, by name.
        second: Ward time, in seconds from the start.
    """

    folder: Path
    patients: int
    workers: int
    parts: dict[str, PartProcess] = field(default_factory=dict)
    second: int = 0

    async def __aenter__(self) -> Self:
        self._exit = AsyncExitStack()
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        there = natives.installed()
        self._server = Kafka(self.folder / "kafka", there.java, there.kafka_libs, jvm=QUICK_START)
        self._exit.push_async_callback(self._server.stop)
        await self._server.start()
        self.kafka = KafkaSettings(self._server.bootstrap)
        await ensure(self._server.bootstrap, plan(partitions=PARTITIONS))
        self._producer = make_producer(self.kafka)
        await self._producer.start()
        self._exit.push_async_callback(self._producer.stop)
        names = [f"p-{i:05}" for i in range(self.patients)]
        self._of: list[list[str]] = [[] for _ in range(PARTITIONS)]
        for name in names:
            self._of[topics.partition_of(name, PARTITIONS)].append(name)
        self._sequence = dict.fromkeys(names, 0)
        self._beacons = [0] * PARTITIONS
        for partition, mine in enumerate(self._of):
            await self._append(partition, (record for name in mine for record in _let_in(name)))
        while self.second < _HISTORY_S:
            await self._next(beacons=False)
        told = {**os.environ, env.KAFKA: self._server.bootstrap, env.PARTITIONS: str(PARTITIONS)}
        self.supervisor = Supervisor(lambda _: None)
        self._exit.push_async_callback(self.supervisor.stop)
        for i in range(self.workers):
            name = f"monitoring-{i}"
            more = {env.INSTANCE: name, env.SESSION_S: str(SESSION_S)}
            self.parts[name] = PartProcess(name, ("run", "monitoring"), self.folder, {**told, **more})
        await self.supervisor.start(list(self.parts.values()))
        self._going_on = asyncio.create_task(self._go_on())
        self._exit.push_async_callback(self._stop_going_on)

    async def _stop_going_on(self) -> None:
        self._going_on.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._going_on

    async def _go_on(self) -> None:
        while True:
            began = time.monotonic()
            await self._next(beacons=True)
            await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))

    async def _next(self, *, beacons: bool) -> None:
        """The next second of ward time."""
        self.second += 1
        for partition, mine in enumerate(self._of):
            due = mine[self.second % _EVERY_S :: _EVERY_S]
            made: list[Record] = [
                block(self._bundle(name) for name in due[low : low + _BLOCK]) for low in range(0, len(due), _BLOCK)
            ]
            if beacons:
                made += self._beacon(partition)
            await self._append(partition, [*made, Tick(now_ns=ns(self.second))])

    def _bundle(self, name: str) -> SentBundle:
        number = self._sequence[name]
        self._sequence[name] = number + 1
        wave = (int(name[2:]) + number) % 7
        readings = [("hr", 70.0 + wave), ("spo2", 96.0 + wave % 3), ("resp", 15.0), ("temp_c", 36.8), ("sbp", 120.0)]
        at = self.second
        return SentBundle(f"d-{name}", name, number, at, [(sign, value, at) for sign, value in readings])

    def _beacon(self, partition: int) -> list[Record]:
        while True:
            self._beacons[partition] += 1
            name = f"beacon-{partition}-{self._beacons[partition]}"
            if topics.partition_of(name, PARTITIONS) == partition:
                break
        times = range(self.second - _LOW_S, self.second, 5)
        low = [
            SentBundle(f"d-{name}", name, seq, at, [("spo2", 82.0, at)], received_s=self.second)
            for seq, at in enumerate(times)
        ]
        # An owner of the measure is chosen at a tick, so the last of it comes behind one.
        return [*_let_in(name), block(low[:-1]), Tick(now_ns=ns(self.second - 0.5)), block(low[-1:])]

    async def _append(self, partition: int, records: Iterable[Record]) -> None:
        waits: list[Any] = []
        for record in records:
            kind, data = (log.BLOCK, blocks.encode(record)) if isinstance(record, Block) else log.encode(record)
            headers = [(log.HEADER, kind)]
            waits.append(await self._producer.send(topics.INPUT.name, data, partition=partition, headers=headers))
        for wait in waits:
            await wait

    # -- what tests ask and do ---------------------------------------------------------------------------------------

    def kill(self, name: str, *, for_good: bool) -> float:
        """kill -9; the instant, seconds of the wall since 1970. Started again unless it is for good."""
        if for_good:
            self.supervisor._tasks.pop(name).cancel()
            self.supervisor._stages = [[one for one in stage if one.name != name] for stage in self.supervisor._stages]
        at_s = time.time()
        pid = self.parts[name].pid
        os.kill(pid, signal.SIGKILL)
        if for_good:
            while self.parts[name].pid:  # nobody else asks for how it ended
                time.sleep(0.001)
        return at_s

    async def until_alarms_flow(self, after_s: float) -> list[float]:
        """Until each partition has told an alarm event after an instant.

        Args:
            after_s: Seconds of the wall since 1970.

        Returns:
            For each partition, when it told the first.
        """
        first: dict[int, float] = {}
        async with TopicReader(self.kafka, (topics.ALARMS.name,)) as reader:
            while len(first) < PARTITIONS:
                for record in await reader.read():
                    if record.timestamp_ms / 1e3 > after_s:
                        first.setdefault(record.partition, record.timestamp_ms / 1e3)
        return [first[partition] for partition in range(PARTITIONS)]

    async def snapshot_bytes(self) -> int:
        """Of the newest snapshots of all partitions together, before compression."""
        found = [await read_newest(self.kafka, partition) for partition in range(PARTITIONS)]
        return sum(one.manifest.size for one in found if one is not None)

    async def until_judged(self) -> None:
        """Until workers are not behind the log."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap, group_id="teleward-monitoring", enable_auto_commit=False
        )
        await consumer.start()
        try:
            places = [TopicPartition(topics.INPUT.name, p) for p in range(PARTITIONS)]
            consumer.assign(places)
            while True:
                ends = await consumer.end_offsets(places)
                behind = [ends[at] - (await consumer.committed(at) or 0) for at in places]
                # A snapshot each ten seconds or more often, and some eight records of each partition a second.
                if max(behind) < 200:
                    return
                await asyncio.sleep(0.2)
        finally:
            await consumer.stop()


def _let_in(name: str) -> list[Record]:
    return [
        Enrolment(patient=name, state="admitted", at_ns=ns(0)),
        Binding(device=f"d-{name}", patient=name, from_ns=0, period_ns=_EVERY_S * SECOND_NS),
    ]
