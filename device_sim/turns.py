"""What happens in a play, in one order: time goes on, a device publishes, somebody says something. Pure.

Whoever plays, with brokers or without, takes the turns one by one; so both take the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec
import numpy as np

from device_sim.recorded import Outgoing, outgoing_at_instants, records_of
from vitals import topics, wire
from vitals.capture import Capture, Said
from vitals.log import Tick
from vitals.quarantine import Quarantined, RefusedBytes
from vitals.reading import Block, Quality, Reading
from vitals.recording import Recording
from vitals.signs import Sign
from vitals.wire import Format, Header

Turn: TypeAlias = Tick | Outgoing | Said

_FIELDS: Final = ("boot", "seq", "sent_ns", "n", "n_before", "battery_pct", "queued")
_ANY_READING: Final = b"null"  # stands for a refused reading whose bytes nobody kept: refused again
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def turns_of(recording: Recording, encoding: Format = "msgpack", *, said: bool = True) -> Iterator[Turn]:
    """A recording's turns: who wears what, then instant by instant.

    Args:
        recording: What is played.
        encoding: How the devices write.
        said: False leaves out who wears what.

    Raises:
        DeviceConflictError: If two patients of the recording wore a device at the same time.
    """
    if said:
        yield from records_of(recording)
    for now_ns, bundles in outgoing_at_instants(recording, encoding):
        yield Tick(now_ns=now_ns)
        yield from bundles


def turns_of_capture(capture: Capture) -> Iterator[Turn]:
    """A capture's turns: as the live stack took them, duplicates and what was refused included."""
    begin = 0
    for before, record in capture.between:
        yield from _outgoing(capture, begin, before)
        begin = before
        if isinstance(record, Quarantined):
            yield from _refused_message(record)
        else:
            yield record
    yield from _outgoing(capture, begin, capture.bundles.bundles)


def _outgoing(capture: Capture, begin: int, end: int) -> Iterator[Outgoing]:
    block = capture.bundles
    for i in range(begin, end):
        device = block.devices[int(block.device[i])]
        payload = bundle_bytes(block, i, capture.refused.get(i, ()))
        yield Outgoing(device, payload, int(block.n[i]), int(block.received_ns[i]))


def _refused_message(record: Quarantined) -> Iterator[Outgoing]:
    # Of an oversized message only the first part was kept; it is refused for that all the same.
    if record.device and record.topic == topics.bundle_topic(record.device):
        yield Outgoing(record.device, record.raw, record.n or 0, record.received_ns)


def bundle_bytes(block: Block, i: int, refused: Iterable[RefusedBytes] = ()) -> bytes:
    """A bundle of a block as its device would have sent it, in canonical units.

    Args:
        block: Where it stands.
        i: Its row.
        refused: Its refused readings; where some are not known any more, unreadable ones stand for them.

    Returns:
        MessagePack, or JSON where its refused readings were JSON.
    """
    rows = range(int(block.offsets[i]), int(block.offsets[i + 1]))
    accepted = [
        wire.sent_reading(
            Reading(Sign(int(block.sign[k])), float(block.value[k]), int(block.time_ns[k]), Quality(block.quality[k]))
        )
        for k in rows
    ]
    if not block.refused[i]:
        return _encoded(block, i, accepted, "msgpack")
    known = {found.index: found.raw for found in refused}
    as_json = not known or all(_is_json(raw) for raw in known.values())
    encoder = _json if as_json else _msgpack
    readings: list[msgspec.Raw] = []
    left = iter(accepted)
    lost = int(block.refused[i]) - len(known)
    unknown = _ANY_READING if as_json else msgspec.msgpack.encode(None)
    for place in range(int(block.n[i])):
        if place in known:
            readings.append(msgspec.Raw(known[place]))
        elif lost and place >= int(block.n[i]) - lost:
            readings.append(msgspec.Raw(unknown))
        else:
            readings.append(msgspec.Raw(encoder.encode(next(left))))
    return _encoded(block, i, readings, "json" if as_json else "msgpack")


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw.strip() in {b"NaN", b"Infinity", b"-Infinity"} or b"NaN" in raw or b"Infinity" in raw
    return True


def _encoded(block: Block, i: int, readings: list[wire.SentReading] | list[msgspec.Raw], encoding: Format) -> bytes:
    values: dict[str, object] = {name: getattr(block, name)[i].item() for name in _FIELDS}
    battery = block.battery_pct[i].item()
    header = Header(
        device=block.devices[int(block.device[i])],
        **{**values, "battery_pct": None if battery < 0 or np.isnan(battery) else battery},  # type: ignore[arg-type]
    )
    return wire.encode_with(header, readings, encoding)
