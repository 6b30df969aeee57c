"""The anomaly detector's artifact, stepping: evidence, network, and one score out of its parts.

Each part (spike, shift, stuck, flat, drift) has a table that says how often its log-odds are reached on stretches where
nothing was injected: a level for each alert rate. A row's log-odds thereby become "as unusual as once in so many
days", each part's rate is divided by its share of the alert budget, and the smallest of the five is the row's rate r:

    score = 1 / (1 + r / 0.5)        0.5: as rare as one alert in two days; 0.2: two a day; 0.9: one in eighteen days

So one threshold on the score is an alert budget, and every part gets its share of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models import anomaly_evidence, anomaly_frames, anomaly_grid, artifact
from models.anomaly_grid import HOURS, MINUTES, SIGNS, UNITS, Grid, N
from models.runtime import Runtime

if TYPE_CHECKING:
    from models.anomaly_frames import State

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHIPPED: Final = Path(__file__).parent / "artifacts"
"""Where the artifacts of this version lie."""
SCORE_RATE: Final = 0.5
"""Alerts a patient-day at which the score is one half."""
_NEVER: Final = -40.0  # log-odds of a sign that is not here


class AnomalyHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What turns log-odds into a score."""

    parts: tuple[str, ...]
    """Names: four that speak about one sign, then the drift, which speaks about all."""
    rates: tuple[float, ...]
    """Alerts a patient-day, rising."""
    levels: tuple[tuple[float, ...], ...]
    """For each part, the log-odds that give these rates; falling."""
    shares: tuple[float, ...]
    """For each part, its share of the alert budget; they add up to 1."""
    threshold: float
    """Score at which the rule holds."""
    warm_up: int
    """Rows at the beginning of a stay that get no score. Until a patient's own habits are known the population's stand
    in for them."""

    def __post_init__(self) -> None:
        k = len(self.parts)
        if len(self.levels) != k or len(self.shares) != k or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"{k} parts, {len(self.levels)} tables, shares {self.shares}")
        for part, levels in zip(self.parts, self.levels, strict=True):
            if len(levels) != len(self.rates) or (np.diff(levels) >= 0).any() or (np.diff(self.rates) <= 0).any():
                raise ValueError(f"the table of {part} does not fall: {levels} at {self.rates}")


def log_rate(logit: Floats, levels: tuple[float, ...], rates: tuple[float, ...]) -> Floats:
    """Logarithm of the alerts a day that such log-odds have; linear between the table's rows and beyond its ends."""
    x, y = np.array(levels[::-1]), np.log(rates[::-1])
    inside = np.interp(logit, x, y)
    below = y[0] + (logit - x[0]) * (y[2] - y[0]) / (x[2] - x[0])
    above = y[-1] + (logit - x[-1]) * (y[-1] - y[-3]) / (x[-1] - x[-3])
    return np.asarray(np.where(logit < x[0], below, np.where(logit > x[-1], above, inside)))


@dataclass(frozen=True, slots=True)
class Row:
    """What the detector says about one row; every array has shape (n,)."""

    score: Floats
    """0..1, higher is worse; also where not assessable (then only for looking at)."""
    high: Floats
    """The score if the signs that are missing now stood as they did when last seen; `score` is the lower bound."""
    part: Ints
    """Which part speaks loudest, an index into `AnomalyHead.parts`."""
    sign: Ints
    """The `Sign` it speaks about; -1 for the drift, which is about all."""
    assessable: npt.NDArray[np.bool_]
    """Whether warmed up, with a sign of the eight measured and believed in this row."""


class AnomalyModel:
    """One artifact, loaded and checked."""

    def __init__(self, folder: Path = SHIPPED / "anomaly") -> None:
        self.artifact = artifact.load(folder)
        manifest = self.artifact.manifest
        self.grid: Grid = HOURS if manifest.grid_ns == HOURS.grid_ns else MINUTES
        artifact.require(
            manifest, kind="anomaly", grid_ns=self.grid.grid_ns, feature_version=anomaly_grid.VERSION,
            inputs={s.column: u for s, u in zip(SIGNS, UNITS, strict=True)}, features=anomaly_evidence.names(),
        )  # fmt: skip
        self.head = msgspec.convert(manifest.head, AnomalyHead)
        self.runtime = Runtime(self.artifact)

    def start(self, rows: int) -> State:
        """State of patients never seen: evidence, hidden numbers, and how each sign stood when last seen."""
        return {
            **anomaly_frames.start(rows),
            "hidden": self.runtime.start(rows),
            "stood": np.full((rows, N), np.inf, np.float32),
        }

    def step(
        self, values: npt.NDArray[np.floating], measured: npt.NDArray[np.bool_], state: State
    ) -> tuple[Row, State]:
        """One row of many patients.

        Args:
            values: Shape (n, N_SIGNS), canonical units.
            measured: Shape (n, N_SIGNS), true where measured within this row.
            state: Of the same patients; left untouched.

        Returns:
            What is said about each, and the state one row on.
        """
        mine = {k: v for k, v in state.items() if k not in {"hidden", "stood"}}
        features, after = anomaly_frames.look(values, measured, mine, self.grid)
        logits, hidden = self.runtime.step(features, state["hidden"])
        here = np.isfinite(after["ring"][:, :N, -1])
        row, stood = self._row(logits.astype(np.float64), here, state["stood"])
        row.assessable[:] = here.any(axis=1) & (after["count"] > self.head.warm_up)
        return row, {**after, "hidden": hidden, "stood": stood}

    def _row(
        self, logits: Floats, here: npt.NDArray[np.bool_], stood: npt.NDArray[np.float32]
    ) -> tuple[Row, npt.NDArray[np.float32]]:
        head, n = self.head, len(logits)
        signs = np.where(here[:, :, None], logits[:, : 4 * N].reshape(n, N, 4), _NEVER)
        rate = np.empty((n, N, 4))
        for k in range(4):
            rate[:, :, k] = log_rate(signs[:, :, k], head.levels[k], head.rates) - np.log(head.shares[k])
        drift = log_rate(logits[:, -1], head.levels[4], head.rates) - np.log(head.shares[4])
        flat = np.concatenate([rate.reshape(n, -1), drift[:, None]], axis=1)
        best = flat.argmin(axis=1)
        least = flat.min(axis=1)
        about_all = best == 4 * N
        part = np.where(about_all, 4, best % 4)
        sign = np.where(about_all, -1, np.array([*SIGNS, SIGNS[0]])[best // 4])
        # A sensor that falls off in the middle of an event must not read as recovery: its last word bounds the score.
        now = rate.min(axis=2).astype(np.float32)
        stood = np.where(here, now, stood)
        bound = np.minimum(least, np.where(here, np.inf, stood).min(axis=1))
        return Row(_score(least), _score(bound), part, sign, np.zeros(n, bool)), stood


def _score(log_rates: Floats) -> Floats:
    """0..1 from the logarithm of alerts a day."""
    return np.asarray(1 / (1 + np.exp(np.clip(log_rates, -60, 60)) / SCORE_RATE))
