"""Made-up events and frames for the console's unit tests."""

import numpy as np

from vitals.alarm_book import Book
from vitals.alarm_state import Raise
from vitals.events import SCORES, Frames
from vitals.log import Command
from vitals.scores import score
from vitals.signs import BY_COLUMN, MINUTE_NS, N_MEASURES, N_SIGNS, SOURCES

T0 = 1_790_000_040_000_000_000  # a whole minute


def at(minutes):
    return T0 + int(minutes * MINUTE_NS)


def frames(patients, minute, scale=1):
    """Frames that end at a minute. Each patient's signs: name -> value, or (value, age in minutes, stands)."""
    shape = (len(patients), N_SIGNS)
    value, measured, age = np.full(shape, np.nan), np.zeros(shape, np.bool_), np.full(shape, -1, np.int64)
    for row, signs in enumerate(patients.values()):
        for name, told in signs.items():
            number, old, stands = told if isinstance(told, tuple) else (told, 0.5, True)
            sign = BY_COLUMN[name]
            value[row, sign] = number if stands else np.nan
            measured[row, sign] = stands and old < 1
            age[row, sign] = int(old * MINUTE_NS)
    measures = np.full((len(patients), N_MEASURES), np.nan)
    for measure, sources in SOURCES.items():
        for sign in reversed(sources):
            known = ~np.isnan(value[:, sign])
            measures[known, measure] = value[known, sign]
    scores = score(measures, np.full(len(patients), scale, np.int64))
    width = len(SCORES)
    return Frames(
        at(minute - 1),
        at(minute),
        list(patients),
        value,
        measured,
        age,
        scores.low[:, :width],
        scores.high[:, :width],
        scores.missing,
        np.full((len(patients), 1), 0.25),
        ("ewma",),
        at(minute) + 10_000_000_000,
    )


WELL = {
    "hr": 72,
    "spo2": 98,
    "resp": 15,
    "temp_c": 36.8,
    "nibp_sbp": 124,
    "nibp_dbp": 76,
    "consciousness": 0,
    "oxygen": 0,
}


class Alarms:
    """Real alarm events: a book, and what it says."""

    def __init__(self):
        self.book = Book()
        self.events = []

    def signal(self, patient, rule, signal):
        made = self.book.signal(patient, rule, signal)
        self.events += made
        return made

    def raised(self, patient, rule, minute, level=1, cause="it is bad", **more):
        return self.signal(patient, rule, Raise(at_ns=at(minute), cause=cause, level=level, **more))[0]

    def say(self, alarm_id, action, minute, number=1, **more):
        patient = alarm_id.split(":")[0]
        said = Command(
            command_id=f"command-{number:04}", patient=patient, alarm_id=alarm_id, action=action, by="imre", **more
        )
        made = self.book.command(said, at(minute))
        self.events += made
        return made
