"""Frames -> quality -> evidence: the way into the anomaly detector, the same for training and for serving."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models import anomaly_evidence as evidence
from models.anomaly_grid import MINUTES, SIGNS, Grid
from vitals import artefacts
from vitals.artefacts import Verdict

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
State = dict[str, npt.NDArray[np.float32]]

_COLUMNS = [int(s) for s in SIGNS]
_PREFIX = "quality_"


def start(rows: int) -> State:
    """State of patients never seen: that of `vitals.artefacts` under a prefix, and that of the evidence."""
    judged = {_PREFIX + k: v for k, v in artefacts.start(rows).items()}
    return {**judged, **evidence.start(rows)}


def look(values: npt.NDArray[np.floating], measured: Bools, state: State, grid: Grid = MINUTES) -> tuple[Floats, State]:
    """One row of many patients: artefacts named and taken out, the rest turned into evidence.

    Args:
        values: Shape (n, N_SIGNS), canonical units.
        measured: Shape (n, N_SIGNS), true where measured within this row.
        state: Of the same patients, from `start`; left untouched.
        grid: Minutes or hours. On hours an artefact does not last from row to row and no rate of change is
            impossible, so each row is judged by itself.

    Returns:
        Features as `models.anomaly_evidence.step` makes them, and the state one row on.
    """
    before = {k.removeprefix(_PREFIX): v for k, v in state.items() if k.startswith(_PREFIX)}
    judge_from = before if grid is MINUTES else artefacts.start(len(values))
    found, _, judged = artefacts.judge(values, measured, judge_from)
    good = measured & (found != Verdict.ARTEFACT)
    x = np.where(good, values, np.nan)[:, _COLUMNS].astype(np.float32)
    features, after = evidence.step(x, {k: v for k, v in state.items() if not k.startswith(_PREFIX)}, grid)
    return features, {**{_PREFIX + k: v for k, v in judged.items()}, **after}
