"""Columns -> line protocol (https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/).

A line is never a Python object: every column becomes text in one call and the columns are joined row by row in Arrow.
A field that is missing from a row (NaN, None, masked) is left out of its line; the first field of a measurement must
never be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitals.measurements import FieldType, Measurement
from vitals.reading import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Known:
    """Values of a field that some rows lack.

    Attributes:
        values: Shape (n,).
        known: Shape (n,), true where a row has one.
    """

    values: npt.NDArray[Any]
    known: BoolArray


Column = npt.NDArray[Any] | Sequence[str | None] | Known
"""Values of a field, one for each row."""

_TAG: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\n": " "})
_TEXT: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})


def escaped(tag: str) -> str:
    """A tag's value as it stands in a line; an empty one, which InfluxDB does not take, as ``-``."""
    return tag.translate(_TAG).rstrip("\\") or "-"


def keys(measurement: Measurement, tags: Mapping[str, Sequence[str]]) -> Any:
    """Beginnings of lines, up to the tags: an Arrow array of texts as long as the columns of `tags`."""
    if set(tags) != set(measurement.tags):
        raise ValueError(f"{measurement.name} has the tags {sorted(measurement.tags)}, given were {sorted(tags)}")
    names = sorted(tags)  # the order in which the server keeps them: it need not sort
    rows = zip(*(tags[name] for name in names), strict=True)
    return pa.array(
        [measurement.name + "".join(f",{n}={escaped(v)}" for n, v in zip(names, row, strict=True)) for row in rows],
        pa.string(),
    )


def lines(measurement: Measurement, key: Any, fields: Mapping[str, Column], time_ns: IntArray) -> Any:
    """Lines of one measurement.

    Args:
        measurement: Which; decides the type of every field it names, others are floats.
        key: What `keys` gave, one for each row.
        fields: Name -> values; the first is known in every row.
        time_ns: Shape (n,).

    Returns:
        An Arrow array of texts, each with its line feed.
    """
    parts: list[Any] = [key]
    for i, (name, column) in enumerate(fields.items()):
        kind = measurement.fields[name][0] if name in measurement.fields else FieldType.FLOAT
        text = _text(kind, column)
        if i == 0 and text.null_count:
            raise ValueError(f"{measurement.name}: the field {name} is missing from a line")
        parts.append(_labelled(f"{' ' if i == 0 else ','}{name}=", text))
    stamp = pc.cast(pa.array(np.ascontiguousarray(time_ns, np.int64)), pa.string())
    # Line feed included: the bytes of the array are the body of the request.
    return pc.binary_join_element_wise(*parts, pc.binary_join_element_wise(pa.scalar(" "), stamp, "\n", ""), "")


def _text(kind: FieldType, column: Column) -> Any:
    """The values of a field as they stand in lines; null where missing."""
    known: BoolArray | None = None
    if isinstance(column, Known):
        known = column.known
        column = column.values
    if kind is FieldType.TEXT:
        return pa.array([None if v is None else f'"{str(v).translate(_TEXT)}"' for v in column], pa.string())
    values = np.asarray(column)
    if kind is FieldType.BOOLEAN:
        text = pc.if_else(pa.array(values.astype(bool)), "true", "false")
    elif kind is FieldType.INTEGER:
        text = pc.cast(pa.array(values.astype(np.int64)), pa.string())
        text = pc.binary_join_element_wise(text, "i", "")
    else:
        floats = values.astype(np.float64)
        finite = np.isfinite(floats)
        known = finite if known is None else known & finite
        text = pc.cast(pa.array(floats), pa.string())  # the shortest text that reads as the same number
    if known is None or known.all():
        return text
    return pc.if_else(pa.array(known), text, pa.scalar(None, pa.string()))


def _labelled(label: str, text: Any) -> Any:
    joined = pc.binary_join_element_wise(pa.scalar(label), text, "")
    return pc.fill_null(joined, "") if joined.null_count else joined


def joined(rows: Any) -> bytes:
    """The bytes of lines, one after the other."""
    if not len(rows):
        return b""
    offsets = np.frombuffer(rows.buffers()[1], np.int32)
    first, last = int(offsets[rows.offset]), int(offsets[rows.offset + len(rows)])
    return bytes(memoryview(rows.buffers()[2])[first:last])
