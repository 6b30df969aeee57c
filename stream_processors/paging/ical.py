"""Duties from a calendar: each event says who is on call from when to when. Pure: the bytes come from the shell."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final
from zoneinfo import ZoneInfo

from stream_processors.paging.rota import Duty, Rota
from stream_processors.paging.rota_file import CalendarSource
from vitals.signs import SECOND_NS

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class CalendarError(ValueError):
    """A calendar that cannot be read; the last good one holds."""


def calendar_duties(
    data: bytes, source: CalendarSource, rota: Rota, from_ns: int, to_ns: int
) -> tuple[tuple[Duty, ...], tuple[str, ...]]:
    """What a calendar says about a line between two instants.

    An event is somebody's duty where a word of its title is the id of a person of the rota, or an attendee's address
    begins with one. Recurrences, exceptions to them and moved occurrences are followed; cancelled events do not count.
    Days without a time begin and end at midnight of the rota's zone; times without a zone are the rota's.

    Args:
        data: The calendar (RFC 5545).
        source: Which line it is about.
        rota: Whose people and zone.
        from_ns: Start of the time asked about.
        to_ns: End of it.

    Returns:
        The duties, and a sentence for each event that is nobody's.

    Raises:
        CalendarError: If the bytes are no calendar.
    """
    # Here, for they take half a second, and a site without calendars need not wait for them.
    import recurring_ical_events  # type: ignore[import-untyped]  # noqa: PLC0415
    from icalendar import Calendar  # noqa: PLC0415

    zone = ZoneInfo(rota.zone)
    try:
        calendar = Calendar.from_ical(data)
        events = recurring_ical_events.of(calendar).between(_time(from_ns, zone), _time(to_ns, zone))
    except Exception as error:  # the libraries raise what they like on what is no calendar
        raise CalendarError(f"not a calendar that can be read: {type(error).__name__}: {error}") from error
    people = {name.lower(): name for name in rota.people}
    duties: list[Duty] = []
    strangers: list[str] = []
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        begin, end = _instant(event.start, zone), _instant(event.end, zone)
        person = _person(event, people)
        if person is None:
            when = _time(begin, zone).strftime("%Y-%m-%d %H:%M")
            strangers.append(f"the event of {when} names nobody of the rota; write a person's id in its title")
        elif end > begin:
            duties.append(Duty(team=source.team, line=source.line, person=person, from_ns=begin, to_ns=end))
    return tuple(sorted(duties, key=lambda d: (d.from_ns, d.person))), tuple(strangers)


def _time(at_ns: int, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ns // SECOND_NS, tz=zone)


def _instant(at: dt.date | dt.datetime, zone: ZoneInfo) -> int:
    if not isinstance(at, dt.datetime):
        at = dt.datetime.combine(at, dt.time())
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    return round(at.timestamp()) * SECOND_NS


def _person(event: Any, people: dict[str, str]) -> str | None:
    """The first person an event names: in its title, else among its attendees."""
    for found in _WORD.findall(str(event.get("SUMMARY", ""))):
        if found.lower() in people:
            return people[found.lower()]
    attendees = event.get("ATTENDEE", [])
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        local_part = str(attendee).lower().removeprefix("mailto:").partition("@")[0]
        if local_part in people:
            return people[local_part]
    return None
