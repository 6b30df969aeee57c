"""Made-up people: what is usual for each of them, by age and sex, drawn from a seed.

The numbers are chosen, not fitted: they lie where a resting adult scores 0 on NEWS2 (RCP 2017 chart), lean on age and
sex in the directions physiology books give (pressure rises and saturation falls with age, women's hearts beat a little
faster), and are clipped so that rhythm and noise together keep a healthy person below every alarm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

Sex = Literal["f", "m"]

# Generators of one seed are told apart by a word, so that adding a patient or a device changes nobody else's bytes.


def generator(seed: int, *words: str) -> np.random.Generator:
    """A random generator of its own for each use: same seed and words, same numbers, on every machine."""
    digest = hashlib.sha256("/".join(words).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


@dataclass(frozen=True, slots=True)
class Person:
    """One made-up patient at rest in the afternoon, healthy.

    Attributes:
        patient: Pseudonym.
        age: Years.
        sex: ``f`` or ``m``.
        hr: Heart rate, /min.
        resp: Respiratory rate, /min.
        spo2: Oxygen saturation, %.
        temp_c: Body temperature, Cel.
        sbp: Systolic pressure, mm[Hg].
        dbp: Diastolic pressure, mm[Hg].
        bedtime_h: Local time of falling asleep, hours.
        wake_h: Local time of waking, hours.
        fibrillation_hr: Rate when the atria fibrillate, /min.
        running_hr: Rate when running for a bus, /min.
    """

    patient: str
    age: float
    sex: Sex
    hr: float
    resp: float
    spo2: float
    temp_c: float
    sbp: float
    dbp: float
    bedtime_h: float
    wake_h: float
    fibrillation_hr: float
    running_hr: float


AGE_RANGE: Final = (16, 110)  # NEWS2 is not for children (CLINICAL 2.1)


def draw_person(seed: int, patient: str, age: float, sex: Sex) -> Person:
    """Make up what is usual for a person.

    Args:
        seed: The scenario's.
        patient: Pseudonym; the person depends on it and the seed, not on who else is there.
        age: Years, `AGE_RANGE`.
        sex: ``f`` or ``m``.
    """
    rng = generator(seed, "person", patient)
    z = rng.standard_normal(7)
    u = rng.random(2)

    def usual(mean: float, spread: float, k: int, low: float, high: float) -> float:
        return round(float(np.clip(mean + spread * z[k], low, high)), 3)

    older = age - 50.0
    return Person(
        patient=patient,
        age=age,
        sex=sex,
        hr=usual(70.0 + (2.0 if sex == "f" else 0.0) - 0.05 * older, 5.0, 0, 62.0, 79.0),
        resp=usual(15.4 + 0.01 * older, 0.5, 1, 14.8, 16.3),
        spo2=usual(97.9 - 0.012 * older, 0.35, 2, 97.3, 98.7),
        temp_c=usual(36.8 - 0.002 * older, 0.1, 3, 36.6, 37.0),
        sbp=usual(128.0 + 0.3 * older, 6.0, 4, 121.0, 148.0),
        dbp=usual(76.0 + 0.05 * older, 4.0, 5, 66.0, 86.0),
        bedtime_h=round(22.5 + 0.5 * float(z[6]), 3) % 24.0,
        wake_h=round(6.2 + 1.0 * float(u[0]), 3),
        fibrillation_hr=round(148.0 + 14.0 * float(u[1]), 3),
        running_hr=round(151.0 + 7.0 * float(u[0]), 3),
    )
