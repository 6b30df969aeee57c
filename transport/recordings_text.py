"""CSV and `.psv` text -> Arrow tables, and, when a file is bad, the line and column where it is.

Arrow reads a hundred megabytes a second and says little about where a file went wrong; so a file that it refuses is
read once more, slowly, to find the place.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from vitals.recording import RecordingError

TypeOf = Callable[[str], "pa.DataType | None"]

MISSING: Final = ("", "NaN", "nan", "NAN")
_FILES_AT_ONCE: Final = 4096  # 32,000 stays are 150 MB of text: eight pieces of it at a time keep memory flat


def csv_table(path: Path, type_of: TypeOf) -> pa.Table:
    """Read a CSV file; columns without a type come back empty, so that they can be named.

    Raises:
        RecordingError: With the file, the line and what to do.
    """
    header = _header(path, ",")
    known = {name: kind for name in header if (kind := type_of(name)) is not None}
    table = _parse(path.read_bytes(), header, known, ",", partial(_complain, [path], header, known, ","))
    return _with_unread(table, header)


def psv_table(files: Sequence[Path], wanted: Collection[str]) -> pa.Table:
    """Read the challenge's patient files: one table, with the files' names as `patient`.

    Raises:
        RecordingError: With the file, the line and what to do.
    """
    header = _header(files[0], "|")
    known = {name: pa.float64() for name in header if name in wanted}
    first = _head(files[0])
    pieces = []
    for start in range(0, len(files), _FILES_AT_ONCE):
        some = files[start : start + _FILES_AT_ONCE]
        text, rows = io.BytesIO(first), []
        text.seek(0, io.SEEK_END)
        for file in some:
            body = _body(file, first)
            rows.append(sum(1 for line in body.splitlines() if line.strip()))
            text.write(body if body.endswith(b"\n") else body + b"\n")
        piece = _parse(text.getvalue(), header, known, "|", partial(_complain, some, header, known, "|"))
        if len(piece) != sum(rows):
            _complain(some, header, known, "|", "rows went astray")
        names = pa.array([file.stem for file in some], pa.string())
        owner = pa.array([i for i, n in enumerate(rows) for _ in range(n)], pa.int32())
        pieces.append(piece.append_column("patient", pa.DictionaryArray.from_arrays(owner, names).cast(pa.string())))
    return _with_unread(pa.concat_tables(pieces), header)


def _with_unread(table: pa.Table, header: Sequence[str]) -> pa.Table:
    """The table with empty columns for those that were not read, so that they can be named."""
    for name in header:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return table


def line_of_row(path: Path, row: int, delimiter: str) -> int:
    """The line, from 1, on which a file's n-th row of data (from 0) ends."""
    reader = csv.reader(path.read_text("utf-8-sig").splitlines(), delimiter=delimiter)
    filled = (reader.line_num for cells in reader if cells)
    return next((line for i, line in enumerate(filled) if i == row + 1), row + 2)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.readline()


def _body(file: Path, head: bytes) -> bytes:
    """A patient file without its first line, which must be that of the others."""
    text = file.read_bytes()
    if text[: len(head)] != head:
        raise RecordingError(f"{file}, line 1: its columns are not those of the folder's first file; take it out")
    return text[len(head) :]


def _header(path: Path, delimiter: str) -> list[str]:
    """Column names of the first line."""
    try:
        first = _head(path).decode("utf-8-sig")
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path}, line 1: not text that can be read ({error}); write it as UTF-8") from error
    if not any(names):
        raise RecordingError(f"{path}: it is empty; a recording has a line of column names and a line for each row")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecordingError(f"{path}, line 1: two columns are called {twice[0]!r}; give each its own name")
    return names


def _parse(
    text: bytes, header: list[str], known: dict[str, pa.DataType], delimiter: str, complain: Callable[[str], None]
) -> pa.Table:
    """The columns with a type; `complain` raises when Arrow refuses."""
    if not known:  # Arrow would take "no columns" for "all"
        return pa.table({})
    try:
        return pa_csv.read_csv(
            pa.BufferReader(text),
            read_options=pa_csv.ReadOptions(column_names=header, skip_rows=1),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types=known,
                include_columns=list(known),
                null_values=MISSING,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        complain(str(error))
        raise AssertionError from error  # `complain` has raised


def _complain(
    files: Iterable[Path], header: list[str], known: dict[str, pa.DataType], delimiter: str, why: str
) -> None:
    """Find what is wrong and say it.

    Raises:
        RecordingError: Always.
    """
    for file in files:
        try:
            text = file.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecordingError(f"{file}: not UTF-8 text ({error}); write it as UTF-8") from error
        reader = csv.reader(text.splitlines(), delimiter=delimiter)
        for cells in reader:
            if not cells or reader.line_num == 1:
                continue
            where = f"{file}, line {reader.line_num}"
            if len(cells) != len(header):
                raise RecordingError(f"{where}: it has {len(cells)} cells, the header {len(header)}; mend the line")
            for name, cell in zip(header, cells, strict=True):
                fault = _fault(cell.strip(), known.get(name))
                if fault:
                    raise RecordingError(f"{where}, column {name}: {fault}", column=name)
    raise RecordingError(f"{next(iter(files))}: it cannot be read as text with columns ({why})")


def _fault(cell: str, kind: pa.DataType | None) -> str:
    """What is wrong with a cell, or nothing."""
    if kind is None or pa.types.is_string(kind) or cell in MISSING:
        return ""
    if pa.types.is_integer(kind):
        try:
            int(cell)
        except ValueError:
            return f"{cell!r} is not a whole number (integer nanoseconds, UTC)"
        return ""
    try:
        float(cell)
    except ValueError:
        return f"{cell!r} is not a number; leave the cell empty where nothing was measured"
    return ""
