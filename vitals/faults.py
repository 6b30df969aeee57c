"""The closed list of reasons a reading, a bundle or a message is refused. Each has one meaning and an explanation."""

from __future__ import annotations

import enum
from typing import Final


class Fault(enum.StrEnum):
    """Why something a device sent was refused; the text is what goes to quarantine and to the ledger."""

    # the whole message
    OVERSIZED = "oversized"
    UNDECODABLE = "undecodable"
    WRONG_VERSION = "wrong-version"
    WRONG_TYPE = "wrong-type"
    WRONG_COUNT = "wrong-count"
    DEVICE_MISMATCH = "device-mismatch"
    UNBOUND = "unbound"
    # one reading of it
    UNKNOWN_SIGN = "unknown-sign"
    WRONG_UNIT = "wrong-unit"
    NOT_FINITE = "not-finite"
    IMPOSSIBLE = "impossible"
    FUTURE = "future"
    BEFORE_BINDING = "before-binding"


EXPLAINED: Final[dict[Fault, str]] = {
    Fault.OVERSIZED: "The message is larger than a bundle may be; send fewer readings in each bundle.",
    Fault.UNDECODABLE: "The bytes are neither JSON nor MessagePack, or end too early.",
    Fault.WRONG_VERSION: "The format version is not one this receiver knows.",
    Fault.WRONG_TYPE: "A field is missing or has another type than the format says.",
    Fault.WRONG_COUNT: "The bundle says how many readings it holds, and holds another number.",
    Fault.DEVICE_MISMATCH: "The device named in the bundle is not the one whose topic it came by.",
    Fault.UNBOUND: "Nobody wears this device at the time of the reading; it can be replayed once it is bound.",
    Fault.UNKNOWN_SIGN: "The sign is not in the table of signs.",
    Fault.WRONG_UNIT: "The unit is not one of the sign's and cannot be converted to it.",
    Fault.NOT_FINITE: "The value is NaN or infinite; leave out what was not measured.",
    Fault.IMPOSSIBLE: "The value is outside the range that any body or sensor of this kind can give.",
    Fault.FUTURE: "The time lies in the future of the receiver: the device's clock is ahead.",
    Fault.BEFORE_BINDING: "The reading was measured while somebody else, or nobody, wore the device.",
}
