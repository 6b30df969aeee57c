"""What one minute says against the hours before it: the evidence that the parts of the anomaly detector weigh.

Arithmetic only, the same function for training, replay and the live ward: `step` takes one minute of many patients and
a small state. Ten channels are followed: eight signs, and two that are formed from them so that "this sign moved and
its companions did not" is a number of its own.

```
  minutes   t-360 ........... t-80 .. t-20 ...... t-15 ...... t-3 | t-2  t-1  t
  blocks    |<-- medians and mean changes of ten minutes each -->|             (36 kept)
  ring                                             |<------ single minutes --->| (31 kept)
  spike     the second largest of the last three minutes' distances from the median of the twelve before
  shift     the median of the last eight minutes against the blocks of t-80..t-20 and of the hours before
  drift     the median of the last ten minutes against blocks 0.5 to 6 h back: these never follow the patient down
  flat      mean change of the last 15, 30 and 60 minutes against the patient's own over the hours before them
  stuck     how long a value has repeated exactly, against how often this patient's values repeat
```
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.anomaly_grid import CENTRE, CHANNELS, MINUTES, SIGNS, SPREAD, WORSE, Grid, N
from vitals.medians import mean_of, median, median_of, ordered

Floats = npt.NDArray[np.float32]
State = dict[str, npt.NDArray[np.float32]]

RING, BLOCKS = 31, 36
LONG_RUN: Final = 10
_OF_BLOCKS: Final = ("hour", "hours", "wander", "usual", "past")
HELD: Final = 5

SIGN_FEATURES: Final = (
    "jump_own", "jump_short", "jump_pop", "now_own", "now_pop", "step_own", "shift_blocks", "shift_pop", "shift_hours",
    "hold10", "hold20", "run", "surprise", "repeat", "quiet15", "quiet30", "quiet60", "scale", "level", "seen",
)  # fmt: skip


def start(rows: int) -> State:
    """The state of patients of whom nothing is known yet; every array has a leading axis of `rows`.

    `ring`, `level` and `change` hold the newest last; `held` the last known value of each sign at the last rows.
    `hour` to `past` are summaries of the blocks: they change only when a block closes, so they are made then and kept.
    """
    nan, c = np.float32(np.nan), CHANNELS
    return {
        "count": np.zeros(rows, np.float32),
        "ring": np.full((rows, c, RING), nan, np.float32),
        "level": np.full((rows, c, BLOCKS), nan, np.float32),
        "change": np.full((rows, c, BLOCKS), nan, np.float32),
        "moved": np.zeros((rows, c), np.float32),
        "moves": np.zeros((rows, c), np.float32),
        "slow_sum": np.zeros((rows, c), np.float32),
        "slow_weight": np.zeros((rows, c), np.float32),
        "run": np.zeros((rows, c), np.float32),
        "same_sum": np.zeros((rows, c), np.float32),
        "same_weight": np.zeros((rows, c), np.float32),
        "hour": np.full((rows, c), nan, np.float32),
        "hours": np.full((rows, c), nan, np.float32),
        "wander": np.full((rows, c), nan, np.float32),
        "usual": np.full((rows, c), nan, np.float32),
        "past": np.full((rows, N, len(MINUTES.lags)), nan, np.float32),
        "held": np.full((rows, N, HELD), nan, np.float32),
    }


def _mean(x: Floats) -> Floats:
    """Mean over the last axis, NaN left out; NaN where all are."""
    seen = np.isfinite(x)
    count = seen.sum(axis=-1)
    total = np.where(seen, x, np.float32(0)).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def channels(x: Floats) -> Floats:
    """Signs, shape (n, 8), to channels, shape (n, 10)."""
    rate, pulse, sbp, dbp, mean = x[:, 0], x[:, 1], x[:, 5], x[:, 6], x[:, 7]
    # A third of the pulse pressure above diastolic; the median over the fitted patients is 0.34.
    implied = dbp + np.float32(0.34) * (sbp - dbp)
    return np.concatenate([x, (mean - implied)[:, None], (rate - pulse)[:, None]], axis=1, dtype=np.float32)


def _known(z: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """0 where unknown, or beyond all numbers. `np.nan_to_num` takes three times as long."""
    return np.where(np.isfinite(z), z, z.dtype.type(0))


def _second(d: Floats) -> Floats:
    """Of three distances, the second largest on the side where it is larger: what two of three minutes agree on."""
    a, b, c = _known(d)
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    # With one of three unknown (0) the middle one is 0 or the smaller of the two known on one side: still two of three.
    return np.asarray(middle, np.float32)


def _hold(d: Floats, allow: int) -> Floats:
    """The distance that all but `allow` of the minutes exceed, on the side where it is larger; 0 if they disagree."""
    rising = ordered(_known(d))
    low, high = rising[allow], rising[-1 - allow]
    return np.where(low > 0, low, np.where(high < 0, high, 0)).astype(np.float32)


def _push(ring: Floats, newest: Floats) -> Floats:
    """The ring with its oldest gone and `newest` at its end."""
    out = np.empty_like(ring)
    out[..., :-1] = ring[..., 1:]
    out[..., -1] = newest
    return out


def _close(s: State, g: Grid, rows: npt.NDArray[np.intp]) -> None:
    """End a block of ten minutes for some patients: into the rings with it, and make the summaries anew. In place."""
    ring, moved, moves = s["ring"][rows], s["moved"][rows], s["moves"][rows]
    mean_change = np.where(moves >= min(3, g.block), moved / np.maximum(moves, 1), np.nan).astype(np.float32)
    level = _push(s["level"][rows], median(ring[..., -g.block :]))
    change = _push(s["change"][rows], mean_change)
    s["level"][rows], s["change"][rows] = level, change
    s["moved"][rows] = 0
    s["moves"][rows] = 0
    # The two newest blocks stay out of what is compared with: an event must not be its own yardstick at once.
    s["hour"][rows] = median(level[..., -g.hour : -g.near])
    s["hours"][rows] = median(level[..., -g.hours : -g.near])
    s["wander"][rows] = _mean(np.abs(level - median(level)[..., None]))
    s["usual"][rows] = _mean(change[..., : -g.hour])
    back = [_mean(level[:, :N, max(BLOCKS - lag - 3, 0) : BLOCKS - lag + 1]) for lag in g.lags]
    s["past"][rows] = np.stack(back, axis=2)


def _advance(c: Floats, s: State, g: Grid) -> State:
    """The state one minute on."""
    before = s["ring"][..., -1]
    fade = np.float32(0.5 ** (1 / g.slow))
    change = np.abs(c - before)
    known = np.isfinite(change)
    # A single flush must not own the scale for hours: changes count up to eight typical ones.
    own = (s["slow_sum"] + g.prior * g.change) / (s["slow_weight"] + g.prior)
    counted = np.where(known, np.minimum(change, 8 * np.maximum(own, 0.25 * g.change)), 0)
    same = known & (change < g.step / 2)
    after = {
        "count": s["count"] + 1,
        "ring": _push(s["ring"], c),
        "level": s["level"],
        "change": s["change"],
        "moved": (s["moved"] + counted).astype(np.float32),
        "moves": s["moves"] + known.astype(np.float32),
        "slow_sum": (s["slow_sum"] * fade + counted).astype(np.float32),
        "slow_weight": (s["slow_weight"] * fade + known).astype(np.float32),
        "run": np.where(same, s["run"] + 1, np.where(np.isfinite(c), 0, s["run"])).astype(np.float32),
        # A run in progress must not teach the patient's own habit: it counts up to ten repeats.
        "same_sum": (s["same_sum"] * fade + (same & (s["run"] < LONG_RUN))).astype(np.float32),
        "same_weight": (s["same_weight"] * fade + (known & (s["run"] < LONG_RUN))).astype(np.float32),
        "held": _push(s["held"], np.where(np.isfinite(c[:, :N]), c[:, :N], s["held"][..., -1])),
        **{k: s[k] for k in _OF_BLOCKS},
    }
    closing = np.flatnonzero(np.mod(after["count"], g.block) == 0)
    if len(closing):
        # Most of a patient's state, and mostly as it was: copied only when a block of somebody's ends.
        after.update({k: after[k].copy() for k in ("level", "change", *_OF_BLOCKS)})
        _close(after, g, closing)
    return after


def _squash(z: npt.NDArray[np.floating]) -> Floats:
    """Keeps the order of large values without letting them own a scale; unknown becomes 0."""
    squashed: Floats = np.arcsinh(_known(z)).astype(np.float32)
    return squashed


def _log_ratio(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Floats:
    """Logarithm of a/b, within -4..4; 0 where either is unknown."""
    ratio: Floats = np.clip(np.nan_to_num(np.log(a / b)), -4, 4).astype(np.float32)
    return ratio


def _quiet(s: State, minutes: Floats, g: Grid, usual: npt.NDArray[np.floating]) -> list[Floats]:
    """How far the mean change of the last 15, 30 and 60 minutes lies below the usual one, as logarithms."""
    change = np.minimum(np.abs(np.diff(minutes[-1 - g.quiet[1] :], axis=0)), (8 * usual).astype(np.float32))
    least = 0.25 * g.step
    fifteen, thirty = (mean_of(change[-k:]) for k in g.quiet)
    sixty = _mean(np.stack([thirty, _mean(s["change"][..., -g.hour : -g.near])], axis=-1))
    return [_log_ratio(np.maximum(m, least), usual) for m in (fifteen, thirty, sixty)]


def _features(c: Floats, s: State, minutes: Floats, g: Grid) -> Floats:
    """Shape (n, CHANNELS, len(SIGN_FEATURES)), order of `SIGN_FEATURES`; `minutes` is the ring, the minutes first."""
    own = (s["slow_sum"] + g.prior * g.change) / (s["slow_weight"] + g.prior)
    own = np.maximum(own, 0.1 * g.change)
    window = minutes[-g.base[0] : -g.base[1]]
    base = median_of(window)
    short = np.maximum(mean_of(np.abs(window - base)), 0.1 * g.change)
    jump = np.where(np.isfinite(c), _second(minutes[-3:] - base), 0)
    now8 = median_of(minutes[-g.now :])
    hour = np.where(np.isfinite(s["hour"]), s["hour"], base)
    hours = np.where(np.isfinite(s["hours"]), s["hours"], hour)
    wander = np.maximum(_known(s["wander"]), 0.1 * SPREAD)
    usual = np.maximum(np.where(np.isfinite(s["usual"]), s["usual"], own), g.step)
    habit = (s["same_sum"] + 2 * 0.1) / (s["same_weight"] + 2)
    parts = [
        _squash(jump / own),
        _squash(jump / short),
        _squash(jump / g.change),
        _squash((c - base) / own),
        _squash((c - base) / g.change),
        _squash((c - minutes[-2]) / own),
        _squash((now8 - hour) / wander),
        _squash(3 * (now8 - hour) / SPREAD),
        _squash((now8 - hours) / wander),
        *(_squash(3 * _hold(minutes[-k:] - hour, allow) / SPREAD) for k, allow in g.hold),
        np.log1p(s["run"]),
        np.log1p(s["run"] * -np.log(np.clip(habit, 1e-3, 0.98))),
        np.log(habit),
        *_quiet(s, minutes, g, usual),
        np.log(own / g.change),
        _squash((now8 - CENTRE) / SPREAD),
        np.isfinite(minutes[-g.base[0] :]).mean(axis=0),
    ]
    return np.stack([np.asarray(p, np.float32) for p in parts], axis=2)


def _drift(s: State, minutes: Floats, g: Grid) -> Floats:
    """Distance of the last ten minutes from blocks long before, towards illness; shape (n, 8, len(DRIFT))."""
    now = median_of(minutes[-g.present :, :, :N])
    towards = WORSE[:, None] * 3 * (now[..., None] - s["past"]) / SPREAD[:N, None]
    level = WORSE * (now - CENTRE[:N]) / SPREAD[:N]
    return np.concatenate([_squash(towards), _squash(level)[..., None]], axis=2)


def _frame(c: Floats, s: State, g: Grid) -> Floats:
    """What the forecaster is fed, shape (n, 7, 8): see `FRAME`."""
    x, change = c[:, :N], g.change[:N]
    # `held[-1]` is this row; the forecaster stands `lag` rows back.
    then, before = s["held"][..., -1 - g.lag], s["held"][..., -2 - g.lag]
    fresh = np.isfinite(s["ring"][:, :N, -1 - g.lag]).astype(np.float32)
    base = np.where(np.isfinite(then), then, CENTRE[:N])
    move = np.abs(x - s["ring"][:, :N, -2])
    parts = [
        np.clip(_known((then - CENTRE[:N]) / SPREAD[:N]), -5, 5),
        fresh,
        _squash((then - before) / change) * fresh,
        np.isfinite(x),
        np.clip(_known((x - base) / change), -200, 200),
        np.isfinite(move),
        np.minimum(_known(move / change), 50),
    ]
    return np.stack([np.asarray(p, np.float32) for p in parts], axis=1)


FRAME: Final = ("then", "then_fresh", "then_moved", "here", "distance", "moved_known", "moved")
"""Rows of the forecaster's input: the value `lag` rows ago and its last change; whether a value is here, its distance
from that one in usual changes; whether the change from the row before is known, and it."""
DRIFT: Final = ("lag1", "lag2", "lag3", "lag4", "lag5", "lag6", "illness")
WIDTH: Final = len(FRAME) * N + CHANNELS * len(SIGN_FEATURES) + N * len(DRIFT)


def names() -> tuple[str, ...]:
    """Names of the features, in order: `then_hr` ... `hr_jump_own` ... `hr_lag1` ..."""
    signs = [s.column for s in SIGNS]
    channel = [*signs, "map_from_sbp_dbp", "hr_from_pulse"]
    frame = [f"{part}_{sign}" for part in FRAME for sign in signs]
    evidence = [f"{c}_{part}" for c in channel for part in SIGN_FEATURES]
    return (*frame, *evidence, *(f"{sign}_{part}" for sign in signs for part in DRIFT))


def step(x: Floats, state: State, grid: Grid = MINUTES) -> tuple[Floats, State]:
    """One row of evidence.

    Args:
        x: Shape (n, 8), the signs of `SIGNS` in canonical units; NaN where not measured in this row or artefact.
        state: Of the same patients; left untouched.
        grid: Minutes or hours.

    Returns:
        Features, shape (n, WIDTH), order of `names()`, never NaN (what is not known yet is 0, "nothing unusual"); and
        the state one row on.
    """
    c = channels(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        after = _advance(c, state, grid)
        minutes = np.ascontiguousarray(np.moveaxis(after["ring"], 2, 0))
        parts = (_frame(c, after, grid), _features(c, after, minutes, grid), _drift(after, minutes, grid))
    return np.concatenate([p.reshape(len(x), -1) for p in parts], axis=1), after
