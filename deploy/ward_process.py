"""The whole ward in one process on the embedded stack: brokers, bridge, both Faust apps, store, console.

Volatile on purpose: the brokers keep nothing, and a failure that would need a supervisor ends it with the reason. What
promises durability runs on real servers (`teleward up`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from dashboards.console import Console, ConsoleSettings
from deploy.alarm_watch import AlarmWatch
from deploy.clock import WardClock
from deploy.detectors import wards_with
from deploy.embedded import EmbeddedSettings, EmbeddedStack
from deploy.page import Page, PageError
from deploy.paging import PagerPart, PagingSettings
from deploy.ward_times import WardTimes
from ingest.bridge import Bridge
from ingest.settings import BridgeSettings
from stream_processors.monitoring import Monitoring
from stream_processors.settings import MODEL_DEADLINE_S, StoringSettings, StreamSettings
from stream_processors.storing import Storing
from transport.kafka import KafkaSettings, TopicReader, make_producer, quiet_aiokafka
from transport.mqtt import MqttClient, MqttSettings
from transport.stores.base import Store
from transport.stores.sqlite import SqliteStore
from vitals import log as records
from vitals import topics
from vitals.log import Binding, Enrolment, Limit

log = logging.getLogger(__name__)

RegistryRecord = Binding | Enrolment | Limit
_SENDERS = 4  # connections that the simulated devices share


@dataclass(frozen=True, slots=True)
class WardProcessSettings:
    """What the process is made of.

    Attributes:
        store_file: SQLite file of the store.
        store: Makes another store instead; None takes the file.
        partitions: Of the input topic.
        ticks: ``clock`` for devices that live in ward time, ``marks`` for a replay.
        console: The page's settings; None runs without a page.
        paging: What the pager is made of, given Kafka and the page's address ("" without one); None runs without it.
        ticks_per_s: Most ticks a second of the wall.
        mqtt_port: Of the MQTT listener; 0 takes a free one.
        shadow: Folders of artifacts that run in shadow: scored and stored, never alarmed.
        fetch_max_wait_ms: Of every Kafka consumer; the embedded cluster sleeps all of it on an empty fetch.
    """

    store_file: Path
    partitions: int = topics.PARTITIONS
    ticks: Literal["clock", "marks"] = "clock"
    console: ConsoleSettings | None = None
    paging: Callable[[KafkaSettings, str], PagingSettings] | None = None
    fetch_max_wait_ms: int = 10
    ticks_per_s: float = 20.0
    mqtt_port: int = 0
    store: Callable[[], Store] | None = None
    shadow: tuple[Path, ...] = ()


class WardFailedError(RuntimeError):
    """A part could not go on; on this stack nobody starts it again."""


@dataclass
class WardProcess:
    """The running ward: ``async with WardProcess(settings, clock, said) as ward``.

    Attributes:
        settings: What it is made of.
        clock: Ward time.
        said: Enrolments, bindings and limits that stand in the registry before anything starts.
    """

    settings: WardProcessSettings
    clock: WardClock
    said: Iterable[RegistryRecord] = ()
    failed: asyncio.Future[None] = field(init=False)
    stack: EmbeddedStack = field(init=False)
    bridge: Bridge = field(init=False)
    monitoring: Monitoring = field(init=False)
    storing: Storing = field(init=False)
    store: Store = field(init=False)
    alarms: AlarmWatch = field(init=False)
    console: Console | None = field(init=False, default=None)
    page: str = field(init=False, default="")
    pager: PagerPart | None = field(init=False, default=None)
    _exit: AsyncExitStack = field(init=False)

    async def __aenter__(self) -> Self:
        """Start every part, in the order in which they need each other."""
        self._exit = AsyncExitStack()
        self.failed = asyncio.get_running_loop().create_future()
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop in the opposite order: clients first, then the brokers."""
        await self._exit.aclose()
        if self.failed.done():
            self.failed.exception()
        else:
            self.failed.cancel()

    def fail(self, part: str, error: BaseException) -> None:
        """A part cannot go on."""
        if not self.failed.done():
            failure = WardFailedError(f"{part} cannot go on: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.failed.set_exception(failure)

    async def _start(self) -> None:
        settings, partitions = self.settings, self.settings.partitions
        wanted = {topic.name: partitions if topic.partitioned else 1 for topic in topics.ALL}
        self.stack = await self._exit.enter_async_context(
            EmbeddedStack(EmbeddedSettings(topics=wanted, mqtt_port=settings.mqtt_port))
        )
        quiet_aiokafka()
        kafka = KafkaSettings(self.stack.bootstrap, fetch_max_wait_ms=settings.fetch_max_wait_ms)
        await self._say(kafka)

        self.store = settings.store() if settings.store is not None else SqliteStore(settings.store_file)
        self._exit.callback(self.store.close)
        # In a replay time stands still until all is judged: no model can be late, and the events are a ward's alone.
        deadline_s = math.inf if settings.ticks == "marks" else MODEL_DEADLINE_S
        stream = StreamSettings(kafka=kafka, partitions=partitions, model_deadline_s=deadline_s)
        self.monitoring = Monitoring(stream, self.clock, ward=wards_with(settings.shadow), fatal=self.fail)
        # Hops are told in ward time: on a demo that runs sixty times as fast the store's pause is a sixtieth.
        storing = StoringSettings(stream)
        storing = replace(storing, write_every_s=storing.write_every_s / self.clock.speed)
        self.storing = Storing(storing, self.clock, self.store, fatal=self.fail)
        self._exit.push_async_callback(self.storing.stop)
        self._exit.push_async_callback(self.monitoring.stop)
        self.bridge = Bridge(
            BridgeSettings(
                # Bridge, judges, store and page share one interpreter here: records are what it runs out of first.
                gather_s=0.02,
                busy_per_s=200.0,
                mqtt=MqttSettings("bridge", port=self.stack.mqtt_port, receive_maximum=100),
                kafka=kafka,
                ticks=settings.ticks,
                ticks_per_s=settings.ticks_per_s,
            ),
            self.clock,
        )
        self._exit.push_async_callback(self.bridge.stop)
        await asyncio.gather(self.storing.start(), self.monitoring.start(), self.bridge.start())
        self._watch("bridge", self.bridge.wait())
        self.alarms = AlarmWatch(kafka)
        await self.alarms.start()
        self._exit.push_async_callback(self.alarms.stop)
        if settings.console is not None:
            await self._start_console(kafka, settings.console)
        if settings.paging is not None:
            # Nothing in it is in a hurry of milliseconds, and each idle consumer costs.
            made_of = settings.paging(replace(kafka, fetch_max_wait_ms=50), self.page)
            self.pager = await self._exit.enter_async_context(PagerPart(made_of, self.clock))
            self._watch("pager", self.pager.wait())
        async with asyncio.timeout(30):
            await asyncio.gather(self.bridge.until_ready(), self.monitoring.ready.wait(), self.storing.ready.wait())

    async def _say(self, kafka: KafkaSettings) -> None:
        """Write what was said before the start into the registry."""
        producer = make_producer(kafka)
        await producer.start()
        try:
            for record in self.said:
                await say(producer, record)
            await producer.flush()
        finally:
            await producer.stop()

    async def _start_console(self, kafka: KafkaSettings, settings: ConsoleSettings) -> None:
        try:
            page = await self._exit.enter_async_context(
                Page(kafka, self.settings.partitions, self.store, self.clock, settings)
            )
        except PageError as error:
            raise WardFailedError(str(error)) from error
        self.console, self.page = page.console, page.address
        self._watch("console", page.wait())

    def _watch(self, part: str, waiting: Any) -> None:
        async def watch() -> None:
            try:
                await waiting
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it was ends the ward, with its reason
                self.fail(part, error)

        task = asyncio.create_task(watch(), name=f"watch {part}")

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._exit.push_async_callback(end)

    async def unless_failed(self, *work: asyncio.Future[Any], timeout_s: float | None = None) -> None:
        """Wait until one of some futures is done or the time is over; a part that fails meanwhile ends them all.

        Raises:
            WardFailedError: If a part could not go on.
        """
        waits: set[asyncio.Future[Any]] = {*work, self.failed}
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self.failed.done():
            for future in work:
                future.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.failed

    @property
    def taken(self) -> int:
        """Messages of devices and players that the bridge has taken."""
        counts = self.bridge.counts
        played = counts.ticks + counts.announced if self.settings.ticks == "marks" else 0
        return counts.bundles + counts.quarantined + played

    async def drained(self, published: int) -> None:
        """Wait until all that was published up to now is appended, judged and kept.

        Args:
            published: Messages (bundles and marks) that the MQTT broker has acknowledged to the devices.
        """
        while self.taken < published or self.bridge.held:  # what is taken may still gather
            await self._breathe()
        await self._reached((topics.INPUT.name, topics.QUARANTINE.name))
        await self._reached((topics.ALARMS.name, topics.FRAMES.name))
        await self.alarms.caught_up()

    async def _reached(self, names: tuple[str, ...]) -> None:
        """Wait until monitoring and the store have come to where these topics end now."""
        kafka = KafkaSettings(self.stack.bootstrap, fetch_max_wait_ms=self.settings.fetch_max_wait_ms)
        async with TopicReader(kafka, names, begin="latest") as reader:
            end = await reader.end_offsets()
        while True:
            settled = await asyncio.to_thread(self.storing.settled)
            judged = self.monitoring.positions
            missing = [
                place
                for place, offset in end.items()
                if offset
                and (
                    settled.get(place, 0) < offset
                    or (place[0] == topics.INPUT.name and judged.get(place[1], 0) < offset)
                )
            ]
            if not missing:
                return
            await self._breathe()

    async def _breathe(self) -> None:
        """Let the others work a little; a part that failed meanwhile is raised."""
        if self.failed.done():
            await self.failed
        await asyncio.sleep(0.02)

    async def publisher(self, connections: int = _SENDERS) -> Senders:
        """Connections for simulated devices; they end with the ward."""
        senders = Senders(self.stack.mqtt_port, connections)
        await senders.start()
        self._exit.push_async_callback(senders.stop)
        return senders


async def say(producer: Any, record: RegistryRecord) -> None:
    """Write a binding, an enrolment or a limit into the registry."""
    kind, value = records.encode(record)
    if isinstance(record, Binding):
        key = topics.registry_key("binding", record.device, str(record.from_ns))
    elif isinstance(record, Limit):
        key = topics.registry_key("limit", record.patient, record.rule)
    else:
        key = topics.registry_key("enrolment", record.patient)
    await producer.send_and_wait(topics.REGISTRY.name, value, key=key, headers=[(records.HEADER, kind)])


class Senders:
    """A few MQTT connections that many simulated devices share; a device always uses the same one.

    Attributes:
        published: Messages that the broker has acknowledged.
        sent_bytes: Bytes in them.
        times: Where they hear what time it is in the ward.
    """

    def __init__(self, port: int, count: int = _SENDERS) -> None:
        """Nothing is connected before `start`."""
        self._clients = [
            MqttClient(
                MqttSettings(f"devices-{i}", port=port, session_expiry_s=0, max_in_flight=100),
                () if i else (topics.MQTT_CLOCK,),
            )
            for i in range(count)
        ]
        self.times = WardTimes(self._clients[0])
        self.published = self.sent_bytes = 0

    async def start(self) -> None:
        """Connect all."""
        for client in self._clients:
            await client.start()
        await asyncio.gather(*(client.until_connected() for client in self._clients))

    async def stop(self) -> None:
        """Close all."""
        await asyncio.gather(*(client.stop() for client in self._clients))

    @property
    def connections(self) -> int:
        """See `device_sim.ports.Publisher`: of all of them together."""
        return sum(client.connections for client in self._clients)

    async def until_reconnected(self, after: int) -> int:
        """See `device_sim.ports.Publisher`."""
        while self.connections <= after:
            waits = [asyncio.ensure_future(c.until_reconnected(c.connections)) for c in self._clients]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return self.connections

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `device_sim.ports.Publisher`."""
        await self._clients[topics.partition_of(topic, len(self._clients))].publish(topic, payload)
        self.published += 1
        self.sent_bytes += len(payload)
