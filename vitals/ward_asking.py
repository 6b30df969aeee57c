"""The detectors' half of a closed frame: they are asked, their rules judged, the frame goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from vitals.align import measures
from vitals.asking import ANSWERED, Absence, Answer, Batch
from vitals.conditions import HEARD, RAISED, RETURNED, WORSE
from vitals.detector import Detector, Explains, FrameInput, pick
from vitals.events import SCORES, Bounds, Evidence, Frames, ScoreEvidence, Why
from vitals.frame_rules import FrameChange, detector_answer, model_late_answer
from vitals.reading import ByteArray, FloatArray, IntArray
from vitals.scores import score, withheld
from vitals.signs import MINUTE_NS, Measure, Sign

if TYPE_CHECKING:
    from vitals.standing import Picture
    from vitals.ward import Outcome, Ward
    from vitals.ward_telling import Teller

MODEL_LATE: Final = "model-late"
# For each rule and frame: about a second of work. An hour of 10,000 patients brings 125 sepsis alarms at the shipped
# budget; where a whole ward turns red at once, the first ones say why, and another partitioning has other first ones.
_EXPLAINED: Final = 128


class Open:
    """What has been worked out about the frame that closed last: for scores, causes, evidence, and the detectors."""

    def __init__(self, ward: Ward, rows: IntArray, end_ns: int) -> None:
        """Of the patients watched."""
        self.rows = rows
        self.end_ns = end_ns
        self.place = {int(row): index for index, row in enumerate(rows.tolist())}
        self.picture = ward.standing.picture(rows, end_ns)
        self.value, self.sign = measures(self.picture.value)
        patients = ward.roster.patients
        self.scores = withheld(score(self.value, patients["scale"][rows]), patients["age"][rows])
        self._ward = ward
        self._batches: list[Batch | None] | None = None

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

    @property
    def batches(self) -> list[Batch | None]:
        """For each detector what it is asked; None where no frame of its grid ends here, or it is withdrawn."""
        if self._batches is None:
            ward = self._ward
            self._batches = [
                self.batch(i) if self.end_ns % plug.detector.grid_ns == 0 and ward.service.out(i) is None else None
                for i, plug in enumerate(ward.plugs)
            ]
        return self._batches

    def batch(self, index: int) -> Batch:
        """What a detector would be asked about this frame, with its state as it is now."""
        ward, rows = self._ward, self.rows
        detector = ward.plugs[index].detector
        hourly = detector.grid_ns != ward.settings.align.grid_ns
        seen: Picture = ward.standing.hour(rows, self.end_ns) if hourly else self.picture
        frames = FrameInput(
            end_ns=self.end_ns,
            value=seen.value,
            measured=seen.measured,
            age_ns=seen.age_ns,
            age_years=ward.roster.patients["age"][rows],
            sex=ward.roster.patients["sex"][rows],
        )
        return Batch(detector, frames, rows, {name: array[rows] for name, array in ward.detector_state[index].items()})


def opened(ward: Ward) -> Open:
    """What is known about the frame whose detectors have not been asked; worked out anew where it is out of date."""
    if ward.unasked is None:
        raise RuntimeError("no frame waits for its detectors")
    rows = ward.roster.watched()
    if ward.open_frame is None or not np.array_equal(ward.open_frame.rows, rows):
        ward.open_frame = Open(ward, rows, ward.unasked[0])
    return ward.open_frame


def ask(ward: Ward, teller: Teller, out: Outcome) -> None:
    """Ask the detectors about the frame that closed, judge their rules, and let the frame go out."""
    frame = opened(ward)
    end, rows = frame.end_ns, frame.rows
    score = np.full((len(rows), len(ward.plugs)), np.nan)
    absent = np.full(score.shape, Absence.NOT_DUE, dtype=np.uint8)
    answers, said = {}, {}
    for i, (plug, batch) in enumerate(zip(ward.plugs, frame.batches, strict=True)):
        if batch is not None:
            answer = ward.solve(batch)
            score[:, i] = answer.scored.score
            absent[:, i] = _absence(answer)
            for name, array in ward.detector_state[i].items():
                array[rows] = answer.after[name]
            ward.service.answered(i, rows, answer.failed, end)
        elif (why := ward.service.out(i)) is not None and end % plug.detector.grid_ns == 0:
            absent[:, i] = why
            ward.service.missed(i, rows, end)
        else:
            continue
        if plug.rule is not None:
            answers[plug.rule] = detector_answer(score[:, i], plug.detector.threshold)
            if batch is not None:
                said[plug.rule] = (batch, answer)
    if any(p.detector.grid_ns != ward.settings.align.grid_ns and end % p.detector.grid_ns == 0 for p in ward.plugs):
        ward.standing.begin_hour()
    alarmed = [i for i, plug in enumerate(ward.plugs) if plug.rule is not None]
    answers[MODEL_LATE] = model_late_answer(ward.service.since_ns[rows][:, alarmed], end)
    changes, silences = ward.patient_rules.judge(rows, answers, end)
    for silence in silences:
        teller.frame_silence(silence, end, out)
    _tell(ward, frame, changes, said, teller, out)
    out.frames.append(_frames(ward, frame, score, absent))
    ward.unasked = ward.open_frame = None


def _absence(answer: Answer) -> IntArray:
    missing = np.where(answer.failed, Absence.FAILED, Absence.NOT_ASSESSABLE)
    return np.where(np.isnan(answer.scored.score), missing, Absence.GIVEN)


def _tell(
    ward: Ward,
    frame: Open,
    changes: list[FrameChange],
    said: dict[str, tuple[Batch, Answer]],
    teller: Teller,
    out: Outcome,
) -> None:
    why = {rule: _explained(frame, batch, answer, changes, rule) for rule, (batch, answer) in said.items()}
    for change in changes:
        if change.rule == MODEL_LATE:
            teller.frame_change(change, frame.end_ns, out, cause=_late_cause(ward, change, frame.end_ns))
        else:
            batch, answer = said[change.rule]
            _tell_detector(change, frame, batch.detector, answer, why[change.rule].get(change.row), teller, out)


def _late_cause(ward: Ward, change: FrameChange, end_ns: int) -> str:
    if change.what in {RETURNED, HEARD}:
        return "risk scores are given again"
    since = ward.service.since_ns[change.row]
    names = [
        f"{plug.detector.name} for {(end_ns - int(since[i])) // MINUTE_NS} min"
        for i, plug in enumerate(ward.plugs)
        if plug.rule is not None and since[i] != ANSWERED
    ]
    return f"no answer of the model {' and '.join(names)}; limits and published scores go on"


def _explained(frame: Open, batch: Batch, answer: Answer, changes: list[FrameChange], rule: str) -> dict[int, Why]:
    """Why, for the patients whose alarm is raised or gets worse, by row."""
    rows = [c.row for c in changes if c.rule == rule and c.what in {RAISED, WORSE}][:_EXPLAINED]
    if not rows or not isinstance(batch.detector, Explains):
        return {}
    at = np.array([frame.place[row] for row in rows])
    before = {name: array[at] for name, array in batch.state.items()}
    after = {name: array[at] for name, array in answer.after.items()}
    found = batch.detector.explain(pick(batch.frames, at), before, after)
    low, high = frame.scores.low[at], frame.scores.high[at]
    return {
        row: msgspec.structs.replace(
            why,
            published=tuple(
                Bounds(name=name, low=float(low[i, k]), high=float(high[i, k]))
                for k, name in enumerate(SCORES)
                if not np.isnan(low[i, k])
            ),
        )
        for i, (row, why) in enumerate(zip(rows, found, strict=True))
    }


def _tell_detector(
    change: FrameChange,
    frame: Open,
    detector: Detector,
    answer: Answer,
    why: Why | None,
    teller: Teller,
    out: Outcome,
) -> None:
    i = frame.place[change.row]
    scored = answer.scored
    value, part, sign = float(scored.score[i]), int(scored.part[i]), int(scored.sign[i])
    about = f" of {Sign(sign).column}" if sign >= 0 else ""
    spoke = f": {detector.parts[part]}{about}" if part >= 0 else ""
    evidence: tuple[Evidence, ...] = ()
    if sign >= 0 and not np.isnan(frame.picture.newest[i, sign]):
        time = frame.end_ns - int(frame.picture.age_ns[i, sign])
        newest = float(frame.picture.newest[i, sign])
        evidence = (Evidence(sign=Sign(sign).column, value=newest, time_ns=time),)
    rounded = round(value, 6) if not np.isnan(value) else 0.0
    found = ScoreEvidence(name=detector.name, version=detector.version, low=rounded, high=rounded, why=why)
    cause = f"{detector.name} score {value:.2f}, threshold {detector.threshold:.2f}{spoke}"
    teller.frame_change(change, frame.end_ns, out, cause=cause, evidence=evidence, score=found)


def _frames(ward: Ward, frame: Open, scores: FloatArray, absent: ByteArray) -> Frames:
    if ward.unasked is None:
        raise RuntimeError("no frame waits for its detectors")
    names = ward.roster.patients.names
    return Frames(
        start_ns=frame.end_ns - ward.settings.align.grid_ns,
        end_ns=frame.end_ns,
        patients=[names[row] for row in frame.rows.tolist()],
        value=frame.picture.value,
        measured=frame.picture.measured,
        age_ns=frame.picture.age_ns,
        low=frame.scores.low,
        high=frame.scores.high,
        missing=frame.scores.missing,
        detector=scores,
        detectors=tuple(plug.label for plug in ward.plugs),
        closed_by_ns=ward.unasked[1],
        reason=ward.screen.reason[frame.rows],
        absent=absent,
    )
