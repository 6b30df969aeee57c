"""Names the artefact before anybody looks for illness: a verdict on every sign of every closed frame.

Rules, each a row of `REASONS` with its source, look at one frame of many patients and a few numbers carried from the
frames before. They never wait for a later frame, so a minute is judged once and the judgement never changes.

```
  frame        t-1        t          usable     goes to scores and detectors
  values  ------->  judge -------->  doubtful   goes there too, and says why; still able to raise an alarm
  state   ------->          |        artefact   kept out of the physiology, raises a technical alarm
                            +----->  state for t+1
```

One rule of thumb runs through all thresholds: an artefact must be something that *no* body does. A saturation that
falls by 12 points within a minute, or a systolic pressure that rises by 40, happens to bodies; both stay in. What
cannot be told apart from illness is at most doubtful.

Sources: [AE] table 1 of the arterial-pressure artefact elimination study PMC7015776 (pulse pressure by systolic band,
systolic or diastolic at or below 10, all three equal). [JSQI] the signal abnormality index of Sun, Reisner and Mark
(Computers in Cardiology 2006), as its public port states it: pressures 20-300 mmHg, mean 30-200. [SIGNS] the plausible
ranges of `vitals.signs`. [SITE] our own default, unconfirmed by a publication: the reason stands beside it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vitals.signs import N_SIGNS, SIGNS, Sign

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
State = dict[str, npt.NDArray[np.float32]]


class Verdict(enum.IntEnum):
    """How far a value can be believed; higher is worse. ABSENT: nothing was measured in this frame."""

    ABSENT = -1
    USABLE = 0
    DOUBTFUL = 1
    ARTEFACT = 2


class Reason(enum.IntEnum):
    """Why a value is not simply usable. Where several hold, the worse verdict wins, then the lower number."""

    NONE = 0
    ZEROING = 1
    FLUSH = 2
    FLAT_PRESSURE = 3
    INVERTED_PRESSURE = 4
    CONTACT_LOST = 5
    RATE_OF_CHANGE = 6
    APART = 7
    MEAN_OUTSIDE = 8
    SETTLING = 9
    IMPLAUSIBLE = 10


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table: what a reason means."""

    verdict: Verdict
    """What it makes of the value."""
    words: str
    """As a nurse reads it."""
    source: str
    """Where its numbers come from; the key is in the module's docstring."""


REASONS: Final[dict[Reason, Meaning]] = {
    Reason.ZEROING: Meaning(Verdict.ARTEFACT, "pressure line open to air or unplugged", "[AE] <= 10 mmHg"),
    Reason.FLUSH: Meaning(
        Verdict.ARTEFACT, "pressure line flushed or shut", "[AE] bands from 150; [JSQI] > 300, mean > 200"
    ),
    Reason.FLAT_PRESSURE: Meaning(Verdict.ARTEFACT, "pressure wave flat: line damped or shut", "[AE] bands below 150"),
    Reason.INVERTED_PRESSURE: Meaning(
        Verdict.ARTEFACT, "systolic below diastolic", "arithmetic: no pressure wave has it"
    ),
    Reason.CONTACT_LOST: Meaning(
        Verdict.ARTEFACT, "sensor off the patient", "[SIGNS] plausible range of SpO2 and temperature; [SITE] rate of 0"
    ),
    Reason.RATE_OF_CHANGE: Meaning(Verdict.ARTEFACT, "changed faster than a body can", "[SITE] see MAX_CHANGE"),
    Reason.APART: Meaning(Verdict.DOUBTFUL, "heart rate and pulse disagree", "[SITE] more than 30 % and 15 /min apart"),
    Reason.MEAN_OUTSIDE: Meaning(Verdict.DOUBTFUL, "mean pressure outside systolic to diastolic", "arithmetic"),
    Reason.SETTLING: Meaning(
        Verdict.DOUBTFUL, "first minute after an artefact", "[SITE] a minute's mean still holds part of it"
    ),
    Reason.IMPLAUSIBLE: Meaning(Verdict.DOUBTFUL, "outside the plausible range", "[SIGNS]"),
}

# [SITE] Largest change between the medians of neighbouring minutes that is still a body's. Each is about twice what
# sudden illness does: a paroxysmal tachycardia adds 100 /min at once, an apnoea takes saturation down by roughly 1 %
# a second only after a lag (so 45 points), a pause or a bolus of pressor moves pressures by 60 to 90 mmHg within a
# minute. A core temperature moves 0.1 Cel; its limit allows for a probe that warms up or is put somewhere else, and
# names one that has fallen out.
MAX_CHANGE: Final[dict[Sign, float]] = {
    Sign.HR: 120.0,
    Sign.PULSE: 120.0,
    Sign.SPO2: 45.0,
    Sign.RESP: 60.0,
    Sign.TEMP_C: 3.0,
    Sign.SBP: 110.0,
    Sign.DBP: 90.0,
    Sign.MAP: 100.0,
}
MEMORY: Final = 5
"""Frames for which a value remembered before a gap still bounds the change, and after which a new level is believed."""
APART_SHARE, APART_RATE = 0.30, 15.0
SPO2_OFF: Final = 85.0
"""[SITE] An oximeter that reads below this while its own pulse disagrees with the heart rate has lost its finger."""

# [AE]: systolic up to this | pulse pressure below this is a flat wave.
_BANDS: Final = ((100.0, 10.0), (150.0, 15.0), (200.0, 30.0), (np.inf, 50.0))
_FLUSH_FROM: Final = 150.0
_LOW = np.array([SIGNS[s].plausible[0] for s in Sign], np.float32)
_HIGH = np.array([SIGNS[s].plausible[1] for s in Sign], np.float32)
_LIMIT = np.array([MAX_CHANGE.get(s, np.inf) for s in Sign], np.float32)
_LINE = (Sign.SBP, Sign.DBP, Sign.MAP)
_VERDICT_OF = np.array([0, *(REASONS[r].verdict for r in Reason if r)], np.int8)


def start(rows: int) -> State:
    """What must be remembered of patients never seen yet.

    Args:
        rows: How many patients.

    Returns:
        `last`, shape (rows, N_SIGNS): newest value that was not an artefact, NaN before the first. `since`, same
        shape: frames since then. `bad`, same shape: 1 where the frame before was an artefact.
    """
    shape = (rows, N_SIGNS)
    return {
        "last": np.full(shape, np.nan, np.float32),
        "since": np.full(shape, MEMORY, np.float32),
        "bad": np.zeros(shape, np.float32),
    }


def _pressure(x: Floats, reason: dict[Reason, Bools]) -> None:
    """Mark what an arterial line does when it does not look at an artery."""
    sbp, dbp, mean = (x[:, s] for s in _LINE)
    pulse_pressure = sbp - dbp
    narrow = np.zeros(len(x), bool)
    above = -np.inf
    for up_to, least in _BANDS:
        narrow |= (sbp > above) & (sbp <= up_to) & (pulse_pressure < least)
        above = up_to
    # A damped or flushed line is measured right, only not in an artery: its mean lies between the other two. Where it
    # does not, one of the three numbers moved alone, and that may be news.
    outside = (mean > sbp + 1) | (mean < dbp - 1)
    narrow &= (pulse_pressure >= 0) & ~outside
    zero = ((sbp <= 10) | (dbp <= 10) | (mean <= 10)) & ~outside
    flush = (narrow & (sbp >= _FLUSH_FROM)) | (sbp > 300) | (dbp > 300) | (mean > 200)
    line = np.zeros(x.shape, bool)
    line[:, list(_LINE)] = True
    reason[Reason.ZEROING] = line & zero[:, None]
    reason[Reason.FLUSH] = line & flush[:, None]
    reason[Reason.FLAT_PRESSURE] = line & (narrow & (sbp < _FLUSH_FROM))[:, None]
    reason[Reason.INVERTED_PRESSURE] = line & (pulse_pressure < 0)[:, None]
    reason[Reason.MEAN_OUTSIDE] = line & outside[:, None]


def _sensors(x: Floats, reason: dict[Reason, Bools]) -> None:
    """Mark sensors that lost the patient, and two rates that cannot both be right."""
    rate, pulse, spo2 = x[:, Sign.HR], x[:, Sign.PULSE], x[:, Sign.SPO2]
    gap = np.abs(rate - pulse)
    apart = (gap > APART_RATE) & (gap > APART_SHARE * np.fmax(rate, pulse))
    off = np.zeros(x.shape, bool)
    off[:, Sign.SPO2] = (spo2 < _LOW[Sign.SPO2]) | (apart & (spo2 < SPO2_OFF))
    off[:, Sign.PULSE] = (pulse <= 0) | off[:, Sign.SPO2] & (apart | np.isnan(rate))
    off[:, Sign.HR] = rate <= 0
    off[:, Sign.TEMP_C] = x[:, Sign.TEMP_C] < _LOW[Sign.TEMP_C]
    reason[Reason.CONTACT_LOST] = off
    both = np.zeros(x.shape, bool)
    both[:, [Sign.HR, Sign.PULSE]] = apart[:, None]
    reason[Reason.APART] = both


def judge(values: Floats, measured: Bools, state: State) -> tuple[Codes, Codes, State]:
    """Judge one frame of many patients.

    Example: an arterial line reads 118/61, mean 80, then is flushed and reads 274/262, mean 268, then 119/60, mean 80.
    The three frames are usable, artefact (FLUSH), doubtful (SETTLING); the fourth is usable again.

    Args:
        values: Shape (n, N_SIGNS), canonical units.
        measured: Shape (n, N_SIGNS), true where measured within this frame. Other values are not looked at.
        state: Of the same n patients, from `start` or the call before; left untouched.

    Returns:
        Verdict and Reason, both int8 of shape (n, N_SIGNS), and the state one frame on.
    """
    x = np.where(measured, values, np.nan).astype(np.float32)
    seen = ~np.isnan(x)
    reasons: dict[Reason, Bools] = {}
    with np.errstate(invalid="ignore"):
        _pressure(x, reasons)
        _sensors(x, reasons)
        known = state["since"] < MEMORY
        reasons[Reason.RATE_OF_CHANGE] = known & (np.abs(x - state["last"]) > _LIMIT)
        reasons[Reason.SETTLING] = seen & (state["bad"] > 0)
        reasons[Reason.IMPLAUSIBLE] = (x < _LOW) | (x > _HIGH)
    reason = np.zeros(x.shape, np.int8)
    for r in sorted(reasons, key=lambda r: (REASONS[r].verdict, -r)):  # the worst last, so that it stays
        reason[reasons[r] & seen] = r
    verdict = np.where(seen, _VERDICT_OF[reason], np.int8(Verdict.ABSENT)).astype(np.int8)
    good = (verdict == Verdict.USABLE) | (verdict == Verdict.DOUBTFUL)
    after: State = {
        "last": np.where(good, x, state["last"]),
        "since": np.where(good, np.float32(0), np.minimum(state["since"] + 1, np.float32(MEMORY))),
        # Not measured: whether the artefact goes on is unknown, so its mark stays.
        "bad": np.where(seen, verdict == Verdict.ARTEFACT, state["bad"] > 0).astype(np.float32),
    }
    return verdict, reason, after
