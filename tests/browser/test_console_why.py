"""Why an alarm was raised, as whoever answers it reads it."""

import pytest
from conftest import DESKTOP, PHONE

from vitals.alarm_state import Raise
from vitals.events import Bounds, Clearing, Contribution, Evidence, ScoreEvidence, Why
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)

WHY = Why(
    summary="Sepsis risk 0.071, threshold 0.063: chiefly respiration and temperature.",
    threshold=0.063,
    contributions=(
        Contribution(
            what="respiration",
            log_odds=0.81,
            direction="raises",
            value=28.0,
            unit="/min",
            age_s=7 * 60,
            words="respiration 28 /min, 8 more than 6 h ago, raises the score",
        ),
        Contribution(
            what="temperature",
            log_odds=0.4,
            direction="raises",
            value=38.9,
            unit="Cel",
            age_s=3 * 3600,
            words="temperature 38.9 Cel, raises the score",
        ),
        Contribution(
            what="oxygen saturation",
            log_odds=-0.12,
            direction="lowers",
            value=97.0,
            unit="%",
            age_s=60,
            words="oxygen saturation 97 %, lowers the score",
        ),
        Contribution(
            what="laboratory values",
            log_odds=0.0,
            direction="neither",
            words="laboratory values were never measured",
        ),
    ),
    clears=(
        Clearing(
            what="respiration",
            value=18.0,
            unit="/min",
            words="would fall below the threshold if respiration had been 18 /min for 6 h",
        ),
    ),
    published=(Bounds(name="news2", low=3, high=8),),
    trust="the networks say 0.052 to 0.094; old or missing: temperature",
)


def raised(served, patient, rule, cause, why=None, name="sepsis", **more):
    now = served.ward.clock.now_ns()
    score = ScoreEvidence(name=name, version="1.0.0", low=0.0713, high=0.0713, why=why, **more)
    served.call(served.ward.signal, patient, rule, Raise(at_ns=now - MINUTE_NS, cause=cause, score=score))


@WIDTHS
def test_a_learned_warning_says_what_drives_it_what_would_clear_it_and_how_far_to_trust_it(page, served):
    raised(served, "p-03", "sepsis-risk", "sepsis score 0.071, threshold 0.063", WHY)
    page.enter(path="/patient/p-03")
    card = page.find(".card", "Sepsis risk")
    assert WHY.summary in card.text
    rows = [row.text.split("\n") for row in page.all(".why-list li")]
    assert rows[0] == [WHY.contributions[0].words, "▲ raises", "7 min old"]
    assert rows[1] == ["temperature 38.9 °C, raises the score", "▲ raises", "3 h old"]
    assert rows[2][1:] == ["▼ lowers", "fresh"]
    assert rows[3][1:] == ["· hardly matters", "never measured"]
    widths = [bar.size["width"] for bar in page.all(".why-bar")]
    assert widths[0] > widths[1] > widths[2] > 0
    assert WHY.clears[0].words in card.text
    assert "NEWS2 3 to 8" in card.text
    assert WHY.trust in card.text
    assert "threshold 0.063, model 1.0.0" in card.text
    content, window = page.width()
    assert content <= window


def test_an_explanation_that_says_little_is_shown_without_holes(page, served):
    raised(served, "p-03", "anomaly", "unlike: heart rate", Why(summary="Heart rate drifts.", threshold=0.5), "anomaly")
    page.enter(path="/patient/p-03")
    card = page.find(".card", "Heart rate drifts.")
    assert "No single change would." in card.text
    assert "How far to trust it" not in card.text
    assert "Published scores" not in card.text
    assert not any(word in card.text for word in ("null", "undefined", "NaN"))
    assert "What drives it" not in card.text


def test_a_published_score_says_its_points_with_their_values_and_what_is_missing(page, served):
    now = served.ward.clock.now_ns()
    evidence = (
        Evidence(sign="resp", value=26.0, time_ns=now - 90 * SECOND_NS, device="chest"),
        Evidence(sign="nibp_sbp", value=96.0, time_ns=now - HOUR_NS, device="cuff"),
    )
    score = ScoreEvidence(
        name="news2",
        low=5,
        high=8,
        missing=("consciousness",),
        parts={"respiration": 3.0, "systolic pressure": 2.0, "heart rate": 0.0},
    )
    told = Raise(at_ns=now - MINUTE_NS, cause="NEWS2 at least 5 (up to 8)", score=score, evidence=evidence)
    served.call(served.ward.signal, "p-03", "news2", told)
    page.enter(path="/patient/p-03")
    card = page.find(".card", "NEWS2 5 or more")
    assert "NEWS2 5 to 8" in card.text
    assert "Missing or too old: consciousness. Please observe." in card.text
    rows = [row.text for row in page.all(".why-table tbody tr")]
    assert rows == ["respiration 26 /min +3", "systolic pressure 96 mmHg (59 min old) +2"]
