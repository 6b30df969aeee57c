"""What every detector must pass, whatever it has learned. A new one plugs in by one line in `DETECTORS`.

What a detector says of an illness is its own tests' business; here it only has to keep `vitals.detector`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from wards import take_step

from deploy.detectors import make_ward
from models.anomaly import AnomalyDetector
from models.sepsis import SepsisDetector
from vitals.detector import Detector, FrameInput, State
from vitals.ewma import Ewma
from vitals.reading import FloatArray, IntArray
from vitals.signs import N_SIGNS, SIGNS, Sign
from vitals.tables import pack, unpack

DETECTORS: dict[str, Callable[[], Detector]] = {"ewma": Ewma, "anomaly": AnomalyDetector, "sepsis": SepsisDetector}

PATIENTS = 9
USUAL = {
    Sign.HR: (78, 1.5), Sign.PULSE: (78, 1.5), Sign.SPO2: (96.5, 0.4), Sign.RESP: (16, 1), Sign.TEMP_C: (36.9, 0.1),
    Sign.SBP: (122, 2), Sign.DBP: (70, 1.5), Sign.MAP: (87, 1.5), Sign.NIBP_SBP: (123, 2), Sign.NIBP_DBP: (71, 2),
    Sign.NIBP_MAP: (88, 2), Sign.CONSCIOUSNESS: (0, 0), Sign.OXYGEN: (0, 0),
}  # fmt: skip


@cache
def made(name: str) -> Detector:
    return DETECTORS[name]()


@pytest.fixture(params=list(DETECTORS))
def detector(request: pytest.FixtureRequest) -> Detector:
    return made(request.param)


class Night(NamedTuple):
    """Frames of some patients: value of shape (frames, patients, signs), NaN not measured; age and sex."""

    value: FloatArray
    age: FloatArray
    sex: FloatArray

    def frame(self, t: int, grid_ns: int, rows: IntArray) -> FrameInput:
        value = self.value[t][rows]
        ever = ~np.isnan(self.value[: t + 1][:, rows])
        last = np.where(ever.any(axis=0), t - ever[::-1].argmax(axis=0), -1)
        age = np.where(last >= 0, (t - last) * grid_ns, -1).astype(np.int64)
        return FrameInput((t + 1) * grid_ns, value.copy(), ~np.isnan(value), age, self.age[rows], self.sex[rows])


def night(detector: Detector, seed: int = 0, missing: float = 0.05, patients: int = PATIENTS) -> Night:
    rng = np.random.default_rng(seed)
    frames = detector.warm_up + 25
    value = np.full((frames, patients, N_SIGNS), np.nan)
    for sign, (middle, change) in USUAL.items():
        slow = np.cumsum(rng.normal(0, 0.1 * change, (frames, patients)), axis=0)
        value[:, :, sign] = middle + slow + rng.normal(0, change, (frames, patients))
    value[..., Sign.SPO2] = np.minimum(value[..., Sign.SPO2], 100)
    value[frames // 2 :, ::3, Sign.HR] += 60  # some fall ill
    value[frames // 2 :, ::3, Sign.SPO2] -= 12
    value[rng.random(value.shape) < missing] = np.nan
    sex = rng.integers(0, 2, patients).astype(float)
    return Night(
        value.round(1), rng.uniform(20, 90, patients).round(), np.where(rng.random(patients) < 0.2, np.nan, sex)
    )


EVERYBODY = np.arange(PATIENTS)


def play(detector: Detector, of: Night, rows: IntArray = EVERYBODY, state: State | None = None,
         frames: range | None = None) -> tuple[FloatArray, IntArray, IntArray]:  # fmt: skip
    """Scores, parts and signs of shape (frames, rows)."""
    state = detector.start(len(of.age)) if state is None else state
    said = [
        take_step(detector, of.frame(t, detector.grid_ns, rows), rows, state) for t in frames or range(len(of.value))
    ]
    return tuple(np.stack([getattr(s, name) for s in said]) for name in ("score", "part", "sign"))


def same(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(one, other, strict=True))


def test_it_says_what_it_is(detector):
    assert detector.name == detector.name.lower()
    assert detector.version
    assert detector.grid_ns > 0
    assert detector.grid_ns % 60_000_000_000 == 0
    assert detector.warm_up >= 0
    assert detector.parts
    assert 0 < detector.threshold <= 1


def test_state_has_a_row_for_each_patient_and_begins_the_same_for_all(detector):
    for rows in (0, 1, 7):
        state = detector.start(rows)
        assert state
        assert all(len(array) == rows for array in state.values())
    state = detector.start(4)
    for array in state.values():
        assert np.array_equal(array, np.broadcast_to(array[:1], array.shape), equal_nan=array.dtype.kind == "f")


def test_scores_are_within_0_and_1_or_not_there(detector):
    of = night(detector)
    score, part, sign = play(detector, of)
    there = ~np.isnan(score)
    assert there.any(), "this night must be assessable"
    assert ((score[there] >= 0) & (score[there] <= 1)).all()
    assert ((part >= -1) & (part < len(detector.parts))).all()
    assert ((sign >= -1) & (sign < N_SIGNS)).all()
    assert (score.dtype, score.shape) == (np.float64, of.value.shape[:2])
    assert part.dtype.kind == sign.dtype.kind == "i"


def test_in_the_warm_up_the_score_is_absent_never_zero(detector):
    score, part, sign = play(detector, night(detector, missing=0.0))
    assert np.isnan(score[: detector.warm_up]).all()
    assert (part[: detector.warm_up] == -1).all()
    assert (sign[: detector.warm_up] == -1).all()
    assert not np.isnan(score[detector.warm_up + 5 :]).any()


def test_the_same_night_gives_the_same_bits(detector):
    of = night(detector)
    assert same(play(detector, of), play(detector, of))
    again = DETECTORS[detector.name]()
    assert same(play(detector, of), play(again, of))


def test_together_one_by_one_and_in_any_order_are_the_same(detector):
    of = night(detector)
    together = play(detector, of)
    alone = [play(detector, of, np.array([row])) for row in range(PATIENTS)]
    assert same(together, tuple(np.concatenate(parts, axis=1) for parts in zip(*alone, strict=True)))
    order = np.random.default_rng(3).permutation(PATIENTS)
    assert same(play(detector, of, order), tuple(answer[:, order] for answer in together))


def test_cut_anywhere_with_a_snapshot_it_goes_on_the_same(detector):
    of = night(detector)
    whole = play(detector, of)
    frames = len(of.value)
    for cut in (1, detector.warm_up, frames - 2):
        state = detector.start(PATIENTS)
        before = play(detector, of, state=state, frames=range(cut)) if cut else None
        copied = unpack(pack(state))
        after = play(detector, of, state=copied, frames=range(cut, frames))
        joined = tuple(np.concatenate(pair) for pair in zip(before, after, strict=True)) if before else after
        assert same(whole, joined), cut


def test_all_it_remembers_lies_in_its_state(detector):
    of, other = night(detector), night(detector, seed=9)
    alone = play(detector, of)
    state, beside = detector.start(PATIENTS), detector.start(PATIENTS)
    mixed = []
    for t in range(len(of.value)):
        mixed.append(take_step(detector, of.frame(t, detector.grid_ns, EVERYBODY), EVERYBODY, state))
        take_step(detector, other.frame(t, detector.grid_ns, EVERYBODY), EVERYBODY, beside)
    assert same(alone, tuple(np.stack([getattr(s, name) for s in mixed]) for name in ("score", "part", "sign")))


def test_a_step_leaves_the_state_that_it_is_given_and_returns_the_next_of_the_same_form(detector):
    of = night(detector)
    state = detector.start(PATIENTS)
    for t in range(detector.warm_up + 12):
        before = {name: array.copy() for name, array in state.items()}
        _, after = detector.step(of.frame(t, detector.grid_ns, EVERYBODY), state)
        for name, array in state.items():
            assert array.tobytes() == before[name].tobytes(), name
            assert (after[name].shape, after[name].dtype) == (array.shape, array.dtype), name
        assert after.keys() == state.keys()
        assert any(array.tobytes() != before[name].tobytes() for name, array in after.items())
        state = after


def test_a_state_that_grew_and_a_patient_who_came_later(detector):
    of = night(detector)
    whole = play(detector, of)
    state, more = detector.start(4), detector.start(PATIENTS - 4)
    early = play(detector, of, np.arange(4), state, range(10))
    grown = {name: np.concatenate((state[name], more[name])) for name in state}
    late = play(detector, of, np.arange(4), grown, range(10, len(of.value)))
    joined = tuple(np.concatenate(pair) for pair in zip(early, late, strict=True))
    assert same(joined, tuple(answer[:, :4] for answer in whole))


def test_what_it_is_given_is_not_changed(detector):
    of = night(detector)
    state = detector.start(PATIENTS)
    for t in range(detector.warm_up + 2):
        frame = of.frame(t, detector.grid_ns, EVERYBODY)
        before = {name: getattr(frame, name).copy() for name in ("value", "measured", "age_ns", "age_years", "sex")}
        take_step(detector, frame, EVERYBODY, state)
        for name, array in before.items():
            assert array.tobytes() == getattr(frame, name).tobytes(), name


@pytest.mark.parametrize("gone", list(Sign), ids=lambda sign: sign.column)
def test_any_sign_may_vanish(detector, gone):
    of = night(detector)
    of.value[detector.warm_up + 3 :, :, gone] = np.nan
    score, _, _ = play(detector, of)
    there = ~np.isnan(score)
    assert ((score[there] >= 0) & (score[there] <= 1)).all()


def test_any_sign_may_never_have_been_there_and_none_is_spoken_of(detector):
    for kept in Sign:
        of = night(detector, patients=2)
        of.value[:, :, [sign for sign in Sign if sign != kept]] = np.nan
        score, _, sign = play(detector, of, np.arange(2))
        there = ~np.isnan(score)
        assert ((score[there] >= 0) & (score[there] <= 1)).all(), kept
        assert set(np.unique(sign)) <= {-1, int(kept)}, "it speaks of what was never measured"


def test_where_nothing_was_ever_measured_nothing_is_said(detector):
    of = night(detector, missing=1.0)
    score, part, sign = play(detector, of)
    assert np.isnan(score).all()
    assert (part == -1).all()
    assert (sign == -1).all()


def test_when_everything_vanishes_it_says_nothing_in_the_end_and_never_that_all_is_well(detector):
    of = night(detector)
    gone = Night(np.concatenate([of.value, np.full((60, PATIENTS, N_SIGNS), np.nan)]), of.age, of.sex)
    score, _, _ = play(detector, gone)
    assert np.isnan(score[-1]).all()


@pytest.mark.parametrize("extreme", ["lowest possible", "highest possible", "never changes"])
def test_the_implausible_is_no_reason_to_fall_over(detector, extreme):
    of = night(detector)
    half = detector.warm_up + 5
    for sign in Sign:
        low, high = SIGNS[sign].possible
        of.value[half:, :, sign] = {"lowest possible": low, "highest possible": high}.get(extreme, USUAL[sign][0])
    score, _, _ = play(detector, of)
    there = ~np.isnan(score)
    assert ((score[there] >= 0) & (score[there] <= 1)).all()


def test_unknown_age_and_sex_are_no_reason_to_fall_over(detector):
    of = night(detector)
    nothing = np.full(PATIENTS, np.nan)
    score, _, _ = play(detector, Night(of.value, nothing, nothing))
    there = ~np.isnan(score)
    assert ((score[there] >= 0) & (score[there] <= 1)).all()


@pytest.mark.parametrize("name", ["anomaly", "sepsis"])
def test_arithmetic_that_broke_down_is_told_as_a_failure_and_not_as_not_assessable(name):
    detector = made(name)
    of = night(detector, missing=0.0)
    state = detector.start(PATIENTS)
    play(detector, of, state=state, frames=range(detector.warm_up + 3))
    state["hidden"][4] = np.nan
    said = take_step(detector, of.frame(detector.warm_up + 3, detector.grid_ns, EVERYBODY), EVERYBODY, state)
    assert np.flatnonzero(said.failed).tolist() == [4]
    assert not np.isnan(np.delete(said.score, 4)).any()


def test_every_detector_that_serves_is_held_to_this():
    served = {plug.detector.name for plug in make_ward().plugs}
    assert served <= set(DETECTORS)
