"""Kafka bytes <-> columns: a block is one Arrow IPC stream with one record batch, a row for each bundle.

```
  schema metadata   teleward.block = 1, patients = ["p-1", ...], devices = ["dev-1", ...]
  a row             patient device boot seq sent_ns received_ns n n_before refused queued battery_pct readings
  readings          list of (sign, quality, value, time_ns)
```

The metadata may also tell bounds of the devices' clocks, as [device, least, most]; who does not know them goes without.

Names stand in the metadata and rows point to them: as dictionary columns they cost two more messages in each block.
The two other layouts that were measured (one row that holds every column as a list; names in each row) were slower,
the first five times in writing, the second three times in reading a large block.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from vitals.reading import Block, Quality
from vitals.signs import N_SIGNS
from vitals.validate import Accepted

VERSION: Final = 1

_VERSION_KEY: Final = b"teleward.block"
_CLOCKS_KEY: Final = b"clocks"
_INTS: Final = ("patient", "device", "boot", "seq", "sent_ns", "received_ns", "n", "n_before", "refused", "queued")
_READING: Final = pa.struct(
    [
        pa.field("sign", pa.uint8(), nullable=False),
        pa.field("quality", pa.uint8(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
    ]
)
# Large lists: their offsets have 64 bits, which is what Block holds, so that they need no copy either.
_READINGS: Final = pa.large_list(pa.field("item", _READING, nullable=False))
SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.int64(), nullable=False) for name in _INTS),
        pa.field("battery_pct", pa.float64(), nullable=False),
        pa.field("readings", _READINGS, nullable=False),
    ]
)
_names_encoder = msgspec.json.Encoder()
_names_decoder: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])
_clocks_decoder: msgspec.json.Decoder[list[tuple[int, int, int]]] = msgspec.json.Decoder(list[tuple[int, int, int]])


class BlockError(ValueError):
    """Bytes that are no block of this version, or a block that points outside of itself; the text says which."""


def encode(block: Block) -> bytes:
    """Write a block.

    Raises:
        BlockError: If the block points outside of itself: Arrow would quietly leave out the readings that no bundle
            owns.
    """
    _check(block)
    readings = pa.StructArray.from_arrays(
        [pa.array(column) for column in (block.sign, block.quality, block.value, block.time_ns)], fields=list(_READING)
    )
    columns = [pa.array(getattr(block, name)) for name in _INTS]
    columns.append(pa.array(block.battery_pct))
    columns.append(pa.LargeListArray.from_arrays(pa.array(block.offsets), readings, type=_READINGS))
    metadata: dict[bytes | str, bytes | str] = {
        _VERSION_KEY: str(VERSION),
        "patients": _names_encoder.encode(block.patients),
        "devices": _names_encoder.encode(block.devices),
    }
    if block.clocks:
        metadata[_CLOCKS_KEY] = _names_encoder.encode([(at, *bounds) for at, bounds in block.clocks.items()])
    schema = SCHEMA.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue())


def decode(data: bytes) -> Block:
    """Read a block without copying: its arrays are views of `data`, and read-only.

    Every index is checked, so that whoever holds a block may use it without looking again.

    Raises:
        BlockError: If the bytes are no block of this version, with what is wrong.
    """
    try:
        metadata, columns = _columns(data)
        lists = columns[-1]
        readings = lists.values.flatten()
        arrays = [column.to_numpy() for column in (*columns[:-1], lists.offsets, *readings)]
        patients = _names_decoder.decode(metadata[b"patients"])
        devices = _names_decoder.decode(metadata[b"devices"])
        clocks = _clocks_decoder.decode(metadata[_CLOCKS_KEY]) if _CLOCKS_KEY in metadata else []
    except (pa.ArrowException, OSError, StopIteration, KeyError, msgspec.DecodeError, UnicodeError) as error:
        raise BlockError(f"not a block: {type(error).__name__}: {error}") from error
    ints = dict(zip(_INTS, arrays, strict=False))
    battery_pct, offsets, sign, quality, value, time_ns = arrays[len(_INTS) :]
    block = Block(
        patients=patients,
        devices=devices,
        **ints,
        battery_pct=battery_pct,
        offsets=offsets,
        sign=sign,
        quality=quality,
        value=value,
        time_ns=time_ns,
        clocks={at: (least, most) for at, least, most in clocks},
    )
    _check(block)
    return block


def _columns(data: bytes) -> tuple[dict[bytes, bytes], list[Any]]:
    """The metadata and the columns of a batch that has this version's fields."""
    reader = pa.ipc.open_stream(data)
    metadata: dict[bytes, bytes] = reader.schema.metadata or {}
    version = metadata.get(_VERSION_KEY, b"none").decode(errors="replace")
    if version != str(VERSION):
        raise BlockError(f"block version is {version}, this reader knows {VERSION}")
    if not reader.schema.equals(SCHEMA):
        raise BlockError(f"fields of the block are {reader.schema.names}, or their types, not version {VERSION}'s")
    batch = reader.read_next_batch()
    batch.validate()
    return metadata, batch.columns


def _check(block: Block) -> None:
    bundles, readings = block.bundles, block.readings
    offsets = block.offsets
    if len(offsets) != bundles + 1 or offsets[0] != 0 or offsets[-1] != readings or (offsets[1:] < offsets[:-1]).any():
        raise BlockError(f"offsets do not divide {readings} readings among {bundles} bundles")
    for name, index, known in (("patient", block.patient, block.patients), ("device", block.device, block.devices)):
        if bundles and not (index.min() >= 0 and index.max() < len(known)):
            raise BlockError(f"{name} points outside of its {len(known)} names")
    for at in block.clocks:
        if not 0 <= at < len(block.devices):
            raise BlockError(f"a clock points outside of {len(block.devices)} devices")
    if readings and block.sign.max() >= N_SIGNS:
        raise BlockError(f"sign {block.sign.max()} is not one of {N_SIGNS}")
    if readings and block.quality.max() > max(Quality):
        raise BlockError(f"quality {block.quality.max()} is not one of {len(Quality)}")


# Measured with SCHEMA: an empty block, and what each bundle and reading adds.
_EMPTY_BYTES: Final = 2300
_BUNDLE_BYTES: Final = 8 * (len(_INTS) + 2)
_READING_BYTES: Final = 1 + 1 + 8 + 8
_CLOCK_BYTES: Final = 32  # "[12,-1234567890,1234567890],"


class BlockBuilder:
    """The open block of a partition: takes accepted bundles one by one, gives them all at once."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._patients: dict[str, int] = {}
        self._devices: dict[str, int] = {}
        self._rows: list[tuple[int, ...]] = []
        self._battery: list[float] = []
        self._offsets: list[int] = [0]
        self._sign: list[int] = []
        self._quality: list[int] = []
        self._value: list[float] = []
        self._time_ns: list[int] = []
        self._names_bytes = 0
        self._clocks: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        """How many bundles wait in it."""
        return len(self._rows)

    @property
    def readings(self) -> int:
        """How many readings wait in it."""
        return len(self._sign)

    @property
    def size_bytes(self) -> int:
        """About how many bytes `encode` would make of it now; a few per cent more than less."""
        return _EMPTY_BYTES + self._names_bytes + _BUNDLE_BYTES * len(self._rows) + _READING_BYTES * len(self._sign)

    def append(self, accepted: Accepted, clock: tuple[int, int] | None = None) -> None:
        """Add a bundle; the newest stands last.

        Args:
            accepted: It.
            clock: The bounds of its device's clock, where they are known (`vitals.clocks.Bounds`).
        """
        patient = self._patients.get(accepted.patient)
        if patient is None:
            patient = self._patients[accepted.patient] = len(self._patients)
            self._names_bytes += len(accepted.patient) + 3
        device = self._devices.get(accepted.device)
        if device is None:
            device = self._devices[accepted.device] = len(self._devices)
            self._names_bytes += len(accepted.device) + 3
        self._rows.append(
            (
                patient,
                device,
                accepted.boot,
                accepted.seq,
                accepted.sent_ns,
                accepted.received_ns,
                accepted.n,
                accepted.n_before,
                accepted.refused,
                accepted.queued,
            )
        )
        self._battery.append(accepted.battery_pct)
        self._sign += accepted.sign
        self._quality += accepted.quality
        self._value += accepted.value
        self._time_ns += accepted.time_ns
        self._offsets.append(len(self._sign))
        if clock is not None:
            if device not in self._clocks:
                self._names_bytes += _CLOCK_BYTES
            self._clocks[device] = clock

    def take(self) -> Block:
        """The block so far; the builder is empty again. An empty block where nothing waits."""
        # One array of all integers and its transpose: a fifth of the time of ten arrays.
        ints = np.ascontiguousarray(np.array(self._rows, dtype=np.int64).reshape(-1, len(_INTS)).T)
        block = Block(
            patients=list(self._patients),
            devices=list(self._devices),
            **dict(zip(_INTS, ints, strict=True)),
            battery_pct=np.array(self._battery, dtype=np.float64),
            offsets=np.array(self._offsets, dtype=np.int64),
            sign=np.array(self._sign, dtype=np.uint8),
            quality=np.array(self._quality, dtype=np.uint8),
            value=np.array(self._value, dtype=np.float64),
            time_ns=np.array(self._time_ns, dtype=np.int64),
            clocks=self._clocks,
        )
        self._clear()
        return block
