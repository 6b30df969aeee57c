"""Why a sepsis score is what it is, in words a nurse reads.

Occlusion: the last day is played to the network again as if one kind of measurement had never been made, and the
difference is that measurement's contribution. The networks were trained with inputs missing, so they know such days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.sepsis_model import VITAL_GROUPS, SepsisModel
from models.sepsis_recording import score_stays
from vitals.features import RING_H, VITALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vitals.detector import State

    Floats = NDArray[np.float32]

RECENT_H = 6
"""What would clear an alert is tried over these last hours: no single hour says much by itself."""
_SHORT = {"rate": "heart rate", "spo2": "oxygen saturation", "temp_c": "temperature", "sbp": "systolic pressure",
          "map": "mean pressure", "dbp": "diastolic pressure", "resp": "respiration"}  # fmt: skip
_PRINTED = {"/min": "/min", "%": "%", "Cel": "°C", "mm[Hg]": "mmHg"}


class Contribution(msgspec.Struct, frozen=True):
    """What one kind of measurement does to a score."""

    what: str
    """`respiration`, `blood pressure`, `laboratory`."""
    log_odds: float
    """Added to the log-odds by having been measured; positive raises the score."""
    age_h: float
    """Hours since it was last measured; infinite when never."""
    words: str
    """`respiration 28 /min, 8 more than 6 h ago, raises the score`."""


class Explanation(msgspec.Struct, frozen=True):
    """Why one patient's score is what it is now."""

    score: float
    """Of the last day replayed; near the live score, which may remember more than a day."""
    contributions: tuple[Contribution, ...]
    """The strongest first."""
    would_clear: tuple[str, ...]
    """Changes of one kind of measurement, each of which alone would take the score below the clear level."""
    trust: str
    """How far to trust it."""


def explain(model: SepsisModel, state: State, row: int, static: Floats) -> Explanation:
    """Explain the newest score of one patient. A page or an alarm asks for it, the stream does not.

    Args:
        model: The artifact.
        state: Of the ward.
        row: The patient's.
        static: Shape (2,): age in years, sex.

    Returns:
        The explanation; it costs about as much as 24 hours of ten patients.
    """
    day = last_day(model, state, row)
    groups = _groups(model)
    tries = [day, *(_without(day, columns) for columns in groups.values())]
    calmer = [_calmer(model, day, columns) for columns in groups.values()]
    batch = np.concatenate(tries + calmer)
    lengths = np.full(len(tries) + len(calmer), len(day))
    hour = score_stays(model, batch, lengths, np.tile(static, (len(lengths), 1)).astype(np.float32))
    last = np.cumsum(lengths) - 1
    logit, score = hour.logit[last], hour.score[last]
    found = []
    for i, (what, columns) in enumerate(groups.items(), start=1):
        age = float(np.asarray(state["age_h"])[row, columns].min())
        weight = float(logit[0] - logit[i])
        words = _words(model, day, what, columns, age, weight)
        found.append(Contribution(what, weight, age if age < RING_H * 10 else float("inf"), words))
    clear = tuple(
        f"would fall below {model.head.clear:.3f} if {what} had been {_typical(model, columns)} for {RECENT_H} h"
        for i, (what, columns) in enumerate(groups.items())
        if score[0] >= model.head.clear > score[len(tries) + i]
    )
    now = last[0]
    trust = _trust(float(hour.low[now]), float(hour.high[now]), found, assessable=bool(hour.assessable[now]))
    return Explanation(float(score[0]), tuple(sorted(found, key=lambda c: -abs(c.log_odds))), clear, trust)


def last_day(model: SepsisModel, state: State, row: int) -> Floats:
    """The patient's last day as frames, out of the state: shape (hours, n_inputs), at most 24 hours.

    Laboratory values are carried as last value and age only; they are put where they were measured, or at the
    beginning of the day when they are older.
    """
    hours = int(min(max(int(np.asarray(state["hours"])[row]), 1), RING_H))
    day = np.full((hours, len(model.settings.inputs)), np.nan, np.float32)
    day[:, : len(VITALS)] = np.asarray(state["ring"])[row, RING_H - hours :]
    last, age = np.asarray(state["last"])[row], np.asarray(state["age_h"])[row]
    for k in range(len(VITALS), day.shape[1]):
        if not np.isnan(last[k]):
            value = np.exp(last[k]) if model.settings.inputs[k].log else last[k]
            day[max(hours - 1 - int(min(age[k], RING_H)), 0), k] = value
    return day


def _groups(model: SepsisModel) -> dict[str, list[int]]:
    names = [m.name for m in model.settings.inputs]
    groups = {what: [names.index(n) for n in members] for what, members in VITAL_GROUPS.items()}
    if len(names) > len(VITALS):
        groups["laboratory"] = list(range(len(VITALS), len(names)))
    return groups


def _without(day: Floats, columns: list[int]) -> Floats:
    out = day.copy()
    out[:, columns] = np.nan
    return out


def _calmer(model: SepsisModel, day: Floats, columns: list[int]) -> Floats:
    """The day with one kind of measurement at its typical value in the last hours."""
    out = day.copy()
    out[-RECENT_H:, columns] = [model.settings.inputs[k].typical for k in columns]
    return out


def _typical(model: SepsisModel, columns: list[int]) -> str:
    if columns[0] >= len(VITALS):
        return "usual"
    rows = [model.settings.inputs[k] for k in columns]
    if len(rows) > 1:  # blood pressure is said as it is written on the chart
        return f"{rows[0].typical:g}/{rows[-1].typical:g} {_PRINTED[rows[0].unit]}"
    return f"{rows[0].typical:g} {_PRINTED[rows[0].unit]}"


def _words(model: SepsisModel, day: Floats, what: str, columns: list[int], age: float, weight: float) -> str:
    effect = "raises the score" if weight > 0 else "lowers the score"
    seen = ~np.isnan(day[:, columns[0]])
    if what == "laboratory":
        return f"laboratory values, the newest {age:.0f} h old, {effect}"
    if not seen.any():
        return f"{what}: not measured within a day"
    row = model.settings.inputs[columns[0]]
    at = int(np.flatnonzero(seen)[-1])
    value = float(day[at, columns[0]])
    digits = 1 if row.name == "temp_c" else 0
    text = f"{_SHORT[row.name]} {value:.{digits}f} {_PRINTED[row.unit]}"
    earlier = np.flatnonzero(seen[: max(at - RECENT_H + 1, 0)])
    if len(earlier):
        change = value - float(day[earlier[-1], columns[0]])
        if round(change, digits):
            text += f", {abs(change):.{digits}f} {'more' if change > 0 else 'less'} than {at - earlier[-1]} h ago"
    if age >= 1:
        text += f", {age:.0f} h old"
    return f"{text}, {effect}"


def _trust(low: float, high: float, found: list[Contribution], *, assessable: bool) -> str:
    stale = [c.what for c in found if c.age_h > RECENT_H and c.what != "laboratory"]
    text = f"the networks say {low:.3f} to {high:.3f}"
    if stale:
        text += f"; old or missing: {', '.join(stale)}"
    return text if assessable else f"not assessable: too little is fresh or unlike the patients learned from; {text}"
