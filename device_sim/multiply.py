"""A recording as a larger ward: copies of its patients under new pseudonyms, each copy at a shift of its own. Pure.

The same recording, number and seed give the same ward. A copy's alarms are its original's, later by its shift, as far
as frames allow: a shift is whole seconds, and whole minutes (the frames' grid) where people's commands are in it,
whose alarms carry the time at which they were raised in their names.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from device_sim.recorded import Outgoing
from device_sim.turns import Turn
from vitals import wire
from vitals.log import Binding, Command, Enrolment, Limit, Outage, Tick
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.wire import Incoming, SentReading

SPREAD_NS: Final = 10 * MINUTE_NS


def new_name(kind: str, name: str, copy: int, seed: int) -> str:
    """The pseudonym of a copy: nobody can tell from it whose copy it is."""
    told = hashlib.blake2b(f"{seed}:{copy}:{kind}:{name}".encode(), digest_size=6).hexdigest()
    return f"{kind}-{told}"


def shift_ns(copy: int, seed: int, grid_ns: int, spread_ns: int = SPREAD_NS) -> int:
    """How much later a copy is than the recording; copy 0 is the recording."""
    if not copy:
        return 0
    chance = int.from_bytes(hashlib.blake2b(f"{seed}:{copy}:shift".encode(), digest_size=8).digest())
    return chance % max(1, spread_ns // grid_ns) * grid_ns


def multiplied(
    copies: Iterable[Callable[[], Iterable[Turn]]], *, seed: int = 0, commands: bool = False
) -> Iterator[Turn]:
    """The turns of a larger ward.

    Args:
        copies: Each makes the turns of one copy; the first is the recording itself, and keeps its names.
        seed: Of pseudonyms and shifts.
        commands: Whether people's commands are among the turns.
    """
    grid_ns = MINUTE_NS if commands else SECOND_NS
    streams = [
        _timed(_shifted(make(), copy, seed, shift_ns(copy, seed, grid_ns)), copy) for copy, make in enumerate(copies)
    ]
    newest = -1
    for _, _, _, turn in heapq.merge(*streams, key=lambda row: row[:3]):
        if isinstance(turn, Tick):
            if turn.now_ns <= newest:
                continue
            newest = turn.now_ns
        yield turn


def _timed(turns: Iterable[Turn], copy: int) -> Iterator[tuple[int, int, int, Turn]]:
    """Each turn with when it is played; what is said before all time comes first."""
    now_ns = -1
    for place, turn in enumerate(turns):
        if isinstance(turn, Tick):
            now_ns = max(now_ns, turn.now_ns)
        elif isinstance(turn, Outgoing) and turn.received_ns is not None:
            now_ns = max(now_ns, turn.received_ns)
        yield now_ns, copy, place, turn


def _shifted(turns: Iterable[Turn], copy: int, seed: int, by_ns: int) -> Iterator[Turn]:
    if not copy:
        yield from turns
        return
    names: dict[tuple[str, str], str] = {}

    def renamed(kind: str, name: str) -> str:
        found = names.get((kind, name))
        if found is None:
            found = names[kind, name] = new_name(kind, name, copy, seed)
        return found

    for turn in turns:
        match turn:
            case Tick():
                yield msgspec.structs.replace(turn, now_ns=turn.now_ns + by_ns)
            case Outgoing():
                device = renamed("d", turn.device)
                received_ns = None if turn.received_ns is None else turn.received_ns + by_ns
                yield Outgoing(device, moved(turn.payload, device, by_ns), turn.n, received_ns)
            case Binding():
                yield msgspec.structs.replace(
                    turn, device=renamed("d", turn.device), patient=renamed("p", turn.patient),
                    from_ns=turn.from_ns + by_ns, to_ns=_later(turn.to_ns, by_ns),
                )  # fmt: skip
            case Enrolment():
                yield msgspec.structs.replace(
                    turn, patient=renamed("p", turn.patient), at_ns=turn.at_ns + by_ns,
                    until_ns=_later(turn.until_ns, by_ns),
                )  # fmt: skip
            case Limit():
                yield msgspec.structs.replace(turn, patient=renamed("p", turn.patient), at_ns=turn.at_ns + by_ns)
            case Outage():
                pass  # said once, by the recording itself
            case Command():
                yield _command(turn, renamed("p", turn.patient), renamed, copy, by_ns)


def _command(said: Command, patient: str, renamed: Callable[[str, str], str], copy: int, by_ns: int) -> Command:
    _, rule, raised = said.alarm_id.rsplit(":", 2)
    kind, at, device = rule.partition("@")
    rule = f"{kind}@{renamed('d', device)}" if at else rule
    return msgspec.structs.replace(
        said, command_id=f"{said.command_id}-{copy}", patient=patient,
        alarm_id=f"{patient}:{rule}:{int(raised) + by_ns}" if raised.lstrip("-").isdigit() else said.alarm_id,
        at_ns=said.at_ns + by_ns, until_ns=_later(said.until_ns, by_ns),
    )  # fmt: skip


def _later(time_ns: int | None, by_ns: int) -> int | None:
    return None if time_ns is None else time_ns + by_ns


def moved(payload: bytes, device: str, by_ns: int, *, skew_ns: int = 0) -> bytes:
    """A bundle of another device, measured and sent later; bytes that are no whole bundle stay as they are.

    Args:
        payload: As the device sent it.
        device: Who sends it now.
        by_ns: How much later all of it is.
        skew_ns: How much the device's clock is ahead beside that.
    """
    read = wire.decode(payload)
    if not isinstance(read, Incoming) or read.cut is not None:
        return payload
    later = by_ns + skew_ns
    readings = [
        msgspec.structs.replace(reading, time_ns=max(0, reading.time_ns + later))
        for reading in read.readings
        if isinstance(reading, SentReading)
    ]
    header = msgspec.structs.replace(read.header, device=device, sent_ns=max(0, read.header.sent_ns + later))
    return wire.encode_with(header, readings, "json" if payload[:1] == b"{" else "msgpack")
