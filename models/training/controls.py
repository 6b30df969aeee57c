"""What the networks must beat: hours of stay alone, published scores, trees.

The published scores are applied to the last value of each sign, of any age. Consciousness and oxygen are not in the
data, so these are the lower bounds of NEWS2, MEWS and qSOFA, named `-like`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitals import scores
from vitals.features import hours_of
from vitals.signs import N_MEASURES, Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.datasets import Stays

PUBLISHED = {
    "NEWS2-like": scores.NEWS2, "MEWS-like": scores.MEWS, "qSOFA-like": scores.QSOFA, "SIRS, vitals": scores.SIRS,
}  # fmt: skip
"""Name of the control -> column of `vitals.scores`."""
_COLUMNS = (Measure.RATE, Measure.SPO2, Measure.TEMP_C, Measure.SBP, Measure.MAP, Measure.DBP, Measure.RESP)


def last_known(values: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each value carried forward within its stay, without limit."""
    out = values.copy()
    begin = np.cumsum(lengths) - lengths
    for rows, who in hours_of(lengths):
        old = np.where((rows > begin[who])[:, None], out[np.maximum(rows - 1, 0)], np.nan)
        out[rows] = np.where(np.isnan(out[rows]), old, out[rows])
    return out


def published(stays: Stays) -> dict[str, NDArray[np.float64]]:
    """Every published score for every hour: the lower bound of `vitals.scores` on the last known values."""
    known = last_known(stays.values[:, : len(_COLUMNS)], stays.lengths)
    value = np.full((len(known), N_MEASURES), np.nan)
    value[:, list(_COLUMNS)] = known
    low = scores.score(value, np.ones(len(value), np.int64)).low
    return {name: low[:, column].astype(np.float64) for name, column in PUBLISHED.items()}


def trees(features: NDArray[np.float32], label: NDArray[np.bool_], *, seed: int = 0, rounds: int = 200) -> object:
    """Gradient-boosted trees on the same features, no time: the strongest baseline of the table of old.

    Returns:
        A fitted scikit-learn classifier; `predict_proba(features)[:, 1]` is its score.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - the train extra

    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=rounds, max_leaf_nodes=31, min_samples_leaf=300, l2_regularization=10.0,
        max_features=0.5, random_state=seed,
    )  # fmt: skip
    return model.fit(features, label)
