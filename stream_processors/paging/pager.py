"""The pager's host: its own reader of the alarm topic, a clock, channels. Decides nothing; `engine` does.

Loops under one roof, none of which waits for another:

```
read    alarm topic -> engine           call   due steps and messages -> channels
answer  links, own alarms -> engine     pass   commands, own events, the audit -> Kafka
audit   the topic once more, alone      watch  shifts, tests, hand-overs, calendars
look    whether ward time goes on       beat   health, and an address outside, while all the others come round
post   the duty board, for whoever shows it
```
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec

from stream_processors.paging import own, watch
from stream_processors.paging.answering import Answering
from stream_processors.paging.auditing import Auditing
from stream_processors.paging.board import board
from stream_processors.paging.calendars import Calendars
from stream_processors.paging.channels import ChannelFailed, Channels, Outgoing
from stream_processors.paging.engine import Engine
from stream_processors.paging.heart import Heart
from stream_processors.paging.links import PAGE_ACTIONS, LinkAction, Links
from stream_processors.paging.outlets import Outlets
from stream_processors.paging.outside import fetch
from stream_processors.paging.passing import Passing
from stream_processors.paging.rota_changes import plan_changes
from stream_processors.paging.rota_file import CalendarSource
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Found, Send
from stream_processors.paging.store import PagerStore
from stream_processors.paging.store_rows import Queued
from stream_processors.paging.text import Setting, lasted, without_names, words
from stream_processors.paging.trouble import Trouble
from stream_processors.paging.turn import Plan, replace
from stream_processors.paging.waiting import Clock, until
from stream_processors.paging.ward_view import WardFollower
from stream_processors.paging.watch import WardView, WatchState
from transport.kafka import KafkaError, Record, TopicReader
from vitals import topics
from vitals.events import AlarmEvent, event_decoder
from vitals.signs import MINUTE_NS

log = logging.getLogger(__name__)

_TOPIC: Final = topics.ALARMS.name
_AWAY_NS: Final = MINUTE_NS
_POST_EVERY_S: Final = 2.0
_POST_AT_LEAST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pager is given.

    Attributes:
        channels: Ways to people.
        clock: Ward time.
        outlets: Where it writes in Kafka.
        view: How many patients are watched; None: what it follows itself says so.
        names: Names of patients, kept out of what leaves the building.
        fetch: Reads an address; may block.
        head: Hash of the newest line of the audit's chain, told with every heartbeat; "" where there is none.
    """

    channels: Channels
    clock: Clock
    outlets: Outlets
    view: Callable[[], WardView | None] | None = None
    names: Callable[[], Collection[str]] = lambda: ()
    fetch: Callable[..., bytes] = fetch
    head: Callable[[], str] = lambda: ""


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
        self._around = surroundings
        self._clock = surroundings.clock
        self.calendars = Calendars(calendars, surroundings.fetch)
        kept = store.kept("watch")
        self._watch = WatchState() if kept is None else msgspec.json.decode(kept, type=WatchState)
        self.engine = Engine(self._effective(), store, links, delivery=settings.delivery)
        self._wake = asyncio.Event()
        self.passing = Passing(
            store, surroundings.outlets, self._clock, settings.pass_pause_ns, self.trouble("commands and events")
        )
        self.heart = Heart(settings, surroundings.outlets, self._clock, surroundings.fetch, surroundings.head)
        self.auditing = Auditing(
            settings,
            self.engine,
            self._clock,
            self.found,
            lambda: self.heart.came_round("audit"),
            self.trouble("the auditor's readings"),
        )
        self.answering = Answering(
            settings.kafka, self.engine, self._clock, self._confirmed, self._tested, self._stir, settings.kafka_wait_s
        )
        self.ward = WardFollower(settings.patient_kafka, settings.pipeline_silence_s, me=store.id)
        self.heart.also["hops"] = self._hops
        self.heart.also["pager"] = lambda: store.id
        self._changed = True
        self.on_test_event: Callable[[AlarmEvent], None] = lambda _: None
        """Told of each event of the test patient."""
        self._busy: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until cancelled. What is under way then is in doubt, and is sent again under its id."""
        self._were_we_away()
        loops = (
            self._read,
            self._answer,
            self._call,
            self.passing.run,
            self._look_around,
            self._look_at_ward,
            self.auditing.run,
            self._beat,
            self._post,
        )
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(loop())
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    def change_plan(self, plan: Plan, calendars: tuple[CalendarSource, ...] = ()) -> None:
        """A new rota or new policies hold from now on; what changed stands in the journal."""
        for text in plan_changes(self._plan, plan):
            self.engine.store.note(self._clock.now_ns(), "rota-changed", text)
        self._plan, self.calendars.sources = plan, calendars
        self.engine.plan = self._effective()
        self._stir()

    def found(self, found: Found) -> None:
        """A watcher found something (no tick, a device's gateway): it pages as the pager's own alarms do."""
        self.engine.apply(found, self._clock.now_ns())
        self._stir()

    def trouble(self, about: str) -> Trouble:
        """Says when a work stands still."""
        return Trouble(about, lambda: self.engine.state, self.found)

    def how(self) -> tuple[str, str]:
        """What it says of itself: ok, slow or down, and words."""
        told = self.heart.health(self._clock.now_ns(), self.heart.stuck())
        return str(told["status"]), str(told["text"])

    def _hops(self) -> dict[str, str]:
        """As every part says them in its words of health."""
        return {hop.value: times.to_bytes().hex() for hop, times in self.engine.ways.hops.items() if times.count}

    def _confirmed(self, message_id: str, now_ns: int) -> None:
        self._keep_watch(watch.confirmed(self._watch, message_id, now_ns))

    def _tested(self, person: str, ask_id: str) -> Send:
        state, send = watch.asked_test(self._watch, person, ask_id, self._clock.now_ns())
        self.engine.store.enqueue((send,))
        self._keep_watch(state)
        return send

    def _were_we_away(self) -> None:
        """The pager was silent for a while: whoever was on call learns it, for what rose meanwhile was paged late."""
        now_ns, beat = self._clock.now_ns(), self.engine.store.kept("beat")
        if beat is None:
            return
        away_ns = now_ns - int(beat)
        if away_ns >= _AWAY_NS:
            level = 2 if away_ns >= 5 * _AWAY_NS else 1
            cause = f"the pager was away for {lasted(away_ns)}: what rose meanwhile is paged late"
            self.found(Found(rule=own.AWAY, cause=cause, level=level))
            self.found(Found(rule=own.AWAY))

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
            self.heart.came_round("read")
            records = await reader.read(timeout_s=self._settings.kafka_wait_s / 2)
            if not records:
                # An unreachable broker is silent as a quiet ward is; this asks which of the two it is.
                async with asyncio.timeout(self._settings.kafka_wait_s):
                    await reader.end_offsets()
                self._see()
                continue
            positions = reader.positions
            more = any(positions[place] < offset for place, offset in end.items())
            read = [(event, record) for record in records if (event := self._event(record)) is not None]
            events = [event for event, _ in read]
            stamps = {event.event_id: stamps_of(record) for event, record in read}
            self.engine.take_events(events, self._clock.now_ns(), positions, more=more, stamps=stamps)
            for event in events:
                if event.patient == topics.SYNTHETIC:
                    self.on_test_event(event)
            self._stir()

    def _event(self, record: Record) -> AlarmEvent | None:
        try:
            return event_decoder.decode(record.value or b"")
        except msgspec.DecodeError:
            where = f"{record.topic} {record.partition} {record.offset}"
            log.error("no alarm event at %s", where)  # noqa: TRY400  # its text would quote the record
            self.engine.store.note(self._clock.now_ns(), "unreadable", f"no alarm event at {where}")
            return None

    async def _answer(self) -> None:
        trouble = self.trouble("answers")

        def came_round() -> None:
            self.heart.came_round("answer")
            trouble.well()

        while True:
            try:
                await self.answering.follow(came_round)
            except (KafkaError, TimeoutError, OSError) as error:
                trouble.failed(error)
            await self._clock.sleep_until(self._clock.now_ns() + self._settings.pass_pause_ns)

    # Calling.

    async def _call(self) -> None:
        while True:
            self.heart.came_round("call")
            self._wake.clear()
            now_ns = self._clock.now_ns()
            self.engine.tick(now_ns)
            for queued in self.engine.to_send(now_ns):
                if queued.send.person not in self._busy:
                    self._busy.add(queued.send.person)
                    task = asyncio.create_task(self._send(queued))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
            self.passing.more.set()
            # Never longer than shows that the loop is alive.
            latest_ns = self._clock.now_ns() + self._settings.audit_every_ns
            due_ns = self.engine.next_ns(now_ns)
            await until(self._clock, latest_ns if due_ns is None else min(due_ns, latest_ns), self._wake)

    async def _send(self, queued: Queued) -> None:
        """One try on one channel."""
        send = queued.send
        try:
            channels = self.engine.ways_to(send.person)
            if not channels:
                self.engine.failed(queued, "no channel", self._clock.now_ns())
                return
            channel = channels[min(queued.channel, len(channels) - 1)]
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
        actions: tuple[LinkAction, ...] = ()
        if send.kind in ("test", "hand-over"):
            actions = ("confirm",)
        elif send.kind in ("page", "digest") and send.alarms:
            actions = PAGE_ACTIONS
        tokens = self.engine.tokens_of(send, actions)
        address = self._settings.answer_url
        links = {action: f"{address}{token}" for action, token in tokens.items()} if address else {}
        text = words(send, Setting(self.engine.plan.rota, self._settings.console_url, links))
        if outside:
            text, names = without_names(text, self._around.names())
            if names:
                note = f"{names} names were taken out of message {send.message_id}"
                self.engine.store.note(self._clock.now_ns(), "name-kept-inside", note, person=send.person)
        return Outgoing(
            send.message_id,
            send.person,
            send.priority.value,
            send.kind,
            text,
            queued.in_doubt,
            at_ns=send.at_ns,
            tokens=tokens,
            alarms=tuple(alarm.alarm_id for alarm in send.alarms),
        )

    # Looking around.

    async def _look_around(self) -> None:
        calendars_ns = 0
        while True:
            self.heart.came_round("watch")
            now_ns = self._clock.now_ns()
            if now_ns >= calendars_ns:
                await self.read_calendars(now_ns)
                calendars_ns = now_ns + self._settings.calendar_every_ns
                self.engine.store.prune(now_ns - self._settings.keep_ns)
            self.look(self._clock.now_ns())
            await self._clock.sleep_until(now_ns + self._settings.watch_every_ns)

    def look(self, now_ns: int) -> None:
        """Look at shifts, tests, hand-overs and gaps, once."""
        view = (self._around.view or self.ward.view)()
        outcome = watch.watch(self._written(), self._watch, self.engine.state, now_ns, view)
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
        rota = self._plan.rota
        return Plan(replace(rota, duties=(*rota.duties, *self.calendars.duties)), self._plan.policies)

    def _effective(self) -> Plan:
        written = self._written()
        return Plan(watch.effective(written.rota, self._watch), written.policies)

    async def read_calendars(self, now_ns: int) -> None:
        """Read all calendars once."""
        plan = self._plan
        strangers = await self.calendars.read(plan.rota, now_ns, plan.policies.look_ahead_ns, self.found)
        for text in strangers:
            self.engine.store.note(now_ns, "calendar-stranger", text)
        self.engine.plan = self._effective()

    async def _look_at_ward(self) -> None:
        """Whether ward time goes on. Judged by the wall: when it stands still, the ward's own clock may as well."""
        trouble = self.trouble("what the ward's parts say")

        async def follow() -> None:
            while True:
                try:
                    await self.ward.follow(trouble.well)
                except (KafkaError, TimeoutError, OSError) as error:
                    trouble.failed(error)
                await asyncio.sleep(1.0)

        following = asyncio.create_task(follow())
        try:
            while True:
                await asyncio.sleep(1.0)
                for found in (self.ward.standstill(), self.ward.twice()):
                    stands = self.engine.state.own.get(found.rule)
                    if found.cause is not None or (stands is not None and stands.active and not stands.closed):
                        self.found(found)
        finally:
            following.cancel()

    async def _post(self) -> None:
        """The duty board: when something changed, at most every two seconds of the wall, and every half minute."""
        posted_s = -math.inf
        while True:
            if self._changed or time.monotonic() - posted_s >= _POST_AT_LEAST_S:
                self._changed = False
                now_ns = self._clock.now_ns()
                found = board(
                    self.engine.plan, self._written().rota, self._watch, self.engine.state, self.engine.store, now_ns
                )
                with contextlib.suppress(KafkaError, OSError, TimeoutError):  # whoever shows it says how old it is
                    await self._around.outlets.post(found)
                posted_s = time.monotonic()
            await asyncio.sleep(_POST_EVERY_S)

    async def _beat(self) -> None:
        async for now_ns in self.heart.beats():
            self.engine.store.keep("beat", now_ns)

    def _stir(self) -> None:
        self._changed = True
        self._wake.set()
        self.passing.more.set()


def stamps_of(record: Record) -> dict[str, int]:
    """The stamps of an alarm event's record; none where it has none that can be read."""
    for name, value in record.headers:
        if name == "stamps":
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(value, type=dict[str, int])
    return {}
