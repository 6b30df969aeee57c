"""The anomaly detector's explanation: true of the model it explains, and in words."""

import numpy as np
import pytest
from wards import take_step

pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

from test_anomaly_detector import frames, ward

from models.anomaly import AnomalyDetector
from vitals.detector import Explains
from vitals.signs import MINUTE_NS, Sign

AT = 310


@pytest.fixture(scope="module")
def detector():
    return AnomalyDetector()


def asked(detector, x, at):
    """What is said about minute `at`: the score, the state before and after, the explanation."""
    rows, state = np.arange(len(x)), detector.start(len(x))
    for t in range(at):
        take_step(detector, frames(x, t), rows, state)
    before = {k: v.copy() for k, v in state.items()}
    scored = take_step(detector, frames(x, at), rows, state)
    return scored, before, state, detector.explain(frames(x, at), before, state)


def off(sign, by):
    x = ward(n=2, minutes=AT + 40, missing=0)
    x[0, 300:, sign] += by
    return x


def test_it_names_the_sign_its_value_its_usual_and_what_would_clear_it(detector):
    assert isinstance(detector, Explains)
    scored, _, _, (why, calm) = asked(detector, off(Sign.HR, 30), AT)
    assert scored.score[0] >= detector.threshold > scored.score[1]
    assert why.summary == f"Heart rate sits at a new level: score {scored.score[0]:.2f}, threshold 0.50."
    first = why.contributions[0]
    assert (first.what, first.direction, first.unit) == ("heart rate", "raises", "/min")
    assert first.words.startswith(f"heart rate {first.value:.0f} /min, ")
    assert "above its usual" in first.words
    assert why.clears[0].what == "heart rate"
    assert abs(why.clears[0].value - (first.value - 30)) < 8
    assert why.clears[0].words.startswith("would fall below the threshold within ")
    assert "on patients without events" in why.trust
    assert calm.clears == ()


def test_a_contribution_is_what_the_newest_row_says_without_that_sign(detector):
    x = off(Sign.SPO2, -9)
    _, before, _, (why, _) = asked(detector, x, AT)
    told = {c.what: c.log_odds for c in why.contributions}
    frame = frames(x, AT)
    with_it, _ = detector.model.step(frame.value, frame.measured, before)
    blind = {k: v.copy() for k, v in before.items()}
    at = 2  # of the eight signs
    for name in ("ring", "level", "change", "hour", "hours", "wander", "usual"):
        blind[name][:, at] = np.nan
    for name in ("moved", "moves", "slow_sum", "slow_weight", "run", "same_sum", "same_weight"):
        blind[name][:, at] = 0
    blind["past"][:, at] = blind["held"][:, at] = np.nan
    measured = frame.measured.copy()
    measured[:, Sign.SPO2] = False
    without, _ = detector.model.step(frame.value, measured, blind)
    odds = [np.log(s / (1 - s)) for s in (with_it.score[0], without.score[0])]
    assert told["oxygen saturation"] == pytest.approx(odds[0] - odds[1], abs=2e-3)


def test_what_would_clear_it_does_when_it_happens(detector):
    x = off(Sign.HR, 30)
    _, _, state, (why, _) = asked(detector, x, AT)
    within = int(why.clears[0].words.split("within ")[1].split(" min")[0])
    back = ward(n=2, minutes=AT + 40, missing=0)  # the same patients without the event
    rows = np.arange(2)
    scores = [take_step(detector, frames(back, t), rows, state).score[0] for t in range(AT + 1, AT + 31)]
    assert min(scores[: within + 5]) < 0.8 * detector.threshold
    assert max(scores[within + 5 :]) < detector.threshold


def test_a_sensor_that_is_stuck_would_have_to_vary(detector):
    x = ward(n=1, minutes=AT + 40, missing=0)
    x[:, 280:, Sign.SBP] = 123.4
    _, _, _, (why,) = asked(detector, x, AT + 20)
    assert why.summary.startswith("Systolic pressure repeats the same value")
    assert (why.clears[0].what, why.clears[0].value) == ("systolic pressure", None)
    assert why.clears[0].words.endswith("if systolic pressure varied again as it used to")


def test_a_decline_of_all_signs_is_about_all_signs(detector):
    x = ward(n=2, minutes=480, missing=0)
    slide = np.clip((np.arange(480) - 100) / 360, 0, 1)
    way = {Sign.HR: 34, Sign.PULSE: 34, Sign.RESP: 11, Sign.SPO2: -6, Sign.SBP: -45, Sign.DBP: -22, Sign.MAP: -30}
    for sign, by in way.items():
        x[:, :, sign] += by * slide
    scored, _, _, why = asked(detector, x, 440)
    assert (scored.score >= detector.threshold).all()
    for one in why:
        assert one.summary.startswith("Several signs have been moving towards illness for hours")
        assert [c.what for c in one.clears] == ["all signs"]


def test_what_is_old_missing_or_new_is_said(detector):
    x = ward(n=1, minutes=AT + 1, missing=0)
    x[:, AT - 5 :, Sign.SPO2] = np.nan
    _, before, state, _ = asked(detector, x, AT)
    frame = frames(x, AT)
    frame.age_ns[0, Sign.SPO2] = 5 * MINUTE_NS
    (why,) = detector.explain(frame, before, state)
    spo2 = next(c for c in why.contributions if c.what == "oxygen saturation")
    assert spo2.age_s == 300
    assert ", 5 min old, " in spo2.words
    assert why.trust.endswith("not measured now: oxygen saturation")
    _, _, _, (young,) = asked(detector, x, 70)
    assert "known for 71 min only" in young.trust


def test_asking_changes_nothing_and_company_changes_no_answer(detector):
    x = off(Sign.HR, 30)
    _, before, state, both = asked(detector, x, AT)
    kept = [{k: v.tobytes() for k, v in s.items()} for s in (before, state)]
    again = detector.explain(frames(x, AT), before, state)
    assert again == both
    assert kept == [{k: v.tobytes() for k, v in s.items()} for s in (before, state)]
    _, _, _, (alone,) = asked(detector, x[:1], AT)
    assert alone == both[0]
