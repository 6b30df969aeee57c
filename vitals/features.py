"""Hourly frames -> what the sepsis networks look at.

One function, `feature_step`, makes the features of one hour for any number of patients. A training set, a replay and
the live ward all come through it, so the three cannot drift apart: `feature_rows` is only a loop around it.

```
  hour          t-24 ............ t-6 ..... t-1   t
  ring          |<--------- 24 hours of what was measured, NaN where nothing was --------->|
  filled        last value, decaying to the patient's own baseline, itself leaning on the population's
  features      filled, staleness, change over 1/3/6/12 h, distance from own baseline and from the
                means of 6 and 24 h, room to the lowest and highest of 24 h, spread of 24 h; then ratios
```

What is left out is as much a part of the contract: no hour of stay, no hour of day, no unit, no time of admission, no
count of measurements. Staleness is capped low, so that it cannot serve as a clock or as a copy of the nurse's round.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float32]

RING_H = 24
"""Hours of measured values that a patient carries along."""
CHANGES_H = (1, 3, 6, 12)
"""Spans of the changes; 3 means "now minus three hours ago"."""
VERSION = 1
"""Raised whenever a feature changes its meaning; an artifact fitted on another version is refused."""


class ShapeMismatchError(ValueError):
    """Frames, demographics and state do not speak of the same patients or measures."""


@dataclass(frozen=True, slots=True)
class Input:
    """One column of the hourly frame."""

    name: str
    """Name in frames and features."""
    unit: str
    """UCUM unit of the frame's value."""
    typical: float
    """Where the value goes when the patient has none; about the median of adult intensive care."""
    low: float
    """Values below are taken as this (a typing error must not own a feature)."""
    high: float
    """Values above are taken as this."""
    half_life_h: float
    """Hours after which a value that is not renewed counts half against the baseline."""
    cap_h: float
    """Staleness stops growing here: 3 h and 30 h look alike when the cap is 3."""
    log: bool = False
    """Features are of the natural logarithm (skewed laboratory values)."""
    window: bool = True
    """Changes and 24 h statistics are made (vital signs), or only the last two values (laboratory)."""


def _lab(name: str, unit: str, typical: float, low: float, high: float, *, log: bool = False) -> Input:
    return Input(name, unit, typical, low, high, half_life_h=24.0, cap_h=24.0, log=log, window=False)


VITALS: tuple[Input, ...] = (
    Input("rate", "/min", 84.0, 20.0, 240.0, 6.0, 6.0),
    Input("spo2", "%", 98.0, 50.0, 100.0, 6.0, 6.0),
    Input("temp_c", "Cel", 37.0, 30.0, 43.0, 8.0, 8.0),
    Input("sbp", "mm[Hg]", 121.0, 40.0, 260.0, 6.0, 6.0),
    Input("map", "mm[Hg]", 80.0, 25.0, 200.0, 6.0, 6.0),
    Input("dbp", "mm[Hg]", 62.0, 15.0, 160.0, 6.0, 6.0),
    Input("resp", "/min", 18.0, 3.0, 60.0, 6.0, 6.0),
)
"""The seven measures every ward has. `rate` is the ECG's heart rate, else the pulse."""

LABS: tuple[Input, ...] = (
    _lab("etco2", "mm[Hg]", 33.0, 5.0, 80.0),
    _lab("base_excess", "mmol/L", 0.0, -25.0, 25.0),
    _lab("hco3", "mmol/L", 24.0, 5.0, 45.0),
    _lab("fio2", "1", 0.5, 0.21, 1.0),
    _lab("ph", "[pH]", 7.39, 6.8, 7.7),
    _lab("paco2", "mm[Hg]", 40.0, 15.0, 100.0),
    _lab("sao2", "%", 97.0, 40.0, 100.0),
    _lab("ast", "U/L", 41.0, 3.0, 10000.0, log=True),
    _lab("bun", "mg/dL", 17.0, 1.0, 200.0, log=True),
    _lab("alkaline_phosphatase", "U/L", 74.0, 5.0, 2500.0, log=True),
    _lab("calcium", "mg/dL", 8.3, 1.0, 15.0),
    _lab("chloride", "mmol/L", 106.0, 70.0, 140.0),
    _lab("creatinine", "mg/dL", 0.94, 0.1, 25.0, log=True),
    _lab("bilirubin_direct", "mg/dL", 0.4, 0.01, 40.0, log=True),
    _lab("glucose", "mg/dL", 127.0, 20.0, 900.0, log=True),
    _lab("lactate", "mmol/L", 1.8, 0.2, 30.0, log=True),
    _lab("magnesium", "mg/dL", 2.0, 0.5, 6.0),
    _lab("phosphate", "mg/dL", 3.3, 0.5, 15.0, log=True),
    _lab("potassium", "mmol/L", 4.1, 1.5, 9.0),
    _lab("bilirubin_total", "mg/dL", 0.8, 0.1, 50.0, log=True),
    _lab("troponin_i", "ng/mL", 0.3, 0.01, 450.0, log=True),
    _lab("hct", "%", 30.3, 10.0, 65.0),
    _lab("hgb", "g/dL", 10.3, 3.0, 22.0),
    _lab("ptt", "s", 32.4, 15.0, 200.0, log=True),
    _lab("wbc", "10*3/uL", 10.3, 0.1, 200.0, log=True),
    _lab("fibrinogen", "mg/dL", 249.0, 30.0, 1400.0, log=True),
    _lab("platelets", "10*3/uL", 180.0, 3.0, 1500.0, log=True),
)
"""End-tidal CO2 and the laboratory, for wards that have them, in the units of the PhysioNet 2019 challenge."""

_WINDOW_PARTS = (
    "", "stale", *(f"change_{h}h" for h in CHANGES_H), "from_own", "from_6h", "from_24h",
    "above_min", "below_max", "spread",
)  # fmt: skip
_LAB_PARTS = ("", "stale", "change")
_RATIOS = ("shock_index", "shock_index_map", "pulse_pressure", "rate_per_resp", "spo2_per_resp")
_STATIC = ("age", "sex")
_AGE_UNKNOWN, _SEX_UNKNOWN = 62.0, 0.5
_OWN_HALF_LIFE_H = 24.0
_PRIOR_WEIGHT = 1.0  # the population counts as much as one measurement of the patient


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Which measures a frame has, and thereby which features come out."""

    inputs: tuple[Input, ...] = VITALS
    """Columns of the frame, in order; the seven of `VITALS` come first."""
    staleness: bool = True
    """False leaves the staleness features out: what the charting pattern is worth, here and in another hospital."""

    def __post_init__(self) -> None:
        if self.inputs[: len(VITALS)] != VITALS:
            raise ShapeMismatchError("a frame begins with the seven vital measures")

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in column order; `rate`, `rate_stale`, `rate_change_1h` and so on."""
        out: list[str] = []
        for m in self.inputs:
            parts = _WINDOW_PARTS if m.window else _LAB_PARTS
            out += [f"{m.name}_{p}" if p else m.name for p in parts]
        return tuple(n for n in (*out, *_RATIOS, *_STATIC) if self.staleness or not n.endswith("_stale"))

    @property
    def units(self) -> dict[str, str]:
        """UCUM unit of every column of the frame."""
        return {m.name: m.unit for m in self.inputs}


WITH_LABS = FeatureSettings(inputs=VITALS + LABS)


@dataclass(frozen=True, slots=True)
class FeatureState:
    """What a patient carries from hour to hour; the first axis of every array is patients.

    Plain arrays of fixed shape, so that a ward can keep, gather, scatter and snapshot them beside its own.
    """

    ring: FloatArray
    """Shape (n, 24, n_window): measured values, oldest first, NaN where none. Canonical units, clipped."""
    filled: FloatArray
    """Shape (n, 12, n_window): filled values of the last 12 hours; NaN before the first hour."""
    last: FloatArray
    """Shape (n, n_inputs): last measured value (logarithm where `Input.log`); NaN when never."""
    before: FloatArray
    """Shape (n, n_inputs): the measured value before `last`; NaN when there was none."""
    age_h: FloatArray
    """Shape (n, n_inputs): hours since `last`, capped at 1000; 1000 when never."""
    own_sum: FloatArray
    """Shape (n, n_window): decaying sum of (value - typical)."""
    own_weight: FloatArray
    """Shape (n, n_window): decaying count of values."""

    @classmethod
    def start(cls, n: int, settings: FeatureSettings) -> FeatureState:
        """The state of `n` patients of whom nothing is known yet."""
        m, w = len(settings.inputs), sum(s.window for s in settings.inputs)

        def full(*shape: int, value: float) -> FloatArray:
            return np.full(shape, value, np.float32)

        return cls(
            ring=full(n, RING_H, w, value=np.nan), filled=full(n, CHANGES_H[-1], w, value=np.nan),
            last=full(n, m, value=np.nan), before=full(n, m, value=np.nan), age_h=full(n, m, value=_NEVER_H),
            own_sum=full(n, w, value=0.0), own_weight=full(n, w, value=0.0),
        )  # fmt: skip

    def arrays(self) -> dict[str, FloatArray]:
        """Every array by name, for snapshots."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> FeatureState:
        """The state back from a snapshot's arrays."""
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})

    def rows(self, index: NDArray[np.intp] | slice) -> FeatureState:
        """The state of some patients (a copy when `index` is an array)."""
        return FeatureState(**{k: v[index] for k, v in self.arrays().items()})

    def put(self, index: NDArray[np.intp] | slice, part: FeatureState) -> None:
        """Write the state of some patients back in place."""
        for name, mine in self.arrays().items():
            mine[index] = getattr(part, name)


_NEVER_H = 1000.0


@dataclass(frozen=True, slots=True)
class _Columns:
    """The measures' numbers as arrays, made once per call."""

    typical: FloatArray
    low: FloatArray
    high: FloatArray
    log: NDArray[np.bool_]
    window: NDArray[np.bool_]
    keep: FloatArray
    cap: FloatArray

    @classmethod
    def of(cls, inputs: Sequence[Input]) -> _Columns:
        def f32(values: ArrayLike) -> FloatArray:
            return np.asarray(values, np.float32)

        log = np.array([m.log for m in inputs])

        def scale(values: list[float]) -> FloatArray:
            v = f32(values)
            return np.where(log, np.log(np.where(log, v, 1.0)), v).astype(np.float32)

        return cls(
            typical=scale([m.typical for m in inputs]),
            low=f32([m.low for m in inputs]),
            high=f32([m.high for m in inputs]),
            log=log,
            window=np.array([m.window for m in inputs]),
            keep=f32([0.5 ** (1 / m.half_life_h) for m in inputs]),
            cap=f32([m.cap_h for m in inputs]),
        )


def _measured(values: FloatArray, col: _Columns) -> FloatArray:
    """Clipped, mean and diastolic pressure completed from the other two, logarithms taken."""
    x = np.clip(values, col.low, col.high).astype(np.float32)
    sbp, mean, dbp = x[:, 3], x[:, 4], x[:, 5]
    # One of the three is often left unwritten; a third of the pulse pressure above diastolic is the bedside rule.
    x[:, 4], x[:, 5] = (
        np.where(np.isnan(mean), (sbp + 2 * dbp) / 3, mean),
        np.where(np.isnan(dbp), np.clip((3 * mean - sbp) / 2, col.low[5], col.high[5]), dbp),
    )
    x[:, col.log] = np.log(x[:, col.log])
    return x


def _advance(state: FeatureState, x: FloatArray, col: _Columns) -> FeatureState:
    """Everything but the filled ring, one hour on."""
    seen = ~np.isnan(x)
    xw, sw = x[:, col.window], seen[:, col.window]
    fade = np.float32(0.5 ** (1 / _OWN_HALF_LIFE_H))
    return replace(
        state,
        ring=np.concatenate([state.ring[:, 1:], xw[:, None]], axis=1),
        last=np.where(seen, x, state.last),
        before=np.where(seen, state.last, state.before),
        age_h=np.where(seen, np.float32(0), np.minimum(state.age_h + 1, np.float32(_NEVER_H))),
        own_sum=state.own_sum * fade + np.where(sw, xw - col.typical[col.window], np.float32(0)),
        own_weight=state.own_weight * fade + sw.astype(np.float32),
    )


def _statistics(ring: FloatArray, center: FloatArray, filled: FloatArray) -> tuple[FloatArray, ...]:
    """Means of 6 and 24 h, minimum, maximum and spread of 24 h; `filled` stands in where nothing was measured."""
    hours = np.ascontiguousarray(ring.transpose(1, 0, 2))  # sums over the leading axis are four times as fast
    seen = ~np.isnan(hours)
    d = np.where(seen, hours - center, np.float32(0))  # centred, so that float32 squares stay exact enough
    n24, n6 = seen.sum(0), seen[-6:].sum(0)
    sum24, sum6 = d.sum(0), d[-6:].sum(0)
    one24, one6 = np.maximum(n24, 1), np.maximum(n6, 1)
    mean24 = np.where(n24 > 0, sum24 / one24 + center, filled)
    mean6 = np.where(n6 > 0, sum6 / one6 + center, filled)
    low = np.where(n24 > 0, np.fmin.reduce(hours, axis=0), filled)
    high = np.where(n24 > 0, np.fmax.reduce(hours, axis=0), filled)
    variance = np.maximum((d * d).sum(0) / one24 - (sum24 / one24) ** 2, 0)
    return mean6, mean24, low, high, np.sqrt(variance)


def _ratios(vitals: FloatArray) -> FloatArray:
    """Shape (n, 5), from the filled seven; all are positive by their clipping range."""
    rate, spo2, _, sbp, mean, dbp, resp = vitals.T
    return np.stack([rate / sbp, rate / mean, sbp - dbp, rate / resp, spo2 / resp], axis=1)


def feature_step(
    state: FeatureState, values: FloatArray, static: FloatArray, settings: FeatureSettings
) -> tuple[FloatArray, FeatureState]:
    """Make one hour's features for many patients at once.

    Example: a patient whose rate was 80 for a day and is 110 now has `rate` 110, `rate_stale` 0, `rate_change_1h` 30,
    `rate_below_max` 0. An hour later, with nothing measured, `rate_stale` is 1/6 and `rate` has slid back a little.

    Args:
        state: Of the same n patients; left untouched.
        values: Shape (n, n_inputs), units of `settings.units`, NaN where not measured in this hour.
        static: Shape (n, 2): age in years and sex (0 female, 1 male); NaN when unknown.
        settings: Which measures.

    Returns:
        Features of shape (n, n_features), float32, order of `settings.names`, never NaN (what was never seen is filled
        for arithmetic only, and its staleness is 1); and the state one hour on.

    Raises:
        ShapeMismatchError: If the three disagree about patients or measures.
    """
    n, m = len(state.last), len(settings.inputs)
    if values.shape != (n, m) or static.shape != (n, 2):
        raise ShapeMismatchError(f"frames {values.shape} and {static.shape}, expected {(n, m)} and {(n, 2)}")
    col = _Columns.of(settings.inputs)
    x = _measured(values, col)
    new = _advance(state, x, col)
    w = col.window
    base = col.typical[w] + new.own_sum / (new.own_weight + np.float32(_PRIOR_WEIGHT))
    goal = np.broadcast_to(col.typical, (n, m)).copy()
    goal[:, w] = base
    filled = np.where(np.isnan(new.last), goal, goal + (new.last - goal) * col.keep**new.age_h).astype(np.float32)
    now = filled[:, w]
    stale = np.minimum(new.age_h, col.cap) / col.cap
    past = [new.filled[:, -h] for h in CHANGES_H]
    changes = [np.where(np.isnan(p), np.float32(0), now - p) for p in past]
    mean6, mean24, low, high, spread = _statistics(new.ring, col.typical[w], now)
    window = np.stack(
        [now, stale[:, w], *changes, now - base, now - mean6, now - mean24, now - low, high - now, spread], axis=2
    )
    change = np.where(np.isnan(new.before), np.float32(0), new.last - new.before)
    lab = np.stack([filled[:, ~w], stale[:, ~w], change[:, ~w]], axis=2)
    who = np.where(np.isnan(static), np.array([_AGE_UNKNOWN, _SEX_UNKNOWN], np.float32), static)
    parts = [window.reshape(n, -1), lab.reshape(n, -1), _ratios(filled[:, : len(VITALS)]), who]
    state_on = replace(new, filled=np.concatenate([new.filled[:, 1:], now[:, None]], axis=1))
    x = np.concatenate(parts, axis=1, dtype=np.float32)
    if not settings.staleness:
        x = x[:, [not n.endswith("_stale") for n in replace(settings, staleness=True).names]]
    return x, state_on


def feature_rows(values: FloatArray, static: FloatArray, settings: FeatureSettings) -> FloatArray:
    """Make all features of one patient's stay: `feature_step` in a loop, nothing else.

    Args:
        values: Shape (hours, n_inputs), oldest first; NaN where not measured.
        static: Shape (2,): age, sex.
        settings: Which measures.

    Returns:
        Shape (hours, n_features).
    """
    return feature_table(values, np.array([len(values)]), static[None], settings)


def feature_table(
    values: FloatArray, lengths: NDArray[np.int64], static: FloatArray, settings: FeatureSettings
) -> FloatArray:
    """Make the features of many stays of unequal length, all patients of an hour in one step.

    Args:
        values: Shape (sum of lengths, n_inputs): the stays one after another.
        lengths: Shape (n_patients,), hours of each stay.
        static: Shape (n_patients, 2): age, sex.
        settings: Which measures.

    Returns:
        Shape (sum of lengths, n_features), rows as in `values`.
    """
    out = np.empty((len(values), len(settings.names)), np.float32)
    state = FeatureState.start(len(lengths), settings)
    for rows, patients in hours_of(lengths):
        # The longest stays come first, so those still running are always a leading slice.
        out[rows], state = feature_step(state.rows(slice(0, len(rows))), values[rows], static[patients], settings)
    return out


def hours_of(lengths: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.intp]]]:
    """Walk stays hour by hour, the longest first.

    Yields:
        Row numbers (into stays laid end to end) and patient numbers of those who have that hour. Each yield's patients
        are a leading part of the one before.
    """
    order = np.argsort(-lengths, kind="stable")
    begin = np.cumsum(lengths) - lengths
    ordered = lengths[order]
    for t in range(int(ordered[0]) if len(ordered) else 0):
        still = order[: int(np.searchsorted(-ordered, -t, side="left"))]
        yield begin[still] + t, still
