"""No score here is made for children: under 16 none is given, none alarms, and limits go on."""

from __future__ import annotations

import numpy as np
import pytest
from wards import SentBundle, admitted, block, ns

from vitals.log import Enrolment, Tick
from vitals.scores import score, withheld
from vitals.signs import N_MEASURES
from vitals.ward import Ward

ILL = [("spo2", 84), ("resp", 29), ("hr", 135), ("nibp_sbp", 88), ("temp_c", 39.5)]


def night(age, minutes=12):
    """A patient as ill as can be, and what the ward says: events, newest frame."""
    ward, events, frames = Ward(), [], []
    records = admitted("p-1", {"d-1": 10}, age)
    for seq, second in enumerate(range(0, minutes * 60, 10)):
        readings = [(sign, value, second) for sign, value in ILL]
        records += [
            Tick(now_ns=ns(second)),
            block([SentBundle("d-1", "p-1", seq, second, readings, received_s=second)]),
        ]
    for record in records:
        out = ward.step(record)
        events += out.events
        frames += out.frames
    return {event.rule for event in events if event.event == "raised"}, frames[-1]


@pytest.mark.parametrize("age", [0.0, 8.0, 15.9])
def test_a_child_has_limits_and_no_score(age):
    rules, frame = night(age)
    assert not [rule for rule in rules if rule.startswith(("news2", "observe"))]
    assert {"spo2-low", "temp-high"} <= rules
    assert np.isnan(frame.low).all()
    assert np.isnan(frame.high).all()


@pytest.mark.parametrize("age", [None, 16.0, 80.0])
def test_an_adult_and_whoever_has_no_known_age_is_scored(age):
    rules, frame = night(age)
    assert {"news2", "news2-single"} <= rules
    assert frame.low[0, 0] >= 7


def test_only_the_young_lose_their_score():
    value, age = np.full((3, N_MEASURES), np.nan), np.array([15.0, 16.0, np.nan])
    every = score(value, np.ones(3, np.int64))
    found = withheld(every, age)
    assert np.isnan(found.low[0]).all()
    assert np.isnan(found.high[0]).all()
    np.testing.assert_array_equal(found.low[1:], every.low[1:])
    np.testing.assert_array_equal(found.high[1:], every.high[1:])
    assert withheld(every, age[1:2].repeat(3)) is every


def test_an_age_said_later_ends_no_alarm_as_if_it_were_over():
    ward = Ward()
    records = admitted("p-1", {"d-1": 10})
    said = []
    for seq, second in enumerate(range(0, 20 * 60, 10)):
        ill = second < 600
        readings = [(sign, value if ill else 97, second) for sign, value in ILL if ill or sign == "spo2"]
        records += [
            Tick(now_ns=ns(second)),
            block([SentBundle("d-1", "p-1", seq, second, readings, received_s=second)]),
        ]
        if second == 600:
            records.append(Enrolment(patient="p-1", state="admitted", at_ns=ns(second), age=9))
    for record in records:
        said += [(event.rule, event.event) for event in ward.step(record).events]
    assert ("news2", "raised") in said
    assert ("news2", "returned") not in said
