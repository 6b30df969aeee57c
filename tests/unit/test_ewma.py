"""The EWMA control: jumps, drifts, artefacts, and what it does not speak about. The protocol is tests/contract's."""

from __future__ import annotations

import numpy as np
import pytest
from wards import take_step

from vitals.detector import FrameInput
from vitals.ewma import Ewma, EwmaSettings
from vitals.signs import N_SIGNS, Sign

ROWS = np.array([0])


def frame(**signs: float) -> FrameInput:
    value = np.full((1, N_SIGNS), np.nan)
    for name, given in signs.items():
        value[0, Sign[name.upper()]] = given
    return FrameInput(
        0, value, ~np.isnan(value), np.zeros((1, N_SIGNS), dtype=np.int64), np.array([60.0]), np.array([0.0])
    )


class Patient:
    """One patient, frame by frame."""

    def __init__(self, settings: EwmaSettings | None = None) -> None:
        self.detector = Ewma(settings)
        self.state = self.detector.start(1)

    def see(self, frames: int = 1, **signs: float) -> tuple[float, str, str]:
        """Give some equal frames; the last answer: score, part, sign."""
        for _ in range(frames):
            scored = take_step(self.detector, frame(**signs), ROWS, self.state)
        part, sign = int(scored.part[0]), int(scored.sign[0])
        return (
            round(float(scored.score[0]), 4),
            self.detector.parts[part] if part >= 0 else "",
            Sign(sign).column if sign >= 0 else "",
        )


def test_no_score_before_the_warm_up_and_then_zero_for_a_steady_patient():
    patient = Patient()
    answers = [patient.see(hr=70, spo2=97) for _ in range(Ewma().warm_up + 1)]
    assert all(np.isnan(score) and (part, sign) == ("", "") for score, part, sign in answers[:-1])
    assert answers[-1][0] == 0.0


def test_a_jump_reaches_its_threshold_at_eight_standard_deviations():
    floor = 2.7  # of heart rate
    for z, score in ((8.0, 0.5), (4.0, 4 / 12), (16.0, 16 / 24)):
        patient = Patient()
        patient.see(40, hr=70)
        assert patient.see(hr=70 + z * floor) == (round(score, 4), "jump", "hr")


def test_a_jump_downwards_is_a_jump():
    patient = Patient()
    patient.see(40, spo2=97)
    assert patient.see(spo2=97 - 8 * 0.8) == (0.5, "jump", "spo2")


def test_a_slow_decline_without_any_jump_is_a_drift():
    patient = Patient()
    patient.see(60, spo2=97)
    heard = [patient.see(spo2=97 - 0.1 * minute) for minute in range(120)]
    assert max(score for score, part, _ in heard if part == "jump") < 0.5
    first = next(i for i, (score, _, _) in enumerate(heard) if score >= 0.5)
    assert heard[first][1:] == ("drift", "spo2")


def test_a_full_drift_empties_within_hours_once_its_cause_has_gone():
    patient = Patient()
    patient.see(60, resp=15)
    patient.see(300, resp=25)
    over = [patient.see(resp=15)[0] for _ in range(240)]
    assert over[-1] < 0.5


def test_one_artefact_teaches_little():
    with_spike, without = Patient(), Patient()
    for patient in (with_spike, without):
        patient.see(60, hr=70)
    with_spike.see(hr=300)
    without.see(hr=70)
    moved = with_spike.state["mean"][0, Sign.HR] - without.state["mean"][0, Sign.HR]
    assert 0 < moved < 1


def test_the_louder_sign_speaks():
    patient = Patient()
    patient.see(40, hr=70, resp=15, spo2=97)
    score, part, sign = patient.see(hr=80, resp=40, spo2=96)
    assert (part, sign) == ("jump", "resp")
    assert score > 0.5


def test_what_people_observe_is_none_of_its_business():
    patient = Patient()
    patient.see(60, consciousness=0, oxygen=0)
    score, part, sign = patient.see(consciousness=4, oxygen=1)
    assert np.isnan(score)
    assert (part, sign) == ("", "")


def test_a_new_sign_warms_up_by_itself():
    patient = Patient()
    patient.see(60, hr=70)
    assert patient.see(hr=70, sbp=60)[0] == 0.0
    assert patient.see(28, hr=70, sbp=60)[0] == 0.0
    patient.see(hr=70, sbp=60)
    assert patient.see(hr=70, sbp=200)[1:] == ("jump", "sbp")


@pytest.mark.parametrize("alpha", [0.02, 0.2])
def test_after_a_lasting_change_the_new_value_becomes_usual(alpha):
    patient = Patient(EwmaSettings(alpha=alpha))
    patient.see(60, hr=70)
    patient.see(1000, hr=90)
    assert patient.state["mean"][0, Sign.HR] == pytest.approx(90, abs=0.5)
