"""The sepsis warning: a detector for the ward, scores for recordings, and why in words.

The parts: `models.sepsis_model` (the network of one artifact, stepping), `models.sepsis_recording` (whole recordings),
`models.sepsis_words` (explanation). All three are reached from here.

Research software, not a medical device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.runtime import begun, broken
from models.sepsis_model import SHIPPED, SepsisHead, SepsisModel, hourly_values, sources
from models.sepsis_recording import score_recording, score_stays
from models.sepsis_words import explain, groups_of
from vitals.detector import FrameInput, Scored, State
from vitals.events import Why
from vitals.features import VITALS
from vitals.signs import SECOND_NS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "SHIPPED", "SepsisDetector", "SepsisHead", "SepsisModel", "explain", "score_recording", "score_stays",
]  # fmt: skip


class SepsisDetector:
    """`SepsisModel` behind the protocol of `vitals.detector`: frames in, scores out, state in the ward's arrays.

    Only the vital signs travel in frames, so laboratory inputs are NaN here; `sepsis-vitals` is the one to serve.
    """

    def __init__(self, folder: Path = SHIPPED / "sepsis-vitals") -> None:
        self.model = SepsisModel(folder)
        manifest = self.model.artifact.manifest
        self.name: str = "sepsis"
        self.version: str = manifest.version
        self.grid_ns: int = manifest.grid_ns
        self.warm_up: int = self.model.head.warm_up
        self.parts: tuple[str, ...] = ("sepsis",)
        self.threshold: float = self.model.head.threshold

    def start(self, rows: int) -> State:
        """Fresh state of `rows` patients."""
        return self.model.start(rows)

    def step(self, frames: FrameInput, state: State) -> tuple[Scored, State]:
        """Score an hour of some patients; see `vitals.detector.Detector.step`.

        What was not measured within the hour is missing to the network, however valid the older value still is: the
        features carry values forward themselves, with their age.
        """
        values = hourly_values(frames.value, frames.measured, len(self.model.settings.inputs))
        static = np.stack([frames.age_years, frames.sex], axis=1).astype(np.float32)
        hour, after = self.model.step(values, static, state)
        after = begun(np.isfinite(values).any(axis=1) | (state["hours"] > 0), state, after)
        n = len(values)
        part = np.where(hour.assessable, 0, -1).astype(np.int64)
        failed = broken(hour.logit, after["hidden"])
        return Scored(np.where(hour.assessable, hour.score, np.nan), part, np.full(n, -1, np.int64), failed), after

    def explain(self, frames: FrameInput, before: State, after: State) -> list[Why]:
        """Why each patient's newest score is what it is; see `vitals.detector.Explains`."""
        del before  # the last day lies in the state after the frame
        static = np.stack([frames.age_years, frames.sex], axis=1).astype(np.float32)
        ages = []
        for columns in groups_of(self.model).values():
            signs = [int(sign) for k in columns if k < len(VITALS) for sign in sources(VITALS[k].name)]
            known = np.where(frames.age_ns[:, signs] < 0, np.iinfo(np.int64).max, frames.age_ns[:, signs])
            least = known.min(axis=1, initial=np.iinfo(np.int64).max)
            ages.append(np.where(least == np.iinfo(np.int64).max, -1, least // SECOND_NS))
        return explain(self.model, after, static, np.stack(ages, axis=1))
