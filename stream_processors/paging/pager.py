"""The pager's host: its own reader of the alarm topic, a clock, channels. Decides nothing; `engine` does.

Five loops under one roof, none of which waits for another:

```
read   alarm topic -> engine           call   due steps and messages -> channels
pass   commands -> ward, own events    watch  shifts, tests, hand-overs, calendars
audit  the topic once more, alone      beat   an address outside, while all the others come round
```
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from stream_processors.paging import own, watch
from stream_processors.paging.auditor import attended, audit
from stream_processors.paging.channels import ChannelFailed, Channels, Outgoing
from stream_processors.paging.engine import Engine, LinkDone
from stream_processors.paging.ical import CalendarError, calendar_duties
from stream_processors.paging.links import PAGE_ACTIONS, LinkRefused, Links
from stream_processors.paging.outside import Unreachable, fetch
from stream_processors.paging.rota import Duty
from stream_processors.paging.rota_file import CalendarSource
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Found, Send
from stream_processors.paging.store import PagerStore, Queued
from stream_processors.paging.text import Setting, without_names, words
from stream_processors.paging.turn import Plan, replace
from stream_processors.paging.waiting import Clock, until
from stream_processors.paging.watch import WardView, WatchState
from transport.kafka import KafkaError, Record, TopicReader
from vitals import topics
from vitals.alarm_fold import Fold
from vitals.events import AlarmEvent, event_decoder
from vitals.log import Command
from vitals.signs import HOUR_NS

log = logging.getLogger(__name__)

_TOPIC: Final = topics.ALARMS.name
_DAY_NS: Final = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pager is given.

    Attributes:
        channels: Ways to people.
        clock: Ward time.
        order: Writes a command into the input topic; returns when Kafka has it.
        publish: Writes an event of an own alarm for others to show; None: nobody wants them.
        view: How many patients are watched; None where nobody knows.
        names: Names of patients, kept out of what leaves the building.
        fetch: Reads an address; may block.
    """

    channels: Channels
    clock: Clock
    order: Callable[[Command], Awaitable[None]]
    publish: Callable[[AlarmEvent], Awaitable[None]] | None = None
    view: Callable[[], WardView | None] = lambda: None
    names: Callable[[], Collection[str]] = lambda: ()
    fetch: Callable[[str], bytes] = fetch


class Pager:
    """Brings alarms to people. ``await pager.run()`` until cancelled."""

    def __init__(
        self,
        settings: PagerSettings,
        plan: Plan,
        store: PagerStore,
        surroundings: Surroundings,
        *,
        links: Links | None = None,
        calendars: tuple[CalendarSource, ...] = (),
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._calendars = calendars
        self._from_calendars: dict[CalendarSource, tuple[Duty, ...]] = {}
        self._calendar_ok_ns: dict[CalendarSource, int] = {}
        self._around = surroundings
        self._clock = surroundings.clock
        kept = store.kept("watch")
        self._watch = WatchState() if kept is None else msgspec.json.decode(kept, type=WatchState)
        self.engine = Engine(self._effective(), store, links, delivery=settings.delivery)
        self._wake = asyncio.Event()
        self._pass = asyncio.Event()
        self._busy: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._came_round: dict[str, float] = {}

    async def run(self) -> None:
        """Run until cancelled. What is under way then is in doubt, and is sent again under its id."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (self._read, self._call, self._pass_on, self._look_around, self._audit, self._beat):
                    group.create_task(loop())
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    def change_plan(self, plan: Plan, calendars: tuple[CalendarSource, ...] = ()) -> None:
        """A new rota or new policies hold from now on."""
        self._plan, self._calendars = plan, calendars
        self.engine.plan = self._effective()
        self._stir()

    # What people do.

    def open_link(self, token: str, person: str | None = None) -> Send | LinkRefused:
        """A link was opened (an HTTP GET): changes nothing but the receipt."""
        return self.engine.open_link(token, self._clock.now_ns(), person)

    def use_link(
        self, token: str, *, person: str | None = None, until_ns: int | None = None, reason: str = ""
    ) -> LinkDone | LinkRefused:
        """Do what a link says, once (an HTTP POST).

        Args:
            token: Of the link.
            person: Who is signed in there; None: nobody.
            until_ns: For a snooze.
            reason: For a snooze.
        """
        now_ns = self._clock.now_ns()
        done = self.engine.use_link(token, now_ns, person=person, until_ns=until_ns, reason=reason)
        if isinstance(done, LinkDone) and done.action == "confirm":
            self._keep_watch(watch.confirmed(self._watch, done.send.message_id, now_ns))
        self._stir()
        return done

    def found(self, found: Found) -> None:
        """Another watcher found something (no tick, a device's gateway): it pages as the pager's own alarms do."""
        self.engine.apply(found, self._clock.now_ns())
        self._stir()

    # Reading.

    async def _read(self) -> None:
        while True:
            try:
                async with TopicReader(
                    self._settings.kafka, (_TOPIC,), offsets=self.engine.store.positions()
                ) as reader:
                    self._see()
                    await self._follow(reader)
            except (KafkaError, TimeoutError, OSError) as error:
                cause = f"the alarm topic cannot be read: {type(error).__name__}"
                self.found(Found(rule=own.BLIND, cause=cause))
            await self._clock.sleep_until(self._clock.now_ns() + self._settings.pass_pause_ns)

    def _see(self) -> None:
        blind = self.engine.state.own.get(own.BLIND)
        if blind is not None and blind.active and not blind.closed:
            self.found(Found(rule=own.BLIND))

    async def _follow(self, reader: TopicReader) -> None:
        end = await reader.end_offsets()
        while True:
            self._round("read")
            records = await reader.read(timeout_s=self._settings.kafka_wait_s / 2)
            if not records:
                # An unreachable broker is silent as a quiet ward is; this asks which of the two it is.
                async with asyncio.timeout(self._settings.kafka_wait_s):
                    await reader.end_offsets()
                self._see()
                continue
            positions = reader.positions
            more = any(positions[place] < offset for place, offset in end.items())
            events = [event for record in records if (event := self._event(record)) is not None]
            self.engine.take_events(events, self._clock.now_ns(), positions, more=more)
            self._stir()

    def _event(self, record: Record) -> AlarmEvent | None:
        try:
            return event_decoder.decode(record.value or b"")
        except msgspec.DecodeError:
            where = f"{record.topic} {record.partition} {record.offset}"
            log.error("no alarm event at %s", where)  # noqa: TRY400  # its text would quote the record
            self.engine.store.note(self._clock.now_ns(), "unreadable", f"no alarm event at {where}")
            return None

    # Calling.

    async def _call(self) -> None:
        while True:
            self._round("call")
            self._wake.clear()
            now_ns = self._clock.now_ns()
            self.engine.tick(now_ns)
            for queued in self.engine.to_send(now_ns):
                if queued.send.person not in self._busy:
                    self._busy.add(queued.send.person)
                    task = asyncio.create_task(self._send(queued))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
            self._pass.set()
            # Never longer than shows that the loop is alive.
            latest_ns = self._clock.now_ns() + self._settings.audit_every_ns
            due_ns = self.engine.next_ns(now_ns)
            await until(self._clock, latest_ns if due_ns is None else min(due_ns, latest_ns), self._wake)

    async def _send(self, queued: Queued) -> None:
        """One try on one channel."""
        send = queued.send
        try:
            person = self.engine.plan.rota.people.get(send.person)
            if person is None or not person.channels:
                self.engine.failed(queued, "no channel", self._clock.now_ns())
                return
            channel = person.channels[min(queued.channel, len(person.channels) - 1)]
            message = self._outgoing(queued, outside=channel.outside)
            self.engine.store.intend(queued, self._clock.now_ns())
            try:
                await self._around.channels.send(channel.address, message)
            except ChannelFailed as error:
                self.engine.failed(queued, str(error), self._clock.now_ns())
            except Exception as error:
                # A channel that fails in a way of its own must not be asked again without a pause.
                log.exception("a channel failed in a way of its own")
                self.engine.failed(queued, type(error).__name__, self._clock.now_ns())
            else:
                self.engine.sent(queued, self._clock.now_ns())
        finally:
            self._busy.discard(send.person)
            self._stir()

    def _outgoing(self, queued: Queued, *, outside: bool) -> Outgoing:
        send = queued.send
        actions: tuple[str, ...] = ()
        if send.kind in ("test", "hand-over"):
            actions = ("confirm",)
        elif send.kind in ("page", "digest") and send.alarms:
            actions = PAGE_ACTIONS
        links = self.engine.links_of(send, actions, self._settings.answer_url)
        text = words(send, Setting(self.engine.plan.rota, self._settings.console_url, links))
        if outside:
            text, names = without_names(text, self._around.names())
            if names:
                note = f"{names} names were taken out of message {send.message_id}"
                self.engine.store.note(self._clock.now_ns(), "name-kept-inside", note, person=send.person)
        return Outgoing(send.message_id, send.person, send.priority.value, send.kind, text, queued.in_doubt)

    # Passing on.

    async def _pass_on(self) -> None:
        """Commands to the ward and own events to the topic: at least once, idempotent by id at the other end."""
        while True:
            self._pass.clear()
            store = self.engine.store
            try:
                for command in store.commands():
                    await self._around.order(command)
                    store.passed(command)
                for event in store.events():
                    if self._around.publish is not None:
                        await self._around.publish(event)
                    store.passed(event)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("a command could not be handed on: %s", type(error).__name__)
                await self._clock.sleep_until(self._clock.now_ns() + self._settings.pass_pause_ns)
                continue
            await self._pass.wait()

    # Looking around.

    async def _look_around(self) -> None:
        calendars_ns = 0
        while True:
            self._round("watch")
            now_ns = self._clock.now_ns()
            if now_ns >= calendars_ns:
                await self._read_calendars(now_ns)
                calendars_ns = now_ns + self._settings.calendar_every_ns
                self.engine.store.prune(now_ns - self._settings.keep_ns)
            self.look(self._clock.now_ns())
            await self._clock.sleep_until(now_ns + self._settings.watch_every_ns)

    def look(self, now_ns: int) -> None:
        """Look at shifts, tests, hand-overs and gaps, once."""
        outcome = watch.watch(self._written(), self._watch, self.engine.state, now_ns, self._around.view())
        # Messages first: their ids are stable, so that a kill in between sends none twice.
        self.engine.store.enqueue(outcome.sends)
        self._keep_watch(outcome.state)
        for found in outcome.found:
            self.engine.apply(found, now_ns)
        self._stir()

    def _keep_watch(self, state: WatchState) -> None:
        self.engine.store.keep("watch", state)
        self._watch = state
        self.engine.plan = self._effective()

    def _written(self) -> Plan:
        """The plan as written, calendars included."""
        duties = tuple(duty for found in self._from_calendars.values() for duty in found)
        return Plan(replace(self._plan.rota, duties=(*self._plan.rota.duties, *duties)), self._plan.policies)

    def _effective(self) -> Plan:
        written = self._written()
        return Plan(watch.effective(written.rota, self._watch), written.policies)

    async def _read_calendars(self, now_ns: int) -> None:
        until_ns = now_ns + self._plan.policies.look_ahead_ns + _DAY_NS
        for number, source in enumerate(self._calendars, 1):
            about = f"calendar-{number}"
            try:
                data = await asyncio.to_thread(self._around.fetch, source.address)
                duties, strangers = calendar_duties(data, source, self._plan.rota, now_ns - _DAY_NS, until_ns)
            except (Unreachable, CalendarError) as error:
                since_ns = self._calendar_ok_ns.setdefault(source, now_ns)
                level = 2 if now_ns - since_ns >= _DAY_NS or source not in self._from_calendars else 1
                self.found(Found(rule=own.CALENDAR, about=about, cause=f"calendar {number}: {error}", level=level))
                continue
            self._from_calendars[source] = duties
            self._calendar_ok_ns[source] = now_ns
            self.found(Found(rule=own.CALENDAR, about=about))
            for text in strangers:
                self.engine.store.note(now_ns, "calendar-stranger", text)
        self.engine.plan = self._effective()

    # Watching ourselves.

    async def _audit(self) -> None:
        """The topic once more, from its beginning, folded apart from the core."""
        fold, since = Fold(), dict[str, int]()
        while True:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):  # `_read` says that it is blind
                async with TopicReader(self._settings.kafka, (_TOPIC,)) as reader:
                    while True:
                        async with asyncio.timeout(self._settings.kafka_wait_s):
                            records = await reader.read_to_end()
                        for record in records:
                            with contextlib.suppress(msgspec.DecodeError):
                                fold.apply(event_decoder.decode(record.value or b""))
                        since = self._walk(fold, since)
                        self._round("audit")
                        await self._clock.sleep_until(self._clock.now_ns() + self._settings.audit_every_ns)
            await self._clock.sleep_until(self._clock.now_ns() + self._settings.pass_pause_ns)

    def _walk(self, fold: Fold, since: dict[str, int]) -> dict[str, int]:
        now_ns, state = self._clock.now_ns(), self.engine.state
        since = {name: since.get(name, now_ns) for name, alarm in fold.open.items() if not attended(alarm)}
        promised = {name: m.next_ns() for page in state.pages.values() for name, m in page.members.items()}
        grouped = (group := state.own.get(own.GATEWAY)) is not None and not group.closed
        policies = self._plan.policies
        overdue = audit(fold.open.values(), policies, promised, now_ns, seen_since_ns=since, grouped=grouped)
        found = {o.alarm.alarm_id: f"{o.alarm.rule} of {o.alarm.patient}: {o.why}" for o in overdue}
        standing = {a.device for a in state.own.values() if a.rule == own.AUDIT and a.active and not a.closed}
        try:
            for name in standing - set(found):
                self.found(Found(rule=own.AUDIT, about=name))
            for name, cause in found.items():
                self.found(Found(rule=own.AUDIT, about=name, cause=cause))
        except Exception as error:
            # The core itself is what fails: past it, to everyone.
            log.exception("the core cannot take a finding")
            self.engine.emergency(f"The pager has failed ({type(error).__name__}). Look at the console now.", now_ns)
        return since

    async def _beat(self) -> None:
        if not self._settings.heartbeat_url:
            return
        while True:
            if not self.stuck():
                with contextlib.suppress(Unreachable):  # who expects it notices
                    await asyncio.to_thread(self._around.fetch, self._settings.heartbeat_url)
            await self._clock.sleep_until(self._clock.now_ns() + self._settings.heartbeat_every_ns)

    def stuck(self) -> tuple[str, ...]:
        """Loops that have not come round for too long: while there is one, the heartbeat stops."""
        now_s = asyncio.get_running_loop().time()
        return tuple(name for name, at in self._came_round.items() if now_s - at > self._settings.stuck_s)

    def _round(self, loop: str) -> None:
        self._came_round[loop] = asyncio.get_running_loop().time()

    def _stir(self) -> None:
        self._wake.set()
        self._pass.set()
