"""Calendars of the rota: read again and again. While one can't be read the last good one holds, an alarm says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stream_processors.paging import own
from stream_processors.paging.ical import CalendarError, calendar_duties
from stream_processors.paging.outside import Unreachable
from stream_processors.paging.rota import Duty, Rota
from stream_processors.paging.rota_file import CalendarSource
from stream_processors.paging.state import Found
from vitals.signs import HOUR_NS

_DAY_NS = 24 * HOUR_NS


class Calendars:
    """What the calendars said last.

    Attributes:
        sources: Where they are.
    """

    def __init__(self, sources: tuple[CalendarSource, ...], fetch: Callable[[str], bytes]) -> None:
        self.sources = sources
        self._fetch = fetch
        self._duties: dict[CalendarSource, tuple[Duty, ...]] = {}
        self._ok_ns: dict[CalendarSource, int] = {}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Of all that could be read."""
        return tuple(duty for source in self.sources for duty in self._duties.get(source, ()))

    async def read(
        self, rota: Rota, now_ns: int, look_ahead_ns: int, found: Callable[[Found], None]
    ) -> tuple[str, ...]:
        """Read them all.

        Args:
            rota: Whose people their events name.
            now_ns: Ward time.
            look_ahead_ns: How far.
            found: Told of each calendar that can't be read, and of each that can again.

        Returns:
            What stood in them and is nobody's, in words.
        """
        strangers: list[str] = []
        for number, source in enumerate(self.sources, 1):
            about = f"calendar-{number}"
            try:
                data = await asyncio.to_thread(self._fetch, source.address)
                until_ns = now_ns + look_ahead_ns + _DAY_NS
                duties, nobodys = calendar_duties(data, source, rota, now_ns - _DAY_NS, until_ns)
            except (Unreachable, CalendarError) as error:
                since_ns = self._ok_ns.setdefault(source, now_ns)
                level = 2 if now_ns - since_ns >= _DAY_NS or source not in self._duties else 1
                found(Found(rule=own.CALENDAR, about=about, cause=f"calendar {number}: {error}", level=level))
                continue
            self._duties[source] = duties
            self._ok_ns[source] = now_ns
            found(Found(rule=own.CALENDAR, about=about))
            strangers += nobodys
        return tuple(strangers)
