"""A model that hangs or fails in the stream: the log says so, limits and scores go on, and the log replays the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stream_processors.monitoring import Monitoring
from stream_processors.settings import StreamSettings
from tests.wards import SentBundle, admitted, block, ns
from transport.kafka import make_producer, read_all
from vitals import block as blocks
from vitals import frames_codec, log, topics
from vitals.asking import Absence
from vitals.detector import Scored
from vitals.events import event_decoder
from vitals.log import Outage, Tick
from vitals.reading import Block
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.ward import Plugged, Ward, WardSettings

pytestmark = pytest.mark.integration

ILL = {"hr": 134.0, "spo2": 84.0, "resp": 26.0, "temp_c": 36.8, "sbp": 122.0, "consciousness": 0.0, "oxygen": 0.0}


class Model:
    """A detector that a test holds up, or lets fail."""

    name, version, grid_ns, warm_up, parts, threshold = "anomaly", "1", MINUTE_NS, 1, ("it",), 0.5

    def __init__(self) -> None:
        self.free, self.fails = threading.Event(), False
        self.free.set()

    def start(self, rows):
        return {"n": np.zeros(rows)}

    def step(self, frames, state):
        self.free.wait()
        if self.fails:
            raise RuntimeError("out of order")
        n = len(frames.value)
        nothing = np.full(n, -1)
        return Scored(np.full(n, 0.2), nothing, nothing), {"n": state["n"] + 1}


def ward_of(model) -> Callable[[], Ward]:
    return lambda: Ward(WardSettings(detectors_after_ns=2 * SECOND_NS), (Plugged(model, "anomaly"),))


async def until(holds: Callable[[], Any]) -> None:
    while not (found := holds() if not asyncio.iscoroutinefunction(holds) else await holds()):
        await asyncio.sleep(0.01)
    return found


class Stream:
    """Writes minutes of one ill patient and reads what monitoring made of them."""

    def __init__(self, kafka, producer) -> None:
        self.kafka, self.producer, self.minute = kafka, producer, 0

    async def write(self, *records) -> None:
        for record in records:
            kind, data = (log.BLOCK, blocks.encode(record)) if isinstance(record, Block) else log.encode(record)
            headers = [(log.HEADER, kind)]
            await self.producer.send_and_wait(topics.INPUT.name, data, partition=0, headers=headers)

    async def outages(self) -> list[str]:
        found = await read_all(self.kafka, topics.INPUT.name)
        return [log.decode(r.value).state for r in found if r.header(log.HEADER) == b"outage"]

    async def absences(self) -> list[int]:
        return [int(frames_codec.decode(r.value).absent[0, 0]) for r in await read_all(self.kafka, topics.FRAMES.name)]

    async def events(self) -> list[Any]:
        return [event_decoder.decode(r.value) for r in await read_all(self.kafka, topics.ALARMS.name)]

    async def half(self) -> None:
        """A minute up to the close of its frame: its detectors are not asked yet."""
        k = self.minute
        bundle = SentBundle("dev", "p", k, 60 * k + 30, [(s, v, 60 * k + 30) for s, v in ILL.items()])
        await self.write(block([bundle]), Tick(now_ns=ns(60 * k + 71)))

    async def ask(self) -> None:
        """And on to the asking."""
        await self.write(Tick(now_ns=ns(60 * self.minute + 73)))
        self.minute += 1

        async def asked() -> bool:
            return len(await self.absences()) == self.minute

        await until(asked)


@pytest.fixture
async def stream(kafka, clock):
    producer = make_producer(kafka)
    await producer.start()
    yield Stream(kafka, producer)
    await producer.stop()


async def started(kafka, clock, model, failures) -> Monitoring:
    settings = StreamSettings(kafka, partitions=3, session_s=1.0, model_deadline_s=1.0)
    app = Monitoring(settings, clock, ward=ward_of(model), fatal=lambda _, error: failures.append(error))
    await app.start()
    await app.ready.wait()
    return app


async def test_a_model_that_hangs_is_withdrawn_by_the_log_and_comes_back_and_a_replay_says_the_same(
    kafka, clock, stream
):
    model, failures = Model(), []
    app = await started(kafka, clock, model, failures)
    try:
        await stream.write(*admitted("p", {"dev": 60.0}), Tick(now_ns=ns(10)))
        await stream.half()
        await stream.ask()
        model.free.clear()
        await stream.half()

        async def said() -> bool:
            return await stream.outages() == ["late"]

        await until(said)
        # The frame has closed and the model hangs: what needs no model is out.
        assert {e.rule for e in await stream.events()} >= {"spo2-low"}
        await stream.ask()
        for _ in range(6):
            await stream.half()
            await stream.ask()
        assert app.how() == ("slow", app.how()[1])
        assert "model anomaly " in app.how()[1]
        assert " late" in app.how()[1]
        assert [e.rule for e in await stream.events() if e.event == "raised"] == [
            "spo2-low", "news2", "news2-single", "model-late"
        ]  # fmt: skip
        model.free.set()
        await stream.half()

        async def back() -> bool:
            return await stream.outages() == ["late", "over"]

        await until(back)
        await stream.ask()
        await stream.half()
        await stream.ask()
        assert await stream.absences() == [Absence.GIVEN, *[Absence.LATE] * 7, Absence.GIVEN, Absence.GIVEN]
        events = await stream.events()
        assert [e.event for e in events if e.rule == "model-late"] == ["raised", "returned", "closed"]
        assert not failures

        again = ward_of(Model())()
        replayed = []
        for record in await read_all(kafka, topics.INPUT.name):
            one = blocks.decode(record.value) if record.header(log.HEADER) == log.BLOCK else log.decode(record.value)
            replayed += again.step(one).events
        assert replayed == events
    finally:
        model.free.set()
        await app.stop()


async def test_a_model_that_fails_in_its_thread_is_said_in_the_log_before_the_ward_asks(kafka, clock, stream):
    model, failures = Model(), []
    app = await started(kafka, clock, model, failures)
    try:
        await stream.write(*admitted("p", {"dev": 60.0}), Tick(now_ns=ns(10)))
        model.fails = True
        await stream.half()

        async def said() -> bool:
            return await stream.outages() == ["failed"]

        await until(said)
        await stream.ask()
        assert await stream.absences() == [Absence.FAILED]
        assert not failures
    finally:
        await app.stop()


async def test_a_restarted_part_finds_out_that_a_withdrawn_model_answers(kafka, clock, stream):
    model, failures = Model(), []
    await stream.write(
        *admitted("p", {"dev": 60.0}),
        Tick(now_ns=ns(10)),
        Outage(detector="anomaly", version="1", state="late", at_ns=0),
    )
    app = await started(kafka, clock, model, failures)
    try:
        await stream.half()

        async def back() -> bool:
            return await stream.outages() == ["late", "over"]

        await until(back)
        await stream.ask()
        assert await stream.absences() == [Absence.GIVEN]
        assert not failures
    finally:
        await app.stop()
