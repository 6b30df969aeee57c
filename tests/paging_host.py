"""A pager's host that can be killed at any transaction, and a world around it that outlives it.

The world: a ward that writes its alarm topic and obeys commands, people who answer what reaches them in ways and after
times that are theirs, channels that fail for a while. The host is the real one (`Pager`) without its loops: what they
do is done in a fixed order at every instant, so that two runs differ only by where they were killed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from paging_world import START, M, Outlets, S, WardStub, rota

from stream_processors.paging.channels import Outgoing
from stream_processors.paging.core import Plan
from stream_processors.paging.delivery import DeliverySettings
from stream_processors.paging.links import Links
from stream_processors.paging.pager import Pager, Surroundings
from stream_processors.paging.policy import DEFAULT, Target
from stream_processors.paging.rota import Rota, Shift
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Send
from stream_processors.paging.store import PagerStore
from transport.kafka import KafkaSettings, Record
from vitals import answers, topics
from vitals.answers import Ask
from vitals.events import AlarmEvent
from vitals.log import Command

STEP_NS = 30 * S
LENGTH_NS = 100 * M
PEOPLE = ("wren", "heron", "kestrel")
ALARMS = topics.ALARMS.name
ANSWERS = topics.ANSWERS.name

POLICIES = msgspec.structs.replace(
    DEFAULT,
    per_hour=4,
    digest_every_ns=10 * M,
    test_before_ns=20 * M,
    quiet_messages=(13 * 60 + 55, 14 * 60 + 10),
    quiet_to=(Target("team"),),
    gateway=msgspec.structs.replace(DEFAULT.gateway, at_least=3),
)


def changing_rota() -> Rota:
    """`wren` and `heron` change places each day at 13:45, three quarters of an hour after `START`; `kestrel` leads."""
    shifts = tuple(
        Shift(
            team="ward", line=line, people=people, turn="day", from_minute=825, to_minute=825, since=dt.date(2025, 1, 1)
        )
        for line, people in (("first", ("wren", "heron")), ("second", ("heron", "wren")))
    )
    return rota(shifts=shifts)


class Killed(BaseException):
    """The process is gone: nothing after this instant has happened."""


class MortalStore(PagerStore):
    """A store whose process is killed at the n-th transaction, before or after it."""

    left: int | None = None

    def _transaction(self) -> Any:
        store, transaction = self, super()._transaction()

        class Mortal:
            def __enter__(self) -> Any:
                store.count()
                return transaction.__enter__()

            def __exit__(self, *error: object) -> Any:
                out = transaction.__exit__(*error)
                store.count()
                return out

        return Mortal()

    def count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@dataclass
class World:
    """What outlives the pager.

    Attributes:
        ward_does: Instant -> what happens to patients: (patient, rule, level), level 0 ends it.
        manner: person -> what they do with their n-th message, again from the first: an action, and after how long;
            "" nothing. A test page or a hand-over is confirmed by whatever is not "".
        away: person -> when no channel of theirs works.
    """

    ward_does: dict[int, list[tuple[str, str, int]]] = field(default_factory=dict)
    manner: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    away: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    ward: WardStub = field(default_factory=WardStub)
    topic: list[tuple[int, AlarmEvent]] = field(default_factory=list)
    asks: list[tuple[int, Ask]] = field(default_factory=list)
    arrived: list[tuple[str, str, int]] = field(default_factory=list)
    obeyed: set[str] = field(default_factory=set)
    now_ns: int = START - STEP_NS
    _seen: set[str] = field(default_factory=set)
    _count: dict[str, int] = field(default_factory=dict)

    def go(self, now_ns: int) -> None:
        """Time comes to an instant, once however often the pager is killed in it."""
        while self.now_ns < now_ns:
            self.now_ns += STEP_NS
            for patient, rule, level in self.ward_does.get(self.now_ns, ()):
                device = f"d-{patient}" if rule == "device-silent" else ""
                if level:
                    self._write(self.ward.raise_(patient, rule, self.now_ns, level, device))
                else:
                    self._write(self.ward.end(patient, rule, self.now_ns, device))
            self._write(self.ward.tick(self.now_ns))

    def _write(self, events: list[AlarmEvent]) -> None:
        self.topic += [(self.now_ns, event) for event in events]

    async def obey(self, command: Command) -> None:
        if command.command_id not in self.obeyed:
            self.obeyed.add(command.command_id)
            self._write(self.ward.obey(command, self.now_ns))

    def reaches(self, person: str) -> bool:
        return not any(begin <= self.now_ns < end for begin, end in self.away.get(person, ()))

    def arrive(self, message: Outgoing) -> None:
        """A message reaches its person, who does what they do with it; the same once more changes nothing for them."""
        self.arrived.append((message.person, message.message_id, self.now_ns))
        if message.message_id in self._seen:
            return
        self._seen.add(message.message_id)
        manner = self.manner.get(message.person) or [("", 0)]
        count = self._count.get(message.person, 0)
        self._count[message.person] = count + 1
        action, after_ns = manner[count % len(manner)]
        if not action or not message.tokens:
            return
        token = message.tokens.get(action) or message.tokens.get("confirm") or message.tokens["acknowledge"]
        at_ns = self.now_ns + after_ns
        ask = Ask(ask_id=f"{message.message_id}-{action}", token=token, use=True, at_ns=at_ns, person=message.person)
        self.asks.append((at_ns, ask))
        self.asks.sort(key=lambda one: one[0])


class Clock:
    """Ward time as the world has it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ns(self) -> int:
        return self._world.now_ns

    async def sleep_until(self, t_ns: int) -> None:
        raise NotImplementedError


class NoChannels:
    async def send(self, address: str, message: Outgoing) -> None:
        raise NotImplementedError


class Host:
    """One process of the pager, from its start until it is killed or the time is over."""

    def __init__(self, world: World, path: Path, left: int | None = None) -> None:
        self.world = world
        self.store = MortalStore(path, durable=False)
        self.outlets = Outlets(world.obey)
        around = Surroundings(channels=NoChannels(), clock=Clock(world), outlets=self.outlets)
        self.pager = Pager(
            PagerSettings(KafkaSettings("nowhere:1"), answer_url=":", delivery=DeliverySettings(tries=2, pause_ns=S)),
            Plan(changing_rota(), POLICIES),
            self.store,
            around,
            links=Links((b"k" * 32,), "site"),
        )
        self.store.left = left

    @property
    def sends(self) -> list[tuple[Send, list[str]]]:
        """Every message so far, and what became of it."""
        return [(send, [r.what for r in receipts]) for send, receipts in self.store.newest(100_000)]

    def live(self, until_ns: int, look: Callable[[int], None] | None = None) -> None:
        """What the loops do, instant by instant, from where the world is."""
        now_ns = max(self.world.now_ns, START)
        while now_ns <= until_ns:
            self.world.go(now_ns)
            self._instant(now_ns)
            if look is not None:
                look(now_ns)
            now_ns += STEP_NS

    def _instant(self, now_ns: int) -> None:
        """Until nothing happens any more: an instant that is lived again after a kill then finds nothing new."""
        for _ in range(20):
            before = self._progress()
            self._round(now_ns)
            if before == self._progress():
                return
        raise AssertionError("an instant without end")

    def _progress(self) -> tuple[object, ...]:
        world = self.world
        return len(world.topic), len(world.arrived), len(world.obeyed), self.store.positions()

    def _round(self, now_ns: int) -> None:
        engine, store = self.pager.engine, self.store
        position = store.positions().get((ALARMS, 0), 0)
        ready = [event for at, event in self.world.topic[position:] if at <= now_ns]
        if ready:
            engine.take_events(ready, now_ns, {(ALARMS, 0): position + len(ready)})
        self._answers(now_ns)
        _finish(self.pager.passing.once())
        self.pager.look(now_ns)
        engine.tick(now_ns)
        for queued in engine.to_send(now_ns):
            send = queued.send
            store.intend(queued, now_ns)
            if self.world.reaches(send.person):
                self.world.arrive(self.pager._outgoing(queued, outside=False))
                engine.sent(queued, now_ns)
            else:
                engine.failed(queued, "away", now_ns)
        _finish(self.pager.passing.once())

    def _answers(self, now_ns: int) -> None:
        position = self.store.positions().get((ANSWERS, 0), 0)
        ready = [ask for at, ask in self.world.asks[position:] if at <= now_ns]
        for number, ask in enumerate(ready, position):
            record = Record(ANSWERS, 0, number, None, answers.encoder.encode(ask), (), 0)
            told = self.pager.answering.take(record)
            self.store.answer([told] if told is not None else [], {(ANSWERS, 0): number + 1})


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run what never really waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def play(world: World, path: Path, kills: list[int], look: Callable[[Host, int], None] | None = None) -> Host:
    """Live through it, killed after so many transactions of each process; the last one lives to the end.

    `look` is called after every instant that a process has lived through, with it and the time.
    """
    for left in (*kills, None):
        host = Host(world, path, left)
        try:
            host.live(START + LENGTH_NS, None if look is None else lambda now_ns, host=host: look(host, now_ns))
        except Killed:
            host.store.close()
            continue
        return host
    raise AssertionError("the last one is not killed")
