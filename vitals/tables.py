"""Growing tables of arrays, and their bytes: what a ward remembers, in a form that can be set down again."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

_MIN_ROWS: Final = 16


class Table:
    """Named arrays with a common leading axis that grows by doubling.

    Rows are named: `row` gives a name its number, in the order of first sight. Columns are declared once with their
    fill value; `table["x"]` is the live part of a column (a view of exactly as many rows as there are names).
    """

    def __init__(self, columns: dict[str, tuple[npt.DTypeLike, tuple[int, ...], Any]]) -> None:
        """Declare the columns: name -> (dtype, shape behind the leading axis, value of a fresh row)."""
        self._spec = {name: (np.dtype(dtype), shape, fill) for name, (dtype, shape, fill) in columns.items()}
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self.names: list[str] = []
        self._rows: dict[str, int] = {}
        self._grow(_MIN_ROWS)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        return self._arrays[column][: len(self.names)]

    def get(self, name: str) -> int | None:
        """The row of a name, None where it was never seen."""
        return self._rows.get(name)

    def row(self, name: str) -> int:
        """The row of a name; a fresh one at first sight."""
        found = self._rows.get(name)
        if found is None:
            found = len(self.names)
            if found == len(next(iter(self._arrays.values()))):
                self._grow(2 * found)
            self._rows[name] = found
            self.names.append(name)
        return found

    def rows(self, names: list[str]) -> npt.NDArray[np.int64]:
        """Rows of many names, shape (len(names),)."""
        known = self._rows
        try:
            return np.array([known[name] for name in names], dtype=np.int64)
        except KeyError:
            return np.array([self.row(name) for name in names], dtype=np.int64)

    def _grow(self, rows: int) -> None:
        for name, (dtype, shape, fill) in self._spec.items():
            fresh = np.full((rows, *shape), fill, dtype=dtype)
            old = self._arrays.get(name)
            if old is not None:
                fresh[: len(old)] = old
            self._arrays[name] = fresh

    def state(self) -> dict[str, Any]:
        """Everything it holds, as values that `pack` can write."""
        return {"names": self.names, "columns": {name: self[name] for name in self._spec}}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave.

        Raises:
            SnapshotError: If a column is missing or has another shape: it was made by another version.
        """
        self.names = list(state["names"])
        self._rows = {name: row for row, name in enumerate(self.names)}
        self._arrays = {}
        self._grow(max(_MIN_ROWS, 1 << (len(self.names) - 1).bit_length() if self.names else _MIN_ROWS))
        for name, (dtype, shape, _) in self._spec.items():
            column = state["columns"].get(name)
            if column is None or column.shape[1:] != shape or column.dtype != dtype:
                raise SnapshotError(
                    f"column {name!r} of the snapshot is of another version; start from the log instead"
                )
            self._arrays[name][: len(column)] = column


class SnapshotError(ValueError):
    """A snapshot that this version cannot restore; the message says what differs."""


def pack(state: Any) -> bytes:
    """Nested dicts, lists, numbers, texts and NumPy arrays -> bytes (MessagePack; arrays as dtype, shape, bytes)."""
    return _encoder.encode(state)


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote; arrays come back writable."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SnapshotError(f"these bytes are no snapshot: {error}") from error


_ARRAY: Final = 1


def _to_ext(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str} {','.join(map(str, value.shape))} ".encode()
        return msgspec.msgpack.Ext(_ARRAY, head + np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a snapshot cannot hold a {type(value).__name__}")


def _from_ext(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise SnapshotError(f"unknown extension {code} in a snapshot")
    raw = bytes(data)
    dtype, shape, _ = raw.split(b" ", 2)
    body = raw[len(dtype) + len(shape) + 2 :]
    sizes = tuple(int(size) for size in shape.split(b",") if size)
    return np.frombuffer(body, dtype=np.dtype(dtype.decode())).reshape(sizes).copy()


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_to_ext)
_decoder: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(ext_hook=_from_ext)
