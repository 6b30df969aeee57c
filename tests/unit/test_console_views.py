"""What the page receives: rows, differences, alarms in words, trends."""

import json
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from console_made_up import WELL, Alarms, at, frames

from dashboards.console import words
from dashboards.console.alarms import fold
from dashboards.console.state import ConsoleState
from dashboards.console.trends import line, news2_runs, remembered, segments, spans, stretch_ns
from dashboards.console.views import Rows, brief, difference, full, limits, normal_ranges
from vitals.alarm_state import Level, Return
from vitals.envelope import envelope
from vitals.events import Evidence, ScoreEvidence
from vitals.log import Enrolment, Limit
from vitals.rules import RULES
from vitals.signs import MINUTE_NS, Measure, Sign


def rows(directory=None):
    return Rows(directory or {}, 4.0, 48)


def shown(state, patient="p-1", made=None):
    return (made or rows({"p-1": "Bed 4"})).row(state.patients[patient])


def minutes(state, first, last, signs=WELL):
    for minute in range(first, last + 1):
        state.on_frames(frames({"p-1": signs}, minute))


def test_a_row_says_who_what_and_when():
    state = ConsoleState()
    state.on_frames(frames({"p-1": WELL}, 1))
    row = shown(state)
    assert (row["id"], row["place"]) == ("p-1", "Bed 4")
    assert row["measures"]["temp"]["text"] == "36.8"
    assert row["measures"]["consciousness"]["text"] == "A"
    assert row["measures"]["oxygen"]["text"] == "air"
    assert row["measures"]["rate"]["at"] == (at(1) - MINUTE_NS // 2) // 1_000_000
    assert row["news2"] == {
        "low": 0,
        "high": 0,
        "missing": [],
        "assessed": True,
        "parts": {slug: [0, 0] for slug in ("rate", "spo2", "resp", "temp", "sbp", "consciousness", "oxygen")},
    }


def test_news2_is_an_interval_where_something_is_missing():
    state = ConsoleState()
    state.on_frames(frames({"p-1": {"hr": 95, "resp": 22}}, 1))
    news2 = shown(state)["news2"]
    assert (news2["low"], news2["high"]) == (3, 17)
    assert news2["missing"] == ["spo2", "temp", "sbp", "consciousness", "oxygen"]
    assert news2["assessed"]


def test_with_nothing_known_news2_is_not_assessed():
    state = ConsoleState()
    state.on_frames(frames({"p-1": {}}, 1))
    assert shown(state)["news2"]["assessed"] is False


def test_times_fit_a_browsers_numbers():
    state = ConsoleState()
    minutes(state, 1, 3)
    text = msgspec.json.encode(shown(state))
    assert all(abs(number) < 2**53 for number in _numbers(json.loads(text)))


def _numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, int | float) else []


def test_a_row_is_made_once_for_a_version():
    state, made = ConsoleState(), rows()
    state.on_frames(frames({"p-1": WELL}, 1))
    first = shown(state, made=made)
    assert shown(state, made=made) is first
    state.on_frames(frames({"p-1": WELL}, 2))
    assert shown(state, made=made) is not first


def test_small_lines_have_gaps_where_nothing_stood():
    state = ConsoleState()
    minutes(state, 1, 20)
    minutes(state, 41, 60, WELL)
    line = shown(state)["spark"]["lines"]["rate"]
    assert len(line) == 48
    assert line[-1] == 72
    known = [value is not None for value in line]
    assert 6 <= known.count(True) <= 10
    changes = sum(a != b for a, b in pairwise(known))
    assert changes == 3  # nothing, a line, a gap, a line


def page_after(page, change):
    """What the page holds after a change; as `store.js` does it."""
    after = page | change
    if "spark" in change and page["spark"]["lines"]:
        old, more = page["spark"], change["spark"]
        length = len(next(iter(old["lines"].values())))
        first = more["first"] + len(next(iter(more["lines"].values()))) - length
        lines = {}
        for slug, grown in more["lines"].items():
            was = {old["first"] + i: value for i, value in enumerate(old["lines"][slug])}
            now = {more["first"] + i: value for i, value in enumerate(grown)}
            lines[slug] = [(was | now).get(first + i) for i in range(length)]
        after["spark"] = {"first": first, "lines": lines}
    return after


@pytest.mark.parametrize("skipped", [1, 3, 7, 30, 400])
def test_a_page_that_applies_the_differences_has_the_row(skipped):
    state, made = ConsoleState(), rows()
    minutes(state, 1, 30, WELL)
    page = shown(state, made=made)
    minutes(state, 31, 30 + skipped, WELL | {"hr": 110})
    after = shown(state, made=made)
    change = difference(page, after)
    assert page_after(page, change) == after
    if skipped < 30:
        assert len(change["spark"]["lines"]["rate"]) <= 2 + skipped // 5
    assert "place" not in change


def test_nothing_changed_is_an_empty_difference():
    state = ConsoleState()
    minutes(state, 1, 2)
    assert difference(shown(state), shown(state)) == {}


def alarm():
    alarms = Alarms()
    score = ScoreEvidence(name="news2", version="x", low=5, high=7, missing=("temperature",), parts={"heart rate": 3})
    found = (Evidence(sign="spo2", value=86.4, time_ns=at(1), device="watch", limit=87),)
    raised = alarms.raised("p-1", "spo2-low", 1, cause="oxygen saturation 86 %", evidence=found, score=score)
    alarms.say(raised.alarm_id, "acknowledge", 2)
    view = None
    for event in alarms.events:
        view = fold(view, event)
    return view


def test_an_alarm_in_brief():
    told = brief(alarm())
    assert told["title"] == "SpO₂ low"
    assert (told["priority"], told["condition"], told["attended"], told["n"]) == ("medium", "active", True, 2)
    assert told["acknowledged"]["by"] == "imre"
    assert told["due"] == told["acknowledged"]["until"]


def test_an_alarm_in_full_has_its_story_and_its_reasons():
    told = full(alarm(), {})
    assert [step["words"] for step in told["story"]] == ["Raised", "Acknowledged by imre"]
    assert told["why"]["evidence"] == [
        {
            "label": "oxygen saturation",
            "measure": "spo2",
            "text": "86 %",
            "limit": "87 %",
            "at": at(1) // 1_000_000,
            "age": 0,
            "device": "watch",
        }
    ]
    assert told["why"]["score"]["parts"] == [{"label": "heart rate", "measure": "rate", "points": 3}]
    assert told["may"]["shelve"]
    assert told["may"]["direction"] == "below"


def test_what_cannot_be_shelved_says_why():
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 1, level=2)
    told = full(fold(None, alarms.events[0]), {})
    assert told["may"]["shelve"] is False
    assert "floor list" in told["may"]["why_not"]


def test_every_rule_has_a_title_and_no_id_shows_through():
    titles = {rule: words.rule_title(rule) for rule in RULES}
    assert len(set(titles.values())) == len(titles)
    assert not [title for title in titles.values() if "-" in title]
    assert words.rule_title("news2", 2) == "NEWS2 7 or more"
    assert words.rule_title("a-rule-of-tomorrow") == "a rule of tomorrow"


def test_units_are_written_for_people():
    assert words.reading("temp_c", 39.15) == "39.1 °C"
    assert words.reading("nibp_sbp", 88.6) == "89 mmHg"
    assert words.reading("consciousness", 2) == "V"
    assert words.reading("oxygen", 1) == "oxygen"
    assert words.reading("spo2", None) == "no value"
    assert (
        words.cause("temperature 39.2 Cel, above 39.1 Cel; 88 mm[Hg]") == "temperature 39.2 °C, above 39.1 °C; 88 mmHg"
    )


def test_the_band_of_no_points_is_the_charts():
    assert normal_ranges() == {
        "rate": (50.5, 90.5),
        "spo2": (95.5, 100.0),
        "resp": (11.5, 20.5),
        "temp": (36.05, 38.05),
        "sbp": (110.5, 219.5),
    }


def test_own_limits_move_the_lines_and_say_whose_they_are():
    state = ConsoleState()
    state.on_registry(Limit(patient="p-1", rule="spo2-low", threshold=92, at_ns=at(0), by="imre", reason="target"))
    held = {limit["rule"]: limit for limit in limits(state.patients["p-1"])}
    assert held["spo2-low"]["bands"][0] == {"threshold": 92, "priority": "medium"}
    assert held["spo2-low"]["own"]["by"] == "imre"
    assert held["rate-high"]["own"] is None


def test_a_pause_says_who_why_and_until_when():
    state = ConsoleState()
    pause = Enrolment(patient="p-1", state="paused", at_ns=at(0), by="imre", reason="radiology", until_ns=at(30))
    state.on_registry(pause)
    watch = shown(state)["watch"]
    assert (watch["state"], watch["by"], watch["reason"], watch["until"]) == (
        "paused",
        "imre",
        "radiology",
        at(30) // 10**6,
    )


def test_lines_break_where_no_value_stood():
    points = [(t, 0.0, 0.0, 0.0) for t in (0, 60, 120, 540)]
    assert [[t for t, *_ in piece] for piece in segments(points, 120)] == [[0, 60, 120], [540]]


def test_a_line_of_the_store_breaks_at_the_signs_own_validity():
    times = np.array([at(minute) for minute in (1, 2, 3, 30, 31)], np.int64)
    width_ns = stretch_ns(at(0), at(60))
    made = line(Sign.SPO2, envelope(times, np.full(5, 97.0), at(0), width_ns), 2 * MINUTE_NS, width_ns)
    assert [len(piece) for piece in made["segments"]] == [3, 2]
    assert made["unit"] == "%"


def test_what_was_carried_forward_is_no_measurement():
    state = ConsoleState()
    for minute, age in ((1, 0.5), (2, 1.5), (3, 0.5)):
        state.on_frames(frames({"p-1": WELL | {"hr": (70 + minute, age, True)}}, minute))
    told = remembered(state.patients["p-1"], Measure.RATE, at(0), MINUTE_NS)
    assert told.time_ns.tolist() == [at(1), at(3)]


def test_news2_over_time_is_runs_parted_by_missing_frames():
    state = ConsoleState()
    minutes(state, 1, 3)
    minutes(state, 4, 5, WELL | {"resp": 25})
    minutes(state, 40, 41, WELL | {"resp": 25})
    runs = news2_runs(state.patients["p-1"], at(0))
    assert [(low, high) for _, _, low, high in runs] == [(0, 0), (3, 3), (3, 3)]
    assert runs[1][:2] == [at(3) // 10**6, at(5) // 10**6]
    assert runs[2][0] == at(39) // 10**6


def test_an_alarm_stood_from_raised_to_returned_and_again():
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 1)
    alarms.signal("p-1", "spo2-low", Level(at_ns=at(2), level=2, cause="worse"))
    alarms.signal("p-1", "spo2-low", Return(at_ns=at(5), cause="back"))
    view = None
    for event in alarms.events:
        view = fold(view, event)
    (span,) = spans([view], at(0))
    assert (span["from"], span["to"]) == (at(1) // 10**6, at(5) // 10**6)
    assert spans([view], at(6)) == []


def test_an_alarm_that_stands_still_has_no_end():
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 1)
    (span,) = spans([fold(None, alarms.events[0])], at(0))
    assert span["to"] is None
