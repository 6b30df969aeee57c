"""Counts what an anomaly detector finds and how often it cries wolf, on stretches of patients it was not fitted on.

The rules of the count, the same for every detector:

* A stretch is 12 hours of one patient. Every event goes into a copy of its own; the untouched stretch gives the false
  alerts.
* An alert is a row whose score reaches the threshold when none was given in the `refractory` rows before. An event is
  found if an alert falls inside it: no tolerance around it, and never the point-adjusted count, which calls a whole
  event found by one lucky row and lifts a random score to .48.
* The threshold of a budget is the lowest that gives at most that many alerts a patient-day on the untouched
  stretches, for each detector by itself, so all are compared at equal alert rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.training.injections import KINDS, MINUTE, Event, NoRoomError, Plan, Sizes, inject
from vitals.signs import Sign

if TYPE_CHECKING:
    from collections.abc import Mapping

Floats = npt.NDArray[np.float32]

STRETCH: Final = 720
BUDGETS: Final = (0.5, 2.0)
REFRACTORY: Final = 60
ROWS_A_DAY: Final = 1440
_MAIN = [Sign.HR, Sign.SPO2, Sign.RESP, Sign.SBP, Sign.DBP, Sign.MAP]


@dataclass(frozen=True, slots=True)
class Bench:
    """Stretches with and without events."""

    x: Floats
    """Shape (n, rows, N_SIGNS): the untouched stretches first, then one copy per event."""
    patient: list[str]
    """Shape (n,): whose stretch."""
    event: list[Event | None]
    """Shape (n,): None for the untouched."""
    seed: npt.NDArray[np.int64]
    """Shape (n,): seed of the injection, -1 for the untouched."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How the rows of a grid count in time; the defaults are minutes."""

    refractory: int = REFRACTORY
    """Rows without a second alert."""
    a_day: int = ROWS_A_DAY
    """Rows of a day."""


def stretches_of(x: Floats, rows: int = STRETCH, most: int | None = None, least_seen: float = 0.7) -> list[Floats]:
    """Cut one stay into stretches without overlap; those where too little was measured are left out.

    Args:
        x: Shape (minutes, N_SIGNS).
        rows: Length of a stretch.
        most: At most this many, spread evenly over the stay.
        least_seen: A stretch needs heart rate and three more main signs in this share of its rows.

    Returns:
        Arrays of shape (rows, N_SIGNS).
    """
    cut = [x[i : i + rows] for i in range(0, len(x) - rows + 1, rows)]
    seen = [np.isfinite(c[:, _MAIN]).mean(axis=0) >= least_seen for c in cut]
    good = [c for c, s in zip(cut, seen, strict=True) if s[0] and s.sum() >= 4]
    if most is not None and len(good) > most:
        good = [good[i] for i in np.linspace(0, len(good) - 1, most).astype(int)]
    return good


def build(
    stays: Mapping[str, Floats], sizes: Sizes, seeds: int = 5, most: int = 8, plan: Plan = MINUTE, *,
    stretch: int = STRETCH, least_seen: float = 0.7,
) -> Bench:  # fmt: skip
    """Make the bench: every stretch untouched, and for every seed one copy per kind of event.

    Args:
        stays: Minutes of each patient, shape (minutes, N_SIGNS).
        sizes: From the patients a detector is fitted on.
        seeds: How many independent injections.
        most: Stretches of one patient, so that a stay of weeks does not own the result.
        plan: Sizes of the events.
        stretch: Rows of a stretch.
        least_seen: As in `stretches_of`.
    """
    base = [(p, s) for p, x in stays.items() for s in stretches_of(x, stretch, most, least_seen)]
    x, who, events, seed_of = [s for _, s in base], [p for p, _ in base], [None] * len(base), [-1] * len(base)
    found: list[Event | None] = list(events)
    for seed in range(seeds):
        for number, (patient, whole) in enumerate(base):
            for k, kind in enumerate(KINDS):
                rng = np.random.default_rng([seed, number, k])
                try:
                    copy, event = inject(whole, kind, sizes, rng, plan)
                except NoRoomError:
                    continue
                x.append(copy)
                who.append(patient)
                found.append(event)
                seed_of.append(seed)
    return Bench(np.stack(x), who, found, np.array(seed_of))


def alerts(score: Floats, threshold: float, refractory: int = REFRACTORY) -> npt.NDArray[np.bool_]:
    """Where alerts are given: shape (n, rows), true at the row of each. NaN never alerts."""
    n, rows = score.shape
    out = np.zeros((n, rows), bool)
    free = np.zeros(n, np.int64)
    over = np.nan_to_num(score, nan=-np.inf) >= threshold
    for t in range(rows):
        fire = over[:, t] & (free <= t)
        out[:, t] = fire
        free[fire] = t + refractory
    return out


def threshold_for(clean: Floats, per_day: float, refractory: int = REFRACTORY, rows_a_day: int = ROWS_A_DAY) -> float:
    """The lowest threshold with at most `per_day` alerts a patient-day on stretches without events.

    Args:
        clean: Shape (n, rows), scores; rows that are NaN count as no time watched.
        per_day: The budget.
        refractory: Rows without a second alert.
        rows_a_day: Rows of a day.
    """
    days = np.isfinite(clean).sum() / rows_a_day
    values = np.unique(clean[np.isfinite(clean)])
    low, high = 0, len(values)  # the answer is values[high], or above all of them
    while low < high:
        middle = (low + high) // 2
        if alerts(clean, float(values[middle]), refractory).sum() <= per_day * days:
            high = middle
        else:
            low = middle + 1
    return float(values[low]) if low < len(values) else float(np.inf)


def hits(score: Floats, bench: Bench, threshold: float, refractory: int = REFRACTORY) -> npt.NDArray[np.bool_]:
    """Shape (n,): whether an alert fell inside the row's event; false for the untouched."""
    fired = alerts(score, threshold, refractory)
    return np.array([e is not None and bool(fired[i, e.start : e.stop].any()) for i, e in enumerate(bench.event)])


def recall_table(
    score: Floats, bench: Bench, budgets: tuple[float, ...] = BUDGETS, rows: Rows | None = None
) -> dict[str, dict[str, list[float]]]:  # fmt: skip
    """Recall of each kind at each budget, with a 95 % interval.

    The interval is a bootstrap over patients (events of one patient are not independent), 400 draws, all seeds pooled;
    the threshold stays.

    Returns:
        ``{"0.5": {"spike": [recall, low, high, sd over seeds], ...}, ...}``
    """
    rows = rows or Rows()
    clean = np.array([e is None for e in bench.event])
    kinds = np.array(["" if e is None else e.kind for e in bench.event])
    who, number = np.unique(bench.patient, return_inverse=True)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(who), (400, len(who)))
    weights = np.stack([np.bincount(d, minlength=len(who)) for d in draws])  # (400, patients)
    out: dict[str, dict[str, list[float]]] = {}
    for budget in budgets:
        hit = hits(score, bench, threshold_for(score[clean], budget, rows.refractory, rows.a_day), rows.refractory)
        row: dict[str, list[float]] = {}
        for kind in [k for k in KINDS if (kinds == k).any()]:
            of = kinds == kind
            got = np.bincount(number[of], hit[of], len(who))
            all_ = np.bincount(number[of], minlength=len(who))
            boot = (weights @ got) / np.maximum(weights @ all_, 1)
            seeds = [hit[of & (bench.seed == s)].mean() for s in np.unique(bench.seed[of])]
            low, high = np.percentile(boot, [2.5, 97.5])
            row[kind] = [float(hit[of].mean()), float(low), float(high), float(np.std(seeds))]
        row["mean"] = [float(np.mean([r[0] for r in row.values()])), 0.0, 0.0, 0.0]
        out[str(budget)] = row
    return out
