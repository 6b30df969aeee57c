"""Artefacts out of frames that close, before any score or detector sees them: the verdicts of `vitals.artefacts`.

Limits of single signs are judged on readings as they come and are not screened: what the rules here take for a damped
line may be a heart that fails, and then the limit still speaks.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from vitals import artefacts
from vitals.align import Closed
from vitals.artefacts import MEMORY, REASONS, Reason, Verdict
from vitals.features import hours_of
from vitals.reading import IntArray
from vitals.signs import N_SIGNS, SOURCES, Measure

_Real = TypeVar("_Real", bound=np.floating[Any])
_IS_ARTEFACT: Final = np.array([r != Reason.NONE and REASONS[r].verdict == Verdict.ARTEFACT for r in Reason])


def screened(value: npt.NDArray[_Real], patient: IntArray, frame: IntArray) -> npt.NDArray[_Real]:
    """Whole recordings without their artefacts, as a ward would have screened them frame by frame.

    Args:
        value: Shape (n, N_SIGNS), canonical units, NaN where not measured; at most one row for each patient and frame,
            by patient, then frame.
        patient: Shape (n,), who.
        frame: Shape (n,), number of the minute.

    Returns:
        The values, NaN where `vitals.artefacts` names an artefact.
    """
    out = value.copy()
    lengths = np.diff(np.flatnonzero(np.diff(patient, prepend=-1, append=-1) != 0))
    memory = artefacts.start(len(lengths))
    for rows, who in hours_of(lengths):
        memory = {name: array[: len(who)] for name, array in memory.items()}
        behind = np.where(rows > 0, frame[rows] - frame[rows - 1] - 1, 0)
        # Before a patient's first row nothing is remembered, so whatever this says of it changes nothing.
        memory["since"] = np.clip(memory["since"] + behind[:, None], 0, MEMORY).astype(np.float32)
        verdict, _, memory = artefacts.judge(value[rows], ~np.isnan(value[rows]), memory)
        out[rows] = np.where(verdict == Verdict.ARTEFACT, out.dtype.type(np.nan), value[rows])
    return out


class Screen:
    """What is remembered of the frames before, for all patients, and what was said about the newest one.

    Attributes:
        reason: Shape (rows, N_SIGNS), int8: `Reason` of each value of the newest frame, 0 where usable or absent.
    """

    def __init__(self) -> None:
        """Nobody is known yet."""
        self._memory = artefacts.start(0)
        self.reason: npt.NDArray[np.int8] = np.zeros((0, N_SIGNS), np.int8)

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        have = len(self.reason)
        if rows <= have:
            return
        more = max(16, 1 << (rows - 1).bit_length()) - have
        fresh = artefacts.start(more)
        self._memory = {name: np.concatenate((array, fresh[name])) for name, array in self._memory.items()}
        self.reason = np.concatenate((self.reason, np.zeros((more, N_SIGNS), np.int8)))

    def take(self, closed: Closed) -> Closed:
        """Judge a frame.

        Returns:
            The frame with its artefacts no longer usable: no value, and their readings counted as unusable.
        """
        shape = self.reason.shape
        value = np.full(shape, np.nan)
        some = closed.usable > 0
        value[closed.patient[some], closed.sign[some]] = closed.value[some]
        verdict, self.reason, self._memory = artefacts.judge(value, ~np.isnan(value), self._memory)
        out = verdict[closed.patient, closed.sign] == Verdict.ARTEFACT
        if not out.any():
            return closed
        return closed._replace(
            device=np.where(out, -1, closed.device),
            value=np.where(out, np.nan, closed.value),
            time_ns=np.where(out, -1, closed.time_ns),
            usable=np.where(out, 0, closed.usable),
            unusable=closed.unusable + np.where(out, closed.usable, 0),
        )

    def words(self, row: int, measure: Measure) -> str:
        """What is wrong with a measure's signal in the newest frame; empty where no artefact was named."""
        found = [int(self.reason[row, sign]) for sign in SOURCES[measure] if _IS_ARTEFACT[self.reason[row, sign]]]
        return REASONS[Reason(found[0])].words if found else ""

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {"memory": self._memory, "reason": self.reason}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self._memory, self.reason = state["memory"], state["reason"]
