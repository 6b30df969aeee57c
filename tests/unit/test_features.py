"""vitals.features: one step and a whole stay are the same, the future is closed, nothing is NaN, nothing is a clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitals.features import (
    RING_H,
    VITALS,
    WITH_LABS,
    FeatureSettings,
    FeatureState,
    ShapeMismatchError,
    feature_rows,
    feature_step,
    feature_table,
    hours_of,
)

SETTINGS = FeatureSettings()
NAMES = SETTINGS.names
AT = {name: i for i, name in enumerate(NAMES)}
UNKNOWN = np.full(2, np.nan, np.float32)


def frame(**given_values):
    """One hour, NaN but for what is given."""
    row = np.full(len(VITALS), np.nan, np.float32)
    for i, m in enumerate(VITALS):
        row[i] = given_values.get(m.name, np.nan)
    return row


def stay(hours, seed=0, missing=0.3, inputs=VITALS):
    rng = np.random.default_rng(seed)
    typical = np.array([m.typical for m in inputs])
    values = (typical * rng.normal(1, 0.15, (hours, len(inputs)))).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def column(rows, name):
    return rows[:, AT[name]]


def test_the_worked_example_of_the_docstring():
    values = np.stack([frame(rate=80)] * 24 + [frame(rate=110), frame()])
    rows = feature_rows(values, UNKNOWN, SETTINGS)
    assert column(rows, "rate")[24] == 110
    assert column(rows, "rate_stale")[24] == 0
    assert column(rows, "rate_change_1h")[24] == 30
    assert column(rows, "rate_below_max")[24] == 0
    assert column(rows, "rate_stale")[25] == pytest.approx(1 / 6)
    assert 100 < column(rows, "rate")[25] < 110


def test_a_value_not_renewed_decays_to_the_own_baseline_not_to_the_populations():
    values = np.stack([frame(rate=140)] * 24 + [frame(rate=180)] + [frame()] * 20)
    rate = column(feature_rows(values, UNKNOWN, SETTINGS), "rate")
    assert np.all(np.diff(rate[24:]) < 0)
    assert 120 < rate[-1] < 145  # about the patient's own 140; the population's is 84


def test_nothing_measured_gives_the_population_and_full_staleness():
    rows = feature_rows(np.full((30, len(VITALS)), np.nan, np.float32), UNKNOWN, SETTINGS)
    for m in VITALS:
        assert np.all(column(rows, m.name) == np.float32(m.typical))
        assert np.all(column(rows, f"{m.name}_stale") == 1)
    assert np.ptp(rows, axis=0).max() == 0, "an empty stay must look the same in every hour: no clock"


def test_a_constant_patient_looks_the_same_after_a_day_as_after_a_week():
    rows = feature_rows(np.repeat(frame(**{m.name: m.typical for m in VITALS})[None], 200, 0), UNKNOWN, SETTINGS)
    np.testing.assert_array_equal(rows[30], rows[199])


def test_pressures_complete_each_other():
    rows = feature_rows(np.stack([frame(sbp=120, dbp=60), frame(sbp=120, map=80)]), UNKNOWN, SETTINGS)
    assert column(rows, "map")[0] == 80
    assert column(rows, "dbp")[1] == 60


def test_a_typing_error_is_held_within_its_range():
    rows = feature_rows(frame(temp_c=370.0)[None], UNKNOWN, SETTINGS)
    assert column(rows, "temp_c")[0] == 43


@given(seed=st.integers(0, 10_000), missing=st.floats(0, 1), hours=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_never_nan_and_never_infinite(seed, missing, hours):
    for kind in (SETTINGS, WITH_LABS):
        rows = feature_rows(stay(hours, seed, missing, kind.inputs), UNKNOWN, kind)
        assert rows.shape == (hours, len(kind.names))
        assert np.isfinite(rows).all()


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 39))
@settings(max_examples=40, deadline=None)
def test_the_future_cannot_change_the_past(seed, cut):
    values = stay(40, seed)
    other = values.copy()
    other[cut:] = stay(40, seed + 1)[cut:]
    a, b = (feature_rows(v, UNKNOWN, SETTINGS)[:cut] for v in (values, other))
    np.testing.assert_array_equal(a, b)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=8), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_many_patients_at_once_are_each_alone(lengths, seed):
    lengths = np.array(lengths)
    values = stay(int(lengths.sum()), seed)
    static = np.random.default_rng(seed).uniform(0, 90, (len(lengths), 2)).astype(np.float32)
    together = feature_table(values, lengths, static, SETTINGS)
    begin = np.cumsum(lengths) - lengths
    for i, (b, n) in enumerate(zip(begin, lengths, strict=True)):
        np.testing.assert_array_equal(together[b : b + n], feature_rows(values[b : b + n], static[i], SETTINGS))


def test_a_snapshot_anywhere_changes_nothing_and_the_state_is_left_untouched():
    values = stay(60, 3)
    whole = feature_rows(values, UNKNOWN, SETTINGS)
    state = FeatureState.start(1, SETTINGS)
    for t in range(60):
        before = {k: v.copy() for k, v in state.arrays().items()}
        row, after = feature_step(state, values[t : t + 1], UNKNOWN[None], SETTINGS)
        for name, array in state.arrays().items():
            np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(row[0], whole[t])
        state = FeatureState.from_arrays({k: np.frombuffer(v.tobytes(), v.dtype).reshape(v.shape)
                                          for k, v in after.arrays().items()})  # fmt: skip


def test_a_day_is_forgotten():
    """Windows hold 24 h; what was measured before survives only in the baseline, which fades by half a day."""
    wild = stay(24, 1)
    calm = np.repeat(frame(**{m.name: m.typical for m in VITALS})[None], 24 * 20, 0)
    rows = feature_rows(np.concatenate([wild, calm]), UNKNOWN, SETTINGS)
    fresh = feature_rows(calm, UNKNOWN, SETTINGS)
    np.testing.assert_allclose(rows[-1], fresh[-1], atol=1e-3)
    assert RING_H == 24


def test_names_are_unique_and_none_is_a_clock():
    for kind in (SETTINGS, WITH_LABS):
        assert len(set(kind.names)) == len(kind.names)
        assert not [n for n in kind.names if any(w in n for w in ("hour", "iculos", "unit", "admission", "count"))]


def test_unknown_age_and_sex_have_a_middle():
    rows = feature_rows(frame(rate=80)[None], UNKNOWN, SETTINGS)
    assert rows[0, AT["age"]] == 62
    assert rows[0, AT["sex"]] == 0.5


def test_staleness_can_be_left_out():
    without = FeatureSettings(staleness=False)
    rows = feature_rows(stay(20), UNKNOWN, without)
    assert len(without.names) == len(NAMES) - len(VITALS)
    kept = [AT[n] for n in without.names]
    np.testing.assert_array_equal(rows, feature_rows(stay(20), UNKNOWN, SETTINGS)[:, kept])


def test_shapes_that_disagree_are_refused():
    state = FeatureState.start(2, SETTINGS)
    with pytest.raises(ShapeMismatchError, match="expected"):
        feature_step(state, np.zeros((3, 7), np.float32), np.zeros((3, 2), np.float32), SETTINGS)
    with pytest.raises(ShapeMismatchError):
        FeatureSettings(inputs=VITALS[::-1])


def test_hours_of_walks_the_longest_first():
    got = [(rows.tolist(), who.tolist()) for rows, who in hours_of(np.array([1, 3, 2]))]
    assert got == [([1, 4, 0], [1, 2, 0]), ([2, 5], [1, 2]), ([3], [1])]
    assert list(hours_of(np.array([], np.int64))) == []
