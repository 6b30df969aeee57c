"""The anomaly detector: behind the ward's protocol, for recordings, and in words.

The parts: `vitals.artefacts` (artefacts), `models.anomaly_evidence` (what a minute says against the hours before),
`models.anomaly_model` (the network and the score), `models.anomaly_recording` (whole recordings).

Research software, not a medical device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.anomaly_model import SHIPPED, AnomalyHead, AnomalyModel
from models.anomaly_recording import score_recording
from models.runtime import broken
from vitals.detector import FrameInput, Scored, State
from vitals.signs import SIGNS, Sign

if TYPE_CHECKING:
    from pathlib import Path

    from vitals.reading import IntArray

__all__ = ["SHIPPED", "AnomalyDetector", "AnomalyHead", "AnomalyModel", "score_recording", "words"]

WORDS: Final[dict[str, str]] = {
    "spike": "jumped and stayed for two of the last three readings",
    "shift": "sits at a new level",
    "stuck": "repeats the same value: the sensor may be stuck",
    "flat": "varies far less than usual for this patient",
    "drift": "several signs have been moving towards illness for hours",
}
"""What each part means, as a nurse reads it."""


def words(part: str, sign: int) -> str:
    """What a score says, in a sentence: ``heart rate sits at a new level``."""
    return WORDS[part] if sign < 0 else f"{SIGNS[Sign(sign)].label} {WORDS[part]}"


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

    def step(self, frames: FrameInput, rows: IntArray, state: State) -> Scored:
        """Score a frame of some patients and write their state back.

        Only what was measured within the frame counts: an older value that is still valid says nothing new.
        """
        mine = {name: array[rows].astype(np.float32, copy=False) for name, array in state.items()}
        row, after = self.model.step(frames.value, frames.measured, mine)
        for name, array in state.items():
            array[rows] = after[name]
        ok = row.assessable
        failed = broken(row.score, after["hidden"])
        return Scored(np.where(ok, row.score, np.nan), np.where(ok, row.part, -1), np.where(ok, row.sign, -1), failed)
