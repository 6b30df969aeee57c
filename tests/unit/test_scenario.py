"""Scenario files: read strictly, with file and line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sim.scenario import plan
from device_sim.scenario_file import load, parse, shipped
from device_sim.yaml_nodes import ScenarioError
from vitals.log import Binding, Enrolment
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS
from vitals.topics import DEVICE_ID

GOOD = """\
name: small
seed: 3
speed: 30
start: "10:30"
duration: 2h
every: {chest: 30s, wrist: {sample: 1s, bundle: 5s}}
patients:
  - {count: 3, prefix: a-, age: [30, 40], devices: [chest]}
  - {id: b, age: 71, sex: m, devices: [chest, wrist, cuff]}
stories:
  - {patient: b, story: sepsis, at: 30m, tempo: 2}
  - {patient: a-01, story: bus, at: 1h}
faults:
  - {device: "a-*", fault: lost, rate: 0.5}
  - {device: b-cuff, fault: offline, at: 20m, for: 10m}
"""


def complaint(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "ward.yaml")
    return str(caught.value)


def test_a_scenario_says_who_wears_what_and_what_befalls_them() -> None:
    scenario = parse(GOOD)
    assert [p.patient for p in scenario.patients] == ["a-01", "a-02", "a-03", "b"]
    assert scenario.device_ids()[-3:] == ["b-chest", "b-wrist", "b-cuff"]
    assert all(30 <= p.age <= 40 for p in scenario.patients[:3])
    assert (scenario.patients[3].age, scenario.patients[3].sex) == (71, "m")
    assert (scenario.seed, scenario.speed, scenario.start_h, scenario.duration_ns) == (3, 30.0, 10.5, 2 * HOUR_NS)
    assert scenario.kinds["chest"].bundle_ns == 30 * SECOND_NS
    assert (scenario.kinds["wrist"].sample_ns, scenario.kinds["wrist"].bundle_ns) == (SECOND_NS, 5 * SECOND_NS)
    assert [(s.patient, s.name, s.tempo) for s in scenario.stories] == [("b", "sepsis", 2.0), ("a-01", "bus", 1.0)]
    assert 0.95 <= scenario.stories[0].severity <= 1.15
    assert [f.device for f in scenario.faults] == ["a-01-chest", "a-02-chest", "a-03-chest", "b-cuff"]
    assert (scenario.faults[3].from_ns, scenario.faults[3].to_ns) == (20 * MINUTE_NS, 30 * MINUTE_NS)


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ("seed: 3", "seed: three", 2, "seed of the scenario is 'three'; write a whole number"),
        ("speed: 30", "speed: 0", 3, "write a number from 0.01"),
        ('"10:30"', '"25:00"', 4, "write a time of day like 07:30"),
        ("duration: 2h", "duration: 2 weeks", 5, "write a time span like 90s"),
        ("duration: 2h", "durations: 2h", 5, "unknown field 'durations'; known are"),
        ("chest: 30s", "chests: 30s", 6, "every has 'chests'; use chest, wrist, cuff, tablet"),
        ("bundle: 5s", "bundle: 30s", 6, "send at least every 10 s"),
        ("count: 3", "count: 0", 8, "write a whole number from 1"),
        ("count: 3, prefix: a-, ", "", 8, "neither an id nor a count"),
        ("[30, 40]", "[40, 30]", 8, "[youngest, oldest]"),
        ("age: 71", "age: 12", 9, "write a number from 16 to 110"),
        ("id: b", "id: a-01", 9, "patient 'a-01' is there twice"),
        ("id: b", "id: 'b 1'", 9, "write up to 64 letters"),
        ("sex: m", "sex: x", 9, "use one of f, m"),
        ("[chest, wrist, cuff]", "[chest, chest]", 9, "has 'chest' twice"),
        ("[chest, wrist, cuff]", "[watch]", 9, "has 'watch'; use chest"),
        ("[chest, wrist, cuff]", "[]", 9, "has no devices; name at least one"),
        ("[chest, wrist, cuff]", "[cuff]", 11, "b wears nothing that tells heart rate"),
        ("patient: b, story", "patient: c, story", 11, "no patient is called 'c'"),
        ("story: sepsis", "story: plague", 11, "use one of sepsis"),
        ("at: 30m", "at: -30m", 11, "times count from the start"),
        ("tempo: 2", "temp: 2", 11, "unknown field 'temp'"),
        ("fault: lost", "fault: gremlin", 14, "use one of lost"),
        ("rate: 0.5", "rate: 7", 14, "write a number from 0.001 to 1"),
        ("b-cuff", "b-watch", 15, "no device is called 'b-watch'; they are called like a-01-chest"),
        ("for: 10m", "offset: 10m", 15, "unknown field 'offset'"),
        ("name: small", "name: [small", 1, "not YAML"),
        ("name: small\n", "name: small\nname: large\n", 2, "has 'name' twice"),
        ("name: small", "title: small", 1, "has no 'name'; add it"),
        ('- {device: "a-*", fault: lost, rate: 0.5}\n  - {device: b-cuff', "{device: b-cuff", 14, "is not a list"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_to_do(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    text = complaint(GOOD.replace(old, new, 1))
    if old == "name: small" and new.startswith("name: ["):
        assert text.startswith("ward.yaml:")
    else:
        assert f"ward.yaml:{line}: " in text
    assert words in text


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = complaint(GOOD.replace("seed: 3", "seed: x").replace("age: 71", "age: x").replace("count: 3", "count: x"))
    assert [line.split(":")[1] for line in text.splitlines()] == ["2", "8", "9"]


def test_an_empty_file_and_one_that_cannot_be_read_are_said_so(tmp_path: Path) -> None:
    assert "the file is empty" in complaint("")
    assert "is not a mapping" in complaint("- a\n- b\n")
    with pytest.raises(ScenarioError, match=r"cannot be read .*one of: demo, ward-faults"):
        load(str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load(str(tmp_path / "latin.yaml"))


def test_a_scenario_is_read_from_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(GOOD, "utf-8")
    assert load(str(tmp_path / "small.yaml")) == parse(GOOD)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_played(name: str) -> None:
    planned = plan(load(name), 0)
    assert planned.devices
    assert all(DEVICE_ID.fullmatch(device.device) for device in planned.devices)


def test_the_demo_is_a_ward_of_forty_with_its_first_onsets_within_two_minutes_of_the_wall() -> None:
    scenario = load("demo")
    assert len(scenario.patients) == 40
    planned = plan(scenario, 0)
    wall_ns = int(2 * 60 * SECOND_NS * scenario.speed)
    due = [o for o in planned.onsets if o.due_ns is not None and o.due_ns < wall_ns]
    assert {o.story for o in due} == {"atrial-fibrillation", "respiratory-failure", "sepsis", "haemorrhage"}
    assert [o for o in planned.onsets if not o.expects_alarm and o.onset_ns < wall_ns]
    struck = {o.patient for o in planned.onsets if o.expects_alarm}
    loss = {"offline", "battery", "sensor-off", "clock", "malformed"}
    assert not [f for f in planned.faults if f.kind in loss and f.device.rsplit("-", 1)[0] in struck]


def test_ward_faults_has_every_fault_and_every_story() -> None:
    scenario = load("ward-faults")
    assert {f.kind for f in scenario.faults} == {
        "lost", "twice", "reordered", "clock", "sensor-off", "motion", "battery", "offline", "malformed",
    }  # fmt: skip
    assert len({s.name for s in scenario.stories}) == 6
    planned = plan(scenario, 0)
    assert planned.end_ns is not None
    assert all(o.due_ns < planned.end_ns for o in planned.onsets if o.due_ns is not None)


def test_a_plan_says_who_is_admitted_and_who_wears_what() -> None:
    planned = plan(parse(GOOD), 5 * HOUR_NS)
    kinds = [type(record) for record in planned.records]
    assert kinds == [Enrolment] * 4 + [Binding] * 6
    cuff = planned.bindings[-1]
    assert (cuff.device, cuff.patient, cuff.from_ns, cuff.period_ns) == ("b-cuff", "b", 5 * HOUR_NS, 15 * MINUTE_NS)
    assert planned.enrolments[3].age == 71


def test_an_alarm_is_due_later_where_the_slowest_device_is_slower() -> None:
    slow = plan(parse(GOOD.replace("story: sepsis", "story: haemorrhage")), 0)
    fast = plan(parse(GOOD.replace("story: sepsis", "story: haemorrhage").replace("every: {", "every: {cuff: 5m, ")), 0)
    due = [next(o.due_ns for o in p.onsets if o.patient == "b") for p in (slow, fast)]
    assert due[0] is not None
    assert due[1] is not None
    assert due[0] - due[1] == 10 * MINUTE_NS
