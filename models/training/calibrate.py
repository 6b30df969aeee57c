"""Log-odds -> share of hours that were septic: isotonic, as a table that straight lines can join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def isotonic(x: Floats, y: Floats, weight: Floats) -> Floats:
    """Rising step function nearest to `y` in weighted squares (pool adjacent violators).

    Example: y 1 0 1 with weights 1 1 1 gives 0.5 0.5 1.

    Args:
        x: Shape (n,), rising.
        y: Shape (n,).
        weight: Shape (n,), positive.

    Returns:
        Shape (n,), never falling.
    """
    del x  # only its order matters
    value: list[float] = []
    mass: list[float] = []
    size: list[int] = []
    for yi, wi in zip(y, weight, strict=True):
        v, m, k = float(yi), float(wi), 1
        while value and value[-1] >= v:
            v = (value[-1] * mass[-1] + v * m) / (mass[-1] + m)
            m += mass.pop()
            k += size.pop()
            value.pop()
        value.append(v)
        mass.append(m)
        size.append(k)
    return np.repeat(np.asarray(value), size)


def calibration_table(logit: Floats, label: Flags, bins: int = 60) -> tuple[tuple[float, float], ...]:
    """Fit the table of `models.sepsis.SepsisHead.calibration`.

    Hours are gathered in bins of equal number, the top ones finer (that is where alerts are decided), then made to
    rise. A rise of a millionth for each bin keeps different log-odds different: a table with flat parts would tie
    hours that the network ranks.

    Args:
        logit: Shape (n_hours,), of validation patients.
        label: Shape (n_hours,).
        bins: Number of bins.

    Returns:
        Pairs (log-odds, score); the first and the last lie beyond the data, so that extremes keep their order.
    """
    order = np.argsort(logit, kind="stable")
    z, y = logit[order], label[order].astype(np.float64)
    share = 1 - np.geomspace(1, 0.002, bins + 1)
    edges = np.unique(np.r_[(share / share[-1] * len(z)).astype(int)])
    center = np.add.reduceat(z, edges[:-1]) / np.diff(edges)
    rate = np.add.reduceat(y, edges[:-1]) / np.diff(edges)
    risen = isotonic(center, rate, np.diff(edges).astype(np.float64))
    # Join the middles of the flat parts instead of their ends: steps would make the score jump at arbitrary places.
    start = np.flatnonzero(np.r_[True, risen[1:] > risen[:-1]])
    mass = np.diff(edges).astype(np.float64)
    x = np.add.reduceat(center * mass, start) / np.add.reduceat(mass, start)
    p = np.clip(risen[start], 1e-5, 0.999)
    tail = max(float(z[-1] - x[-1]), 1.0) + 2.0
    x = np.r_[x[0] - 6.0, x, x[-1] + tail]
    top = 1 / (1 + np.exp(-(np.log(p[-1] / (1 - p[-1])) + tail / 2)))
    p = np.r_[p[0] * 0.1, p, top]
    p = np.maximum.accumulate(p) + np.arange(len(p)) * 1e-6
    return tuple((round(float(a), 5), round(float(b), 7)) for a, b in zip(x, p, strict=True))


def expected_error(score: Floats, label: Flags, bins: int = 20) -> float:
    """Expected calibration error: mean distance of score and share, over bins of equal number."""
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, bins)
    return float(sum(abs(score[i].mean() - label[i].mean()) * len(i) for i in parts) / len(score))
