"""Why a sepsis score is what it is, in words a nurse reads.

Occlusion: the last day is played to the networks again as if one kind of measurement had never been made, and the
difference is that measurement's contribution. The networks were trained with inputs missing, so they know such days.
What would clear an alert is found in the same batch: the day again, with one kind of measurement nearer to its typical
value in the last hours, in quarters of the way; the mildest change that suffices is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.printed import EFFECT, NEITHER, PRINTED, direction_of
from models.sepsis_model import VITAL_GROUPS, SepsisModel
from models.sepsis_recording import score_stays
from vitals.events import Clearing, Contribution, Why
from vitals.features import RING_H, VITALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vitals.detector import State

    Floats = NDArray[np.float32]

RECENT_H = 6
"""What would clear an alert is tried over these last hours: no single hour says much by itself."""
QUARTERS: Final = (0.25, 0.5, 0.75, 1.0)
"""Shares of the way to the typical value that are tried."""
_LABS: Final = "laboratory"
_SHORT = {"rate": "heart rate", "spo2": "oxygen saturation", "temp_c": "temperature", "sbp": "systolic pressure",
          "map": "mean pressure", "dbp": "diastolic pressure", "resp": "respiration"}  # fmt: skip


def explain(model: SepsisModel, state: State, static: Floats, age_s: NDArray[np.int64]) -> list[Why]:
    """Explain the newest scores of some patients, in one batch. An alarm asks for it, the stream does not.

    Args:
        model: The artifact.
        state: Of n patients, after the hour.
        static: Shape (n, 2): age in years, sex.
        age_s: Shape (n, groups of `groups_of`), seconds since the newest measurement of each; -1 where never or not
            known.

    Returns:
        One for each; all together cost about as much as 24 hours of thirty times n patients.
    """
    days = [last_day(model, state, row) for row in range(len(static))]
    groups = groups_of(model)
    tries = [_tries(model, day, groups) for day in days]
    lengths = np.concatenate([[len(day)] * len(mine) for day, mine in zip(days, tries, strict=True)])
    owner = np.repeat(np.arange(len(days)), [len(mine) for mine in tries])
    hour = score_stays(model, np.concatenate([x for mine in tries for x in mine]), lengths, static[owner])
    last = np.cumsum(lengths) - 1
    out = []
    for row, day in enumerate(days):
        mine = last[owner == row]
        logit, score = hour.logit[mine], hour.score[mine]
        found = _contributions(model, day, logit, age_s[row])
        trust = _trust(model, hour.low[mine[0]], hour.high[mine[0]], float(score[0]), found)
        if not hour.assessable[mine[0]]:
            trust = f"not assessable: too little is fresh or unlike the patients learned from; {trust}"
        raising = [c.what for c in found if c.log_odds >= NEITHER][:2]
        chiefly = f": chiefly {' and '.join(raising)}" if raising else ""
        out.append(
            Why(
                summary=f"Sepsis risk {score[0]:.3f}, threshold {model.head.threshold:.3f}{chiefly}.",
                threshold=round(model.head.threshold, 6),
                contributions=tuple(found),
                clears=_clears(model, day, groups, score),
                trust=trust,
            )
        )
    return out


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


def groups_of(model: SepsisModel) -> dict[str, list[int]]:
    """What a nurse measures in one go -> columns of the frame."""
    names = [m.name for m in model.settings.inputs]
    groups = {what: [names.index(n) for n in members] for what, members in VITAL_GROUPS.items()}
    if len(names) > len(VITALS):
        groups[_LABS] = list(range(len(VITALS), len(names)))
    return groups


def _tries(model: SepsisModel, day: Floats, groups: dict[str, list[int]]) -> list[Floats]:
    """The day; then without each group; then with each group nearer to usual, a quarter at a time."""
    without = []
    for columns in groups.values():
        gone = day.copy()
        gone[:, columns] = np.nan
        without.append(gone)
    calmer = [_calmer(model, day, columns, share) for columns in groups.values() for share in QUARTERS]
    return [day, *without, *calmer]


def _calmer(model: SepsisModel, day: Floats, columns: list[int], share: float) -> Floats:
    """The day with one group's last hours at `_goal`."""
    out = day.copy()
    out[-RECENT_H:, columns] = _goal(model, day, columns, share)
    return out


def _goal(model: SepsisModel, day: Floats, columns: list[int], share: float) -> Floats:
    """That share of the way from the newest value of each column to the typical one; where it has none, typical."""
    typical = np.array([model.settings.inputs[k].typical for k in columns], np.float32)
    newest = np.array([_newest(day[:, k])[1] for k in columns], np.float32)
    return np.where(np.isnan(newest), typical, newest + np.float32(share) * (typical - newest)).astype(np.float32)


def _newest(column: Floats) -> tuple[int, float]:
    """Hour and value of the newest measurement; -1 and NaN where there is none."""
    seen = np.flatnonzero(~np.isnan(column))
    return (int(seen[-1]), float(column[seen[-1]])) if len(seen) else (-1, float("nan"))


def _contributions(
    model: SepsisModel, day: Floats, logit: NDArray[np.float64], age_s: NDArray[np.int64]
) -> list[Contribution]:
    """The strongest first."""
    found = []
    for i, (what, columns) in enumerate(groups_of(model).items()):
        weight = float(logit[0] - logit[i + 1])
        direction = direction_of(weight)
        row, (_, value) = model.settings.inputs[columns[0]], _newest(day[:, columns[0]])
        number = what != _LABS and not np.isnan(value)
        found.append(
            Contribution(
                what=what,
                log_odds=round(weight, 3),
                direction=direction,  # type: ignore[arg-type]  # one of the three
                value=round(value, 2) if number else None,
                unit=row.unit if number else "",
                age_s=int(age_s[i]) if age_s[i] >= 0 else None,
                words=_words(model, day, what, columns, int(age_s[i]), direction),
            )
        )
    return sorted(found, key=lambda c: -abs(c.log_odds))


def _clears(
    model: SepsisModel, day: Floats, groups: dict[str, list[int]], score: NDArray[np.float64]
) -> tuple[Clearing, ...]:
    """For each group the mildest change tried that takes the score below the level at which the rule returns."""
    clear = model.head.clear
    if score[0] < clear:
        return ()
    after = score[1 + len(groups) :].reshape(len(groups), len(QUARTERS))
    out = []
    for (what, columns), reached in zip(groups.items(), after, strict=True):
        enough = np.flatnonzero(reached < clear)
        if not len(enough):
            continue
        begin, row = "would fall below the threshold if", model.settings.inputs[columns[0]]
        if what == _LABS:
            text = f"{begin} laboratory values had been nearer to usual for {RECENT_H} h"
            out.append(Clearing(what=what, words=text))
            continue
        goal = _goal(model, day, columns, QUARTERS[int(enough[0])])
        value = f"{goal[0]:.1f}" if row.name == "temp_c" else f"{goal[0]:.0f}"
        # Blood pressure is said as it is written on the chart.
        said = f"{value}/{goal[-1]:.0f}" if len(columns) > 1 else value
        text = f"{begin} {what} had been {said} {PRINTED[row.unit]} for {RECENT_H} h"
        out.append(Clearing(what=what, value=float(value), unit=row.unit, words=text))
    return tuple(out)


def _words(model: SepsisModel, day: Floats, what: str, columns: list[int], age_s: int, direction: str) -> str:
    effect = f"{EFFECT[direction]} the score"
    old = "" if age_s < 3600 else f", {age_s / 3600:.0f} h old"
    if what == _LABS:
        return f"laboratory values{old and f', the newest{old[1:]}'}, {effect}"
    row = model.settings.inputs[columns[0]]
    at, value = _newest(day[:, columns[0]])
    if at < 0:
        return f"{what}: not measured within a day"
    digits = 1 if row.name == "temp_c" else 0
    text = f"{_SHORT[row.name]} {value:.{digits}f} {PRINTED[row.unit]}"
    before, earlier = _newest(day[: max(at - RECENT_H + 1, 0), columns[0]])
    if before >= 0 and round(value - earlier, digits):
        change = value - earlier
        text += f", {abs(change):.{digits}f} {'more' if change > 0 else 'less'} than {at - before} h ago"
    return f"{text}{old}, {effect}"


def _trust(model: SepsisModel, low: float, high: float, score: float, found: list[Contribution]) -> str:
    stale = [c.what for c in found if c.what != _LABS and (c.age_s is None or c.age_s > RECENT_H * 3600)]
    text = (
        f"of 100 hours with such a score about {100 * score:.0f} were septic in the hospitals it learned from; its "
        f"{model.runtime.members} models say {low:.3f} to {high:.3f}"
    )
    return f"{text}; old or missing: {', '.join(stale)}" if stale else text
