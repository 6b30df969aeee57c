"""The table of signs: what is measured, in which unit, within which limits, and for how long a value stays valid.

A *sign* is a kind of measurement. Two devices that measure the same thing in different ways (an electrocardiogram
and an oximeter, an arterial line and a cuff) deliver different signs; a *measure* (heart rate, systolic pressure)
names the best of them that is there. Scores, limits and detectors ask for measures.

Every number names its source. ``[CLIN 1.1]`` and ``[CLIN 1.3]`` stand for docs/clinical.md, which holds the codes and
ranges with the publications they were read in. Validity times and the ranges marked *site* are defaults that a
site's clinicians set.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS


class Sign(enum.IntEnum):
    """A kind of measurement; the number is its column in every array and its code in every block."""

    HR = 0
    PULSE = 1
    SPO2 = 2
    RESP = 3
    TEMP_C = 4
    SBP = 5
    DBP = 6
    MAP = 7
    NIBP_SBP = 8
    NIBP_DBP = 9
    NIBP_MAP = 10
    CONSCIOUSNESS = 11
    OXYGEN = 12

    @property
    def column(self) -> str:
        """Its name on the wire, in recordings, in stores: ``hr``, ``spo2``, ``nibp_sbp``."""
        return self.name.lower()


N_SIGNS: Final = len(Sign)


class Measure(enum.IntEnum):
    """What a clinician asks about, whatever device told it; the number is its column in arrays of measures."""

    RATE = 0
    SPO2 = 1
    RESP = 2
    TEMP_C = 3
    SBP = 4
    DBP = 5
    MAP = 6
    CONSCIOUSNESS = 7
    OXYGEN = 8

    @property
    def label(self) -> str:
        """Its name in words: ``heart rate``."""
        return MEASURE_LABELS[self]


N_MEASURES: Final = len(Measure)

MEASURE_LABELS: Final[dict[Measure, str]] = {
    Measure.RATE: "heart rate",
    Measure.SPO2: "oxygen saturation",
    Measure.RESP: "respiration",
    Measure.TEMP_C: "temperature",
    Measure.SBP: "systolic pressure",
    Measure.DBP: "diastolic pressure",
    Measure.MAP: "mean pressure",
    Measure.CONSCIOUSNESS: "consciousness",
    Measure.OXYGEN: "air or oxygen",
}

# Best source first: electrocardiogram before pulse wave, arterial line before cuff (DESIGN: the way of one reading).
SOURCES: Final[dict[Measure, tuple[Sign, ...]]] = {
    Measure.RATE: (Sign.HR, Sign.PULSE),
    Measure.SPO2: (Sign.SPO2,),
    Measure.RESP: (Sign.RESP,),
    Measure.TEMP_C: (Sign.TEMP_C,),
    Measure.SBP: (Sign.SBP, Sign.NIBP_SBP),
    Measure.DBP: (Sign.DBP, Sign.NIBP_DBP),
    Measure.MAP: (Sign.MAP, Sign.NIBP_MAP),
    Measure.CONSCIOUSNESS: (Sign.CONSCIOUSNESS,),
    Measure.OXYGEN: (Sign.OXYGEN,),
}

MEASURE_OF: Final[dict[Sign, Measure]] = {sign: measure for measure, signs in SOURCES.items() for sign in signs}


class Consciousness(enum.IntEnum):
    """ACVPU, in the order of the NEWS2 chart; C is *new* confusion (RCP 2017, [CLIN 2.1])."""

    A = 0
    C = 1
    V = 2
    P = 3
    U = 4


@dataclass(frozen=True, slots=True)
class SignRow:
    """One row of the table of signs.

    Attributes:
        label: The sign in words.
        unit: Canonical unit, UCUM.
        loinc: LOINC code, or "" where none is known to us.
        mdc: IEEE 11073 (MDC) code = 131072 + term, or 0 where none is known to us.
        possible: Outside these a reading is refused: no body and no sensor of the kind gives it.
        plausible: Outside these a reading is kept, marked doubtful, and still able to raise an alarm.
        valid_ns: How long a value stands for its patient after it was measured (a site's default).
        period_ns: Usual time between two readings.
        resolution: Step of the printed value, for display.
        source: Where codes and ranges were read.
    """

    label: str
    unit: str
    loinc: str
    mdc: int
    possible: tuple[float, float]
    plausible: tuple[float, float]
    valid_ns: int
    period_ns: int
    resolution: float
    source: str


_LIVE = 2 * MINUTE_NS
_CUFF = HOUR_NS
_TEMP = 4 * HOUR_NS
_NURSE = 12 * HOUR_NS

_PRESS_UNCONFIRMED = "[CLIN 1.1] codes; UCUM unit unconfirmed there; [CLIN 1.3] OpenICE VitalSign.java ranges"

SIGNS: Final[dict[Sign, SignRow]] = {
    Sign.HR: SignRow(
        "heart rate",
        "/min",
        "8867-4",
        147842,
        (0, 350),
        (20, 250),
        _LIVE,
        SECOND_NS,
        1,
        "[CLIN 1.1] MDC_ECG_HEART_RATE; plausible: critical low 20, display high 250 of [CLIN 1.3]; possible: site",
    ),
    Sign.PULSE: SignRow(
        "pulse rate",
        "/min",
        "8867-4",
        149530,
        (0, 350),
        (20, 250),
        _LIVE,
        SECOND_NS,
        1,
        "[CLIN 1.1] MDC_PULS_OXIM_PULS_RATE; ranges as heart rate",
    ),
    Sign.SPO2: SignRow(
        "oxygen saturation",
        "%",
        "59408-5",
        150456,
        (0, 100),
        (50, 100),
        _LIVE,
        SECOND_NS,
        1,
        "[CLIN 1.1] MDC_PULS_OXIM_SAT_O2; plausible 50-100 of [CLIN 1.3]",
    ),
    Sign.RESP: SignRow(
        "respiratory rate",
        "/min",
        "9279-1",
        151562,
        (0, 150),
        (3, 70),
        _LIVE,
        SECOND_NS,
        1,
        "[CLIN 1.1] MDC_RESP_RATE; [CLIN 1.3] warns that a cap of 40 clips real tachypnoea: plausible to 70 (site)",
    ),
    Sign.TEMP_C: SignRow(
        "body temperature",
        "Cel",
        "8310-5",
        150364,
        (10, 50),
        (30, 45),
        _TEMP,
        MINUTE_NS,
        0.1,
        "[CLIN 1.1] MDC_TEMP_BODY; plausible 30-45 of [CLIN 1.3] (ClinyQAi)",
    ),
    Sign.SBP: SignRow(
        "systolic pressure, arterial line",
        "mm[Hg]",
        "8480-6",
        150037,
        (-50, 400),
        (50, 250),
        _LIVE,
        SECOND_NS,
        1,
        _PRESS_UNCONFIRMED + "; possible: lines read below zero while zeroed",
    ),
    Sign.DBP: SignRow(
        "diastolic pressure, arterial line",
        "mm[Hg]",
        "8462-4",
        150038,
        (-50, 400),
        (20, 200),
        _LIVE,
        SECOND_NS,
        1,
        _PRESS_UNCONFIRMED,
    ),
    Sign.MAP: SignRow(
        "mean pressure, arterial line",
        "mm[Hg]",
        "8478-0",
        150039,
        (-50, 400),
        (30, 220),
        _LIVE,
        SECOND_NS,
        1,
        _PRESS_UNCONFIRMED + "; LOINC third-party",
    ),
    Sign.NIBP_SBP: SignRow(
        "systolic pressure, cuff",
        "mm[Hg]",
        "8480-6",
        150021,
        (0, 400),
        (50, 250),
        _CUFF,
        HOUR_NS,
        1,
        _PRESS_UNCONFIRMED,
    ),
    Sign.NIBP_DBP: SignRow(
        "diastolic pressure, cuff",
        "mm[Hg]",
        "8462-4",
        150022,
        (0, 400),
        (20, 200),
        _CUFF,
        HOUR_NS,
        1,
        _PRESS_UNCONFIRMED,
    ),
    Sign.NIBP_MAP: SignRow(
        "mean pressure, cuff",
        "mm[Hg]",
        "8478-0",
        150023,
        (0, 400),
        (30, 220),
        _CUFF,
        HOUR_NS,
        1,
        _PRESS_UNCONFIRMED + "; LOINC third-party",
    ),
    Sign.CONSCIOUSNESS: SignRow(
        "consciousness (ACVPU)",
        "{ACVPU}",
        "",
        0,
        (0, 4),
        (0, 4),
        _NURSE,
        6 * HOUR_NS,
        1,
        "[CLIN 2.1] NEWS2 chart; the letters travel on the wire, codes 0..4 inside",
    ),
    Sign.OXYGEN: SignRow(
        "on oxygen",
        "{bool}",
        "",
        0,
        (0, 1),
        (0, 1),
        _NURSE,
        6 * HOUR_NS,
        1,
        "[CLIN 2.1] NEWS2 chart; true = supplemental oxygen",
    ),
}

BY_COLUMN: Final[dict[str, Sign]] = {sign.column: sign for sign in Sign}

# Unit as written by devices -> (factor, offset) to the canonical unit of a sign: canonical = value * factor + offset.
UNITS: Final[dict[Sign, dict[str, tuple[float, float]]]] = {}
for _sign in Sign:
    _unit = SIGNS[_sign].unit
    _units = {_unit: (1.0, 0.0)}
    if _unit == "/min":
        _units |= {"{beats}/min": (1.0, 0.0), "{breaths}/min": (1.0, 0.0), "bpm": (1.0, 0.0), "Hz": (60.0, 0.0)}
    elif _unit == "Cel":
        _units |= {"[degF]": (5 / 9, -160 / 9), "K": (1.0, -273.15)}
    elif _unit == "mm[Hg]":
        _units |= {"mmHg": (1.0, 0.0), "kPa": (7.50061683, 0.0)}  # 1 mm[Hg] = 133.322387415 Pa (UCUM)
    elif _unit == "%":
        _units |= {"1": (100.0, 0.0)}
    UNITS[_sign] = _units
