"""What can still be read of a message that cannot be read: its header, for the ledger.

A bundle's header comes first for this. Nothing here is trusted for more than to say which bundle was lost, and how
many readings with it. Part of `vitals.wire`, which offers it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """What could still be read of a broken message; None where it could not."""

    device: str | None = None
    boot: int | None = None
    seq: int | None = None
    n: int | None = None
    n_before: int | None = None


_SALVAGE_WITHIN: Final = 1024  # the header comes first and is far shorter
_NUMBERS: Final = frozenset({"boot", "seq", "n", "n_before"})
# A number or text counts only where something follows it: a cut "seq":12|34 must not be read as 12.
_JSON_FIELD: Final = re.compile(
    rb'"(device|boot|seq|n|n_before)"\s*:\s*(?:"([A-Za-z0-9._-]{1,64})"|([0-9]{1,19}))(?=\s*[,}])'
)


def salvage_header(data: bytes) -> Salvaged | None:
    """Read what can still be read of the header of a truncated, broken or oversized message.

    For the ledger only: which bundle it was and how many readings are lost with it. Never raises.

    Returns:
        The fields that stand whole before the first break; None where there is none.
    """
    head = data[:_SALVAGE_WITHIN]
    found = _salvage_json(head) if head[:1] == b"{" else _salvage_msgpack(head)
    known: dict[str, str | int] = {}
    for name, value in found.items():
        number = name in _NUMBERS and type(value) is int and 0 <= value < 2**63
        if number or (name == "device" and isinstance(value, str)):
            known[name] = value
    return msgspec.convert(known, Salvaged) if known else None


def _salvage_json(head: bytes) -> dict[str, str | int]:
    before, _, _ = head.partition(b'"readings"')
    found: dict[str, str | int] = {}
    for name, text, digits in _JSON_FIELD.findall(before):
        found[name.decode()] = text.decode() if text else int(digits)
    return found


def _salvage_msgpack(head: bytes) -> dict[str, str | int]:
    """Walk over the keys and plain values of a map until the first that is neither text nor number."""
    if not head:
        return {}
    at = 1 if 0x80 <= head[0] <= 0x8F else {0xDE: 3, 0xDF: 5}.get(head[0], len(head))
    found: dict[str, str | int] = {}
    while True:
        key, at = _plain_msgpack(head, at)
        value, at = _plain_msgpack(head, at)
        if not isinstance(key, str) or value is None:
            return found
        if isinstance(value, str | int):
            found[key] = value


def _plain_msgpack(head: bytes, at: int) -> tuple[str | int | float | None, int]:
    """One text or number at a place and where the next begins; None where there is none, or not all of it."""
    if at >= len(head):
        return None, at
    first = head[at]
    if first <= 0x7F:
        length = 1
    elif 0xA0 <= first <= 0xBF:
        length = 1 + first - 0xA0
    elif first in {0xCA, 0xCE, 0xD2}:
        length = 5
    elif first in {0xCB, 0xCF, 0xD3}:
        length = 9
    elif 0xCC <= first <= 0xCD:
        length = first - 0xCA
    elif 0xD0 <= first <= 0xD1:
        length = first - 0xCE
    elif first == 0xD9 and at + 1 < len(head):
        length = 2 + head[at + 1]
    else:
        return None, at
    piece = head[at : at + length]
    if len(piece) < length:
        return None, at
    try:
        value = msgspec.msgpack.decode(piece)
    except (msgspec.DecodeError, UnicodeError):
        return None, at
    return (value if isinstance(value, str | int | float) else None), at + length
