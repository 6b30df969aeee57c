"""``teleward score``: a score for each patient and frame of a recording, as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from models import anomaly, sepsis
from transport.recordings import open_recording
from vitals.align import VALID_NS, AlignSettings, measures
from vitals.reading import FloatArray, IntArray
from vitals.recording import PatientRecord, Recording
from vitals.scores import ADULT_YEARS, NEWS2, NEWS2_MEASURES, score
from vitals.screening import screened
from vitals.signs import MINUTE_NS, N_SIGNS, SECOND_NS

Which = Literal["news2", "sepsis", "anomaly"]
_INSTANTS_FROM_NS: Final = 6 * 365 * 24 * 3600 * SECOND_NS
COLUMNS: Final = ("patient", "t_s", "score", "low", "high", "assessable")


class ScoringError(ValueError):
    """It cannot be scored like this; the message says what to do."""


def run_score(which: Which, path: Path, out: Path, artifact: Path | None = None) -> dict[str, Any]:
    """Score a recording and write columns patient, t_s, score, low, high, assessable.

    For a published score `score` is its lower bound. A recording with a row a minute or slower gets a row for each of
    its rows, in order; a faster one gets a row for each minute (NEWS2, anomaly) or hour (sepsis).

    Args:
        which: The score.
        path: The recording.
        out: File to write: CSV where its name ends so, else Parquet.
        artifact: Folder of the artifact, for a learned score; the shipped one for vital signs and the recording's
            grid where none is named.

    Raises:
        RecordingError: If the recording cannot be read.
        ArtifactError: If the folder holds no artifact of this kind.
        ScoringError: If a published score is asked of an artifact.
    """
    if which == "news2":
        if artifact is not None:
            raise ScoringError("news2 is a published table and has no artifact; leave --artifact out")
        table = news2_table(open_recording(path, labs=False))
    elif which == "sepsis":
        model = None if artifact is None else sepsis.SepsisModel(artifact)
        table = sepsis.score_recording(wide(open_recording(path)), model)
    else:
        network = None if artifact is None else anomaly.AnomalyModel(artifact)
        table = anomaly.score_recording(wide(open_recording(path, labs=False)), network)
    table = table.select(list(COLUMNS))
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".csv":
        csv.write_csv(table, out)
    else:
        pq.write_table(table, out)
    assessable = np.asarray(table["assessable"].to_numpy(zero_copy_only=False), dtype=bool)
    return {"rows": table.num_rows, "assessable": int(assessable.sum()), "out": str(out)}


def seconds(recording: Recording) -> FloatArray:
    """Each row's seconds: as the source had them, or from its patient's first row where it had instants.

    A recording with ``t_s`` counts from 1970-01-01T00:00Z; nobody's monitor was recorded in its first years.
    """
    first = recording.time_ns[recording.offsets[:-1]]
    relative = bool((first < _INSTANTS_FROM_NS).all())
    start = np.zeros(len(first), dtype=np.int64) if relative else first
    found: FloatArray = (recording.time_ns - start[recording.owner]) / SECOND_NS
    return found


def wide(recording: Recording) -> pa.Table:
    """The recording as a table in the order of its source, for the learned scorers."""
    order = np.argsort(recording.row, kind="stable")
    owner = recording.owner[order]
    columns: dict[str, Any] = {
        "patient": pa.DictionaryArray.from_arrays(pa.array(owner), pa.array(recording.patients)).cast(pa.string()),
        "t_s": seconds(recording)[order],
        "age": recording.age[owner],
        "sex": recording.sex[owner],
    }
    columns |= {sign.column: value[order] for sign, value in recording.signs.items()}
    columns |= {name: value[order] for name, value in recording.labs.items()}
    return pa.table(columns)


def news2_table(recording: Recording) -> pa.Table:
    """NEWS2 of every row (or minute) of a recording; SpO2 scale 1."""
    parts = [_news2(record) for record in recording]
    names = [[record.patient] * len(part[0]) for record, part in zip(recording, parts, strict=True)]
    time, low, high, some = (np.concatenate([part[i] for part in parts]) if parts else np.zeros(0) for i in range(4))
    place = np.concatenate([part[4] for part in parts]) if parts else np.zeros(0)
    first = recording.time_ns[recording.offsets[:-1]] / SECOND_NS
    if parts and bool((recording.time_ns[recording.offsets[:-1]] >= _INSTANTS_FROM_NS).any()):
        time = time - np.repeat(first, [len(part[0]) for part in parts])
    table = pa.table(
        {
            "patient": pa.array([name for part in names for name in part], pa.string()),
            "t_s": time,
            "score": low,
            "low": low,
            "high": high,
            "assessable": some.astype(bool),
        }
    )
    # Rows stand as in the source; minutes of a faster recording by patient and time.
    return table.take(pa.array(np.argsort(place, kind="stable"))) if recording.rows == len(place) else table


def _news2(record: PatientRecord) -> tuple[FloatArray, FloatArray, FloatArray, Any, FloatArray]:
    """One patient's times in seconds, bounds, whether anything was there, and places in the source.

    Artefacts are taken out first, as in a ward: a flushed line scores nothing.
    """
    value = np.full((len(record.time_ns), N_SIGNS), np.nan)
    for sign, column in record.signs.items():
        value[:, sign] = column
    time = record.time_ns
    gaps = np.diff(np.unique(time))
    cadence = int(np.median(gaps)) if len(gaps) else MINUTE_NS
    place = record.row.astype(np.float64)
    if cadence < MINUTE_NS:
        time, value = _minutes(time, value)
        place = np.full(len(time), float(record.row[0]))
        cadence = MINUTE_NS
    value = screened(value, np.zeros(len(time), dtype=np.int64), time // MINUTE_NS)
    stands = _standing(time, value, cadence)
    chosen, _ = measures(stands)
    scored = score(chosen, np.ones(len(chosen), dtype=np.int64))
    # As in a ward: a child's row stands, and is not assessable.
    some = ~np.isnan(chosen[:, list(NEWS2_MEASURES)]).all(axis=1) & ~(record.age < ADULT_YEARS)
    return time / SECOND_NS, scored.low[:, NEWS2], scored.high[:, NEWS2], some, place


def _standing(time: IntArray, value: FloatArray, cadence_ns: int) -> FloatArray:
    """Values carried forward while they are valid, as the ward does it."""
    valid = np.maximum(VALID_NS, int(AlignSettings().slow_factor * cadence_ns))
    index = np.arange(len(time))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(value), -1, index), axis=0)
    found = np.take_along_axis(value, np.maximum(last, 0), axis=0)
    age = time[:, None] - time[np.maximum(last, 0)]
    return np.where((last >= 0) & (age <= valid), found, np.nan)


def _minutes(time: IntArray, value: FloatArray) -> tuple[IntArray, FloatArray]:
    """Medians of the minutes from the first to the last, at their ends."""
    minute = time // MINUTE_NS
    first = int(minute[0])
    ends = np.arange(first, int(minute[-1]) + 1)
    out = np.full((len(ends), N_SIGNS), np.nan)
    start = np.searchsorted(minute, ends)
    stop = np.searchsorted(minute, ends, side="right")
    for i, (low, high) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        part = value[low:high]
        some = ~np.isnan(part).all(axis=0)
        if some.any():
            out[i, some] = np.nanmedian(part[:, some], axis=0)
    return (ends + 1) * MINUTE_NS, out
