"""Which alarms came, went or moved between two runs, and why."""

from __future__ import annotations

import msgspec
import pytest

from vitals.alarm_diff import compare, decode_events, wanted_readings
from vitals.events import AlarmEvent, Evidence, Kind, Priority, event_encoder
from vitals.signs import MINUTE_NS


def raised(patient: str = "p-1", at_ns: int = 0, value: float = 84.0, limit: float = 88.0) -> AlarmEvent:
    name = f"{patient}:spo2-low:{at_ns}"
    evidence = (Evidence(sign="spo2", value=value, time_ns=at_ns, device="d", limit=limit),)
    return AlarmEvent(
        event_id=f"{name}:1", alarm_id=name, n=1, patient=patient, rule="spo2-low", rule_version="1",
        kind=Kind.PHYSIOLOGICAL, priority=Priority.HIGH, event="raised", at_ns=at_ns, cause="low", evidence=evidence,
    )  # fmt: skip


def returned(of: AlarmEvent, at_ns: int) -> AlarmEvent:
    return msgspec.structs.replace(of, event_id=f"{of.alarm_id}:2", n=2, event="returned", at_ns=at_ns, cause="back")


def test_equal_runs_have_no_changes_in_whatever_order():
    events = [raised(), returned(raised(), MINUTE_NS), raised("p-2", 5)]
    assert compare(events, [*reversed(events), events[0]]) == (2, [])


def test_an_alarm_that_went_names_the_reading_that_is_not_there():
    same, (change,) = compare([raised()], [], {})
    assert same == 0
    assert change.change == "went"
    assert change.why == ("spo2 84 of 0 is not among the readings",)


def test_an_alarm_that_went_though_its_evidence_was_there_says_so():
    _, (change,) = compare([raised()], [], {("d", "spo2", 0): 84.0})
    assert "what it leads to differs" in change.why[0]


def test_an_alarm_that_came_says_what_it_rests_on():
    _, (change,) = compare([], [raised()])
    assert (change.change, change.old_ns, change.new_ns) == ("came", None, 0)
    assert change.why == ("rests on spo2 84 of 0",)


def test_of_several_the_nearest_within_an_hour_is_the_one_that_moved():
    old = [raised(at_ns=0), raised(at_ns=100 * MINUTE_NS)]
    new = [raised(at_ns=10 * MINUTE_NS), raised(at_ns=50 * MINUTE_NS)]
    _, changes = compare(old, new)
    moved = {(c.old_ns, c.new_ns) for c in changes if c.change == "moved"}
    assert moved == {(0, 10 * MINUTE_NS), (100 * MINUTE_NS, 50 * MINUTE_NS)}
    far = compare([raised(at_ns=0)], [raised(at_ns=61 * MINUTE_NS)])[1]
    assert [c.change for c in far] == ["went", "came"]


def test_other_limits_are_named():
    _, (change,) = compare([raised(limit=88)], [raised(limit=90)])
    assert change.change == "changed"
    assert "limits were spo2 88, are spo2 90" in change.why


def test_an_event_more_is_a_change_of_the_same_alarm():
    one = raised()
    _, (change,) = compare([one], [one, returned(one, 5)])
    assert change.why == ("event 2 (returned) is only in the new run: back",)


def test_a_value_that_differs_is_told():
    _, (change,) = compare([raised(value=84)], [raised(value=83)], {("d", "spo2", 0): 83.0})
    assert "spo2 84 of 0 is 83.0 here" in change.why


def test_the_readings_that_alarms_rest_on():
    assert wanted_readings([raised()]) == {("d", "spo2", 0)}


def test_lines_that_are_no_events_are_refused_with_their_number():
    assert decode_events([event_encoder.encode(raised()), b""]) == [raised()]
    with pytest.raises(ValueError, match="line 2"):
        decode_events([event_encoder.encode(raised()), b"{}"])
