"""Tables of recorded patients, already read -> recordings, with unit conversion.

Three kinds of table: our own wide format, the hourly stays of the PhysioNet 2019 challenge, and channels of a bedside
monitor (WFDB) with names and units of their own. What a recording means stands in `vitals.recording`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from vitals.reading import FloatArray, IntArray
from vitals.recording import LabArray, Recording, RecordingError
from vitals.signs import BY_COLUMN, HOUR_NS, SECOND_NS, UNITS, Consciousness, Sign
from vitals.topics import DEVICE_ID, PATIENT_ID

# The challenge's name -> ours, in its units. The laboratory's names are those of `vitals.features.LABS`.
CHALLENGE_SIGNS: Final[dict[str, Sign]] = {
    "HR": Sign.HR,
    "O2Sat": Sign.SPO2,
    "Temp": Sign.TEMP_C,
    "SBP": Sign.SBP,
    "MAP": Sign.MAP,
    "DBP": Sign.DBP,
    "Resp": Sign.RESP,
}
CHALLENGE_LABS: Final[dict[str, str]] = {
    "EtCO2": "etco2",
    "BaseExcess": "base_excess",
    "HCO3": "hco3",
    "FiO2": "fio2",
    "pH": "ph",
    "PaCO2": "paco2",
    "SaO2": "sao2",
    "AST": "ast",
    "BUN": "bun",
    "Alkalinephos": "alkaline_phosphatase",
    "Calcium": "calcium",
    "Chloride": "chloride",
    "Creatinine": "creatinine",
    "Bilirubin_direct": "bilirubin_direct",
    "Glucose": "glucose",
    "Lactate": "lactate",
    "Magnesium": "magnesium",
    "Phosphate": "phosphate",
    "Potassium": "potassium",
    "Bilirubin_total": "bilirubin_total",
    "TroponinI": "troponin_i",
    "Hct": "hct",
    "Hgb": "hgb",
    "PTT": "ptt",
    "WBC": "wbc",
    "Fibrinogen": "fibrinogen",
    "Platelets": "platelets",
}
# Of the challenge, and on purpose not of a recording: the label is a truth, the others know nothing of the body.
CHALLENGE_LEFT: Final = frozenset({"Unit1", "Unit2", "HospAdmTime", "ICULOS", "SepsisLabel", "hospital", "patient_id"})
LABORATORY: Final = frozenset(CHALLENGE_LABS.values())
OTHER_COLUMNS: Final = frozenset({"patient", "time_ns", "t_s", "device", "age", "sex", "received_ns"})

# Channel names of bedside monitors, letters and digits only -> sign. HR to NBPMEAN were seen in headers of the MIMIC-II
# numerics; the short ones (RR, ABPS ...) are those of newer monitors, unconfirmed.
MONITOR_NAMES: Final[dict[str, Sign]] = {
    "HR": Sign.HR,
    "PULSE": Sign.PULSE,
    "SPO2": Sign.SPO2,
    "RESP": Sign.RESP,
    "RR": Sign.RESP,
    "TEMP": Sign.TEMP_C,
    **{f"{line}{part}": sign for line in ("ABP", "ART") for part, sign in (
        ("SYS", Sign.SBP), ("S", Sign.SBP), ("DIAS", Sign.DBP), ("D", Sign.DBP), ("MEAN", Sign.MAP), ("M", Sign.MAP)
    )},
    **{f"NBP{part}": sign for part, sign in (
        ("SYS", Sign.NIBP_SBP), ("S", Sign.NIBP_SBP), ("DIAS", Sign.NIBP_DBP), ("D", Sign.NIBP_DBP),
        ("MEAN", Sign.NIBP_MAP), ("M", Sign.NIBP_MAP),
    )},
}  # fmt: skip
# Units as headers write them -> as `vitals.signs.UNITS` does. "pm" is per minute.
MONITOR_UNITS: Final = {"pm": "/min", "degC": "Cel", "deg C": "Cel", "C": "Cel", "degF": "[degF]", "deg F": "[degF]"}

_SEXES: Final = {"f": 0.0, "female": 0.0, "0": 0.0, "m": 1.0, "male": 1.0, "1": 1.0}
_YES_NO: Final = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}
_LETTERS: Final = {letter.name: float(letter) for letter in Consciousness}


@dataclass(frozen=True, slots=True)
class Text:
    """A column of words.

    Attributes:
        names: The words, each once.
        codes: Shape (rows,), index into `names`; -1 where the cell is empty.
    """

    names: tuple[str, ...]
    codes: IntArray


Column: TypeAlias = npt.NDArray[np.generic] | Text
Table: TypeAlias = Mapping[str, Column]


def numbers(column: Column, name: str) -> FloatArray:
    """A column as float64, NaN where nothing stands.

    A narrower float stands for the shortest decimal that it is nearest to: a temperature written as 38.05 into a
    float32 is 38.05 again and not 38.04999923706055, which would be charted as another value.

    Raises:
        RecordingError: If a cell is a word.
    """
    if isinstance(column, Text):
        filled = np.flatnonzero(column.codes >= 0)
        if not len(filled):
            return np.full(len(column.codes), np.nan)
        word = column.names[int(column.codes[filled[0]])]
        raise RecordingError(
            f"{word!r} is not a number; leave the cell empty where nothing was measured",
            row=int(filled[0]),
            column=name,
        )
    wide = column.astype(np.float64)
    if column.dtype.kind != "f" or column.dtype.itemsize >= 8:
        return wide
    todo = np.flatnonzero(np.isfinite(wide))
    for digits in range(7):
        near = np.round(wide[todo], digits)
        hit = near.astype(column.dtype) == column[todo]
        wide[todo[hit]] = near[hit]
        todo = todo[~hit]
    return wide


def _words(column: Column, name: str, meaning: Mapping[str, float], say: str) -> FloatArray:
    """A column of agreed words as numbers; numbers stand for themselves if they are among the meanings."""
    if not isinstance(column, Text):
        value = numbers(column, name)
        wrong = np.flatnonzero(~np.isnan(value) & ~np.isin(value, [m for w, m in meaning.items() if w.isdigit()]))
        if len(wrong):
            raise RecordingError(f"{value[wrong[0]]:g} is not {say}", row=int(wrong[0]), column=name)
        return value
    known = {word.upper(): number for word, number in meaning.items()}
    number = np.array([*(known.get(word.strip().upper(), np.inf) for word in column.names), np.nan])
    value = number[column.codes]
    wrong = np.flatnonzero(np.isinf(value))
    if len(wrong):
        word = column.names[int(column.codes[wrong[0]])]
        raise RecordingError(f"{word!r} is not {say}", row=int(wrong[0]), column=name)
    return value


def _sign_values(column: Column, sign: Sign) -> FloatArray:
    """One sign's column in the numbers of `vitals.signs`."""
    if sign is Sign.CONSCIOUSNESS:
        return _words(column, sign.column, _LETTERS, "one of A, C, V, P, U")
    if sign is Sign.OXYGEN:
        return _words(column, sign.column, _YES_NO, "true or false (true: the patient is given oxygen)")
    return numbers(column, sign.column)


def _ids(column: Column, name: str, rule: re.Pattern[str]) -> Text:
    """A column of ids, each checked against what topics and keys can carry."""
    if not isinstance(column, Text):
        raise RecordingError("it must hold text", column=name)
    for code, word in enumerate(column.names):
        if rule.fullmatch(word) or not (column.codes == code).any():
            continue
        row = int(np.argmax(column.codes == code))
        say = "letters, digits, dot, dash and underline, at most 64, a letter or digit first"
        raise RecordingError(f"{word!r} cannot be an id: {say}", row=row, column=name)
    return column


def _times(table: Table) -> IntArray:
    """Instants of the rows in nanoseconds."""
    name = "time_ns" if "time_ns" in table else "t_s"
    if name not in table:
        raise RecordingError("it has neither a column `time_ns` (UTC) nor `t_s` (seconds from the patient's start)")
    column = table[name]
    if name == "time_ns" and not isinstance(column, Text) and column.dtype.kind in "iu":
        return column.astype(np.int64)
    value = numbers(column, name)
    wrong = np.flatnonzero(~np.isfinite(value))
    if len(wrong):
        raise RecordingError("the row has no time; every row needs one", row=int(wrong[0]), column=name)
    if name == "time_ns":
        # Beyond 2**53 a float64 steps over whole nanoseconds: times that came as floats are not the ones written.
        raise RecordingError("it must hold whole numbers (integer nanoseconds, UTC)", column=name)
    return np.rint(value * SECOND_NS).astype(np.int64)


def _received(column: Column) -> IntArray:
    """Nanoseconds, -1 where unknown."""
    if not isinstance(column, Text) and column.dtype.kind in "iu":
        return column.astype(np.int64)
    value = numbers(column, "received_ns")
    if not np.isnan(value).all():
        raise RecordingError("it must hold whole numbers (integer nanoseconds, UTC)", column="received_ns")
    return np.full(len(value), -1, np.int64)


def _laboratory(column: Column, name: str) -> LabArray:
    """A laboratory column in the precision it came in: 27 of them as float64 would double a large recording."""
    if isinstance(column, Text) or column.dtype.kind != "f":
        return numbers(column, name)
    return cast("LabArray", column)


def _assemble(patient: Text, time_ns: IntArray) -> tuple[tuple[str, ...], IntArray, IntArray | slice]:
    """Lay rows end to end by patient: names in order of appearance, offsets, and the rows in their new order."""
    empty = np.flatnonzero(patient.codes < 0)
    if len(empty):
        raise RecordingError("the row names no patient; every row needs one", row=int(empty[0]), column="patient")
    seen, first, inverse = np.unique(patient.codes, return_index=True, return_inverse=True)
    appearance = np.argsort(first)
    place = np.empty(len(seen), np.int64)
    place[appearance] = np.arange(len(seen))
    owner = place[inverse]
    order = np.lexsort((time_ns, owner))  # stable: rows of equal time stay in the source's order
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(seen)))])
    names = tuple(patient.names[int(seen[i])] for i in appearance)
    # Most recordings are in order already; a slice then spares a copy of every column.
    return names, offsets, slice(None) if bool((np.diff(order) == 1).all()) else order


def _of_patient(value: FloatArray, offsets: IntArray) -> FloatArray:
    """For each patient the first of their rows' values that is not NaN; NaN where none is."""
    out = np.full(len(offsets) - 1, np.nan)
    known = np.flatnonzero(~np.isnan(value))
    who, first = np.unique(np.searchsorted(offsets, known, side="right") - 1, return_index=True)
    out[who] = value[known[first]]
    return out


def recording(table: Table, source: str = "") -> Recording:
    """Read a table in our own wide format.

    Args:
        table: Columns by name: `patient`; `time_ns` or `t_s`; signs by `signs.BY_COLUMN` in canonical units; perhaps
            `device`, `age`, `sex`, `received_ns` and columns of `LABORATORY`. NaN or an empty word: not measured.
        source: Where it came from, in words.

    Returns:
        The recording; columns that mean nothing to it are named in `unknown`.

    Raises:
        RecordingError: If it is no recording, with the row and column that say so.
    """
    if "patient" not in table:
        raise RecordingError(f"it has no column `patient`; its columns are {', '.join(table) or 'none'}")
    if not any(name in BY_COLUMN for name in table):
        raise RecordingError(f"it has no column of a sign; the signs are {', '.join(BY_COLUMN)}")
    patient = _ids(table["patient"], "patient", PATIENT_ID)
    time_ns = _times(table)
    if not len(time_ns):
        raise RecordingError("it has a header and no rows")
    patients, offsets, order = _assemble(patient, time_ns)
    unsaid = np.full(len(time_ns), np.nan)
    device = _ids(table["device"], "device", DEVICE_ID) if "device" in table else Text((), np.full(len(time_ns), -1))
    age = numbers(table["age"], "age") if "age" in table else unsaid
    sex = _words(table["sex"], "sex", _SEXES, "f or m") if "sex" in table else unsaid
    return Recording(
        patients=patients,
        offsets=offsets,
        time_ns=time_ns[order],
        signs={sign: _sign_values(table[name], sign)[order] for name, sign in BY_COLUMN.items() if name in table},
        labs={name: _laboratory(table[name], name)[order] for name in table if name in LABORATORY},
        age=_of_patient(age[order], offsets),
        sex=_of_patient(sex[order], offsets),
        devices=device.names,
        device=device.codes[order],
        received_ns=_received(table["received_ns"])[order] if "received_ns" in table else None,
        row=np.arange(len(time_ns))[order],
        unknown=tuple(name for name in table if name not in BY_COLUMN and name not in LABORATORY | OTHER_COLUMNS),
        source=source,
    )


def challenge(table: Table, source: str = "") -> Recording:
    """Read hourly stays of the PhysioNet 2019 challenge, in its own names.

    The heart rate is a monitor's: it becomes `hr`. A patient's n-th row stands n hours after the first.

    Args:
        table: The challenge's columns, and `patient` or, as numbers, `patient_id`; a patient's rows in their order.
        source: Where it came from, in words.

    Raises:
        RecordingError: As `recording`.
    """
    patient = table.get("patient", table.get("patient_id"))
    if patient is None:
        raise RecordingError(f"it has no column `patient_id`; its columns are {', '.join(table)}")
    if not isinstance(patient, Text):
        seen, codes = np.unique(patient, return_inverse=True)
        patient = Text(tuple(str(name) for name in seen), codes.astype(np.int64))
    by_patient = np.argsort(patient.codes, kind="stable")
    _, n = np.unique(patient.codes, return_counts=True)
    hour = np.empty(len(patient.codes), np.int64)
    hour[by_patient] = np.arange(len(hour)) - np.repeat(np.cumsum(n) - n, n)
    wide: dict[str, Column] = {"patient": patient, "time_ns": hour * HOUR_NS}
    for name, column in table.items():
        ours = CHALLENGE_SIGNS[name].column if name in CHALLENGE_SIGNS else CHALLENGE_LABS.get(name, name)
        if name not in CHALLENGE_LEFT:
            wide[{"Age": "age", "Gender": "sex"}.get(name, ours)] = column
    return recording(wide, source)


@dataclass(frozen=True, slots=True)
class Channels:
    """What a bedside monitor wrote of one patient on one regular grid.

    Attributes:
        patient: Pseudonym.
        rate_hz: Samples of a channel in a second; 1/60 for one a minute.
        names: Channels as the monitor names them.
        units: Their units as its header writes them.
        value: Shape (samples, channels), NaN where the format says "no sample".
        age: Years, NaN unknown.
        sex: 0 female, 1 male, NaN unknown.
    """

    patient: str
    rate_hz: float
    names: Sequence[str]
    units: Sequence[str]
    value: FloatArray
    age: float = float("nan")
    sex: float = float("nan")


def _grid_ns(rate_hz: float, n: int) -> IntArray:
    """Instants of n samples. A header writes one a minute as 0.0166667 Hz: near a whole second it is one."""
    period_s = 1 / rate_hz
    if round(period_s) >= 1 and abs(period_s - round(period_s)) < 1e-4 * period_s:
        return np.arange(n, dtype=np.int64) * (round(period_s) * SECOND_NS)
    instants: FloatArray = np.rint(np.arange(n) * (SECOND_NS / rate_hz))
    return instants.astype(np.int64)


def monitor(channels: Channels, source: str = "", *, zero_is_missing: bool = True) -> Recording:
    """Read the channels of a bedside monitor, each converted to its sign's unit.

    A channel of another name, or whose unit is no unit of its sign (a respiration wave in mV is no rate), is left alone
    and named in `unknown`. Time counts from the first sample: the dates in such headers are surrogates.

    Args:
        channels: Names, units and samples.
        source: Where it came from, in words.
        zero_is_missing: Take an exact 0 as not measured, as the monitors of the MIMIC databases mean it. False keeps
            the zeros, and then an asystole is one.

    Raises:
        RecordingError: If no channel is a sign.
    """
    table: dict[str, Column] = {}
    unknown: list[str] = []
    for i, (name, unit) in enumerate(zip(channels.names, channels.units, strict=True)):
        sign = MONITOR_NAMES.get(re.sub(r"[^A-Z0-9]", "", name.upper()))
        factor = None if sign is None else UNITS[sign].get(MONITOR_UNITS.get(unit, unit))
        if sign is None or factor is None or sign.column in table:
            unknown.append(f"{name} ({unit})")
            continue
        value = channels.value[:, i].astype(np.float64)
        if zero_is_missing:
            value[value == 0] = np.nan
        # Multiplying by one would keep the bits, adding 0 would not keep -0: leave canonical values untouched.
        table[sign.column] = value if factor == (1.0, 0.0) else value * factor[0] + factor[1]
    if not table:
        raise RecordingError(
            f"none of its channels is a sign with a unit we know: {', '.join(unknown) or 'it has none'}"
        )
    n = len(channels.value)
    table |= {
        "patient": Text((channels.patient,), np.zeros(n, np.int64)),
        "time_ns": _grid_ns(channels.rate_hz, n),
        "age": np.full(n, channels.age),
        "sex": np.full(n, channels.sex),
    }
    return replace(recording(table, source), unknown=tuple(unknown))
