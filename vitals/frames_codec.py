"""Kafka bytes <-> closed frames: an Arrow IPC stream with one record batch, a row for each patient.

Laid out as blocks are (`vitals.block`): times and names in the schema's metadata, numbers as columns; a column for
each array of `Frames`, of fixed-size lists where the array has a second axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vitals.events import SCORES, Frames
from vitals.signs import N_SIGNS

VERSION: Final = 2

ROWS: Final = 1_000
"""Patients in one record, some 350 bytes each: well within Kafka's megabyte, however long their names are."""
_VERSION_KEY: Final = b"teleward.frames"


class FramesError(ValueError):
    """Bytes that are no frames, or frames of another version."""


class _Head(msgspec.Struct, frozen=True):
    start_ns: int
    end_ns: int
    closed_by_ns: int
    patients: list[str]
    detectors: tuple[str, ...]


_head_encoder = msgspec.json.Encoder()
_head_decoder: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)


def _lists(kind: Any, width: int) -> Any:
    return pa.list_(pa.field("item", kind, nullable=False), width)


# Truth values travel as bytes: Arrow packs its own into bits, which NumPy cannot look at without a copy.
_FIELDS: Final = (
    pa.field("value", _lists(pa.float64(), N_SIGNS), nullable=False),
    pa.field("measured", _lists(pa.uint8(), N_SIGNS), nullable=False),
    pa.field("age_ns", _lists(pa.int64(), N_SIGNS), nullable=False),
    pa.field("low", _lists(pa.float64(), len(SCORES)), nullable=False),
    pa.field("high", _lists(pa.float64(), len(SCORES)), nullable=False),
    pa.field("reason", _lists(pa.int8(), N_SIGNS), nullable=False),
    pa.field("missing", pa.int64(), nullable=False),
)


def _schema(detectors: int) -> Any:
    # A field for each detector, because Arrow has no lists of width 0 that survive the way.
    scores = [pa.field(f"detector_{i}", pa.float64(), nullable=False) for i in range(detectors)]
    absent = [pa.field(f"absent_{i}", pa.uint8(), nullable=False) for i in range(detectors)]
    return pa.schema([*_FIELDS, *scores, *absent])


def encode(frames: Frames) -> bytes:
    """Write frames."""
    head = _Head(frames.start_ns, frames.end_ns, frames.closed_by_ns, frames.patients, frames.detectors)
    schema = _schema(len(frames.detectors)).with_metadata(
        {_VERSION_KEY: str(VERSION), "head": _head_encoder.encode(head)}
    )
    wide: tuple[npt.NDArray[Any], ...] = (
        frames.value,
        frames.measured.view(np.uint8),
        frames.age_ns,
        frames.low,
        frames.high,
        np.ascontiguousarray(frames.reason),
    )
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), type=field.type)
        for array, field in zip(wide, _FIELDS, strict=False)
    ]
    columns.append(pa.array(frames.missing))
    for narrow in (frames.detector, frames.absent):
        columns += [pa.array(np.ascontiguousarray(narrow[:, i])) for i in range(len(frames.detectors))]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue())


def parts(frames: Frames, rows: int = ROWS) -> Iterator[Frames]:
    """Frames of many patients as several of at most so many, in order: a record of Kafka is of bounded size."""
    names = [f.name for f in dataclasses.fields(frames) if isinstance(getattr(frames, f.name), np.ndarray)]
    for low in range(0, max(1, len(frames.patients)), rows):
        part = slice(low, low + rows)
        arrays = {name: getattr(frames, name)[part] for name in names}
        yield dataclasses.replace(frames, patients=frames.patients[part], **arrays)


def decode(data: bytes) -> Frames:
    """Read frames. All arrays but `detector` and `absent` are read-only views of `data`.

    Raises:
        FramesError: If the bytes are no frames of this version, with what is wrong.
    """
    try:
        head, columns = _columns(data)
        wide = [column.values.to_numpy() for column in columns[:6]]
        missing = columns[6].to_numpy()
        count = len(head.detectors)
        detector = [column.to_numpy() for column in columns[7 : 7 + count]]
        without = [column.to_numpy() for column in columns[7 + count :]]
    except (pa.ArrowException, OSError, StopIteration, KeyError, msgspec.DecodeError, UnicodeError) as error:
        raise FramesError(f"not frames: {type(error).__name__}: {error}") from error
    rows = len(missing)
    if rows != len(head.patients):
        raise FramesError(f"{rows} rows for {len(head.patients)} patients")
    value, measured, age_ns, low, high, reason = wide
    scored: npt.NDArray[np.float64] = np.empty((rows, len(detector)))
    absent: npt.NDArray[np.uint8] = np.empty((rows, len(detector)), np.uint8)
    for index, column in enumerate(detector):
        scored[:, index] = column
        absent[:, index] = without[index]
    return Frames(
        start_ns=head.start_ns,
        end_ns=head.end_ns,
        patients=head.patients,
        value=value.reshape(rows, N_SIGNS),
        measured=measured.view(np.bool_).reshape(rows, N_SIGNS),
        age_ns=age_ns.reshape(rows, N_SIGNS),
        low=low.reshape(rows, len(SCORES)),
        high=high.reshape(rows, len(SCORES)),
        missing=missing,
        detector=scored,
        detectors=head.detectors,
        closed_by_ns=head.closed_by_ns,
        reason=reason.reshape(rows, N_SIGNS),
        absent=absent,
    )


def _columns(data: bytes) -> tuple[_Head, list[Any]]:
    """The head and the columns of a batch that has this version's fields."""
    reader = pa.ipc.open_stream(data)
    metadata = reader.schema.metadata or {}
    version = metadata.get(_VERSION_KEY, b"none").decode(errors="replace")
    if version != str(VERSION):
        raise FramesError(f"frames version is {version}, this reader knows {VERSION}")
    head = _head_decoder.decode(metadata[b"head"])
    if not reader.schema.equals(_schema(len(head.detectors))):
        raise FramesError(f"fields are {reader.schema.names}, or their types, not version {VERSION}'s")
    batch = reader.read_next_batch()
    batch.validate()
    if batch.num_rows and batch.columns[1].values.to_numpy().max(initial=0) > 1:
        raise FramesError("measured holds more than true and false")
    return head, batch.columns
