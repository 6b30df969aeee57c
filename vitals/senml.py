"""SenML (RFC 8428, JSON) -> a bundle as sent: a second door for devices that already speak it.

```
  [{"bn": "dev-17:", "bt": 1767268800, "n": "hr", "u": "beat/min", "v": 72,
    "teleward:boot": 4, "teleward:seq": 12, "teleward:sent_ns": 1767268802000000000, "teleward:n": 2,
    "teleward:n_before": 48},
   {"n": "spo2", "u": "%", "v": 97, "t": 1}]
```

The base name is the device (a colon or slash may end it), the name a sign. What a bundle needs and SenML has no word
for stands in the first record under labels of our own, without which the message is refused: numbers that nobody gave
cannot prove that nothing was lost. Times are seconds and keep microseconds.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from vitals.faults import Fault
from vitals.wire import (
    MAX_BYTES,
    MAX_READINGS,
    Header,
    Incoming,
    Natural,
    Refused,
    SentQuality,
    SentReading,
    Unreadable,
)

# What another registry spells differently; all other units go to the table of signs as they are.
_UNITS: Final = {"beat/min": "/min", "/": "1"}
# Smaller times count from "now" (RFC 8428, 4.5.3), and whose now that is nobody could say at a replay.
_RELATIVE_BELOW_S: Final = 2**28
# Sums and base values would change what is measured; nobody sends them for vital signs.
_NOT_TAKEN: Final = frozenset({"bv", "bs", "s"})


class _First(msgspec.Struct):
    bn: str
    boot: Natural = msgspec.field(name="teleward:boot")
    seq: Natural = msgspec.field(name="teleward:seq")
    sent_ns: Natural = msgspec.field(name="teleward:sent_ns")
    n: Natural = msgspec.field(name="teleward:n")
    n_before: Natural = msgspec.field(name="teleward:n_before")
    bver: int = 10
    battery_pct: float | None = msgspec.field(name="teleward:battery_pct", default=None)
    queued: Natural = msgspec.field(name="teleward:queued", default=0)
    clock: tuple[Natural, Natural] | None = msgspec.field(name="teleward:clock", default=None)


class _Base(msgspec.Struct):
    bt: float | None = None
    bu: str | None = None


class _Record(msgspec.Struct):
    n: str
    u: str | None = None
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    t: float = 0.0
    quality: SentQuality = msgspec.field(name="teleward:quality", default="good")


_cut: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_labels: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_first: msgspec.json.Decoder[_First] = msgspec.json.Decoder(_First)
_base: msgspec.json.Decoder[_Base] = msgspec.json.Decoder(_Base)
_record: msgspec.json.Decoder[_Record] = msgspec.json.Decoder(_Record)
_BROKEN: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode(data: bytes) -> Incoming | Refused:
    """Read a SenML pack; as `vitals.wire.decode`, for a payload whose first byte is ``[``."""
    if len(data) > MAX_BYTES:
        return Refused(Fault.OVERSIZED, f"{len(data)} bytes, at most {MAX_BYTES}")
    try:
        records = _cut.decode(data)
    except _BROKEN:
        return Refused(Fault.UNDECODABLE, "no SenML")
    if len(records) > MAX_READINGS:
        return Refused(Fault.OVERSIZED, f"{len(records)} readings, at most {MAX_READINGS}")
    if not records:
        return Refused(Fault.WRONG_TYPE, "an empty pack says neither device nor number")
    try:
        first = _first.decode(records[0])
    except _BROKEN as error:
        return Refused(Fault.WRONG_TYPE, _said(error))
    if first.bver != 10:
        return Refused(Fault.WRONG_VERSION, f"bver is {first.bver}, this receiver knows 10")
    header = Header(
        device=first.bn.rstrip(":/"),
        boot=first.boot,
        seq=first.seq,
        sent_ns=first.sent_ns,
        n=first.n,
        n_before=first.n_before,
        battery_pct=first.battery_pct,
        queued=first.queued,
        clock=first.clock,
    )
    readings: list[SentReading | Unreadable] = []
    base = _Base()
    for record in records:
        try:
            base = _rebased(base, record)
            readings.append(_reading(record, base, first.bn))
        except _BROKEN as error:
            readings.append(Unreadable(Fault.WRONG_TYPE, _said(error)))
    return Incoming(header, readings, data, [bytes(record) for record in records])


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__


def _rebased(base: _Base, record: Any) -> _Base:
    """The base values from this record on; those of a record that cannot be read otherwise hold all the same."""
    told = _base.decode(record)
    return _Base(base.bt if told.bt is None else told.bt, base.bu if told.bu is None else told.bu)


def _reading(record: Any, base: _Base, device: str) -> SentReading:
    labels = _labels.decode(record)
    refused = sorted(label for label in labels if label in _NOT_TAKEN or label.endswith("_"))
    if refused:
        raise msgspec.ValidationError(f"labels not taken here: {', '.join(refused)}")
    if "bn" in labels and msgspec.json.decode(labels["bn"]) != device:
        raise msgspec.ValidationError("another base name: one device a pack")
    said = _record.decode(record)
    values = [value for value in (said.v, said.vs, said.vb) if value is not None]
    if len(values) > 1:
        raise msgspec.ValidationError("more than one value")
    time_s = (base.bt or 0.0) + said.t
    if not _RELATIVE_BELOW_S <= time_s < 2**33:
        raise msgspec.ValidationError("a time relative to now, or none")
    unit = base.bu if said.u is None else said.u
    return SentReading(
        sign=said.n,
        value=values[0] if values else None,
        unit=None if unit is None else _UNITS.get(unit, unit),
        # A double keeps a quarter of a microsecond of today's seconds; the rest would be noise.
        time_ns=math.floor(time_s * 1_000_000 + 0.5) * 1000,
        quality=said.quality,
    )
