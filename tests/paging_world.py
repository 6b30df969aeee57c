"""A small ward for the pager's tests: three people, a rota without end, alarm events as the ward would tell them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from stream_processors.paging.core import Plan, next_ns, step
from stream_processors.paging.policy import DEFAULT, Policies
from stream_processors.paging.rota import Channel, Person, Rota, Shift, Team
from stream_processors.paging.state import Decision, Happened, Input, PagerState, Send, Tick
from vitals.alarm import Alarm, Due, Raise, Return
from vitals.alarm import step as alarm_step
from vitals.answers import Ask, Shown, Told
from vitals.audit import Entry
from vitals.duty import Board
from vitals.events import AlarmEvent
from vitals.log import Command
from vitals.rules import RULES

START = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
S = 1_000_000_000
M = 60 * S
H = 60 * M


def rota(**changes: object) -> Rota:
    """`wren` first, `heron` second, `kestrel` leads; always."""
    people = {name: Person(id=name, channels=(Channel(f"file:{name}"),)) for name in ("wren", "heron", "kestrel")}
    shift = {"from_minute": 0, "to_minute": 0, "since": dt.date(2020, 1, 1)}
    made = Rota(
        zone="Europe/Berlin",
        people=people,
        teams={"ward": Team(id="ward", members=tuple(people), leads=("kestrel",), lines=("first", "second"))},
        shifts=(
            Shift(team="ward", line="first", people=("wren",), **shift),
            Shift(team="ward", line="second", people=("heron",), **shift),
        ),
    )
    return msgspec.structs.replace(made, **changes)


class WardStub:
    """The ward's alarm machines, one for each patient and rule: what the pager reads is what they say."""

    def __init__(self) -> None:
        self.alarms: dict[tuple[str, str, str], Alarm | None] = {}

    def raise_(self, patient: str, rule: str, at_ns: int, level: int = 1, device: str = "") -> list[AlarmEvent]:
        return self._say(
            patient, rule, device, Raise(at_ns=at_ns, cause=f"{rule} {level}", level=level, device=device), at_ns
        )

    def end(self, patient: str, rule: str, at_ns: int, device: str = "") -> list[AlarmEvent]:
        return self._say(patient, rule, device, Return(at_ns=at_ns, device=device), at_ns)

    def obey(self, command: Command, now_ns: int) -> list[AlarmEvent]:
        for (patient, rule, device), alarm in list(self.alarms.items()):
            if alarm is not None and alarm.alarm_id == command.alarm_id:
                return self._say(patient, rule, device, command, now_ns)
        return []

    def next_ns(self) -> int | None:
        """When a machine next does something by itself."""
        timers = (alarm.timer_ns() for alarm in self.alarms.values() if alarm is not None)
        return min((at for at in timers if at is not None), default=None)

    def tick(self, now_ns: int) -> list[AlarmEvent]:
        events: list[AlarmEvent] = []
        for (patient, rule, device), alarm in list(self.alarms.items()):
            if alarm is not None:
                events += self._say(patient, rule, device, Due(at_ns=now_ns), now_ns)
        return events

    def _say(self, patient: str, rule: str, device: str, said: object, now_ns: int) -> list[AlarmEvent]:
        key = (patient, rule, device)
        after, events = alarm_step(self.alarms.get(key), said, now_ns, RULES[rule], patient=patient)  # type: ignore[arg-type]
        self.alarms[key] = after
        return list(events)


class Scene:
    """A core, a ward and a clock that goes when it is told to; every decision is kept with its time."""

    def __init__(self, plan: Plan | None = None, *, policies: Policies = DEFAULT) -> None:
        self.plan = plan or Plan(rota(), policies)
        self.state = PagerState()
        self.now_ns = START
        self.ward = WardStub()
        self.told: list[tuple[int, Decision]] = []

    def say(self, *said: Input) -> list[Decision]:
        out: list[Decision] = []
        for one in said:
            self.state, decisions = step(self.plan, self.state, one, self.now_ns)
            out += decisions
        self.told += [(self.now_ns, decision) for decision in out]
        return out

    def events(self, events: Iterable[AlarmEvent]) -> list[Decision]:
        return self.say(*(Happened(event) for event in events))

    def raise_(self, patient: str, rule: str, level: int = 1, device: str = "") -> list[Decision]:
        return self.events(self.ward.raise_(patient, rule, self.now_ns, level, device))

    def end(self, patient: str, rule: str, device: str = "") -> list[Decision]:
        return self.events(self.ward.end(patient, rule, self.now_ns, device))

    def acknowledge(self, patient: str, rule: str, by: str) -> list[Decision]:
        alarm = self.ward.alarms[patient, rule, ""]
        assert alarm is not None
        command = Command(
            command_id=f"c{self.now_ns}", patient=patient, alarm_id=alarm.alarm_id, action="acknowledge", by=by
        )
        return self.events(self.ward.obey(command, self.now_ns))

    def go(self, to_ns: int, every_ns: int = S) -> list[Decision]:
        """Let time go to an instant, told every so often; the ward's own timers speak as well."""
        out: list[Decision] = []
        while self.now_ns < to_ns:
            self.now_ns = min(self.now_ns + every_ns, to_ns)
            out += self.events(self.ward.tick(self.now_ns))
            out += self.say(Tick())
        return out

    def jump(self, to_ns: int) -> list[Decision]:
        """Let time go to an instant as the shell does: from one due time to the next."""
        out: list[Decision] = []
        while self.now_ns < to_ns:
            due = [at for at in (next_ns(self.state), self.ward.next_ns()) if at is not None]
            self.now_ns = min(to_ns, max(self.now_ns, min(due, default=to_ns)))
            out += self.events(self.ward.tick(self.now_ns))
            out += self.say(Tick())
        return out


class Outlets:
    """Keeps what the pager writes in Kafka; `obey` is told of commands for the ward."""

    def __init__(self, obey: Callable[[Command], Awaitable[None]] | None = None) -> None:
        self.commands: list[Command] = []
        self.events: list[AlarmEvent] = []
        self.told: list[Told] = []
        self.shown: list[Shown] = []
        self.asked: list[Ask] = []
        self.entries: list[Entry] = []
        self.health: dict[str, object] = {}
        self.board: Board | None = None
        self._obey = obey

    async def order(self, command: Command) -> None:
        self.commands.append(command)
        if self._obey is not None:
            await self._obey(command)

    async def publish(self, event: AlarmEvent) -> None:
        self.events.append(event)

    async def tell(self, told: Told) -> None:
        self.told.append(told)

    async def ask(self, ask: Ask) -> None:
        self.asked.append(ask)

    async def show(self, shown: Shown) -> None:
        self.shown.append(shown)

    async def record(self, entry: Entry) -> None:
        self.entries.append(entry)

    async def post(self, board: Board) -> None:
        self.board = board

    async def say(self, health: dict[str, object]) -> None:
        self.health = health


def ask(token: str, at_ns: int, *, use: bool = True, **more: object) -> Ask:
    """A link opened or used by whoever serves the page."""
    return Ask(ask_id=f"{token[:24]}{use}", token=token, use=use, at_ns=at_ns, **more)  # type: ignore[arg-type]


def sends(decisions: Iterable[Decision], kind: str = "page") -> list[Send]:
    return [d for d in decisions if isinstance(d, Send) and d.kind == kind]


def people(decisions: Iterable[Decision], kind: str = "page") -> list[str]:
    return [send.person for send in sends(decisions, kind)]
