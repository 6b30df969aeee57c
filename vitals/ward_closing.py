"""What happens when a frame closes: artefacts leave, values stand, published scores and sensors are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vitals.conditions import HEARD, RETURNED
from vitals.detector import Detector
from vitals.events import ScoreEvidence
from vitals.frame_rules import (
    SENSOR_RULES,
    FrameChange,
    device_answers,
    news2_answers,
    sensor_answers,
)
from vitals.roster import NOBODY
from vitals.rules import NEWS2_MEASURES, RULES, observe_id
from vitals.scores import NEWS2, VERSIONS, Scores, missing_measures
from vitals.signs import N_MEASURES, Measure
from vitals.ward_asking import MODEL_LATE, Open

if TYPE_CHECKING:
    from vitals.ward import Outcome, Ward
    from vitals.ward_telling import Teller

_IDLE_FRAMES: Final = 60
_DEVICE_RULES: Final = ["battery-low", "device-clock"]


def plugged_rules(plugs: list[tuple[Detector, str | None]]) -> tuple[list[str], list[str], dict[str, int]]:
    """Rules judged on frames: of patients, of devices, and how often those are that are not judged every minute."""
    of_patients = ["news2", "news2-single", *(observe_id(measure) for measure in NEWS2_MEASURES)]
    of_patients += [*SENSOR_RULES.values(), "no-device", MODEL_LATE]
    grids = {}
    for detector, rule in plugs:
        if rule is not None:
            of_patients.append(rule)
            grids[rule] = detector.grid_ns
    return of_patients, list(_DEVICE_RULES), grids


def close_frame(ward: Ward, due_ns: int, teller: Teller, out: Outcome) -> None:
    """Close the oldest open frame of a ward at its due time."""
    rank = ward.roster.device_rank()
    end, closed = ward.grid.close(rank)
    some = closed.usable > 0
    period = np.where(some, ward.roster.devices["period_ns"][closed.device], 0) if len(closed.sign) else closed.sign
    if some.any():
        ward.limits.reconsider(closed.patient[some], closed.sign[some], closed.device[some], period[some], rank)
    closed = ward.screen.take(closed)
    ward.standing.take(closed, period)
    teller.excused(end, out)

    rows = ward.roster.watched()
    if not len(rows) or _asleep(ward, len(closed.sign), end):
        return
    ward.unasked = (end, due_ns)
    ward.open_frame = told = Open(ward, rows, end)
    answers = news2_answers(told.scores) | sensor_answers(ward.roster, rows, closed, end)
    changes, silences = ward.patient_rules.judge(rows, answers, end)
    for silence in silences:
        teller.frame_silence(silence, end, out)
    for change in changes:
        _tell(ward, change, told, teller, out)
    _devices(ward, end, teller, out)


def _asleep(ward: Ward, measured: int, end: int) -> bool:
    """Whether nobody has said anything for so long that frames can bring nothing new.

    A recording may have years between its patients. After an hour without a reading or a valid value of anybody all
    delays are over: alarms stand unobserved, and what is silent has been told. So frames are passed over, whatever the
    pace of the ticks, until a reading comes.
    """
    if measured or ward.standing.any_valid(end):
        ward.idle_frames = 0
    else:
        ward.idle_frames += 1
    return ward.idle_frames > _IDLE_FRAMES


def _tell(ward: Ward, change: FrameChange, told: Open, teller: Teller, out: Outcome) -> None:
    """Say what changed, with its cause and what it rests on."""
    rule, row = change.rule, change.row
    i = told.place[row]
    if rule in {"news2", "news2-single"}:
        parts = {Measure(m): int(told.scores.part_low[i, m]) for m in range(N_MEASURES) if told.scores.part_low[i, m]}
        least = 3 if rule == "news2-single" and change.what not in {RETURNED, HEARD} else 1
        evidence = told.readings(row, [m for m, points in parts.items() if points >= least])
        scored = _news2(told.scores, i)
        teller.frame_change(change, told.end_ns, out, cause=_news2_cause(rule, scored), evidence=evidence, score=scored)
    else:
        measure = RULES[rule].measure
        what = f": {measure.label}" if measure is not None else ""
        words = RULES[rule].words.rstrip(".") if change.what not in {RETURNED, HEARD} else f"over{what}"
        if measure is not None and rule == SENSOR_RULES.get(measure) and change.what not in {RETURNED, HEARD}:
            named = ward.screen.words(row, measure)
            words = f"{measure.label}: {named}" if named else words
        evidence = told.readings(row, [measure]) if measure is not None else ()
        teller.frame_change(change, told.end_ns, out, cause=words, evidence=evidence)


def _news2(scores: Scores, i: int) -> ScoreEvidence:
    return ScoreEvidence(
        name="news2",
        version=VERSIONS["news2"],
        low=float(scores.low[i, NEWS2]),
        high=float(scores.high[i, NEWS2]),
        missing=tuple(measure.label for measure in missing_measures(int(scores.missing[i]))),
        parts={m.label: float(scores.part_low[i, m]) for m in Measure if scores.part_low[i, m]},
    )


def _news2_cause(rule: str, scored: ScoreEvidence) -> str:
    low, high = int(scored.low), int(scored.high)
    total = f"NEWS2 {low}" if low == high else f"NEWS2 at least {low} (up to {high})"
    worst = [name for name, points in scored.parts.items() if points >= 3]
    if rule == "news2-single" and worst:
        return f"3 points for {' and '.join(worst)}; {total}"
    points = ", ".join(f"{name} {int(p)}" for name, p in sorted(scored.parts.items(), key=lambda part: -part[1]))
    return f"{total}: {points}" if points else total


def _devices(ward: Ward, end: int, teller: Teller, out: Outcome) -> None:
    """Charge and clock of every worn device."""
    devices = ward.roster.devices
    rows = np.flatnonzero(ward.roster.bound(end) & (devices["patient"] != NOBODY))
    if not len(rows):
        return
    changes, _ = ward.device_rules.judge(rows, device_answers(ward.roster, rows), end)
    for change in changes:
        if change.rule == "battery-low":
            cause = f"charge {devices['battery'][change.row]:.0f} %"
        else:
            cause = f"its clock is off by {abs(int(devices['offset_ns'][change.row])) / 1e9:.0f} s"
        teller.device_change(change, end, out, cause=cause)
