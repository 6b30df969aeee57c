"""Refused bytes -> records of the quarantine topic (`vitals.quarantine`): nothing that a device sent vanishes."""

from __future__ import annotations

from typing import Final

from vitals.faults import Fault
from vitals.quarantine import Quarantined, RefusedBytes
from vitals.validate import Checked, RefusedReading
from vitals.wire import Header, salvage_header

KEPT_BYTES: Final = 700_000  # of a message; well under what a Kafka record may have


def whole(
    *, topic: str, device: str | None, payload: bytes, received_ns: int, bridge: str, fault: Fault, why: str
) -> Quarantined:
    """A message that was refused whole, with what can still be read of its header.

    Args:
        topic: Where it came by.
        device: The device that the topic names; None where it names none.
        payload: The message; of more than `KEPT_BYTES` only the first part is kept.
        received_ns: When it came.
        bridge: Who refused it.
        fault: Why.
        why: In words.
    """
    salvaged = salvage_header(payload)
    ours = salvaged is not None and salvaged.device in {None, device}
    return Quarantined(
        device=device or "",
        topic=topic,
        bridge=bridge,
        received_ns=received_ns,
        fault=fault,
        why=why,
        # A bundle that names another device than its topic must not count in that device's sequence.
        boot=salvaged.boot if salvaged and ours else None,
        seq=salvaged.seq if salvaged and ours else None,
        n=salvaged.n if salvaged and ours else None,
        n_before=salvaged.n_before if salvaged and ours else None,
        size=len(payload),
        raw=payload[:KEPT_BYTES],
    )


def readings(
    *, topic: str, header: Header, checked: Checked, size: int, received_ns: int, bridge: str
) -> Quarantined | None:
    """The refused readings of a message that was taken; None where there are none."""
    if not checked.refused:
        return None
    return Quarantined(
        device=checked.accepted.device,
        topic=topic,
        bridge=bridge,
        received_ns=received_ns,
        boot=header.boot,
        seq=header.seq,
        n=len(checked.refused),
        n_before=header.n_before,
        size=size,
        readings=tuple(_refused(reading) for reading in checked.refused),
    )


def _refused(reading: RefusedReading) -> RefusedBytes:
    return RefusedBytes(index=reading.index, fault=reading.fault, why=reading.why, raw=reading.raw)
