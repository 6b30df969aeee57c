"""Hour-matched AUROC, AUROC and AUPRC; weighted, so that each sample of a bootstrap by patient costs one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Flags = NDArray[np.bool_]


class Ranking:
    """Scores sorted once within groups; areas under any weights afterwards.

    Args:
        score: Shape (n,), higher is worse.
        label: Shape (n,).
        group: Shape (n,): only pairs within a group are compared. Hours of stay give the hour-matched AUROC.
    """

    def __init__(self, score: Scores, label: Flags, group: NDArray[np.int64]) -> None:
        self._order = np.lexsort((score, group))
        s, g = score[self._order], group[self._order]
        self._positive = label[self._order]
        new_group = np.r_[True, g[1:] != g[:-1]]
        self._tie = np.flatnonzero(new_group | np.r_[True, s[1:] != s[:-1]])
        self._group = np.flatnonzero(new_group)
        self._group_of_tie = np.cumsum(new_group)[self._tie] - 1

    def auroc(self, weight: Scores | None = None) -> float:
        """Share of pairs (positive, negative) of a group that are ranked right, ties half.

        Args:
            weight: Shape (n,), how often each row counts; once when absent.

        Returns:
            The share over the pairs of all groups; NaN without any pair.
        """
        w = np.ones(len(self._order)) if weight is None else weight[self._order]
        positive = np.add.reduceat(np.where(self._positive, w, 0.0), self._tie)
        negative = np.add.reduceat(np.where(self._positive, 0.0, w), self._tie)
        below = np.cumsum(negative) - negative
        tie_of_group = np.searchsorted(self._tie, self._group)
        in_group = below - below[tie_of_group][self._group_of_tie]
        right = float((positive * (in_group + 0.5 * negative)).sum())
        both = np.add.reduceat(positive, tie_of_group) * np.add.reduceat(negative, tie_of_group)
        pairs = float(both.sum())
        return right / pairs if pairs else float("nan")

    def auprc(self, weight: Scores | None = None) -> float:
        """Area under precision and recall (as average precision), of a ranking with one group."""
        w = np.ones(len(self._order)) if weight is None else weight[self._order]
        positive = np.add.reduceat(np.where(self._positive, w, 0.0), self._tie)[::-1]
        everyone = np.add.reduceat(w, self._tie)[::-1]
        total = positive.sum()
        if not total:
            return float("nan")
        precision = np.cumsum(positive) / np.maximum(np.cumsum(everyone), 1e-12)
        return float((precision * positive).sum() / total)


def hm_auroc(score: Scores, label: Flags, hour: NDArray[np.int64]) -> float:
    """Hour-matched AUROC.

    Of all pairs of a positive and a negative hour at the same hour of stay, over all hours, the share ranked right,
    ties half. Hours of stay alone score 0.5 by construction.

    Example: scores .9 (septic, hour 5), .1 (well, hour 5), .95 (well, hour 6) give 1.0: the last has no partner.
    """
    return Ranking(score, label, hour).auroc()


def auroc(score: Scores, label: Flags) -> float:
    """Area under the ROC curve over all hours, ties half."""
    return Ranking(score, label, np.zeros(len(score), np.int64)).auroc()


def auprc(score: Scores, label: Flags) -> float:
    """Average precision over all hours."""
    return Ranking(score, label, np.zeros(len(score), np.int64)).auprc()
