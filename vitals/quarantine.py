"""What stands in the quarantine topic: refused bytes, with the reason and where they came from.

One record for each message that was refused whole, or of which readings were refused. Its Kafka key is the device
that the topic names. A message that is delivered twice stands here twice, with the same (device, boot, seq): readers
drop repeats.
"""

from __future__ import annotations

import msgspec

from vitals.faults import Fault


class QuarantineError(ValueError):
    """Bytes that are no record of the quarantine topic."""


class RefusedBytes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refused reading of a message that was otherwise taken.

    Attributes:
        index: Its place in the bundle, from 0.
        fault: Why.
        why: In words, where the fault alone does not say it; never a value.
        raw: Its bytes, in the encoding of its bundle.
    """

    index: int
    fault: Fault
    why: str = ""
    raw: bytes


class Quarantined(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message in quarantine, or the readings of one.

    Attributes:
        device: The device that the topic names, for which the broker vouches; "" where the topic names none.
        topic: The MQTT topic it came by.
        bridge: Which bridge refused it.
        received_ns: When it came, by the bridge's clock.
        fault: Why the whole message was refused; None where it was taken but for `readings`.
        why: In words, where the fault alone does not say it; never a value.
        boot: Of the bundle; None where it could not be read, or names another device.
        seq: Likewise.
        n: How many readings are lost to the ward with it: all that the device put in, as far as can be read, for a
            whole message; else the number of `readings`. None where nobody can say.
        n_before: As in the bundle; None where it could not be read.
        size: How many bytes the message had.
        raw: The whole message where it was refused whole (its first part where `size` is more); else empty.
        readings: The refused readings of a message that was taken.
    """

    device: str
    topic: str
    bridge: str
    received_ns: int
    fault: Fault | None = None
    why: str = ""
    boot: int | None = None
    seq: int | None = None
    n: int | None = None
    n_before: int | None = None
    size: int
    raw: bytes = b""
    readings: tuple[RefusedBytes, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Quarantined] = msgspec.msgpack.Decoder(Quarantined)


def encode(record: Quarantined) -> bytes:
    """The value of the Kafka record (MessagePack: the refused bytes stand in it as they are)."""
    return _encoder.encode(record)


def decode(data: bytes) -> Quarantined:
    """Read what `encode` wrote.

    Raises:
        QuarantineError: If the bytes are not that.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise QuarantineError(f"not a record of the quarantine topic: {error}") from error
