"""Whole recordings through the sepsis network, hour by hour, with the very step that serves the ward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.sepsis_model import SHIPPED, Hour, SepsisModel, hourly_values
from vitals.align import OBSERVED_BY_PEOPLE
from vitals.features import VITALS, hours_of
from vitals.screening import screened
from vitals.signs import N_SIGNS, Sign

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HOUR_S, MINUTE_S = 3600.0, 60.0
_HAIR = 1e-6  # 59.999999 s of a rounded clock is the second minute and not the first
_NUMERIC = [s for s in Sign if s not in OBSERVED_BY_PEOPLE]
LONGEST_GAP_H = 48
"""Longer gaps are stepped through as this many empty hours: by then everything is as stale as it can be."""
CHALLENGE_NAMES = {
    "etco2": "EtCO2", "base_excess": "BaseExcess", "hco3": "HCO3", "fio2": "FiO2", "ph": "pH", "paco2": "PaCO2",
    "sao2": "SaO2", "ast": "AST", "bun": "BUN", "alkaline_phosphatase": "Alkalinephos", "calcium": "Calcium",
    "chloride": "Chloride", "creatinine": "Creatinine", "bilirubin_direct": "Bilirubin_direct", "glucose": "Glucose",
    "lactate": "Lactate", "magnesium": "Magnesium", "phosphate": "Phosphate", "potassium": "Potassium",
    "bilirubin_total": "Bilirubin_total", "troponin_i": "TroponinI", "hct": "Hct", "hgb": "Hgb", "ptt": "PTT",
    "wbc": "WBC", "fibrinogen": "Fibrinogen", "platelets": "Platelets",
}  # fmt: skip
"""Laboratory columns are found under our name or the PhysioNet 2019 challenge's, in the same units."""


class RecordingError(ValueError):
    """The table is no recording: a column that must be there is not."""


def score_stays(model: SepsisModel, values: Floats, lengths: NDArray[np.int64], static: Floats) -> Hour:
    """Score every hour of many stays.

    Args:
        model: The artifact.
        values: Shape (sum of lengths, n_inputs): hourly frames, stays one after another, oldest hour first.
        lengths: Shape (n_patients,), hours of each stay.
        static: Shape (n_patients, 2): age in years, sex (1 male); NaN unknown.

    Returns:
        An `Hour` whose arrays have a row for each hour, in the order of `values`.
    """
    n = len(values)
    out = Hour(np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.zeros(n, bool))
    state = model.start(len(lengths))
    for rows, who in hours_of(lengths):
        running = {name: array[: len(rows)] for name, array in state.items()}
        hour, state = model.step(values[rows], static[who], running)
        for name in Hour.__struct_fields__:
            getattr(out, name)[rows] = getattr(hour, name)
    return out


def score_recording(table: pa.Table, model: SepsisModel | None = None) -> pa.Table:
    """Score a recording.

    As in a ward: the rows of a minute become one by the median, artefacts are taken out (`vitals.screening`), the
    minutes of an hour become one by the median. Where no two rows of a patient fall into the same hour (counted from
    that patient's first row), each row is an hour and gets a score, in the order of the table; hours without a row are
    stepped through empty. Otherwise the answer has a row for each hour that had any, by patient in order of appearance
    and time.

    Args:
        table: Columns `patient`, `t_s` or `time_ns`, and any of the signs in canonical units; `age`, `sex` and
            laboratory columns if there are any. Empty or NaN: not measured.
        model: The artifact; the shipped `sepsis-vitals` when absent.

    Returns:
        Columns patient, t_s (seconds from the patient's first row if `time_ns` was given), score, low, high (of the
        ensemble's members), assessable. A score is given for every row; where `assessable` is false, a ward would not
        show it.

    Raises:
        RecordingError: If `patient` or the time is missing.
    """
    model = model or SepsisModel(SHIPPED / "sepsis-vitals")
    names = table.column_names
    if "patient" not in names or not {"t_s", "time_ns"} & set(names):
        raise RecordingError("a recording has the columns patient and t_s (or time_ns)")
    codes, patients = _patients(table)
    t_s = _seconds(table, codes, len(patients))
    if not len(codes):
        none = np.empty(0)
        return _answer(codes, patients, t_s, Hour(none, none, none, none, none.astype(bool)))
    order = np.lexsort((t_s, codes))
    c = codes[order]
    first = np.flatnonzero(np.diff(c, prepend=-1) != 0)
    start = t_s[order][first]
    elapsed = t_s[order] - start[c]
    static = _static(table, order[first])
    hour_of_row = np.rint(elapsed / HOUR_S).astype(np.int64)
    on_grid = bool(np.all((np.diff(c) != 0) | (np.diff(hour_of_row) != 0)))
    minute = np.floor(elapsed / MINUTE_S + _HAIR).astype(np.int64)
    c, minute, both = _medians(c, minute, np.concatenate([_signs(table), _labs(table, model)], axis=1)[order])
    both[:, :N_SIGNS] = screened(both[:, :N_SIGNS], c, minute)
    if on_grid:
        hour = _score_rows(model, _frames(both, model), static, c, hour_of_row)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        there = Hour(**{f: getattr(hour, f)[back] for f in Hour.__struct_fields__})
        return _answer(codes, patients, t_s, there)
    c, slot, both = _medians(c, minute // 60, both)
    return _answer(c, patients, start[c] + slot * HOUR_S, _score_rows(model, _frames(both, model), static, c, slot))


def _score_rows(
    model: SepsisModel, frames: Floats, static: Floats, codes: NDArray[np.int64], slot: NDArray[np.int64]
) -> Hour:
    """Score rows sorted by patient and hour; missing hours are stepped through and left out of the answer."""
    same = np.diff(codes, prepend=-1) == 0
    step = np.where(same, np.clip(np.diff(slot, prepend=0), 1, LONGEST_GAP_H), 1)
    at = np.cumsum(step) - 1
    full = np.full((int(step.sum()), frames.shape[1]), np.nan, np.float32)
    full[at] = frames
    lengths = np.bincount(codes, weights=step, minlength=len(static)).astype(np.int64)
    hour = score_stays(model, full, lengths, static)
    return Hour(**{f: getattr(hour, f)[at] for f in Hour.__struct_fields__})


def _medians(
    codes: NDArray[np.int64], slot: NDArray[np.int64], frames: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """One row for each patient and slot: the median of what was measured. Rows come by patient, then slot."""
    new = np.r_[True, (np.diff(codes) != 0) | (np.diff(slot) != 0)]
    first, group = np.flatnonzero(new), np.cumsum(new) - 1
    if len(first) == len(codes):
        return codes, slot, frames
    out = np.full((len(first), frames.shape[1]), np.nan, np.float32)
    for k in range(frames.shape[1]):
        seen = ~np.isnan(frames[:, k])
        g, v = group[seen], frames[seen, k]
        order = np.lexsort((v, g))
        g, v = g[order], v[order]
        if not len(g):
            continue
        begin = np.flatnonzero(np.r_[True, np.diff(g) != 0])
        count = np.diff(np.r_[begin, len(g)])
        out[g[begin], k] = (v[begin + (count - 1) // 2] + v[begin + count // 2]) / 2
    return codes[first], slot[first], out


def _patients(table: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
    column = table.column("patient").cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.indices.to_numpy(zero_copy_only=False).astype(np.int64), column.dictionary.to_pylist()


def _seconds(table: pa.Table, codes: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    if "t_s" in table.column_names:
        return np.asarray(table.column("t_s").to_numpy(), np.float64)
    ns = np.asarray(table.column("time_ns").to_numpy(), np.int64)
    start = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(start, codes, ns)
    return np.asarray((ns - start[codes]) / 1e9, np.float64)


def _column(table: pa.Table, *names: str) -> NDArray[np.float64] | None:
    """The first of the named columns that the table has, as numbers; None when it has none of them."""
    for name in names:
        if name in table.column_names:
            column = table.column(name)
            if pa.types.is_null(column.type):
                return np.full(len(table), np.nan)
            return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    return None


def _signs(table: pa.Table) -> Floats:
    """Shape (rows, N_SIGNS): every sign that the table has."""
    out = np.full((len(table), N_SIGNS), np.nan, np.float32)
    for sign in _NUMERIC:
        values = _column(table, sign.column)
        if values is not None:
            out[:, sign] = values
    return out


def _labs(table: pa.Table, model: SepsisModel) -> Floats:
    """Shape (rows, inputs after the seven vital signs)."""
    names = [row.name for row in model.settings.inputs[len(VITALS) :]]
    out = np.full((len(table), len(names)), np.nan, np.float32)
    for i, name in enumerate(names):
        values = _column(table, name, CHALLENGE_NAMES[name])
        if values is not None:
            out[:, i] = values
    return out


def _frames(both: Floats, model: SepsisModel) -> Floats:
    """Signs and laboratory values, side by side, to the frame: shape (rows, n_inputs)."""
    signs = both[:, :N_SIGNS]
    out = hourly_values(signs.astype(np.float64), ~np.isnan(signs), len(model.settings.inputs))
    out[:, len(VITALS) :] = both[:, N_SIGNS:]
    return out


def _static(table: pa.Table, first: NDArray[np.int64]) -> Floats:
    """Shape (patients, 2), from each patient's first row."""
    age = _column(table, "age")
    if "sex" in table.column_names and pa.types.is_string(table.column("sex").type):
        words = {"m": 1.0, "male": 1.0, "1": 1.0, "f": 0.0, "female": 0.0, "0": 0.0}
        texts = table.column("sex").to_pylist()
        sex: NDArray[np.float64] | None = np.array([words.get(str(w).strip().lower(), np.nan) for w in texts])
    else:
        sex = _column(table, "sex")
    unknown = np.full(len(table), np.nan)
    both = [unknown if v is None else v for v in (age, sex)]
    return np.stack(both, axis=1)[first].astype(np.float32)


def _answer(codes: NDArray[np.int64], patients: list[str], t_s: NDArray[np.float64], hour: Hour) -> pa.Table:
    names = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int64()), pa.array(patients, pa.string()))
    return pa.table(
        {
            "patient": names.cast(pa.string()), "t_s": t_s, "score": hour.score, "low": hour.low, "high": hour.high,
            "assessable": hour.assessable,
        }
    )  # fmt: skip
