"""The anomaly detector: behind the ward's protocol, for recordings, and in words.

The parts: `vitals.artefacts` (artefacts), `models.anomaly_evidence` (what a minute says against the hours before),
`models.anomaly_model` (the network and the score), `models.anomaly_recording` (whole recordings),
`models.anomaly_words` (explanation).

Research software, not a medical device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.anomaly_grid import SIGNS
from models.anomaly_model import SHIPPED, AnomalyHead, AnomalyModel
from models.anomaly_recording import score_recording
from models.anomaly_words import explain, words
from models.runtime import begun, broken
from vitals.detector import FrameInput, Scored, State

if TYPE_CHECKING:
    from pathlib import Path

    from vitals.events import Why

__all__ = ["SHIPPED", "AnomalyDetector", "AnomalyHead", "AnomalyModel", "explain", "score_recording", "words"]


_SIGNS = [int(sign) for sign in SIGNS]


class AnomalyDetector:
    """`AnomalyModel` behind the protocol of `vitals.detector`: frames in, scores out, state in the ward's arrays."""

    def __init__(self, folder: Path = SHIPPED / "anomaly") -> None:
        self.model = AnomalyModel(folder)
        manifest = self.model.artifact.manifest
        self.name: str = "anomaly"
        self.version: str = manifest.version
        self.grid_ns: int = manifest.grid_ns
        self.warm_up: int = self.model.head.warm_up
        self.parts: tuple[str, ...] = self.model.head.parts
        self.threshold: float = self.model.head.threshold

    def start(self, rows: int) -> State:
        """Fresh state of `rows` patients."""
        return dict(self.model.start(rows))

    def step(self, frames: FrameInput, state: State) -> tuple[Scored, State]:
        """Score a frame of some patients; see `vitals.detector.Detector.step`.

        Only what was measured within the frame counts: an older value that is still valid says nothing new.
        """
        row, after = self.model.step(frames.value, frames.measured, state)
        seen = (frames.measured[:, _SIGNS] & np.isfinite(frames.value[:, _SIGNS])).any(axis=1)
        after = begun(seen | (state["count"] > 0), state, after)
        ok, failed = row.assessable, broken(row.score, after["hidden"])
        part, sign = np.where(ok, row.part, -1), np.where(ok, row.sign, -1)
        return Scored(np.where(ok, row.score, np.nan), part, sign, failed), after

    def explain(self, frames: FrameInput, before: State, after: State) -> list[Why]:
        """Why each patient's newest score is what it is; see `vitals.detector.Explains`."""
        return explain(self.model, frames, before, after)
