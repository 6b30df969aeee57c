"""Who is there: people, teams, shifts, swaps, holidays, absences, in a zone whose hours summer time takes and gives.

A shift is said in local time and holds in instants: the night of the change to summer time is an hour shorter, the
night of the change back an hour longer, and a shift that ends when another begins does so on those nights too (both
ends are made by `instant`, so they can't drift apart). Nobody is asked twice what time it is: all questions here take
an instant, in nanoseconds UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from vitals.signs import HOUR_NS, SECOND_NS

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY: Final = "holiday"
DAY_NS: Final = 24 * HOUR_NS

Turn: TypeAlias = Literal["", "day", "week"]
_zone = lru_cache(maxsize=32)(ZoneInfo)


class Channel(msgspec.Struct, frozen=True):
    """A way to a person.

    Attributes:
        address: An Apprise address, ``file:NAME`` or ``console:``.
        outside: True where what is sent leaves the building; no name of a patient goes there.
    """

    address: str
    outside: bool = True


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be paged.

    Attributes:
        id: As the person signs in.
        channels: In the order they are tried.
    """

    id: str
    channels: tuple[Channel, ...] = ()


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """People who share patients.

    Attributes:
        id: Its name.
        members: All of them.
        leads: Who answers for it.
        lines: First, second, ...: each must be covered at all times.
    """

    id: str
    members: tuple[str, ...]
    leads: tuple[str, ...] = ()
    lines: tuple[str, ...] = ("first",)


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A shift that comes again.

    Attributes:
        team: Of the rota.
        line: Of the team.
        people: Who takes it; several take turns.
        days: ``mon`` .. ``sun`` and ``holiday``: the days it begins on. A holiday is no other day.
        from_minute: Of the day, local.
        to_minute: Of the day, local; at or below `from_minute` it is the next day's.
        turn: With several people: whose turn it is changes by the day or by the week, from `since`.
        since: First day.
        until: Last day; None: no end.
    """

    team: str
    line: str
    people: tuple[str, ...]
    from_minute: int
    to_minute: int
    since: dt.date
    days: tuple[str, ...] = (*DAYS, HOLIDAY)
    turn: Turn = "week"
    until: dt.date | None = None


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a line of a team from an instant to an instant."""

    team: str
    line: str
    person: str
    from_ns: int
    to_ns: int


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One person stands in for another.

    Attributes:
        out: Who does not come.
        into: Who does; "" nobody: the person is away, and their duties are gaps unless somebody is swapped in.
        from_ns: First instant.
        to_ns: First instant after it.
        team: Only in this team; "" in all.
        line: Only in this line; "" in all.
    """

    out: str
    into: str
    from_ns: int
    to_ns: int
    team: str = ""
    line: str = ""


class Place(msgspec.Struct, frozen=True):
    """Where a patient is: the bed as a page may say it, and the team; "" where it is not said."""

    bed: str = ""
    team: str = ""


class Rota(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody, and when.

    Attributes:
        zone: Of its local times (IANA name).
        people: By id; at least one.
        teams: By id; at least one. The first is the one for whatever has no other.
        shifts: That come again.
        duties: Single ones: from calendars.
        swaps: And absences; the later in the file wins.
        holidays: Days that are no ordinary day.
        places: By patient.
    """

    zone: str
    people: dict[str, Person]
    teams: dict[str, Team]
    shifts: tuple[Shift, ...] = ()
    duties: tuple[Duty, ...] = ()
    swaps: tuple[Swap, ...] = ()
    holidays: frozenset[dt.date] = frozenset()
    places: dict[str, Place] = {}

    def team_of(self, patient: str) -> Team:
        """The team that watches a patient."""
        place = self.places.get(patient)
        if place is not None and place.team in self.teams:
            return self.teams[place.team]
        return next(iter(self.teams.values()))


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which nobody is in a line."""

    team: str
    line: str
    from_ns: int
    to_ns: int


def instant(zone: str, day: dt.date, minute: int) -> int:
    """A local time as an instant.

    A time that summer time skips (02:30 in spring) is the instant at which the clock would have come there, 03:30; a
    time that comes twice (02:30 in autumn) is its first.
    """
    local = dt.datetime.combine(day, dt.time(minute // 60, minute % 60), tzinfo=_zone(zone))
    return round(local.timestamp()) * SECOND_NS


def local(zone: str, at_ns: int) -> dt.datetime:
    """An instant as local time, whole seconds."""
    return dt.datetime.fromtimestamp(at_ns // SECOND_NS, tz=_zone(zone))


def next_minute(zone: str, after_ns: int, minute: int) -> int:
    """The first instant after another at which it is some minute of the day."""
    day = local(zone, after_ns).date()
    candidates = (instant(zone, day + dt.timedelta(days=n), minute) for n in (-1, 0, 1, 2))
    return next(at for at in candidates if at > after_ns)


def duties(rota: Rota, from_ns: int, to_ns: int) -> tuple[Duty, ...]:
    """Who is where between two instants, swaps and absences applied; in order of time. Pieces reach over the ends."""
    found = [*(d for d in rota.duties if d.from_ns < to_ns and d.to_ns > from_ns)]
    first = local(rota.zone, from_ns).date() - dt.timedelta(days=2)
    last = local(rota.zone, to_ns).date() + dt.timedelta(days=1)
    for shift in rota.shifts:
        for day in _days(max(first, shift.since), last if shift.until is None else min(last, shift.until)):
            duty = _duty(rota, shift, day)
            if duty is not None and duty.from_ns < to_ns and duty.to_ns > from_ns:
                found.append(duty)
    for swap in rota.swaps:
        found = [piece for duty in found for piece in _swapped(duty, swap)]
    return tuple(sorted(found, key=lambda d: (d.from_ns, d.to_ns, d.team, d.line, d.person)))


def on_call(rota: Rota, team: str, line: str, at_ns: int) -> tuple[str, ...]:
    """Who is in a line of a team at an instant."""
    there = (
        d.person
        for d in duties(rota, at_ns, at_ns + 1)
        if d.team == team and d.line == line and d.from_ns <= at_ns < d.to_ns and d.person in rota.people
    )
    return tuple(dict.fromkeys(there))


def gaps(rota: Rota, from_ns: int, to_ns: int) -> tuple[Gap, ...]:
    """When nobody is in a line, between two instants."""
    all_duties = duties(rota, from_ns, to_ns)
    out: list[Gap] = []
    for team in rota.teams.values():
        for line in team.lines:
            mine = (d for d in all_duties if d.team == team.id and d.line == line and d.person in rota.people)
            out += (Gap(team=team.id, line=line, from_ns=a, to_ns=b) for a, b in _uncovered(mine, from_ns, to_ns))
    return tuple(out)


def without_channel(rota: Rota, broken: frozenset[str], from_ns: int, to_ns: int) -> tuple[Duty, ...]:
    """Duties of people who can't be paged: no channel, or none that works."""
    return tuple(
        d
        for d in duties(rota, from_ns, to_ns)
        if d.person not in rota.people or not rota.people[d.person].channels or d.person in broken
    )


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    while first <= last:
        yield first
        first += dt.timedelta(days=1)


def _duty(rota: Rota, shift: Shift, day: dt.date) -> Duty | None:
    """The occurrence of a shift that begins on a day; None where it does not."""
    kind = HOLIDAY if day in rota.holidays else DAYS[day.weekday()]
    if kind not in shift.days or not shift.people:
        return None
    end = day if shift.to_minute > shift.from_minute else day + dt.timedelta(days=1)
    from_ns, to_ns = instant(rota.zone, day, shift.from_minute), instant(rota.zone, end, shift.to_minute)
    if to_ns <= from_ns:  # the whole shift lies in the hour that summer time takes
        return None
    person = shift.people[_turn(shift, day) % len(shift.people)]
    return Duty(team=shift.team, line=shift.line, person=person, from_ns=from_ns, to_ns=to_ns)


def _turn(shift: Shift, day: dt.date) -> int:
    days = (day - shift.since).days
    match shift.turn:
        case "day":
            return days
        case "week":  # weeks change with the calendar's Monday, whatever day `since` was
            return (days + shift.since.weekday()) // 7
        case _:
            return 0


def _swapped(duty: Duty, swap: Swap) -> Iterator[Duty]:
    """A duty in pieces: before, during and after a swap that concerns it."""
    a, b = max(duty.from_ns, swap.from_ns), min(duty.to_ns, swap.to_ns)
    concerned = duty.person == swap.out and swap.team in ("", duty.team) and swap.line in ("", duty.line)
    if not concerned or a >= b:
        yield duty
        return
    replace = msgspec.structs.replace
    if duty.from_ns < a:
        yield replace(duty, to_ns=a)
    if swap.into:
        yield replace(duty, person=swap.into, from_ns=a, to_ns=b)
    if b < duty.to_ns:
        yield replace(duty, from_ns=b)


def _uncovered(duties_of_line: Iterable[Duty], from_ns: int, to_ns: int) -> Iterator[tuple[int, int]]:
    at = from_ns
    for duty in sorted(duties_of_line, key=lambda d: d.from_ns):
        if duty.from_ns > at:
            yield at, min(duty.from_ns, to_ns)
        at = max(at, duty.to_ns)
        if at >= to_ns:
            return
    if at < to_ns:
        yield at, to_ns
