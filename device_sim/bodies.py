"""Bodies: signs that hang together, for many people at once, as columns.

```
  time of day ---> rhythm, sleep --+
  chance --------> activity -------+--> each person's own rest --> coupling --> signs of every step
  stories -------> drives ---------+      (people.py)            (below)
```

A *drive* is what an illness or an effort does to a body (fever, blood lost, lung that does not oxygenate); stories set
drives, never signs. The signs follow from the drives through the couplings here, so that a fever always raises heart
rate and respiration, whoever caused it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from device_sim.people import Person, generator
from vitals.reading import FloatArray
from vitals.signs import N_SIGNS, SECOND_NS, SIGNS, Sign


class Drive(enum.IntEnum):
    """What acts on a body; the number is its column.

    FEVER degrees above usual; SHUNT points of saturation lost; VASO 0..1 vessels that no longer hold the pressure;
    BLEED share of blood volume lost; FIBRILLATION 0..1; EXERTION 0..1; EFFORT breaths a minute of laboured breathing;
    CONSCIOUSNESS an ACVPU code 0..4; OXYGEN 1 where a nurse gives it.
    """

    FEVER = 0
    SHUNT = 1
    VASO = 2
    BLEED = 3
    FIBRILLATION = 4
    EXERTION = 5
    EFFORT = 6
    CONSCIOUSNESS = 7
    OXYGEN = 8


N_DRIVES: Final = len(Drive)
CHUNK_STEPS: Final = 64  # steps computed at once: a minute at 1 Hz; one call costs about a millisecond for 500 people


class Noise(enum.IntEnum):
    """Independent noises, each an AR(1) of unit variance; the number is its column."""

    HR_FAST = 0
    HR_SLOW = 1
    RESP_FAST = 2
    RESP_SLOW = 3
    SPO2_FAST = 4
    SPO2_SLOW = 5
    PRESSURE_FAST = 6
    PRESSURE_SLOW = 7
    TEMP_SLOW = 8
    ACTIVITY = 9
    PULSE_FAST = 10


# Time constants in seconds. Fast ones forget within a minute, slow ones within a quarter of an hour.
_TAU_S: Final = np.array([20, 900, 20, 900, 20, 900, 60, 900, 1800, 480, 10], np.float64)

# Amplitudes such that the change of a sign over one minute has the standard deviation measured in
# data/mimic2_numerics (HR 2.7, RESP 2.3, SPO2 0.47, rounding to whole numbers included):
# var = 2 fast^2 (1 - exp(-60/20)) + 2 slow^2 (1 - exp(-60/900)) + 2/12.
_HR: Final = (1.5, 1.9)
_RESP: Final = (1.6, 0.6)
_SPO2: Final = (0.2, 0.4)
_PRESSURE: Final = (2.0, 2.5)
_TAIL: Final = 2.6  # a body holds its signs; without this one healthy minute in 200,000 would be an alarm's
_TEMP: Final = 0.06
_PULSE: Final = 0.7


class Bodies:
    """The signs of many people, step by step, in chunks.

    A step's signs depend on the seed, the person, the stories and the number of the step, never on when or how often
    they are asked for, nor on who else is there.

    Args:
        people: In column order.
        seed: The scenario's.
        step_ns: Length of a step.
        start_h: Local time of day at step 0, hours.
        drives: ``drives(first_step, n) -> (n, people, N_DRIVES)``: what the stories do in those steps.
    """

    def __init__(
        self,
        people: Sequence[Person],
        *,
        seed: int,
        step_ns: int,
        start_h: float,
        drives: Callable[[int, int], FloatArray] | None = None,
    ) -> None:
        if step_ns < SECOND_NS:
            raise ValueError(f"step_ns is {step_ns}: a step is at least a second (bodies are not waveforms)")
        self._people = _Columns(people)
        self._step_s = step_ns / SECOND_NS
        self._start_h = start_h
        self._drives = drives
        self._random = [generator(seed, "body", p.patient) for p in people]
        self._fade = np.exp(-self._step_s / _TAU_S)
        self._kick = np.sqrt(1 - self._fade**2)
        self._state = np.array([rng.standard_normal(len(Noise)) for rng in self._random]).reshape(-1, len(Noise))
        self._made = 0
        self._before: FloatArray | None = None
        self._chunk = np.empty((0, len(people), N_SIGNS))

    def at(self, step: int, person: int) -> list[float]:
        """All signs of one person at one step, rounded as a device prints them, in the order of `Sign`.

        Raises:
            ValueError: If the step lies before the last two chunks: devices read their bodies in order of time.
        """
        while step >= self._made:
            self._next()
        row = step - (self._made - CHUNK_STEPS)
        if row >= 0:
            return self._chunk[row, person].tolist()  # type: ignore[no-any-return]
        if self._before is None or row < -CHUNK_STEPS:
            raise ValueError(f"step {step} has been forgotten; steps before {self._made - 2 * CHUNK_STEPS} are gone")
        return self._before[row + CHUNK_STEPS, person].tolist()  # type: ignore[no-any-return]

    def run(self, steps: int) -> FloatArray:
        """The next `steps` steps (rounded up to whole chunks) at once, for statistics: (steps, people, N_SIGNS)."""
        chunks: list[FloatArray] = []
        for _ in range(-(-steps // CHUNK_STEPS)):
            self._next()
            chunks.append(self._chunk)
        return np.concatenate(chunks)

    def _next(self) -> None:
        n, people = CHUNK_STEPS, len(self._random)
        drives = np.zeros((n, people, N_DRIVES)) if self._drives is None else self._drives(self._made, n)
        values = signs_of(self._people, self._hours(n), drives, self._noise(n))
        self._before, self._chunk = self._chunk if self._made else None, values
        self._made += n

    def _hours(self, n: int) -> FloatArray:
        seconds = np.arange(self._made, self._made + n) * self._step_s
        return np.asarray((self._start_h + seconds / 3600) % 24)

    def _noise(self, n: int) -> FloatArray:
        """(n, people, noises). Each person draws from an own generator, so chunk length and company do not matter."""
        fresh: FloatArray = (
            np.stack([rng.standard_normal((n, len(Noise))) for rng in self._random], axis=1) * self._kick
        )
        out: FloatArray = np.empty_like(fresh)
        for k in range(n):
            self._state = self._state * self._fade + fresh[k]
            out[k] = self._state
        return out


class _Columns:
    """The people's usual values as arrays, shape (people,)."""

    def __init__(self, people: Sequence[Person]) -> None:
        def column(name: str) -> FloatArray:
            return np.array([getattr(p, name) for p in people], np.float64)

        self.hr, self.resp, self.spo2, self.temp_c = map(column, ("hr", "resp", "spo2", "temp_c"))
        self.sbp, self.dbp = column("sbp"), column("dbp")
        self.bedtime_h, self.wake_h = column("bedtime_h"), column("wake_h")
        self.fibrillation_hr, self.running_hr = column("fibrillation_hr"), column("running_hr")


def _asleep(hours: FloatArray, people: _Columns) -> FloatArray:
    """How deeply asleep, 0..1, shape (steps, people): smooth over about twenty minutes at either end."""
    since_bed = (hours[:, None] - people.bedtime_h) % 24
    night_h = (people.wake_h - people.bedtime_h) % 24
    return np.asarray(np.clip(since_bed / 0.3, 0, 1) * np.clip((night_h - since_bed) / 0.3, 0, 1))


def _above(x: FloatArray, threshold: float) -> FloatArray:
    return np.maximum(x - threshold, 0.0)


def signs_of(people: _Columns, hours: FloatArray, drives: FloatArray, noise: FloatArray) -> FloatArray:
    """The couplings: what a body with these drives shows.

    Sizes of the couplings, and where they come from: fever adds about 8-10 beats a minute for each degree
    (Liebermeister's rule) and 1.5 breaths; blood loss follows the classes of ATLS (up to 15 %: hardly a sign; 15-30 %:
    rate above 100, narrower pulse pressure; 30-40 %: rate above 120, pressure falls); the rest is chosen. All of it
    from memory of textbooks, unconfirmed: good enough to exercise alarms, no model to learn medicine from.

    Args:
        people: Usual values.
        hours: Shape (steps,), local time of day.
        drives: Shape (steps, people, N_DRIVES).
        noise: Shape (steps, people, noises), unit variance.

    Returns:
        Shape (steps, people, N_SIGNS), canonical units, rounded to each sign's printed resolution.
    """
    d = np.moveaxis(drives, -1, 0)
    z = np.moveaxis(np.clip(noise, -_TAIL, _TAIL), -1, 0)
    fever, shunt, vaso, bleed = d[Drive.FEVER], d[Drive.SHUNT], d[Drive.VASO], d[Drive.BLEED]
    af, exertion, effort, oxygen = d[Drive.FIBRILLATION], d[Drive.EXERTION], d[Drive.EFFORT], d[Drive.OXYGEN]
    ill = np.clip(np.maximum.reduce([fever / 1.5, shunt / 5, vaso, bleed / 0.2, effort / 6]), 0, 1)
    # The ill neither sleep well nor walk about: illness is not hidden by the night, nor doubled by a walk.
    asleep = _asleep(hours, people) * (1 - ill)
    active = np.clip(z[Noise.ACTIVITY] - 0.6, 0, 1.2) * (1 - asleep) * (1 - ill) * (1 - exertion)
    rhythm = np.cos((hours - 16.5) / 24 * 2 * np.pi)[:, None] * (1 - ill)

    spo2 = people.spo2 - 0.5 * asleep - 0.3 * active - shunt * (1 - 0.25 * oxygen) - 8 * _above(bleed, 0.25)
    hypoxia = _above(-spo2, -94.0)
    hr = people.hr + 3 * rhythm - 5 * asleep + 10 * active + 9 * fever + 22 * vaso + 200 * _above(bleed, 0.05)
    hr += 1.5 * hypoxia + effort + _HR[0] * z[Noise.HR_FAST] + _HR[1] * z[Noise.HR_SLOW]
    hr = (1 - exertion) * hr + exertion * (people.running_hr + _HR[0] * z[Noise.HR_FAST])
    fast = people.fibrillation_hr + 0.2 * (hr - people.hr) + 6 * z[Noise.HR_FAST] + 3 * z[Noise.PULSE_FAST]
    hr = (1 - af) * hr + af * fast
    resp = people.resp - 0.6 * asleep + 1.5 * active + 1.5 * fever + effort + 4 * vaso + 40 * _above(bleed, 0.1)
    resp += 1.0 * hypoxia + 13 * exertion + 2 * af + _RESP[0] * z[Noise.RESP_FAST] + _RESP[1] * z[Noise.RESP_SLOW]
    temp_c = people.temp_c + 0.2 * rhythm - 0.05 * asleep + fever + 0.1 * exertion - 1.5 * _above(bleed, 0.2)
    push = 3 * rhythm - 5 * asleep + 6 * active + 30 * exertion
    push += _PRESSURE[0] * z[Noise.PRESSURE_FAST] + _PRESSURE[1] * z[Noise.PRESSURE_SLOW]
    sbp = people.sbp + push - 45 * vaso - 60 * _above(bleed, 0.12) - 450 * _above(bleed, 0.25) - 8 * af
    dbp = people.dbp + 0.5 * push - 28 * vaso - 20 * _above(bleed, 0.15) - 150 * _above(bleed, 0.25)

    out = np.empty((*hr.shape, N_SIGNS))
    out[..., Sign.HR] = hr
    # When the atria fibrillate some beats are too weak to reach the wrist (pulse deficit).
    out[..., Sign.PULSE] = hr - 6 * af + _PULSE * z[Noise.PULSE_FAST]
    out[..., Sign.SPO2] = spo2 + _SPO2[0] * z[Noise.SPO2_FAST] + _SPO2[1] * z[Noise.SPO2_SLOW]
    out[..., Sign.RESP] = resp
    out[..., Sign.TEMP_C] = temp_c + _TEMP * z[Noise.TEMP_SLOW]
    _pressures(out, sbp, dbp)
    out[..., Sign.CONSCIOUSNESS] = d[Drive.CONSCIOUSNESS]
    out[..., Sign.OXYGEN] = oxygen > 0
    np.clip(out, _LOWEST, _HIGHEST, out=out)
    out[..., _WHOLE] = np.round(out[..., _WHOLE])
    out[..., ~_WHOLE] = np.round(out[..., ~_WHOLE], 1)
    return out


def _pressures(out: FloatArray, sbp: FloatArray, dbp: FloatArray) -> None:
    """Arterial and cuff pressures alike; a third of the pulse pressure above diastolic is the mean."""
    dbp = np.minimum(np.maximum(dbp, 25.0), sbp - 15.0)
    for s, d, m in ((Sign.SBP, Sign.DBP, Sign.MAP), (Sign.NIBP_SBP, Sign.NIBP_DBP, Sign.NIBP_MAP)):
        out[..., s], out[..., d], out[..., m] = sbp, dbp, dbp + (sbp - dbp) / 3


_WHOLE: Final = np.array([SIGNS[s].resolution == 1 for s in Sign])  # the others are printed to a tenth
_LOWEST: Final = np.array([max(SIGNS[s].plausible[0], 0.0) for s in Sign])
_HIGHEST: Final = np.array([SIGNS[s].plausible[1] for s in Sign])
