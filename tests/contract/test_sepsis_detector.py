"""The sepsis detector keeps the protocol of vitals.detector, with the shipped artifact."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from wards import take_step

pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

from models.sepsis import SepsisDetector, score_stays
from vitals.detector import FrameInput
from vitals.features import VITALS
from vitals.signs import HOUR_NS, N_SIGNS, Sign

COLUMNS = [Sign.HR, Sign.SPO2, Sign.TEMP_C, Sign.SBP, Sign.MAP, Sign.DBP, Sign.RESP]


@pytest.fixture(scope="module")
def detector():
    return SepsisDetector()


def ward(n, hours, seed=0, missing=0.3):
    """Made-up patients: (hours, n, 7) frames and (n, 2) age and sex."""
    rng = np.random.default_rng(seed)
    typical = np.array([m.typical for m in VITALS])
    level = typical * rng.normal(1, 0.08, (n, 7))
    drift = np.cumsum(rng.normal(0, 0.01, (hours, n, 7)), axis=0)
    values = (level * (1 + drift) * rng.normal(1, 0.04, (hours, n, 7))).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    return values, np.stack([rng.uniform(20, 90, n), rng.integers(0, 2, n)], axis=1).astype(np.float32)


def frames(values, static, hour=1):
    """One hour as the ward hands it over."""
    n = len(values)
    value = np.full((n, N_SIGNS), np.nan)
    value[:, COLUMNS] = values
    measured = ~np.isnan(value)
    return FrameInput(hour * HOUR_NS, value, measured, np.where(measured, 0, -1), static[:, 0].astype(float),
                      static[:, 1].astype(float))  # fmt: skip


def run(detector, values, static, rows=None, state=None):
    n = values.shape[1]
    rows = np.arange(n) if rows is None else rows
    state = detector.start(n) if state is None else state
    return np.stack([take_step(detector, frames(v, static), rows, state).score for v in values]), state


def test_it_says_what_it_is(detector):
    assert (detector.name, detector.grid_ns, detector.parts) == ("sepsis", HOUR_NS, ("sepsis",))
    assert detector.version == detector.model.artifact.manifest.version
    assert 0 < detector.threshold < 1
    assert detector.warm_up >= 1


def test_scores_are_in_range_and_absent_until_warm(detector):
    values, static = ward(50, 30, missing=0.0)
    scores, _ = run(detector, values, static)
    assert np.isnan(scores[: detector.warm_up]).all()
    given = scores[~np.isnan(scores)]
    assert len(given)
    assert ((given >= 0) & (given <= 1)).all()


def test_the_same_frames_give_the_same_scores_bit_for_bit(detector):
    values, static = ward(70, 20)
    a, b = (run(detector, values, static)[0] for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("others", [0, 1, 63, 200])
def test_a_patient_does_not_depend_on_who_else_is_on_the_ward(detector, others):
    values, static = ward(others + 1, 15, seed=5)
    alone, _ = run(detector, values[:, -1:], static[-1:])
    together, _ = run(detector, values, static)
    np.testing.assert_array_equal(alone[:, 0], together[:, -1])


def test_rows_of_the_state_are_the_patients_own(detector):
    values, static = ward(6, 12)
    straight, _ = run(detector, values, static)
    order = np.array([4, 0, 9, 2, 7, 5])
    mixed, state = run(detector, values, static, rows=order, state=detector.start(10))
    np.testing.assert_array_equal(straight, mixed)
    fresh = detector.start(10)
    for name, array in state.items():
        np.testing.assert_array_equal(array[[1, 3, 6, 8]], fresh[name][[1, 3, 6, 8]])


@pytest.mark.parametrize("cut", [1, 7, 19])
def test_cut_anywhere_and_restored_from_bytes(detector, cut):
    values, static = ward(8, 20)
    whole, _ = run(detector, values, static)
    _, state = run(detector, values[:cut], static)
    back = {k: np.frombuffer(v.tobytes(), v.dtype).reshape(v.shape).copy() for k, v in state.items()}
    rest, _ = run(detector, values[cut:], static, state=back)
    np.testing.assert_array_equal(whole[cut:], rest)


def test_the_future_cannot_change_the_past(detector):
    values, static = ward(5, 20)
    other = values.copy()
    other[12:] = 55
    a, b = (run(detector, v, static)[0][:12] for v in (values, other))
    np.testing.assert_array_equal(a, b)


def test_signs_that_vanish_end_in_silence_and_come_back(detector):
    values, static = ward(10, 40, missing=0.0)
    values[10:30] = np.nan
    scores, _ = run(detector, values, static)
    assert np.isnan(scores[10 + detector.model.head.fresh_h : 30]).all()
    assert np.isfinite(scores[32:]).mean() > 0.8


@pytest.mark.parametrize("gone", range(7))
def test_any_one_sign_may_be_missing(detector, gone):
    values, static = ward(20, 12, missing=0.0)
    values[:, :, gone] = np.nan
    scores, _ = run(detector, values, static)
    assert np.isfinite(scores[3:]).mean() > 0.8


def test_pulse_and_cuff_stand_in_for_heart_rate_and_line(detector):
    values, static = ward(4, 1, missing=0.0)
    line = frames(values[0], static)
    value, measured = line.value.copy(), line.measured.copy()
    swaps = {Sign.HR: Sign.PULSE, Sign.SBP: Sign.NIBP_SBP, Sign.MAP: Sign.NIBP_MAP, Sign.DBP: Sign.NIBP_DBP}
    for a, b in swaps.items():
        value[:, b], measured[:, b] = value[:, a], True
        value[:, a], measured[:, a] = np.nan, False
    cuff = FrameInput(line.end_ns, value, measured, line.age_ns, line.age_years, line.sex)
    s, t = detector.start(4), detector.start(4)
    take_step(detector, line, np.arange(4), s)
    take_step(detector, cuff, np.arange(4), t)
    for name in s:
        np.testing.assert_array_equal(s[name], t[name])


def test_an_older_value_is_not_taken_for_a_new_one(detector):
    values, static = ward(3, 1, missing=0.0)
    now = frames(values[0], static)
    old = FrameInput(now.end_ns, now.value, np.zeros_like(now.measured), now.age_ns, now.age_years, now.sex)
    empty = frames(np.full_like(values[0], np.nan), static)
    s, t = detector.start(3), detector.start(3)
    take_step(detector, old, np.arange(3), s)
    take_step(detector, empty, np.arange(3), t)
    for name in s:
        np.testing.assert_array_equal(s[name], t[name])


def test_wild_input_is_not_assessable(detector):
    values, static = ward(5, 10, missing=0.0)
    values[5:] *= np.where(np.arange(5) % 2, 3.0, 0.2)[:, None, None]
    scores, _ = run(detector, values, static)
    assert np.isnan(scores[6:]).all()


def test_scores_of_whole_stays_are_the_steps(detector):
    values, static = ward(4, 25)
    stays = values.transpose(1, 0, 2).reshape(-1, 7)
    hour = score_stays(detector.model, stays, np.full(4, 25), static)
    stepped, _ = run(detector, values, static)
    whole = np.where(hour.assessable, hour.score, np.nan).reshape(4, 25).T
    np.testing.assert_array_equal(stepped, whole)
    assert (hour.low <= hour.score).all()
    assert (hour.score <= hour.high).all()
    assert np.isfinite(hour.score).all()


SICK = [128, 91, 39.4, 84, 55, 41, 31]


def asked(detector, values, static):
    """The score of each patient's newest hour, and its explanation."""
    rows = np.arange(values.shape[1])
    _, state = run(detector, values[:-1], static)
    before = {k: v.copy() for k, v in state.items()}
    frame = frames(values[-1], static)
    scored = take_step(detector, frame, rows, state)
    return scored.score, detector.explain(frame, before, state)


def test_an_explanation_names_what_is_wrong_its_value_and_its_age(detector):
    values, static = ward(1, 24, missing=0.0, seed=2)
    sick = values.copy()
    sick[-5:, 0] = SICK
    score, (why,) = asked(detector, sick, static)
    assert why.summary.startswith(f"Sepsis risk {score[0]:.3f}, threshold")
    first = why.contributions[0]
    assert (first.direction, first.log_odds > 0) == ("raises", True)
    found = {c.what: c for c in why.contributions}
    assert {w: (c.value, c.unit) for w, c in found.items()} == {
        "heart rate": (128, "/min"), "oxygen saturation": (91, "%"), "temperature": (39.4, "Cel"),
        "blood pressure": (84, "mm[Hg]"), "respiration": (31, "/min"),
    }  # fmt: skip
    assert all(c.age_s == 0 for c in why.contributions)
    assert found["temperature"].words.startswith("temperature 39.4 °C, ")
    assert "more than 6 h ago" in found["respiration"].words


def test_contributions_are_what_leaving_a_measurement_out_does(detector):
    values, static = ward(3, 20, missing=0.1, seed=4)
    _, why = asked(detector, values, static)
    gone = values.copy()
    gone[:, :, 6] = np.nan
    both = [
        score_stays(detector.model, np.ascontiguousarray(v.transpose(1, 0, 2)).reshape(-1, 7), np.full(3, 20), static)
        for v in (values, gone)
    ]
    weight = (both[0].logit - both[1].logit).reshape(3, 20)[:, -1]
    told = [next(c.log_odds for c in one.contributions if c.what == "respiration") for one in why]
    np.testing.assert_allclose(told, weight, atol=2e-3)


def test_what_would_clear_it_clears_it(detector):
    values, static = ward(40, 24, missing=0.0, seed=3)
    values[-8:, :, 0] *= 1.3
    values[-8:, :, 6] *= 1.5
    score, why = asked(detector, values, static)
    columns = {"heart rate": 0, "oxygen saturation": 1, "temperature": 2, "respiration": 6}
    tried = 0
    for row, one in enumerate(why):
        assert not one.clears or score[row] >= detector.model.head.clear
        for change in one.clears:
            if change.what not in columns:
                continue
            assert change.words.startswith("would fall below the threshold if ")
            other = values.copy()
            other[-6:, row, columns[change.what]] = change.value
            # The value is told rounded, as it is charted: near the level itself that may tip it.
            assert run(detector, other, static)[0][-1, row] < 1.1 * detector.model.head.clear
            tried += 1
    assert tried >= 5


def test_an_explanation_says_what_is_old_and_how_far_to_trust_it(detector):
    values, static = ward(1, 24, missing=0.0, seed=2)
    values[-10:, 0, 2] = np.nan
    frame = frames(values[-1], static)
    frame.age_ns[0, Sign.TEMP_C] = 10 * HOUR_NS
    _, state = run(detector, values, static)
    (why,) = detector.explain(frame, state, state)
    temperature = next(c for c in why.contributions if c.what == "temperature")
    assert temperature.age_s == 36_000
    assert ", 10 h old, " in temperature.words
    assert why.trust.endswith("old or missing: temperature")
    assert "of 100 hours with such a score about" in why.trust
    values[:, 0, 2] = np.nan
    frame = frames(values[-1], static)
    _, state = run(detector, values, static)
    (why,) = detector.explain(frame, state, state)
    temperature = next(c for c in why.contributions if c.what == "temperature")
    assert (temperature.value, temperature.age_s) == (None, None)
    assert temperature.words == "temperature: not measured within a day"


def test_what_serves_imports_no_torch():
    code = "import sys, models.sepsis, models.runtime; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_an_alarm_can_ask_why_and_gets_what_counted_and_how_old_it_is(detector):
    values, static = ward(12, 30, missing=0.2)
    _, state = run(detector, values, static)
    why = detector.explain(frames(values[-1], static), state, state)
    assert len(why) == 12
    for one in why:
        assert {c.what for c in one.contributions} == {
            "heart rate", "oxygen saturation", "temperature", "blood pressure", "respiration"
        }  # fmt: skip
        assert one.threshold == pytest.approx(detector.threshold, abs=1e-6)
        assert all(c.words and (c.age_s is None or c.age_s >= 0) for c in one.contributions)
        assert one.trust


def test_a_child_gets_no_score_and_an_unknown_age_does(detector):
    values, static = ward(4, detector.warm_up + 4, missing=0)
    static[:, 0] = [8, 15.9, 16, np.nan]
    scores, _ = run(detector, values, static)
    assert np.isnan(scores[:, :2]).all()
    assert np.isfinite(scores[-1, 2:]).all()
