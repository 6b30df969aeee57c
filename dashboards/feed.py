"""Feeds the console from Kafka, and writes what people say on it into the input log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Final

import msgspec

from dashboards.console import Console
from dashboards.console.people import Said
from transport.kafka import KafkaError, KafkaSettings, Record, TopicReader, make_producer
from vitals import answers, audit, duty, frames_codec, topics
from vitals import log as records
from vitals.audit import Entry
from vitals.duty import DutyError
from vitals.events import event_decoder
from vitals.frames_codec import FramesError
from vitals.hops import Stamp, appended_at
from vitals.log import Binding, Command, Enrolment, Limit, LogError

log = logging.getLogger(__name__)

_READ: Final = (
    topics.ALARMS.name,
    topics.FRAMES.name,
    topics.HEALTH.name,
    topics.ANSWERS.name,
    topics.AUDIT.name,
)
# Of years of audit the newest are enough to search in, and of answers those that somebody may still look at.
_BACK: Final = {(topics.AUDIT.name, 0): -20_000, (topics.ANSWERS.name, 0): -2_000}
_NEWEST: Final = (topics.REGISTRY.name, topics.DUTY.name)
_RETRY_S: Final = 2.0


class CommandSender:
    """Writes commands into the input log, at the partition of their patient, and what is for the pager to its topic."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        """Nothing is connected before `start`."""
        self._producer: Any = make_producer(settings)
        self._partitions = partitions

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Close."""
        await self._producer.stop()

    async def __call__(self, command: Command) -> None:
        """Write a command; returns when Kafka has acknowledged it."""
        kind, value = records.encode(command)
        await self._producer.send_and_wait(
            topics.INPUT.name,
            value,
            key=command.patient.encode(),
            partition=topics.partition_of(command.patient, self._partitions),
            headers=[(records.HEADER, kind)],
        )

    async def say(self, said: Said) -> None:
        """Write something for the pager; returns when Kafka has acknowledged it."""
        await self._producer.send_and_wait(topics.ANSWERS.name, answers.encoder.encode(said), partition=0)

    async def keep_audit(self, entries: asyncio.Queue[Entry]) -> None:
        """Empty a queue into the audit topic, until cancelled; what Kafka does not take waits and is tried again."""
        while True:
            value = audit.entry_encoder.encode(await entries.get())
            kept = await self._kept(value)
            while not kept:
                await asyncio.sleep(_RETRY_S)
                kept = await self._kept(value)

    async def _kept(self, value: bytes) -> bool:
        try:
            await self._producer.send_and_wait(topics.AUDIT.name, value, partition=0)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("a fact could not be written to the audit: %s", type(error).__name__)
            return False
        return True


class ConsoleFeed:
    """Reads what the console shows, from the beginning of what Kafka keeps."""

    def __init__(self, settings: KafkaSettings, console: Console) -> None:
        """Nothing is read before `start`."""
        self._settings = settings
        self._console = console
        self._tasks: list[asyncio.Task[None]] = []
        self._readers: list[TopicReader] = []

    async def start(self) -> None:
        """Connect, and follow from now on."""
        registry = TopicReader(self._settings, _NEWEST, compacted=True)
        events = TopicReader(self._settings, _READ, offsets=_BACK)
        self._readers = [registry, events]
        for reader in self._readers:
            await reader.start()
        for record in await registry.read_to_end():
            self._take(record)
        self._tasks = [asyncio.create_task(self._follow(reader)) for reader in self._readers]

    async def stop(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers:
            with contextlib.suppress(Exception):
                await reader.stop()

    async def wait(self) -> None:
        """Until following fails.

        Raises:
            Exception: Why: the page must not go on looking well.
        """
        await asyncio.gather(*self._tasks)

    async def _follow(self, reader: TopicReader) -> None:
        async for record in reader:
            try:
                self._take(record)
            except (msgspec.DecodeError, FramesError, ValueError, RecursionError):
                # One record that cannot be read must not take the page down; where it stands is said.
                log.exception("%s, partition %d, offset %d cannot be shown", *_place(record))

    def _take(self, record: Record) -> None:
        value = record.value or b""
        if record.topic == topics.ALARMS.name:
            stamps = msgspec.json.decode(record.header("stamps") or b"{}", type=dict[str, int])
            if record.by_broker:
                clock = self._console.clock
                emitted = appended_at(record.timestamp_ms, time.time_ns(), clock.now_ns(), clock.speed)
                stamps[Stamp.EMITTED] = max(emitted, stamps.get(Stamp.SCORED, 0))
            self._console.on_alarm(event_decoder.decode(value), stamps, (record.partition, record.offset))
        elif record.topic == topics.FRAMES.name:
            self._console.on_frames(frames_codec.decode(value))
        elif record.topic == topics.HEALTH.name:
            self._console.on_health(msgspec.json.decode(value, type=dict[str, Any]))
        elif record.topic == topics.ANSWERS.name:
            self._console.on_answer(answers.decoder.decode(value))
        elif record.topic == topics.AUDIT.name:
            self._console.on_audit(audit.entry_decoder.decode(value))
        elif record.topic == topics.DUTY.name:
            self._duty(value)
        else:
            self._registry(record)

    def _duty(self, value: bytes) -> None:
        try:
            self._console.on_board(duty.decode(value))
        except DutyError:
            log.exception("a duty board cannot be shown")

    def _registry(self, record: Record) -> None:
        if record.value is None:
            return
        with contextlib.suppress(LogError):
            said = records.decode(record.value)
            if isinstance(said, Binding | Enrolment | Limit):
                self._console.on_registry(said)


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset
