"""The tables on arrays against the charts written out as a nurse reads them, on any values at all."""

import math
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitals.scores import MAXIMUM, missing_measures, score
from vitals.signs import N_MEASURES, Measure

NEWS2_INPUTS = (
    Measure.RATE,
    Measure.SPO2,
    Measure.RESP,
    Measure.TEMP_C,
    Measure.SBP,
    Measure.CONSCIOUSNESS,
    Measure.OXYGEN,
)


def charted(value, step):
    """Round half up on the decimal value that is printed."""
    steps = (Decimal(repr(float(value))) / Decimal(step) + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
    return float(steps * Decimal(step))


def news2_spo2(x, scale, oxygen):
    if scale == 1:
        return 3 if x <= 91 else 2 if x <= 93 else 1 if x <= 95 else 0
    if x <= 87:
        return 3 if x <= 83 else 2 if x <= 85 else 1
    if x <= 92 or not oxygen:
        return 0
    return 1 if x <= 94 else 2 if x <= 96 else 3


def news2(v, scale):
    """One complete patient: total."""
    resp, sbp, rate, temp = v[Measure.RESP], v[Measure.SBP], v[Measure.RATE], v[Measure.TEMP_C]
    return (
        (3 if resp <= 8 else 1 if resp <= 11 else 0 if resp <= 20 else 2 if resp <= 24 else 3)
        + news2_spo2(v[Measure.SPO2], scale, v[Measure.OXYGEN])
        + (2 if v[Measure.OXYGEN] else 0)
        + (3 if sbp <= 90 else 2 if sbp <= 100 else 1 if sbp <= 110 else 0 if sbp <= 219 else 3)
        + (3 if rate <= 40 else 1 if rate <= 50 else 0 if rate <= 90 else 1 if rate <= 110 else 2 if rate <= 130 else 3)
        + (0 if v[Measure.CONSCIOUSNESS] == 0 else 3)
        + (3 if temp <= 35.0 else 1 if temp <= 36.0 else 0 if temp <= 38.0 else 1 if temp <= 39.0 else 2)
    )


def mews(v, confused):
    resp, sbp, rate, temp = v[Measure.RESP], v[Measure.SBP], v[Measure.RATE], v[Measure.TEMP_C]
    return (
        (3 if sbp <= 70 else 2 if sbp <= 80 else 1 if sbp <= 100 else 0 if sbp <= 199 else 2)
        + (2 if rate <= 40 else 1 if rate <= 50 else 0 if rate <= 100 else 1 if rate <= 110 else 2 if rate < 130 else 3)
        + (2 if resp < 9 else 0 if resp <= 14 else 1 if resp <= 20 else 2 if resp <= 29 else 3)
        + (2 if temp < 35.0 else 0 if temp <= 38.4 else 2)
        + {0: 0, 1: confused, 2: 1, 3: 2, 4: 3}[v[Measure.CONSCIOUSNESS]]
    )


def qsofa(v):
    return (v[Measure.RESP] >= 22) + (v[Measure.SBP] <= 100) + (v[Measure.CONSCIOUSNESS] != 0)


def sirs(v):
    return (v[Measure.TEMP_C] > 38 or v[Measure.TEMP_C] < 36) + (v[Measure.RATE] > 90) + (v[Measure.RESP] > 20)


def near(low, high):
    """Any float of a range, often a charted value or the middle between two."""
    tenths = st.integers(int(low * 20), int(high * 20)).map(lambda i: i / 20)
    return st.one_of(st.floats(low, high), st.integers(int(low), int(high)).map(float), tenths)


VALUES = {
    Measure.RATE: near(0, 350),
    Measure.SPO2: near(50, 100),
    Measure.RESP: near(0, 150),
    Measure.TEMP_C: near(10, 50),
    Measure.SBP: near(-50, 400),
    Measure.CONSCIOUSNESS: st.integers(0, 4).map(float),
    Measure.OXYGEN: st.integers(0, 1).map(float),
}
complete = st.fixed_dictionaries(VALUES)
patients = st.lists(
    st.tuples(st.fixed_dictionaries({m: st.none() | s for m, s in VALUES.items()}), st.integers(1, 2)), max_size=12
)


def as_array(rows):
    value = np.full((len(rows), N_MEASURES), np.nan)
    for i, row in enumerate(rows):
        for measure, x in row.items():
            value[i, measure] = math.nan if x is None else x
    return value


def on_the_chart(v):
    return {m: charted(x, "0.1" if m is Measure.TEMP_C else "1") for m, x in v.items()}


@given(complete, st.integers(1, 2))
def test_the_tables_agree_with_the_charts_for_any_complete_patient(values, scale):
    scored = score(as_array([values]), np.array([scale]))
    v = on_the_chart(values)
    assert scored.low[0].tolist() == [news2(v, scale), mews(v, 0), qsofa(v), sirs(v)]
    assert scored.high[0].tolist() == [news2(v, scale), mews(v, 1), qsofa(v), sirs(v)]
    assert scored.missing[0] == 0


# A value for every band of every chart, so that what a missing input could be can be tried out exhaustively.
CANDIDATES = {
    Measure.RATE: (30, 45, 70, 95, 105, 120, 129, 130, 150),
    Measure.SPO2: (80, 84, 86, 90, 92, 93, 95, 98),
    Measure.RESP: (5, 10, 13, 17, 21, 22, 27, 40),
    Measure.TEMP_C: (34.0, 35.0, 35.5, 37.0, 38.2, 38.7, 40.0),
    Measure.SBP: (60, 75, 85, 95, 105, 150, 210, 250),
    Measure.CONSCIOUSNESS: (0, 1, 2, 3, 4),
    Measure.OXYGEN: (0, 1),
}


@given(complete, st.integers(1, 2), st.sets(st.sampled_from(NEWS2_INPUTS), max_size=3))
def test_an_interval_is_just_what_the_missing_inputs_could_make_it(values, scale, gone):
    known = {m: x for m, x in values.items() if m not in gone}
    scored = score(as_array([known]), np.array([scale]))
    completions = [on_the_chart(known)]
    for m in gone:
        completions = [c | {m: x} for c in completions for x in CANDIDATES[m]]
    reached = [
        [news2(c, scale) for c in completions],
        [total for c in completions for total in (mews(c, 0), mews(c, 1))],
        [qsofa(c) for c in completions],
        [sirs(c) for c in completions],
    ]
    assert scored.low[0].tolist() == [min(r) for r in reached]
    assert scored.high[0].tolist() == [max(r) for r in reached]
    assert set(missing_measures(int(scored.missing[0]))) == gone


@given(patients)
def test_many_patients_score_as_each_one_alone(rows):
    value, scale = as_array([row for row, _ in rows]), np.array([s for _, s in rows], np.int64)
    before = value.copy()
    together = score(value, scale)
    np.testing.assert_array_equal(value, before)
    for i in range(len(rows)):
        alone = score(value[i : i + 1], scale[i : i + 1])
        for name in ("low", "high", "part_low", "part_high", "missing"):
            np.testing.assert_array_equal(getattr(together, name)[i], getattr(alone, name)[0])


@given(patients)
def test_bounds_are_in_order_within_the_maxima_and_the_parts_add_up(rows):
    scored = score(as_array([row for row, _ in rows]), np.array([s for _, s in rows], np.int64))
    assert (scored.low >= 0).all()
    assert (scored.low <= scored.high).all()
    assert (scored.high <= list(MAXIMUM.values())).all()
    assert (scored.part_low <= scored.part_high).all()
    np.testing.assert_array_equal(scored.part_low.sum(axis=1), scored.low[:, 0])
    np.testing.assert_array_equal(scored.part_high.sum(axis=1), scored.high[:, 0])


@given(complete, st.integers(1, 2), st.sampled_from(NEWS2_INPUTS))
def test_losing_an_input_never_narrows_a_score(values, scale, lost):
    full = score(as_array([values]), np.array([scale]))
    less = score(as_array([values | {lost: None}]), np.array([scale]))
    assert (less.low <= full.low).all()
    assert (less.high >= full.high).all()
