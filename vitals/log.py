"""The records of the one log: all that can change a ward's mind, in the order Kafka gave them.

A partition of the input topic holds blocks, ticks, commands, bindings, enrolments, limits and outages, told apart by
the Kafka header ``type``. The ward reads no clock: its time is the newest tick. So the same log gives the same events
on any machine, after any crash, at any speed.

Blocks are `vitals.reading.Block` (bytes: `vitals.block`); the other records are small and travel as JSON, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from vitals.reading import Block

HEADER: Final = "type"
BLOCK: Final = b"block"


# Times fit the ward's arrays with room to add to them; what is due never or at once cannot be said.
_TimeNs: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
_PeriodNs: TypeAlias = Annotated[int, msgspec.Meta(gt=0, le=1 << 61)]


class LogError(ValueError):
    """A record of the log that cannot be read; goes to the dead-letter topic with this text."""


class Tick(msgspec.Struct, frozen=True, tag_field="type", tag="tick", kw_only=True):
    """Time goes on: nothing received before `now_ns` is still to come from this bridge.

    Attributes:
        now_ns: Ward time.
        bridge: Which bridge says so; a ward's time is the least of its bridges' newest ticks.
    """

    now_ns: _TimeNs
    bridge: str = "bridge"


class Binding(msgspec.Struct, frozen=True, tag_field="type", tag="binding", kw_only=True):
    """Who wore a device from when to when.

    Attributes:
        device: The device.
        patient: Who wears it.
        from_ns: First instant that counts.
        to_ns: First instant that does not count any more; None while it lasts.
        period_ns: How often the device is due to publish; decides when its silence is an alarm, and how long the
            values of a slow device stay valid (see `vitals.align`).
    """

    device: str
    patient: str
    from_ns: _TimeNs
    to_ns: _TimeNs | None = None
    period_ns: _PeriodNs = 60_000_000_000


class Enrolment(msgspec.Struct, frozen=True, tag_field="type", tag="enrolment", kw_only=True):
    """Whether a patient is watched.

    Attributes:
        patient: The pseudonym.
        state: `paused` and `discharged` patients raise no alarm about silence; who, why and until when is shown.
        at_ns: When it was said.
        by: Who said it.
        reason: Why, for a pause or a discharge.
        until_ns: End of a pause; None where open-ended.
        spo2_scale: 2 only on a clinician's documented decision (RCP 2017).
        age: Years; None unknown.
        sex: ``f``, ``m`` or None.
    """

    patient: str
    state: Literal["admitted", "paused", "discharged"]
    at_ns: _TimeNs
    by: str = ""
    reason: str = ""
    until_ns: _TimeNs | None = None
    spo2_scale: Literal[1, 2] = 1
    age: float | None = None
    sex: Literal["f", "m"] | None = None


class Limit(msgspec.Struct, frozen=True, tag_field="type", tag="limit", kw_only=True):
    """A patient's own limit: an override of a rule's threshold with a name, a time and a reason.

    Attributes:
        patient: Whose.
        rule: A limit rule of `vitals.rules`, by id.
        threshold: The new threshold of the rule's first band, in the unit of its measure; None takes the override back.
        at_ns: When it was set.
        by: Who set it.
        reason: Why.
    """

    patient: str
    rule: str
    threshold: float | None
    at_ns: _TimeNs
    by: str
    reason: str


class Outage(msgspec.Struct, frozen=True, tag_field="type", tag="outage", kw_only=True):
    """A learned detector does not answer, or answers again: said by whoever hosts the ward.

    How long a model takes is a matter of the machine, and the ward reads no clock; so what the host saw becomes a
    record, and the same log gives the same events on any machine.

    Attributes:
        detector: Its name.
        version: Its version; a ward that serves another one leaves the record alone.
        state: `late` or `failed`: it is not asked from here on, the pending frame included; `over`: it is again.
        at_ns: When the host saw it, ward time; for the record only.
        reason: What happened, for people.
    """

    detector: str
    version: str
    state: Literal["late", "failed", "over"]
    at_ns: _TimeNs
    reason: str = ""


Action: TypeAlias = Literal["acknowledge", "shelve", "unshelve", "expect", "resolve"]


class Command(msgspec.Struct, frozen=True, tag_field="type", tag="command", kw_only=True):
    """What a person says about an alarm. Idempotent by `command_id`.

    Attributes:
        command_id: Chosen by the page; the same id again changes nothing.
        patient: Whose alarm; decides the partition.
        alarm_id: Which alarm.
        action: What is said.
        by: Who says it.
        at_ns: The page's clock, for the record only: what decides is the newest tick.
        seen: The number of the newest event of the alarm that the person saw; None when unknown. A command about an
            alarm that has since worsened is refused ("moved on").
        reason: Why; a shelf needs one.
        until_ns: End of a shelf, at most what the rule allows.
        bound: Shelf: a value of the rule's measure that breaks it; expectation: the value to be met.
        direction: Which side of `bound` is meant: ``above`` (value >= bound) or ``below`` (value <= bound).
        within_ns: Expectation: how long it may take, from the newest tick.
        outcome: Resolve: what it was.
        note: Free text; never a patient's name.
    """

    command_id: str
    patient: str
    alarm_id: str
    action: Action
    by: str
    at_ns: _TimeNs = 0
    seen: int | None = None
    reason: str = ""
    until_ns: _TimeNs | None = None
    bound: float | None = None
    direction: Literal["above", "below"] | None = None
    within_ns: _TimeNs | None = None
    outcome: Literal["confirmed", "dismissed", "duplicate"] | None = None
    note: str = ""


def time_of(bridges: Mapping[str, int], behind_ns: int) -> int:
    """Ward time: the least of the bridges' newest ticks, those left out that fell behind the others.

    Args:
        bridges: Newest tick by bridge; at least one.
        behind_ns: A bridge whose newest tick is this much behind the newest of all no longer holds time back.
    """
    newest = max(bridges.values())
    return min(t for t in bridges.values() if t >= newest - behind_ns)


Small: TypeAlias = Tick | Command | Binding | Enrolment | Limit | Outage
Record: TypeAlias = Block | Small

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Small] = msgspec.json.Decoder(Small)


def encode(record: Small) -> tuple[bytes, bytes]:
    """The header value and the bytes of a record that is not a block."""
    kind = record.__struct_config__.tag
    return str(kind).encode(), _encoder.encode(record)


def decode(data: bytes) -> Small:
    """Read a record that is not a block.

    Raises:
        LogError: If the bytes are not one, with what is wrong.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise LogError(f"not a record of the log: {error}") from error
