"""Artefacts are named, illness is not: `vitals.artefacts`."""

import numpy as np
import pytest

from vitals import artefacts
from vitals.artefacts import Reason, Verdict
from vitals.signs import N_SIGNS, Sign

WELL = {Sign.HR: 80, Sign.PULSE: 80, Sign.SPO2: 97, Sign.RESP: 16, Sign.SBP: 120, Sign.DBP: 60, Sign.MAP: 80}


def frame(**changes):
    x = np.full(N_SIGNS, np.nan, np.float32)
    for sign, value in WELL.items():
        x[sign] = value
    for name, value in changes.items():
        x[Sign[name.upper()]] = np.nan if value is None else value
    return x


def play(*frames):
    """Verdict and reason of each frame, one patient."""
    state, out = artefacts.start(1), []
    for x in frames:
        q, r, state = artefacts.judge(x[None], np.isfinite(x)[None], state)
        out.append((q[0], r[0]))
    return out


def test_a_well_patient_is_usable_and_what_is_not_measured_is_absent():
    q, r = play(frame())[0]
    assert all(q[s] == Verdict.USABLE for s in WELL)
    assert q[Sign.TEMP_C] == Verdict.ABSENT
    assert not r.any()


@pytest.mark.parametrize(
    "changes, sign, reason",
    [
        ({"sbp": 274, "dbp": 262, "map": 268}, Sign.SBP, Reason.FLUSH),
        ({"sbp": 190, "dbp": 165, "map": 175}, Sign.MAP, Reason.FLUSH),
        ({"sbp": 84, "dbp": 78, "map": 80}, Sign.DBP, Reason.FLAT_PRESSURE),
        ({"sbp": 140, "dbp": 128, "map": 133}, Sign.MAP, Reason.FLAT_PRESSURE),
        ({"sbp": 4, "dbp": -2, "map": 1}, Sign.SBP, Reason.ZEROING),
        ({"sbp": 60, "dbp": 90, "map": 75}, Sign.SBP, Reason.INVERTED_PRESSURE),
        ({"spo2": 41}, Sign.SPO2, Reason.CONTACT_LOST),
        ({"spo2": 78, "pulse": 160}, Sign.SPO2, Reason.CONTACT_LOST),
        ({"spo2": 78, "pulse": 160}, Sign.PULSE, Reason.CONTACT_LOST),
        ({"temp_c": 23.0}, Sign.TEMP_C, Reason.CONTACT_LOST),
        ({"hr": 0}, Sign.HR, Reason.CONTACT_LOST),
    ],
)
def test_an_artefact_is_named(changes, sign, reason):
    q, r = play(frame(**changes))[0]
    assert (q[sign], r[sign]) == (Verdict.ARTEFACT, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"hr": 180, "pulse": 176},
        {"hr": 34, "pulse": 34},
        {"spo2": 72},
        {"resp": 44},
        {"sbp": 62, "dbp": 34, "map": 43},
        {"sbp": 210, "dbp": 120, "map": 150},
        {"sbp": 84, "dbp": 70, "map": 76},
    ],
)
def test_grave_illness_that_comes_within_a_minute_is_no_artefact(changes):
    (_, _), (q, _) = play(frame(), frame(**changes))
    assert (q < Verdict.ARTEFACT).all()


def test_a_single_pressure_that_moves_alone_stays_in_and_is_doubtful():
    q, r = play(frame(map=150))[0]
    assert (q[Sign.MAP], r[Sign.MAP]) == (Verdict.DOUBTFUL, Reason.MEAN_OUTSIDE)


def test_heart_rate_and_pulse_apart_are_both_doubtful():
    q, r = play(frame(hr=140, pulse=70))[0]
    for sign in (Sign.HR, Sign.PULSE):
        assert (q[sign], r[sign]) == (Verdict.DOUBTFUL, Reason.APART)


def test_an_impossible_jump_is_an_artefact_until_the_new_level_has_lasted():
    jumped = frame(temp_c=41.0)
    said = play(frame(temp_c=36.8), *[jumped] * (artefacts.MEMORY + 1))
    reasons = [r[Sign.TEMP_C] for _, r in said]
    assert reasons[1 : 1 + artefacts.MEMORY] == [Reason.RATE_OF_CHANGE] * artefacts.MEMORY
    assert said[-1][0][Sign.TEMP_C] < Verdict.ARTEFACT


def test_the_minute_after_a_flush_is_doubtful_and_the_next_usable():
    flush = frame(sbp=274, dbp=262, map=268)
    said = play(frame(), flush, frame(), frame())
    assert [q[Sign.MAP] for q, _ in said] == [0, 2, 1, 0]
    assert said[2][1][Sign.MAP] == Reason.SETTLING


def test_a_gap_does_not_wash_the_artefact_away():
    flush, gap = frame(sbp=274, dbp=262, map=268), frame(sbp=None, dbp=None, map=None)
    assert play(flush, gap, frame())[2][1][Sign.MAP] == Reason.SETTLING


def test_the_mask_decides_and_not_the_value():
    x = frame(sbp=274, dbp=262, map=268)[None]
    q, _, _ = artefacts.judge(x, np.zeros_like(x, bool), artefacts.start(1))
    assert (q == Verdict.ABSENT).all()


def test_patients_do_not_hear_of_each_other_and_inputs_stay_untouched():
    rng = np.random.default_rng(3)
    x = rng.normal(90, 60, (40, 6, N_SIGNS)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    together, state = [], artefacts.start(40)
    for t in range(6):
        before = {k: v.copy() for k, v in state.items()}
        q, r, after = artefacts.judge(x[:, t], np.isfinite(x[:, t]), state)
        assert all(np.array_equal(state[k], before[k], equal_nan=True) for k in state)
        together.append((q, r))
        state = after
    for p in (0, 17, 39):
        alone = play(*x[p])
        for t in range(6):
            assert np.array_equal(alone[t][0], together[t][0][p])
            assert np.array_equal(alone[t][1], together[t][1][p])


def test_every_reason_has_a_rule_with_words_and_a_source():
    for reason in Reason:
        if reason is not Reason.NONE:
            rule = artefacts.REASONS[reason]
            assert rule.words
            assert rule.source
            assert rule.verdict in {Verdict.DOUBTFUL, Verdict.ARTEFACT}
