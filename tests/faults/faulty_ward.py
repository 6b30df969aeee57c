"""A ward of real processes on real servers, for what befalls it: started, disturbed at seeded moments, then judged.

Mosquitto, Kafka and InfluxDB, a bridge, monitoring workers and the storing app run as `teleward up` runs them, under
its supervisor. Simulated devices publish through a proxy of ours; so do all parts talk to Kafka and the bridge to
Mosquitto, so that a test can cut each way or let it swallow everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import natives
from aiokafka import AIOKafkaConsumer, TopicPartition
from cuttable import Proxy

from deploy.brokers.mosquitto import Role
from deploy.clock import WallClock
from deploy.kafka_topics import ensure, plan
from deploy.native.process import free_port
from deploy.native.servers import QUICK_START, NativeSettings, NativeStack
from deploy.parts import environment as env
from deploy.parts.process import PartProcess
from deploy.parts.supervisor import Supervisor
from deploy.ward_process import say
from device_sim import Simulation, Truth
from device_sim import plan as plan_devices
from device_sim.device import Device
from device_sim.faults import Faults
from device_sim.kinds import KINDS
from device_sim.people import generator
from device_sim.queue import MemoryQueue, Queue
from device_sim.scenario import Plan, Scenario
from device_sim.scenario_file import parse
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings, TopicReader, make_producer
from transport.mqtt import MqttClient
from vitals import log, topics
from vitals.log import Binding, Enrolment, Tick
from vitals.signs import SECOND_NS, Sign

SPEED = 10.0  # a minute of the patients in six seconds
PARTITIONS = 2
BEACONS = 24
_BEACON_S = 240  # an event of each beacon every two minutes of the patients' time
SETTLE_S = 130  # of the patients' time after the last bundle: frames close, and what persists is said
SESSION_S = 3.0
MIB = 1 << 20

SCENARIO = """
name: faults
seed: {seed}
duration: {seconds}s
every: {{wrist: {{sample: 5s, bundle: 5s}}, chest: {{sample: 5s, bundle: 5s}}}}
patients:
  - {{id: s-1, age: 74, devices: [chest, wrist]}}
  - {{id: s-2, age: 58, devices: [chest, wrist, tablet]}}
  - {{id: s-3, age: 44, devices: [chest, wrist, cuff]}}
stories:
  - {{patient: s-1, story: atrial-fibrillation, at: 2m}}
  - {{patient: s-2, story: respiratory-failure, at: 1m, tempo: 10}}
  - {{patient: s-3, story: haemorrhage, at: 1m, tempo: 10}}
"""


def scenario_of(seed: int, seconds: int) -> Scenario:
    """Three patients who fall ill at once, for so many seconds of theirs."""
    return parse(SCENARIO.format(seed=seed, seconds=seconds))


def planned(scenario: Scenario, start_ns: int) -> Plan:
    """The scenario, and beacons: patients whose saturation falls and comes back again and again, each in its turn."""
    made = plan_devices(scenario, start_ns)
    names = [f"beacon-{k:02}" for k in range(BEACONS)]
    beacons = [_beacon(f"{name}-wrist", k, start_ns) for k, name in enumerate(names)]
    enrolments = [Enrolment(patient=name, state="admitted", at_ns=start_ns) for name in names]
    bindings = [
        Binding(device=f"{name}-wrist", patient=name, from_ns=start_ns, period_ns=5 * SECOND_NS) for name in names
    ]
    return replace(
        made,
        devices=(*made.devices, *beacons),
        enrolments=(*made.enrolments, *enrolments),
        bindings=(*made.bindings, *bindings),
    )


def _beacon(device: str, number: int, start_ns: int) -> Device:
    begins_ns = start_ns + (30 + number * _BEACON_S // BEACONS) * SECOND_NS

    def body(t_ns: int) -> list[float]:
        values = [0.0] * len(Sign)
        low = t_ns >= begins_ns and (t_ns - begins_ns) // SECOND_NS % _BEACON_S < _BEACON_S // 2
        values[Sign.PULSE], values[Sign.SPO2] = 72.0, 84.0 if low else 97.0
        return values

    kind = KINDS["wrist"].every(5 * SECOND_NS, 5 * SECOND_NS)
    queue: Queue = MemoryQueue()
    faults = Faults([], generator(number, device))
    return Device(device, kind, body, faults, queue, start_ns=start_ns, phase_ns=(number * 5 // BEACONS) * SECOND_NS)


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
        store_folder: Where the SQLite file goes; None: into the folder.
        faults: What was done to it, in order.
    """

    folder: Path
    scenario: Scenario
    workers: int = 2
    store: str = "sqlite"
    store_folder: Path | None = None
    faults: list[Fault] = field(default_factory=list)
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
        kafka_port = free_port()
        self.to_kafka = await self._exit.enter_async_context(Proxy(kafka_port))
        advertised = {"advertised.listeners": f"CLIENTS://127.0.0.1:{self.to_kafka.port}"}
        self.stack = NativeStack(
            NativeSettings(self.folder / "servers", kafka_port=kafka_port, jvm=QUICK_START, kafka=advertised),
            natives.installed(),
        )
        self.supervisor = Supervisor(lambda _: None)
        self._exit.push_async_callback(self.supervisor.stop)
        servers = self.stack.servers if self.store == "influx" else (self.stack.kafka, self.stack.mqtt)
        await self.supervisor.start(servers)
        await ensure(self.bootstrap, plan(partitions=PARTITIONS))
        self.bridge_to_mqtt = await self._exit.enter_async_context(Proxy(self.stack.mqtt_port))
        self.devices_to_mqtt = await self._exit.enter_async_context(Proxy(self.stack.mqtt_port))
        # What devices say may be some seconds ahead of the wall until everything is up.
        self.since_ns = time.time_ns()
        self.clock = WallClock(SPEED, self.since_ns)
        self.plan = planned(self.scenario, self.clock.now_ns() + 30 * SECOND_NS)
        await self._register()
        self._make_parts()
        await self.supervisor.start(list(self.parts.values()))
        self._player = await self._exit.enter_async_context(
            MqttClient(replace(
                natives.signed_in(self.stack.mqtt, "player", Role.PLAYER),
                port=self.devices_to_mqtt.port, max_in_flight=100, reconnect_max_s=1.0, keepalive_s=2,
            ))
        )  # fmt: skip
        await self._player.until_connected()
        self.simulation = Simulation(self.plan, self._player, self.clock)
        self._playing = asyncio.create_task(self.simulation.run(grace_s=60.0))
        self._exit.callback(self._playing.cancel)

    @property
    def bootstrap(self) -> str:
        """Kafka, as the parts see it."""
        return f"127.0.0.1:{self.to_kafka.port}"

    @property
    def kafka(self) -> KafkaSettings:
        """How a test reads from it."""
        return KafkaSettings(self.bootstrap)

    @property
    def store_address(self) -> str:
        """As parts are told of the store."""
        if self.store == "influx":
            return self.stack.influx_url
        return f"sqlite:///{(self.store_folder or self.folder).resolve() / 'ward.sqlite'}"

    async def _register(self) -> None:
        producer = make_producer(self.kafka)
        await producer.start()
        try:
            for record in self.plan.records:
                await say(producer, record)
        finally:
            await producer.stop()

    def _make_parts(self) -> None:
        accounts = self.stack.mqtt.accounts
        self.stack.password("bridge", Role.BRIDGE)
        self.variables = {
            **os.environ,
            env.KAFKA: self.bootstrap,
            env.PARTITIONS: str(PARTITIONS),
            env.BRIDGE: "bridge",
            env.MQTT_PORT: str(self.bridge_to_mqtt.port),
            env.MQTT_USER: "bridge",
            env.MQTT_PASSWORD_FILE: str(accounts.own_file("bridge")),
            env.STORE: self.store_address,
            env.SESSION_S: str(SESSION_S),
            env.CLOCK: self.clock_text(),
        }
        workers = [(f"monitoring-{i}", "monitoring") for i in range(self.workers)]
        for name, which in [("bridge", "bridge"), *workers, ("storing", "storing")]:
            told = {**self.variables, env.INSTANCE: name}
            self.parts[name] = PartProcess(name, ("run", which), self.folder, told)

    def clock_text(self, ahead_s: float = 0.0) -> str:
        """Ward time for a part; of one whose clock is wrong, in seconds of ward time."""
        # since + (wall - since) * speed: an earlier `since` puts it ahead.
        return f"{SPEED:g}@{self.since_ns - round(ahead_s * SECOND_NS / (SPEED - 1))}"

    # -- what is done to it ------------------------------------------------------------------------------------------

    def kill(self, *names: str) -> None:
        """kill -9, all in one breath; the supervisor starts them again."""
        servers = {server.name: server for server in self.stack.servers}
        for name in names:
            pid = (self.parts.get(name) or servers[name]).pid
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.faults.append(Fault(f"kill -9 {' and '.join(names)}", time.time()))

    def set_clock(self, name: str, ahead_s: float) -> None:
        """A machine that comes back with a wrong clock: the part is killed, and lives by that clock from then on."""
        part = self.parts[name]
        part._variables[env.CLOCK] = self.clock_text(ahead_s)
        os.kill(part.pid, signal.SIGKILL)
        self.faults.append(Fault(f"{name} comes back with its clock {ahead_s:+g} s", time.time()))

    async def cut(self, proxy: Proxy, what: str, seconds: float, *, swallow: bool) -> None:
        """Cut a way for some seconds of the wall: connections break, or everything sent is swallowed."""
        fault = Fault(f"{what} {'swallows everything' if swallow else 'is cut'} for {seconds:g} s", time.time())
        self.faults.append(fault)
        proxy.swallow() if swallow else proxy.cut()
        await asyncio.sleep(seconds)  # how long the fault lasts; nothing is waited for
        proxy.mend()
        fault.until_s = time.time()

    # -- the end -----------------------------------------------------------------------------------------------------

    async def finish(self) -> Truth:
        """Let devices finish, time go on, the bridge stop, and the others catch up with the log; then stop them."""
        truth = await self._playing
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
