"""The streams to the pages: first a full picture, then small changes, a heartbeat all the while.

Server-sent events, one JSON object each:

- ``picture``: everything; what came before is forgotten.
- ``change``: patients that changed (only the keys that did), the order if it did, answers to this person's commands,
  and the alarm events that are new (``fresh``: the page reports when it has drawn them).
- ``beat``: every two seconds of the wall: ward time, its speed, and what does not work.
- ``bye``: the console stops; the page says so at once instead of waiting for silence.

Changes of one stream are at least `coalesce_s` apart; what happens between is put together. An alarm does not wait for
that, only a tenth of it, so that a storm of alarms is put together too. A page that reads slowly gets fewer and larger
changes, never a queue that grows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from dashboards.console.settings import ConsoleSettings
from dashboards.console.state import ConsoleState
from dashboards.console.views import Json, Rows, difference, normal_ranges

_URGENT: Final = 0.1
"""Share of the pause between two changes that an alarm waits for."""

_encoder: Final = msgspec.json.Encoder()


def sse(event: str, data: Json) -> bytes:
    """One server-sent event. JSON has no bare line break, so it is one ``data`` line."""
    return b"event: " + event.encode() + b"\ndata: " + _encoder.encode(data) + b"\n\n"


@dataclass(slots=True, eq=False)
class _Stream:
    person: str
    page: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    alarm: asyncio.Event = field(default_factory=asyncio.Event)
    dirty: set[str] = field(default_factory=set)
    answers: list[Json] = field(default_factory=list)
    fresh: list[Json] = field(default_factory=list)
    sent: dict[str, Json] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    own: bool = False
    beat_now: bool = False


class Streams:
    """All open streams. Everything here runs on the event loop that serves the page.

    Args:
        settings: Heartbeat, coalescing.
        state: What is shown.
        rows: How it is shown.
        beat: Makes the heartbeat's content.
        on_pushed: Told when an event has been handed to a page: event id, page.
        greeting: More that the first picture tells.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        state: ConsoleState,
        rows: Rows,
        beat: Callable[[], Json],
        on_pushed: Callable[[str, str], None],
        greeting: Callable[[], Json] = dict,
    ) -> None:
        self._settings = settings
        self._state = state
        self._rows = rows
        self._beat = beat
        self._on_pushed = on_pushed
        self._greeting = greeting
        self._open: set[_Stream] = set()
        self._stopped = False

    @property
    def full(self) -> bool:
        """Whether no further stream may open."""
        return len(self._open) >= self._settings.max_streams

    @property
    def stopped(self) -> bool:
        """Whether the console is stopping."""
        return self._stopped

    def changed(self, patients: Iterable[str], fresh: Json | None = None) -> None:
        """Patients' pictures changed; `fresh` is a live alarm event to be reported when drawn."""
        names = list(patients)
        for stream in self._open:
            stream.dirty.update(names)
            if fresh:
                stream.fresh.append(fresh)
                stream.alarm.set()
            stream.wake.set()

    def own(self) -> None:
        """An alarm about ourselves changed."""
        for stream in self._open:
            stream.own = True
            stream.wake.set()

    def say(self, key: str, what: Any, person: str = "") -> None:
        """Something for all pages, or for all pages of one person; the newest word under a key counts."""
        for stream in self._open:
            if not person or stream.person == person:
                stream.more[key] = what
                stream.wake.set()

    def answer(self, person: str, answer: Json) -> None:
        """A command of somebody was answered: told on all pages of that person."""
        for stream in self._open:
            if stream.person == person:
                stream.answers.append(answer)
                stream.wake.set()

    def beat(self) -> None:
        """What the heartbeat tells has changed: do not wait for the next."""
        for stream in self._open:
            stream.beat_now = True
            stream.wake.set()

    def stop(self) -> None:
        """End every stream, and every one that is asked for later."""
        self._stopped = True
        for stream in self._open:
            stream.wake.set()

    async def follow(self, person: str, page: str, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        """A stream for one page.

        Args:
            person: Who is signed in.
            page: Names this page, for the report of what was drawn.
            still: Whether the sign-in still holds; asked at every heartbeat.
        """
        stream = _Stream(person, page)
        self._open.add(stream)
        try:
            yield sse("picture", self._picture(stream))
            beat_at = changed_at = time.monotonic()
            while True:
                await _woken(stream.wake, beat_at + self._settings.heartbeat_s)
                if self._stopped:
                    break
                if stream.dirty or stream.answers or stream.fresh or stream.more or stream.own:
                    coalesce_s = self._settings.coalesce_s
                    await _woken(stream.alarm, changed_at + coalesce_s)
                    await asyncio.sleep(changed_at + _URGENT * coalesce_s - time.monotonic())
                    changed_at = time.monotonic()
                    fresh, change = stream.fresh, self._change(stream)
                    yield change
                    for event in fresh:  # we are here again: the server has taken the bytes
                        self._on_pushed(event["id"], stream.page)
                if stream.beat_now or time.monotonic() >= beat_at + self._settings.heartbeat_s:
                    stream.beat_now = False
                    beat_at = time.monotonic()
                    if not still():
                        return
                    yield sse("beat", self._beat())
            yield sse("bye", {})
        finally:
            self._open.discard(stream)

    def _picture(self, stream: _Stream) -> Json:
        stream.order = self._state.order()
        stream.sent = {name: self._rows.row(view) for name, view in self._state.patients.items()}
        patients = list(stream.sent.values())
        settings = self._settings
        told: Json = {"page": stream.page, "title": settings.title, "volatile": settings.volatile}
        told |= {"silence_s": settings.silence_s, "normal": normal_ranges()}
        told |= {"patients": patients, "order": stream.order, "own": self._rows.own(self._state.own)}
        return told | self._greeting() | self._beat()

    def _change(self, stream: _Stream) -> bytes:
        stream.wake.clear()
        patients = []
        for name in stream.dirty:
            row, before = self._rows.row(self._state.patients[name]), stream.sent.get(name)
            change = row if before is None else difference(before, row)
            if change:
                patients.append({**change, "id": name})
            stream.sent[name] = row
        told: Json = {"patients": patients} | {"answers": stream.answers, "fresh": stream.fresh}
        told = {key: value for key, value in told.items() if value} | stream.more
        if stream.own:
            told["own"] = self._rows.own(self._state.own)
        order = self._state.order()
        if order != stream.order:
            told["order"] = stream.order = order
        stream.dirty, stream.answers, stream.fresh = set(), [], []
        stream.alarm.clear()
        stream.more, stream.own = {}, False
        return sse("change", told)


async def _woken(event: asyncio.Event, until: float) -> None:
    """Wait for the event or the time, whichever is first."""
    try:
        async with asyncio.timeout(until - time.monotonic()):
            await event.wait()
        event.clear()
    except TimeoutError:
        pass
