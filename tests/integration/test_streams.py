"""Monitoring and storing on the embedded brokers: nothing skipped, nothing judged twice, nothing committed early.

The reference is always the same records through a ward alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from wards import START_NS, SentBundle, admitted, block, ns

from stream_processors import snapshots
from stream_processors.app import NeedsSomeoneError
from stream_processors.monitoring import Monitoring
from stream_processors.settings import NEEDS_SOMEONE, StoringSettings, StreamSettings
from stream_processors.snapshots import SnapshotDamagedError, read_newest
from stream_processors.storing import Storing
from transport.kafka import KafkaSettings, TopicReader, make_producer, read_all
from transport.stores.base import Batch, StoreUnavailable
from transport.stores.sqlite import SqliteStore
from vitals import block as blocks
from vitals import log, topics
from vitals.digest import ordered
from vitals.events import AlarmEvent, event_decoder
from vitals.log import Limit, Record, Tick
from vitals.reading import Block
from vitals.tables import SnapshotError
from vitals.ward import Ward

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
INPUT, ALARMS, SNAPSHOTS = topics.INPUT.name, topics.ALARMS.name, topics.SNAPSHOTS.name


def night(patients: int = 3, minutes: int = 12) -> list[Record]:
    """Patients who fall ill and recover one after another, a bundle and a tick each ten seconds."""
    names = [f"p-{i}" for i in range(patients)]
    records: list[Record] = [r for name in names for r in admitted(name, {f"d-{name}": 10})]
    for seq, second in enumerate(range(0, minutes * 60, 10)):
        records.append(Tick(now_ns=ns(second)))
        sent = []
        for i, name in enumerate(names):
            ill = 60 * (i + 1) <= second < 60 * (i + 4)
            readings = [("spo2", 84 if ill else 97, second), ("hr", 70 + seq % 3, second)]
            sent.append(SentBundle(f"d-{name}", name, seq, second, readings, received_s=second + 0.5))
        records.append(block(sent))
    return [*records, Tick(now_ns=ns(minutes * 60 + 70))]


def alone(records: Iterable[Record]) -> list[AlarmEvent]:
    ward = Ward()
    return [event for record in records for event in ward.step(record).events]


def as_bytes(record: Record) -> tuple[bytes, bytes]:
    return (log.BLOCK, blocks.encode(record)) if isinstance(record, Block) else log.encode(record)


@pytest.fixture
async def producer(kafka: KafkaSettings) -> AsyncIterator[Any]:
    made = make_producer(kafka)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def write(producer) -> Callable[..., Any]:
    """``await write(records, partition=0)``: appended in order."""

    async def put(records: Iterable[Record | bytes], partition: int = 0) -> None:
        waits = []
        for record in records:
            kind, data = (log.BLOCK, record) if isinstance(record, bytes) else as_bytes(record)
            waits.append(await producer.send(INPUT, data, partition=partition, headers=[(log.HEADER, kind)]))
        await asyncio.gather(*waits)

    return put


class FailedError(AssertionError):
    """A part said that it cannot go on."""


@pytest.fixture
async def monitoring(kafka, clock) -> AsyncIterator[Any]:
    """``await monitoring(snapshot_every_s=...)``: a running app, closed with the test; a fatal error fails it."""
    failures: list[BaseException] = []
    async with AsyncExitStack() as stack:

        async def make(*, ward: Callable[[], Ward] = Ward, **settings: Any) -> Monitoring:
            stream = StreamSettings(**{"kafka": kafka, "partitions": PARTITIONS, "session_s": 1.0, **settings})
            app = Monitoring(stream, clock, ward=ward, fatal=lambda _, error: failures.append(error))
            await app.start()
            stack.push_async_callback(app.stop)
            await app.ready.wait()
            return app

        yield make
    if failures:
        raise FailedError from failures[0]


async def kill(app: Monitoring) -> None:
    """End it without a goodbye: no last snapshot, no last commit. Its place in the group is free at once."""
    for task in app._tasks:
        task.cancel()
    await asyncio.gather(*app._tasks, return_exceptions=True)
    app._lanes = {}
    await app._app.stop()


async def until(holds: Callable[[], Any]) -> None:
    """Wait for what other tasks of this loop bring about; the test's own time limit ends it."""
    while not holds():  # no event tells of it
        await asyncio.sleep(0.005)


async def told(kafka: KafkaSettings) -> list[AlarmEvent]:
    return [event_decoder.decode(record.value) for record in await read_all(kafka, ALARMS)]


async def committed(kafka: KafkaSettings, group: str, topic: str, partition: int) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        return await consumer.committed(TopicPartition(topic, partition))
    finally:
        await consumer.stop()


# -- monitoring --------------------------------------------------------------------------------------------------------


async def test_it_judges_and_says_when_each_hop_was_passed(kafka, write, monitoring, clock):
    app = await monitoring()
    records = night(1)
    await write(records, partition=2)
    await until(lambda: app.positions.get(2) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[2].pending))
    found = await read_all(kafka, ALARMS)
    assert [event_decoder.decode(r.value) for r in found] == alone(records)
    assert {(r.partition, r.key) for r in found} == {(2, b"p-0")}
    raised = next(r for r in found if b'"spo2-low"' in r.value)
    event, stamps = event_decoder.decode(raised.value), json.loads(raised.header("stamps"))
    second = (event.at_ns - START_NS) / 1e9
    assert stamps == {
        "measured": ns(second), "published": ns(second), "received": ns(second + 0.5),
        "fetched": clock.now_ns(), "scored": clock.now_ns(),
    }  # fmt: skip
    partition, offset = map(int, raised.header("cause").split(b":"))
    assert partition == 2
    assert isinstance(records[offset], Block)
    assert app.counts.bundles == 72
    assert app.counts.records == len(records)
    frames = await read_all(kafka, topics.FRAMES.name)
    assert [int(r.header("end_ns")) for r in frames] == [ns(60 * minute) for minute in range(14)][: len(frames)]


async def test_partitions_keep_apart(kafka, write, monitoring):
    app = await monitoring()
    records = night(1)
    for partition in range(PARTITIONS):
        await write(records, partition)
    await until(lambda: all(app.positions.get(p) == len(records) for p in range(PARTITIONS)))
    by_partition: dict[int, list[AlarmEvent]] = {p: [] for p in range(PARTITIONS)}
    await until(lambda: not any(not s.done() for lane in app._lanes.values() for s in lane.pending))
    for record in await read_all(kafka, ALARMS):
        by_partition[record.partition].append(event_decoder.decode(record.value))
    assert list(by_partition.values()) == [alone(records)] * PARTITIONS


async def test_what_cannot_be_read_goes_to_the_dead_letters_and_the_others_go_on(kafka, write, producer, monitoring):
    app = await monitoring()
    records = night(1, 4)
    poison = {
        b"no block at all": log.BLOCK,
        b'{"type":"tick","now_ns":"soon"}': b"tick",
        b'{"type":"tick","now_ns":1,"bridge":"\xff"}': b"tick",
        log.encode(Limit(patient="p-0", rule="news2", threshold=3.0, at_ns=1, by="ann", reason="x"))[1]: b"limit",
        b"": b"command",
    }
    await write(records[:10])
    for value, kind in poison.items():
        await producer.send_and_wait(INPUT, value, partition=0, headers=[(log.HEADER, kind)])
    await write(records[10:])
    await until(lambda: app.positions.get(0) == len(records) + len(poison))
    dead = await read_all(kafka, topics.DEADLETTER.name)
    assert {r.value: r.header(log.HEADER) for r in dead} == poison
    assert [r.header("origin").decode() for r in dead] == [f"{INPUT}:0:{10 + i}" for i in range(len(poison))]
    assert all(len(r.header("reason")) > 20 for r in dead)
    assert app.counts.dead == len(poison)
    assert app.health()["status"] == "slow"
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    assert await told(kafka) == alone(records)


@pytest.mark.parametrize("at", [1, 40, 100])
async def test_ended_without_a_goodbye_it_goes_on_as_if_undisturbed(kafka, write, monitoring, at):
    records = night()
    first = await monitoring(snapshot_every_s=0.01)
    await write(records[:at])
    await until(lambda: first.counts.snapshots and first.positions.get(0) == at)
    await write(records[at : at + 20])
    await until(lambda: first.positions.get(0) == at + 20)
    await kill(first)
    second = await monitoring()
    await write(records[at + 20 :])
    await until(lambda: second.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in second._lanes[0].pending))
    assert ordered(await told(kafka)) == ordered(alone(records))


async def test_stopped_in_peace_it_says_nothing_twice(kafka, write, monitoring):
    records = night()
    first = await monitoring(snapshot_every_s=1000)
    await write(records[:90])
    await until(lambda: first.positions.get(0) == 90)
    await first.stop()
    assert await committed(kafka, "teleward-monitoring", INPUT, 0) == 90
    second = await monitoring()
    await write(records[90:])
    await until(lambda: second.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in second._lanes[0].pending))
    assert await told(kafka) == alone(records)
    assert second.counts.skipped == 0


CHILD = """
import asyncio, sys
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings
from tests_clock import Still

async def main():
    kafka = KafkaSettings(sys.argv[1], fetch_max_wait_ms=10)
    app = Monitoring(StreamSettings(kafka, partitions=3, session_s=1.0, snapshot_every_s=0.02), Still())
    await app.start()
    await asyncio.Event().wait()

asyncio.run(main())
""".replace("from tests_clock import Still", "class Still:\n    def now_ns(self): return 0")


async def test_killed_with_signal_9_and_started_again_the_events_are_the_same(kafka, write):
    records = night()

    def begin() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CHILD, kafka.bootstrap]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})

    found: list[AlarmEvent] = []
    wanted = ordered(alone(records))
    cuts = [50, 100, len(records)]
    async with TopicReader(kafka, (ALARMS,)) as alarms:
        low = 0
        for high in cuts:
            child = await asyncio.to_thread(begin)
            try:
                await write(records[low:high])
                low = high
                due = {event.event_id for event in alone(records[:high])}
                while not due <= {event.event_id for event in found}:
                    found += [event_decoder.decode(r.value) for r in await alarms.read()]
            finally:
                child.kill()
                await asyncio.to_thread(child.wait)
    assert ordered(found) == wanted
    by_id = {event.event_id: event for event in wanted}
    assert all(by_id[event.event_id] == event for event in found), "an event told twice is the same event"


async def test_what_the_snapshot_includes_is_skipped(kafka, write, monitoring):
    records = night()
    first = await monitoring()
    await write(records)
    await until(lambda: first.positions.get(0) == len(records))
    await first.stop()
    again = await monitoring(group_prefix="other")  # a group that has committed nothing: everything comes again
    await write([Tick(now_ns=ns(10_000))])
    await until(lambda: again.positions.get(0) == len(records) + 1)
    assert again.counts.skipped == len(records)
    assert again.counts.records == 1


@pytest.mark.parametrize("at", [1, 60, 140])
async def test_over_a_gap_it_seeks_back(kafka, write, monitoring, at):
    records = night()
    await write(records)
    group = {"group_id": "teleward-monitoring", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, **group)
    await consumer.start()
    consumer.assign([TopicPartition(INPUT, 0)])
    await consumer.commit({TopicPartition(INPUT, 0): at})  # as Faust may, over deliveries that were dropped
    await consumer.stop()
    app = await monitoring()
    await until(lambda: app.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    assert await told(kafka) == alone(records)


async def test_a_seek_that_faust_undoes_is_made_again(kafka, write, monitoring):
    app = await monitoring()
    records = night()
    await write(records[:30])
    await until(lambda: app.positions.get(0) == 30)
    consumer = app._app.consumer
    consumer._read_offset[TP(INPUT, 0)] = 50  # what Faust notes when it hands on a record after our seek
    await write(records[30:])  # 30 to 49 are dropped by Faust without a word
    await until(lambda: app.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    assert await told(kafka) == alone(records)


# -- a ward that fails ------------------------------------------------------------------------------------------------


class Fragile(Ward):
    """Fails on a block of one sequence number, half through it: always, or only for the first so many times."""

    times: int = 1_000_000

    def step(self, record: Record) -> Any:
        out = super().step(record)
        if isinstance(record, Block) and 50 in record.seq.tolist() and type(self).times:
            type(self).times -= 1
            raise MemoryError("this may quote what a patient's record holds")
        return out


def without(records: list[Record], seq: int) -> list[Record]:
    return [r for r in records if not (isinstance(r, Block) and seq in r.seq.tolist())]


@pytest.mark.parametrize("snapshot_every_s", [0.01, 1000])
async def test_a_block_on_which_the_ward_fails_goes_to_the_dead_letters_and_the_others_go_on(
    kafka, write, monitoring, snapshot_every_s, caplog
):
    class Broken(Fragile):
        pass

    records = night()
    app = await monitoring(ward=Broken, snapshot_every_s=snapshot_every_s)
    await write(records)
    await until(lambda: app.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    (dead,) = await read_all(kafka, topics.DEADLETTER.name)
    offset = next(i for i, r in enumerate(records) if isinstance(r, Block) and 50 in r.seq.tolist())
    assert dead.header("origin") == f"{INPUT}:0:{offset}".encode()
    assert dead.header("reason").startswith(b"the ward failed on it: MemoryError in test_streams.py:")
    assert ordered(await told(kafka)) == ordered(alone(without(records, 50)))
    assert app.counts.dead == 1
    assert "patient's record" not in caplog.text, "logs carry no values"


async def test_a_ward_that_failed_once_on_a_block_judges_it_all_the_same(kafka, write, monitoring):
    class Shaken(Fragile):
        times = 1

    records = night()
    app = await monitoring(ward=Shaken)
    await write(records)
    await until(lambda: app.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    assert ordered(await told(kafka)) == ordered(alone(records))
    assert app.counts.dead == 0


class Later(Ward):
    """A ward of another version."""

    def restore(self, data: bytes) -> None:
        raise SnapshotError("the snapshot's version is 1, this ward's 2")


async def test_a_snapshot_of_another_version_is_refused_with_what_to_do(kafka, write, monitoring, clock):
    records = night()
    first = await monitoring()
    await write(records[:60])
    await until(lambda: first.positions.get(0) == 60)
    await first.stop()
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    settings = StreamSettings(kafka=kafka, partitions=PARTITIONS, session_s=1.0)
    app = Monitoring(
        settings, clock, ward=Later, fatal=lambda _, error: None if failed.done() else failed.set_result(error)
    )
    await app.start()
    try:
        error = await failed
    finally:
        await app.stop()
    assert isinstance(error, NeedsSomeoneError)
    assert "version is 1, this ward's 2" in str(error)
    assert "TELEWARD_OTHER_SNAPSHOT=replay" in str(error)
    assert not app.positions.get(0), "nothing was judged by a ward without its state"


async def test_told_so_it_judges_the_log_anew_and_goes_on(kafka, write, monitoring):
    records = night()
    first = await monitoring()
    await write(records[:60])
    await until(lambda: first.positions.get(0) == 60)
    await first.stop()
    app = await monitoring(ward=Later, other_snapshot="replay")
    await write(records[60:])
    await until(lambda: app.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in app._lanes[0].pending))
    assert ordered(await told(kafka)) == ordered(alone(records))
    assert app.counts.lost == 0


def test_an_app_that_needs_somebody_ends_with_a_status_of_its_own():
    code = (
        "from stream_processors.app import NeedsSomeoneError, end_process; import sys; "
        "end_process('monitoring', NeedsSomeoneError('decide') if sys.argv[1] == 'y' else RuntimeError('again'))"
    )
    statuses = [subprocess.run([sys.executable, "-c", code, which], cwd=ROOT, check=False).returncode for which in "yn"]
    assert statuses == [NEEDS_SOMEONE, 70]


# -- snapshots ---------------------------------------------------------------------------------------------------------


async def test_a_large_snapshot_goes_in_shards_and_is_restored(kafka, write, monitoring):
    records = night()
    first = await monitoring(shard_bytes=300)
    await write(records[:100])
    await until(lambda: first.positions.get(0) == 100)
    await first.stop()
    found = await read_newest(kafka, 0)
    assert found.manifest.shards > 5
    assert found.manifest.next_offset == 100
    stored = await read_all(kafka, SNAPSHOTS)
    assert max(len(r.value) for r in stored if r.key != snapshots.MANIFEST_KEY) == 300
    second = await monitoring(shard_bytes=300)
    assert second.positions[0] == 100
    await write(records[100:])
    await until(lambda: second.positions.get(0) == len(records))
    await until(lambda: not any(not sent.done() for sent in second._lanes[0].pending))
    assert await told(kafka) == alone(records)


async def put_snapshot(producer, state: bytes, next_offset: int, generation: int) -> None:
    shards = snapshots.cut(state, 100)
    await snapshots.write(producer, 0, shards, size=len(state), next_offset=next_offset, generation=generation)


async def test_a_half_written_snapshot_never_happened(kafka, producer):
    assert await read_newest(kafka, 0) is None
    whole = os.urandom(950)
    await put_snapshot(producer, whole, 7, 1)
    for i in range(60):  # a longer one whose writer was killed before its manifest
        await producer.send_and_wait(SNAPSHOTS, b"x" * 100, key=f"shard-0-{i}".encode(), partition=0)
    found = await read_newest(kafka, 0)
    assert (found.state, found.manifest.next_offset) == (whole, 7)


async def test_half_a_snapshot_alone_is_none(kafka, producer):
    for i in range(30):
        await producer.send_and_wait(SNAPSHOTS, b"x" * 100, key=f"shard-0-{i}".encode(), partition=0)
    assert await read_newest(kafka, 0) is None


async def test_the_newest_whole_snapshot_counts(kafka, producer):
    for generation in range(1, 8):
        await put_snapshot(producer, os.urandom(100 * generation), generation * 10, generation)
    found = await read_newest(kafka, 0)
    assert (found.manifest.next_offset, len(found.state)) == (70, 700)
    assert await read_newest(kafka, 1) is None


async def put_damaged(producer) -> None:
    shard = await producer.send_and_wait(SNAPSHOTS, b"not what was meant", key=b"shard-0-0", partition=0)
    manifest = snapshots.Manifest(
        next_offset=99, first_shard=shard.offset, shards=1, size=10, crc=1, generation=2
    )  # fmt: skip
    data = snapshots.msgspec.json.encode(manifest)
    await producer.send_and_wait(SNAPSHOTS, data, key=snapshots.MANIFEST_KEY, partition=0)


async def test_a_damaged_snapshot_is_passed_over_for_the_one_before(kafka, producer, caplog):
    await put_snapshot(producer, b"state" * 200, 7, 1)
    await put_damaged(producer)
    found = await read_newest(kafka, 0)
    assert (found.state, found.manifest.next_offset) == (b"state" * 200, 7)
    assert "checksum" in caplog.text


async def test_where_only_damaged_snapshots_are_nobody_goes_on(kafka, producer):
    await put_damaged(producer)
    with pytest.raises(SnapshotDamagedError, match="partition 0: the snapshot's checksum"):
        await read_newest(kafka, 0)


async def test_an_offset_is_committed_after_its_snapshot_and_effects_never_before(kafka, write, monitoring):
    records = night()
    app = await monitoring(snapshot_every_s=0.01)
    real, seen = snapshots.write, []

    async def watched(*args: Any, **kwargs: Any) -> None:
        before = await committed(kafka, "teleward-monitoring", INPUT, 0)
        effects = {event.event_id for event in await told(kafka)}
        seen.append((before, kwargs["next_offset"], effects))
        await real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "write", watched)
        for low in range(0, len(records), 40):
            high = min(low + 40, len(records))
            await write(records[low:high])
            await until(lambda high=high: app._lanes[0].written == high)
    assert len(seen) >= 3
    for before, next_offset, effects in seen:
        assert (before or 0) < next_offset
        assert {event.event_id for event in alone(records[:next_offset])} <= effects


async def test_after_a_long_wait_for_kafka_the_next_snapshot_is_due_at_once(kafka, write, monitoring):
    """A pace set by the wait would leave the ward without a snapshot for 20 times as long as Kafka was away."""
    records = night()
    real = snapshots.write

    async def away(*args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(2.0)  # how long Kafka takes; nothing is waited for
        await real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "write", away)
        app = await monitoring(snapshot_every_s=0.01)
        await write(records[:20])
        await until(lambda: app._lanes[0].written == 20)
    began = asyncio.get_running_loop().time()
    await write(records[20:40])
    await until(lambda: app._lanes[0].written == 40)
    assert asyncio.get_running_loop().time() - began < 20 * 2.0


# -- storing -----------------------------------------------------------------------------------------------------------


class MoodyStore:
    """A store that takes nothing while it is `away`."""

    def __init__(self, file: Path) -> None:
        self.inner = SqliteStore(file)
        self.away = False
        self.refused = 0

    def write(self, batch: Batch) -> None:
        if self.away:
            self.refused += 1
            raise StoreUnavailable("away", 0.01)
        self.inner.write(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def store(tmp_path: Path) -> Iterable[MoodyStore]:
    made = MoodyStore(tmp_path / "store.sqlite")
    yield made
    made.inner.close()


@pytest.fixture
async def storing(kafka, clock, store) -> AsyncIterator[Any]:
    """``await storing(commit_every_s=...)``: a running app, closed with the test; a fatal error fails it."""
    failures: list[BaseException] = []
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Storing:
            stream = StreamSettings(kafka, partitions=PARTITIONS, session_s=1.0)
            chosen = StoringSettings(**{"stream": stream, "commit_every_s": 0.0, **settings})
            app = Storing(chosen, clock, store, fatal=lambda _, error: failures.append(error))
            await app.start()
            stack.push_async_callback(app.stop)
            await app.ready.wait()
            return app

        yield make
    if failures:
        raise FailedError from failures[0]


def kept(store: MoodyStore) -> dict[str, int]:
    counts = store.counts()
    return {name: getattr(counts, name) for name in counts.__dataclass_fields__}


async def test_a_store_that_is_away_loses_nothing_and_alarms_flow_meanwhile(kafka, write, monitoring, storing, store):
    records = night()
    store.away = True
    judge, keep = await monitoring(), await storing(batch_records=16)
    await write(records)
    await until(lambda: judge.positions.get(0) == len(records) and store.refused > 2)
    await until(lambda: not any(not sent.done() for sent in judge._lanes[0].pending))
    assert await told(kafka) == alone(records), "alarms do not wait for the store"
    assert keep.health()["status"] == "slow"
    assert keep._intake.waiting.count <= 17, "what waits is bounded"
    assert store.settled(INPUT, 0) is None
    assert not await committed(kafka, "teleward-storing", INPUT, 0)
    store.away = False
    await until(lambda: store.settled(INPUT, 0) == len(records))
    events = len(alone(records))
    partition_ends = {r.partition: r.offset + 1 for r in await read_all(kafka, ALARMS)}
    await until(lambda: store.settled(ALARMS, 0) == partition_ends[0])
    stored = [s.event for i in range(3) for s in store.alarm_events(patient=f"p-{i}")]
    assert len(stored) == events
    assert ordered(stored) == ordered(alone(records))
    readings = sum(len(record.value) for record in records if isinstance(record, Block))
    assert kept(store)["readings"] == readings


async def test_offsets_are_committed_only_after_the_store_has_acknowledged(kafka, write, storing, store):
    records = night(1, 2)
    await storing()
    await write(records[:10])
    await until(lambda: store.settled(INPUT, 0) == 10)
    store.away = True
    await write(records[10:])
    await until(lambda: store.refused > 2)
    assert (await committed(kafka, "teleward-storing", INPUT, 0) or 0) <= 10


async def test_a_store_that_was_away_at_the_end_gets_it_from_the_next_one(kafka, write, storing, store):
    records = night(1, 3)
    first = await storing()
    await write(records[:10])
    await until(lambda: store.settled(INPUT, 0) == 10)
    store.away = True
    await write(records[10:])
    await until(lambda: store.refused)
    await first.stop()
    store.away = False
    await storing()
    await until(lambda: store.settled(INPUT, 0) == len(records))
    assert kept(store)["readings"] == sum(len(r.value) for r in records if isinstance(r, Block))


async def test_what_the_store_cannot_read_is_counted_and_the_others_are_kept(kafka, write, producer, storing, store):
    app = await storing()
    records = night(1, 2)
    garbage = [b"", b"{", b"\xff\xfe", b"[1]", b'{"hops":{"judge":"zz"}}', b'{"at_ns":"x"}', b'{"fetched":[[1]]}']
    garbage.append(b'{"part":"\xff"}')
    for value in garbage:
        for topic in (topics.HEALTH.name, ALARMS, topics.FRAMES.name, topics.QUARANTINE.name):
            await producer.send_and_wait(topic, value, partition=0)
    await write([b"no block", *records])
    await until(lambda: store.settled(INPUT, 0) == len(records) + 1)
    await until(lambda: store.settled(topics.HEALTH.name, 0) == len(garbage))
    assert app.counts.unreadable > len(garbage)


# -- Faust's private names that we use ---------------------------------------------------------------------------------


async def test_no_folder_is_left_where_it_was_started(kafka, write, monitoring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = await monitoring()
    records = night(1, 2)
    await write(records)
    await until(lambda: app.positions.get(0) == len(records))
    assert list(tmp_path.iterdir()) == []


async def test_fausts_private_names_still_exist(monitoring):
    assert inspect.iscoroutinefunction(driver.Consumer._commit_offsets)
    assert "self._read_offset.__getitem__" in inspect.getsource(driver.Consumer._drain_messages)
    assert callable(driver.Consumer._new_consumer_thread)
    assert callable(driver.AIOKafkaConsumerThread._create_worker_consumer)
    consumer = (await monitoring())._app.consumer
    assert isinstance(consumer._thread, driver.AIOKafkaConsumerThread)
    inner = consumer._thread._consumer
    assert isinstance(inner, AIOKafkaConsumer)
    assert inner._fetch_max_wait_ms == 10
    assert inner._fetcher._fetch_max_wait_ms == 10, "aiokafka reads it elsewhere now: single blocks would wait again"
