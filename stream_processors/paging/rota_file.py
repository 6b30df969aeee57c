"""Reads a rota as a site writes it. Every complaint names file and line and says what to write.

```yaml
zone: Europe/Berlin
people:
  wren: {channels: ["ntfys://example.org/wren"]}
teams:
  ward: {members: [wren], lines: [first]}
shifts:
  - {team: ward, line: first, people: [wren], from: "07:00", to: "07:00", since: 2026-01-05}
```
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from yaml.nodes import MappingNode, Node, ScalarNode

from stream_processors.paging.rota import DAYS, HOLIDAY, Channel, Person, Place, Rota, Shift, Swap, Team, Turn, instant
from transport.yaml_lines import Complaints, Table, compose, minute_of_day, word
from vitals.topics import PATIENT_ID

_TURNS: Final[Mapping[str, Turn]] = {"day": "day", "week": "week"}


@dataclass(frozen=True, slots=True)
class CalendarSource:
    """A calendar that says who is in a line.

    Attributes:
        address: ``https:``, ``webcal:`` or a file's path.
        team: Of the rota.
        line: Of the team.
    """

    address: str
    team: str
    line: str


@dataclass(frozen=True, slots=True)
class RotaFile:
    """What stands in the file.

    Attributes:
        rota: Without the duties of its calendars.
        calendars: Where those are.
    """

    rota: Rota
    calendars: tuple[CalendarSource, ...]


def read_rota(text: str, file: str) -> RotaFile:
    """A site's rota.

    Raises:
        FileError: With a line for everything that is wrong.
    """
    complaints = Complaints(file)
    root = Table(compose(text, complaints, "`zone:`"), "the file", complaints)
    zone = root.need("zone", _zone, "UTC")
    people = {name: _person(name, node, complaints) for name, node in root.pairs("people")}
    if not people:
        complaints.add(root.node_of("people"), "there are no people; add `people:` with at least one")
    teams = {name: _team(name, node, people, complaints) for name, node in root.pairs("teams")}
    if not teams:
        complaints.add(root.node_of("teams"), "there are no teams; add `teams:` with at least one")
    shifts = tuple(_shift(node, people, teams, complaints) for node in root.items("shifts"))
    swaps = [_swap(node, zone, people, complaints) for node in root.items("away")]
    swaps = [*(_swap(node, zone, people, complaints) for node in root.items("swaps")), *swaps]
    holidays = frozenset(root.each("holidays", _date))
    places = {name: _place(name, node, teams, complaints) for name, node in root.pairs("patients")}
    calendars = tuple(_calendar(node, teams, complaints) for node in root.items("calendars"))
    root.finish()
    complaints.raise_if_any()
    rota = Rota(
        zone=zone,
        people=people,
        teams=teams,
        shifts=shifts,
        swaps=tuple(swaps),
        holidays=holidays,
        places=places,
    )
    return RotaFile(rota, calendars)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:  # unknown, malformed, or a folder of the database
        raise ValueError("write a zone like Europe/Berlin") from error
    return text


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("write a date like 2026-12-25") from error


def _person(name: str, node: Node, complaints: Complaints) -> Person:
    table = Table(node, f"person {name!r}", complaints)
    if not PATIENT_ID.fullmatch(name):
        complaints.add(node, f"{name!r} is no id; write letters, digits, dot, dash and underscore")
    channels = tuple(_channel(item, table, complaints) for item in table.items("channels"))
    table.finish()
    return Person(id=name, channels=channels)


def _channel(node: Node, person: Table, complaints: Complaints) -> Channel:
    if isinstance(node, ScalarNode):
        return Channel(_address(node, str(node.value), person, complaints))
    table = Table(node, f"a channel of {person.what}", complaints)
    address = table.need("address", str, "console:")
    outside = table.read("outside", word(("true", "false")), "true") == "true"
    table.finish()
    return Channel(_address(node, address, person, complaints), outside)


def _address(node: Node, address: str, person: Table, complaints: Complaints) -> str:
    if ":" not in address:
        complaints.add(
            node,
            f"a channel of {person.what} is no address; write one like `ntfys://host/topic`, `file:NAME`, `console:`",
        )
    return address


def _team(name: str, node: Node, people: Mapping[str, Person], complaints: Complaints) -> Team:
    table = Table(node, f"team {name!r}", complaints)
    team = Team(
        id=name,
        members=table.each("members", _known(people, "a person")),
        leads=table.each("leads", _known(people, "a person")),
        lines=table.each("lines", str) or ("first",),
    )
    if not table.items("members"):
        complaints.add(node, f"team {name!r} has no members; add `members: [...]`")
    table.finish()
    return team


def _shift(node: Node, people: Mapping[str, Person], teams: Mapping[str, Team], complaints: Complaints) -> Shift:
    table = Table(node, "a shift", complaints)
    team = table.need("team", _known(teams, "a team"), "")
    lines = teams[team].lines if team in teams else ()
    shift = Shift(
        team=team,
        line=table.need("line", _known(dict.fromkeys(lines), "a line of the team") if lines else str, ""),
        people=table.each("people", _known(people, "a person")),
        from_minute=table.need("from", minute_of_day, 0),
        to_minute=table.need("to", minute_of_day, 0),
        since=table.need("since", _date, dt.date.min),
        until=table.read("until", _date, None),
        days=table.each("days", word((*DAYS, HOLIDAY))) or (*DAYS, HOLIDAY),
        turn=_TURNS[table.read("turn", word(tuple(_TURNS)), "week")],
    )
    if not table.items("people"):
        complaints.add(node, "a shift has nobody; add `people: [...]`")
    if shift.until is not None and shift.until < shift.since:
        complaints.add(table.node_of("until"), "a shift ends before it begins; mend `since` or `until`")
    table.finish()
    return shift


def _swap(node: Node, zone: str, people: Mapping[str, Person], complaints: Complaints) -> Swap:
    """``{out, in, from, to}``, or an absence: ``{person, from, to}``."""
    away = isinstance(node, MappingNode) and any(key.value == "person" for key, _ in node.value)
    table = Table(node, "an absence" if away else "a swap", complaints)

    def at(text: str) -> int:
        try:
            local = dt.datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError("write a local time like 2026-02-01 07:00") from error
        return instant(zone, local.date(), local.hour * 60 + local.minute)

    swap = Swap(
        out=table.need("person" if away else "out", _known(people, "a person"), ""),
        into="" if away else table.need("in", _known(people, "a person"), ""),
        from_ns=table.need("from", at, 0),
        to_ns=table.need("to", at, 1),
    )
    if swap.to_ns <= swap.from_ns:
        complaints.add(table.node_of("to"), f"{table.what} ends before it begins; mend `from` or `to`")
    table.finish()
    return swap


def _place(name: str, node: Node, teams: Mapping[str, Team], complaints: Complaints) -> Place:
    table = Table(node, f"patient {name!r}", complaints)
    place = Place(bed=table.read("bed", str, ""), team=table.read("team", _known(teams, "a team"), ""))
    table.finish()
    return place


def _calendar(node: Node, teams: Mapping[str, Team], complaints: Complaints) -> CalendarSource:
    table = Table(node, "a calendar", complaints)
    team = table.need("team", _known(teams, "a team"), "")
    lines = teams[team].lines if team in teams else ()
    source = CalendarSource(
        address=table.need("address", str, ""),
        team=team,
        line=table.need("line", _known(dict.fromkeys(lines), "a line of the team") if lines else str, ""),
    )
    table.finish()
    return source


class _known:  # noqa: N801  # reads as the parser it is: `_known(people, "a person")`
    """Parses a name that must be known."""

    def __init__(self, names: Iterable[str], what: str) -> None:
        self._names = tuple(names)
        self._what = what

    def __call__(self, text: str) -> str:
        if text not in self._names:
            raise ValueError(f"write {self._what}: {', '.join(self._names) or 'there is none yet'}")
        return text
