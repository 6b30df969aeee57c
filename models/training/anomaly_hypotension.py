"""Hypotension in the next hour: a real, labelled event, and whether anything learned beats looking at the pressure.

An episode is a window of 30 minutes in which at least 90 % of the minute mean pressures are at or below 60 mmHg (the
definition of the PhysioNet/CinC Challenge 2009). Every five minutes while the pressure is still up (the mean of
the last ten minutes above 60 and no episode running) the question is whether one begins within the hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.training.anomaly_data import hash_share, minute_stays
from vitals import artefacts
from vitals.artefacts import Verdict
from vitals.signs import Sign

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float32]

LOW, WINDOW, SHARE, AHEAD, EVERY = 60.0, 30, 0.9, 60, 5
FEATURES: Final = (
    "map_now", "map_10", "map_60", "map_180", "lowest_60", "spread_60", "slope_10_60", "share_below_65", "sbp_10",
    "pulse_pressure_10", "hr_10", "hr_slope", "resp_10", "spo2_10",
)  # fmt: skip


def cleaned(x: Floats) -> Floats:
    """A stay without its artefacts, shape as given: (minutes, N_SIGNS)."""
    state, out = artefacts.start(1), x.copy()
    for t in range(len(x)):
        q, _, state = artefacts.judge(x[t : t + 1], np.isfinite(x[t : t + 1]), state)
        out[t, q[0] == Verdict.ARTEFACT] = np.nan
    return out


def episodes(mean: Floats) -> npt.NDArray[np.bool_]:
    """Shape (minutes,): whether an episode begins at the minute; at least 20 of its 30 minutes must be measured."""
    seen = np.isfinite(mean)
    low = (seen & (mean <= LOW)).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(low)])
    there = np.concatenate([[0], np.cumsum(seen)])
    begins = np.zeros(len(mean), bool)
    n = len(mean) - WINDOW + 1
    if n > 0:
        count, known = total[WINDOW:] - total[:-WINDOW], there[WINDOW:] - there[:-WINDOW]
        begins[:n] = (known >= 20) & (count >= SHARE * known)
    return begins


def _window(x: Floats, t: int, rows: int) -> Floats:
    return x[max(t - rows + 1, 0) : t + 1]


def _mean(x: Floats) -> float:
    return float(np.nanmean(x)) if np.isfinite(x).any() else float("nan")


def questions(stay: Floats) -> tuple[Floats, npt.NDArray[np.bool_], int]:
    """Features and answers of one cleaned stay.

    Returns:
        Shape (n, len(FEATURES)) with NaN where unknown, shape (n,), and the number of separate episodes.
    """
    mean = stay[:, Sign.MAP]
    begins = episodes(mean)
    running = np.zeros(len(mean), bool)
    for first in np.flatnonzero(begins):
        running[first : first + WINDOW] = True
    rows, answers = [], []
    for t in range(60, len(mean) - AHEAD - WINDOW, EVERY):
        ten = _mean(_window(mean, t, 10))
        if running[t] or not ten > LOW or not np.isfinite(_window(mean, t, 5)).any():
            continue
        hour = _window(mean, t, 60)
        last = _window(mean, t, 5)
        sixty = _mean(hour)
        hr = stay[:, Sign.HR]
        rows.append(
            [
                float(last[np.isfinite(last)][-1]), ten, sixty, _mean(_window(mean, t, 180)), float(np.nanmin(hour)),
                float(np.nanstd(hour)), ten - sixty, _mean((hour < 65).astype(np.float32)),
                _mean(_window(stay[:, Sign.SBP], t, 10)),
                _mean(_window(stay[:, Sign.SBP] - stay[:, Sign.DBP], t, 10)), _mean(_window(hr, t, 10)),
                _mean(_window(hr, t, 10)) - _mean(_window(hr, t, 60)), _mean(_window(stay[:, Sign.RESP], t, 10)),
                _mean(_window(stay[:, Sign.SPO2], t, 10)),
            ]
        )  # fmt: skip
        answers.append(bool(begins[t + 1 : t + 1 + AHEAD].any()))
    starts = int((np.diff(running.astype(np.int8), prepend=0) == 1).sum())
    return np.array(rows, np.float32).reshape(-1, len(FEATURES)), np.array(answers, bool), starts


def study(data: Path, folds: int = 5) -> dict[str, Any]:
    """AUROC and average precision of plain pressures and of learned models, folds by patient, with intervals.

    Returns:
        ``{"questions": n, "positive": n, "episodes": n, "models": {name: {auroc, low, high, average_precision}},
        "best_learned_minus_best_plain": [middle, low, high]}``; intervals are bootstraps over patients.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - the train extra
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415

    parts = [(p, *questions(cleaned(x))) for p, x in minute_stays(data).items()]
    parts = [p for p in parts if len(p[2])]
    x = np.concatenate([p[1] for p in parts])
    y = np.concatenate([p[2] for p in parts])
    who = np.concatenate([np.full(len(p[2]), i) for i, p in enumerate(parts)])
    fold = np.array([int(hash_share(f"hypotension-{parts[i][0]}") * folds) for i in who])
    scores = {f"{FEATURES[i]} (low is worse)": -x[:, i] for i in (0, 1, 2)}
    logistic, trees = np.zeros(len(y)), np.zeros(len(y))
    for k in range(folds):
        a, b = fold != k, fold == k
        middle = np.nanmedian(x[a], axis=0)
        filled = np.where(np.isnan(x), middle, x)
        spread = filled[a].std(axis=0) + 1e-6
        z = (filled - middle) / spread
        logistic[b] = LogisticRegression(C=0.05, max_iter=500).fit(z[a], y[a]).decision_function(z[b])
        forest = HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=8, learning_rate=0.05, random_state=0)
        trees[b] = forest.fit(x[a], y[a]).predict_proba(x[b])[:, 1]
    scores |= {"logistic": logistic, "trees": trees}
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(who == i) for i in range(len(parts))]
    draws = [np.concatenate([rows[i] for i in rng.integers(0, len(parts), len(parts))]) for _ in range(200)]
    boot = {n: np.array([roc_auc_score(y[d], s[d]) for d in draws if y[d].any()]) for n, s in scores.items()}
    models = {
        n: {
            "auroc": round(float(roc_auc_score(y, s)), 3),
            "low": round(float(np.percentile(boot[n], 2.5)), 3),
            "high": round(float(np.percentile(boot[n], 97.5)), 3),
            "average_precision": round(float(average_precision_score(y, s)), 3),
        }
        for n, s in scores.items()
    }
    plain = max((n for n in scores if "worse" in n), key=lambda n: models[n]["auroc"])
    learned = max(("logistic", "trees"), key=lambda n: models[n]["auroc"])
    difference = boot[learned] - boot[plain]
    return {
        "questions": len(y), "positive": int(y.sum()), "episodes": sum(p[3] for p in parts), "models": models,
        "best_learned_minus_best_plain": [round(float(v), 3) for v in np.percentile(difference, [50, 2.5, 97.5])],
    }  # fmt: skip
