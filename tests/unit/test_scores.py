"""Every cut point of docs/clinical.md, both sides, as charted and as measured."""

import math

import numpy as np
import pytest

from vitals.events import SCORES
from vitals.scores import (
    MAXIMUM,
    MEWS,
    MEWS_ROWS,
    NEWS2,
    NEWS2_ROWS,
    NEWS2_SPO2,
    QSOFA,
    QSOFA_ROWS,
    SIRS,
    SIRS_ROWS,
    VERSIONS,
    missing_measures,
    score,
)
from vitals.signs import N_MEASURES, Consciousness, Measure

A, C, V, P, U = Consciousness
HEALTHY = {
    Measure.RATE: 70,
    Measure.SPO2: 98,
    Measure.RESP: 14,
    Measure.TEMP_C: 37.0,
    Measure.SBP: 120,
    Measure.CONSCIOUSNESS: A,
    Measure.OXYGEN: 0,
}
NAMES = {
    "rate": Measure.RATE,
    "spo2": Measure.SPO2,
    "resp": Measure.RESP,
    "temp": Measure.TEMP_C,
    "sbp": Measure.SBP,
    "acvpu": Measure.CONSCIOUSNESS,
    "oxygen": Measure.OXYGEN,
}


def one(scale=1, **values):
    """Score a healthy patient in whom some values are others; None is missing."""
    row = np.full((1, N_MEASURES), np.nan)
    for measure, value in (HEALTHY | {NAMES[name]: value for name, value in values.items()}).items():
        row[0, measure] = math.nan if value is None else value
    return score(row, np.array([scale]))


def points(which, scale=1, **values):
    """The score's points above those of a healthy patient, where nothing is missing."""
    scored = one(scale, **values)
    assert scored.low[0, which] == scored.high[0, which]
    assert scored.missing[0] == 0
    return scored.low[0, which]


def interval(which, scale=1, **values):
    scored = one(scale, **values)
    return scored.low[0, which], scored.high[0, which]


def bands(chart):
    """``"8:3 9:1"``: charted value and its points."""
    return [(float(value), int(expected)) for value, expected in (pair.split(":") for pair in chart.split())]


NEWS2_CHART = {
    "resp": "0:3 8:3 9:1 11:1 12:0 20:0 21:2 24:2 25:3 60:3",
    "sbp": "40:3 90:3 91:2 100:2 101:1 110:1 111:0 219:0 220:3 300:3",
    "rate": "0:3 40:3 41:1 50:1 51:0 90:0 91:1 110:1 111:2 130:2 131:3 240:3",
    "temp": "30.0:3 35.0:3 35.1:1 36.0:1 36.1:0 38.0:0 38.1:1 39.0:1 39.1:2 43.0:2",
    "spo2": "50:3 91:3 92:2 93:2 94:1 95:1 96:0 100:0",
    "acvpu": "0:0 1:3 2:3 3:3 4:3",
    "oxygen": "0:0 1:2",
}
SCALE_2_ON_AIR = "50:3 83:3 84:2 85:2 86:1 87:1 88:0 92:0 93:0 94:0 95:0 96:0 97:0 100:0"
SCALE_2_ON_OXYGEN = "50:3 83:3 84:2 85:2 86:1 87:1 88:0 92:0 93:1 94:1 95:2 96:2 97:3 100:3"
MEWS_CHART = {
    "sbp": "40:3 70:3 71:2 80:2 81:1 100:1 101:0 199:0 200:2 280:2",
    "rate": "20:2 40:2 41:1 50:1 51:0 100:0 101:1 110:1 111:2 129:2 130:3 200:3",
    "resp": "4:2 8:2 9:0 14:0 15:1 20:1 21:2 29:2 30:3 50:3",
    "temp": "33.0:2 34.9:2 35.0:0 38.4:0 38.5:2 41.0:2",
    "acvpu": "0:0 2:1 3:2 4:3",
}
QSOFA_CHART = {
    "resp": "12:0 21:0 22:1 40:1",
    "sbp": "60:1 100:1 101:0 180:0",
    "acvpu": "0:0 1:1 2:1 3:1 4:1",
}
SIRS_CHART = {
    "temp": "34.0:1 35.9:1 36.0:0 38.0:0 38.1:1 40.0:1",
    "rate": "50:0 90:0 91:1 150:1",
    "resp": "10:0 20:0 21:1 40:1",
}


def cases(chart):
    return [(name, value, expected) for name, row in chart.items() for value, expected in bands(row)]


@pytest.mark.parametrize("name, value, expected", cases(NEWS2_CHART))
def test_news2_gives_the_points_of_its_chart(name, value, expected):
    assert points(NEWS2, **{name: value}) == expected


@pytest.mark.parametrize("value, expected", bands(SCALE_2_ON_AIR))
def test_news2_scale_2_on_air_never_punishes_a_high_saturation(value, expected):
    assert points(NEWS2, scale=2, spo2=value) == expected


@pytest.mark.parametrize("value, expected", bands(SCALE_2_ON_OXYGEN))
def test_news2_scale_2_on_oxygen_punishes_a_high_saturation(value, expected):
    assert points(NEWS2, scale=2, spo2=value, oxygen=1) == expected + 2


@pytest.mark.parametrize("name, value, expected", cases(MEWS_CHART))
def test_mews_gives_the_points_of_subbe_2001(name, value, expected):
    assert points(MEWS, **{name: value}) == expected


@pytest.mark.parametrize("name, value, expected", cases(QSOFA_CHART))
def test_qsofa_gives_a_point_for_each_criterion(name, value, expected):
    assert points(QSOFA, **{name: value}) == expected


@pytest.mark.parametrize("name, value, expected", cases(SIRS_CHART))
def test_sirs_counts_the_observable_criteria(name, value, expected):
    assert points(SIRS, **{name: value}) == expected


ROUNDED = [
    # a measured value and the one it is charted as
    ("temp", 35.04, 35.0),
    ("temp", 35.05, 35.1),
    ("temp", 36.049999, 36.0),
    ("temp", 36.05, 36.1),
    ("temp", 38.04, 38.0),
    ("temp", 38.05, 38.1),  # the nearest binary float lies below 38.05: still half up
    ("temp", 38.449, 38.4),
    ("temp", 38.45, 38.5),
    ("temp", 39.04, 39.0),
    ("temp", 39.05, 39.1),
    ("temp", 34.95, 35.0),
    ("temp", 35.95, 36.0),
    ("rate", 90.49, 90),
    ("rate", 90.5, 91),
    ("rate", 40.5, 41),
    ("rate", 130.5, 131),
    ("rate", 129.5, 130),
    ("resp", 8.49, 8),
    ("resp", 8.5, 9),
    ("resp", 24.5, 25),
    ("resp", 21.5, 22),
    ("spo2", 91.49, 91),
    ("spo2", 91.5, 92),
    ("spo2", 95.5, 96),
    ("sbp", 90.5, 91),
    ("sbp", 100.49, 100),
    ("sbp", 100.5, 101),
    ("sbp", 219.5, 220),
]


@pytest.mark.parametrize("name, measured, charted", ROUNDED)
def test_a_value_scores_as_the_one_it_is_charted_as(name, measured, charted):
    assert one(**{name: measured}).low.tolist() == one(**{name: charted}).low.tolist()


@pytest.mark.parametrize("start", [35.05, 36.05, 38.05, 39.05])
def test_the_float_just_below_half_a_step_still_rounds_down(start):
    low = points(NEWS2, temp=math.nextafter(start, 0))
    assert low == points(NEWS2, temp=round(start - 0.05, 1))
    assert points(NEWS2, temp=start) == points(NEWS2, temp=round(start + 0.05, 1))
    assert low != points(NEWS2, temp=start)


def test_the_maxima_are_the_sums_of_the_tables():
    spo2 = max(max(row.points) for row in NEWS2_SPO2.values())
    assert spo2 + sum(max(row.points) for row in NEWS2_ROWS) == MAXIMUM["news2"] == 20
    assert sum(max(row.points) for row in MEWS_ROWS) == MAXIMUM["mews"] == 14
    assert sum(max(row.points) for row in QSOFA_ROWS) == MAXIMUM["qsofa"] == 3
    assert sum(max(row.points) for row in SIRS_ROWS) == MAXIMUM["sirs"] == 3


@pytest.mark.parametrize("scale, spo2", [(1, 80), (2, 80), (2, 100)])
def test_the_worst_patient_has_20_in_news2(scale, spo2):
    assert points(NEWS2, scale, resp=40, spo2=spo2, oxygen=1, sbp=60, rate=160, acvpu=U, temp=34) == 20


def test_every_score_has_a_version_and_a_maximum():
    assert set(VERSIONS) == set(MAXIMUM) == set(SCORES)
    assert [SCORES[i] for i in (NEWS2, MEWS, QSOFA, SIRS)] == ["news2", "mews", "qsofa", "sirs"]


@pytest.mark.parametrize("name, most", [("resp", 3), ("sbp", 3), ("rate", 3), ("temp", 3), ("acvpu", 3), ("spo2", 3)])
def test_a_missing_input_widens_news2_by_what_it_could_give(name, most):
    scored = one(**{name: None})
    assert interval(NEWS2, **{name: None}) == (0, most)
    assert missing_measures(int(scored.missing[0])) == (NAMES[name],)
    assert scored.part_high[0, NAMES[name]] == most


def test_an_unknown_oxygen_flag_is_neither_air_nor_oxygen():
    assert interval(NEWS2, oxygen=None) == (0, 2)
    assert interval(NEWS2, scale=2, spo2=90, oxygen=None) == (0, 2)
    assert interval(NEWS2, scale=2, spo2=98, oxygen=None) == (0, 5)
    assert interval(NEWS2, scale=2, spo2=83, oxygen=None) == (3, 5)


def test_a_missing_saturation_on_scale_2_spans_its_row_on_air_and_on_oxygen():
    assert interval(NEWS2, scale=2, spo2=None) == (0, 3)
    assert interval(NEWS2, scale=2, spo2=None, oxygen=1) == (2, 5)
    assert interval(NEWS2, scale=2, spo2=None, oxygen=None) == (0, 5)


def test_with_nothing_known_every_score_is_its_whole_range():
    nothing = score(np.full((1, N_MEASURES), np.nan), np.array([1]))
    assert nothing.low.tolist() == [[0, 0, 0, 0]]
    assert nothing.high.tolist() == [[20, 14, 3, 3]]
    assert len(missing_measures(int(nothing.missing[0]))) == 7


@pytest.mark.parametrize(
    "which, name, most",
    [(MEWS, "sbp", 3), (MEWS, "rate", 3), (MEWS, "resp", 3), (MEWS, "temp", 2), (MEWS, "acvpu", 3)]
    + [(QSOFA, name, 1) for name in ("resp", "sbp", "acvpu")]
    + [(SIRS, name, 1) for name in ("temp", "rate", "resp")],
)
def test_a_missing_input_widens_the_other_scores_too(which, name, most):
    assert interval(which, **{name: None}) == (0, most)


def test_new_confusion_which_avpu_does_not_know_gives_mews_an_interval():
    assert interval(MEWS, acvpu=C) == (0, 1)
    assert interval(MEWS, acvpu=V) == (1, 1)


def test_diastolic_and_mean_pressure_are_no_inputs():
    row = np.full((1, N_MEASURES), np.nan)
    for measure, value in HEALTHY.items():
        row[0, measure] = value
    row[0, [Measure.DBP, Measure.MAP]] = 10
    assert score(row, np.array([1])).low.tolist() == [[0, 0, 0, 0]]


def test_a_chart_written_down_by_hand_adds_up():
    # respiration 22 (2), saturation 93 (2) on oxygen (2), pressure 98 (2), pulse 112 (2), confused (3), 38.6 (1)
    scored = one(resp=22, spo2=93, oxygen=1, sbp=98, rate=112, acvpu=C, temp=38.6)
    assert scored.low[0].tolist() == [14, 7, 3, 3]  # MEWS: 2 + 1 + 2 + 2, confusion 0 to 1
    assert scored.high[0].tolist() == [14, 8, 3, 3]
    assert {Measure(m).label: int(p) for m, p in enumerate(scored.part_low[0]) if p} == {
        "heart rate": 2,
        "oxygen saturation": 2,
        "respiration": 2,
        "temperature": 1,
        "systolic pressure": 2,
        "consciousness": 3,
        "air or oxygen": 2,
    }


@pytest.mark.parametrize("shape, scales", [((2, 3), 2), ((2, N_MEASURES), 3), ((N_MEASURES,), 1)])
def test_shapes_that_disagree_are_refused(shape, scales):
    with pytest.raises(ValueError, match="expected"):
        score(np.zeros(shape), np.ones(scales, np.int64))


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="1 or 2"):
        score(np.zeros((1, N_MEASURES)), np.array([3]))


def test_no_patients_have_no_scores():
    assert score(np.empty((0, N_MEASURES)), np.empty(0, np.int64)).low.shape == (0, 4)
