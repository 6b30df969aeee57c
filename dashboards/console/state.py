"""What the page shows, folded from the topics: alarm events, frames, registry records, words of health.

Keeps no truth of its own: fed the same records in the same order, a fresh `ConsoleState` holds the same. It reads no
clock and awaits nothing.
"""

from __future__ import annotations

import enum
import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np

from dashboards.console.alarms import AlarmView, about, fold, worst_first
from dashboards.console.best import Best, best_of
from dashboards.console.window import Window
from vitals import topics
from vitals.align import AlignSettings
from vitals.events import SCORES, AlarmEvent, Frames, Priority
from vitals.log import Binding, Enrolment, Limit
from vitals.scores import NEWS2, NEWS2_MEASURES, Scores, missing_measures, score
from vitals.signs import SIGNS, Measure, Sign

RegistryRecord: TypeAlias = Binding | Enrolment | Limit

_CLOSED_KEPT: Final = 20  # closed alarms kept for each patient; older ones are the store's
_REPEATS_KEPT: Final = 50_000  # event ids remembered, to drop what a consumer delivers twice
_SLOW_FACTOR: Final = AlignSettings().slow_factor
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(slots=True)
class MeasureView:
    """The newest value of a measure.

    Attributes:
        sign: Which sign told it.
        value: In canonical units; NaN where it stopped standing before we ever saw it.
        at_ns: When it was measured.
        stands: False: older than it stays valid. It is shown as stale and never as the patient's value.
    """

    sign: Sign
    value: float
    at_ns: int
    stands: bool


@dataclass(slots=True)
class Interval:
    """A score's bounds; equal where nothing is missing."""

    low: float
    high: float


@dataclass(slots=True)
class PatientView:
    """All the page knows of one patient.

    Attributes:
        patient: Pseudonym.
        window: The last hours of frames.
        enrolment: As last said; None: known from a device only.
        bindings: By device, as last said.
        limits: Own limits by rule, as last said.
        alarms: By id; open ones, and the last closed ones.
        measures: Newest values.
        scores: Newest bounds by name (`vitals.events.SCORES`).
        parts: What each measure gives NEWS2, at least and at most.
        missing: What NEWS2 lacks.
        detectors: Newest scores in 0..1 by name; absent where not assessable.
        frame_end_ns: End of the newest frame; 0 before the first.
        version: Rises with every change.
    """

    patient: str
    window: Window
    enrolment: Enrolment | None = None
    bindings: dict[str, Binding] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)
    alarms: dict[str, AlarmView] = field(default_factory=dict)
    measures: dict[Measure, MeasureView] = field(default_factory=dict)
    scores: dict[str, Interval] = field(default_factory=dict)
    parts: dict[Measure, Interval] = field(default_factory=dict)
    missing: tuple[Measure, ...] = ()
    detectors: dict[str, float] = field(default_factory=dict)
    frame_end_ns: int = 0
    version: int = 0

    @property
    def open_alarms(self) -> list[AlarmView]:
        """Worst first, see `worst_first`."""
        return worst_first(alarm for alarm in self.alarms.values() if not alarm.closed)

    @property
    def watching(self) -> Literal["admitted", "paused", "discharged"]:
        """Whether the patient is watched, as last said; a pause's end is the page's to compare with ward time."""
        return self.enrolment.state if self.enrolment else "admitted"

    def valid_ns(self, sign: Sign, now_ns: int) -> int:
        """How long a value of a sign stands: longer where a device that is worn now sends rarely (`vitals.align`)."""
        worn = (b.period_ns for b in self.bindings.values() if b.to_ns is None or b.to_ns > now_ns)
        return max(SIGNS[sign].valid_ns, int(_SLOW_FACTOR * max(worn, default=0)))


class ConsoleState:
    """The ward as the page shows it.

    Args:
        window_h: Hours of frames kept for each patient.

    Attributes:
        patients: By pseudonym. The test patient, who is nobody, is never among them.
        own: Alarms about ourselves: the pager, the rota, the pipeline. No patient, and shown nowhere as one.
        positions: Newest offset of each partition of the alarm topic.
    """

    def __init__(self, window_h: float = 6.0) -> None:
        self._frames_kept = max(2, int(window_h * 60))
        self.patients: dict[str, PatientView] = {}
        self.own = PatientView(topics.OWN, Window(2))
        self.positions: dict[int, int] = {}
        self._event_ids: OrderedDict[str, None] = OrderedDict()

    def patient(self, name: str) -> PatientView:
        """A patient, new where never heard of; our own alarms under their name."""
        if name == topics.OWN:
            return self.own
        view = self.patients.get(name)
        if view is None:
            view = self.patients[name] = PatientView(name, Window(self._frames_kept))
        return view

    def on_alarm(self, event: AlarmEvent, position: tuple[int, int]) -> bool:
        """Take one alarm event.

        Args:
            event: As read from the alarm topic.
            position: Partition and offset it was read at.

        Returns:
            False where it is a repeat, which changes nothing.
        """
        partition, offset = position
        self.positions[partition] = max(offset, self.positions.get(partition, -1))
        if event.event_id in self._event_ids:
            return False
        self._event_ids[event.event_id] = None
        if len(self._event_ids) > _REPEATS_KEPT:
            self._event_ids.popitem(last=False)
        if event.patient == topics.SYNTHETIC:
            return False
        view = self.own if event.patient == topics.OWN else self.patients.get(event.patient)
        name = about(event)
        alarm = fold(view.alarms.get(name) if view else None, event)
        if alarm is None:  # refused, about an alarm that is not there: the person is told, no patient is made of it
            return True
        view = self.patient(event.patient)
        view.alarms[name] = alarm
        view.version += 1
        if alarm.closed:
            _forget_closed(view)
        return True

    def on_frames(self, frames: Frames) -> list[str]:
        """Take the frames that closed at one instant.

        Returns:
            The patients whose picture changed; a frame that is not newer than a patient's newest changes nothing.
        """
        best = best_of(frames)
        views = [self.patient(name) for name in frames.patients]
        scale = np.array([view.enrolment.spo2_scale if view.enrolment else 1 for view in views], np.int64)
        scores = score(best.value, scale)
        told = [view.patient for row, view in enumerate(views) if self._take(view, frames, row, best, scores)]
        self.patients.pop(topics.SYNTHETIC, None)
        return [name for name in told if name != topics.SYNTHETIC]

    def on_registry(self, record: RegistryRecord) -> str | None:
        """Take what was said of a binding, an enrolment or a limit.

        Returns:
            The patient whose picture changed; None where it is nobody's.
        """
        if not topics.clinical(record.patient):
            return None
        view = self.patient(record.patient)
        view.version += 1
        match record:
            case Binding():
                view.bindings[record.device] = record
                for other in self.patients.values():  # a device is worn by one patient: the newest word counts
                    held = other.bindings.get(record.device)
                    if held and other is not view and held.to_ns is None and record.to_ns is None:
                        del other.bindings[record.device]
                        other.version += 1
            case Enrolment():
                view.enrolment = record
            case Limit():
                if record.threshold is None:
                    view.limits.pop(record.rule, None)
                else:
                    view.limits[record.rule] = record
        return record.patient

    def order(self) -> list[str]:
        """All patients, worst first. Discharged ones only while an alarm of theirs is open."""
        shown = [p for p in self.patients.values() if p.watching != "discharged" or p.open_alarms]
        return [view.patient for view in sorted(shown, key=severity)]

    def _take(self, view: PatientView, frames: Frames, row: int, best: Best, scores: Scores) -> bool:
        bounds = (float(frames.low[row, NEWS2]), float(frames.high[row, NEWS2]))
        if not view.window.add(frames.end_ns, best.value[row], best.measured[row], bounds):
            return False
        for measure in Measure:
            if best.sign[row, measure] >= 0:
                sign = Sign(int(best.sign[row, measure]))
                number = float(best.value[row, measure])
                at_ns = frames.end_ns - int(best.age_ns[row, measure])
                before = view.measures.get(measure)
                if math.isnan(number) and before is not None and (before.sign, before.at_ns) == (sign, at_ns):
                    number = before.value  # we saw it while it stood: shown, struck through
                stands = not np.isnan(best.value[row, measure])
                view.measures[measure] = MeasureView(sign, number, at_ns, stands)
            elif measure in view.measures:
                view.measures[measure].stands = False
        view.scores = {
            name: Interval(float(frames.low[row, i]), float(frames.high[row, i]))
            for i, name in enumerate(SCORES)
            if not np.isnan(frames.low[row, i])  # withheld
        }
        view.parts = {m: Interval(scores.part_low[row, m], scores.part_high[row, m]) for m in NEWS2_MEASURES}
        view.missing = missing_measures(int(frames.missing[row]))
        told = zip(frames.detectors, frames.detector[row], strict=True)
        view.detectors = {name: float(score) for name, score in told if not np.isnan(score)}
        view.frame_end_ns = frames.end_ns
        view.version += 1
        return True


class Group(enum.StrEnum):
    """Where a patient stands on the ward page, worst first."""

    NEEDED = "needed"  # an alarm of medium or high priority that nobody attends to
    ATTENDED = "attended"  # such alarms, and somebody has each of them
    LATER = "later"  # alarms of low priority only
    QUIET = "quiet"  # none


_GROUPS: Final = tuple(Group)


def group(view: PatientView) -> Group:
    """The group a patient belongs to."""
    alarms = view.open_alarms
    pressing = [alarm for alarm in alarms if alarm.newest.priority is not Priority.LOW]
    if not pressing:
        return Group.LATER if alarms else Group.QUIET
    return Group.ATTENDED if all(alarm.attended for alarm in pressing) else Group.NEEDED


def severity(view: PatientView) -> tuple[float | str | int, ...]:
    """What the ward is sorted by; less is worse.

    By group; then by the most urgent alarm that nobody attends to; then by any; then NEWS2, the surest points first,
    then what cannot be excluded; then the name. Paused patients come last within their group.
    """
    alarms = view.open_alarms
    waiting = [alarm for alarm in alarms if not alarm.attended]
    news2 = view.scores.get("news2", Interval(0, 0))
    return (
        _GROUPS.index(group(view)),
        -max((alarm.urgency for alarm in waiting), default=-1),
        -max((alarm.urgency for alarm in alarms), default=-1),
        view.watching != "admitted",
        -news2.low,
        -news2.high,
        *natural(view.patient),
    )


def natural(name: str) -> tuple[int | str, ...]:
    """A key that sorts ``bed-2`` before ``bed-10``."""
    pieces = _DIGITS.split(name)
    return tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces))


def _forget_closed(view: PatientView) -> None:
    """Keep the newest closed alarms only; the store has the others."""
    closed = [alarm for alarm in view.alarms.values() if alarm.closed]
    closed.sort(key=lambda alarm: alarm.newest.at_ns)
    for alarm in closed[:-_CLOSED_KEPT]:
        del view.alarms[alarm.newest.alarm_id]
