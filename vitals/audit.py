"""What people were told, said and did: entries, and the chain that holds them together. Pure.

An *entry* is one fact. The *chain* is a text of lines, each a JSON object: its number, where the fact stood in Kafka,
the fact, and ``prev``: the SHA-256 of the line before, exactly as it stands there without its newline. So who changes,
takes out or puts in a line breaks the next one, and anybody can check it with a tool of their own. What only the last
line could tell (that lines were cut off the end) shows against a *head*, the hash of a last line, noted elsewhere.

    {"seq":1,"prev":"0000...","topic":"teleward.audit","partition":0,"offset":7,"what":"entry","body":{...}}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

FIRST: Final = "0" * 64
"""What the first line has for the hash of the line before."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact about people, or about messages to them.

    Attributes:
        entry_id: Names it: the same id again is the same fact.
        at_ns: When, ward time.
        part: Who wrote it down: ``pager``, ``console``.
        what: ``page-sent``, ``signed-in``, ``command``, ``link-forged``, ...; docs/paging.md has them all.
        person: Who did it, or to whom it happened; "" nobody.
        message: The message that it is about.
        alarms: The alarms that it is about.
        text: In words.
    """

    entry_id: str
    at_ns: int
    part: str
    what: str
    person: str = ""
    message: str = ""
    alarms: tuple[str, ...] = ()
    text: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the chain.

    Attributes:
        seq: Its number, from 1.
        prev: Hash of the line before; `FIRST` for the first.
        topic: Where the fact was read.
        partition: Of that topic.
        offset: Of that partition.
        what: What `body` is: ``entry``, ``event`` (an alarm event) or ``registry`` (a binding, enrolment or limit).
        body: The fact.
    """

    seq: int
    prev: str
    topic: str
    partition: int
    offset: int
    what: str
    body: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain does not hold.

    Attributes:
        line: Number of the first line that does not fit, from 1.
        why: In words.
    """

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking a chain.

    Attributes:
        lines: That hold.
        head: Hash of the last of them; `FIRST` of an empty chain.
        broken: The first that does not; None where all do.
    """

    lines: int
    head: str
    broken: Broken | None = None


entry_encoder: Final = msgspec.json.Encoder(order="deterministic")
entry_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)
_line_encoder: Final = msgspec.json.Encoder()
_line_decoder: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)


def hash_of(line: bytes) -> str:
    """The hash of a line, without its newline."""
    return hashlib.sha256(line).hexdigest()


def encode(line: Line) -> bytes:
    """A line as it is written, without its newline."""
    return _line_encoder.encode(line)


def read(line: bytes) -> Line:
    """A line taken apart.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    return _line_decoder.decode(line)


def follow(lines: Iterable[bytes], checked: Checked | None = None) -> Iterator[tuple[Line, Checked]]:
    """The lines of a chain as far as it holds, each with what has been checked up to it.

    Ends after the first line that does not fit; that one's `Checked` names it, and it comes with the last good line.
    """
    at = checked or Checked(0, FIRST)
    for raw in lines:
        number = at.lines + 1
        try:
            line = read(raw)
        except msgspec.DecodeError:
            yield _nothing(), Checked(at.lines, at.head, Broken(number, "is no line of the chain"))
            return
        why = _why_not(line, at, number)
        if why:
            yield line, Checked(at.lines, at.head, Broken(number, why))
            return
        at = Checked(number, hash_of(raw))
        yield line, at


def check(lines: Iterable[bytes], head: str = "") -> Checked:
    """Whether a chain holds.

    Args:
        lines: All of them, without their newlines.
        head: A head that was noted elsewhere: the chain must have come by it.
    """
    at, seen = Checked(0, FIRST), not head or head == FIRST
    for _, at in follow(lines):
        seen = seen or at.head == head
    if at.broken is None and not seen:
        why = "no line has the head that was noted: lines were cut off the end, or all was written anew"
        return Checked(at.lines, at.head, Broken(at.lines + 1, why))
    return at


def _why_not(line: Line, before: Checked, number: int) -> str:
    if line.seq != number:
        return f"calls itself number {line.seq}"
    if line.prev != before.head:
        if number == 1:
            return "is said to be the first and names a line before it"
        return f"does not fit line {number - 1}: that one was changed, or one between them was taken out"
    return ""


def _nothing() -> Line:
    return Line(seq=0, prev="", topic="", partition=0, offset=0, what="", body=msgspec.Raw(b"null"))


def body_of(line: Line) -> dict[str, Any]:
    """A line's fact; empty where it is none (a record that could not be read)."""
    body = msgspec.json.decode(bytes(line.body))
    return body if isinstance(body, dict) else {}


def story(lines: Iterable[Line], alarm: str) -> Iterator[dict[str, Any]]:
    """What a chain tells of one alarm, in its order: events, refused commands, pages, receipts, answers.

    Args:
        lines: Of the chain.
        alarm: The alarm's id.
    """
    needle = alarm.encode()
    for line in lines:
        data = bytes(line.body)
        if needle not in data:
            continue
        body = body_of(line)
        if line.what == "event" and (body.get("alarm_id") == alarm or body.get("state", {}).get("alarm_id") == alarm):
            yield {**body, "line": line.seq, "fact": "event"}
        elif line.what == "entry" and alarm in body.get("alarms", ()):
            yield {**body, "line": line.seq, "fact": "entry"}


def circumstances(said: Iterable[Mapping[str, Any]], patient: str, rule: str, at_ns: int) -> dict[str, Any]:
    """What held for a patient at an instant, of what the registry said: enrolment, devices, a limit of their own.

    Args:
        said: Facts of the registry, in order.
        patient: Whose.
        rule: For whose limit.
        at_ns: When.

    Returns:
        ``enrolment`` and ``limit``: the newest said until then, None where there is none (a limit that was taken
        back is none); ``devices``: the bindings that held.
    """
    found: dict[str, Any] = {"enrolment": None, "limit": None, "devices": []}
    worn: dict[str, Mapping[str, Any]] = {}
    for body in said:
        match body.get("type"):
            case "binding" if body["from_ns"] <= at_ns:
                if body["patient"] == patient:
                    worn[body["device"]] = body
                else:
                    worn.pop(body["device"], None)
            case "enrolment" if body["patient"] == patient and body["at_ns"] <= at_ns:
                found["enrolment"] = body
            case "limit" if (body["patient"], body["rule"]) == (patient, rule) and body["at_ns"] <= at_ns:
                found["limit"] = None if body["threshold"] is None else body
    found["devices"] = [body for body in worn.values() if body.get("to_ns") is None or body["to_ns"] > at_ns]
    return found
