"""What InfluxDB must besides: its points as dashboards ask for them, its set-up, what a kill leaves, bad points."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
import zlib
from collections import Counter

import natives
import pyarrow as pa
import pytest
from test_stores import (
    ALWAYS,
    EVERYTHING,
    FOR_EVER,
    batch,
    event,
    frames,
    influxd,  # noqa: F401  # a fixture
    ledger_row,
    window,
)

from deploy.ledger import read_ledger
from transport.stores.base import Batch, PartHealth, StoredEvent, StoreUnavailable
from transport.stores.influx import InfluxStore
from transport.stores.influx_http import InfluxHttp, InfluxSettings
from transport.stores.influx_setup import Retention, check_influx, flux_task, redo_minutes, set_up_influx
from vitals import measurements as m
from vitals.hops import Histogram
from vitals.ledger import Origin
from vitals.measurements import STATE_EVERY_NS, Policy
from vitals.patient_states import WATCHED, state_of
from vitals.reading import Quality
from vitals.signs import MINUTE_NS, SECOND_NS, Sign


@pytest.fixture
def settings(influxd, request):  # noqa: F811
    return InfluxSettings(influxd, database=f"d-{abs(hash(request.node.name))}", fold_at=8)


@pytest.fixture
def store(settings):
    set_up_influx(settings, FOR_EVER)
    with InfluxStore(settings) as store:
        yield store


@pytest.fixture
def ask(settings):
    """``ask(query)``: rows as dictionaries, tags among them."""
    http = InfluxHttp(settings)

    def rows(query):
        (found,) = http.ask([query])
        return [
            {**one.tags, **dict(zip(one.columns, values, strict=True))}
            for one in found
            for values in zip(*one.columns.values(), strict=True)
        ]

    yield rows
    http.close()


# -- points ------------------------------------------------------------------------------------------------------------


def test_every_field_that_is_written_stands_in_the_table_with_its_type(store, ask):
    alarm = StoredEvent(event(1), {"measured": 10, "scored": 2 * SECOND_NS})
    store.write(EVERYTHING)
    store.write(Batch(events=[alarm]))
    (worst,) = store.open_alarms("p")
    states = [state_of("p", 3, STATE_EVERY_NS, WATCHED, [worst]), state_of("q", 3, STATE_EVERY_NS, WATCHED, [])]
    store.write(Batch(states=states, health=[PartHealth("bridge", 5, 1, "slow", {"messages": 7})], ledger_at_ns=60))
    for measurement in m.MEASUREMENTS:
        fields = measurement.fields
        if measurement is m.VITALS_MINUTE:  # the server makes it
            continue
        found = {row["fieldKey"]: row["fieldType"] for row in ask(f"SHOW FIELD KEYS FROM {measurement.source}")}
        assert set(found) <= set(fields) | {"messages"}
        assert all(found[name] == fields[name][0] for name in found if name in fields)
        tags = {row["tagKey"] for row in ask(f"SHOW TAG KEYS FROM {measurement.source}")}
        assert tags == set(measurement.tags)
    assert ask(f"SELECT * FROM {m.PIPELINE.source}") == [
        {"time": 5, "part": "bridge", "status": 1, "text": "slow", "messages": 7.0}
    ]


def test_how_things_stand_is_a_row_for_each_patient_and_the_newest_word_counts(store, ask):
    store.write(Batch(events=[StoredEvent(event(1))]))
    (alarm,) = store.open_alarms()
    at = STATE_EVERY_NS
    store.write(Batch(states=[state_of("p", 1, at, WATCHED, []), state_of("q", 1, at, WATCHED, [])]))
    store.write(Batch(states=[state_of("p", 1, at, WATCHED, [alarm])]))
    found = ask(
        f'SELECT "priority", "unattended", "worst_rule", "oldest_open_s", "patient" FROM {m.ALARM_STATE.source}'
    )
    assert found == [
        {
            "time": at,
            "priority": 3,
            "unattended": 1,
            "worst_rule": "hr-high",
            "oldest_open_s": 10.0 - 1e-7,
            "patient": "p",
        },
        {"time": at, "priority": 0, "unattended": 0, "worst_rule": None, "oldest_open_s": 0.0, "patient": "q"},
    ]


def test_a_histogram_and_its_middle_say_the_same(store, ask):
    store.write(Batch(hops=[window()]))
    (row,) = ask(f"SELECT * FROM {m.HOPS.source}")
    told = Histogram.from_bytes(zlib.decompress(base64.b64decode(row["histogram"])))
    assert (row["p50_ns"], row["p999_ns"]) == told.percentiles(50, 99.9)
    assert row["count"] == told.count


def test_sums_of_the_ledger_are_told_when_they_have_changed(store, ask):
    store.write(batch(0, ("p", "a", 1, 0, [(Sign.HR, 1, 80.0)]), ("p", "b", 1, 0, [(Sign.HR, 1, 80.0)])))
    store.write(Batch(ledger_at_ns=60))
    store.write(batch(1, ("p", "a", 1, 1, [(Sign.HR, 1, 81.0)])))
    store.write(Batch(ledger_at_ns=120))
    found = ask(f'SELECT "device", "stored", "duplicate" FROM {m.LEDGER.source}')
    assert [(row["time"], row["device"], row["stored"], row["duplicate"]) for row in found] == [
        (60, "a", 1, 0),
        (60, "b", 1, 0),
        (120, "a", 1, 1),
    ]


def test_odd_names_and_texts_come_back(store, ask):
    odd = PartHealth("a b,c=d", 5, 0, 'say "no" \\ or\nyes', {"x": 1.5})
    store.write(Batch(health=[odd]))
    (row,) = ask(f"SELECT * FROM {m.PIPELINE.source}")
    assert (row["part"], row["text"], row["x"]) == (odd.part, odd.text, 1.5)


def test_the_ledger_is_read_by_the_stores_address(store, settings):
    store.write(batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(10)])))
    told = read_ledger(f"influx:{settings.url}/{settings.database}", None, {})
    assert (told["sent"], told["stored"], told["remainder"]) == (10, 10, 0)


# -- the ledger's ring -------------------------------------------------------------------------------------------------


def test_facts_in_the_ring_and_in_the_book_say_the_same(store, settings):
    rows = []
    for offset in (0, 1, 2, 9, 10, 40, 41, 400):  # the ring has eight places
        store.write(batch(offset, ("p", "dev", 1, offset, [(Sign.HR, offset, 80.0)] * 10)))
        rows.append(store.ledger().rows())
        with InfluxStore(settings) as again:
            again.write(batch(offset, ("p", "dev", 1, offset, [(Sign.HR, offset, 80.0)] * 10)))
            assert again.ledger().rows() == rows[-1]
    assert ledger_row(store).stored == 8
    assert ledger_row(store).duplicate == 72
    assert ledger_row(store).missing == 393


def test_a_record_far_larger_than_a_text_may_be_is_kept_for_the_ledger(store):
    many = [("p", f"device-with-a-long-name-{i}", 10**9 + i * 7919, i, []) for i in range(5_000)]
    store.write(batch(3, *many))
    assert len(store.ledger().rows()) == 5_000


def test_a_batch_whose_answer_was_lost_counts_though_it_does_not_come_again(store, settings, monkeypatch):
    """Partitions were given out anew after it; whoever has them goes on from what the store has settled."""

    def answer_lost(policy, body):
        post(policy, body)
        if policy == Policy.BOOKS:
            raise StoreUnavailable("the answer was lost", 0.0)

    def made(offset):
        told = batch(offset, ("p", "dev", 1, offset, [(Sign.HR, offset, 80.0)]))
        events = [event(2, "closed", raised_ns=1_000 * offset)] if offset else []
        events.append(event(1, raised_ns=1_000 * (offset + 1)))
        settled = [Origin("input", 0, offset + 1)]
        return Batch(blocks=told.blocks, events=[StoredEvent(one) for one in events], settled=settled)

    post = store._http.post
    store.write(made(0))
    with monkeypatch.context() as patch:
        patch.setattr(store._http, "post", answer_lost)
        with pytest.raises(StoreUnavailable, match="was lost"):
            store.write(made(1))
    assert store.settled("input", 0) == 2
    for offset in range(2, 20):  # the ring has eight places: what stood in them is added up
        store.write(made(offset))
    assert (ledger_row(store).stored, ledger_row(store).missing) == (20, 0)
    assert [alarm.alarm_id for alarm in store.open_alarms()] == [made(19).events[-1].event.alarm_id]


# -- bad points --------------------------------------------------------------------------------------------------------


def test_bad_points_are_counted_by_reason_and_the_others_stand(store, settings, ask):
    store.write(Batch(health=[PartHealth("a", 1, 0, "ok", {"x": 1.0})]))
    http, rejected = InfluxHttp(settings), Counter()
    good = [f"pipeline,part=p{i} status=0i {i}\n" for i in range(40)]
    bad = ["pipeline,part=a x=5i 2\n", "pipeline,part=b nonsense 3\n", "pipeline,part=c text=7 4\n"]
    http.write(Policy.RAW, pa.array([*good[:20], *bad, *good[20:]]), rejected)
    http.close()
    assert rejected == {"another type stands in the store": 2, "not readable": 1}
    assert len(ask(f'SELECT "status" FROM {m.PIPELINE.source} WHERE "part" =~ /^p/')) == 40


def test_what_is_older_than_the_store_keeps_is_counted_and_the_rest_stands(settings):
    set_up_influx(settings)
    now = time.time_ns()
    with InfluxStore(settings) as store:
        store.write(
            batch(0, ("p", "dev", 1, 0, [(Sign.HR, now, 80.0), (Sign.HR, now - 20 * 86_400 * SECOND_NS, 81.0)]))
        )
        # The bundle itself, received at the beginning of time, too.
        assert store.rejected() == {"older than the store keeps": 2}
        assert store.counts().readings == 1
        assert ledger_row(store).closed


# -- set-up ------------------------------------------------------------------------------------------------------------


def test_a_server_is_set_up_once_and_whoever_looks_finds_nothing(settings):
    assert check_influx(settings) == [f"database {settings.database} is not there"]
    done = set_up_influx(settings)
    assert [line.split(":")[0] for line in done] == [
        f"database {settings.database} is not there",
        "retention policy raw",
        "retention policy long",
        "retention policy books",
        "continuous query vitals_1m is not there",
        "continuous query vitals_1m_late is not there",
    ]
    assert check_influx(settings) == set_up_influx(settings) == []


def test_what_somebody_changed_is_named_and_mended(settings, ask):
    set_up_influx(settings)
    db = settings.database
    ask(f'ALTER RETENTION POLICY "raw" ON "{db}" DURATION 2d')
    ask(f'DROP CONTINUOUS QUERY "vitals_1m" ON "{db}"')
    said = check_influx(settings)
    assert said == [
        "retention policy raw: 2 days, shards of 24 h, the default, should be 14 days, shards of 24 h, the default",
        "continuous query vitals_1m is not there",
    ]
    assert set_up_influx(settings) == said
    assert check_influx(settings) == []
    assert check_influx(settings, Retention(raw_days=30)) != []


def test_a_store_that_was_not_set_up_says_so(settings):
    with InfluxStore(settings) as store:
        assert not store.ready().ready
        with pytest.raises(StoreUnavailable, match="set it up first"):
            store.write(EVERYTHING)
        set_up_influx(settings, FOR_EVER)
        assert store.ready().ready
        store.write(EVERYTHING)


def test_minute_means_hold_usable_readings_only_and_can_be_made_again(store, settings, ask):
    readings = [
        (Sign.HR, 0, 60.0),
        (Sign.HR, 59 * SECOND_NS, 80.0),
        (Sign.HR, 30 * SECOND_NS, 300.0, Quality.POOR),
        (Sign.HR, MINUTE_NS, 90.0, Quality.DOUBTFUL),
        (Sign.SPO2, 0, float("nan"), Quality.NO_CONTACT),
    ]
    store.write(batch(0, ("p", "dev", 1, 0, readings)))
    for _ in range(2):
        redo_minutes(settings, 0, 2 * MINUTE_NS)
        rows = ask(f'SELECT "mean", "min", "max", "count" FROM {m.VITALS_MINUTE.source} GROUP BY *')
        assert rows == [
            {"patient": "p", "device": "dev", "sign": "hr", **told}
            for told in (
                {"time": 0, "mean": 70.0, "min": 60.0, "max": 80.0, "count": 2},
                {"time": MINUTE_NS, "mean": 90.0, "min": 90.0, "max": 90.0, "count": 1},
            )
        ]
    store.write(batch(1, ("p", "dev", 1, 1, [(Sign.HR, 10, 100.0)])))  # late
    redo_minutes(settings, 0, 2 * MINUTE_NS)
    assert ask(f'SELECT "mean" FROM {m.VITALS_MINUTE.source}')[0]["mean"] == 80.0


def test_the_task_of_2x_makes_the_means_that_the_continuous_query_makes(store, settings):
    """Its Flux runs on 1.8 too, but for the last step: there it cannot write, so that one is left out here."""
    now = time.time_ns() // MINUTE_NS * MINUTE_NS
    readings = [(Sign.HR, now - 2 * MINUTE_NS, 60.0), (Sign.HR, now - 2 * MINUTE_NS + 9, 80.0)]
    readings.append((Sign.HR, now - 2 * MINUTE_NS + 8, 300.0, Quality.POOR))
    store.write(batch(0, ("p", "dev", 1, 0, readings)))
    task = flux_task(settings.database, "t", "1m", "5m")
    target = f'|> to(bucket: "{m.bucket(Policy.LONG, settings.database)}")'
    assert task.count(target) == 4
    flux = task.replace('option task = {name: "t", every: 1m, offset: 10s}', "")
    names = iter(("mean", "min", "max", "count"))
    while target in flux:
        flux = flux.replace(target, f'|> yield(name: "{next(names)}")', 1)
    http = InfluxHttp(settings)
    text = http._call("POST", "/api/v2/query", None, {"query": flux, "type": "flux"}).data.decode()
    http.close()
    header, *rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    found = [dict(zip(header, row, strict=True)) for row in rows if row[1] != "result"]
    assert {row["_field"]: float(row["_value"]) for row in found} == {"mean": 70, "min": 60, "max": 80, "count": 2}
    assert {row["_measurement"] for row in found} == {m.VITALS_MINUTE.name}


# -- a kill ------------------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_a_kill_and_what_was_not_changes_nothing_written_again(tmp_path):
    with natives.influx(tmp_path) as server:
        settings = InfluxSettings(server.url, timeout_s=2.0, lines=50)
        set_up_influx(settings, FOR_EVER)
        acknowledged, killed, restarted = [], threading.Event(), threading.Event()

        def made(i):
            told = batch(i, ("p", "dev", 1, i, [(Sign.HR, 10 * i + j, float(j)) for j in range(10)] * 12))
            return Batch(
                blocks=told.blocks,
                events=[StoredEvent(event(1, raised_ns=i))],
                frames=[frames(60 + i)],
                settled=told.settled,
                books={"mine": str(i).encode()},
            )

        def write():
            store, i = InfluxStore(settings), 0
            while i < 60:
                try:
                    store.write(made(i))
                except StoreUnavailable:
                    killed.set()
                    restarted.wait(30)
                    store.close()
                    store = InfluxStore(settings)  # as a process that begins anew
                else:
                    acknowledged.append(i)
                    i += 1
            store.close()

        writer = threading.Thread(target=write)
        writer.start()
        for at in (10, 30):
            while len(acknowledged) < at:
                time.sleep(0.001)
            natives.done(server.kill())
            killed.wait(30)
            before = list(acknowledged)
            natives.done(server.start())
            with InfluxStore(settings) as reader:
                stored = {e.event.alarm_id for e in reader.alarm_events()}
                assert stored >= {f"p:hr-high:{i}" for i in before}
                assert int(reader.books("mine")["mine"]) >= before[-1]
                assert reader.counts().readings >= 10 * len(before)
            killed.clear()
            restarted.set()
        writer.join(60)
        with InfluxStore(settings) as reader:
            counts, row = reader.counts(), ledger_row(reader)
            assert (counts.readings, counts.frames, counts.events) == (600, 120, 60)
            assert (row.stored, row.duplicate, row.missing) == (600, 6600, 0)
            assert len(reader.series("p", [Sign.HR], *ALWAYS)[Sign.HR].value) == 600


def test_the_server_is_asked_to_sync_each_write(tmp_path):
    """`wal-fsync-delay` above 0 would acknowledge what is not on the disk."""
    with natives.influx(tmp_path) as server:
        told = natives.done(asyncio.to_thread((server.folder / "influxdb.conf").read_text))
        assert 'wal-fsync-delay = "0s"' in told
