"""Clinical rules as truth tables over time, each run by three runners: `ward`, `replay` and `stream`.

A table has a row for each second at which something changes or is looked at::

    second | spo2 | say           | spo2-low
    0      | 84   |               | pending
    60     |      |               | active high
    90     |      | ack ann       | active acknowledged

*Left of `say`* (signs): a value stands until another one is given; `-` takes the sensor off. The patient's one device
sends what stands every ten seconds, and at every row. *`say`* is said at that second, before the device speaks:

    ack|shelve|expect|resolve WHO ...   a command about the rule's newest alarm (`seen N` at its end; `other` alarm)
    silent, speak                       the device stops sending, sends again
    offline, online                     it measures on and queues, sends its queue
    poor, good                          its signal
    pause WHO [SECONDS], admit, discharge WHO, limit RULE VALUE, move (its device goes to somebody else)

*Right of it* (rules): what must be true of the rule's newest alarm, by what was told up to that second of event time;
every word of the cell holds: `-` or `pending` nobody was told of any; `active`, `returned`, `closed`; `observed`,
`unobserved`; `acknowledged`, `unacknowledged`; `shelved`, `on-phone`; `expecting`; a
priority; `refused` a command at that second; `raised!` its newest event, `n3` that one's number; `x2` so many alarms of
the rule. An empty cell is not looked at.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from wards import START_NS, SentBundle, block

from deploy.embedded import EmbeddedKafka, EmbeddedSettings
from deploy.replay_ward import replay
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings, TopicReader, make_producer
from vitals import block as blocks
from vitals import log, records, topics
from vitals.digest import ordered
from vitals.events import AlarmEvent, event_decoder
from vitals.log import Binding, Command, Enrolment, Limit, Record, Tick
from vitals.reading import Block, Quality
from vitals.signs import BY_COLUMN, SECOND_NS, Consciousness
from vitals.ward import Ward

PERIOD_S = 10
WELL = {"hr": 70, "spo2": 97, "resp": 15, "temp_c": 36.8, "sbp": 120, "consciousness": "A", "oxygen": 0}
Play = Callable[..., list[AlarmEvent]]


@dataclass
class Row:
    second: int
    signs: dict[str, str]
    say: list[str]
    expected: dict[str, list[str]]


def read_table(text: str) -> list[Row]:
    header, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    rows = []
    for line in lines:
        cells = dict(zip(header, line, strict=True))
        rows.append(
            Row(
                int(cells["second"]),
                {name: cells[name] for name in header if name in BY_COLUMN and cells[name]},
                cells.get("say", "").split(),
                {n: cells[n].split() for n in header if n not in BY_COLUMN and n not in {"second", "say"}},
            )
        )
    return rows


@dataclass
class Script:
    """A table as records of the log; made by driving a ward, because a command names an alarm that must exist."""

    rows: list[Row]
    patient: str
    base_ns: int
    stands: dict[str, float]
    period_s: float
    ward: Ward = field(default_factory=Ward)
    records: list[Record] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    sent: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seq: int = 0
    said: int = 0
    mood: set[str] = field(default_factory=set)
    queue: list[SentBundle] = field(default_factory=list)

    def ns(self, second: float) -> int:
        return self.base_ns + round(second * SECOND_NS)

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.events += self.ward.step(record).events

    def run(self) -> None:
        device = f"rec-{self.patient}"
        self.put(Tick(now_ns=self.ns(0)))
        self.put(Enrolment(patient=self.patient, state="admitted", at_ns=self.ns(0)))
        self.put(
            Binding(device=device, patient=self.patient, from_ns=self.ns(0), period_ns=round(self.period_s * SECOND_NS))
        )
        last = self.rows[-1].second
        at = {row.second: row for row in self.rows}
        regular = {s for s in range(0, last + 1, PERIOD_S) if s % self.period_s == 0}
        for second in sorted(set(at) | set(range(0, last + 1, PERIOD_S))):
            self.put(Tick(now_ns=self.ns(second)))
            if row := at.get(second):
                if row.say:
                    self.say(second, row.say)
                for name, cell in row.signs.items():
                    self.stands[name] = as_number(cell)
            if row or second in regular:
                self.send(device, second)
        closing = (last // 60 + 1) * 60 + PERIOD_S  # as a replay ends: the last frame closes
        for second in range(last // PERIOD_S * PERIOD_S + PERIOD_S, closing, PERIOD_S):
            self.put(Tick(now_ns=self.ns(second)))
        self.put(Tick(now_ns=self.ns(closing)))

    def send(self, device: str, second: int) -> None:
        if "silent" in self.mood:
            return
        there = {name: value for name, value in self.stands.items() if not np.isnan(value)}
        self.sent.append((second, there))
        offset_s = (self.base_ns - START_NS) / SECOND_NS
        readings = [(name, value, second + offset_s) for name, value in there.items()]
        quality = dict.fromkeys(range(len(readings)), Quality.POOR) if "poor" in self.mood else {}
        bundle = SentBundle(device, self.patient, self.seq, second + offset_s, readings, quality=quality)
        self.seq += 1
        if "offline" in self.mood:
            self.queue.append(bundle)
            return
        for queued in self.queue:
            queued.at_s = second + offset_s
            self.put(block([queued]))
        self.queue = []
        self.put(block([bundle]))

    def say(self, second: int, words: list[str]) -> None:
        now, patient = self.ns(second), self.patient
        match words:
            case ["silent" | "poor" | "offline" as mood]:
                self.mood.add(mood)
            case ["speak" | "good" | "online" as end]:
                self.mood.discard({"speak": "silent", "good": "poor", "online": "offline"}[end])
            case ["pause" | "admit" | "discharge" as what, who, *rest]:
                state = {"pause": "paused", "admit": "admitted", "discharge": "discharged"}[what]
                until = now + int(rest[0]) * SECOND_NS if rest else None
                self.put(Enrolment(patient=patient, state=state, at_ns=now, by=who, reason="scan", until_ns=until))
            case ["limit", rule, value]:
                own = None if value == "-" else float(value)
                self.put(Limit(patient=patient, rule=rule, threshold=own, at_ns=now, by="ann", reason="COPD"))
            case ["move"]:
                period = round(self.period_s * SECOND_NS)
                other = f"{patient}-b"
                self.put(Enrolment(patient=other, state="admitted", at_ns=now))
                self.put(Binding(device=f"rec-{patient}", patient=other, from_ns=now, period_ns=period))
            case _:
                self.put(self.command(now, words))

    def command(self, now: int, words: list[str]) -> Command:
        self.said += 1
        more: dict[str, object] = {}
        if "seen" in words:
            more["seen"] = int(words[-1])
            words = words[: words.index("seen")]
        if words[-1] == "other":
            alarm_id, words = f"{self.patient}:spo2-low:1", words[:-1]
        else:
            rule = next(iter(self.rows[0].expected))
            told = [e for e in self.events if e.rule == rule and e.event == "raised"]
            alarm_id = told[-1].alarm_id
        action, by, *rest = words
        if len(rest) == 3:
            more |= {"direction": rest[1], "bound": float(rest[2])}
        if action == "shelve":
            more |= {"until_ns": now + int(rest[0]) * SECOND_NS, "reason": "physiotherapy"}
        elif action == "expect":
            more |= {"within_ns": int(rest[0]) * SECOND_NS, "reason": "gave oxygen"}
        elif action == "resolve":
            more |= {"outcome": rest[0]}
        return Command(
            command_id=f"{self.patient}-{self.said}",
            patient=self.patient,
            alarm_id=alarm_id,
            action="acknowledge" if action == "ack" else action,
            by=by,
            **more,
        )

    @property
    def only_readings(self) -> bool:
        """Whether a recording can hold it: no person speaks, no device falls silent."""
        return not any(row.say for row in self.rows) and self.period_s == PERIOD_S


def as_number(cell: str) -> float:
    if cell == "-":
        return float("nan")
    return float(Consciousness[cell]) if cell in Consciousness.__members__ else float(cell)


def check(rows: list[Row], events: list[AlarmEvent], patient: str, base_ns: int) -> None:
    """Hold every cell against what was told up to its second."""
    for row in rows:
        now = base_ns + row.second * SECOND_NS
        past = [e for e in events if e.at_ns <= now and e.patient == patient]
        for rule, wanted in row.expected.items():
            found = facts(past, rule, now)
            assert set(wanted) <= found, f"second {row.second}, {rule}: wanted {wanted}, found {sorted(found)}"


def facts(past: list[AlarmEvent], rule: str, now: int) -> set[str]:
    mine = [e for e in past if e.rule == rule and e.event != "command_refused"]
    found = {"refused"} if any(e.event == "command_refused" and e.at_ns == now for e in past) else set()
    if not mine:
        return found | {"-", "pending", "x0"}
    newest = max(mine, key=lambda e: (e.alarm_id, e.n))
    state = newest.state
    found |= {f"n{newest.n}", f"x{len({e.alarm_id for e in mine})}", str(newest.priority), f"{newest.event}!"}
    found |= {str(state["observation"]), str(state["attention"])}
    found.add("closed" if state["closed"] else str(state["condition"]))
    found.add("shelved" if state["shelf"] == "shelved" else "on-phone")
    if "expecting_by" in state:
        found.add("expecting")
    return found


# -- the runners -------------------------------------------------------------------------------------------------------


class WardRunner:
    """The ward directly."""

    def __call__(self, table: str, **stands: object) -> list[AlarmEvent]:
        script = self.script(table, START_NS, "p-1", stands)
        check(script.rows, script.events, script.patient, script.base_ns)
        return script.events

    @staticmethod
    def script(table: str, base_ns: int, patient: str, stands: dict[str, object]) -> Script:
        period = float(stands.pop("period_s", PERIOD_S))
        numbers = {name: as_number(str(value)) for name, value in stands.items()}
        script = Script(read_table(table), patient, base_ns, numbers, period)
        script.run()
        return script


class ReplayRunner(WardRunner):
    """A recording of the same readings through the replay without brokers."""

    def __call__(self, table: str, **stands: object) -> list[AlarmEvent]:
        script = self.script(table, START_NS, "p-1", stands)
        if not script.only_readings:
            pytest.skip("a recording holds readings alone: nobody speaks in it")
        time_ns = np.array([script.ns(second) for second, _ in script.sent])
        names = sorted({name for _, there in script.sent for name in there})
        table_of = {name: np.array([there.get(name, np.nan) for _, there in script.sent]) for name in names}
        for name, words in (("consciousness", list(Consciousness.__members__)), ("oxygen", ["false", "true"])):
            if name in table_of:
                codes = np.where(np.isnan(table_of[name]), -1, table_of[name]).astype(np.int64)
                table_of[name] = records.Text(tuple(words), codes)
        patient = records.Text((script.patient,), np.zeros(len(time_ns), dtype=np.int64))
        recording = records.recording({"patient": patient, "time_ns": time_ns, **table_of})
        events = replay(recording, make_ward=Ward).events
        check(script.rows, events, script.patient, script.base_ns)
        assert ordered(events) == ordered(script.events)
        return events


class StreamRunner(WardRunner):
    """The Faust app on the embedded cluster; one for all tables of the session, an hour and a patient for each."""

    EPOCH_NS = 3600 * SECOND_NS

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="stream runner")
        self.thread.start()
        self.numbers = itertools.count(1)
        self.fatal: list[BaseException] = []
        self.run(self.start())

    def run(self, work: object) -> object:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)

    async def start(self) -> None:
        wanted = {topic.name: 1 for topic in topics.ALL}
        self.cluster = EmbeddedKafka(EmbeddedSettings(topics=wanted))
        await self.cluster.start()
        self.kafka = KafkaSettings(self.cluster.bootstrap, fetch_max_wait_ms=10)
        self.producer = make_producer(self.kafka)
        await self.producer.start()
        settings = StreamSettings(self.kafka, partitions=1)
        clock = type("Still", (), {"now_ns": staticmethod(lambda: START_NS)})()
        self.monitoring = Monitoring(settings, clock, ward=Ward, fatal=lambda _, error: self.fatal.append(error))
        await self.monitoring.start()
        self.alarms = TopicReader(self.kafka, (topics.ALARMS.name,))
        await self.alarms.start()
        await self.monitoring.ready.wait()

    def __call__(self, table: str, **stands: object) -> list[AlarmEvent]:
        number = next(self.numbers)
        script = self.script(table, START_NS + number * self.EPOCH_NS, f"p-{number}", stands)
        events = self.run(self.play(script.records, script.patient))
        mine = [e for e in events if e.patient.startswith(script.patient)]
        check(script.rows, mine, script.patient, script.base_ns)
        assert ordered(mine) == ordered(script.events)
        return mine

    async def play(self, script: list[Record], patient: str) -> list[AlarmEvent]:
        """Write the records and one last command that is refused: its answer says that all was judged."""
        last = Command(command_id=f"last-{patient}", patient=patient, alarm_id="none", action="acknowledge", by="end")
        leave = [Enrolment(patient=p, state="discharged", at_ns=0, by="end") for p in (patient, f"{patient}-b")]
        waits = []
        for record in (*script, last, *leave):
            kind, data = (log.BLOCK, blocks.encode(record)) if isinstance(record, Block) else log.encode(record)
            headers = [(log.HEADER, kind)]
            waits.append(await self.producer.send(topics.INPUT.name, data, partition=0, headers=headers))
        await asyncio.gather(*waits)
        events: list[AlarmEvent] = []
        while not any(e.command_id == last.command_id for e in events):
            assert not self.fatal, self.fatal
            events += [event_decoder.decode(r.value) for r in await self.alarms.read(timeout_s=1.0)]
        return [e for e in events if e.command_id != last.command_id and e.by != "end"]

    async def stop(self) -> None:
        await self.monitoring.stop()
        await self.alarms.stop()
        await self.producer.stop()
        await self.cluster.stop()

    def close(self) -> None:
        self.run(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def stream_runner() -> Iterator[StreamRunner]:
    runner = StreamRunner()
    yield runner
    runner.close()


@pytest.fixture(params=["ward", "replay", pytest.param("stream", marks=pytest.mark.integration)])
def play(request: pytest.FixtureRequest) -> Play:
    """``play(table, **what stands beside it)``: plays it in one of the three ways and gives the events."""
    if request.param == "stream":
        return request.getfixturevalue("stream_runner")
    return WardRunner() if request.param == "ward" else ReplayRunner()
