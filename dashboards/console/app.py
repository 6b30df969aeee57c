"""The console: what hosts feed and what browsers ask, tied together.

    console = Console(settings, history, send_command, clock)
    console.on_alarm(event, stamps, (partition, offset))
    uvicorn.Server(uvicorn.Config(console.app)) ...
    console.stop()

All methods are for the event loop that serves `console.app`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from fastapi import FastAPI

from dashboards.console.accounts import Account, AccountBook, Role, generate_password, hash_password
from dashboards.console.audit_book import AuditBook
from dashboards.console.auth import Bucket, Sessions, Throttle
from dashboards.console.health import Health
from dashboards.console.history import History
from dashboards.console.latency import HopTimes
from dashboards.console.people import People, Say, fresh_id
from dashboards.console.routes import build
from dashboards.console.session_book import SessionBook
from dashboards.console.settings import ConsoleSettings
from dashboards.console.state import ConsoleState, RegistryRecord
from dashboards.console.streams import Streams
from dashboards.console.views import Json, Rows, ms
from vitals import topics
from vitals.answers import Answer, Shown, Told
from vitals.audit import Entry
from vitals.duty import Board
from vitals.events import AlarmEvent, Frames
from vitals.log import Command

_UNSENT: Final = 10_000  # facts that wait for the audit topic


class Clock(Protocol):
    """Ward time.

    Attributes:
        speed: How many seconds of ward time pass in one of the wall.
    """

    @property
    def speed(self) -> float:
        """Seconds of ward time in one of the wall."""
        ...

    def now_ns(self) -> int:
        """Ward time now."""
        ...


SendCommand = Callable[[Command], Awaitable[None]]


class Console:
    """The page for the clinician on call.

    Args:
        settings: Where and how.
        history: What a store remembers.
        send_command: Writes a command into the input log; returns when it is acknowledged there.
        clock: Ward time.
        say: Writes to the pager; None: this ward has none.
        now_s: The wall, for sessions.
        monotonic_s: A clock that only rises, for throttle and silence.

    Attributes:
        app: What serves it: ``uvicorn.Config(console.app, ...)``.
        state: What is shown.
        accounts: Who may sign in.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        history: History,
        send_command: SendCommand,
        clock: Clock,
        *,
        say: Say | None = None,
        now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.history = history
        self.send_command = send_command
        self.clock = clock
        self.monotonic_s = monotonic_s
        self.accounts = AccountBook(file=settings.accounts_file)
        book = SessionBook(settings.sessions_file, now_s)
        self.sessions = Sessions(settings.secret, settings.session_s, self.accounts, now_s, book)
        self.throttle = Throttle(monotonic_s)
        self.links = Bucket(monotonic_s)
        self.people = People(say, settings.command_timeout_s)
        self.audit = AuditBook()
        self.outbox: asyncio.Queue[Entry] = asyncio.Queue(_UNSENT)
        self.unrecorded = 0
        self.state = ConsoleState(settings.window_h)
        self.rows = Rows(settings.directory, settings.spark_h, settings.spark_bins)
        self.hop_times = HopTimes(clock.now_ns(), clock.speed)
        self.health = Health(settings.tick_silence_s, settings.health_silence_s, monotonic_s())
        self.streams = Streams(settings, self.state, self.rows, self.beat, self._pushed, self._greeting)
        self.app: FastAPI = build(self)

    def make_account(self, name: str, role: Role = Role.CLINICIAN) -> str:
        """Let somebody in for as long as this process lives.

        Returns:
            The password that was made for them, for the terminal; it is kept nowhere.
        """
        password = generate_password()
        self.accounts.add(Account(name, role, hash_password(password)))
        return password

    def on_alarm(self, event: AlarmEvent, stamps: Mapping[str, int], position: tuple[int, int]) -> None:
        """An alarm event was read.

        Args:
            event: The event. One that was seen before changes nothing.
            stamps: Its hop stamps by `vitals.hops.Stamp`, from the record's header.
            position: Partition and offset of its record.
        """
        if not self.state.on_alarm(event, position):
            return
        live = self.hop_times.on_event(event.event_id, stamps, self.clock.now_ns())
        if event.command_id:
            self.streams.answer(event.by, _answer(event))
        if event.patient == topics.OWN:
            self.streams.own()
        elif event.patient in self.state.patients:
            self.streams.changed([event.patient], {"id": event.event_id, "patient": event.patient} if live else None)

    def on_frames(self, frames: Frames) -> None:
        """Frames closed."""
        self.on_tick(frames.closed_by_ns)
        self.health.on_frames(frames.end_ns)
        self.streams.changed(self.state.on_frames(frames))

    def on_registry(self, record: RegistryRecord) -> None:
        """A binding, an enrolment or a limit was said."""
        changed = self.state.on_registry(record)
        if changed is not None:
            self.streams.changed([changed])

    def on_board(self, board: Board) -> None:
        """The pager says how duty stands."""
        self.people.on_board(board, self.monotonic_s())
        self.streams.say("duty", self._duty())

    def on_answer(self, said: Answer) -> None:
        """Something was said between page and pager: its answers and its messages for one person are taken."""
        if isinstance(said, Told):
            self.people.on_told(said)
        elif isinstance(said, Shown) and self.people.on_shown(said):
            self.streams.say("notices", self.people.notices(said.person), said.person)

    def on_audit(self, entry: Entry) -> None:
        """A fact of the audit was read."""
        self.audit.add(entry)

    def record(self, what: str, person: str = "", text: str = "", alarms: tuple[str, ...] = (), name: str = "") -> None:
        """Write down for the audit what somebody did here; whoever hosts the page empties `outbox` into its topic.

        Where nobody has emptied it for very long, what does not fit is counted, and every page says so.
        """
        at_ns = self.clock.now_ns()
        made = f"console:{name or fresh_id()}:{what}"
        entry = Entry(entry_id=made, at_ns=at_ns, part="console", what=what, person=person, alarms=alarms, text=text)
        try:
            self.outbox.put_nowait(entry)
        except asyncio.QueueFull:
            self.unrecorded += 1

    def on_health(self, told: Mapping[str, Any]) -> None:
        """A part speaks of itself: ``{"part", "status": "ok|slow|down", "text", "at_ns"}``.

        Also taken where they are there: ``tick_ns``, the newest tick it knows, and ``hops``, its hop times (hop name ->
        `vitals.hops.Histogram.to_bytes` in hex, in ward time).
        """
        hops = told.get("hops")
        if isinstance(hops, dict):
            self.hop_times.on_part(str(told.get("part", "")), hops)
        at_ns = told.get("at_ns")
        now_ns = self.clock.now_ns()
        age_s = (now_ns - at_ns) / 1e9 / self.clock.speed if isinstance(at_ns, int) else 0.0
        if self.health.on_health(told, self.monotonic_s(), age_s):
            self.streams.beat()

    def on_tick(self, now_ns: int) -> None:
        """Ward time went on. Without it (or ``tick_ns`` in words of health) the page says that time stands still."""
        self.health.on_tick(now_ns, self.monotonic_s())

    def stop(self) -> None:
        """End all streams, so that the server can stop; pages say at once that they are not live."""
        self.streams.stop()

    def beat(self) -> Json:
        """What a heartbeat tells."""
        now_ns, speed = self.clock.now_ns(), self.clock.speed
        problems = self.health.problems(self.monotonic_s(), now_ns, speed)
        if self.unrecorded:
            text = f"{self.unrecorded} acts of people could not be written down for the audit."
            problems.append({"part": "audit", "status": "down", "text": text, "since": None})
        if self.accounts.wrong:
            text = f"The accounts cannot be read, those from before hold: {self.accounts.wrong}"
            problems.append({"part": "accounts", "status": "slow", "text": text, "since": None})
        return {"now": ms(now_ns), "speed": speed, "problems": problems}

    def _greeting(self) -> Json:
        return {"duty": self._duty(), "pager": self.people.say is not None}

    def _duty(self) -> Json:
        board = self.people.board
        return {"at": ms(board.at_ns) if board else None, "holders": self.people.holders()}

    def _pushed(self, event_id: str, page: str) -> None:
        self.hop_times.on_pushed(event_id, page, self.clock.now_ns())


def _answer(event: AlarmEvent) -> Json:
    """What a command came to."""
    refused = event.event == "command_refused"
    return {"command_id": event.command_id, "refused": refused, "event": event.event, "text": event.cause}
