"""What happens when a frame closes: values stand, scores and detectors look at them, their rules are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vitals.align import measures
from vitals.conditions import HEARD, RETURNED
from vitals.detector import Detector, FrameInput, Scored
from vitals.events import Evidence, Frames, ScoreEvidence
from vitals.frame_rules import (
    SENSOR_RULES,
    Answer,
    FrameChange,
    detector_answer,
    device_answers,
    news2_answers,
    sensor_answers,
)
from vitals.reading import FloatArray, IntArray
from vitals.roster import NOBODY
from vitals.rules import NEWS2_MEASURES, RULES, observe_id
from vitals.scores import NEWS2, VERSIONS, Scores, missing_measures, score
from vitals.signs import N_MEASURES, Measure, Sign
from vitals.standing import Picture

if TYPE_CHECKING:
    from vitals.ward import Outcome, Ward
    from vitals.ward_telling import Teller

_IDLE_FRAMES: Final = 60
_DEVICE_RULES: Final = ["battery-low", "device-clock"]


def plugged_rules(plugs: list[tuple[Detector, str | None]]) -> tuple[list[str], list[str], dict[str, int]]:
    """Rules judged on frames: of patients, of devices, and how often those are that are not judged every minute."""
    of_patients = ["news2", "news2-single", *(observe_id(measure) for measure in NEWS2_MEASURES)]
    of_patients += [*SENSOR_RULES.values(), "no-device"]
    grids = {}
    for detector, rule in plugs:
        if rule is not None:
            of_patients.append(rule)
            grids[rule] = detector.grid_ns
    return of_patients, list(_DEVICE_RULES), grids


class _Told:
    """What is known about the frame that closes, for causes and evidence."""

    def __init__(self, ward: Ward, rows: IntArray, picture: Picture, end_ns: int) -> None:
        self.place = {int(row): index for index, row in enumerate(rows.tolist())}
        self.picture = picture
        self.end_ns = end_ns
        self.value, self.sign = measures(picture.value)
        self.scores = score(self.value, ward.roster.patients["scale"][rows])
        self.detectors: dict[str, tuple[Detector, Scored]] = {}

    def readings(self, row: int, wanted: list[Measure]) -> tuple[Evidence, ...]:
        """The readings that stand for some measures of a patient."""
        i = self.place[row]
        found = []
        for measure in wanted:
            sign = int(self.sign[i, measure])
            if sign >= 0:
                time = self.end_ns - int(self.picture.age_ns[i, sign])
                found.append(Evidence(sign=Sign(sign).column, value=float(self.value[i, measure]), time_ns=time))
        return tuple(found)


def close_frame(ward: Ward, due_ns: int, teller: Teller, out: Outcome) -> None:
    """Close the oldest open frame of a ward at its due time."""
    rank = ward.roster.device_rank()
    end, closed = ward.grid.close(rank)
    some = closed.usable > 0
    period = np.where(some, ward.roster.devices["period_ns"][closed.device], 0) if len(closed.sign) else closed.sign
    ward.standing.take(closed, period)
    if some.any():
        ward.limits.reconsider(closed.patient[some], closed.sign[some], closed.device[some], period[some], rank)
    teller.excused(end, out)

    rows = ward.roster.watched()
    if not len(rows) or _asleep(ward, len(closed.sign), end):
        return
    told = _Told(ward, rows, ward.standing.picture(rows, end), end)
    answers = news2_answers(told.scores) | sensor_answers(ward.roster, rows, closed, end)
    columns = _detect(ward, rows, told, answers)
    changes, silences = ward.patient_rules.judge(rows, answers, end)
    for silence in silences:
        teller.frame_silence(silence, end, out)
    for change in changes:
        _tell(change, told, teller, out)
    _devices(ward, end, teller, out)
    out.frames.append(_frames(ward, rows, told, columns, end, due_ns))


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


def _detect(ward: Ward, rows: IntArray, told: _Told, answers: dict[str, Answer]) -> list[FloatArray]:
    """Let every detector whose grid ends here look at the frame; add its rule's answer."""
    columns = []
    hour: Picture | None = None
    for plug, state in zip(ward.plugs, ward.detector_state, strict=True):
        detector = plug.detector
        if told.end_ns % detector.grid_ns:
            columns.append(np.full(len(rows), np.nan))
            continue
        picture = told.picture
        if detector.grid_ns != ward.settings.align.grid_ns:
            hour = hour or ward.standing.hour(rows, told.end_ns)
            picture = hour
        patients = ward.roster.patients
        scored = detector.step(
            FrameInput(
                end_ns=told.end_ns,
                value=picture.value,
                measured=picture.measured,
                age_ns=picture.age_ns,
                age_years=patients["age"][rows],
                sex=patients["sex"][rows],
            ),
            rows,
            state,
        )
        columns.append(scored.score)
        if plug.rule is not None:
            told.detectors[plug.rule] = (detector, scored)
            answers[plug.rule] = detector_answer(scored.score, detector.threshold)
    return columns


def _tell(change: FrameChange, told: _Told, teller: Teller, out: Outcome) -> None:
    """Say what changed, with its cause and what it rests on."""
    rule, row = change.rule, change.row
    i = told.place[row]
    if rule in {"news2", "news2-single"}:
        parts = {Measure(m): int(told.scores.part_low[i, m]) for m in range(N_MEASURES) if told.scores.part_low[i, m]}
        least = 3 if rule == "news2-single" and change.what not in {RETURNED, HEARD} else 1
        evidence = told.readings(row, [m for m, points in parts.items() if points >= least])
        scored = _news2(told.scores, i)
        teller.frame_change(change, told.end_ns, out, cause=_news2_cause(rule, scored), evidence=evidence, score=scored)
    elif rule in told.detectors:
        _tell_detector(change, told, teller, out)
    else:
        measure = RULES[rule].measure
        what = f": {measure.label}" if measure is not None else ""
        words = RULES[rule].words.rstrip(".") if change.what not in {RETURNED, HEARD} else f"over{what}"
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


def _tell_detector(change: FrameChange, told: _Told, teller: Teller, out: Outcome) -> None:
    i = told.place[change.row]
    detector, scored = told.detectors[change.rule]
    value, part, sign = float(scored.score[i]), int(scored.part[i]), int(scored.sign[i])
    about = f" of {Sign(sign).column}" if sign >= 0 else ""
    spoke = f": {detector.parts[part]}{about}" if part >= 0 else ""
    evidence: tuple[Evidence, ...] = ()
    if sign >= 0 and not np.isnan(told.picture.newest[i, sign]):
        time = told.end_ns - int(told.picture.age_ns[i, sign])
        newest = float(told.picture.newest[i, sign])
        evidence = (Evidence(sign=Sign(sign).column, value=newest, time_ns=time),)
    rounded = round(value, 6) if not np.isnan(value) else 0.0
    found = ScoreEvidence(name=detector.name, version=detector.version, low=rounded, high=rounded)
    cause = f"{detector.name} score {value:.2f}, threshold {detector.threshold:.2f}{spoke}"
    teller.frame_change(change, told.end_ns, out, cause=cause, evidence=evidence, score=found)


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


def _frames(ward: Ward, rows: IntArray, told: _Told, columns: list[FloatArray], end: int, due_ns: int) -> Frames:
    names = ward.roster.patients.names
    return Frames(
        start_ns=end - ward.settings.align.grid_ns,
        end_ns=end,
        patients=[names[row] for row in rows.tolist()],
        value=told.picture.value,
        measured=told.picture.measured,
        age_ns=told.picture.age_ns,
        low=told.scores.low,
        high=told.scores.high,
        missing=told.scores.missing,
        detector=np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0)),
        detectors=tuple(plug.detector.name for plug in ward.plugs),
        closed_by_ns=due_ns,
    )
