"""The sepsis network of one artifact: hourly frames -> a calibrated score and whether it can be trusted.

The score of an hour is the share of hours with such log-odds, among the validation patients, that lay within six hours
of the onset of sepsis or after it: 0.05 means one in twenty. It is in 0..1, higher is worse, and it is small, because
sepsis is rare; its threshold comes from an alert budget and not from 0.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from models import artifact as artifacts
from models.runtime import Runtime
from vitals import features
from vitals.features import FeatureSettings, FeatureState, feature_step
from vitals.scores import ADULT_YEARS
from vitals.signs import HOUR_NS, SOURCES, Measure, Sign

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vitals.detector import State

    Floats = NDArray[np.float32]

SHIPPED = Path(__file__).parent / "artifacts"
"""Where the artifacts of this package lie: `sepsis-vitals`, `sepsis-labs`."""
VITAL_GROUPS = {
    "heart rate": ("rate",), "oxygen saturation": ("spo2",), "temperature": ("temp_c",),
    "blood pressure": ("sbp", "map", "dbp"), "respiration": ("resp",),
}  # fmt: skip
"""The five things a nurse measures; pressures come from one device and are fresh or stale together."""
_MEASURE = {
    "rate": Measure.RATE, "spo2": Measure.SPO2, "temp_c": Measure.TEMP_C, "sbp": Measure.SBP, "map": Measure.MAP,
    "dbp": Measure.DBP, "resp": Measure.RESP,
}  # fmt: skip


class SepsisHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sepsis artifact says beyond its graph."""

    calibration: tuple[tuple[float, float], ...]
    """Pairs (log-odds, score), both rising; straight lines between, constant beyond."""
    threshold: float
    """Score at which the rule holds, from the alert budget on validation patients."""
    clear: float
    """Score below which the rule ends: between the two it stays as it was."""
    refractory_h: int
    """Hours after an alert in which there is no second one."""
    alerts_per_day: float
    """The budget: alerts per patient-day that the threshold gave on validation patients."""
    warm_up: int
    """Hours at the beginning of a stay that get no score."""
    fresh_groups: int
    """Of the five vital groups, how many must have been measured within `fresh_h`."""
    fresh_h: int
    """Hours; 1 is the present hour alone."""
    unlike_limit: float
    """Mean square of the scaled features beyond which the input is unlike the training patients'."""


class Hour(msgspec.Struct, frozen=True):
    """What the network says of one hour of n patients; all arrays have shape (n,) unless said otherwise."""

    score: NDArray[np.float64]
    """Calibrated, 0..1."""
    low: NDArray[np.float64]
    """Calibrated score of the mildest member of the ensemble."""
    high: NDArray[np.float64]
    """And of the gravest; never a statement about the patient, only about the networks' agreement."""
    logit: NDArray[np.float64]
    """Mean log-odds of the members, before calibration."""
    assessable: NDArray[np.bool_]
    """False: warm-up, too little is fresh, the input is unlike the training patients', or a child."""


class SepsisModel:
    """One artifact, ready to step.

    The state of patients is a dictionary of arrays with a leading axis of patients: the features' memory, the hidden
    state of the networks, and the hours seen so far (for the warm-up; no network sees it).
    """

    def __init__(self, folder: Path, *, settings: FeatureSettings | None = None) -> None:
        self.artifact = artifacts.load(folder)
        manifest = self.artifact.manifest
        self.settings = settings or settings_of(manifest)
        artifacts.require(
            manifest, kind="sepsis", grid_ns=HOUR_NS, feature_version=features.VERSION, inputs=self.settings.units,
            features=self.settings.names,
        )  # fmt: skip
        self.head = msgspec.convert(manifest.head, SepsisHead)
        self.runtime = Runtime(self.artifact)
        points = np.asarray(self.head.calibration, np.float64)
        self._logits, self._scores = points[:, 0], points[:, 1]
        names = [m.name for m in self.settings.inputs]
        self._groups = [[names.index(n) for n in group] for group in VITAL_GROUPS.values()]

    def start(self, n: int) -> State:
        """The state of `n` patients never seen."""
        memory = FeatureState.start(n, self.settings).arrays()
        return {**memory, "hidden": self.runtime.start(n), "hours": np.zeros(n, np.int32)}

    def step(self, values: Floats, static: Floats, state: State) -> tuple[Hour, State]:
        """One hour of n patients; a patient's answer depends on that patient alone.

        Args:
            values: Shape (n, n_inputs): the frame in the units of `settings.units`; NaN where not measured.
            static: Shape (n, 2): age in years, sex (1 male); NaN unknown.
            state: Of the same n patients; left untouched.

        Returns:
            The hour, and the state after it.
        """
        memory = FeatureState.from_arrays(state)
        x, memory = feature_step(memory, values, static, self.settings)
        members, hidden = self.runtime.step(x, state["hidden"])
        hours = state["hours"] + np.int32(1)
        logit = members.mean(axis=1, dtype=np.float64)
        hour = Hour(
            score=self.calibrate(logit),
            low=self.calibrate(members.min(axis=1).astype(np.float64)),
            high=self.calibrate(members.max(axis=1).astype(np.float64)),
            logit=logit,
            # Four of the 32,208 patients it learned from were under 16.
            assessable=self._assessable(memory, x, hours) & ~(static[:, 0] < ADULT_YEARS),
        )
        return hour, {**memory.arrays(), "hidden": hidden, "hours": hours}

    def calibrate(self, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds -> score, by the artifact's table."""
        return np.interp(logit, self._logits, self._scores)

    def _assessable(self, memory: FeatureState, x: Floats, hours: NDArray[Any]) -> NDArray[np.bool_]:
        newest = np.stack([memory.age_h[:, g].min(axis=1) for g in self._groups], axis=1)
        fresh = (newest < self.head.fresh_h).sum(axis=1) >= self.head.fresh_groups
        like = unlikeness(self.runtime.scale(x)) <= self.head.unlike_limit
        return np.asarray(fresh & like & (hours > self.head.warm_up))


def settings_of(manifest: artifacts.Manifest) -> FeatureSettings:
    """The features an artifact asks for: with laboratory values or not, with staleness or not."""
    inputs = features.VITALS + (features.LABS if len(manifest.inputs) > len(features.VITALS) else ())
    return FeatureSettings(inputs, staleness=any(name.endswith("_stale") for name in manifest.features))


def unlikeness(scaled: Floats) -> Floats:
    """Mean square of the scaled features: about 1 for the patients a network was trained on."""
    return np.asarray((scaled * scaled).mean(axis=1), np.float32)


def hourly_values(value: NDArray[np.float64], measured: NDArray[np.bool_], n_inputs: int) -> Floats:
    """Signs -> the frame of `vitals.features`: the best source that was measured within the frame.

    Args:
        value: Shape (n, N_SIGNS), canonical units.
        measured: Shape (n, N_SIGNS).
        n_inputs: Width of the frame; columns after the seven vital signs are NaN.

    Returns:
        Shape (n, n_inputs).
    """
    out = np.full((len(value), n_inputs), np.nan, np.float32)
    fresh = np.where(measured, value, np.nan)
    for i, row in enumerate(features.VITALS):
        for sign in reversed(SOURCES[_MEASURE[row.name]]):
            out[:, i] = np.where(np.isnan(fresh[:, sign]), out[:, i], fresh[:, sign])
    return out


def sources(name: str) -> tuple[Sign, ...]:
    """Signs that can fill a vital input, the best first: `rate` -> hr, pulse."""
    return SOURCES[_MEASURE[name]]
