"""The first detector, and the control of all that follow: an exponentially weighted mean for each patient and sign.

Two parts speak. *jump*: how many standard deviations the newest value lies from the patient's own mean. *drift*: a
two-sided CUSUM of the same residual (Page 1954), which a slow decline fills even where no single value stands out.
The score is ``s / (1 + s)`` of the louder part over its threshold, so 0.5 is where a part reaches its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from vitals.detector import FrameInput, Scored, State
from vitals.signs import MINUTE_NS, N_SIGNS, Sign

# What is numeric and moves by itself; nurse's observations are judged by the scores.
_WATCHED: Final = np.array([s not in {Sign.CONSCIOUSNESS, Sign.OXYGEN} for s in Sign])
# Least standard deviation of each sign: a resting simulator or a rounding sensor must not make every step a jump
# (mimic2_numerics: standard deviation of the one-minute change: HR 2.7, RESP 2.3, SpO2 0.47).
_FLOOR: Final = np.array([2.7, 2.7, 0.8, 2.3, 0.2, 5.0, 4.0, 4.0, 6.0, 5.0, 5.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class EwmaSettings:
    """Numbers of the detector.

    Attributes:
        alpha: Weight of a new value in mean and variance; 0.02 remembers about 50 frames.
        warm_up: Frames in which a sign was measured before it may speak.
        jump_z: Standard deviations at which a jump reaches its threshold.
        drift_k: Slack of the CUSUM, in standard deviations.
        drift_h: CUSUM at which a drift reaches its threshold.
        clip_z: Residuals are cut here before they move mean and variance, so that one artefact teaches little.
    """

    alpha: float = 0.02
    warm_up: int = 30
    jump_z: float = 8.0
    drift_k: float = 1.0
    drift_h: float = 40.0
    clip_z: float = 3.0


class Ewma:
    """The detector; keeps `vitals.detector.Detector`."""

    name = "ewma"
    version = "1"
    grid_ns = MINUTE_NS
    parts = ("jump", "drift")
    threshold = 0.5

    def __init__(self, settings: EwmaSettings | None = None) -> None:
        """With the given numbers, or the shipped ones."""
        self._settings = settings or EwmaSettings()

    @property
    def warm_up(self) -> int:
        """Frames before the first score."""
        return self._settings.warm_up

    def start(self, rows: int) -> State:
        """See `vitals.detector.Detector.start`."""
        return {
            "mean": np.zeros((rows, N_SIGNS)),
            "var": np.zeros((rows, N_SIGNS)),
            "n": np.zeros((rows, N_SIGNS), dtype=np.int32),
            "up": np.zeros((rows, N_SIGNS)),
            "down": np.zeros((rows, N_SIGNS)),
        }

    def step(self, frames: FrameInput, state: State) -> tuple[Scored, State]:
        """See `vitals.detector.Detector.step`. Only signs measured within the frame move anything."""
        s = self._settings
        use = frames.measured & _WATCHED & ~np.isnan(frames.value)
        if not use.any():  # nothing moves, nobody is assessable: most minutes of an hourly recording
            none = np.full(len(use), -1, dtype=np.int64)
            return Scored(np.full(len(use), np.nan), none, none), state
        mean, var, n, up, down = (state[name] for name in ("mean", "var", "n", "up", "down"))
        value = np.where(use, frames.value, 0.0)
        mean = np.where(use & (n == 0), value, mean)
        sd = np.sqrt(np.maximum(var, _FLOOR**2))
        z = np.where(use, (value - mean) / sd, 0.0)
        ready = use & (n >= s.warm_up)

        up = np.where(ready, np.maximum(0.0, up + z - s.drift_k), up)
        down = np.where(ready, np.maximum(0.0, down - z - s.drift_k), down)
        jump = np.where(ready, np.abs(z) / s.jump_z, 0.0)
        drift = np.where(ready, np.maximum(up, down) / s.drift_h, 0.0)

        cut = np.clip(z, -s.clip_z, s.clip_z) * sd
        # In the warm-up the plain average; after it the exponential one.
        weight = np.where(use, np.maximum(s.alpha, 1.0 / (n + 1.0)), 0.0)
        after = {
            "mean": mean + weight * cut,
            "var": (1 - weight) * (var + weight * cut * cut),
            "n": np.minimum(n + use, np.int32(1 << 30)),
            # A full CUSUM is cut at twice its threshold so that it empties within hours once the cause has gone.
            "up": np.minimum(up, 2 * s.drift_h),
            "down": np.minimum(down, 2 * s.drift_h),
        }
        both = np.maximum(jump, drift)
        sign = both.argmax(axis=1)
        row = np.arange(len(sign))
        loud = both[row, sign]
        assessable = ready.any(axis=1)
        part = np.where(jump[row, sign] >= drift[row, sign], 0, 1)
        scored = Scored(
            score=np.where(assessable, loud / (1.0 + loud), np.nan),
            part=np.where(assessable, part, -1).astype(np.int64),
            sign=np.where(assessable, sign, -1).astype(np.int64),
        )
        return scored, after
