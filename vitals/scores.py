"""Published early-warning scores as their tables say: NEWS2, MEWS, qSOFA and the vital part of SIRS.

A missing input is never taken as normal. It widens the score to an interval: `low` counts the fewest points it could
give, `high` the most. Where nothing is missing, both are the score.

Every chart is printed in whole numbers (temperature in tenths), so a value is rounded to its chart's step first, half
up on the decimal value: 35.04 is charted as 35.0, a pulse of 90.5 as 91. Rounding and comparing is one comparison
with the value halfway below the band: charted as 38.1 or more is the same as 38.05 or more. That is exact for binary
floats too: 38.05 is read as the float nearest to it, in the table as on the wire, and every lower float is lower.

Higher is worse in every score. ``[CLIN 2.x]`` stands for docs/clinical.md, which names the publications.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from vitals.events import SCORES
from vitals.reading import FloatArray, IntArray
from vitals.signs import N_MEASURES, Consciousness, Measure

NEWS2, MEWS, QSOFA, SIRS = range(len(SCORES))

VERSIONS: Final[dict[str, str]] = {
    "news2": "news2-rcp-2017",
    "mews": "mews-subbe-2001",  # local variants differ: never just "MEWS" [CLIN 2.4]
    "qsofa": "qsofa-jama-2016",
    "sirs": "sirs-vital-3-of-4",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a chart: points by charted value.

    Example: ``Row(Measure.RESP, 3, ((9, 1), (12, 0), (21, 2), (25, 3)), ...)`` gives 3 points up to 8, 1 from 9, 0 from
    12, 2 from 21, 3 from 25.

    Attributes:
        measure: What is looked at; for consciousness the codes of `Consciousness`, for oxygen 0 air and 1 oxygen.
        below: Points below the first step.
        steps: First charted value of each further band, rising, with its points.
        source: Where the row was read.
    """

    measure: Measure
    below: int
    steps: tuple[tuple[float, int], ...]
    source: str

    @property
    def cuts(self) -> tuple[float, ...]:
        """Least unrounded value of each band but the first: half a printed step below its charted start."""
        half = Decimal("0.05") if self.measure is Measure.TEMP_C else Decimal("0.5")
        return tuple(float(Decimal(str(start)) - half) for start, _ in self.steps)

    @property
    def points(self) -> tuple[int, ...]:
        """Points of each band, one more than `cuts`."""
        return (self.below, *(points for _, points in self.steps))


_RCP = "[CLIN 2.1] RCP 2017 chart"
_A, _C, _V, _P, _U = Consciousness

NEWS2_ROWS: Final = (
    Row(Measure.RESP, 3, ((9, 1), (12, 0), (21, 2), (25, 3)), _RCP),
    Row(Measure.SBP, 3, ((91, 2), (101, 1), (111, 0), (220, 3)), _RCP),
    Row(Measure.RATE, 3, ((41, 1), (51, 0), (91, 1), (111, 2), (131, 3)), _RCP),
    Row(Measure.CONSCIOUSNESS, 0, ((_C, 3),), _RCP),
    Row(Measure.TEMP_C, 3, ((35.1, 1), (36.1, 0), (38.1, 1), (39.1, 2)), _RCP),
    Row(Measure.OXYGEN, 0, ((1, 2),), _RCP),
)
NEWS2_SPO2: Final = {
    # (scale, on oxygen): the row that counts. Scale 2 only on a clinician's documented decision.
    (1, False): Row(Measure.SPO2, 3, ((92, 2), (94, 1), (96, 0)), _RCP),
    (1, True): Row(Measure.SPO2, 3, ((92, 2), (94, 1), (96, 0)), _RCP),
    (2, False): Row(Measure.SPO2, 3, ((84, 2), (86, 1), (88, 0)), _RCP + "; scale 2 from Thorax"),
    (2, True): Row(
        Measure.SPO2, 3, ((84, 2), (86, 1), (88, 0), (93, 1), (95, 2), (97, 3)), _RCP + "; scale 2 from Thorax"
    ),
}

_SUBBE = "[CLIN 2.4] Subbe 2001, third-party copies"
MEWS_ROWS: Final = (
    Row(Measure.SBP, 3, ((71, 2), (81, 1), (101, 0), (200, 2)), _SUBBE),
    Row(Measure.RATE, 2, ((41, 1), (51, 0), (101, 1), (111, 2), (130, 3)), _SUBBE),
    Row(Measure.RESP, 2, ((9, 0), (15, 1), (21, 2), (30, 3)), _SUBBE),
    Row(Measure.TEMP_C, 2, ((35.0, 0), (38.5, 2)), _SUBBE),
    # AVPU has no C. A newly confused patient would have been charted A or V, and nothing says which: 0 to 1.
    Row(Measure.CONSCIOUSNESS, 0, ((_C, 0), (_V, 1), (_P, 2), (_U, 3)), _SUBBE),
)
_MEWS_CONFUSED_AT_MOST: Final = Row(
    Measure.CONSCIOUSNESS, 0, ((_C, 1), (_V, 1), (_P, 2), (_U, 3)), _SUBBE + "; C as V: ours, it has no C"
)

_SEPSIS3 = "[CLIN 2.2] PMC5433435 (JAMA 2016)"
QSOFA_ROWS: Final = (
    Row(Measure.RESP, 0, ((22, 1),), _SEPSIS3),
    Row(Measure.SBP, 1, ((101, 0),), _SEPSIS3),
    Row(Measure.CONSCIOUSNESS, 0, ((_C, 1),), _SEPSIS3 + "; GCS below 15 is anything but alert"),
)

_ACCP = "[CLIN 2.3] PMC522831; the fourth criterion, white cells, and PaCO2 are not observable here"
SIRS_ROWS: Final = (
    Row(Measure.TEMP_C, 1, ((36.0, 0), (38.1, 1)), _ACCP),
    Row(Measure.RATE, 0, ((91, 1),), _ACCP),
    Row(Measure.RESP, 0, ((21, 1),), _ACCP),
)

ADULT_YEARS: Final = 16
"""None of the scores is made for anybody younger [CLIN 2]."""

MAXIMUM: Final[dict[str, int]] = {"news2": 20, "mews": 14, "qsofa": 3, "sirs": 3}
"""Greatest total of each; for SIRS of its three observable criteria. Tests add the tables up."""

NEWS2_MEASURES: Final = (
    Measure.RATE,
    Measure.SPO2,
    Measure.RESP,
    Measure.TEMP_C,
    Measure.SBP,
    Measure.CONSCIOUSNESS,
    Measure.OXYGEN,
)
_MOST_OF_ONE: Final = 3  # points that one measure gives NEWS2
_BIT = np.zeros(N_MEASURES, np.int64)
_BIT[list(NEWS2_MEASURES)] = 1 << np.array(NEWS2_MEASURES)


@dataclass(frozen=True, slots=True)
class Scores:
    """All four scores of n patients at one instant.

    Attributes:
        low: Shape (n, len(SCORES)), columns in the order of `events.SCORES`: fewest points. SIRS: "at least `low` of 3
            observable criteria". NaN: withheld (`withheld`).
        high: Same shape: most points.
        part_low: Shape (n, N_MEASURES): what each measure gives NEWS2 at least; its sum is NEWS2's `low`.
        part_high: Same shape: at most. A 3 in `part_low` is the chart's "any single 3".
        missing: Shape (n,): bit set (``1 << measure``) of NEWS2's measures that are missing or stale.
    """

    low: FloatArray
    high: FloatArray
    part_low: IntArray
    part_high: IntArray
    missing: IntArray


def _band(cuts: FloatArray, value: FloatArray) -> IntArray:
    """Band of each value; NaN lies in a band of its own beyond the last (NumPy sorts it there, above infinity)."""
    return np.searchsorted(cuts, value, side="right")


def _points(row: Row, cuts: FloatArray) -> list[int]:
    """The row's points for each band that `cuts` makes, finer than the row's own."""
    inside = np.concatenate([[-np.inf], cuts])
    return [row.points[int(i)] for i in _band(np.array(row.cuts), inside)][:-1]


def _lookup(measure: Measure) -> tuple[FloatArray, FloatArray]:
    """Compile every row about a measure into one table, so that each value is searched for once.

    Returns:
        Cut points, shape (bands,), the last one infinity; and points, shape (bands + 1, 2 * len(SCORES)): low points
        of each score, then high points. The last row is what a missing value may give.
    """
    charts = [NEWS2_ROWS, MEWS_ROWS, QSOFA_ROWS, SIRS_ROWS]
    rows = {i: row for i, chart in enumerate(charts) for row in chart if row.measure is measure}
    cuts = np.array([*sorted({cut for row in rows.values() for cut in row.cuts}), np.inf])
    table = np.zeros((len(cuts) + 1, 2 * len(SCORES)))
    for score, row in rows.items():
        upper = _MEWS_CONFUSED_AT_MOST if score == MEWS and measure is Measure.CONSCIOUSNESS else row
        table[:-1, score] = _points(row, cuts)
        table[:-1, len(SCORES) + score] = _points(upper, cuts)
        table[-1, score], table[-1, len(SCORES) + score] = min(row.points), max(row.points)
    return cuts, table


def _spo2_lookup() -> tuple[FloatArray, IntArray]:
    """NEWS2's saturation for (scale - 1, air | oxygen | unknown, band): low and high points, the last band missing.

    With the flag unknown both of its rows are possible. More oxygen never gives fewer points, in this row or in the
    oxygen row itself, so the bounds of both hold at the same time and may be added up.
    """
    cuts = np.array([*sorted({cut for row in NEWS2_SPO2.values() for cut in row.cuts}), np.inf])
    table = np.zeros((2, 3, len(cuts) + 1, 2), np.int64)
    for scale in (1, 2):
        for flag, possible in enumerate(((False,), (True,), (False, True))):
            rows = [NEWS2_SPO2[scale, oxygen] for oxygen in possible]
            points = np.array([[*_points(row, cuts)] for row in rows])
            table[scale - 1, flag, :-1] = np.stack([points.min(axis=0), points.max(axis=0)], axis=1)
            table[scale - 1, flag, -1] = points.min(), points.max()
    return cuts, table


_TABLES: Final = {m: _lookup(m) for m in NEWS2_MEASURES if m is not Measure.SPO2}
_SPO2_CUTS, _SPO2_POINTS = _spo2_lookup()
_AIR_CUTS: Final = np.array([*NEWS2_ROWS[-1].cuts, np.inf])


def score(value: FloatArray, scale: IntArray) -> Scores:
    """Score one instant of many patients; the answer for one depends on that one alone.

    Example: pulse 95, respiration 22, temperature 37.0, pressure 118, alert, on air, saturation missing, scale 1: NEWS2
    is 3 (1 + 2) to 6, missing saturation; `part_low` of the saturation is 0, `part_high` 3.

    Args:
        value: Shape (n, N_MEASURES), canonical units of `vitals.signs`, columns by `Measure`. NaN: missing or stale.
        scale: Shape (n,), SpO2 scale of each patient: 1, or 2 on a clinician's documented decision.

    Returns:
        A row for each row. Nothing is NaN: with everything missing NEWS2 is 0 to 20.

    Raises:
        ValueError: If the shapes disagree or a scale is neither 1 nor 2.
    """
    if value.ndim != 2 or value.shape[1] != N_MEASURES or scale.shape != value.shape[:1]:
        raise ValueError(f"values {value.shape} and scales {scale.shape}, expected (n, {N_MEASURES}) and (n,)")
    if not ((scale == 1) | (scale == 2)).all():
        raise ValueError("an SpO2 scale is 1 or 2")
    n, k = len(value), len(SCORES)
    part_low, part_high = np.zeros((n, N_MEASURES), np.int64), np.zeros((n, N_MEASURES), np.int64)
    total = np.zeros((n, 2 * k))
    for measure, (cuts, table) in _TABLES.items():
        points = table.take(_band(cuts, value[:, measure]), axis=0)
        total += points
        part_low[:, measure], part_high[:, measure] = points[:, NEWS2], points[:, k + NEWS2]
    flag = _band(_AIR_CUTS, value[:, Measure.OXYGEN])  # air, oxygen, unknown
    spo2 = _SPO2_POINTS[scale - 1, flag, _band(_SPO2_CUTS, value[:, Measure.SPO2])]
    part_low[:, Measure.SPO2], part_high[:, Measure.SPO2] = spo2[:, 0], spo2[:, 1]
    total[:, NEWS2] += spo2[:, 0]
    total[:, k + NEWS2] += spo2[:, 1]
    return Scores(total[:, :k], total[:, k:], part_low, part_high, np.isnan(value) @ _BIT)


def withheld(scores: Scores, age_years: FloatArray) -> Scores:
    """Scores without those of children, for whom no chart here is made: NaN, and no part says anything.

    Args:
        scores: Of n patients.
        age_years: Shape (n,); NaN unknown, which counts as adult.
    """
    young = age_years < ADULT_YEARS
    if not young.any():
        return scores
    nothing = np.where(young[:, None], np.nan, 0.0)
    return Scores(
        scores.low + nothing,
        scores.high + nothing,
        np.where(young[:, None], 0, scores.part_low),
        np.where(young[:, None], _MOST_OF_ONE, scores.part_high),
        scores.missing,
    )


def missing_measures(bits: int) -> tuple[Measure, ...]:
    """The measures of a `Scores.missing` bit set, in the order of `Measure`."""
    return tuple(measure for measure in Measure if bits >> measure & 1)
