"""Which signs the anomaly detector follows, on which grid, and what is usual for a population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vitals.signs import Sign

Floats = npt.NDArray[np.float32]

SIGNS: Final = (Sign.HR, Sign.PULSE, Sign.SPO2, Sign.RESP, Sign.TEMP_C, Sign.SBP, Sign.DBP, Sign.MAP)
"""The eight signs followed, in this order."""
UNITS: Final = ("/min", "/min", "%", "/min", "Cel", "mm[Hg]", "mm[Hg]", "mm[Hg]")
N: Final = len(SIGNS)
CHANNELS: Final = N + 2
"""The eight, then mean pressure minus what systolic and diastolic imply, then heart rate minus pulse."""
VERSION: Final = 2
"""Raised whenever a feature changes its meaning; an artifact fitted on another version is refused."""
CENTRE: Final = np.array([85.0, 85.0, 97.0, 19.0, 37.0, 120.0, 58.0, 80.0, 0.0, 0.0], np.float32)
SPREAD: Final = np.array([16.0, 16.0, 3.0, 5.5, 0.7, 24.0, 12.0, 15.0, 3.0, 4.0], np.float32)
"""Middle and spread of each channel over patients: medians over the fitted patients of mimic2_challenge2009, artefacts
named first; temperature as in physionet2019."""
WORSE: Final = np.array([1, 1, -1, 1, 1, -1, -1, -1], np.float32)
"""Direction of illness of each sign."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How long the windows are, in rows, and what a usual change from row to row is. Two are made below."""

    grid_ns: int
    """Length of a row."""
    change: Floats
    """Shape (CHANNELS,): the population's mean absolute change from row to row."""
    step: Floats
    """Shape (CHANNELS,): smallest difference that is not a repeat."""
    block: int
    """Rows of a block."""
    base: tuple[int, int]
    """A jump is measured from the median of these rows back: (15, 3) are the rows t-14..t-3."""
    now: int
    """Rows of the present level of a shift."""
    present: int
    """Rows of the present level of a drift."""
    hold: tuple[tuple[int, int], tuple[int, int]]
    """Rows over which a distance must hold, and how many of them may disagree."""
    near: int
    """Newest blocks that nothing is compared with, so that an event is not its own yardstick at once."""
    hour: int
    """A shift is measured from the blocks `hour`..`near` back, and from `hours`..`near` back."""
    hours: int
    """See `hour`."""
    lags: tuple[int, int, int, int, int, int]
    """Blocks back that the drift looks at."""
    quiet: tuple[int, int]
    """Rows of the two shorter windows of lost variability."""
    slow: float
    """Half-life of the patient's own change, in rows."""
    prior: float
    """Rows that the population's change counts for."""
    lag: int
    """Rows back that the forecaster looks from. By the minute three: it must not have seen the first minute of what it
    judges. By the hour one: a reading that is wrong is wrong once."""


MINUTES: Final = Grid(
    grid_ns=60_000_000_000,
    # Medians over the fitted patients of mimic2_challenge2009 (temperature: a guess, none is at hand by the minute).
    change=np.array([1.0, 1.3, 0.4, 1.5, 0.05, 2.5, 1.4, 1.7, 0.8, 1.0], np.float32),
    step=np.array([0.1, 0.1, 0.1, 0.1, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32),
    block=10,
    base=(15, 3),
    now=8,
    present=10,
    hold=((10, 2), (20, 4)),
    near=2,
    hour=8,
    hours=20,
    lags=(3, 6, 12, 18, 24, 35),
    quiet=(15, 30),
    slow=360.0,
    prior=30.0,
    lag=3,
)
HOURS: Final = Grid(
    grid_ns=3_600_000_000_000,
    # Mean absolute change between neighbouring charted hours of physionet2019.
    change=np.array([5.0, 5.0, 1.3, 2.6, 0.25, 9.0, 5.0, 6.0, 3.0, 4.0], np.float32),
    step=np.array([0.5, 0.5, 0.5, 0.5, 0.05, 0.5, 0.5, 0.5, 0.25, 0.5], np.float32),
    block=1,
    base=(9, 1),
    now=4,
    present=3,
    hold=((3, 0), (6, 1)),
    near=3,
    hour=9,
    hours=27,
    lags=(3, 5, 7, 9, 12, 18),
    quiet=(6, 12),
    slow=24.0,
    prior=4.0,
    lag=1,
)
