"""An artifact, as it is served, beside its controls on the same patients."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.sepsis_model import SepsisModel
from models.sepsis_recording import score_stays
from models.training.alerts import AlertRule, Tally, alerts_of, judge, threshold_for
from models.training.calibrate import expected_error
from models.training.controls import published, trees
from models.training.datasets import Stays, load, split_of
from models.training.metrics import Ranking
from models.training.utility import hours_from_onset, utility
from vitals.features import VITALS, FeatureSettings, feature_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

BUDGETS = (0.3, 1.0)
SWEEP = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
AGE_BANDS = ((0, 45), (45, 65), (65, 80), (80, 200))


@dataclass(frozen=True, slots=True)
class Curves:
    """What the report draws; points (x, y) by name of the score."""

    roc: dict[str, list[tuple[float, float]]]
    precision: dict[str, list[tuple[float, float]]]
    calibration: list[tuple[float, float]]
    utility: list[tuple[float, float]]
    """Share of hours above a threshold, utility."""
    budget: dict[str, list[tuple[float, float]]]
    """Alerts per patient-day, sensitivity."""
    leads_h: list[float]
    """Hours from the first true alert to the onset, at the artifact's threshold."""


def evaluate_stays(
    artifact: Path, data: Path, *, split: str = "test", hospital: str = "", bootstraps: int = 500,
    with_trees: bool = True, against: Path | None = None,
) -> tuple[dict[str, Any], Curves]:  # fmt: skip
    """Score stays with the artifact and its controls.

    Args:
        artifact: Folder.
        data: Folder of recordings or a Parquet file with the challenge's columns.
        split: A split's name, or `all`.
        hospital: Only this one's patients; all when empty.
        bootstraps: Samples of patients for 95 % intervals.
        with_trees: Fit trees on the training split as a control (minutes).
        against: Folder of another artifact to compare with, on the same patients and at equal alert rates.

    Returns:
        Numbers for JSON, and curves.
    """
    model = SepsisModel(artifact)
    other = None if against is None else SepsisModel(against)
    width = len(model.settings.inputs)
    everyone = load(data, labs=max(width, len(other.settings.inputs) if other else 0) > len(VITALS))
    part = split_of(everyone.patient)
    keep = (part == split) | (split == "all")
    stays = everyone.pick(keep & ((everyone.hospital == hospital) | (not hospital)))
    hour = score_stays(model, stays.values[:, :width], stays.lengths, stays.static)
    scores = {"network": hour.score}
    if other is not None:
        scores[_title(other)] = score_stays(
            other, stays.values[:, : len(other.settings.inputs)], stays.lengths, stays.static
        ).score
    scores |= {"time only": stays.hour.astype(np.float64)}
    scores |= published(stays)
    if with_trees and (part == "train").any():
        scores["trees"] = _trees(model, everyone, part, stays)
    weights = _resamples(stays, bootstraps)
    validation = everyone.pick((part == "validation") & _fitted_on(model, everyone))
    rule = AlertRule(model.head.threshold, model.head.clear, model.head.refractory_h)
    numbers: dict[str, Any] = {
        "artifact": model.artifact.manifest.name, "version": model.artifact.manifest.version,
        "patients": len(stays.lengths), "septic": int(_septic(stays).sum()), "hours": len(stays.label),
        "split": split, "hospital": hospital or "all", "bootstraps": bootstraps,
        "scores": {name: _ranked(s, stays, weights) for name, s in scores.items()},
        "at_equal_alerts": {f"{b:g}": {n: _equal(s, stays, b, weights) for n, s in scores.items()} for b in BUDGETS},
        "versus_news2": _versus(scores, "NEWS2-like", stays, weights),
        "against": None if other is None else _against(scores, _title(other), stays, weights),
        "at_threshold": _at_threshold(hour.score, stays, rule, weights),
        "ece": expected_error(hour.score, stays.label),
        "utility": _utilities(model, scores, stays, validation),
        "not_assessable": _abstention(hour.score, hour.assessable, stays, rule),
        "subgroups": _subgroups(hour.score, stays, rule, weights),
    }  # fmt: skip
    return _plain(numbers), _curves(scores, stays, rule)


def _fitted_on(model: SepsisModel, stays: Stays) -> NDArray[np.bool_]:
    """Patients of the hospital that the artifact was fitted on; everybody when it was fitted on both."""
    only = model.artifact.manifest.trained.get("settings", {}).get("hospital", "")
    return np.asarray((stays.hospital == only) | (not only))


def _septic(stays: Stays) -> NDArray[np.bool_]:
    return np.asarray(np.logical_or.reduceat(stays.label, stays.begin))


def _resamples(stays: Stays, n: int) -> list[Scores]:
    """How often each patient counts in each bootstrap sample."""
    rng = np.random.default_rng(2019)
    size = len(stays.lengths)
    return [np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64) for _ in range(n)]


def interval(value: float, samples: list[float]) -> list[float]:
    """[value, lower, upper]: 95 % of the bootstrap's samples."""
    good = [s for s in samples if not math.isnan(s)]
    if not good:
        return [value, float("nan"), float("nan")]
    low, high = np.quantile(good, [0.025, 0.975])
    return [value, float(low), float(high)]


def _trees(model: SepsisModel, everyone: Stays, part: NDArray[np.str_], stays: Stays) -> Scores:
    """Trees on the artifact's features, fitted on the patients the artifact was fitted on."""
    train = everyone.pick((part == "train") & _fitted_on(model, everyone))

    def rows(s: Stays, settings: FeatureSettings) -> NDArray[np.float32]:
        return feature_table(s.values[:, : len(settings.inputs)], s.lengths, s.static, settings)

    fitted: Any = trees(rows(train, model.settings), train.label)
    return np.asarray(fitted.decision_function(rows(stays, model.settings)), np.float64)


def _ranked(score: Scores, stays: Stays, weights: list[Scores]) -> dict[str, list[float]]:
    matched = Ranking(score, stays.label, stays.hour)
    flat = Ranking(score, stays.label, np.zeros_like(stays.hour))
    owner = stays.owner

    def both(measure: Callable[[Scores | None], float]) -> list[float]:
        return interval(measure(None), [measure(w[owner]) for w in weights])

    return {"hm": both(matched.auroc), "auroc": both(flat.auroc), "auprc": both(flat.auprc)}


def _untied(score: Scores, stays: Stays) -> Scores:
    """Ties of integer scores broken by a number for each patient, so that a budget can be met exactly.

    By patient and not by hour: a score that flickers by chance would alert more often than it should.
    """
    if len(np.unique(score)) > 1000:
        return score
    return score + np.random.default_rng(7).random(len(stays.lengths))[stays.owner] * 0.5


def _equal(score: Scores, stays: Stays, budget: float, weights: list[Scores]) -> dict[str, Any]:
    """What a score buys at an alert rate met on these very patients, refractory time 6 h, no hysteresis."""
    s = _untied(score, stays)
    alert = alerts_of(s, stays.lengths, threshold_for(s, stays.lengths, budget))
    return _alert_intervals(alert, stays, weights)


def _alert_intervals(alert: NDArray[np.bool_], stays: Stays, weights: list[Scores]) -> dict[str, list[float]]:
    tally = Tally(alert, stays.label, stays.lengths)
    samples = [tally.numbers(w) for w in weights]
    return {k: interval(v, [getattr(x, k) for x in samples]) for k, v in asdict(tally.numbers()).items()}


def _title(model: SepsisModel) -> str:
    return f"{model.artifact.manifest.name} {model.artifact.manifest.version}"


def _against(scores: dict[str, Scores], other: str, stays: Stays, weights: list[Scores]) -> dict[str, Any]:
    """Another artifact on the same patients: hm less its own, and alerts as multiples of its own at equal rates."""
    owner = stays.owner
    ours, theirs = (Ranking(scores[name], stays.label, stays.hour) for name in ("network", other))
    paired = [ours.auroc(w[owner]) - theirs.auroc(w[owner]) for w in weights]
    return {
        "name": other,
        "hm_difference": interval(ours.auroc() - theirs.auroc(), paired),
        "at_equal_alerts": {f"{b:g}": _versus(scores, other, stays, weights, b) for b in BUDGETS},
    }


def _versus(
    scores: dict[str, Scores], other: str, stays: Stays, weights: list[Scores], budget: float = 0.3
) -> dict[str, Any]:
    """Precision and sensitivity as multiples of another score's at the same alert rate, with paired intervals."""
    tallies = []
    for name in ("network", other):
        s = _untied(scores[name], stays)
        alert = alerts_of(s, stays.lengths, threshold_for(s, stays.lengths, budget))
        tallies.append(Tally(alert, stays.label, stays.lengths))

    def ratio(what: str, weight: Scores | None) -> float:
        ours, theirs = (tally.numbers(weight) for tally in tallies)
        below = float(getattr(theirs, what))
        return float(getattr(ours, what)) / below if below else float("nan")

    return {
        what: interval(ratio(what, None), [ratio(what, w) for w in weights]) for what in ("precision", "sensitivity")
    }


def _at_threshold(score: Scores, stays: Stays, rule: AlertRule, weights: list[Scores]) -> dict[str, Any]:
    """The artifact's own rule, and its hourly decisions."""
    alert = alerts_of(score, stays.lengths, rule)
    high = score >= rule.threshold
    hits = float((high & stays.label).sum())
    precision, recall = hits / max(high.sum(), 1), hits / max(stays.label.sum(), 1)
    return {
        "threshold": rule.threshold,
        "alerts": _alert_intervals(alert, stays, weights),
        "hourly": {
            "accuracy": float((high == stays.label).mean()), "precision": precision, "recall": recall,
            "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        },
    }  # fmt: skip


def _utility_levels(score: Scores, stays: Stays) -> tuple[list[float], list[float]]:
    """Utility of hourly decisions at forty thresholds."""
    levels = [float(v) for v in np.unique(np.quantile(score, np.linspace(0.5, 0.999, 40)))]
    return levels, [utility(score >= level, stays.label, stays.lengths) for level in levels]


def _utilities(model: SepsisModel, scores: dict[str, Scores], stays: Stays, validation: Stays) -> dict[str, Any]:
    """Utility at a threshold chosen on validation patients; on the same patients where there are none (and says so)."""
    chosen_on = "validation" if len(validation.lengths) else "these patients"
    elsewhere = dict(scores)
    if len(validation.lengths):
        v = validation
        inputs = v.values[:, : len(model.settings.inputs)]
        elsewhere = {"network": score_stays(model, inputs, v.lengths, v.static).score}
        elsewhere |= {"time only": v.hour.astype(np.float64)}
        elsewhere |= published(v)
    out: dict[str, Any] = {"threshold_chosen_on": chosen_on}
    for name, there in elsewhere.items():
        levels, got = _utility_levels(there, validation if len(validation.lengths) else stays)
        level = levels[int(np.argmax(got))]
        out[name] = utility(scores[name] >= level, stays.label, stays.lengths)
    return out


def _abstention(score: Scores, fine: NDArray[np.bool_], stays: Stays, rule: AlertRule) -> dict[str, Any]:
    """What the *not assessable* rule does: how often, to whom, and what the score is worth there."""
    t = hours_from_onset(stays.label, stays.lengths)
    window = (t >= -12) & (t <= 3)

    def hm(rows: NDArray[np.bool_]) -> float:
        return Ranking(score[rows], stays.label[rows], stays.hour[rows]).auroc() if rows.any() else float("nan")

    silent = judge(alerts_of(np.where(fine, score, np.nan), stays.lengths, rule), stays.label, stays.lengths)
    return {
        "share_of_hours": float((~fine).mean()), "share_of_septic_window": float((~fine)[window].mean()),
        "hm_assessable": hm(fine), "hm_not_assessable": hm(~fine), "alerts_when_abstaining": asdict(silent),
    }  # fmt: skip


def _subgroups(score: Scores, stays: Stays, rule: AlertRule, weights: list[Scores]) -> dict[str, Any]:
    age, sex = stays.static.T
    groups = {f"hospital {h}": stays.hospital == h for h in np.unique(stays.hospital)}
    groups |= {"women": sex == 0, "men": sex == 1}
    groups |= {f"age {a}-{b - 1}" if b < 200 else f"age {a}+": (age >= a) & (age < b) for a, b in AGE_BANDS}
    out = {}
    for name, who in groups.items():
        if who.sum() < 20:
            continue
        rows = np.repeat(who, stays.lengths)
        part, inside = stays.pick(who), [w[who] for w in weights[:200]]
        numbers: dict[str, Any] = {**_ranked(score[rows], part, inside)}
        numbers["ece"] = expected_error(score[rows], part.label)
        numbers["alerts"] = asdict(judge(alerts_of(score[rows], part.lengths, rule), part.label, part.lengths))
        out[name] = {"patients": int(who.sum()), "septic": int(_septic(part).sum()), **numbers}
    return out


def _curves(scores: dict[str, Scores], stays: Stays, rule: AlertRule) -> Curves:
    roc, precision, budget = {}, {}, {}
    for name, score in scores.items():
        order = np.argsort(-score, kind="stable")
        y = stays.label[order]
        hits, false = np.cumsum(y), np.cumsum(~y)
        at = np.unique(np.linspace(0, len(y) - 1, 150).astype(int))
        roc[name] = [(float(false[i] / false[-1]), float(hits[i] / hits[-1])) for i in at]
        at = np.unique(np.geomspace(200, len(y) - 1, 80).astype(int))
        precision[name] = [(float(hits[i] / hits[-1]), float(hits[i] / (i + 1))) for i in at]
        if name not in {"time only", "MEWS-like", "qSOFA-like", "SIRS, vitals"}:
            points = []
            for rate in SWEEP:
                s = _untied(score, stays)
                alert = alerts_of(s, stays.lengths, threshold_for(s, stays.lengths, rate))
                found = judge(alert, stays.label, stays.lengths)
                points.append((found.per_day, found.sensitivity))
            budget[name] = points
    score = scores["network"]
    parts = np.array_split(np.argsort(score, kind="stable"), 20)
    levels, worth = _utility_levels(score, stays)
    t = hours_from_onset(stays.label, stays.lengths)
    alert = alerts_of(score, stays.lengths, rule) & (t >= -12) & (t <= 3)
    lead = np.maximum.reduceat(np.where(alert, -t, -np.inf), stays.begin)
    return Curves(
        roc=roc, precision=precision,
        calibration=[(float(score[i].mean()), float(stays.label[i].mean())) for i in parts],
        utility=[(float((score >= level).mean()), u) for level, u in zip(levels, worth, strict=True)], budget=budget,
        leads_h=[float(v) for v in lead[np.isfinite(lead)]],
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """Rounded to six digits, numpy turned into Python, NaN into null: JSON that everyone can read."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    return value
