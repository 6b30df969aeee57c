"""The bridge between the embedded brokers: nothing lost, nothing acknowledged early, time behind the patients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from ingest.bridge import Bridge
from ingest.settings import BridgeSettings
from transport.kafka import KafkaError, KafkaSettings, Record, TopicReader, make_producer, read_all
from transport.mqtt import MqttSettings
from vitals import block, clocks, log, quarantine, topics, wire
from vitals.faults import Fault
from vitals.hops import Histogram
from vitals.log import Binding, Enrolment, Tick
from vitals.topics import partition_of
from vitals.wire import SentBundle, SentReading

pytestmark = pytest.mark.integration

INPUT = topics.INPUT.name
S = 1_000_000_000
START = 1_700_000_000_000_000_000
PATIENTS = {"dev-1": "p-1", "dev-2": "p-2", "dev-3": "p-3"}
PARTITIONS = 3

Run = Callable[..., Awaitable[Bridge]]


def payload(device: str, seq: int, *, sent_ns: int = START, value: float = 70.0, sign: str = "hr") -> bytes:
    reading = SentReading(sign=sign, value=value, time_ns=sent_ns)
    return wire.encode(
        SentBundle(device=device, boot=1, seq=seq, sent_ns=sent_ns, n=1, n_before=seq, readings=[reading]), "msgpack"
    )


@pytest.fixture
async def say(kafka: KafkaSettings) -> AsyncIterator[Callable[[log.Small], Awaitable[None]]]:
    """Put a record into the registry."""
    producer = make_producer(kafka)
    await producer.start()

    async def say(record: Binding | Enrolment) -> None:
        kind, value = log.encode(record)
        subject = record.device if isinstance(record, Binding) else record.patient
        key = topics.registry_key(kind.decode(), subject)
        await producer.send_and_wait(topics.REGISTRY.name, value, key=key, headers=[(log.HEADER, kind)])

    yield say
    await producer.stop()


@pytest.fixture
async def worn(say) -> None:
    """Three devices, each worn by a patient for ever."""
    for device, patient in PATIENTS.items():
        await say(Binding(device=device, patient=patient, from_ns=0))


@pytest.fixture
async def run(mqtt_broker, kafka, clock) -> AsyncIterator[Run]:
    """``await run(patience_s=1.0)``: a bridge that takes messages, closed with the test."""
    async with AsyncExitStack() as stack:

        async def make(**settings: object) -> Bridge:
            mqtt = MqttSettings("bridge", port=mqtt_broker.port, reconnect_min_s=0.001, reconnect_max_s=0.02)
            bridge = Bridge(BridgeSettings(**{"mqtt": mqtt, "kafka": kafka, "stop_timeout_s": 1.0, **settings}), clock)
            await stack.enter_async_context(bridge)
            await bridge.until_ready()
            return bridge

        yield make


@asynccontextmanager
async def following(kafka: KafkaSettings, topic: str = INPUT) -> AsyncIterator[TopicReader]:
    async with TopicReader(kafka, (topic,)) as reader:
        yield reader


def bundles(record: Record) -> Iterator[tuple[str, int]]:
    """(device, seq) of the bundles of a record; nothing for other records."""
    if record.header(log.HEADER) == log.BLOCK:
        rows = block.decode(record.value)
        for device, seq in zip(rows.device.tolist(), rows.seq.tolist(), strict=True):
            yield rows.devices[device], seq


async def read_bundles(reader: TopicReader, count: int) -> list[Record]:
    """Records until so many bundles were in them."""
    records: list[Record] = []
    while sum(1 for record in records for _ in bundles(record)) < count:
        records += await reader.read()
    return records


async def read_until(reader: TopicReader, wanted: Callable[[Record], bool]) -> list[Record]:
    """Records up to and with the first that is wanted."""
    records: list[Record] = []
    while True:
        for record in await reader.read(at_most=1):
            records.append(record)
            if wanted(record):
                return records


def tick_ns(record: Record) -> int | None:
    if record.header(log.HEADER) != b"tick":
        return None
    tick = log.decode(record.value)
    assert isinstance(tick, Tick)
    return tick.now_ns


def is_tick(at_ns: int) -> Callable[[Record], bool]:
    return lambda record: tick_ns(record) == at_ns


async def redelivered(mqtt_broker, connect, marker: bytes) -> list[bytes]:
    """What the broker still holds for the bridge's session, up to a marker published now."""
    session = await connect("bridge", (f"{topics.MQTT_ROOT}/+/+",))
    await session.publish(topics.bundle_topic("marker"), marker)
    got: list[bytes] = []
    while marker not in got:
        for message in await session.receive():
            got.append(message.payload)
            session.ack(message)
    await session.stop()
    return [text for text in got if text != marker and not text.startswith(b'{"life"')]


class TestTheWay:
    async def test_a_bundle_becomes_a_block_in_its_patients_partition(self, worn, run, connect, kafka):
        bridge = await run()
        device = await connect("dev-1")
        await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0, value=71.5))
        async with following(kafka) as reader:
            records = await read_bundles(reader, 1)
        record = next(record for record in records if record.header(log.HEADER) == log.BLOCK)
        rows = block.decode(record.value)
        assert record.partition == partition_of("p-1", PARTITIONS)
        assert (rows.patients, rows.devices, rows.value.tolist()) == (["p-1"], ["dev-1"], [71.5])
        assert (rows.sent_ns.tolist(), rows.received_ns.tolist()) == ([START], [START])
        assert (bridge.counts.bundles, bridge.counts.readings) == (1, 1)

    async def test_a_device_that_echoes_our_time_is_compared_in_both_directions(self, worn, run, connect, kafka, clock):
        device = await connect("dev-1", (topics.MQTT_CLOCK,))
        bridge = await run(clock_every_s=0.01)
        told = clocks.heard((await device.receive())[-1].payload)
        assert told == START
        ahead_ns = 30 * S
        echo = (told, told + ahead_ns + 2 * S)  # it took two seconds down, and takes three up
        sent = wire.SentBundle(
            device="dev-1", boot=1, seq=0, sent_ns=START + ahead_ns - 3 * S, n=0, n_before=0, clock=echo, readings=[]
        )
        await device.publish(topics.bundle_topic("dev-1"), wire.encode(sent, "json"))
        async with following(kafka) as reader:
            records = await read_bundles(reader, 1)
        rows = next(block.decode(r.value) for r in records if r.header(log.HEADER) == log.BLOCK)
        assert rows.clocks == {0: (ahead_ns - 3 * S, ahead_ns + 2 * S)}
        said = bridge.health()
        assert (said["clocks"], said["clock_off_ms"], said["clock_width_ms"]) == (1, 27_000, 5_000)

    async def test_what_was_appended_is_acknowledged_for_good(self, worn, run, connect, kafka, mqtt_broker):
        bridge = await run()
        device = await connect("dev-1")
        for seq in range(20):
            await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", seq))
        async with following(kafka) as reader:
            await read_bundles(reader, 20)
        await bridge.stop()
        assert await redelivered(mqtt_broker, connect, b"marker") == []

    async def test_what_was_not_appended_is_not_acknowledged(self, worn, run, connect, kafka, trouble):
        bridge = await run(stop_timeout_s=0.05)
        device = await connect("dev-1")
        async with following(kafka) as reader:
            await reader.read_to_end()
            await trouble.slow(60_000)
            for seq in range(3):
                await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", seq))
            await bridge.stop()  # not even its own patience brings Kafka to answer: as good as a kill
        assert bridge.counts.blocks == 0
        await trouble.slow(0)
        await run()
        assert {0, 1, 2} <= {seq for record in await settled(kafka, 3) for _, seq in bundles(record)}

    async def test_nothing_is_lost_when_the_connection_breaks_again_and_again(self, worn, run, connect, kafka):
        bridge = await run()
        device = await connect("dev-1")
        async with following(kafka) as reader:
            seen: set[int] = set()
            for seq in range(60):
                await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", seq))
                if seq % 20 == 10:
                    before = bridge._client.generation
                    bridge._client.cut()
                    await bridge._client.until_connected(after=before)
            while len(seen) < 60:
                seen |= {seq for record in await reader.read() for _, seq in bundles(record)}
        assert seen == set(range(60))

    async def test_under_load_bundles_share_blocks_and_keep_their_order(self, worn, run, connect, kafka):
        bridge = await run()
        devices = {name: await connect(name, max_in_flight=100) for name in PATIENTS}
        async with following(kafka) as reader:
            publishing = asyncio.gather(
                *(
                    client.publish(topics.bundle_topic(name), payload(name, seq))
                    for seq in range(200)
                    for name, client in devices.items()
                )
            )
            records = await read_bundles(reader, 600)
            await publishing
        for name in PATIENTS:
            assert [seq for record in records for device, seq in bundles(record) if device == name] == list(range(200))
        assert bridge.counts.blocks < 300

    async def test_the_hop_and_its_stamps_are_told(self, worn, run, connect, kafka):
        await run(status_every_s=0.01)
        device = await connect("dev-1")
        await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0))
        partition = partition_of("p-1", PARTITIONS)
        stamps: list[list[int]] = []
        async with following(kafka, topics.HEALTH.name) as reader:
            while True:
                (record,) = await reader.read(at_most=1)
                said = wire_json(record)
                stamps += said["appended"]
                if said["counts"]["blocks"]:
                    break
        assert (record.key, said["part"], said["status"]) == (b"bridge", "bridge", "ok")
        assert Histogram.from_bytes(bytes.fromhex(said["hops"]["ingest"])).count == 1
        (at,) = [r.offset for r in await read_all(kafka, INPUT) if list(bundles(r))]
        assert [partition, at, START] in stamps


class TestRefusals:
    async def test_what_is_refused_is_kept_with_its_reason_and_acknowledged(
        self, worn, run, connect, kafka, mqtt_broker
    ):
        bridge = await run()
        device = await connect("dev-1")
        topic = topics.bundle_topic("dev-1")
        sent = {
            b"\xffrubbish": (topic, Fault.UNDECODABLE),
            payload("dev-2", 5): (topic, Fault.DEVICE_MISMATCH),
            payload("dev-9", 6): (topics.bundle_topic("dev-9"), Fault.UNBOUND),
            bytes(wire.MAX_BYTES + 1): (topic, Fault.OVERSIZED),
        }
        for data, (where, _) in sent.items():
            await device.publish(where, data)
        await device.publish(topic, payload("dev-1", 7, sign="heart"))
        async with following(kafka, topics.QUARANTINE.name) as reader:
            records: list[Record] = []
            while len(records) < 5:
                records += await reader.read()
        kept = [quarantine.decode(record.value) for record in records]
        assert {(one.raw, one.topic, one.fault) for one in kept[:4]} == {(d, t, f) for d, (t, f) in sent.items()}
        assert (kept[2].device, kept[2].boot, kept[2].seq, kept[2].n, records[2].key) == ("dev-9", 1, 6, 1, b"dev-9")
        assert [(one.index, one.fault) for one in kept[4].readings] == [(0, Fault.UNKNOWN_SIGN)]
        await bridge.stop()
        assert await redelivered(mqtt_broker, connect, b"marker") == []
        (row,) = [r for r in await read_all(kafka, INPUT) for _ in bundles(r)]
        assert block.decode(row.value).refused.tolist() == [1]


class TestRegistry:
    async def test_who_wears_what_is_known_before_the_first_message(self, worn, run, connect, kafka, say):
        await say(Enrolment(patient="p-1", state="admitted", at_ns=0))
        device = await connect("dev-1")
        await connect("bridge", (f"{topics.MQTT_ROOT}/+/+",))  # a session, so that the broker keeps what comes now
        await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0))
        await run()
        records = [r for r in await settled(kafka, 1) if r.partition == partition_of("p-1", PARTITIONS)]
        kinds = [record.header(log.HEADER) for record in records]
        assert kinds.index(b"binding") < kinds.index(log.BLOCK)
        assert kinds.index(b"enrolment") < kinds.index(log.BLOCK)

    async def test_a_binding_that_comes_later_counts_from_then_on(self, run, connect, kafka, say):
        bridge = await run()
        device = await connect("dev-1")
        await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0))
        async with following(kafka, topics.QUARANTINE.name) as reader:
            await reader.read()
        async with following(kafka) as reader:
            await say(Binding(device="dev-1", patient="p-1", from_ns=0))
            await read_until(reader, lambda record: record.header(log.HEADER) == b"binding")
            await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 1))
            (record,) = [r for r in await read_bundles(reader, 1) if list(bundles(r))]
        assert list(bundles(record)) == [("dev-1", 1)]
        assert (bridge.counts.quarantined, bridge.counts.bundles) == (1, 1)

    async def test_rubbish_in_the_registry_is_passed_over(self, run, connect, kafka, say):
        producer = make_producer(kafka)
        await producer.start()
        await producer.send_and_wait(topics.REGISTRY.name, b"rubbish", key=b"?")
        await producer.stop()
        await say(Binding(device="dev-1", patient="p-1", from_ns=0))
        bridge = await run()
        assert (bridge.counts.registry, bridge.counts.unreadable) == (1, 1)


class TestTime:
    async def test_every_partition_is_told_each_second(self, run, kafka, clock):
        await run()
        async with following(kafka) as reader:
            for second in range(3):
                told: set[int] = set()
                while len(told) < PARTITIONS:
                    told |= {r.partition for r in await reader.read() if tick_ns(r) == START + second * S}
                await clock.go_on(1)

    async def test_what_waited_while_the_bridge_was_away_comes_before_time_goes_on(
        self, worn, run, connect, kafka, clock
    ):
        bridge = await run()
        device = await connect("dev-1")
        mine = partition_of("p-1", PARTITIONS)
        async with following(kafka) as reader:
            await read_until(reader, lambda r: r.partition == mine and tick_ns(r) == START)
            await bridge.stop()
            for seq in range(300):
                await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", seq))
            await clock.go_on(3600)
            await run()
            records = await read_until(reader, lambda r: r.partition == mine and tick_ns(r) == START + 3600 * S)
        assert [seq for record in records for _, seq in bundles(record)] == list(range(300))
        assert [at for record in records if (at := tick_ns(record)) and record.partition == mine] == [START + 3600 * S]

    async def test_what_waited_while_kafka_was_slow_comes_before_time_goes_on(
        self, worn, run, connect, kafka, clock, trouble
    ):
        await run()
        device = await connect("dev-1", max_in_flight=500)
        mine = partition_of("p-1", PARTITIONS)
        async with following(kafka) as reader:
            await read_until(reader, lambda r: r.partition == mine and tick_ns(r) == START)
            await trouble.slow(200)
            # More than the broker sends without an acknowledgement: most of it waits there, unknown to the bridge.
            topic = topics.bundle_topic("dev-1")
            await asyncio.gather(*(device.publish(topic, payload("dev-1", seq)) for seq in range(400)))
            await clock.go_on(60)
            await trouble.slow(0)
            records = await read_until(reader, lambda r: r.partition == mine and tick_ns(r) == START + 60 * S)
        assert [seq for record in records for _, seq in bundles(record)] == list(range(400))

    async def test_time_goes_on_when_nobody_is_heard_any_more(self, run, kafka, clock, mqtt_broker):
        bridge = await run(patience_s=0.2)
        async with following(kafka) as reader:
            await read_until(reader, is_tick(START))
            await mqtt_broker.stop()
            assert "no MQTT broker" in await bridge.until("down")
            moving = asyncio.create_task(keep_moving(clock))
            records = await read_until(reader, lambda record: (tick_ns(record) or 0) > START)
            moving.cancel()
        assert tick_ns(records[-1]) > START

    async def test_time_does_not_run_backwards_over_a_restart(self, run, kafka, clock):
        bridge = await run()
        async with following(kafka) as reader:
            await read_until(reader, is_tick(START))
            await bridge.stop()
            await clock.go_on(-60)
            again = await run()
            for _ in range(61):
                await clock.go_on(1)
            records = await read_until(reader, is_tick(START + S))
        assert min(at for record in records if (at := tick_ns(record))) >= START
        assert again.counts.ticks > 0


class TestMarks:
    async def test_marks_are_the_only_time_and_stand_exactly_where_the_player_put_them(self, worn, run, connect, kafka):
        await run(ticks="marks")
        player = await connect("player", (f"{topics.MQTT_ROOT}/player/mark/done",))
        for second in range(5):
            now_ns = second * S  # a recording from 1970, played today
            await player.publish(topics.mark_topic("player"), b'{"now_ns":%d}' % now_ns)
            for name in PATIENTS:
                await player.publish(topics.bundle_topic(name), payload(name, second, sent_ns=now_ns))
        await player.publish(topics.mark_topic("player"), b'{"now_ns":%d}' % (5 * S))
        done: list[bytes] = []
        while len(done) < 6:
            for message in await player.receive():
                done.append(message.payload)
                player.ack(message)
        assert done == [b'{"now_ns":%d}' % (second * S) for second in range(6)]
        for patient in PATIENTS.values():
            told: list[int] = []
            for record in await read_all(kafka, INPUT):
                if record.partition != partition_of(patient, PARTITIONS):
                    continue
                if (at := tick_ns(record)) is not None:
                    told.append(at)
                for _, seq in bundles(record):
                    assert told[-1] == seq * S
                    assert set(block.decode(record.value).received_ns.tolist()) <= {seq * S}
            assert told[-1] == 5 * S

    async def test_on_a_ward_a_mark_moves_nothing(self, run, connect, kafka):
        bridge = await run()
        player = await connect("player")
        async with following(kafka) as reader:
            await player.publish(topics.mark_topic("player"), b'{"now_ns":%d}' % (START + 3600 * S))
            await read_until(reader, is_tick(START))
        assert bridge.counts.messages >= 1
        assert all(tick_ns(record) in {None, START} for record in await read_all(kafka, INPUT))


class TestBadDays:
    async def test_a_slow_kafka_is_said_and_forgotten(self, worn, run, connect, trouble):
        bridge = await run(slow_after_s=0.1)
        device = await connect("dev-1")
        await bridge.until("ok")
        await trouble.slow(600)
        await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0))
        assert "1 messages wait" in await bridge.until("slow")
        await trouble.slow(0)
        await bridge.until("ok")

    async def test_the_bridge_takes_no_more_than_its_bound(self, worn, run, connect, trouble, mqtt_broker):
        mqtt = MqttSettings("bridge", port=mqtt_broker.port, receive_maximum=10, reconnect_min_s=0.001)
        bridge = await run(mqtt=mqtt, slow_after_s=0.1)
        device = await connect("dev-1", max_in_flight=50)
        await bridge.until("ok")
        await trouble.slow(1_000)
        topic = topics.bundle_topic("dev-1")
        await asyncio.gather(*(device.publish(topic, payload("dev-1", seq)) for seq in range(50)))
        assert "takes no more" in await bridge.until("slow")
        assert bridge._held <= 10 + 2 * 10, "what was in the inbox when it filled up comes with it"
        await trouble.slow(0)
        await bridge.until("ok")

    async def test_kafka_goes_and_comes_back_and_nothing_is_missing(self, worn, run, connect, kafka, trouble):
        bridge = await run(slow_after_s=0.1)
        device = await connect("dev-1")
        await bridge.until("ok")
        await trouble.down()
        for seq in range(10):
            await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", seq))
        await bridge.until("slow")
        await trouble.up()
        async with following(kafka) as reader:
            records = await read_bundles(reader, 10)
        assert sorted({seq for record in records for _, seq in bundles(record)}) == list(range(10))

    async def test_an_error_that_trying_again_cannot_help_ends_the_bridge_and_loses_nothing(
        self, worn, run, connect, kafka, trouble
    ):
        bridge = await run()
        device = await connect("dev-1")
        async with following(kafka) as reader:
            await read_until(reader, is_tick(START))
            await trouble.refuse_produce(29)  # TOPIC_AUTHORIZATION_FAILED
            await device.publish(topics.bundle_topic("dev-1"), payload("dev-1", 0))
            with pytest.raises(KafkaError):
                await bridge.wait()
            assert bridge.status == "down"
            await bridge.stop()
            await run()
            await read_bundles(reader, 1)


_BRIDGE = """
import asyncio, os, time
from dataclasses import replace
from ingest.bridge import Bridge
from ingest.settings import BridgeSettings

class Wall:
    def now_ns(self):
        return time.time_ns()

    async def sleep_until(self, t_ns):
        await asyncio.sleep(max(0.0, (t_ns - time.time_ns()) / 1e9))

async def main():
    settings = replace(BridgeSettings.from_env(os.environ), tick_ns=50_000_000)
    async with Bridge(settings, Wall()) as bridge:
        await bridge.wait()

asyncio.run(main())
"""


async def test_a_bridge_that_is_killed_and_stopped_loses_nothing_and_never_lets_time_pass_a_patient(
    worn, connect, kafka, mqtt_broker
):
    """Each life is stopped for a while and then killed in the middle of its work; the next one takes it up.

    What the broker had acknowledged before an instant stands before the tick of that instant.
    """
    environ = {**os.environ, "TELEWARD_MQTT_PORT": str(mqtt_broker.port), "TELEWARD_KAFKA": kafka.bootstrap}
    session = await connect("bridge", (f"{topics.MQTT_ROOT}/+/+",))  # from here on the broker keeps what comes
    await session.stop()
    device = await connect("dev-1")
    topic, mine = topics.bundle_topic("dev-1"), partition_of("p-1", PARTITIONS)
    acknowledged_ns: list[int] = []  # by seq
    appended: set[int] = set()
    ticks: list[tuple[int, set[int]]] = []  # when, and what stood before it

    async def publish() -> None:
        await device.publish(topic, payload("dev-1", len(acknowledged_ns)))
        acknowledged_ns.append(time.time_ns())

    async def read(reader: TopicReader) -> None:
        for record in await reader.read():
            appended.update(seq for _, seq in bundles(record))
            if record.partition == mine and (at := tick_ns(record)) is not None:
                ticks.append((at, set(appended)))

    async with following(kafka) as reader, AsyncExitStack() as lives:
        for number in range(3):
            life = await asyncio.create_subprocess_exec(sys.executable, "-c", _BRIDGE, env=environ)
            lives.push_async_callback(life.wait)
            lives.callback(kill, life)
            enough = len(appended) + 40
            while len(appended) < enough:
                await publish()
                await read(reader)
            life.send_signal(signal.SIGSTOP)
            stopped_ns = time.time_ns()
            while time.time_ns() < stopped_ns + S // 5:  # four ticks
                await publish()
            life.send_signal(signal.SIGCONT)
            while ticks[-1][0] < stopped_ns + S // 5:
                await read(reader)
            for _ in range(20):
                await publish()
            if number < 2:
                kill(life)
        while len(appended) < len(acknowledged_ns):
            await read(reader)
    for at_ns, before in ticks:
        assert {seq for seq, ns in enumerate(acknowledged_ns) if ns < at_ns} <= before


def kill(life: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        life.kill()


async def settled(kafka: KafkaSettings, count: int) -> list[Record]:
    """The log from its beginning until so many bundles are in it."""
    async with following(kafka) as reader:
        return await read_bundles(reader, count)


async def keep_moving(clock) -> None:
    """Ward time goes on with the event loop."""
    while True:
        await clock.go_on(1)
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)


def wire_json(record: Record) -> dict:
    return json.loads(record.value)
