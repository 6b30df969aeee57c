"""Core and store together: each step is decided and written down before anything is done about it. Blocks; no clock.

This is the part that a kill -9 may hit anywhere: it keeps nothing that the file does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stream_processors.paging import own
from stream_processors.paging.core import next_ns, step, wanted
from stream_processors.paging.delivery import Again, DeliverySettings, after_failure
from stream_processors.paging.links import LinkAction, LinkRefused, Links, Token, read
from stream_processors.paging.rota import Channel
from stream_processors.paging.state import (
    Answered,
    Decision,
    Found,
    Happened,
    Input,
    PagerState,
    Send,
    Tick,
    Undelivered,
    message_id,
)
from stream_processors.paging.store import PagerStore, Positions
from stream_processors.paging.store_rows import Queued
from stream_processors.paging.turn import Plan
from stream_processors.paging.ways import Ways
from vitals.duty import ReceiptName
from vitals.events import AlarmEvent, Priority
from vitals.signs import SECOND_NS
from vitals.topics import SYNTHETIC

_HELD_PAUSE_NS: Final = 5 * SECOND_NS


@dataclass(frozen=True, slots=True)
class LinkDone:
    """A link did what it says.

    Attributes:
        person: Who answered.
        action: What.
        send: The message that it belongs to.
    """

    person: str
    action: str
    send: Send


class Engine:
    """The pager without its surroundings.

    Attributes:
        plan: What holds; may be replaced between steps.
        state: As the file holds it.
        ways: How long alarms took until a person answered.
    """

    def __init__(
        self, plan: Plan, store: PagerStore, links: Links | None = None, *, delivery: DeliverySettings
    ) -> None:
        self.plan = plan
        self.store = store
        self.state: PagerState = store.load()
        self.ways = Ways(store)
        self._links = links
        self._delivery = delivery

    def apply(self, said: Input, now_ns: int, positions: Positions | None = None) -> tuple[Decision, ...]:
        """Decide, write down, and only then know it."""
        after, decisions = step(self.plan, self.state, said, now_ns)
        self.store.commit(self.state, after, decisions, now_ns, positions)
        self.state = after
        return decisions

    def take_events(
        self,
        events: Iterable[AlarmEvent],
        now_ns: int,
        positions: Positions | None = None,
        *,
        more: bool = False,
        stamps: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        """Events of the alarm topic as they were read together: one transaction, and people are told of the outcome.

        Args:
            events: In order. Those of our own alarms come back this way; they are known since they were made.
            now_ns: Ward time.
            positions: How far the topic has been read with them.
            more: True where more is known to wait there: nobody is told before the end is reached, for what rose in
                the backlog may have ended in it.
            stamps: event id -> when it passed each hop, as far as it is known.
        """
        state, decisions = self.state, list[Decision]()
        theirs = [event for event in events if event.patient != own.OWN]
        for number, event in enumerate(theirs):
            last = number + 1 == len(theirs) and not more
            state, decided = step(self.plan, state, Happened(event, more=not last), now_ns)
            decisions += decided
        self.store.commit(self.state, state, decisions, now_ns, positions)
        self.state = state
        for event in theirs:
            self._note_people(event)
            calls = self.plan.policies.of(event.rule, event.priority) is not None
            self.ways.on_event(event, stamps.get(event.event_id, {}), now_ns, calls=calls)

    def _note_people(self, event: AlarmEvent) -> None:
        """What an event says of people: they answered, they acted."""
        what: ReceiptName | None = None
        if event.event == "acknowledged":
            what = "answered"
        elif event.event == "closed" and event.state.get("outcome") in ("confirmed", "dismissed", "duplicate"):
            what = "acted"
        if what and event.by and (message := self.store.newest_message(event.alarm_id, event.by)):
            detail = str(event.state.get("outcome", "")) or event.event
            self.store.receipt(message, event.by, what, event.at_ns, f"{event.event_id} {detail}")

    def next_ns(self, now_ns: int) -> int | None:
        """When a step, or a message that is not due yet, falls due."""
        times = (next_ns(self.state), self.store.next_due_ns(now_ns))
        return min((at for at in times if at is not None), default=None)

    # Sending.

    def to_send(self, now_ns: int) -> list[Queued]:
        """What is to be sent now; what nobody needs any more is withdrawn."""
        out: list[Queued] = []
        for queued in self.store.due(now_ns):
            match wanted(self.state, queued.send):
                case "now":
                    out.append(queued)
                case "later":
                    self.store.try_again(queued, queued.channel, queued.tries, now_ns + _HELD_PAUSE_NS)
                case "never":
                    why = "answered or over" + (", after a try whose outcome is not known" if queued.in_doubt else "")
                    self.store.mark(queued, "withdrawn", now_ns, why)
        return out

    def sent(self, queued: Queued, now_ns: int) -> None:
        """A channel took a message."""
        ways = self.ways_to(queued.send.person)
        way = ways[min(queued.channel, len(ways) - 1)].address.partition(":")[0] if ways else ""
        self.store.mark(queued, "sent", now_ns, f"channel {queued.channel + 1}{f' ({way})' if way else ''}")
        self.ways.on_sent(queued.send, now_ns)
        person = queued.send.person
        alarm = self.state.own.get(own.key(own.CHANNEL, person))
        if alarm is None or alarm.closed:
            return
        if queued.channel == 0:
            self.apply(Found(rule=own.CHANNEL, about=person), now_ns)
        elif alarm.level > 1:
            cause = f"{person} is reached by another channel than the first"
            self.apply(Found(rule=own.CHANNEL, about=person, cause=cause, level=1), now_ns)

    def failed(self, queued: Queued, why: str, now_ns: int) -> None:
        """A channel did not take a message: again, the next channel, or the next person."""
        person = queued.send.person
        channels = self.channels_of(person)
        then = after_failure(queued.channel, queued.tries, channels, now_ns, self._delivery)
        if isinstance(then, Again):
            self.store.try_again(queued, then.channel, then.tries, then.due_ns)
            if then.passed_over:
                cause = f"channel {queued.channel + 1} of {person} is passed over: {why}"
                self.apply(Found(rule=own.CHANNEL, about=person, cause=cause, level=1), now_ns)
            return
        # Marked last: a kill in between tries once more, and says the same.
        self.apply(Undelivered(person=person, alarm_ids=queued.send.alarm_ids), now_ns)
        cause = f"no channel of {person} works: {why}" if channels else f"{person} has no channel"
        self.apply(Found(rule=own.CHANNEL, about=person, cause=cause, level=2), now_ns)
        self.store.mark(queued, "failed", now_ns, why)

    def channels_of(self, person: str) -> int:
        """How many ways there are to a person."""
        return len(self.ways_to(person))

    def ways_to(self, person: str) -> tuple[Channel, ...]:
        """The channels of a person, in order; the test patient's is its own."""
        if person == SYNTHETIC:
            return (Channel("test:", outside=False),)
        found = self.plan.rota.people.get(person)
        return found.channels if found else ()

    def emergency(self, text: str, now_ns: int) -> None:
        """Tell everyone, past the core: for when the core itself is what fails."""
        minute = now_ns // (60 * SECOND_NS)
        self.store.enqueue(
            Send(
                message_id=message_id(person, "emergency", str(minute), text),
                person=person,
                kind="page",
                priority=Priority.HIGH,
                at_ns=now_ns,
                note=text,
            )
            for person in self.plan.rota.people
        )

    # Answers.

    def tokens_of(self, send: Send, actions: tuple[LinkAction, ...]) -> dict[str, str]:
        """Action -> token of a link, for a message; none where the site gave no key."""
        if self._links is None:
            return {}
        until_ns = send.at_ns + self.plan.policies.link_valid_ns
        return {action: self._links.sign(send, action, until_ns) for action in actions}

    def check_link(self, text: str, asked_ns: int, person: str | None = None, ask_id: str = "") -> Token | LinkRefused:
        """Whether a link may do what it says; a refusal is recorded."""
        token = read(text)
        send = None if token is None else self.store.message(token.message_id)
        used = token is not None and self.store.link_was_used(token.link_id, ask_id)
        found: Token | LinkRefused = (
            LinkRefused("foreign", "There are no links here.")
            if self._links is None
            else self._links.check(text, send, asked_ns, used=used, person=person)
        )
        if isinstance(found, LinkRefused):
            whom = person or (send.person if send is not None and found.why in ("old", "used") else "")
            message = token.message_id if token is not None else "none"
            self.store.note(asked_ns, f"link-{found.why}", f"message {message}", person=whom)
        return found

    def open_link(self, text: str, now_ns: int, person: str | None = None) -> Send | LinkRefused:
        """A link was opened: the message it belongs to is thereby read. Changes nothing else."""
        found = self.check_link(text, now_ns, person)
        if isinstance(found, LinkRefused):
            return found
        send = self.store.message(found.message_id)
        if send is None:  # checked a moment ago
            return LinkRefused("foreign", "This link belongs to no page that was sent from here.")
        self.store.receipt(send.message_id, send.person, "opened", now_ns, "by link")
        return send

    def use_link(
        self,
        text: str,
        now_ns: int,
        *,
        person: str | None = None,
        until_ns: int | None = None,
        reason: str = "",
        ask_id: str = "",
        asked_ns: int | None = None,
    ) -> LinkDone | LinkRefused:
        """Do what a link says, once; asked again under the same id it has done it all the same.

        Args:
            text: The link's token.
            now_ns: Ward time.
            person: Who is signed in where it was used; None: nobody.
            until_ns: For a snooze: its end.
            reason: For a snooze.
            ask_id: Of the request.
            asked_ns: When it was made, where that was before now: whether the link was in time is judged by it.
        """
        asked_ns = now_ns if asked_ns is None else min(asked_ns, now_ns)
        found = self.check_link(text, asked_ns, person, ask_id)
        if isinstance(found, LinkRefused):
            return found
        send = self.store.message(found.message_id)
        if send is None:  # checked a moment ago
            return LinkRefused("foreign", "This link belongs to no page that was sent from here.")
        # Used last: a kill in between leaves a link that does the same again, which changes nothing.
        if found.action != "confirm":
            self.apply(
                Answered(
                    person=send.person,
                    action=found.action,
                    alarms={alarm.alarm_id: alarm.n for alarm in send.alarms if alarm.alarm_id in send.alarm_ids},
                    command_id=found.link_id,
                    until_ns=until_ns,
                    reason=reason,
                ),
                now_ns,
            )
        self.store.receipt(send.message_id, send.person, "answered", asked_ns, found.action)
        if found.action not in ("confirm", "hand-on"):
            self.ways.on_answered(send.alarm_ids, asked_ns)
        self.store.use_link(found.link_id, now_ns, ask_id)
        return LinkDone(send.person, found.action, send)

    def tick(self, now_ns: int) -> None:
        """Let time come to an instant."""
        due = next_ns(self.state)
        if due is not None and due <= now_ns:
            self.apply(Tick(), now_ns)
