"""What the networks must beat: hours of stay alone, published scores, trees.

The published tables (CLINICAL section 2) are applied to the last value of each sign, of any age. Consciousness and
oxygen are not in the data and count 0, so these are the lower bounds of NEWS2, MEWS and qSOFA, named `-like`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.training.datasets import Stays
from vitals.features import hours_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Columns of the frame: rate spo2 temp_c sbp map dbp resp. Each row: points of a value below the first edge, from the
# first edge on, from the second on, and so on. Values are rounded half up first, temperature to 0.1.
_Bands = dict[int, tuple[tuple[float, ...], tuple[int, ...]]]
NEWS2: _Bands = {
    6: ((9, 12, 21, 25), (3, 1, 0, 2, 3)),
    1: ((92, 94, 96), (3, 2, 1, 0)),
    3: ((91, 101, 111, 220), (3, 2, 1, 0, 3)),
    0: ((41, 51, 91, 111, 131), (3, 1, 0, 1, 2, 3)),
    2: ((35.1, 36.1, 38.1, 39.1), (3, 1, 0, 1, 2)),
}
MEWS: _Bands = {
    3: ((71, 81, 101, 200), (3, 2, 1, 0, 2)),
    0: ((41, 51, 101, 111, 130), (2, 1, 0, 1, 2, 3)),
    6: ((9, 15, 21, 30), (2, 0, 1, 2, 3)),
    2: ((35.0, 38.5), (2, 0, 2)),
}
QSOFA: _Bands = {6: ((22,), (0, 1)), 3: ((101,), (1, 0))}
SIRS: _Bands = {2: ((36.0, 38.1), (1, 0, 1)), 0: ((91,), (0, 1)), 6: ((21,), (0, 1))}
PUBLISHED = {"NEWS2-like": NEWS2, "MEWS-like": MEWS, "qSOFA-like": QSOFA, "SIRS, vitals": SIRS}


def last_known(values: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each value carried forward within its stay, without limit."""
    out = values.copy()
    begin = np.cumsum(lengths) - lengths
    for rows, who in hours_of(lengths):
        old = np.where((rows > begin[who])[:, None], out[np.maximum(rows - 1, 0)], np.nan)
        out[rows] = np.where(np.isnan(out[rows]), old, out[rows])
    return out


def published(table: _Bands, stays: Stays) -> NDArray[np.float64]:
    """A published score for every hour; a sign never measured gives 0 points."""
    known = last_known(stays.values[:, :7], stays.lengths)
    total = np.zeros(len(known))
    for column, (edges, points) in table.items():
        step = 0.1 if column == 2 else 1.0
        rounded = np.floor(known[:, column].astype(np.float64) / step + 0.5) * step
        band = np.asarray(points)[np.searchsorted(np.asarray(edges) - 1e-6, rounded, side="right")]
        total += np.where(np.isnan(rounded), 0, band)
    return total


def trees(
    features: NDArray[np.float32], label: NDArray[np.bool_], *, seed: int = 0, rounds: int = 200
) -> object:
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
