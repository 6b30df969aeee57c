"""What every store must pass, and what SQLite must besides."""

import dataclasses
import sqlite3
import threading

import msgspec
import natives
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.burden import burden_of, read_burden
from transport.stores.base import (
    Batch,
    BlockRecord,
    Counts,
    HopWindow,
    PartHealth,
    RefusalRecord,
    StoredEvent,
    StoreUnavailable,
)
from transport.stores.influx import InfluxStore
from transport.stores.influx_http import InfluxSettings
from transport.stores.influx_setup import Retention, set_up_influx
from transport.stores.sqlite import SqliteSettings, SqliteStore
from vitals.burden import Budget
from vitals.envelope import envelope
from vitals.events import AlarmEvent, Frames, Kind, Priority
from vitals.hops import Histogram, Hop
from vitals.ledger import Account, Origin, Refusal
from vitals.measurements import STATE_EVERY_NS
from vitals.patient_states import PatientState
from vitals.reading import USABLE_UP_TO, Block, Quality
from vitals.signs import HOUR_NS, MINUTE_NS, N_SIGNS, Sign

ALWAYS = (-(2**62), 2**62)
# Tests write at the beginning of time, which a retention policy would take for long expired.
FOR_EVER = Retention(raw_days=100_000, long_days=100_000)


@pytest.fixture(scope="module")
def influxd(tmp_path_factory):
    """Address of a real server, started once."""
    with natives.influx(tmp_path_factory.mktemp("influx")) as server:
        yield server.url


def sqlite_place(folder, request):
    return lambda: SqliteStore(folder / "store.sqlite", SqliteSettings(busy_s=0))


def influx_place(folder, request):
    database = f"at-{folder.name}"
    settings = InfluxSettings(request.getfixturevalue("influxd"), database=database, fold_at=4)
    set_up_influx(settings, FOR_EVER)
    return lambda: InfluxStore(settings)


PLACES = {"sqlite": sqlite_place, "influx": influx_place}


@pytest.fixture(params=list(PLACES))
def fresh_place(request, tmp_path_factory):
    """Makes empty places of the store under test; a place opens it, each time the same."""
    return lambda: PLACES[request.param](tmp_path_factory.mktemp("store"), request)


@pytest.fixture
def open_store(fresh_place):
    """Opens the store under test, each time on the same place."""
    place, opened = fresh_place(), []

    def make():
        opened.append(place())
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


def block(*bundles):
    """Bundles as (patient, device, boot, seq, readings); a reading as (sign, time_ns, value) and perhaps a quality."""
    patients, devices = (sorted({b[i] for b in bundles}) for i in (0, 1))
    readings = [(*r, Quality.GOOD)[:4] for b in bundles for r in b[4]]
    n = np.array([len(b[4]) for b in bundles], np.int64)
    seq = np.array([b[3] for b in bundles], np.int64)
    return Block(
        patients=patients,
        devices=devices,
        patient=np.array([patients.index(b[0]) for b in bundles], np.int64),
        device=np.array([devices.index(b[1]) for b in bundles], np.int64),
        boot=np.array([b[2] for b in bundles], np.int64),
        seq=seq,
        sent_ns=seq + 100,
        received_ns=seq + 1000,
        n=n,
        n_before=seq * 10,
        refused=np.zeros(len(bundles), np.int64),
        battery_pct=np.full(len(bundles), -1.0),
        queued=np.zeros(len(bundles), np.int64),
        offsets=np.concatenate([[0], np.cumsum(n)]),
        sign=np.array([r[0] for r in readings], np.uint8),
        quality=np.array([r[3] for r in readings], np.uint8),
        value=np.array([r[2] for r in readings], np.float64),
        time_ns=np.array([r[1] for r in readings], np.int64),
    )


def batch(offset, *bundles):
    return Batch(blocks=[BlockRecord(Origin("input", 0, offset), block(*bundles))])


def rate(store, patient="p"):
    """Instants and values of a patient's heart rate."""
    series = store.series(patient, [Sign.HR], *ALWAYS)[Sign.HR]
    return list(zip(series.time_ns.tolist(), series.value.tolist(), strict=True))


def ledger_row(store, device="dev"):
    return next(row for row in store.ledger().rows() if row.device == device)


def event(n, name="raised", patient="p", raised_ns=100, at_ns=None):
    alarm = f"{patient}:hr-high:{raised_ns}"
    return AlarmEvent(
        event_id=f"{alarm}:{n}",
        alarm_id=alarm,
        n=n,
        patient=patient,
        rule="hr-high",
        rule_version="1",
        kind=Kind.PHYSIOLOGICAL,
        priority=Priority.HIGH,
        event=name,
        at_ns=raised_ns + n if at_ns is None else at_ns,
        cause=f"because of {n}",
        state={"closed": name == "closed"},
    )


def frames(end_ns=60, patients=("p", "q"), detectors=("ewma",), scale=1.0):
    n = len(patients)
    value = np.arange(n * N_SIGNS, dtype=np.float64).reshape(n, N_SIGNS) * scale
    value[0, 0] = np.nan
    return Frames(
        start_ns=end_ns - 60,
        end_ns=end_ns,
        patients=list(patients),
        value=value,
        measured=~np.isnan(value),
        age_ns=np.arange(n * N_SIGNS).reshape(n, N_SIGNS) - 1,
        low=np.arange(n * 4.0).reshape(n, 4),
        high=np.arange(n * 4.0).reshape(n, 4) + 1,
        missing=np.arange(n),
        detector=np.linspace(0, 1, n * len(detectors)).reshape(n, len(detectors)),
        detectors=detectors,
        closed_by_ns=end_ns + 10,
    )


def window(at_ns=1000):
    times = Histogram()
    times.record_many(np.arange(1, 100) * 10_000)
    return HopWindow("bridge", Hop.INGEST, at_ns, times)


EVERYTHING = Batch(
    blocks=batch(5, ("p", "dev", 1, 0, [(Sign.HR, 10, 80.0), (Sign.SPO2, 10, 97.5)])).blocks,
    refusals=[RefusalRecord(Origin("quarantine", 0, 3), Refusal(device="dev", boot=1, seq=1, n=4, n_before=2))],
    frames=[frames()],
    events=[StoredEvent(event(1), {"measured": 10, "emitted": 30})],
    hops=[window()],
    settled=[Origin("input", 0, 6)],
)


def test_a_fresh_store_is_ready_and_empty(store):
    assert store.ready().ready
    assert store.counts() == Counts()
    assert store.patients() == []
    assert store.ledger().rows() == []
    assert store.alarm_events() == store.open_alarms() == store.hops(*ALWAYS) == []
    assert store.settled("input", 0) is None


def test_of_somebody_unknown_there_is_nothing(store):
    store.write(EVERYTHING)
    assert rate(store, "nobody") == []
    assert len(store.last(["nobody"]).patient) == 0
    assert len(store.frames("nobody", *ALWAYS).end_ns) == 0
    assert store.alarm_events("nobody") == store.open_alarms("nobody") == []


def test_an_empty_batch_changes_nothing(store):
    store.write(Batch())
    assert store.counts() == Counts()


def test_readings_come_back_as_they_were(store):
    store.write(
        batch(
            0,
            ("p", "dev", 1, 0, [(Sign.HR, 20, 81.25), (Sign.HR, 10, 80.0), (Sign.SPO2, 10, 45.0, Quality.DOUBTFUL)]),
            ("q", "other", 1, 7, [(Sign.HR, 10, 60.0)]),
            ("p", "other", 1, 8, [(Sign.HR, 10, 79.0, Quality.POOR)]),
        )
    )
    found = store.series("p", [Sign.HR, Sign.SPO2, Sign.RESP], *ALWAYS)
    hr = found[Sign.HR]
    assert hr.time_ns.tolist() == [10, 10, 20]
    assert hr.value.tolist() == [80.0, 79.0, 81.25]
    assert hr.quality.tolist() == [Quality.GOOD, Quality.POOR, Quality.GOOD]
    assert [hr.devices[i] for i in hr.device] == ["dev", "other", "dev"]
    assert hr.received_ns.tolist() == [1000, 1008, 1000]
    assert found[Sign.SPO2].quality.tolist() == [Quality.DOUBTFUL]
    assert len(found[Sign.RESP].value) == 0
    assert store.patients() == ["p", "q"]
    assert store.counts().readings == 5


def test_an_envelope_is_that_of_the_usable_readings(store):
    readings = [(Sign.HR, t, 60.0 + t % 7) for t in range(5, 100, 3)]
    spoiled = [(Sign.HR, 21, 300.0, Quality.POOR), (Sign.SPO2, 40, np.nan, Quality.NO_CONTACT), (Sign.SPO2, 41, 45.0)]
    store.write(batch(0, ("p", "dev", 1, 0, [*readings, *spoiled]), ("q", "other", 1, 0, [(Sign.HR, 9, 1.0)])))
    found = store.envelope("p", [Sign.HR, Sign.SPO2, Sign.RESP], 8, 98, 20)
    series = store.series("p", [Sign.HR], 8, 98)[Sign.HR]
    usable = series.quality <= USABLE_UP_TO
    told, expected = found[Sign.HR], envelope(series.time_ns[usable], series.value[usable], 8, 20)
    assert told.time_ns.tolist() == expected.time_ns.tolist()
    assert (told.low.tolist(), told.high.tolist()) == (expected.low.tolist(), expected.high.tolist())
    assert np.allclose(told.mean, expected.mean)
    assert found[Sign.SPO2].mean.tolist() == [45.0]
    assert len(found[Sign.RESP].mean) == 0
    assert len(store.envelope("nobody", [Sign.HR], 0, 10, 1)[Sign.HR].time_ns) == 0


def test_a_reading_without_a_value_stays_one(store):
    store.write(batch(0, ("p", "dev", 1, 0, [(Sign.SPO2, 10, np.nan, Quality.NO_CONTACT)])))
    found = store.series("p", [Sign.SPO2], *ALWAYS)[Sign.SPO2]
    assert np.isnan(found.value).tolist() == [True]
    assert found.quality.tolist() == [Quality.NO_CONTACT]
    assert np.isnan(store.last().value).tolist() == [True]


def test_a_range_holds_its_start_and_not_its_end(store):
    store.write(batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, float(t)) for t in (9, 10, 11, 12)])))
    assert store.series("p", [Sign.HR], 10, 12)[Sign.HR].time_ns.tolist() == [10, 11]


def test_times_and_numbers_keep_every_bit(store):
    time_ns, boot = 1_700_000_000_123_456_789, 1_700_000_000
    store.write(batch(0, ("p", "dev", boot, 0, [(Sign.TEMP_C, time_ns, 38.05), (Sign.TEMP_C, time_ns + 1, 0.1 + 0.2)])))
    found = store.series("p", [Sign.TEMP_C], *ALWAYS)[Sign.TEMP_C]
    assert found.time_ns.tolist() == [time_ns, time_ns + 1]
    assert found.value.tolist() == [38.05, 0.1 + 0.2]


def test_the_newest_reading_of_each_sign_is_told_whenever_it_comes(store):
    store.write(
        batch(0, ("p", "dev", 1, 1, [(Sign.HR, 20, 82.0), (Sign.HR, 30, 83.0)]), ("q", "x", 1, 0, [(Sign.HR, 5, 1)]))
    )
    store.write(batch(1, ("p", "dev", 1, 0, [(Sign.HR, 10, 81.0), (Sign.SPO2, 10, 97.0)])))  # late
    last = store.last()
    told = list(
        zip(last.patient, last.sign.tolist(), last.time_ns.tolist(), last.value.tolist(), last.device, strict=True)
    )
    assert told == [("p", Sign.HR, 30, 83.0, "dev"), ("p", Sign.SPO2, 10, 97.0, "dev"), ("q", Sign.HR, 5, 1.0, "x")]
    assert store.last(["q"]).patient == ["q"]


def test_writing_everything_twice_changes_nothing(store):
    def all_of_it():
        return (
            store.counts(),
            rate(store),
            store.ledger().rows(),
            store.alarm_events(),
            store.open_alarms(),
            [(w.at_ns, w.histogram.to_bytes()) for w in store.hops(*ALWAYS)],
            store.frames("p", *ALWAYS).value.tobytes(),
            store.last().time_ns.tolist(),
            store.settled("input", 0),
        )

    store.write(EVERYTHING)
    once = all_of_it()
    assert once[0] == Counts(readings=2, frames=2, events=1, hops=1)
    store.write(EVERYTHING)
    assert all_of_it() == once


def test_of_two_equal_readings_the_first_stands_and_the_second_is_a_duplicate(store):
    store.write(batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(10)])))
    store.write(batch(1, ("p", "dev", 1, 1, [(Sign.HR, 9, 99.0), (Sign.HR, 10, 81.0)])))
    assert rate(store)[-2:] == [(9, 80.0), (10, 81.0)]
    row = ledger_row(store)
    assert (row.sent, row.stored, row.duplicate, row.remainder) == (12, 11, 1, 0)


def test_equal_readings_of_one_bundle_or_of_one_batch_are_duplicates_too(store):
    store.write(
        batch(
            0,
            ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(8)] + [(Sign.HR, 0, 81.0), (Sign.HR, 0, 82.0)]),
            ("p", "dev", 1, 1, [(Sign.HR, 1, 83.0), (Sign.HR, 20, 84.0)]),
        )
    )
    row = ledger_row(store)
    assert (row.sent, row.stored, row.duplicate, row.remainder) == (12, 9, 3, 0)
    assert rate(store)[:2] == [(0, 80.0), (1, 80.0)]


def test_the_same_bundle_from_another_record_is_a_repeated_delivery(store):
    bundle = ("p", "dev", 1, 0, [(Sign.HR, 1, 80.0), (Sign.HR, 2, 81.0)])
    store.write(batch(0, bundle))
    store.write(batch(1, bundle))
    row = ledger_row(store)
    assert (row.sent, row.stored, row.duplicate, row.remainder) == (4, 2, 2, 0)


def test_a_batch_again_gives_the_same_ledger_even_after_what_followed(store):
    first = batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(10)]))
    second = batch(1, ("p", "dev", 1, 1, [(Sign.HR, 0, 80.0), (Sign.HR, 11, 80.0)]))
    store.write(first)
    store.write(second)
    rows = store.ledger().rows()
    store.write(second)
    store.write(first)
    store.write(Batch(blocks=[*first.blocks, *second.blocks]))
    assert store.ledger().rows() == rows


def test_two_devices_may_measure_the_same_at_the_same_instant(store):
    store.write(batch(0, ("p", "a", 1, 0, [(Sign.HR, 1, 80.0)]), ("p", "b", 1, 0, [(Sign.HR, 1, 81.0)])))
    assert [(row.device, row.stored, row.duplicate) for row in store.ledger().rows()] == [("a", 1, 0), ("b", 1, 0)]


def test_the_ledger_names_a_gap_and_knows_the_quarantine(store):
    store.write(batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(10)])))
    store.write(batch(1, ("p", "dev", 1, 3, [(Sign.HR, t, 80.0) for t in range(30, 40)])))
    refusal = Refusal(device="dev", boot=1, seq=1, n=10, n_before=10)
    store.write(Batch(refusals=[RefusalRecord(Origin("quarantine", 0, 0), refusal)]))
    row = ledger_row(store)
    assert (row.stored, row.quarantined, row.remainder, row.first_missing) == (20, 10, 10, (1, 2))
    ledger = store.ledger()
    ledger.account(Account(device="dev", at_ns=1, queued=((1, 2, 10),)))
    assert ledger.rows()[0].closed


def test_a_bundle_without_readings_counts_in_the_ledger(store):
    store.write(batch(0, ("p", "dev", 1, 0, [])))
    assert ledger_row(store).closed
    assert store.counts().readings == 0


def test_frames_come_back_with_every_bit_and_every_gap(store):
    store.write(Batch(frames=[frames(120, scale=0.1), frames(60), frames(180, detectors=("ewma", "sepsis"))]))
    found = store.frames("p", 60, 180)
    assert found.end_ns.tolist() == [60, 120]
    assert found.start_ns.tolist() == [0, 60]
    for i, given_frame in enumerate((frames(60), frames(120, scale=0.1))):
        for name in ("value", "measured", "age_ns", "low", "high"):
            np.testing.assert_array_equal(getattr(found, name)[i], getattr(given_frame, name)[0])
    assert found.missing.tolist() == [0, 0]
    assert set(found.detectors) == {"ewma"}
    everything = store.frames("q", *ALWAYS).detectors
    assert everything["ewma"].tolist() == [1, 1, 2 / 3]
    assert np.isnan(everything["sepsis"][:2]).all()


def test_when_patients_were_watched_is_the_sum_of_their_frames_in_pieces_of_an_hour(store):
    minute, hour = MINUTE_NS, HOUR_NS
    ends = [minute, 2 * minute, hour + 5 * minute, hour + 6 * minute, hour + 9 * minute]
    given = [dataclasses.replace(frames(end), start_ns=end - minute) for end in ends]
    given.append(dataclasses.replace(frames(3 * minute, patients=("q",)), start_ns=2 * minute))
    store.write(Batch(frames=given))
    late = (hour + 4 * minute, hour + 7 * minute)
    assert store.watched(0, 2 * hour) == {"p": [(0, 2 * minute), late], "q": [(0, 3 * minute), late]}
    assert store.watched(0, hour) == {"p": [(0, 2 * minute)], "q": [(0, 3 * minute)]}
    assert store.watched(3 * hour, 4 * hour) == {}


def test_the_burden_of_alarms_is_asked_of_a_store_and_of_each_of_its_weeks(tmp_path):
    """`p` was watched for an hour at the end of each of two weeks; one alarm each, answered after a minute."""
    week, minute = 7 * 24 * HOUR_NS, MINUTE_NS
    begins = [week - HOUR_NS, 2 * week - HOUR_NS]

    store = SqliteStore(tmp_path / "ward.sqlite")
    for n, begin in enumerate(begins):
        ends = range(begin + minute, begin + HOUR_NS + 1, minute)
        given = [dataclasses.replace(frames(end, patients=("p",)), start_ns=end - minute) for end in ends]
        raised = event(1, raised_ns=begin, at_ns=begin)
        answered = msgspec.structs.replace(event(2, "acknowledged", raised_ns=begin, at_ns=begin + minute), by="wren")
        readings = block(("p", "dev", 1, n, [(Sign.HR, begin + HOUR_NS - 1, 70.0)]))
        store.write(
            Batch(
                blocks=[BlockRecord(Origin("input", 0, n), readings)],
                frames=given,
                events=[StoredEvent(raised, {}), StoredEvent(answered, {})],
            )
        )
    found = burden_of(store, begins[0], begins[1] + HOUR_NS, Budget(per_patient_day=24.0))
    assert (found.paging, found.patients, found.patient_days) == (2, 1, 2 / 24)
    assert (found.answer.answered, found.answer.p50_s, found.people[0].name) == (2, 60, "wren")
    assert found.burn[-1].rate == 1
    store.close()
    told = read_burden(str(tmp_path / "ward.sqlite"), 1.0, 24.0, weeks=3)
    assert (told["paging"], told["patient_days"]) == (1, pytest.approx(1 / 24))
    assert [one["paging"] for one in told["weeks"]] == [0, 1, 1]


def test_a_detector_that_could_not_say_stays_silent(store):
    silent = frames()
    silent.detector[:] = np.nan
    store.write(Batch(frames=[silent]))
    assert np.isnan(store.frames("p", *ALWAYS).detectors["ewma"]).all()


def test_frames_without_detectors_are_frames(store):
    store.write(Batch(frames=[frames(detectors=())]))
    assert store.frames("p", *ALWAYS).detectors == {}


def test_alarm_events_come_by_time_with_their_stamps(store):
    events = [event(2, "acknowledged"), event(1), event(1, patient="q", raised_ns=50)]
    store.write(Batch(events=[StoredEvent(e, {"emitted": e.n}) for e in events]))
    assert [e.event.event_id for e in store.alarm_events()] == [
        "q:hr-high:50:1",
        "p:hr-high:100:1",
        "p:hr-high:100:2",
    ]
    assert [e.stamps for e in store.alarm_events("p")] == [{"emitted": 1}, {"emitted": 2}]
    assert store.alarm_events("p")[0].event == event(1)
    assert [e.event.n for e in store.alarm_events(None, 101, 102)] == [1]


def test_an_event_told_again_with_when_it_was_stored_stands_once_with_that(store):
    store.write(Batch(events=[StoredEvent(event(n), {"scored": n}) for n in (1, 2)]))
    store.write(Batch(events=[StoredEvent(event(1), {"scored": 1, "stored": 9})]))
    store.write(Batch(events=[StoredEvent(event(1), {"scored": 1})]))  # read once more after a restart
    assert [e.stamps for e in store.alarm_events("p")] == [{"scored": 1, "stored": 9}, {"scored": 2}]
    assert store.counts().events == 2


def test_an_alarm_is_open_until_it_is_closed_in_whatever_order_one_hears_of_it(store):
    store.write(Batch(events=[StoredEvent(event(1)), StoredEvent(event(2, "returned"))]))
    store.write(Batch(events=[StoredEvent(event(1, patient="q", raised_ns=7))]))
    assert [a.alarm_id for a in store.open_alarms()] == ["q:hr-high:7", "p:hr-high:100"]
    (alarm,) = store.open_alarms("p")
    assert (alarm.n, alarm.last, alarm.why) == (2, "returned", "because of 1")
    store.write(Batch(events=[StoredEvent(event(3, "closed"))]))
    store.write(Batch(events=[StoredEvent(event(2, "returned"))]))
    assert store.open_alarms("p") == []


def test_events_of_one_instant_all_stand_whatever_they_have_in_common(store):
    # Two people whose commands are refused at one tick, and one alarm acknowledged twice at it.
    refused = [
        StoredEvent(msgspec.structs.replace(event(1, "command_refused"), alarm_id=alarm, event_id=f"{alarm}:1"))
        for alarm in ("p:command:c1", "p:command:c2")
    ]
    again = [StoredEvent(event(n, "acknowledged", at_ns=101)) for n in (2, 3)]
    others = [StoredEvent(event(1)), StoredEvent(event(1, patient="q"))]
    told = [*refused, *others, *again]
    for _ in range(2):
        store.write(Batch(events=told))
        store.write(Batch(events=told[::-1]))
        assert {e.event.event_id for e in store.alarm_events()} == {e.event.event_id for e in told}
        assert {e.event.at_ns for e in store.alarm_events(None, 101, 102)} == {101}
        assert store.counts().events == len(told)


def test_a_refused_command_opens_no_alarm(store):
    store.write(Batch(events=[StoredEvent(event(1, "command_refused"))]))
    assert store.open_alarms() == []
    assert len(store.alarm_events()) == 1


def test_hop_times_come_back_as_histograms(store):
    store.write(Batch(hops=[window(2000), window(1000)]))
    found = store.hops(1000, 2000)
    assert [(w.part, w.hop, w.at_ns) for w in found] == [("bridge", Hop.INGEST, 1000)]
    assert found[0].histogram.to_bytes() == window().histogram.to_bytes()


def test_books_are_found_by_how_their_names_begin_and_the_newest_stands(open_store):
    store, large = open_store(), bytes(range(256)) * 2_000
    store.write(Batch(books={"states:0": b"", "states:0:p.1": b"one", "states:1": large, "other": b"x"}))
    store.write(Batch(books={"states:0": b"two"}))
    store.write(Batch(books={"states:1": large[:100_000]}))
    assert store.books("states:0") == {"states:0": b"two", "states:0:p.1": b"one"}
    assert store.books("states:1") == {"states:1": large[:100_000]}
    assert store.books("states:0:p.") == {"states:0:p.1": b"one"}
    assert store.books("nothing") == {}
    assert open_store().books("") == store.books("")
    assert len(store.books("")) == 4


def test_what_dashboards_ask_for_may_be_written_and_nothing_is_rejected(store):
    state = PatientState("p", 0, STATE_EVERY_NS, 2)
    health = PartHealth("storing", 5, 0, 'all "well", \\ two\nlines', {"records": 3.0, "lag": float("nan")})
    store.write(Batch(states=[state, state], health=[health], ledger_at_ns=60))
    store.write(dataclasses.replace(EVERYTHING, ledger_at_ns=120))
    assert store.rejected() == {}


def test_a_settled_offset_only_moves_on(store):
    for offset in (6, 9, 4):
        store.write(Batch(settled=[Origin("input", 2, offset)]))
    assert store.settled("input", 2) == 9
    assert store.settled("input", 1) is None


def test_a_batch_is_kept_whole_or_not_at_all(store):
    good = batch(0, ("new-patient", "dev", 1, 0, [(Sign.HR, 1, 80.0)]))
    broken = frames()
    broken.low = broken.low[:, :1]
    with pytest.raises(Exception):  # noqa: B017, PT011  # whichever: a store may notice in its own way
        store.write(Batch(blocks=good.blocks, frames=[broken]))
    assert store.counts() == Counts()
    assert store.ledger().rows() == []
    store.write(good)
    assert store.patients() == ["new-patient"]


def test_what_was_written_is_there_when_it_is_opened_again(open_store):
    first = open_store()
    first.write(EVERYTHING)
    rows = first.ledger().rows()
    first.close()
    again = open_store()
    assert again.counts() == Counts(readings=2, frames=2, events=1, hops=1)
    assert again.ledger().rows() == rows
    again.write(EVERYTHING)
    assert again.ledger().rows() == rows


def test_a_writer_that_begins_anew_goes_on_from_what_another_wrote_since(open_store):
    def made(offset):
        told = batch(offset, ("p", "dev", 1, offset, [(Sign.HR, offset, 80.0)]))
        told_twice = ("p", "dev", 2, offset, [(Sign.HR, offset, 99.0)])
        return [told, batch(100 + offset, told_twice)]

    one, other = open_store(), open_store()
    for offset in range(12):  # of the smallest ring there is, three times over
        writer, again = (one, other) if offset // 3 % 2 else (other, one)
        writer.begin()
        first, second = made(offset)
        writer.write(first)
        again.begin()
        again.write(second)
    for store in (one, other):
        row = ledger_row(store)
        assert (row.stored, row.duplicate, row.missing) == (12, 12, 0)
        assert [value for _, value in rate(store)] == [80.0] * 12


def test_others_read_while_one_writes(store):
    seen, failures = [], []

    def read():
        try:
            while not seen or seen[-1] < 200:
                seen.append(store.counts().readings)
                store.series("p", [Sign.HR], *ALWAYS)
                store.ledger().rows()
        except Exception as error:  # noqa: BLE001  # told to the test below
            failures.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for i in range(20):
        store.write(batch(i, ("p", "dev", 1, i, [(Sign.HR, 10 * i + j, 80.0) for j in range(10)])))
    reader.join(timeout=60)
    assert not failures
    assert seen == sorted(seen)
    assert all(n % 10 == 0 for n in seen)
    assert seen[-1] == 200


def test_what_is_older_can_be_forgotten_and_the_ledger_keeps_its_sums(store):
    store.write(
        batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(10)]), ("q", "x", 1, 0, [(Sign.HR, 0, 1)]))
    )
    closed = [StoredEvent(event(n, name)) for n, name in ((1, "raised"), (2, "closed"))]
    open_one = [StoredEvent(event(1, patient="q", raised_ns=50)), StoredEvent(event(2, "returned", "q", 50, 300))]
    store.write(Batch(frames=[frames(5), frames(60)], hops=[window(3), window(30)], events=[*closed, *open_one]))
    rows = store.ledger().rows()
    assert store.forget(readings_before_ns=6) == Counts(readings=7, frames=2, hops=1)
    assert [t for t, _ in rate(store)] == [6, 7, 8, 9]
    assert store.frames("p", *ALWAYS).end_ns.tolist() == [60]
    assert store.frames("p", *ALWAYS).detectors["ewma"].tolist() == [0]
    assert store.last().patient == ["p"]
    assert store.forget(events_before_ns=102) == Counts()  # closed at 102: not older
    assert store.forget(events_before_ns=200) == Counts(events=2)
    assert [a.alarm_id for a in store.open_alarms()] == ["q:hr-high:50"]
    assert len(store.alarm_events("q")) == 2
    assert store.ledger().rows() == rows
    assert store.forget() == Counts()


readings = st.lists(
    st.tuples(
        st.sampled_from([Sign.HR, Sign.SPO2, Sign.MAP]),
        st.integers(-5, 5),
        st.floats(-50, 400) | st.just(float("nan")),
        st.sampled_from(Quality),
    ),
    max_size=6,
)
bundles = st.lists(
    st.tuples(st.sampled_from("pq"), st.sampled_from(["a", "b"]), st.integers(0, 1), st.integers(0, 3), readings),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(bundles, min_size=1, max_size=4), data=st.data())
def test_what_is_stored_is_what_a_dictionary_would_keep(fresh_place, histories, data):
    store = fresh_place()()
    kept, found = {}, {}
    for offset, history in enumerate(histories):
        for _ in range(data.draw(st.integers(1, 2))):
            store.write(batch(offset, *history))
        for patient, device, _, _, told in history:
            for sign, time_ns, value, quality in told:
                kept.setdefault((patient, sign, time_ns, device), (None if np.isnan(value) else value, quality))
    for patient in "pq":
        for sign, series in store.series(patient, list(Sign), *ALWAYS).items():
            columns = (series.time_ns, series.device, series.value, series.quality)
            for time_ns, device, value, quality in zip(*(c.tolist() for c in columns), strict=True):
                found[patient, sign, time_ns, series.devices[device]] = (None if np.isnan(value) else value, quality)
    assert found == kept
    assert store.counts().readings == len(kept)
    store.close()


# SQLite alone


def sqlite_at(folder, **changed):
    return SqliteStore(folder / "store.sqlite", SqliteSettings(**({"busy_s": 0} | changed)))


def test_a_lock_held_by_another_process_is_told_with_when_to_try_again(tmp_path):
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    with sqlite_at(tmp_path) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked") as caught:
            store.write(EVERYTHING)
        assert caught.value.retry_after_s > 0
        assert not store.ready().ready
        assert "locked" in store.ready().why
        assert store.counts() == Counts()  # reading goes on
        other.execute("ROLLBACK")
        store.write(EVERYTHING)
        assert store.ready().ready
    other.close()


def test_a_full_disk_is_told_and_the_batch_is_kept_once_there_is_room(tmp_path):
    many = batch(0, ("p", "dev", 1, 0, [(Sign.HR, t, 80.0) for t in range(20_000)]))
    with sqlite_at(tmp_path, max_pages=60) as store:
        with pytest.raises(StoreUnavailable, match="full") as caught:
            store.write(many)
        assert caught.value.retry_after_s >= 5
        assert store.counts() == Counts()
        assert store.ledger().rows() == []
    with sqlite_at(tmp_path) as store:
        store.write(many)
        assert store.counts().readings == 20_000


def test_a_place_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(StoreUnavailable, match="unable to open"):
        SqliteStore(tmp_path / "no such folder" / "store.sqlite")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        SqliteStore(tmp_path / "store.sqlite", read_only=True)


def test_a_store_opened_for_reading_changes_nothing(tmp_path):
    with sqlite_at(tmp_path) as store, SqliteStore(tmp_path / "store.sqlite", read_only=True) as reader:
        store.write(EVERYTHING)
        assert reader.counts().readings == 2
        assert reader.ready().ready
        with pytest.raises(StoreUnavailable, match="reading only"):
            reader.write(EVERYTHING)


def test_a_file_of_another_version_is_refused(tmp_path):
    sqlite_at(tmp_path).close()
    other = sqlite3.connect(tmp_path / "store.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(ValueError, match="version 99"):
        sqlite_at(tmp_path)


def test_a_closed_store_is_not_ready(tmp_path):
    store = sqlite_at(tmp_path)
    store.close()
    assert not store.ready().ready


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="busy_s=-1"):
        SqliteSettings(busy_s=-1)


def test_facts_that_were_added_up_say_the_same_as_one_by_one(tmp_path):
    batches = [
        batch(0, ("p", "dev", 1, 0, [(Sign.HR, 0, 80.0)] * 10)),
        batch(1, ("p", "dev", 1, 2, [(Sign.HR, 2, 80.0)] * 10)),
        batch(2, ("p", "dev", 1, 2, [(Sign.HR, 2, 80.0)] * 10)),
        Batch(refusals=[RefusalRecord(Origin("quarantine", 0, 0), Refusal(device="dev", boot=1, seq=1))]),
        Batch(settled=[Origin("input", 0, 3)]),
        batch(0, ("p", "dev", 1, 0, [(Sign.HR, 0, 80.0)] * 10)),
        batch(3, ("p", "dev", 1, 3, [(Sign.HR, 2, 80.0)] * 10)),
    ]
    rows = []
    for fold_at in (1, 3, 1000):
        folder = tmp_path / str(fold_at)
        folder.mkdir()
        with sqlite_at(folder, fold_at=fold_at) as store:
            for one in batches:
                store.write(one)
            rows.append(store.ledger().rows())
    assert rows[0] == rows[1] == rows[2]
    assert (rows[0][0].sent, rows[0][0].quarantined, rows[0][0].remainder) == (50, 10, 0)
