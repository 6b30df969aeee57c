"""A ward of real processes on real servers, for what befalls it: started, disturbed at seeded moments, then judged.

Mosquitto, Kafka and InfluxDB, a bridge, monitoring workers and the storing app run as `teleward up` runs them, under
its supervisor. Simulated devices publish through a proxy of ours; so do all parts talk to Kafka and the bridge to
Mosquitto, so that a test can cut each way or let it swallow everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import natives
from aiokafka import AIOKafkaConsumer, TopicPartition
from cut_off import Cables
from cuttable import Proxy
from in_the_ward import PARTITIONS, planned
from set_clock import SetClock
from small_disk import SmallDisk

from deploy.brokers.mosquitto import Role
from deploy.clock import WallClock
from deploy.kafka_topics import ensure, plan
from deploy.native.process import LOOPBACK, free_port
from deploy.native.servers import QUICK_START, NativeSettings, NativeStack
from deploy.parts import environment as env
from deploy.parts.on_servers import store_address, ward_parts, ward_variables
from deploy.parts.process import PartProcess, PartStartError
from deploy.parts.supervisor import Supervisor
from deploy.ward_process import say
from device_sim import Simulation, Truth
from device_sim.scenario import Plan, Scenario
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings, TopicReader, make_producer
from transport.mqtt import MqttClient
from transport.stores.influx_setup import set_up_influx
from transport.stores.opened import influx_settings
from vitals import log, topics
from vitals.log import Tick
from vitals.signs import MINUTE_NS, SECOND_NS

SPEED = 10.0  # a minute of the patients in six seconds
KAFKA, MQTT = "kafka", "mqtt"  # ways of a part with networks of its own
_LOOK_S = 0.05
_BEGINS_IN_NS = 10 * SECOND_NS
_OFF_THE_GRID_NS = 7 * SECOND_NS  # so that no beacon changes in the very middle of a frame
SETTLE_S = 130  # of the patients' time after the last bundle: frames close, and what persists is said
SESSION_S = 3.0


@dataclass(slots=True)
class Fault:
    """What was done to the ward.

    Attributes:
        what: In words.
        at_s: When, seconds of the wall since 1970.
        until_s: When it was undone, where it was we who did.
    """

    what: str
    at_s: float
    until_s: float | None = None


@dataclass
class FaultyWard:
    """``async with FaultyWard(folder, scenario) as ward``: runs until it is left; what happens meanwhile is the test's.

    Attributes:
        folder: Of data and logs.
        scenario: What is simulated.
        workers: Monitoring processes.
        store: ``sqlite`` or ``influx``.
        small_disk: Whether the store has a disk of its own, which can be full (root).
        apart: Parts with networks of their own, whose cables can be pulled (root).
        set_clock_of: A part whose wall clock can be set while it runs (libfaketime); "" for none.
        faults: What was done to it, in order.
        stalled_s: Longest time of the wall for which this machine kept the devices from saying anything.
    """

    folder: Path
    scenario: Scenario
    workers: int = 2
    store: Literal["sqlite", "influx"] = "sqlite"
    small_disk: bool = False
    apart: tuple[str, ...] = ()
    set_clock_of: str = ""
    faults: list[Fault] = field(default_factory=list)
    stalled_s: float = 0.0
    stack: NativeStack = field(init=False)
    plan: Plan = field(init=False)
    simulation: Simulation = field(init=False)
    parts: dict[str, PartProcess] = field(default_factory=dict)

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

    # -- start -------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.small_disk:
            place = self.folder / "servers" / "influxdb" if self.store == "influx" else self.folder / "store"
            self.disk = self._exit.enter_context(SmallDisk(place))
        if self.apart:
            self.cables = self._exit.enter_context(Cables((KAFKA, MQTT), self.apart))
        kafka_port = free_port()
        self.to_kafka = await self._exit.enter_async_context(Proxy(kafka_port, self._host(KAFKA)))
        self.stack = NativeStack(
            NativeSettings(
                self.folder / "servers",
                kafka_port=kafka_port,
                jvm=QUICK_START,
                kafka={"advertised.listeners": f"CLIENTS://{self.bootstrap}"},
            ),
            natives.installed(),
        )
        self.supervisor = Supervisor(lambda _: None)
        self._exit.push_async_callback(self.supervisor.stop)
        servers = self.stack.servers if self.store == "influx" else (self.stack.kafka, self.stack.mqtt)
        await self.supervisor.start(servers)
        await ensure(self.bootstrap, plan(partitions=PARTITIONS))
        settings = influx_settings(self.store_address)
        if settings is not None:
            await asyncio.to_thread(set_up_influx, settings)
        self.bridge_to_mqtt = await self._exit.enter_async_context(Proxy(self.stack.mqtt_port, self._host(MQTT)))
        self.devices_to_mqtt = await self._exit.enter_async_context(Proxy(self.stack.mqtt_port))
        self.since_ns = time.time_ns()
        self.clock = WallClock(SPEED, self.since_ns)
        self._make_parts()
        await self._start_parts()
        await self._let_in()
        self._player = await self._exit.enter_async_context(
            MqttClient(replace(
                natives.signed_in(self.stack.mqtt, "player", Role.PLAYER),
                port=self.devices_to_mqtt.port, max_in_flight=100, reconnect_max_s=1.0, keepalive_s=2,
            ))
        )  # fmt: skip
        await self._player.until_connected()
        # On the grid of minutes all runs begin alike; by then everybody is known and connected.
        start_ns = -(-(self.clock.now_ns() + _BEGINS_IN_NS) // MINUTE_NS) * MINUTE_NS + _OFF_THE_GRID_NS
        self.plan = planned(self.scenario, start_ns)
        self.simulation = Simulation(self.plan, self._player, self.clock)
        self._playing = asyncio.create_task(self.simulation.run(grace_s=60.0))
        self._exit.callback(self._playing.cancel)
        self._feeling = asyncio.create_task(self._feel_stalls())
        self._exit.callback(self._feeling.cancel)

    async def _start_parts(self) -> None:
        for left in (2, 1, 0):  # a machine that is busy with something else may not have Kafka ready at once
            try:
                await self.supervisor.start(list(self.parts.values()))
            except PartStartError:
                if not left:
                    raise
            else:
                return

    async def _feel_stalls(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOK_S)
            self.stalled_s = max(self.stalled_s, time.monotonic() - began - _LOOK_S)

    def _host(self, way: str) -> str:
        return self.cables.address(way) if self.apart else LOOPBACK

    @property
    def bootstrap(self) -> str:
        """Kafka, as the parts see it."""
        return f"{self._host(KAFKA)}:{self.to_kafka.port}"

    @property
    def kafka(self) -> KafkaSettings:
        """How a test reads from it."""
        return KafkaSettings(self.bootstrap)

    @property
    def store_address(self) -> str:
        """As parts are told of the store."""
        return store_address(self.stack, self.store, self.disk.folder if self.small_disk else self.folder)

    async def _let_in(self) -> None:
        """Say who is watched and wears what, and wait until the log holds all of it."""
        said = planned(self.scenario, self.clock.now_ns()).records
        producer = make_producer(self.kafka)
        await producer.start()
        try:
            for record in said:
                await say(producer, record)
        finally:
            await producer.stop()
        left = Counter(type(record).__name__.lower().encode() for record in said)
        async with TopicReader(self.kafka, (topics.INPUT.name,)) as reader:
            while left.total() > 0:
                left.subtract(
                    kind for record in await reader.read() if (kind := record.header(log.HEADER) or b"") in left
                )

    def _make_parts(self) -> None:
        """As on every native stack, but that each way goes through a proxy of ours."""
        told = ward_variables(self.stack, PARTITIONS, self.store_address) | {
            env.KAFKA: self.bootstrap,
            env.MQTT_HOST: self._host(MQTT),
            env.MQTT_PORT: str(self.bridge_to_mqtt.port),
            env.SESSION_S: str(SESSION_S),
            env.CLOCK: f"{SPEED:g}@{self.since_ns}",
        }
        self.parts = {part.name: part for part in ward_parts(self.folder, told, self.workers)}
        if self.set_clock_of:
            self._wrong = SetClock(self.folder / "clock")
            self.parts[self.set_clock_of]._variables |= self._wrong.environment()
        for name in self.apart:
            self.parts[name]._command[:0] = self.cables.inside(name)

    # -- what is done to it ------------------------------------------------------------------------------------------

    def kill(self, *names: str) -> None:
        """kill -9, all in one breath; the supervisor starts them again."""
        servers = {server.name: server for server in self.stack.servers}
        for name in names:
            pid = (self.parts.get(name) or servers[name]).pid
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.faults.append(Fault(f"kill -9 {' and '.join(names)}", time.time()))

    async def stand_still(self, name: str, seconds: float) -> None:
        """Stop a process (SIGSTOP) for some seconds of the wall: nobody is told, and it does not know."""
        servers = {server.name: server for server in self.stack.servers}
        pid = (self.parts.get(name) or servers[name]).pid
        assert pid
        with self._lasting(f"{name} stands still for {seconds:g} s"):
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)  # how long the fault lasts; nothing is waited for
            finally:
                os.kill(pid, signal.SIGCONT)

    def set_clock(self, ahead_s: float) -> None:
        """Set the wall clock of `set_clock_of`, so many seconds of ward time ahead of everybody's."""
        self._wrong.set(ahead_s / SPEED)
        self.faults.append(Fault(f"the clock of {self.set_clock_of} is set to {ahead_s:+g} s", time.time()))

    async def pull(self, way: str, part: str, seconds: float) -> None:
        """Pull a part's cable for some seconds of the wall: packets are lost, and nobody is told."""
        with self._lasting(f"{part} is cut off from {way} for {seconds:g} s"):
            self.cables.pull(way, part)
            await asyncio.sleep(seconds)  # how long the fault lasts; nothing is waited for
            self.cables.plug(way, part)

    async def fill_disk(self, seconds: float) -> None:
        """No room on the store's disk for some seconds of the wall."""
        with self._lasting(f"the store's disk is full for {seconds:g} s"):
            self.disk.fill()
            await asyncio.sleep(seconds)  # how long the fault lasts; nothing is waited for
            self.disk.free()

    @contextlib.contextmanager
    def _lasting(self, what: str) -> Iterator[None]:
        fault = Fault(what, time.time())
        self.faults.append(fault)
        yield
        fault.until_s = time.time()

    async def cut(self, proxy: Proxy, what: str, seconds: float, *, swallow: bool) -> None:
        """Cut a way for some seconds of the wall: connections break, or everything sent is swallowed."""
        with self._lasting(f"{what} {'swallows everything' if swallow else 'is cut'} for {seconds:g} s"):
            proxy.swallow() if swallow else proxy.cut()
            await asyncio.sleep(seconds)  # how long the fault lasts; nothing is waited for
            proxy.mend()

    async def until_alarms_flow(self) -> None:
        """Until each partition has told one: from here on silence says something."""
        left = set(range(PARTITIONS))
        async with TopicReader(self.kafka, (topics.ALARMS.name,)) as reader:
            while left:
                left -= {record.partition for record in await reader.read()}

    # -- the end -----------------------------------------------------------------------------------------------------

    async def finish(self) -> Truth:
        """Let devices finish, time go on, the bridge stop, and the others catch up with the log; then stop them."""
        truth = await self._playing
        self._feeling.cancel()
        await self._until_tick((self.plan.end_ns or 0) + SETTLE_S * SECOND_NS)
        await self._stop("bridge")
        await self._until_committed("monitoring", (topics.INPUT.name,))
        # Monitoring has written down what it judged, so all its effects are in Kafka.
        await self._until_committed("storing", (topics.INPUT.name, topics.FRAMES.name, topics.ALARMS.name))
        for name in self.parts:
            if name != "bridge":
                await self._stop(name)
        return truth

    async def _stop(self, name: str) -> None:
        task = self.supervisor._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.supervisor._stages = [[one for one in stage if one.name != name] for stage in self.supervisor._stages]
        await self.parts[name].stop()

    async def _until_tick(self, now_ns: int) -> None:
        async with TopicReader(self.kafka, (topics.INPUT.name,), begin="latest") as reader:
            ticked: dict[int, int] = {}
            while len(ticked) < PARTITIONS or min(ticked.values()) < now_ns:
                for record in await reader.read():
                    if record.header(log.HEADER) == b"tick":
                        tick = log.decode(record.value or b"")
                        assert isinstance(tick, Tick)
                        ticked[record.partition] = tick.now_ns

    async def _until_committed(self, part: str, names: tuple[str, ...]) -> None:
        """Until the group has committed everything that these topics hold."""
        group = f"{StreamSettings.__dataclass_fields__['group_prefix'].default}-{part}"
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(name, p) for name in names for p in range(PARTITIONS)]
            consumer.assign(places)
            while True:
                ends = await consumer.end_offsets(places)
                done = {at: await consumer.committed(at) or 0 for at in places}
                if all(done[at] >= end for at, end in ends.items()):
                    return
                await asyncio.sleep(0.1)
        finally:
            await consumer.stop()
