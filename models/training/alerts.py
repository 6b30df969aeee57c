"""From scores to alerts: threshold, hysteresis, refractory time; what an alert budget buys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.training.utility import FIRST_H, LAST_H, hours_from_onset
from vitals.features import hours_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a score becomes an alert."""

    threshold: float
    """An alert needs this score or more."""
    clear: float
    """The score must fall below this before a further alert by crossing; equal to `threshold`: no hysteresis."""
    refractory_h: int = 6
    """No further alert within these hours. A score that stays high alerts again after them: nobody may forget it."""


def alerts_of(score: NDArray[np.float64], lengths: NDArray[np.int64], rule: AlertRule) -> NDArray[np.bool_]:
    """Hours in which an alert is raised.

    Example: threshold 5, clear 4, refractory 6: scores 5 4.5 5 3 5 5 5 alert in hour 0 (crossing) and hour 6 (six hours
    later, still high); hour 4 crosses again but lies within the six hours.

    Args:
        score: Shape (n_hours,), stays laid end to end; NaN never alerts.
        lengths: Shape (n_patients,).
        rule: The rule.
    """
    out = np.zeros(len(score), bool)
    since = np.full(len(lengths), 10**6)
    on = np.zeros(len(lengths), bool)
    for rows, who in hours_of(lengths):
        s = score[rows]
        since[who] += 1
        holds = np.where(on[who], s >= rule.clear, s >= rule.threshold)
        alert = holds & (s >= rule.threshold) & (since[who] >= rule.refractory_h)
        on[who] = holds
        since[who] = np.where(alert, 0, since[who])
        out[rows] = alert
    return out


@dataclass(frozen=True, slots=True)
class AlertNumbers:
    """What the alerts of a rule were worth. An alert is true from 12 h before to 3 h after the onset."""

    per_day: float
    """Alerts per patient-day."""
    precision: float
    """Share of alerts that are true."""
    sensitivity: float
    """Share of patients with sepsis who had a true alert."""
    before_onset: float
    """Share of patients with sepsis who had a true alert before the onset."""
    lead_h: float
    """Median hours from the first true alert to the onset, of those who had one before it; NaN if none."""


class Tally:
    """Alerts counted by patient once, so that a bootstrap by patient only weighs the counts.

    Args:
        alert: Shape (n_hours,).
        label: Shape (n_hours,).
        lengths: Shape (n_patients,).
    """

    def __init__(self, alert: NDArray[np.bool_], label: NDArray[np.bool_], lengths: NDArray[np.int64]) -> None:
        t = hours_from_onset(label, lengths)
        begin = np.cumsum(lengths) - lengths
        true = alert & (t >= FIRST_H) & (t <= LAST_H)
        self._lengths = lengths
        self._count = np.add.reduceat(alert, begin, dtype=np.int64)
        self._right = np.add.reduceat(true, begin, dtype=np.int64)
        self._septic = np.logical_or.reduceat(label, begin)
        self._lead = np.maximum.reduceat(np.where(true, -t, -np.inf), begin)

    def numbers(self, weight: NDArray[np.float64] | None = None) -> AlertNumbers:
        """What the alerts were worth.

        Args:
            weight: Shape (n_patients,), how often each patient counts; once when absent.
        """
        w = np.ones(len(self._lengths)) if weight is None else weight
        early = self._septic & (self._lead > 0)
        total, sick = float(self._count @ w), float(w[self._septic].sum())
        leads = np.repeat(self._lead[early], w[early].astype(np.int64))
        return AlertNumbers(
            per_day=total / float(self._lengths @ w) * 24,
            precision=float(self._right @ w) / total if total else float("nan"),
            sensitivity=float(w[self._septic & (self._right > 0)].sum()) / sick if sick else float("nan"),
            before_onset=float(w[early].sum()) / sick if sick else float("nan"),
            lead_h=float(np.median(leads)) if len(leads) else float("nan"),
        )


def judge(alert: NDArray[np.bool_], label: NDArray[np.bool_], lengths: NDArray[np.int64]) -> AlertNumbers:
    """Count alerts, every patient once; see `Tally`."""
    return Tally(alert, label, lengths).numbers()


def threshold_for(
    score: NDArray[np.float64], lengths: NDArray[np.int64], per_day: float, *, clear_share: float = 1.0,
    refractory_h: int = 6,
) -> AlertRule:  # fmt: skip
    """Find the lowest threshold that stays within an alert budget.

    Args:
        score: Of validation patients.
        lengths: Of theirs.
        per_day: Alerts per patient-day.
        clear_share: Clear level as a share of the threshold.
        refractory_h: As in `AlertRule`.
    """
    levels = np.unique(score[~np.isnan(score)])
    low, high = 0, len(levels) - 1
    days = lengths.sum() / 24
    while low < high:
        middle = (low + high) // 2
        rule = AlertRule(float(levels[middle]), float(levels[middle]) * clear_share, refractory_h)
        if alerts_of(score, lengths, rule).sum() / days > per_day:
            low = middle + 1
        else:
            high = middle
    return AlertRule(float(levels[low]), float(levels[low]) * clear_share, refractory_h)
