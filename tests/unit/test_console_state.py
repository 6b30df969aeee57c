"""What the console holds: a fold of events, frames and registry records."""

import math

import pytest
from console_made_up import WELL, Alarms, at, frames

from dashboards.console.state import ConsoleState, natural
from vitals.alarm_state import Level, Return, Silent
from vitals.log import Binding, Enrolment, Limit
from vitals.signs import HOUR_NS, MINUTE_NS, Measure, Sign


def fed(events):
    state = ConsoleState()
    for offset, event in enumerate(events):
        state.on_alarm(event, (0, offset))
    return state


def only(state, patient="p-1"):
    (alarm,) = state.patients[patient].alarms.values()
    return alarm


def test_an_alarm_stands_as_its_newest_event_says():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 0)
    alarm = only(fed(alarms.events))
    assert (alarm.condition, alarm.attended, alarm.closed, alarm.seen) == ("active", False, False, 1)
    assert alarm.raised_ns == at(0)
    alarms.say(raised.alarm_id, "acknowledge", 1)
    alarm = only(fed(alarms.events))
    assert alarm.acknowledged.by == "imre"
    assert alarm.acknowledged.until_ns == at(31)
    assert alarm.attended


def test_worse_takes_acknowledgement_and_shelf_away():
    alarms = Alarms()
    raised = alarms.raised("p-1", "temp-high", 0)
    alarms.say(raised.alarm_id, "acknowledge", 1, 1)
    alarms.say(raised.alarm_id, "shelve", 2, 2, reason="antipyretic", until_ns=at(60))
    assert only(fed(alarms.events)).shelf.reason == "antipyretic"
    alarms.signal("p-1", "temp-high", Level(at_ns=at(9), level=2, cause="worse"))
    alarm = only(fed(alarms.events))
    assert not alarm.attended
    assert alarm.why.event == "worsened"
    assert alarm.newest.priority == "medium"


def test_unobserved_says_since_when_and_stays_open():
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 0)
    alarms.signal("p-1", "spo2-low", Silent(since_ns=at(3), at_ns=at(5)))
    alarm = only(fed(alarms.events))
    assert alarm.unobserved_since_ns == at(3)
    assert alarm.condition == "active"
    assert not alarm.closed


def test_a_returned_alarm_that_nobody_saw_still_wants_somebody():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 0)
    alarms.signal("p-1", "spo2-low", Return(at_ns=at(9), cause="back"))
    alarm = only(fed(alarms.events))
    assert (alarm.condition, alarm.closed, alarm.attended) == ("returned", False, False)
    alarms.say(raised.alarm_id, "acknowledge", 10)
    assert only(fed(alarms.events)).closed


def test_repeats_change_nothing():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 0)
    alarms.say(raised.alarm_id, "acknowledge", 1)
    state = ConsoleState()
    told = [state.on_alarm(event, (0, i)) for i, event in enumerate([*alarms.events, *alarms.events])]
    assert told == [True, True, False, False]
    assert len(only(state).events) == 2


def test_joined_in_the_middle_the_facts_are_the_same():
    alarms = Alarms()
    raised = alarms.raised("p-1", "temp-high", 0)
    alarms.say(raised.alarm_id, "shelve", 2, reason="antipyretic", until_ns=at(60))
    whole, late = only(fed(alarms.events)), only(fed(alarms.events[1:]))
    for fact in (
        "condition",
        "acknowledged",
        "shelf",
        "expecting",
        "closed",
        "unobserved_since_ns",
        "raised_ns",
        "seen",
    ):
        assert getattr(whole, fact) == getattr(late, fact)


def test_a_refused_command_changes_no_alarm_and_stands_in_its_story():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 0, level=2)
    (refused,) = alarms.say(raised.alarm_id, "shelve", 1, reason="no", until_ns=at(9))
    assert refused.event == "command_refused"
    alarm = only(fed(alarms.events))
    assert alarm.seen == 1
    assert [event.event for event in alarm.events] == ["raised", "command_refused"]
    assert not alarm.attended


def test_a_command_refused_about_nothing_makes_no_patient():
    alarms = Alarms()
    alarms.say(f"p-9:spo2-low:{at(0)}", "acknowledge", 1)
    assert fed(alarms.events).patients == {}


def test_of_closed_alarms_only_the_newest_are_kept():
    alarms = Alarms()
    for i in range(30):
        raised = alarms.raised("p-1", "spo2-low", i * 20)
        alarms.signal("p-1", "spo2-low", Return(at_ns=at(i * 20 + 1), cause="back"))
        alarms.say(raised.alarm_id, "acknowledge", i * 20 + 2, i)
    kept = fed(alarms.events).patients["p-1"].alarms.values()
    assert len(kept) == 20
    assert min(alarm.raised_ns for alarm in kept) == at(200)


def test_a_frame_gives_each_measure_its_value_age_and_source():
    state = ConsoleState()
    state.on_frames(frames({"p-1": WELL | {"sbp": (118, 0.2, True), "pulse": 71}}, 1))
    measures = state.patients["p-1"].measures
    assert measures[Measure.RATE].sign is Sign.HR
    assert measures[Measure.SBP].sign is Sign.SBP
    assert measures[Measure.DBP].sign is Sign.NIBP_DBP
    assert measures[Measure.SBP].at_ns == at(1) - int(0.2 * MINUTE_NS)
    assert Measure.MAP not in measures


def test_a_value_that_no_longer_stands_is_kept_as_stale():
    state = ConsoleState()
    state.on_frames(frames({"p-1": WELL | {"spo2": (97, 0, True)}}, 1))
    state.on_frames(frames({"p-1": WELL | {"spo2": (97, 5, False)}}, 6))
    spo2 = state.patients["p-1"].measures[Measure.SPO2]
    assert (spo2.value, spo2.stands, spo2.at_ns) == (97, False, at(1))
    assert state.patients["p-1"].missing == (Measure.SPO2,)


def test_a_stale_value_never_seen_standing_is_unknown_and_its_age_known():
    state = ConsoleState()
    state.on_frames(frames({"p-1": WELL | {"spo2": (97, 50, False)}}, 60))
    spo2 = state.patients["p-1"].measures[Measure.SPO2]
    assert math.isnan(spo2.value)
    assert (spo2.stands, spo2.at_ns) == (False, at(10))


def test_a_fallback_source_takes_over_when_the_better_one_goes_stale():
    state = ConsoleState()
    state.on_frames(frames({"p-1": WELL | {"pulse": 70, "hr": (72, 9, False)}}, 9))
    rate = state.patients["p-1"].measures[Measure.RATE]
    assert (rate.sign, rate.value, rate.stands) == (Sign.PULSE, 70, True)


def test_news2_parts_add_up_to_the_frames_bounds():
    state = ConsoleState()
    ill = {
        "hr": 131,
        "spo2": 91,
        "resp": 25,
        "temp_c": (38, 300, False),
        "nibp_sbp": 90,
        "consciousness": 0,
        "oxygen": 1,
    }
    state.on_frames(frames({"p-1": ill}, 1))
    view = state.patients["p-1"]
    assert sum(part.low for part in view.parts.values()) == view.scores["news2"].low == 14
    assert sum(part.high for part in view.parts.values()) == view.scores["news2"].high == 17
    assert view.missing == (Measure.TEMP_C,)


def test_an_old_frame_changes_nothing():
    state = ConsoleState()
    assert state.on_frames(frames({"p-1": WELL}, 5)) == ["p-1"]
    assert state.on_frames(frames({"p-1": WELL | {"hr": 150}}, 5)) == []
    assert state.on_frames(frames({"p-1": WELL | {"hr": 150}}, 4)) == []
    assert state.patients["p-1"].measures[Measure.RATE].value == 72


def test_the_window_keeps_what_it_should_and_forgets_the_rest():
    state = ConsoleState(window_h=1)
    for minute in range(1, 200):
        state.on_frames(frames({"p-1": WELL | {"hr": minute}}, minute))
    window = state.patients["p-1"].window
    assert window.end_ns.tolist() == [at(minute) for minute in range(140, 200)]
    assert window.value[:, Measure.RATE].tolist() == list(range(140, 200))


def test_a_device_is_worn_by_one_patient():
    state = ConsoleState()
    state.on_registry(Binding(device="watch", patient="p-1", from_ns=at(0)))
    state.on_registry(Binding(device="watch", patient="p-2", from_ns=at(5)))
    assert list(state.patients["p-1"].bindings) == []
    assert list(state.patients["p-2"].bindings) == ["watch"]


def test_an_own_limit_can_be_taken_back():
    state = ConsoleState()
    own = Limit(patient="p-1", rule="spo2-low", threshold=92, at_ns=at(0), by="imre", reason="known")
    state.on_registry(own)
    assert state.patients["p-1"].limits["spo2-low"].threshold == 92
    state.on_registry(Limit(patient="p-1", rule="spo2-low", threshold=None, at_ns=at(1), by="imre", reason="over"))
    assert state.patients["p-1"].limits == {}


def test_a_slow_device_lets_values_stand_longer():
    state = ConsoleState()
    state.on_registry(Binding(device="watch", patient="p-1", from_ns=at(0)))
    assert state.patients["p-1"].valid_ns(Sign.HR, at(1)) == int(2.5 * MINUTE_NS)
    state.on_registry(Binding(device="patch", patient="p-1", from_ns=at(0), period_ns=4 * HOUR_NS))
    assert state.patients["p-1"].valid_ns(Sign.HR, at(1)) == 10 * HOUR_NS


def ward():
    """Patients in the order that they should have."""
    alarms = Alarms()
    alarms.raised("high", "spo2-low", 9, level=2)
    alarms.raised("medium-long", "spo2-low", 3)
    alarms.raised("technical", "no-device", 1)
    alarms.raised("low", "battery-low", 0, device="watch")
    seen = alarms.raised("seen", "spo2-low", 0, level=2)
    alarms.say(seen.alarm_id, "acknowledge", 1)
    state = fed(alarms.events)
    breathless, unsure = WELL | {"resp": 25}, WELL | {"spo2": (97, 9, False)}
    well = {"p-10": WELL, "p-2": WELL}
    state.on_frames(frames({"unsure": unsure, "sure": breathless, "away": breathless, **well}, 10))
    state.on_registry(Enrolment(patient="away", state="paused", at_ns=at(0), by="imre"))
    state.on_registry(Enrolment(patient="gone", state="discharged", at_ns=at(0), by="imre"))
    return state


def test_the_ward_is_sorted_worst_first():
    order = ward().order()
    assert order[:5] == ["high", "medium-long", "technical", "seen", "low"]
    assert order[5:] == ["sure", "unsure", "p-2", "p-10", "away"]


def test_a_discharged_patient_is_shown_while_an_alarm_stands():
    alarms = Alarms()
    alarms.raised("gone", "spo2-low", 0)
    state = fed(alarms.events)
    state.on_registry(Enrolment(patient="gone", state="discharged", at_ns=at(1)))
    assert state.order() == ["gone"]


@pytest.mark.parametrize(
    ("less", "more"), [("p-2", "p-10"), ("bed-9a", "bed-10"), ("a", "b"), ("p-1", "q-0"), ("7", "p-1")]
)
def test_names_sort_as_people_count(less, more):
    assert natural(less) < natural(more)


def test_fed_again_it_is_the_same():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 0)
    alarms.say(raised.alarm_id, "acknowledge", 1)
    one, two = fed(alarms.events), fed(alarms.events)
    assert only(one) == only(two)
