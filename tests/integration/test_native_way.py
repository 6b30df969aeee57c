"""Bridge and monitoring on the real brokers while these are killed: nothing lost, and alarms as the log says.

A device here does what `values.MQTT_RESEND_S` asks of devices: after a broken connection it sends again what was
acknowledged lately, since no setting of Mosquitto keeps everything that it acknowledged over a kill -9.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import natives
import pytest
from natives import connected, signed_in

from deploy.brokers.mosquitto import Role
from deploy.clock import WardClock
from deploy.native.servers import NativeStack
from ingest.bridge import Bridge
from ingest.settings import BridgeSettings
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings, Record, TopicReader, make_producer, read_all
from transport.mqtt import MqttClient, MqttError
from vitals import block, log, topics, wire
from vitals.events import event_encoder
from vitals.ward import Ward
from vitals.wire import SentBundle, SentReading

pytestmark = pytest.mark.integration

BUNDLES = 200
PATIENTS = {"dev-1": "p-1", "dev-2": "p-2", "dev-3": "p-3", "dev-4": "p-4"}
FALLS_ILL = "dev-2"
STOP_S = 5.0
SPEED = 30.0  # what must persist before it is an alarm does so within seconds


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    with natives.running(tmp_path_factory.mktemp("way")) as stack:
        yield stack


@pytest.fixture
def kafka(stack: NativeStack) -> KafkaSettings:
    return KafkaSettings(stack.bootstrap)


class Progress:
    """How many bundles were acknowledged, for whoever waits for a number of them."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Condition()

    async def step(self) -> None:
        async with self._changed:
            self.count += 1
            self._changed.notify_all()

    async def reach(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


def payload(device: str, seq: int, now_ns: int) -> bytes:
    low = device == FALLS_ILL and seq > BUNDLES // 3
    reading = SentReading(sign="spo2", value=82.0 if low else 97.0, time_ns=now_ns)
    return wire.encode(
        SentBundle(device=device, boot=1, seq=seq, sent_ns=now_ns, n=1, n_before=seq, readings=[reading]), "msgpack"
    )


async def send_all(client: MqttClient, device: str, progress: Progress, clock: WardClock) -> None:
    """All bundles of a device, in order, each until it is acknowledged; and again after every broken connection."""
    sent: dict[int, bytes] = {}
    waiting, acknowledged, connection = deque(range(BUNDLES)), [], 0
    while waiting:
        now = await client.until_connected()
        if now != connection:
            waiting.extendleft(reversed(acknowledged))
            acknowledged, connection = [], now
        seq = waiting[0]
        try:
            await client.publish(
                topics.bundle_topic(device), sent.setdefault(seq, payload(device, seq, clock.now_ns()))
            )
        except MqttError:
            continue
        acknowledged.append(waiting.popleft())
        await progress.step()


async def register(kafka: KafkaSettings, clock: WardClock) -> None:
    producer = make_producer(kafka)
    await producer.start()
    try:
        for device, patient in PATIENTS.items():
            for record, subject in (
                (log.Enrolment(patient=patient, state="admitted", at_ns=clock.now_ns()), patient),
                (log.Binding(device=device, patient=patient, from_ns=0), device),
            ):
                kind, value = log.encode(record)
                key = topics.registry_key(kind.decode(), subject)
                await producer.send_and_wait(topics.REGISTRY.name, value, key=key, headers=[(log.HEADER, kind)])
    finally:
        await producer.stop()


@asynccontextmanager
async def supervised(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a part again and again, as a supervisor does with its process."""

    async def for_ever() -> None:
        while True:
            await run()

    task = asyncio.create_task(for_ever())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def bridge_of(stack: NativeStack, clock: WardClock) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        settings = signed_in(stack.mqtt, "bridge", Role.BRIDGE, receive_maximum=50)
        kafka = KafkaSettings(stack.bootstrap, client_id="bridge")
        with contextlib.suppress(Exception):
            async with Bridge(BridgeSettings(mqtt=settings, kafka=kafka), clock) as bridge:
                await bridge.wait()

    return run


def monitoring_of(stack: NativeStack, clock: WardClock, seen: list[Monitoring]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        failed = asyncio.get_running_loop().create_future()

        def fatal(_: str, error: BaseException) -> None:
            if not failed.done():
                failed.set_result(error)

        settings = StreamSettings(KafkaSettings(stack.bootstrap), partitions=natives.PARTITIONS, session_s=1.5)
        app = Monitoring(settings, clock, fatal=fatal)
        try:
            await app.start()
            seen.append(app)
            await failed
        finally:
            # It has nobody to say goodbye to where Kafka is gone, and would wait for ever.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(STOP_S):
                    await app.stop()

    return run


def bundles(records: list[Record]) -> Counter[tuple[str, int]]:
    """(device, seq) -> how often it stands in the log."""
    found: Counter[tuple[str, int]] = Counter()
    for record in records:
        if record.header(log.HEADER) == log.BLOCK:
            rows = block.decode(record.value or b"")
            found.update(
                (rows.devices[device], seq) for device, seq in zip(rows.device.tolist(), rows.seq.tolist(), strict=True)
            )
    return found


def folded(records: list[Record]) -> set[bytes]:
    """The alarm events that the log means, by a ward of each partition that nothing ever disturbed."""
    wards = [Ward() for _ in range(natives.PARTITIONS)]
    events: set[bytes] = set()
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        read = block.decode if record.header(log.HEADER) == log.BLOCK else log.decode
        events |= {event_encoder.encode(event) for event in wards[record.partition].step(read(record.value)).events}
    return events


async def test_nothing_is_lost_and_every_alarm_is_the_logs_whatever_broker_dies(stack, kafka):
    clock, progress, seen = WardClock(SPEED), Progress(), []
    await register(kafka, clock)
    wanted = {(device, seq) for device in PATIENTS for seq in range(BUNDLES)}
    fate = random.Random(7)
    # The second time nothing that the devices were told is safe has gone further than Mosquitto.
    faults = [(stack.mqtt,), (stack.kafka, stack.mqtt), (stack.kafka,)]
    async with contextlib.AsyncExitStack() as open_:
        await open_.enter_async_context(supervised(monitoring_of(stack, clock, seen)))
        await open_.enter_async_context(supervised(bridge_of(stack, clock)))
        devices = [await open_.enter_async_context(connected(signed_in(stack.mqtt, name))) for name in PATIENTS]
        sending = asyncio.gather(
            *(send_all(client, name, progress, clock) for client, name in zip(devices, PATIENTS, strict=True))
        )
        step = len(wanted) // (2 * len(faults))
        at = 0
        for servers in faults:
            for server in servers:
                at += fate.randrange(step // 2, step)
                await progress.reach(at)
                await server.kill()
            for server in reversed(servers):
                await server.start()
        await sending
        found: list[Record] = []
        async with TopicReader(kafka, (topics.INPUT.name,)) as reader:
            while wanted - set(bundles(found)):
                found += await reader.read()
    # The parts have stopped: the log stands still. What monitoring had not judged yet, the next one judges.
    records = await read_all(kafka, topics.INPUT.name)
    assert set(bundles(records)) == wanted
    ends = {p: 1 + max(r.offset for r in records if r.partition == p) for p in range(natives.PARTITIONS)}
    last = await caught_up(stack, clock, ends)
    assert last.counts.lost == last.counts.dead == 0
    told = {record.value for record in await read_all(kafka, topics.ALARMS.name)}
    assert told == folded(records)
    assert any(b'"p-2"' in event for event in told)


async def caught_up(stack: NativeStack, clock: WardClock, ends: dict[int, int]) -> Monitoring:
    """A monitoring that has judged all of the log, stopped."""
    seen: list[Monitoring] = []
    async with (
        supervised(monitoring_of(stack, clock, seen)),
        TopicReader(KafkaSettings(stack.bootstrap), (topics.HEALTH.name,), begin="latest") as said,
    ):
        while not seen or any(seen[-1].positions.get(p, 0) < end for p, end in ends.items()):
            await said.read(timeout_s=0.2)
    return seen[-1]
