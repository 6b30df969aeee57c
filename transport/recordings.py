"""Opens and writes recordings: Parquet, CSV, PhysioNet 2019 `.psv`, WFDB; one file or a folder of one kind.

Only files here: what a column means, and what is wrong with it, is said by `vitals.records`; this adds where in which
file. A bad file is a `RecordingError` whose sentence says what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from transport.recordings_text import csv_table, line_of_row, psv_table
from transport.recordings_wfdb import read_wfdb
from vitals.recording import Recording, RecordingError, join
from vitals.records import CHALLENGE_LABS, CHALLENGE_SIGNS, LABORATORY, Table, Text, challenge, recording
from vitals.signs import BY_COLUMN, Consciousness, Sign

log = logging.getLogger(__name__)

_TEXT: Final = frozenset({"patient", "device", "consciousness", "oxygen", "sex"})
_KINDS: Final = ".parquet, .csv, .psv (PhysioNet 2019), or a WFDB record (.hea)"


def open_recording(path: str | Path, *, labs: bool = True, zero_is_missing: bool = True) -> Recording:
    """Open a recording, whatever its format.

    Args:
        path: A file, a WFDB record's name with or without `.hea`, or a folder of files of one kind.
        labs: False leaves laboratory columns unread: half the memory, where nobody looks at them.
        zero_is_missing: For WFDB, take an exact 0 as not measured (see `vitals.records.monitor`).

    Returns:
        The recording. Columns left alone are named in one warning of this module's logger and in `unknown`.

    Raises:
        RecordingError: If it cannot be read, with the file, the line or column, and what to do.
    """
    path = Path(path)
    if path.is_dir():
        found = _open_folder(path, labs=labs, zero_is_missing=zero_is_missing)
    elif path.suffix == ".psv":
        found = _challenge_text([path], path, labs=labs)
    else:
        found = _open_file(path, labs=labs, zero_is_missing=zero_is_missing)
    if found.unknown:
        log.warning("%s: left alone, as no sign is called so: %s", path.name, ", ".join(found.unknown))
    return found


def _open_folder(path: Path, *, labs: bool, zero_is_missing: bool) -> Recording:
    """A folder of one kind of files; the kind most at home in a folder first."""
    for suffix in (".psv", ".hea", ".parquet", ".csv"):
        files = sorted(path.glob(f"*{suffix}"))
        if not files:
            continue
        if suffix == ".psv":
            return _challenge_text(files, path, labs=labs)
        parts = [_open_file(file, labs=labs, zero_is_missing=zero_is_missing) for file in files]
        return parts[0] if len(parts) == 1 else join(parts, str(path))
    raise RecordingError(f"{path}: no recording in this folder; looked for {_KINDS}")


def _open_file(path: Path, *, labs: bool, zero_is_missing: bool) -> Recording:
    """One file that is no `.psv`."""
    if path.suffix == ".hea" or path.with_name(path.name + ".hea").exists():
        return read_wfdb(path, zero_is_missing=zero_is_missing)
    if not path.exists():
        raise RecordingError(f"{path}: there is no such file; check the path")
    if path.suffix in {".parquet", ".pq"}:
        return _said(path, "row", lambda row: row + 1, lambda: _from_table(_parquet_table(path, labs=labs), str(path)))
    if path.suffix == ".csv":
        return _said(
            path,
            "line",
            lambda row: line_of_row(path, row, ","),
            lambda: _from_table(_columns(csv_table(path, _wanted(labs=labs)), labs=labs), str(path)),
        )
    raise RecordingError(f"{path}: not a kind of recording we know; known are {_KINDS}")


def _challenge_text(files: Sequence[Path], path: Path, *, labs: bool) -> Recording:
    """Patient files of the challenge: the patient's name is the file's."""
    wanted = {*CHALLENGE_SIGNS, *(CHALLENGE_LABS if labs else ()), "Age", "Gender"}

    def place(row: int) -> int:
        return row

    return _said(path, "row", place, lambda: challenge(_columns(psv_table(files, wanted), labs=labs), str(path)))


def _said(path: Path, what: str, place: Callable[[int], int], read: Callable[[], Recording]) -> Recording:
    """Read, and give an error its place in the file."""
    try:
        return read()
    except RecordingError as error:
        if str(error).startswith(str(path)):
            raise
        where = [str(path)]
        if error.row is not None:
            where.append(f"{what} {place(error.row)}")
        if error.column:
            where.append(f"column {error.column}")
        raise RecordingError(f"{', '.join(where)}: {error}", row=error.row, column=error.column) from error


def _wanted(*, labs: bool) -> Callable[[str], pa.DataType | None]:
    """For a CSV column's name the type to read it as; None where it is nothing to us."""

    def type_of(name: str) -> pa.DataType | None:
        if name in {"time_ns", "received_ns"}:
            return pa.int64()
        if name in _TEXT:
            return pa.string()
        if name in BY_COLUMN or name in {"t_s", "age"} or (labs and name in LABORATORY):
            return pa.float64()
        return None

    return type_of


def _from_table(table: Table, source: str) -> Recording:
    """Our own format, or the challenge's as one table."""
    theirs = "patient_id" in table and any(name in table for name in CHALLENGE_SIGNS)
    return challenge(table, source) if theirs else recording(table, source)


def _parquet_table(path: Path, *, labs: bool) -> Table:
    """A Parquet file's columns; those that mean nothing are not read, only named."""
    try:
        file = pq.ParquetFile(path)
        names = [str(n) for n in file.schema_arrow.names]
        theirs = {"patient_id", "Age", "Gender", *CHALLENGE_SIGNS, *(CHALLENGE_LABS if labs else ())}
        type_of = _wanted(labs=labs)
        table = file.read([n for n in names if type_of(n) is not None or n in theirs])
    except (OSError, pa.ArrowException) as error:
        raise RecordingError(f"{path}: not a Parquet file that can be read ({error}); write it again") from error
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return _columns(table, labs=labs)


def _columns(table: pa.Table, *, labs: bool) -> dict[str, Any]:
    """Arrow columns as `vitals.records` takes them."""
    left = frozenset() if labs else LABORATORY | frozenset(CHALLENGE_LABS)
    return {name: _column(table[name], name) for name in table.column_names if name not in left}


def _column(column: pa.ChunkedArray, name: str) -> Any:
    """One Arrow column as NumPy or as words."""
    kind = column.type
    if name in {"patient", "patient_id"} and pa.types.is_integer(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _words(column)
    if pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.timestamp("ns")).cast(pa.int64()), pa.int64()
    if name == "received_ns" and pa.types.is_integer(kind):
        column = pc.fill_null(column, -1)
    if name == "time_ns" and column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise RecordingError("the row has no time; every row needs one", row=row, column=name)
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        column = column.cast(pa.float32() if pa.types.is_boolean(kind) else pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise RecordingError(f"it holds {kind}; a column of a recording holds numbers or text", column=name)
    return column.to_numpy()  # nulls become NaN


def _words(column: pa.ChunkedArray) -> Text:
    """Words as codes; an empty cell and a null are the same."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    names = [("" if name is None else str(name)) for name in whole.dictionary.to_pylist()]
    codes = pc.fill_null(whole.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = np.array([*(name.strip() == "" for name in names), True])
    return Text(tuple(names), np.where(empty[codes], -1, codes))


def write_recording(path: str | Path, what: Recording) -> None:
    """Write a recording in the wide format: Parquet or CSV, by the path's suffix.

    Reading it again gives the same patients, times and values. A file of that name is replaced, whole or not at all.

    Raises:
        RecordingError: If the suffix is neither `.parquet` nor `.csv`.
    """
    path = Path(path)
    if path.suffix not in {".parquet", ".csv"}:
        raise RecordingError(f"{path}: a recording is written as .parquet or .csv; name the file so")
    owner = pa.array(what.owner, pa.int32())
    columns: dict[str, pa.Array] = {
        "patient": pa.DictionaryArray.from_arrays(owner, pa.array(what.patients, pa.string())),
        "time_ns": pa.array(what.time_ns),
    }
    if (what.device >= 0).any():
        worn = pa.array(what.device, pa.int32(), mask=what.device < 0)
        columns["device"] = pa.DictionaryArray.from_arrays(worn, pa.array(what.devices, pa.string()))
    columns |= {sign.column: sign_column(sign, value) for sign, value in sorted(what.signs.items())}
    columns |= {name: pa.array(value, from_pandas=True) for name, value in what.labs.items()}
    if not np.isnan(what.age).all():
        columns["age"] = pa.array(what.age[what.owner], from_pandas=True)
    if not np.isnan(what.sex).all():
        columns["sex"] = _letters(what.sex[what.owner], ("f", "m"))
    if what.received_ns is not None:
        columns["received_ns"] = pa.array(what.received_ns, mask=what.received_ns < 0)
    table = pa.table(columns)
    part = path.with_name(path.name + ".part")
    if path.suffix == ".parquet":
        pq.write_table(table, part, compression="zstd")
    else:
        plain = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in table.columns]
        pa_csv.write_csv(pa.table(plain, names=table.column_names), part)
    part.replace(path)


def _letters(value: np.ndarray[Any, np.dtype[np.float64]], words: Sequence[str]) -> pa.Array:
    """Numbers as the words that they count into; NaN is empty."""
    gone = np.isnan(value)
    codes = pa.array(np.where(gone, 0, value).astype(np.int32), mask=gone)
    return pa.DictionaryArray.from_arrays(codes, pa.array(words, pa.string()))


def sign_column(sign: Sign, value: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Array:
    """A sign's column as the format writes it."""
    if sign is Sign.CONSCIOUSNESS:
        return _letters(value, [letter.name for letter in Consciousness])
    if sign is Sign.OXYGEN:
        return pa.array(value > 0, mask=np.isnan(value))
    return pa.array(value, from_pandas=True)
