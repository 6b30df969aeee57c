"""What people say on pages that others serve: links opened and used, commands about own alarms. Read from Kafka.

Each ask is judged once: what came of it is written down together with how far the topic was read, and told until Kafka
has it. An ask that was written while the pager was away is judged by the time at which it was made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from stream_processors.paging.engine import Engine, LinkDone
from stream_processors.paging.links import LinkRefused, read
from stream_processors.paging.state import Said, Send
from stream_processors.paging.text import Setting, words
from stream_processors.paging.waiting import Clock
from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import topics
from vitals.answers import Ask, Confirm, Shown, TestMe, Told, decoder
from vitals.log import Command

log = logging.getLogger(__name__)

_TOPIC: Final = topics.ANSWERS.name


@dataclass(frozen=True, slots=True)
class Answering:
    """The reader of `topics.ANSWERS`.

    Attributes:
        kafka: Where.
        engine: Who judges.
        clock: Ward time.
        confirmed: Told of a message that was confirmed (a test page, a hand-over), and when.
        tested: Makes a test page for a person, named by the ask.
        stir: Called after every change.
        wait_s: How long Kafka may take to answer.
    """

    kafka: KafkaSettings
    engine: Engine
    clock: Clock
    confirmed: Callable[[str, int], None]
    tested: Callable[[str, str], Send]
    stir: Callable[[], None]
    wait_s: float = 10.0

    async def follow(self, came_round: Callable[[], None]) -> None:
        """Read until cancelled, or until Kafka fails."""
        async with TopicReader(self.kafka, (_TOPIC,), offsets=self.engine.store.positions()) as reader:
            while True:
                found = await reader.read(timeout_s=self.wait_s / 2)
                if not found:
                    # An unreachable broker is silent as people are; this asks which of the two it is.
                    async with asyncio.timeout(self.wait_s):
                        await reader.end_offsets()
                came_round()
                if found:
                    told = [one for record in found if (one := self.take(record)) is not None]
                    self.engine.store.answer(told, reader.positions)
                    self.stir()

    def take(self, record: Record) -> Told | None:
        """Judge one record; None where it asks for no answer."""
        try:
            said = decoder.decode(record.value or b"")
        except msgspec.DecodeError:
            # Its own text would quote the record.
            log.error("no answer at %s %d %d", record.topic, record.partition, record.offset)  # noqa: TRY400
            return None
        match said:
            case Ask():
                return self.judge(said)
            case Confirm():
                return self._confirm(said)
            case TestMe():
                return self._test(said)
            case Command():
                if said.patient == topics.OWN:
                    self.engine.apply(Said(said), self.clock.now_ns())
                return None
            case Told() | Shown():
                return None

    def judge(self, ask: Ask) -> Told:
        """What comes of an ask."""
        now_ns = self.clock.now_ns()
        if not ask.use:
            opened = self.engine.open_link(ask.token, min(now_ns, ask.at_ns), ask.person)
            return self._told(ask, opened, used=False)
        until_ns = None if ask.for_ns is None else now_ns + ask.for_ns
        done = self.engine.use_link(
            ask.token,
            now_ns,
            person=ask.person,
            until_ns=until_ns,
            reason=ask.reason,
            ask_id=ask.ask_id,
            asked_ns=ask.at_ns,
        )
        if isinstance(done, LinkDone):
            if done.action == "confirm":
                self.confirmed(done.send.message_id, now_ns)
            return self._told(ask, done.send, used=True)
        return self._told(ask, done, used=False)

    def _confirm(self, said: Confirm) -> Told:
        """A test page or a hand-over is confirmed by whoever is signed in; another's is not theirs to confirm."""
        now_ns = self.clock.now_ns()
        send = self.engine.store.message(said.message_id)
        if send is None or send.person != said.person or send.kind not in ("test", "hand-over"):
            note = f"message {said.message_id}"
            self.engine.store.note(now_ns, "link-foreign", note, person=said.person)
            return Told(ask_id=said.ask_id, refused="foreign", title="This is not yours to confirm.")
        self.engine.store.receipt(send.message_id, send.person, "answered", min(now_ns, said.at_ns), "on the console")
        self.confirmed(send.message_id, now_ns)
        return Told(
            ask_id=said.ask_id, person=send.person, action="confirm", kind=send.kind, at_ns=send.at_ns, used=True
        )

    def _test(self, said: TestMe) -> Told:
        """A test page that somebody asked for."""
        if said.person not in self.engine.plan.rota.people:
            return Told(ask_id=said.ask_id, refused="foreign", title="You do not stand in the rota.")
        send = self.tested(said.person, said.ask_id)
        return Told(ask_id=said.ask_id, person=said.person, kind="test", at_ns=send.at_ns, used=True)

    def _told(self, ask: Ask, came: Send | LinkRefused, *, used: bool) -> Told:
        if isinstance(came, LinkRefused):
            return Told(ask_id=ask.ask_id, refused=came.why, title=came.text)
        token = read(ask.token)
        said = words(came, Setting(self.engine.plan.rota, answers=False))
        return Told(
            ask_id=ask.ask_id,
            person=came.person,
            action=token.action if token else "",
            kind=came.kind,
            title=said.title,
            lines=tuple(said.body.splitlines()),
            at_ns=came.at_ns,
            alarms=came.alarm_ids,
            used=used,
        )
