"""Device bytes <-> a bundle as it was sent, before anybody judged it.

One format, two encodings: JSON (first byte ``{``) and MessagePack (first byte a map), told apart by that byte. The
contract for device makers is docs/wire-format.md. Decoding is strict: unknown fields, wrong types and numbers written
as text are refused, so that a misspelt ``quality`` can never be read as "good". A bundle is refused whole only where
its header cannot be trusted; a reading that cannot be read is refused alone.

Values are taken as sent here; `vitals.validate` turns them into canonical units and judges them.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from vitals.faults import Fault
from vitals.reading import Bundle, Quality, Reading
from vitals.salvage import Salvaged, salvage_header
from vitals.signs import Consciousness, Sign

__all__ = [
    "MAX_BYTES",
    "MAX_READINGS",
    "RESEND_S",
    "VERSION",
    "Format",
    "Header",
    "Incoming",
    "Natural",
    "Refused",
    "Salvaged",
    "SentBundle",
    "SentQuality",
    "SentReading",
    "Unreadable",
    "decode",
    "encode",
    "raw_readings",
    "salvage_header",
    "sent",
    "sent_reading",
]

VERSION: Final = 1
MAX_BYTES: Final = 64 * 1024
MAX_READINGS: Final = 512

RESEND_S: Final = 60
"""For so long after the acknowledgement a device keeps a bundle, and sends it again once a connection has broken.

Seconds of the wall. A broker acknowledges before it saves: one that is killed forgets what it took since it last saved
(Mosquitto: every `deploy.brokers.values.MQTT_AUTOSAVE_S`). What arrives twice is dropped by (device, boot, seq).
"""

Format: TypeAlias = Literal["json", "msgpack"]
SentQuality: TypeAlias = Literal["good", "poor", "no_contact"]

# Arrays and Arrow hold 64 bits; what does not fit is no counter and no time.
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class SentReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One reading as a device wrote it.

    Attributes:
        sign: A sign's column (``hr``, ``spo2``); not yet looked up.
        value: A number; for consciousness a letter A C V P U, for oxygen true or false; None only with no_contact.
        unit: As `vitals.signs.UNITS` spells it; None: the sign's canonical unit.
        time_ns: When it was measured, by the device's clock.
        quality: What the device knows of it; it knows no DOUBTFUL, that is the receiver's word.
    """

    sign: str
    value: float | str | bool | None = None
    unit: str | None = None
    time_ns: Natural
    quality: SentQuality = "good"


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What stands before the readings; see `vitals.reading.Bundle` for the meaning of each field.

    The order is part of the contract: a truncated bundle must still be countable (`salvage_header`).
    """

    v: Literal[1] = 1
    device: str
    boot: Natural
    seq: Natural
    sent_ns: Natural
    n: Natural
    n_before: Natural
    battery_pct: float | None = None
    queued: Natural = 0
    clock: tuple[Natural, Natural] | None = None


class SentBundle(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle as a device wrote it."""

    readings: list[SentReading]


class _WholeBundle(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bundle as it must arrive: with its version said."""

    v: Literal[1]
    readings: list[SentReading]


class _CutBundle(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same bytes with the readings cut out but not read."""

    v: Literal[1]
    readings: list[msgspec.Raw]


class _Version(msgspec.Struct):
    v: int


class Unreadable(msgspec.Struct, frozen=True):
    """A reading that is none.

    Attributes:
        fault: Why.
        why: In words; names fields and types, never values.
    """

    fault: Fault
    why: str


class Refused(msgspec.Struct, frozen=True):
    """A whole message that is refused.

    Attributes:
        fault: Why.
        why: In words; names fields and types, never values.
    """

    fault: Fault
    why: str


class Incoming(msgspec.Struct, frozen=True):
    """A message whose header could be read.

    Attributes:
        header: The bundle; its own `readings` are not to be used.
        readings: The device's readings in its order, those that could not be read among them.
        data: The bytes it was read from.
        cut: The bytes of each reading where they are already at hand; else `raw_readings` cuts them.
    """

    header: Header
    readings: list[SentReading] | list[SentReading | Unreadable]
    data: bytes
    cut: list[bytes] | None = None


_Codec: TypeAlias = tuple[
    "msgspec.json.Decoder[_WholeBundle] | msgspec.msgpack.Decoder[_WholeBundle]",
    "msgspec.json.Decoder[_CutBundle] | msgspec.msgpack.Decoder[_CutBundle]",
    "msgspec.json.Decoder[SentReading] | msgspec.msgpack.Decoder[SentReading]",
    "msgspec.json.Decoder[_Version] | msgspec.msgpack.Decoder[_Version]",
]
_JSON: Final[_Codec] = (
    msgspec.json.Decoder(_WholeBundle),
    msgspec.json.Decoder(_CutBundle),
    msgspec.json.Decoder(SentReading),
    msgspec.json.Decoder(_Version),
)
_MSGPACK: Final[_Codec] = (
    msgspec.msgpack.Decoder(_WholeBundle),
    msgspec.msgpack.Decoder(_CutBundle),
    msgspec.msgpack.Decoder(SentReading),
    msgspec.msgpack.Decoder(_Version),
)
_json_encoder = msgspec.json.Encoder()
_msgpack_encoder = msgspec.msgpack.Encoder()

# Everything that bytes from outside can bring about in the decoders: nesting deeper than Python's stack and text that
# is not UTF-8 have exceptions of their own.
_BROKEN: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def _codec(data: bytes) -> _Codec | None:
    if not data:
        return None
    first = data[0]
    if first == 0x7B:
        return _JSON
    return _MSGPACK if 0x80 <= first <= 0x8F or first in {0xDE, 0xDF} else None


def decode(data: bytes) -> Incoming | Refused:
    """Read what a device sent.

    Args:
        data: The payload of a message on a bundle topic.

    Returns:
        The bundle, with each reading that could not be read marked as such; or why the whole message is refused.
    """
    if len(data) > MAX_BYTES:
        return Refused(Fault.OVERSIZED, f"{len(data)} bytes, at most {MAX_BYTES}")
    codec = _codec(data)
    if codec is None:
        return Refused(Fault.UNDECODABLE, "neither a JSON object nor a MessagePack map")
    try:
        bundle = codec[0].decode(data)
    except _BROKEN:
        return _sized(_decode_slowly(data, codec))
    return _sized(Incoming(bundle, bundle.readings, data))


def _sized(incoming: Incoming | Refused) -> Incoming | Refused:
    if isinstance(incoming, Incoming) and len(incoming.readings) > MAX_READINGS:
        return Refused(Fault.OVERSIZED, f"{len(incoming.readings)} readings, at most {MAX_READINGS}")
    return incoming


def _decode_slowly(data: bytes, codec: _Codec) -> Incoming | Refused:
    """Find out what is wrong: the header, or which of the readings."""
    _, cut_decoder, reading_decoder, version_decoder = codec
    try:
        version = version_decoder.decode(data).v
    except _BROKEN:
        version = VERSION  # the header's own error says it better
    if version != VERSION:
        return Refused(Fault.WRONG_VERSION, f"v is {version}, this receiver knows {VERSION}")
    try:
        bundle = cut_decoder.decode(data)
    except msgspec.ValidationError as error:
        return Refused(Fault.WRONG_TYPE, str(error))
    except _BROKEN as error:
        if codec is _JSON:
            return _decode_with_constants(data)
        return Refused(Fault.UNDECODABLE, _said(error))
    cut = [bytes(raw) for raw in bundle.readings]
    readings: list[SentReading | Unreadable] = []
    for raw in cut:
        try:
            readings.append(reading_decoder.decode(raw))
        except _BROKEN as error:
            readings.append(_unreadable(error))
    return Incoming(bundle, readings, data, cut)


def _unreadable(error: Exception) -> Unreadable:
    why = _said(error)
    # A literal beyond the largest double (1e400) is a number, and outside of every range.
    return Unreadable(Fault.IMPOSSIBLE if why.startswith("Number out of range") else Fault.WRONG_TYPE, why)


def _said(error: Exception) -> str:
    # The text of a UnicodeError quotes the bytes, and those may hold a value.
    return str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__


class _NoConstantError(ValueError):
    pass


def _decode_with_constants(data: bytes) -> Incoming | Refused:
    """Read text that is JSON but for NaN and Infinity, which many encoders write all the same.

    So the one reading is refused (not finite) and not the whole bundle.
    """
    seen = []

    def constant(name: str) -> float:
        seen.append(name)
        return float(name)

    refused = Refused(Fault.UNDECODABLE, "malformed JSON")
    try:
        whole = json.loads(data.decode(), parse_constant=constant)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or an integer of thousands of digits
        return refused
    if not seen or not isinstance(whole, dict):
        return refused
    sent = whole.get("readings")
    try:
        header = msgspec.convert({**whole, "readings": []}, _WholeBundle)
    except msgspec.ValidationError as error:
        return Refused(Fault.WRONG_TYPE, str(error))
    except UnicodeError:
        return refused
    if not isinstance(sent, list):
        return Refused(Fault.WRONG_TYPE, "Expected `array` - at `$.readings`")
    readings: list[SentReading | Unreadable] = []
    for reading in sent:
        try:
            readings.append(msgspec.convert(reading, SentReading))
        except (msgspec.ValidationError, UnicodeError, OverflowError) as error:
            readings.append(_unreadable(error))
    return Incoming(header, readings, data, [json.dumps(reading).encode() for reading in sent])


def raw_readings(incoming: Incoming) -> list[bytes]:
    """The bytes of each reading, in order: what is kept of one that is refused.

    Bytes as sent; where the text was JSON but for NaN or Infinity, the reading written anew.
    """
    if incoming.cut is not None:
        return incoming.cut
    codec = _codec(incoming.data)
    if codec is None:
        raise ValueError("the data was not read by decode()")
    return [bytes(raw) for raw in codec[1].decode(incoming.data).readings]


def encode(bundle: SentBundle, encoding: Format) -> bytes:
    """Write a bundle as a device does: fields in the order of the contract, defaults left out but for `v`.

    NaN becomes null in JSON and stays NaN in MessagePack.
    """
    return encode_with(bundle, bundle.readings, encoding)


def encode_with(header: Header, readings: list[SentReading] | list[msgspec.Raw], encoding: Format) -> bytes:
    """Write a bundle from its header and readings, some of which may be bytes already (in that encoding)."""
    # omit_defaults leaves `v` out too; but a format says its version first, always.
    fields: dict[str, object] = {"v": header.v}
    for name in Header.__struct_fields__[1:]:
        value = getattr(header, name)
        if not ((name in {"battery_pct", "clock"} and value is None) or (name == "queued" and value == 0)):
            fields[name] = value
    fields["readings"] = readings
    return (_json_encoder if encoding == "json" else _msgpack_encoder).encode(fields)


def fingerprint(data: bytes) -> int:
    """64 bits by which a player names a message whose time of receipt it announces (CRC-32 and Adler-32)."""
    return zlib.adler32(data) << 32 | zlib.crc32(data)


def sent(bundle: Bundle) -> SentBundle:
    """A bundle of judged readings as its device would have sent it, in canonical units.

    DOUBTFUL becomes good: the device does not know the word.
    """
    return SentBundle(
        device=bundle.device,
        boot=bundle.boot,
        seq=bundle.seq,
        sent_ns=bundle.sent_ns,
        n=bundle.n,
        n_before=bundle.n_before,
        battery_pct=None if bundle.battery_pct < 0 else bundle.battery_pct,
        queued=bundle.queued,
        readings=[sent_reading(reading) for reading in bundle.readings],
    )


_SENT_QUALITY: Final[dict[Quality, SentQuality]] = {
    Quality.GOOD: "good",
    Quality.DOUBTFUL: "good",
    Quality.POOR: "poor",
    Quality.NO_CONTACT: "no_contact",
}


def sent_reading(reading: Reading) -> SentReading:
    """A reading as its device would have sent it."""
    value: float | str | bool | None = reading.value
    if math.isnan(reading.value):
        value = None
    elif reading.sign is Sign.CONSCIOUSNESS:
        value = Consciousness(int(reading.value)).name
    elif reading.sign is Sign.OXYGEN:
        value = bool(reading.value)
    return SentReading(
        sign=reading.sign.column, value=value, time_ns=reading.time_ns, quality=_SENT_QUALITY[reading.quality]
    )
