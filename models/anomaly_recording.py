"""Whole recordings through the anomaly detector, row by row, with the very step that serves the ward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.anomaly_model import SHIPPED, AnomalyModel
from vitals.features import hours_of
from vitals.signs import MINUTE_NS, N_SIGNS, SECOND_NS, Sign

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = npt.NDArray[np.float64]

HOURLY_FROM_S: Final = 1800.0
"""Recordings whose rows are usually at least this far apart go to the hourly artifact."""
LONGEST_GAP: Final = 120
"""A longer gap is stepped through as this many empty rows: by then nothing of the last minutes is left."""
_NUMERIC: Final = [s for s in Sign if s not in {Sign.CONSCIOUSNESS, Sign.OXYGEN}]


class RecordingError(ValueError):
    """The table is no recording: a column that must be there is not."""


@dataclass(frozen=True, slots=True)
class Stay:
    """One patient's rows on the grid."""

    values: npt.NDArray[np.float32]
    """Shape (frames, N_SIGNS): every frame from the first to the last, empty ones too."""
    frame: npt.NDArray[np.int64]
    """Shape (answers,): the frame that each row of the answer stands for."""
    t_s: Floats
    """Shape (answers,): its time."""
    row: npt.NDArray[np.int64]
    """Shape (answers,): where it belongs in the answer."""


def _columns(table: pa.Table) -> tuple[npt.NDArray[Any], Floats, npt.NDArray[np.float32]]:
    """Patient codes, seconds, values of shape (rows, N_SIGNS)."""
    names = set(table.column_names)
    if "patient" not in names or not names & {"t_s", "time_ns"}:
        raise RecordingError("a recording needs the columns patient, and t_s or time_ns")
    coded = table["patient"].combine_chunks().cast(pa.string()).dictionary_encode()
    patient = np.asarray(coded.indices.to_numpy(zero_copy_only=False))
    if "t_s" in names:
        seconds = table["t_s"].to_numpy().astype(np.float64)
    else:
        stamp = table["time_ns"].to_numpy().astype(np.int64)
        first = np.full(int(patient.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, patient, stamp)
        seconds = (stamp - first[patient]) / SECOND_NS
    values = np.full((len(table), N_SIGNS), np.nan, np.float32)
    for sign in _NUMERIC:
        if sign.column in names:
            values[:, sign] = table[sign.column].cast(pa.float32()).to_numpy()
    return patient, seconds, values


def usual_step_s(patient: npt.NDArray[Any], seconds: Floats) -> float:
    """Median seconds between neighbouring rows of a patient; a minute where none has two."""
    order = np.lexsort((seconds, patient))
    step = np.diff(seconds[order])[np.diff(patient[order]) == 0]
    return float(np.median(step)) if len(step) else MINUTE_NS / SECOND_NS


def _compress(frame: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Frame numbers (sorted) with long gaps shortened."""
    gaps = np.minimum(np.diff(frame, prepend=frame[:1]), LONGEST_GAP)
    return np.cumsum(gaps)


def _stays(
    patient: npt.NDArray[Any], seconds: Floats, values: npt.NDArray[np.float32], grid_s: float
) -> Iterator[Stay]:
    """Each patient's rows on the grid, in order of appearance; finer rows are put on it by the median."""
    number = np.full(len(seconds), -1, np.int64)
    whole = np.arange(len(seconds))
    groups: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for p in range(int(patient.max()) + 1 if len(patient) else 0):
        mine = whole[patient == p]
        mine = mine[np.argsort(seconds[mine], kind="stable")]
        # A hair is added, so that 59.999999 s of a rounded clock is the second minute and not the first.
        number[mine] = np.floor((seconds[mine] - seconds[mine[0]]) / grid_s + 1e-6).astype(np.int64)
        groups.append((mine, number[mine]))
    fine = any((np.diff(frame) == 0).any() for _, frame in groups)
    answered = 0
    for mine, frame in groups:
        if not fine:
            packed = _compress(frame)
            dense = np.full((packed[-1] + 1, N_SIGNS), np.nan, np.float32)
            dense[packed] = values[mine]
            yield Stay(dense, packed, seconds[mine], mine)
            continue
        kept, begin = np.unique(frame, return_index=True)
        packed = _compress(kept)
        dense = np.full((packed[-1] + 1, N_SIGNS), np.nan, np.float32)
        for at, rows in zip(packed, np.split(values[mine], begin[1:]), strict=True):
            seen = np.isfinite(rows).any(axis=0)
            dense[at, seen] = np.nanmedian(rows[:, seen], axis=0)
        yield Stay(dense, packed, seconds[mine[0]] + kept * grid_s, answered + np.arange(len(kept)))
        answered += len(kept)


def score_recording(table: pa.Table, model: AnomalyModel | None = None, *, explain: bool = False) -> pa.Table:
    """Score a recording.

    Where no two rows of a patient fall into the same frame (a minute, or an hour where rows are usually half an hour
    apart or more, counted from the patient's first row), each row is a frame and gets a score, in the order of the
    table; frames without a row are stepped through empty. Otherwise the recording is finer than the grid: the rows of
    a minute become one by the median, and the answer has a row for each minute that had any.

    Args:
        table: Columns `patient`, `t_s` or `time_ns`, and any of the signs in canonical units. Empty or NaN: not
            measured.
        model: The artifact; the shipped one of the recording's grid when absent.
        explain: Whether to add the columns part and sign: what spoke loudest, about what (empty: about all).

    Returns:
        Columns patient, t_s (seconds from the patient's first row if `time_ns` was given), score, low, high,
        assessable. A score is given for every row; where `assessable` is false, a ward would not show it, and the
        bounds are 0 and 1.

    Raises:
        RecordingError: If `patient` or the time is missing.
    """
    patient, seconds, values = _columns(table)
    if model is None:
        hourly = usual_step_s(patient, seconds) >= HOURLY_FROM_S
        model = AnomalyModel(SHIPPED / ("anomaly-hourly" if hourly else "anomaly"))
    stays = list(_stays(patient, seconds, values, model.grid.grid_ns / SECOND_NS))
    total = sum(len(s.row) for s in stays)
    out: dict[str, npt.NDArray[Any]] = {
        "patient": np.zeros(total, np.int64), "t_s": np.zeros(total), "score": np.zeros(total), "low": np.zeros(total),
        "high": np.ones(total), "assessable": np.zeros(total, bool), "part": np.zeros(total, np.int64),
        "sign": np.full(total, -1),
    }  # fmt: skip
    for number, (stay, said) in enumerate(zip(stays, _said(stays, model), strict=True)):
        for name, column in said.items():
            out[name][stay.row] = column[stay.frame]
        out["patient"][stay.row], out["t_s"][stay.row] = number, stay.t_s
    ids = table["patient"].combine_chunks().cast(pa.string()).dictionary_encode().dictionary.to_pylist()
    columns: dict[str, Any] = {"patient": [ids[i] for i in out.pop("patient")]}
    part, sign = out.pop("part"), out.pop("sign")
    columns |= out
    if explain:
        names = [s.column for s in Sign]
        columns["part"] = [model.head.parts[i] for i in part]
        columns["sign"] = [names[i] if i >= 0 else "" for i in sign]
    return pa.table(columns)


def _said(stays: list[Stay], model: AnomalyModel) -> list[dict[str, npt.NDArray[Any]]]:
    """What the detector says about every frame of every stay, all patients of a frame in one step."""
    lengths = np.array([len(s.values) for s in stays], np.int64)
    if not len(lengths):
        return []
    values = np.concatenate([s.values for s in stays])
    n = len(values)
    said: dict[str, npt.NDArray[Any]] = {
        "score": np.zeros(n), "low": np.zeros(n), "high": np.ones(n), "assessable": np.zeros(n, bool),
        "part": np.zeros(n, np.int64), "sign": np.full(n, -1),
    }  # fmt: skip
    state = model.start(len(stays))
    for rows, who in hours_of(lengths):
        # The longest stays come first, so those still running are always a leading slice.
        state = {k: v[: len(who)] for k, v in state.items()}
        row, state = model.step(values[rows], np.isfinite(values[rows]), state)
        ok = row.assessable
        said["score"][rows], said["part"][rows], said["sign"][rows] = row.score, row.part, row.sign
        said["low"][rows], said["high"][rows] = np.where(ok, row.score, 0), np.where(ok, row.high, 1)
        said["assessable"][rows] = ok
    begin = np.cumsum(lengths) - lengths
    return [{k: v[a : a + m] for k, v in said.items()} for a, m in zip(begin, lengths, strict=True)]
