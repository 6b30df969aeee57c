"""The real pager's engine behind a made-up ward: it decides, signs links, judges them; nothing leaves the process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from console_feed import FakeWard

from dashboards.console.people import Said
from stream_processors.paging.answering import Answering
from stream_processors.paging.core import Plan
from stream_processors.paging.delivery import DeliverySettings
from stream_processors.paging.engine import Engine
from stream_processors.paging.links import PAGE_ACTIONS, Links
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.rota import Channel, Person, Rota, Shift, Team
from stream_processors.paging.state import Send
from stream_processors.paging.store import PagerStore
from stream_processors.paging.text import Setting, words
from transport.kafka import KafkaSettings
from vitals.answers import Ask, Confirm, Shown, TestMe
from vitals.events import AlarmEvent
from vitals.log import Command

KEY = b"k" * 32


def rota() -> Rota:
    """`imre` first, `lena` second, always."""
    people = {name: Person(id=name, channels=(Channel("console:", outside=False),)) for name in ("imre", "lena")}
    team = Team(id="ward", members=tuple(people), leads=("lena",), lines=("first", "second"))
    always = {"from_minute": 0, "to_minute": 0, "since": dt.date(2020, 1, 1)}
    shifts = tuple(
        Shift(team="ward", line=line, people=(name,), **always)
        for line, name in (("first", "imre"), ("second", "lena"))
    )
    return Rota(zone="UTC", people=people, teams={"ward": team}, shifts=shifts)


class Pager:
    """Hears the ward's events, pages people, answers the console.

    Attributes:
        pages: What was sent, oldest first.
    """

    def __init__(self, ward: FakeWard, folder: Path) -> None:
        self.ward = ward
        self.pages: list[Send] = []
        store = PagerStore(folder / "pager.db", durable=False)
        self.engine = Engine(Plan(rota(), DEFAULT), store, Links((KEY,), "ward"), delivery=DeliverySettings())
        self.answering = Answering(
            KafkaSettings("127.0.0.1:9"), self.engine, ward.clock, lambda *_: None, self._test, lambda: None
        )
        ward.heard = self.hear
        ward.console.people.say = self.say

    def hear(self, events: Sequence[AlarmEvent]) -> None:
        """Events of the ward."""
        self.engine.take_events(events, self.ward.clock.now_ns())
        self.deliver()

    def go(self, ns: int) -> None:
        """Let ward time go on, from one due time to the next."""
        end = self.ward.clock.now_ns() + ns
        while (now := self.ward.clock.now_ns()) < end:
            due = self.engine.next_ns(now)
            self.ward.clock.advance(min(end, max(now + 1, end if due is None else due)) - now)
            self.engine.tick(self.ward.clock.now_ns())
            self.deliver()

    def deliver(self) -> None:
        """All that is due is sent, and shown to whom it is for."""
        now = self.ward.clock.now_ns()
        for queued in self.engine.to_send(now):
            send = queued.send
            said = words(send, Setting(self.engine.plan.rota, answers=False))
            tokens = self.tokens(send)
            shown = Shown(
                message_id=send.message_id,
                person=send.person,
                kind=send.kind,
                priority=send.priority.value,
                title=said.title,
                body=said.body,
                at_ns=send.at_ns,
                tokens=tokens,
                alarms=send.alarm_ids,
            )
            self.ward.console.on_answer(shown)
            self.engine.sent(queued, now)
            self.pages.append(send)

    def tokens(self, send: Send) -> dict[str, str]:
        """What its links carry."""
        return self.engine.tokens_of(send, PAGE_ACTIONS)

    def journal(self) -> list[str]:
        """What was written down, oldest first."""
        return [what for _, what, *_ in self.engine.store.journal()]

    async def say(self, said: Said) -> None:
        """The console asks; it is told what came of it, and the ward obeys."""
        if isinstance(said, Ask):
            self.ward.console.on_answer(self.answering.judge(said))
        elif isinstance(said, Confirm | TestMe):
            raise NotImplementedError
        for command in self.engine.store.commands():
            self.engine.store.passed(command)
            await self.obeyed(command)
        self.deliver()

    async def obeyed(self, command: Command) -> None:
        """The ward takes a command of the pager."""
        await self.ward.send(command)

    def _test(self, person: str, name: str) -> Send:
        raise NotImplementedError((person, name))
