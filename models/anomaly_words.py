"""Why an anomaly score is what it is, in words a nurse reads.

Contributions are found by occlusion: the newest row is judged again as if one sign had never been measured. What would
clear an alert is played forward: the next rows are made up, with one thing back at what is usual for this patient and
everything else going on as it did, until the score has fallen and stays.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.anomaly_grid import MINUTES, SIGNS, N
from models.printed import EFFECT, NEITHER, PRINTED, direction_of
from vitals.events import Clearing, Contribution, Why
from vitals.signs import MEASURE_OF, SECOND_NS, Sign
from vitals.signs import SIGNS as TABLE

if TYPE_CHECKING:
    from models.anomaly_frames import State
    from models.anomaly_model import AnomalyModel
    from vitals.detector import FrameInput

Floats = np.typing.NDArray[np.float32]

WORDS: Final[dict[str, str]] = {
    "spike": "jumped and stayed for two of the last three readings",
    "shift": "sits at a new level",
    "stuck": "repeats the same value: the sensor may be stuck",
    "flat": "varies far less than usual for this patient",
    "drift": "several signs have been moving towards illness for hours",
}
"""What each part means, as a nurse reads it."""
CLEARS: Final = 0.8
"""The rule returns below this share of the threshold (`vitals.frame_rules.detector_answer`)."""
AHEAD: Final = 30
"""Rows that are played forward."""
_SETTLED: Final = 180.0  # rows after which a patient's own habits count more than the population's
_TOGETHER: Final[tuple[tuple[str, tuple[Sign, ...]], ...]] = (
    ("blood pressure", (Sign.SBP, Sign.DBP, Sign.MAP)),
    ("heart rate and pulse", (Sign.HR, Sign.PULSE)),
)
"""What a body moves together: tried where one sign alone does not suffice."""
_FORMED: Final = {Sign.SBP: 8, Sign.DBP: 8, Sign.MAP: 8, Sign.HR: 9, Sign.PULSE: 9}
_UNKNOWN: Final = ("ring", "level", "change", "hour", "hours", "wander", "usual")
_NOUGHT: Final = ("moved", "moves", "slow_sum", "slow_weight", "run", "same_sum", "same_weight")


def words(part: str, sign: int) -> str:
    """What a score says, in a sentence: ``heart rate sits at a new level``."""
    return WORDS[part] if sign < 0 else f"{_label(Sign(sign))} {WORDS[part]}"


def _label(sign: Sign) -> str:
    return "pulse" if sign == Sign.PULSE else MEASURE_OF[sign].label


def explain(model: AnomalyModel, frames: FrameInput, before: State, after: State) -> list[Why]:
    """Explain the newest row of some patients, in two batches. An alarm asks for it, the stream does not.

    Args:
        model: The artifact.
        frames: n rows, as they were scored.
        before: State of these patients before the row; left untouched.
        after: And after it; left untouched.

    Returns:
        One for each.
    """
    n = len(frames.value)
    row, _ = model.step(frames.value, frames.measured, before)
    without = _without(model, frames, before)
    usual = _usual(after)
    ways = _ways(model, row.part, row.sign, without[:, :] - _logit(row.score)[:, None])
    reached = _reached(model, after, usual, ways)
    return [_why(model, frames, after, usual, row, without, i, ways[i], reached[i]) for i in range(n)]


def _logit(score: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    held = np.clip(score, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(held / (1 - held)))


def _without(model: AnomalyModel, frames: FrameInput, before: State) -> np.typing.NDArray[np.float64]:
    """Log-odds of each patient's score as if one sign had never been measured: shape (n, N)."""
    n = len(frames.value)
    state: dict[str, Any] = {name: np.repeat(array, N, axis=0) for name, array in before.items()}
    measured = np.repeat(frames.measured, N, axis=0)
    for k, sign in enumerate(SIGNS):
        mine = slice(k, None, N)
        measured[mine, sign] = False
        gone = [k, _FORMED[sign]] if sign in _FORMED else [k]
        for name in _UNKNOWN:
            state[name][mine][:, gone] = np.nan
        for name in _NOUGHT:
            state[name][mine][:, gone] = 0
        state["past"][mine][:, k] = np.nan
        state["held"][mine][:, k] = np.nan
        state["stood"][mine][:, k] = np.inf
    row, _ = model.step(np.repeat(frames.value, N, axis=0), measured, state)
    return _logit(row.score).reshape(n, N)


def _usual(after: State) -> Floats:
    """What each sign usually is for each patient: shape (n, N), NaN where nothing is known."""
    hours, hour = after["hours"][:, :N], after["hour"][:, :N]
    with np.errstate(all="ignore"):
        ring = after["ring"][:, :N]
        seen = np.isfinite(ring)
        mean = np.where(seen, ring, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    recent = np.where(seen.any(axis=2), mean, np.nan)
    known = np.where(np.isfinite(hours), hours, hour)
    return np.where(np.isfinite(known), known, recent).astype(np.float32)


Way = tuple[str, tuple[int, ...]]
_NOTHING: Final[Way] = ("nothing", ())


def _ways(
    model: AnomalyModel, part: np.typing.NDArray[np.int64], sign: np.typing.NDArray[np.int64],
    less: np.typing.NDArray[np.float64],
) -> list[list[Way]]:  # fmt: skip
    """For each patient what is tried: a name, and the columns (of the eight signs) that go back to usual.

    Last comes that nothing changes: what clears by itself as soon is no answer to what would clear it.
    """
    out: list[list[Way]] = []
    for i in range(len(part)):
        ways: list[Way] = []
        if model.head.parts[part[i]] != "drift":
            spoke = SIGNS.index(Sign(sign[i]))
            others = [k for k in np.argsort(less[i]).tolist() if k != spoke and less[i, k] < -NEITHER][:1]
            ways = [(_label(SIGNS[k]), (k,)) for k in (spoke, *others)]
            ways += [
                (name, tuple(SIGNS.index(s) for s in family)) for name, family in _TOGETHER if SIGNS[spoke] in family
            ]
        out.append([*ways, ("all signs", tuple(range(N))), _NOTHING])
    return out


def _reached(model: AnomalyModel, after: State, usual: Floats, ways: list[list[Way]]) -> list[list[int]]:
    """For each way the rows until the score is below the level at which the rule returns, for good; 0: not reached."""
    owner = np.repeat(np.arange(len(ways)), [len(w) for w in ways])
    flat = [way for mine in ways for way in mine]
    state: Any = {name: array[owner] for name, array in after.items()}
    ring = after["ring"][owner, :N]
    rng = np.random.default_rng(0)  # the same made-up minutes for everybody, always
    wobble = rng.normal(0, 0.9, (AHEAD, N)).astype(np.float32)
    change, step = model.grid.change[:N], model.grid.step[:N]
    size = np.where(np.isfinite(after["usual"][owner, :N]), after["usual"][owner, :N], change)
    back = np.zeros((len(flat), N), bool)
    for j, (_, columns) in enumerate(flat):
        back[j, list(columns)] = True
    back &= np.isfinite(usual[owner])
    low = np.zeros((AHEAD, len(flat)), bool)
    for t in range(AHEAD):
        # Everything else goes on as the last half hour, played backwards: the same level, the same restlessness.
        x = ring[:, :, -1 - t % ring.shape[2]]
        calm = np.round((usual[owner] + wobble[t] * size) / step) * step
        x = np.where(back, np.minimum(calm, [TABLE[s].possible[1] for s in SIGNS]), x)
        value = np.full((len(flat), len(Sign)), np.nan)
        value[:, [int(s) for s in SIGNS]] = x
        row, state = model.step(value, np.isfinite(value), state)
        low[t] = row.score < CLEARS * model.head.threshold
    stays = np.logical_and.accumulate(low[::-1], axis=0)[::-1].sum(axis=0)
    rows = np.where(stays > 0, AHEAD - stays + 1, 0).tolist()
    parts = np.cumsum([0, *(len(w) for w in ways)])
    return [rows[a:b] for a, b in pairwise(parts.tolist())]


def _why(
    model: AnomalyModel, frames: FrameInput, after: State, usual: Floats, row: Any, without: Any, i: int,
    ways: list[Way], reached: list[int],
) -> Why:  # fmt: skip
    score, threshold = float(row.score[i]), model.head.threshold
    said = words(model.head.parts[row.part[i]], int(row.sign[i]))
    found = _contributions(frames, after, usual, float(_logit(row.score[i : i + 1])[0]) - without[i], i)
    clears = _clears(model, usual[i], row, i, ways, reached) if score >= CLEARS * threshold else ()
    return Why(
        summary=f"{said[0].upper()}{said[1:]}: score {score:.2f}, threshold {threshold:.2f}.",
        threshold=round(threshold, 6),
        contributions=tuple(found),
        clears=clears,
        trust=_trust(model, frames, after, score, i),
    )


def _contributions(
    frames: FrameInput, after: State, usual: Floats, log_odds: np.typing.NDArray[np.float64], i: int
) -> list[Contribution]:
    """Of every sign ever seen, the strongest first."""
    out = []
    for k, sign in enumerate(SIGNS):
        value = float(after["held"][i, k, -1])
        if np.isnan(value):
            continue
        table, direction = TABLE[sign], direction_of(float(log_odds[k]))
        digits = 1 if sign == Sign.TEMP_C else 0
        text = f"{_label(sign)} {value:.{digits}f} {PRINTED[table.unit]}"
        # Of what is printed: nobody reads "123, 1 above its usual 123".
        away = round(round(value, digits) - round(float(usual[i, k]), digits), digits)
        if np.isfinite(usual[i, k]) and away:
            way = "above" if away > 0 else "below"
            text += f", {abs(away):.{digits}f} {way} its usual {usual[i, k]:.{digits}f}"
        age_ns = int(frames.age_ns[i, sign])
        if age_ns >= 120 * SECOND_NS:
            text += f", {age_ns // (60 * SECOND_NS)} min old"
        out.append(
            Contribution(
                what=_label(sign),
                log_odds=round(float(log_odds[k]), 3),
                direction=direction,  # type: ignore[arg-type]  # one of the three
                value=round(value, 2),
                unit=table.unit,
                age_s=age_ns // SECOND_NS if age_ns >= 0 else None,
                words=f"{text}, {EFFECT[direction]} the score",
            )
        )
    return sorted(out, key=lambda c: -abs(c.log_odds))


def _clears(
    model: AnomalyModel, usual: Floats, row: Any, i: int, ways: list[Way], reached: list[int]
) -> tuple[Clearing, ...]:
    out: list[Clearing] = []
    unit_of_time = "min" if model.grid is MINUTES else "h"
    still = model.head.parts[row.part[i]] in {"stuck", "flat"}
    for (what, columns), rows in zip(ways[:-1], reached, strict=False):
        if not rows or 0 < reached[-1] <= rows or (out and len(columns) > 1):
            continue
        begin = f"would fall below the threshold within {rows} {unit_of_time} if {what}"
        if len(columns) > 1:
            out.append(Clearing(what=what, words=f"{begin} went back to what is usual for this patient"))
            continue
        sign = SIGNS[columns[0]]
        if still and sign == int(row.sign[i]):
            out.append(Clearing(what=what, words=f"{begin} varied again as it used to"))
            continue
        value = round(float(usual[columns[0]]), 1 if sign == Sign.TEMP_C else 0)
        unit = TABLE[sign].unit
        words_ = f"{begin} went back to its usual {value:g} {PRINTED[unit]}"
        out.append(Clearing(what=what, value=value, unit=unit, words=words_))
    return tuple(out)


def _trust(model: AnomalyModel, frames: FrameInput, after: State, score: float, i: int) -> str:
    a_day = 0.5 * (1 - score) / max(score, 1e-9)
    often = f"one in {1 / a_day:.0f} days" if a_day < 0.7 else f"{a_day:.1f} a day"
    text = f"as rare as {often} on patients without events"
    rows, unit = float(after["count"][i]), "min" if model.grid is MINUTES else "h"
    if rows < (_SETTLED if model.grid is MINUTES else 24):
        text += f"; this patient is known for {rows:.0f} {unit} only, so the population's habits still count"
    missing = [
        _label(s) for k, s in enumerate(SIGNS)
        if not frames.measured[i, s] and np.isfinite(after["held"][i, k, -1])
    ]  # fmt: skip
    return f"{text}; not measured now: {', '.join(missing)}" if missing else text
