"""Stories: courses of illness (and harmless ones) with a known onset and a time by which an alarm is due.

A story is a table: for each drive, its value at some minutes of the story, straight lines between. `onset_min` is when
a clinician would call it begun; `reach_min` minutes after the onset the signs surely show it (NEWS2 of 5, a single 3,
or a limit) and go on showing it. What then still passes until an alarm can be there is no matter of the illness:
`SETTLE_NS` for persistence, frames and lateness, and the period of the slowest device that the story needs.

The courses are made up. They are shaped after what textbooks say of the pace of these illnesses, quickened where a
demonstration would otherwise take a day, and say nothing about any real patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from device_sim.bodies import N_DRIVES, Drive
from vitals.reading import FloatArray
from vitals.signs import MINUTE_NS, Measure

Course = dict[Drive, tuple[tuple[float, float], ...]]

SETTLE_NS: Final = 8 * MINUTE_NS
"""Five minutes of persistence, a frame to begin in, a frame to end in, and the allowed lateness."""


@dataclass(frozen=True, slots=True)
class StoryRow:
    """One row of the table of stories.

    Attributes:
        label: In words.
        course: Drive -> ((minute of the story, value), ...); the last value stays.
        onset_min: Minute of the story at which a clinician would call it begun.
        reach_min: Minutes from the onset until the signs surely show it; 0 for a harmless story.
        expects_alarm: False: nothing of medium priority or above may come of it.
        families: Which rules may answer it, by the beginning of their id up to a dash (``news2``, ``rate``).
        needs: Measures that the patient's devices must deliver for the alarm to be due.
        reason: Why these numbers.
    """

    label: str
    course: Course
    onset_min: float
    reach_min: float
    expects_alarm: bool
    families: tuple[str, ...]
    needs: tuple[Measure, ...]
    reason: str


STORIES: Final[dict[str, StoryRow]] = {
    "sepsis": StoryRow(
        "sepsis",
        {
            Drive.FEVER: ((0, 0), (60, 0.8), (120, 1.7), (180, 2.1), (300, 2.3), (480, 2.0)),
            Drive.VASO: ((0, 0), (60, 0.1), (120, 0.4), (180, 0.65), (300, 0.85), (480, 1.0)),
            Drive.EFFORT: ((0, 0), (60, 1.5), (120, 6.5), (180, 11), (300, 13), (480, 14)),
            Drive.SHUNT: ((0, 0), (60, 0), (120, 1.5), (180, 2.5), (300, 4), (480, 5)),
            Drive.CONSCIOUSNESS: ((0, 0), (300, 0), (300, 1), (420, 1), (420, 2)),
        },
        onset_min=60,
        reach_min=90,
        expects_alarm=True,
        families=("news2", "rate", "resp", "temp", "sbp", "spo2", "sepsis"),
        needs=(Measure.RATE, Measure.RESP, Measure.TEMP_C),
        reason="an hour of feeling unwell, then fever, fast breathing and falling pressure over hours; confusion late",
    ),
    "respiratory-failure": StoryRow(
        "respiratory failure",
        {
            Drive.SHUNT: ((0, 0), (20, 2), (50, 10), (90, 13), (240, 14)),
            Drive.EFFORT: ((0, 0), (20, 2), (50, 7), (90, 10), (240, 10)),
            Drive.OXYGEN: ((0, 0), (75, 0), (75, 1)),
        },
        onset_min=20,
        reach_min=30,
        expects_alarm=True,
        families=("news2", "spo2", "resp", "rate"),
        needs=(Measure.SPO2,),
        reason="saturation below 92 % within an hour; oxygen given after 75 minutes lifts it a quarter, not to normal",
    ),
    "haemorrhage": StoryRow(
        "bleeding",
        {Drive.BLEED: ((0, 0), (10, 0.08), (30, 0.27), (60, 0.40), (180, 0.42))},
        onset_min=10,
        reach_min=45,
        expects_alarm=True,
        families=("news2", "rate", "sbp", "resp"),
        needs=(Measure.RATE, Measure.SBP),
        reason="ATLS class II after half an hour, class III to IV after an hour",
    ),
    "atrial-fibrillation": StoryRow(
        "atrial fibrillation with fast rate",
        {Drive.FIBRILLATION: ((0, 0), (0.5, 1))},
        onset_min=0,
        reach_min=1,
        expects_alarm=True,
        families=("news2", "rate"),
        needs=(Measure.RATE,),
        reason="begins from one beat to the next; rate 140 to 165",
    ),
    "fever": StoryRow(
        "fever that passes",
        {Drive.FEVER: ((0, 0), (90, 1.6), (150, 1.6), (330, 0))},
        onset_min=30,
        reach_min=0,
        expects_alarm=False,
        families=(),
        needs=(),
        reason="to 38.6: one point for temperature, one for the heart rate it brings; never 5",
    ),
    "bus": StoryRow(
        "run for the bus",
        {Drive.EXERTION: ((0, 0), (0.5, 1), (3, 1), (4, 0.35), (5.5, 0.12), (8, 0))},
        onset_min=0,
        reach_min=0,
        expects_alarm=False,
        families=(),
        needs=(),
        reason="heart rate 150 to 160 for three minutes, well again after five: shorter than the persistence of NEWS2",
    ),
}


@dataclass(frozen=True, slots=True)
class Story:
    """A story of one patient.

    Attributes:
        patient: Whose.
        name: Row of `STORIES`.
        at_ns: Start, from the start of the scenario.
        tempo: 2 runs the course twice as fast.
        severity: Factor on the drives, 0.95 to 1.15 (drives that are not a matter of degree excepted); 1 for a
            harmless story. Less than that, and nobody could say by when an alarm is due.
    """

    patient: str
    name: str
    at_ns: int
    tempo: float = 1.0
    severity: float = 1.0

    @property
    def row(self) -> StoryRow:
        """Its row of the table."""
        return STORIES[self.name]

    @property
    def onset_ns(self) -> int:
        """When a clinician would call it begun, from the start of the scenario."""
        return self.at_ns + int(self.row.onset_min * MINUTE_NS / self.tempo)

    def due_ns(self, slowest_ns: int) -> int | None:
        """By when an alarm is due, from the start of the scenario; None where none is expected.

        Args:
            slowest_ns: Period of the slowest device among those that deliver what the story needs.
        """
        if not self.row.expects_alarm:
            return None
        return self.onset_ns + int(self.row.reach_min * MINUTE_NS / self.tempo) + SETTLE_NS + slowest_ns

    @property
    def end_ns(self) -> int | None:
        """When nothing is left of it, from the start of the scenario; None where its last values stay."""
        last = [points[-1] for points in self.row.course.values()]
        if any(value for _, value in last):
            return None
        return self.at_ns + int(max(minute for minute, _ in last) * MINUTE_NS / self.tempo)


_DEGREE: Final = frozenset({Drive.FEVER, Drive.SHUNT, Drive.VASO, Drive.BLEED, Drive.EFFORT})


class Courses:
    """What all stories of a scenario do to all bodies: the `drives` of `device_sim.bodies.Bodies`.

    Several stories of a patient add up (a fever and a run); consciousness takes the worst.

    Args:
        patients: In column order.
        stories: Of these patients.
        step_ns: Length of a step.
    """

    def __init__(self, patients: Sequence[str], stories: Sequence[Story], step_ns: int) -> None:
        column = {patient: i for i, patient in enumerate(patients)}
        self._people = len(patients)
        self._step_ns = step_ns
        self._stories = [(column[story.patient], story) for story in stories]

    def __call__(self, first: int, n: int) -> FloatArray:
        """Drives of the steps ``first .. first + n - 1``, shape (n, people, N_DRIVES)."""
        out = np.zeros((n, self._people, N_DRIVES))
        t_ns = np.arange(first, first + n) * self._step_ns
        for person, story in self._stories:
            end_ns = story.end_ns
            if t_ns[-1] < story.at_ns or (end_ns is not None and t_ns[0] > end_ns):
                continue
            minutes = (t_ns - story.at_ns) * story.tempo / MINUTE_NS
            for drive, points in story.row.course.items():
                at, value = np.array(points).T
                scale = story.severity if drive in _DEGREE else 1.0
                course = np.where(minutes < 0, 0.0, np.interp(minutes, at, value)) * scale
                if drive is Drive.CONSCIOUSNESS:
                    np.maximum(out[:, person, drive], np.floor(course), out=out[:, person, drive])
                else:
                    out[:, person, drive] += course
        out[..., Drive.FIBRILLATION] = np.minimum(out[..., Drive.FIBRILLATION], 1.0)
        out[..., Drive.EXERTION] = np.minimum(out[..., Drive.EXERTION], 1.0)
        return out
