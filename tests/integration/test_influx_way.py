"""Kafka -> storing -> InfluxDB, all real, while InfluxDB is killed, is away, and storing begins anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import natives
import pytest
from test_streams import alone, as_bytes, night

from deploy.clock import WardClock
from deploy.native.servers import NativeStack
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StoringSettings, StreamSettings
from stream_processors.storing import Storing
from transport.kafka import KafkaSettings, TopicReader, make_producer
from transport.stores.base import StoreUnavailable
from transport.stores.influx import InfluxStore
from transport.stores.influx_http import InfluxHttp, InfluxSettings
from transport.stores.influx_setup import Retention, set_up_influx
from vitals import log, topics
from vitals.alarm_fold import fold
from vitals.digest import ordered
from vitals.measurements import ALARM_STATE, PIPELINE
from vitals.patient_states import PatientState, PatientStates
from vitals.reading import Block
from vitals.ward import Ward

pytestmark = [
    pytest.mark.integration,
    # An app that is left behind after `STOP_S`, as a killed one is, ends in its own time: a commit of its is cancelled.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

INPUT = topics.INPUT.name
FOR_EVER = Retention(raw_days=100_000, long_days=100_000)
STOP_S = 30.0
RECORDS = night(3, 12)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    with natives.running(tmp_path_factory.mktemp("influx-way")) as stack:
        yield stack


@pytest.fixture
def kafka(stack: NativeStack) -> KafkaSettings:
    natives.done(natives.fresh_topics(stack.bootstrap))
    return KafkaSettings(stack.bootstrap)


@pytest.fixture
def settings(stack: NativeStack, request: pytest.FixtureRequest) -> InfluxSettings:
    made = InfluxSettings(stack.influx_url, database=f"d{abs(hash(request.node.name))}", timeout_s=5.0, fold_at=64)
    set_up_influx(made, FOR_EVER)
    return made


@asynccontextmanager
async def storing(kafka: KafkaSettings, settings: InfluxSettings, prefix: str) -> AsyncIterator[Storing]:
    """A storing app that nobody lets finish: as after a kill, what it had not written is lost with it."""
    store, failures = InfluxStore(settings), []
    stream = StreamSettings(
        kafka, partitions=natives.PARTITIONS, group_prefix=prefix, session_s=1.5, status_every_s=0.2
    )
    app = Storing(
        StoringSettings(stream, batch_records=16, commit_every_s=0.1),
        WardClock(),
        store,
        fatal=lambda _, error: failures.append(error),
    )
    await app.start()
    try:
        yield app
    finally:
        # Nothing more is taken: a record behind those that are forgotten here would tell the store that it had them.
        app._turn += 1
        app._places.forget()
        app._intake.forget()
        app._written = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await app.stop()
        store.close()
    assert not failures


async def put(kafka: KafkaSettings, records: list[Any]) -> None:
    producer = make_producer(kafka)
    await producer.start()
    try:
        for record in records:
            kind, data = as_bytes(record)
            await producer.send(INPUT, data, partition=0, headers=[(log.HEADER, kind)])
        await producer.flush()
    finally:
        await producer.stop()


async def settled(settings: InfluxSettings, topic: str, offset: int) -> None:
    """Wait until the store has settled an offset."""
    store = InfluxStore(settings, read_only=True)
    while True:
        with contextlib.suppress(StoreUnavailable):
            if (await asyncio.to_thread(store.settled, topic, 0) or 0) >= offset:
                break
        await asyncio.sleep(0.02)
    store.close()


def states_alone() -> dict[tuple[str, int], PatientState]:
    """What the log means, by itself."""
    ward, states, found = Ward(), PatientStates(0), {}
    for offset, record in enumerate(RECORDS):
        told = states.record(record, offset)
        for event in ward.step(record).events:
            states.event(event, offset, 0)
        told += states.retold()
        found.update({(state.patient, state.at_ns): state for state in told})
    return found


async def judged(kafka: KafkaSettings) -> int:
    """Have all of the input judged by a monitoring that has told its health once or more; how many events there are."""
    stream = StreamSettings(kafka, partitions=natives.PARTITIONS, session_s=1.5, status_every_s=0.2)
    async with TopicReader(kafka, (topics.HEALTH.name,), begin="latest") as said:
        failures: list[Exception] = []
        app = Monitoring(stream, WardClock(), fatal=lambda _, error: failures.append(error))
        await app.start()
        try:
            while app.positions.get(0, 0) < len(RECORDS) and not failures:
                await asyncio.sleep(0.01)
            while not any(b'"monitoring"' in record.value for record in await said.read(timeout_s=0.5)):
                pass
        finally:  # its threads would outlive the test
            await app.stop()
    assert not failures
    return len(alone(RECORDS))


@asynccontextmanager
async def judging(kafka: KafkaSettings) -> AsyncIterator[asyncio.Task[int]]:
    """`judged`, beside what the test does, and ended with it."""
    task = asyncio.create_task(judged(kafka))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def as_it_should_be(settings: InfluxSettings) -> None:
    """Nothing missing, nothing doubled, and the points that dashboards draw are those of the log."""
    bundles = [record for record in RECORDS if isinstance(record, Block)]
    with InfluxStore(settings) as store:
        assert store.counts().readings == sum(record.readings for record in bundles)
        assert ordered([e.event for e in store.alarm_events()]) == ordered(alone(RECORDS))
        assert {a.alarm_id: a.n for a in store.open_alarms()} == {
            a.alarm_id: a.n for a in fold(alone(RECORDS)).values()
        }
        rows = store.ledger().rows()
        assert sum(row.stored for row in rows) == store.counts().readings
        assert {(row.duplicate, row.missing) for row in rows} == {(0, 0)}
    http = InfluxHttp(settings)
    (found,) = http.ask([f'SELECT * FROM {ALARM_STATE.source} GROUP BY "patient"'])
    http.close()
    told = {
        (rows.tags["patient"], at): values
        for rows in found
        for at, *values in zip(
            *(rows.columns[n] for n in ("time", "watch", "priority", "open", "unattended", "worst_rule")), strict=True
        )
    }
    assert told == {
        key: [s.watch, s.priority, s.open, s.unattended, s.worst.rule if s.worst else None]
        for key, s in states_alone().items()
    }


async def test_influxdb_killed_again_and_again_loses_nothing_and_doubles_nothing(stack, kafka, settings):
    async with judging(kafka) as writing, storing(kafka, settings, "kill"):
        for part in range(3):
            step = len(RECORDS) // 3 + 1
            await put(kafka, RECORDS[part * step : (part + 1) * step])
            await settled(settings, INPUT, part * step + 3)
            await stack.influx.kill()
            await stack.influx.start()
        await writing
        await settled(settings, INPUT, len(RECORDS))
        await settled(settings, topics.ALARMS.name, len(alone(RECORDS)))
    await asyncio.to_thread(as_it_should_be, settings)


async def test_storing_that_begins_anew_goes_on_where_the_store_is(stack, kafka, settings):
    await put(kafka, RECORDS[:1])
    step = len(RECORDS) // 5
    async with judging(kafka) as writing:
        for part in range(5):
            async with storing(kafka, settings, "anew"):
                await put(kafka, RECORDS[max(1, part * step) : (part + 1) * step if part < 4 else len(RECORDS)])
                await settled(settings, INPUT, part * step + step // 2)
        events = await writing
    async with storing(kafka, settings, "anew"):
        await settled(settings, INPUT, len(RECORDS))
        await settled(settings, topics.ALARMS.name, events)
    await asyncio.to_thread(as_it_should_be, settings)


async def test_influxdb_away_is_said_what_waits_is_bounded_and_all_of_it_catches_up(stack, kafka, settings):
    await stack.influx.kill()
    async with (
        storing(kafka, settings, "away") as app,
        TopicReader(kafka, (topics.HEALTH.name,), begin="latest") as said,
    ):
        await put(kafka, RECORDS)
        while not (texts := [r.value for r in await said.read(timeout_s=0.5) if b'"slow"' in r.value]):
            pass
        assert b"the store has taken nothing for" in texts[-1]
        assert b"Kafka keeps what waits" in texts[-1]
        assert app._intake.waiting.count <= 16
        events = await judged(kafka)
        assert app._intake.waiting.count <= 16, "alarms do not wait for the store, nor in its memory"
        await stack.influx.start()
        await settled(settings, INPUT, len(RECORDS))
        await settled(settings, topics.ALARMS.name, events)
        while app.health()["status"] != "ok":
            await asyncio.sleep(0.01)
        # How the parts are is told by each in its own time, and stored with the rest.
        while await asyncio.to_thread(parts_told, settings) != {"storing", "monitoring"}:
            await asyncio.sleep(0.05)
    await asyncio.to_thread(as_it_should_be, settings)


async def test_partitions_given_out_anew_while_influxdb_is_away_lose_nothing(stack, kafka, settings):
    step = len(RECORDS) // 3
    async with judging(kafka) as writing, storing(kafka, settings, "anew") as app:
        await put(kafka, RECORDS[:step])
        await settled(settings, INPUT, step)
        await stack.influx.kill()
        await put(kafka, RECORDS[step : 2 * step])
        while not app._trouble:
            await asyncio.sleep(0.01)
        for _ in range(2):
            turn = app._turn
            async with storing(kafka, settings, "anew"):
                await changed(lambda turn=turn: app._turn > turn)
                turn = app._turn
            await changed(lambda turn=turn: app._turn > turn)
        await put(kafka, RECORDS[2 * step :])
        await stack.influx.start()
        await settled(settings, INPUT, len(RECORDS))
        await settled(settings, topics.ALARMS.name, await writing)
    await asyncio.to_thread(as_it_should_be, settings)


async def test_of_two_that_store_neither_writes_and_both_say_so_until_one_is_ended(stack, kafka, settings):
    step = len(RECORDS) // 3
    async with judging(kafka) as writing, storing(kafka, settings, "two") as app:
        await put(kafka, RECORDS[:step])
        await settled(settings, INPUT, step)
        async with storing(kafka, settings, "two") as other:
            await changed(lambda: "another storing process" in app._trouble and "another storing" in other._trouble)
            written = app.counts.written, other.counts.written
            await put(kafka, RECORDS[step : 2 * step])
            for _ in range(2):  # both have looked again
                await app._restore()
                await other._restore()
            assert (app.counts.written, other.counts.written) == written == (written[0], 0)
            assert "end either" in app.health()["text"]
        await settled(settings, INPUT, 2 * step)
        await put(kafka, RECORDS[2 * step :])
        await settled(settings, INPUT, len(RECORDS))
        await settled(settings, topics.ALARMS.name, await writing)
        await changed(lambda: app.health()["status"] == "ok")
    await asyncio.to_thread(as_it_should_be, settings)


async def changed(told: Callable[[], bool]) -> None:
    """Wait until it is so."""
    while not told():
        await asyncio.sleep(0.01)


async def test_a_store_that_was_put_back_from_an_older_copy_gets_what_kafka_still_has(stack, kafka, settings):
    half = len(RECORDS) // 2
    async with judging(kafka) as writing:
        async with storing(kafka, settings, "copy"):
            await put(kafka, RECORDS[:half])
            await settled(settings, INPUT, half)
        newer = replace(settings, database=f"{settings.database}b")
        set_up_influx(newer, FOR_EVER)
        async with storing(kafka, newer, "copy") as app:
            await put(kafka, RECORDS[half:])
            await settled(newer, INPUT, len(RECORDS))
            await settled(newer, topics.ALARMS.name, await writing)
            assert app._places.lost == 0
    await asyncio.to_thread(as_it_should_be, newer)


def parts_told(settings: InfluxSettings) -> set[str]:
    """The parts whose health is stored."""
    http = InfluxHttp(settings)
    found = http.ask([f'SELECT max("status") FROM {PIPELINE.source} GROUP BY "part"'])
    http.close()
    return {rows.tags["part"] for each in found for rows in each}
