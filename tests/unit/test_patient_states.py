"""How things stand for every watched patient: no series ends but for a discharge, whatever order events come in."""

from __future__ import annotations

import itertools
import random

import pytest
from wards import SentBundle, admitted, block, ns

from vitals.log import Enrolment, Tick
from vitals.measurements import STATE_EVERY_NS
from vitals.patient_states import DISCHARGED, PAUSED, WATCHED, PatientStates
from vitals.ward import Ward

MINUTES = 12


def log():
    """One patient falls ill and gets well, one is never ill, one is discharged half way, one only wears a device."""
    records = [r for name in ("p-ill", "p-well", "p-gone") for r in admitted(name, {f"d-{name}": 10})]
    for seq, second in enumerate(range(0, MINUTES * 60, 10)):
        records.append(Tick(now_ns=ns(second)))
        names = ["p-ill", "p-well", "p-bare", *(["p-gone"] if second < 300 else [])]
        sent = [
            SentBundle(
                f"d-{name}",
                name,
                seq,
                second,
                [("spo2", 82 if name == "p-ill" and 60 <= second < 300 else 97, second)],
                received_s=second + 0.5,
            )
            for name in names
        ]
        records.append(block(sent))
        if second == 300:
            records.append(Enrolment(patient="p-gone", state="discharged", at_ns=ns(second), by="d"))
    return [*records, Tick(now_ns=ns(MINUTES * 60))]


LOG = log()


def told(order=None, restart_at=(), every=1):
    """States of a run: events come when `order` says how many records later than their cause they are read.

    They are asked for, as for a batch, after `every` so many records.
    """
    ward, kept, found, batch = Ward(), {}, {}, []
    states = PatientStates(0)
    waiting, own = [], 0
    for offset, record in enumerate(LOG):
        waiting += [(event, offset) for event in ward.step(record).events]
        batch += states.record(record, offset)
        while waiting and (order is None or order(waiting[0][1], offset)):
            event, cause = waiting.pop(0)
            states.event(event, cause, own)
            own += 1
        if offset % every and offset not in restart_at:
            continue
        found.update({(s.patient, s.at_ns): s for s in [*batch, *states.retold()]})
        batch.clear()
        kept |= states.changed()
        if offset in restart_at:
            states = PatientStates(0, kept)
    for event, cause in waiting:
        states.event(event, cause, own)
    found.update({(s.patient, s.at_ns): s for s in [*batch, *states.retold()]})
    return found


def series(found, patient):
    return [state for (name, _), state in sorted(found.items()) if name == patient]


def test_every_watched_patient_has_a_point_at_each_instant_alarms_or_not():
    found = told()
    for patient in ("p-ill", "p-well", "p-bare"):
        times = [state.at_ns for state in series(found, patient)]
        assert len(times) > 6 * (MINUTES - 1)
        assert all(b - a == STATE_EVERY_NS for a, b in itertools.pairwise(times))
    assert {state.watch for state in series(found, "p-well")} == {WATCHED}


def test_an_alarm_is_seen_from_its_cause_to_its_end_and_says_how_old_it_is():
    ill = series(told(), "p-ill")
    assert max(state.priority for state in ill) == 3
    first = next(state for state in ill if state.priority)
    assert first.unattended == first.open > 0
    assert first.worst is not None
    assert first.worst.patient == "p-ill"
    assert ill[-1].oldest_open_s == pytest.approx((ill[-1].at_ns - first.worst.raised_ns) / 1e9), (
        "it stays until seen to"
    )
    assert ill[-1].overdue_s > 0


def test_a_discharge_is_told_once_and_then_the_series_ends():
    gone = series(told(), "p-gone")
    assert [state.watch for state in gone].count(DISCHARGED) == 1
    assert gone[-1].watch == DISCHARGED
    assert gone[-1].at_ns == ns(310)


def test_the_points_are_those_of_the_log_however_late_events_are_read():
    plain = told()
    late = random.Random(3)
    assert told(lambda cause, now: now - cause > 25) == plain
    assert told(lambda cause, now: late.random() < 0.1) == plain
    assert told(lambda cause, now: False) == plain


@pytest.mark.parametrize("every", [2, 7, 40, 1000])
def test_the_points_are_those_of_the_log_however_many_records_make_a_batch(every):
    plain = told()
    late = random.Random(every)
    assert told(every=every) == plain
    assert told(lambda cause, now: now - cause > 9, every=every) == plain
    assert told(lambda cause, now: late.random() < 0.2, every=every) == plain
    assert told(lambda cause, now: late.random() < 0.2, every=every, restart_at=range(0, len(LOG), 11)) == plain


def test_however_many_events_come_late_an_instant_is_told_again_once():
    ward, states = Ward(), PatientStates(0)
    events = []
    for offset, record in enumerate(LOG):
        events += [(event, offset) for event in ward.step(record).events]
        states.record(record, offset)
    for own, (event, cause) in enumerate(events):
        states.event(event, cause, own)
    again = [(s.patient, s.at_ns) for s in states.retold()]
    assert len(events) > 2
    assert len(again) == len(set(again)) > 0


def test_the_points_are_those_of_the_log_when_events_are_read_before_it():
    plain, ward, found = told(), Ward(), {}
    events = [(event, offset) for offset, record in enumerate(LOG) for event in ward.step(record).events]
    states = PatientStates(0)
    for own, (event, cause) in enumerate(events):
        states.event(event, cause, own)
    assert states.retold() == []
    assert states.held == 0, "the first of them must be read again after a restart"
    for offset, record in enumerate(LOG):
        found.update({(s.patient, s.at_ns): s for s in [*states.record(record, offset), *states.retold()]})
    assert states.held is None
    assert found == plain


def test_a_restart_anywhere_changes_nothing():
    assert told(restart_at=range(0, len(LOG), 7)) == told()


def test_a_record_again_says_nothing_and_an_event_again_neither():
    states, ward = PatientStates(0), Ward()
    for offset, record in enumerate(LOG):
        events = ward.step(record).events
        states.record(record, offset)
        assert states.record(record, offset) == []
        for event in events:
            states.event(event, offset, 0)
            states.retold()
            states.event(event, offset, 0)
            assert states.retold() == []


def test_a_pause_ends_by_itself():
    states = PatientStates(0)
    states.record(Enrolment(patient="p", state="paused", at_ns=0, until_ns=30 * STATE_EVERY_NS), 0)
    ticks = [states.record(Tick(now_ns=n * STATE_EVERY_NS), n)[0] for n in range(1, 60)]
    assert [state.watch for state in ticks] == [PAUSED] * 29 + [WATCHED] * 30


def test_a_tick_an_hour_tells_one_instant():
    states = PatientStates(0)
    states.record(Enrolment(patient="p", state="admitted", at_ns=0), 0)
    assert len(states.record(Tick(now_ns=STATE_EVERY_NS), 1)) == 1
    assert [state.at_ns for state in states.record(Tick(now_ns=400 * STATE_EVERY_NS + 5), 2)] == [400 * STATE_EVERY_NS]


def test_time_is_that_of_the_bridge_that_is_behind():
    states = PatientStates(0)
    states.record(Enrolment(patient="p", state="admitted", at_ns=0), 0)
    assert states.record(Tick(now_ns=1, bridge="a"), 1)
    assert states.record(Tick(now_ns=2, bridge="b"), 2) == []
    assert states.record(Tick(now_ns=STATE_EVERY_NS, bridge="a"), 3) == []
    assert states.record(Tick(now_ns=STATE_EVERY_NS, bridge="b"), 4)


def test_memory_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="malformed"):
        PatientStates(0, {"states:0": b"\xc1"})
