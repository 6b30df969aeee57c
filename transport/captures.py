"""Captures as Parquet: a recording like any other for who knows nothing of captures, all of it for who does.

```
  a row for each instant of a bundle, in the order of the capture:
    patient time_ns device <signs> received_ns              as in every recording
    bundle boot seq sent_ns appended_ns n n_before refused queued battery_pct     of its bundle
    poor no_contact                                         bit set of the signs whose quality was that
  metadata teleward.capture: version, whole, digest of the live alarm events
  metadata teleward.between: what stands between the bundles (ticks, what was said, messages refused whole)
```

A bundle whose readings are not in the order of their signs takes more rows than instants, so that the order is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transport.recordings import sign_column
from vitals.capture import Capture
from vitals.log import Binding, Command, Enrolment, Limit, Outage, Tick
from vitals.quarantine import Quarantined, RefusedBytes
from vitals.reading import Block, Quality
from vitals.recording import RecordingError
from vitals.signs import N_SIGNS, SIGNS, Consciousness, Sign

VERSION: Final = 1

_KEY: Final = b"teleward.capture"
_BETWEEN: Final = b"teleward.between"
_INTS: Final = ("boot", "seq", "sent_ns", "received_ns", "n", "n_before", "refused", "queued")
_ROWS: Final = 1 << 17  # of a row group
_PLAUSIBLE: Final = np.array([SIGNS[sign].plausible for sign in Sign], dtype=np.float64)


class _Head(msgspec.Struct, frozen=True):
    version: int
    whole: bool
    events: str


class _Refusal(msgspec.Struct, frozen=True, tag_field="type", tag="quarantined"):
    record: Quarantined


class _Between(msgspec.Struct, frozen=True):
    """What stands between the bundles; times of ticks apart, as there are so many."""

    tick_before: list[int]
    tick_ns: list[int]
    tick_place: list[int]
    said: list[tuple[int, int, Command | Binding | Enrolment | Limit | Outage | _Refusal]]  # before, place, what
    refused: list[tuple[int, tuple[RefusedBytes, ...]]]


def write_capture(path: Path, capture: Capture) -> None:
    """Write a capture. A file of that name is replaced, whole or not at all.

    Raises:
        RecordingError: If the name does not end in `.parquet`: no other format holds all of it.
    """
    if path.suffix != ".parquet":
        raise RecordingError(f"{path}: what a live stack received is written as .parquet; name the file so")
    table = _table(capture)
    head = _Head(VERSION, capture.whole, capture.events)
    table = table.replace_schema_metadata(
        {
            _KEY: msgspec.json.encode(head),
            _BETWEEN: _packed(msgspec.msgpack.encode(_between(capture))),
        }
    )
    part = path.with_name(path.name + ".part")
    pq.write_table(table, part, compression="zstd", row_group_size=_ROWS)
    part.replace(path)


def is_capture(path: Path) -> bool:
    """Whether a file is a capture, and not a recording of another kind."""
    if path.suffix not in {".parquet", ".pq"} or not path.is_file():
        return False
    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False  # whoever opens it says what is wrong


def open_capture(path: Path) -> Capture:
    """Read what `write_capture` wrote.

    Raises:
        RecordingError: If the file is no capture of this version.
    """
    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        head = msgspec.json.decode(metadata[_KEY], type=_Head)
        if head.version != VERSION:
            raise RecordingError(f"{path}: a capture of version {head.version}, this Teleward knows {VERSION}")
        between = msgspec.msgpack.decode(_unpacked(metadata[_BETWEEN]), type=_Between)
        bundles, appended_ns = _bundles(table)
    except (pa.ArrowException, OSError, KeyError, msgspec.DecodeError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"{path}: not a whole capture ({type(error).__name__}); record it again") from error
    ticks = zip(between.tick_before, between.tick_place, map(_tick, between.tick_ns), strict=True)
    others = ((b, place, r.record if isinstance(r, _Refusal) else r) for b, place, r in between.said)
    rows = sorted([*ticks, *others], key=lambda row: row[1])
    return Capture(
        bundles, appended_ns, tuple((before, what) for before, _, what in rows), dict(between.refused),
        head.whole, head.events,
    )  # fmt: skip


def _tick(now_ns: int) -> Tick:
    return Tick(now_ns=now_ns)


def _between(capture: Capture) -> _Between:
    ticks = [(b, place, r) for place, (b, r) in enumerate(capture.between) if isinstance(r, Tick)]
    said = [
        (b, place, _Refusal(r) if isinstance(r, Quarantined) else r)
        for place, (b, r) in enumerate(capture.between)
        if not isinstance(r, Tick)
    ]
    return _Between(
        [b for b, _, _ in ticks], [r.now_ns for _, _, r in ticks], [place for _, place, _ in ticks], said,
        sorted(capture.refused.items()),
    )  # fmt: skip


def _packed(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return len(data).to_bytes(8) + packed


def _unpacked(data: bytes) -> bytes:
    out: bytes = pa.decompress(data[8:], decompressed_size=int.from_bytes(data[:8]), codec="zstd", asbytes=True)
    return out


def _table(capture: Capture) -> Any:
    block = capture.bundles
    counts = np.diff(block.offsets)
    owner = np.repeat(np.arange(block.bundles), counts)
    new = np.ones(block.readings, bool)
    if block.readings:
        # One row holds a sign once and its signs in order: so the order of the readings is the order of the rows.
        new[1:] = (np.diff(owner) != 0) | (np.diff(block.time_ns) != 0) | (np.diff(block.sign.astype(np.int64)) <= 0)
    empty = np.flatnonzero(counts == 0)
    order = np.argsort(np.concatenate((owner[new], empty)), kind="stable")
    bundle = np.concatenate((owner[new], empty))[order]
    time_ns = np.concatenate((block.time_ns[new], block.sent_ns[empty]))[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row = place[np.cumsum(new) - 1] if block.readings else np.empty(0, np.int64)
    columns: dict[str, Any] = {
        "patient": _named(block.patients, block.patient[bundle]),
        "time_ns": pa.array(time_ns),
        "device": _named(block.devices, block.device[bundle]),
    }
    for sign in sorted({int(s) for s in np.unique(block.sign)}):
        mine = (block.sign == sign) & ~np.isnan(block.value)
        value = np.full(len(order), np.nan)
        value[row[mine]] = block.value[mine]
        columns[Sign(sign).column] = sign_column(Sign(sign), value)
    columns["bundle"] = pa.array(bundle)
    for name in _INTS:
        columns[name] = pa.array(getattr(block, name)[bundle])
    columns["appended_ns"] = pa.array(capture.appended_ns[bundle])
    battery = block.battery_pct[bundle]
    columns["battery_pct"] = pa.array(battery, mask=battery < 0)
    for name, quality in (("poor", Quality.POOR), ("no_contact", Quality.NO_CONTACT)):
        bits = np.zeros(len(order), np.int64)
        mine = block.quality == quality
        np.bitwise_or.at(bits, row[mine], 1 << block.sign[mine].astype(np.int64))
        columns[name] = pa.array(bits)
    return pa.table(columns)


def _named(names: list[str], codes: Any) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string()))


def _numbers(table: Any, name: str) -> Any:
    return table.column(name).combine_chunks().to_numpy(zero_copy_only=False)


def _words(table: Any, name: str) -> tuple[list[str], Any]:
    column = table.column(name).unify_dictionaries().combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
    return column.dictionary.to_pylist(), codes.astype(np.int64)


def _bundles(table: Any) -> tuple[Block, Any]:
    rows = table.num_rows
    bundle = _numbers(table, "bundle")
    first = np.flatnonzero(np.append(True, np.diff(bundle) != 0)) if rows else np.empty(0, np.int64)
    patients, patient = _words(table, "patient")
    devices, device = _words(table, "device")
    value = np.full((rows, N_SIGNS), np.nan)
    for one in Sign:
        if one.column in table.column_names:
            value[:, one] = _values(table, one)
    signs = np.arange(N_SIGNS)
    poor, loose = (_numbers(table, name)[:, None] >> signs & 1 == 1 for name in ("poor", "no_contact"))
    at, sign = np.nonzero(~np.isnan(value) | loose)
    quality = np.where(loose, Quality.NO_CONTACT, np.where(poor, Quality.POOR, Quality.GOOD))[at, sign]
    found = value[at, sign]
    quality = _doubtful(sign, found, quality)
    counts = np.bincount(np.searchsorted(bundle[first], bundle[at]), minlength=len(first))
    battery = table.column("battery_pct").combine_chunks().to_numpy(zero_copy_only=False)[first]
    block = Block(
        patients=patients, devices=devices, patient=patient[first], device=device[first],
        **{name: _numbers(table, name)[first] for name in _INTS},
        battery_pct=np.where(np.isnan(battery), -1.0, battery),
        offsets=np.concatenate(([0], np.cumsum(counts))), sign=sign.astype(np.uint8),
        quality=quality.astype(np.uint8), value=found, time_ns=_numbers(table, "time_ns")[at],
    )  # fmt: skip
    return block, _numbers(table, "appended_ns")[first]


def _values(table: Any, sign: Sign) -> Any:
    if sign is Sign.CONSCIOUSNESS:
        words, codes = _words(table, sign.column)
        meaning = np.array([*(float(Consciousness[word]) for word in words), np.nan])
        return meaning[codes]
    column = table.column(sign.column)
    return column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)


def _doubtful(sign: Any, value: Any, quality: Any) -> Any:
    low, high = _PLAUSIBLE[sign].T
    odd = (quality == Quality.GOOD) & ((value < low) | (value > high))
    return np.where(odd, Quality.DOUBTFUL, quality)
