"""The sepsis warning: a detector for the ward, scores for recordings, and why in words.

The parts: `models.sepsis_model` (the network of one artifact, stepping), `models.sepsis_recording` (whole recordings),
`models.sepsis_words` (explanation). All three are reached from here.

Research software, not a medical device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.runtime import broken
from models.sepsis_model import SHIPPED, SepsisHead, SepsisModel, hourly_values
from models.sepsis_recording import score_recording, score_stays
from models.sepsis_words import Explanation, explain
from vitals.detector import FrameInput, Scored, State
from vitals.events import Clearing, Contribution, Why

if TYPE_CHECKING:
    from pathlib import Path

    from vitals.reading import IntArray

__all__ = [
    "SHIPPED", "Explanation", "SepsisDetector", "SepsisHead", "SepsisModel", "explain", "score_recording",
    "score_stays",
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

    def step(self, frames: FrameInput, rows: IntArray, state: State) -> Scored:
        """Score an hour of some patients and write their state back.

        What was not measured within the hour is missing to the network, however valid the older value still is: the
        features carry values forward themselves, with their age.
        """
        values = hourly_values(frames.value, frames.measured, len(self.model.settings.inputs))
        static = np.stack([frames.age_years, frames.sex], axis=1).astype(np.float32)
        mine: State = {name: array[rows] for name, array in state.items()}
        hour, after = self.model.step(values, static, mine)
        for name, array in state.items():
            array[rows] = after[name]
        n = len(rows)
        part = np.where(hour.assessable, 0, -1).astype(np.int64)
        failed = broken(hour.logit, after["hidden"])
        return Scored(np.where(hour.assessable, hour.score, np.nan), part, np.full(n, -1, np.int64), failed)

    def explain(self, frames: FrameInput, before: State, after: State) -> list[Why]:
        """Why each patient's newest score is what it is; see `vitals.detector.Explains`."""
        del before  # the last day lies in the state after the frame
        static = np.stack([frames.age_years, frames.sex], axis=1).astype(np.float32)
        return [self._why(explain(self.model, after, row, static[row])) for row in range(len(static))]

    def _why(self, found: Explanation) -> Why:
        raising = [c.what for c in found.contributions if c.log_odds > 0][:2]
        chiefly = f": chiefly {' and '.join(raising)}" if raising else ""
        return Why(
            summary=f"Sepsis risk {found.score:.3f}, threshold {self.threshold:.3f}{chiefly}.",
            threshold=round(self.threshold, 6),
            contributions=tuple(
                Contribution(
                    what=c.what,
                    log_odds=round(c.log_odds, 3),
                    direction="neither" if abs(c.log_odds) < 0.05 else "raises" if c.log_odds > 0 else "lowers",
                    age_s=round(c.age_h * 3600) if np.isfinite(c.age_h) else None,
                    words=c.words,
                )
                for c in found.contributions
            ),
            clears=tuple(
                Clearing(what=words.split(" if ")[1].split(" had ")[0], words=words) for words in found.would_clear
            ),
            trust=found.trust,
        )
