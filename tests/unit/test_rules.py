"""The table of rules: every row whole and sane, and a healthy run for the bus that calls nobody.

``python tests/unit/test_rules.py`` writes the table of docs/alarms.md anew.
"""

from __future__ import annotations

import itertools
import pathlib

import numpy as np
import pytest

from vitals.events import PRIORITY_RANK, Kind, Priority
from vitals.rules import (
    MEASURE_SLUGS,
    NEWS2_MEASURES,
    RULES,
    Rule,
    Subject,
    detector_rule,
    missed_id,
    observe_id,
    sensor_off_id,
    with_limit,
)
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, SIGNS, SOURCES, Measure

DOC = pathlib.Path(__file__).parents[2] / "docs" / "alarms.md"
BEGIN, END = "<!-- rules: written by tests/unit/test_rules.py -->", "<!-- end of rules -->"

ALL = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
LIMITS = [rule for rule in RULES.values() if rule.subject is Subject.LIMIT]


@ALL
def test_every_rule_says_what_it_means_and_where_its_numbers_come_from(rule: Rule):
    assert RULES[rule.id] is rule
    assert rule.words.endswith(".")
    assert any(key in rule.source for key in ("[CLIN", "[NEWS2]", "[MEWS]", "site", "artifact", "detector's", "ALARMS"))
    assert rule.unit
    assert not set(rule.id) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


@ALL
def test_every_rule_has_sane_numbers(rule: Rule):
    assert 1 <= len(rule.bands) <= 3  # the judges have room for three
    ranks = [PRIORITY_RANK[band.priority] for band in rule.bands]
    assert ranks == sorted(set(ranks))
    thresholds = [band.threshold for band in rule.bands]
    assert thresholds == sorted(set(thresholds), reverse=rule.direction == "below")
    assert rule.margin >= 0
    assert rule.delay_ns >= 0
    assert rule.hysteresis_ns >= 0
    assert 0 < rule.shelf_max_ns <= 12 * HOUR_NS
    assert rule.refractory_ns >= (0 if rule.momentary else 10 * MINUTE_NS)
    for priority in Priority:
        assert rule.answer_within_ns[priority] < rule.ack_ns[priority] <= rule.expect_max_ns[priority]
    for times in (rule.answer_within_ns, rule.ack_ns, rule.expect_max_ns):
        assert times[Priority.HIGH] < times[Priority.MEDIUM] < times[Priority.LOW]


@ALL
def test_what_a_rule_names_exists(rule: Rule):
    for other in rule.inhibited_by:
        assert RULES[other].kind is Kind.TECHNICAL
        assert RULES[other].measure == rule.measure
    if rule.subject is Subject.LIMIT:
        assert rule.measure is not None
        assert {SIGNS[sign].unit for sign in SOURCES[rule.measure]} == {rule.unit}
        for band in rule.bands:
            assert all(SIGNS[s].possible[0] <= band.threshold <= SIGNS[s].possible[1] for s in SOURCES[rule.measure])
    if rule.subject in {Subject.SCORE, Subject.SINGLE, Subject.DETECTOR}:
        assert rule.score
    if rule.kind is Kind.PHYSIOLOGICAL:
        review = RULES[missed_id(rule.id)]
        assert (review.latched, review.momentary) == (True, True)
        assert [band.priority for band in review.bands] == [Priority.LOW]


@ALL
def test_equipment_is_never_of_high_priority(rule: Rule):
    if rule.kind is Kind.TECHNICAL:
        assert all(band.priority is not Priority.HIGH for band in rule.bands)
        assert not rule.on_floor_list


def test_a_high_physiological_alarm_is_on_the_floor_list():
    for rule in RULES.values():
        assert rule.on_floor_list == any(band.priority is Priority.HIGH for band in rule.bands)


def test_the_shipped_rules_are_these():
    physiological = [rule.id for rule in RULES.values() if rule.kind is Kind.PHYSIOLOGICAL]
    assert physiological == [
        "news2",
        "news2-single",
        "spo2-low",
        "rate-high",
        "rate-low",
        "resp-high",
        "resp-low",
        "temp-high",
        "temp-low",
        "sbp-low",
        "sbp-high",
        "sepsis-risk",
        "anomaly",
    ]
    assert {"device-silent", "battery-low", "device-clock", "model-late", "no-device"} <= set(RULES)
    assert {observe_id(measure) for measure in NEWS2_MEASURES} <= set(RULES)
    assert not any(RULES[observe_id(measure)].pages for measure in NEWS2_MEASURES)
    assert sensor_off_id(Measure.SPO2) in RULES
    assert sensor_off_id(Measure.CONSCIOUSNESS) not in RULES  # a person observes it
    assert set(MEASURE_SLUGS) == set(Measure)


def test_news2_pages_at_the_published_points():
    assert [(band.threshold, band.priority) for band in RULES["news2"].bands] == [(5, "medium"), (7, "high")]
    assert [(band.threshold, band.priority) for band in RULES["news2-single"].bands] == [(3, "medium")]


def test_levels_count_the_bands_passed():
    low, high = RULES["spo2-low"], RULES["temp-high"]
    assert [low.level(v) for v in (88, 87, 86, 85, 60, float("nan"))] == [0, 1, 1, 2, 2, 0]
    assert [high.level(v) for v in (39.0, 39.1, 41.0, 42.5)] == [0, 1, 2, 3]
    assert [high.priority(n) for n in (0, 1, 2, 3, 9)] == ["low", "low", "medium", "high", "high"]


@pytest.mark.parametrize(
    "rule, threshold, bands",
    [
        ("spo2-low", 92, [92, 85]),
        ("spo2-low", 80, [80, 80]),
        ("rate-high", 120, [120, 190]),
        ("rate-high", 200, [200, 200]),
        ("temp-high", 41.5, [41.5, 41.5, 42.0]),
    ],
)
def test_a_patients_own_limit_moves_the_first_band_and_leaves_none_on_its_mild_side(rule, threshold, bands):
    moved = with_limit(RULES[rule], threshold)
    assert [band.threshold for band in moved.bands] == bands
    assert [band.priority for band in moved.bands] == [band.priority for band in RULES[rule].bands]


def test_a_detector_has_a_rule():
    assert [detector_rule(name) for name in ("sepsis", "ewma", "anomaly")] == ["sepsis-risk", "anomaly", "anomaly"]


# A run for the bus ----------------------------------------------------------------------------------------------------

RUN, RECOVERY = 180, 300


def run_for_the_bus(rest: float, top: float, shape: str) -> np.ndarray:
    """A sign every second: five minutes of rest, half a minute up, three minutes at the top, and back to rest."""
    down = np.arange(900)
    # A straight line over five minutes is slower than any healthy heart; 100 s is a sluggish exponential one (site).
    back = np.clip(1 - down / RECOVERY, 0, 1) if shape == "straight" else np.exp(-down / 100)
    load = np.concatenate((np.zeros(300), np.linspace(0, 1, 30), np.ones(RUN), back))
    wobble = 0.02 * top * np.sin(np.arange(len(load)) * 0.9)
    return rest + (top - rest) * load + wobble


def longest(held: np.ndarray) -> int:
    """The longest run of true values."""
    return max((sum(1 for _ in run) for true, run in itertools.groupby(held.tolist()) if true), default=0)


@pytest.mark.parametrize("shape", ["straight", "exponential"])
def test_a_run_for_the_bus_raises_no_limit_of_medium_priority(shape):
    course = {
        Measure.RATE: run_for_the_bus(75, 160, shape),
        Measure.RESP: run_for_the_bus(16, 32, shape),
        Measure.SBP: run_for_the_bus(120, 185, shape),
        Measure.SPO2: 98 - (run_for_the_bus(0, 4, shape)),
        Measure.TEMP_C: run_for_the_bus(36.8, 37.4, shape),
    }
    for rule in LIMITS:
        level = np.array([rule.level(value) for value in course[rule.measure]])
        worth = np.array([n > 0 and rule.priority(int(n)) is not Priority.LOW for n in level])
        assert longest(worth) * SECOND_NS < rule.delay_ns, rule.id


def test_a_run_for_the_bus_is_over_before_news2_pages():
    rate, resp = run_for_the_bus(75, 160, "exponential"), run_for_the_bus(16, 32, "exponential")
    for offset in range(0, 60, 7):  # wherever the frames fall
        frames = [
            np.floor(np.median(sign[offset : offset + 1320].reshape(-1, 60), axis=1) + 0.5) for sign in (rate, resp)
        ]
        points = np.array([[_points(r, (91, 111, 131), (1, 2, 3)) for r in frames[0]],
                           [_points(r, (21, 25), (2, 3)) for r in frames[1]]])  # fmt: skip
        for rule, held in (("news2", points.sum(axis=0) >= 5), ("news2-single", points.max(axis=0) >= 3)):
            assert (longest(held) - 1) * MINUTE_NS < RULES[rule].delay_ns


def _points(value: float, cuts: tuple[int, ...], points: tuple[int, ...]) -> int:
    return max((p for cut, p in zip(cuts, points, strict=True) if value >= cut), default=0)


def test_a_spike_of_seconds_raises_no_limit():
    assert all(rule.delay_ns >= 30 * SECOND_NS for rule in LIMITS)
    assert all(rule.hysteresis_ns >= 30 * SECOND_NS for rule in LIMITS)


# The table in the docs ------------------------------------------------------------------------------------------------


def span(length_ns: int) -> str:
    """A length of time as the docs write it."""
    if not length_ns:
        return "-"
    for unit, name in ((HOUR_NS, "h"), (MINUTE_NS, "min"), (SECOND_NS, "s")):
        if length_ns >= 2 * unit or length_ns == unit:
            return f"{length_ns / unit:g} {name}"
    raise AssertionError(length_ns)


def table() -> str:
    """The shipped rules, as docs/alarms.md shows them."""
    lines = [
        "| rule | raises at | delay | back past | for | marks | means | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rule in RULES.values():
        side = "<=" if rule.direction == "below" else ">="
        bands = ", ".join(f"{side} {band.threshold:g} {band.priority}" for band in rule.bands)
        marks = [
            word
            for word, true in (
                ("latched", rule.latched),
                ("floor list", rule.on_floor_list),
                ("per device", rule.per_device),
                ("calls nobody", not rule.pages),
                ("over when told", rule.momentary),
            )
            if true
        ]
        margin = f"{rule.margin:g}" if rule.margin else "-"
        cells = [f"`{rule.id}`", f"{bands} ({rule.unit})", span(rule.delay_ns), margin, span(rule.hysteresis_ns)]
        lines.append("| " + " | ".join([*cells, ", ".join(marks) or "-", rule.words, rule.source]) + " |")
    return "\n".join(lines)


def test_the_docs_show_the_table_as_it_is():
    shown = DOC.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert shown == table(), "docs/alarms.md is old: python tests/unit/test_rules.py"


if __name__ == "__main__":
    head, _, rest = DOC.read_text().partition(BEGIN)
    DOC.write_text(f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}")
