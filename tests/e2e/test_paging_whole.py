"""One patient worsens, and a person is paged: devices, brokers, ward, pager, a webhook, its link, and back to the ward.

Nothing in between is replaced: the whole ward runs on the embedded stack, and the page comes by HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from webhooks import Webhook

from deploy.audit import tell_story, verify_audit
from deploy.clock import WardClock
from deploy.paging import demo_paging
from deploy.ward_process import WardFailedError, WardProcess, WardProcessSettings
from device_sim import Simulation, plan, volatile
from device_sim.scenario_file import parse
from stream_processors.paging.outlets import KafkaOutlets
from stream_processors.paging.probe import ProbeSettings, bindings
from stream_processors.paging.ways import HERE
from transport.kafka import KafkaSettings, TopicReader
from vitals import answers, audit, topics
from vitals.answers import Ask, Told
from vitals.events import AlarmEvent, event_decoder

pytestmark = [
    pytest.mark.integration,
    # Apprise still looks for this module on Pythons that have it.
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

PATIENT = "c-02"
SCENARIO = f"""
name: one
seed: 20
speed: 60
start: "08:00"
patients:
  - {{id: {PATIENT}, age: 58, sex: m, devices: [chest, wrist, cuff, tablet]}}
stories:
  - {{patient: {PATIENT}, story: respiratory-failure, at: 1m, tempo: 4}}
"""
PATIENCE_S = 240  # only a test that hangs meets it


class Whole:
    """The ward with its page, and what stands in Kafka."""

    def __init__(self, ward: WardProcess, kafka: KafkaSettings, clock: WardClock, folder: Path, hook: Webhook) -> None:
        self.ward, self.kafka, self.clock, self.folder, self.hook = ward, kafka, clock, folder, hook

    async def page(self) -> dict[str, Any]:
        """The first page about the patient; from then on time goes at the pace of people."""
        while True:
            got = await self.ward_or(self.hook.got.get())
            if PATIENT in got["message"]:
                self.clock.hold()
                self.clock.speed = 1.0
                self.clock.begin()
                return got

    async def ask(self, ask_id: str, token: str, *, use: bool = True) -> Told:
        """Open or use a link, as whoever serves the answer page does; what came of it."""
        outlets = KafkaOutlets(self.kafka)
        await outlets.start()
        try:
            await outlets.ask(Ask(ask_id=ask_id, token=token, use=use, at_ns=self.clock.now_ns()))
        finally:
            await outlets.stop()

        def mine(value: bytes) -> Told | None:
            said = answers.decoder.decode(value)
            return said if isinstance(said, Told) and said.ask_id == ask_id else None

        return await self.first(topics.ANSWERS.name, mine)

    async def event(self, matches: Callable[[AlarmEvent], bool]) -> AlarmEvent:
        def mine(value: bytes) -> AlarmEvent | None:
            event = event_decoder.decode(value)
            return event if matches(event) else None

        return await self.first(topics.ALARMS.name, mine)

    async def entry(self, what: str) -> audit.Entry:
        def mine(value: bytes) -> audit.Entry | None:
            entry = audit.entry_decoder.decode(value)
            return entry if entry.what == what else None

        return await self.first(topics.AUDIT.name, mine)

    async def first(self, topic: str, mine: Callable[[bytes], Any]) -> Any:
        async def look() -> Any:
            async with TopicReader(self.kafka, (topic,)) as reader:
                async for record in reader:
                    if (found := mine(record.value or b"")) is not None:
                        return found
            raise AssertionError(f"{topic} ended")

        return await self.ward_or(look())

    async def ward_or(self, waiting: Awaitable[Any]) -> Any:
        """What is waited for, or why the ward failed."""
        task = asyncio.ensure_future(waiting)
        await self.ward.unless_failed(task, timeout_s=PATIENCE_S)
        if not task.done():
            task.cancel()
        return await task


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    hook = Webhook()
    await hook.up()
    clock = WardClock(60.0, 1_767_268_800_000_000_000, waiting=True)
    planned = plan(parse(SCENARIO, "one.yaml", None), clock.now_ns(), volatile)
    made: list[KafkaSettings] = []

    def paging(kafka: KafkaSettings, _page: str):
        made.append(kafka)
        return demo_paging(kafka, tmp_path, "http://127.0.0.1:9/", (hook.address,), person="wren", speed=60.0)

    settings = WardProcessSettings(tmp_path / "ward.sqlite", partitions=1, ticks_per_s=10, paging=paging)
    said = (*planned.records, *bindings(clock.now_ns(), ProbeSettings()))
    async with WardProcess(settings, clock, said) as ward:
        simulation = Simulation(planned, await ward.publisher(), clock)
        clock.begin()
        playing = asyncio.create_task(simulation.run())
        yield Whole(ward, made[0], clock, tmp_path, hook)
        simulation.stop()
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
    await hook.down()


async def test_from_the_onset_to_the_answer_by_a_link(whole: Whole):
    got = await whole.page()
    tokens = dict(re.findall(r"http://127\.0\.0\.1:9/a/([0-9a-f]{24}\.([a-z])\.[0-9a-f]+\.[\w-]{22})", got["message"]))
    token = {letter: token for token, letter in tokens.items()}["a"]

    opened = await whole.ask("opened", token, use=False)
    assert (opened.refused, opened.used, opened.person, opened.action) == ("", False, "wren", "acknowledge")
    alarm_id = opened.alarms[0]
    assert alarm_id.startswith(f"{PATIENT}:")

    forged = await whole.ask("forged", token[:-1] + ("A" if token[-1] != "A" else "B"))
    assert (forged.refused, forged.used, forged.alarms) == ("forged", False, ())
    assert not [e for e in whole.ward.alarms.events if e.event == "acknowledged"]

    used = await whole.ask("used", token)
    assert (used.refused, used.used) == ("", True)
    acknowledged = await whole.event(lambda event: event.event == "acknowledged" and event.alarm_id == alarm_id)
    assert acknowledged.by == "wren"
    assert acknowledged.state["attention"] == "acknowledged"
    raised = await whole.event(lambda event: event.event == "raised" and event.alarm_id == alarm_id)
    assert raised.at_ns < acknowledged.at_ns

    again = await whole.ask("again", token)
    assert (again.refused, again.used) == ("used", False)
    message = token.partition(".")[0]
    assert message in (await whole.entry("link-forged")).text
    refused = await whole.entry("link-used")
    assert (refused.person, message in refused.text) == ("wren", True)
    assert [event.by for event in whole.ward.alarms.events if event.event == "acknowledged"].count("wren") == len(
        used.alarms
    )

    await whole.ward_or(whole.entry("hops"))
    await whole.ward_or(_kept(whole, "link-used"))
    file = whole.folder / "audit.jsonl"
    assert verify_audit(file)["broken"] is None
    ways = whole.ward.pager.pager.engine.ways.hops
    assert {hop: times.count > 0 for hop, times in ways.items()} == dict.fromkeys(HERE, True)
    story = tell_story(file, alarm_id)["story"]
    told = [fact.get("event") or fact["what"] for fact in story]
    assert told[0] == "raised"
    assert {"page-queued", "page-sent", "page-opened", "page-answered", "acknowledged"} <= set(told)
    # A command's event has the time of the ward's newest tick, which lies before the pager's own clock.
    own = [fact["what"] for fact in story if fact.get("message") == message]
    assert own.index("page-queued") < own.index("page-opened")
    (took,) = (fact["text"] for fact in story if fact.get("what") == "hops")
    hops = dict(re.findall(r"(\w+) (\d+\.\d) s", took))
    assert {"judge", "notice", "send", "answer", "confirm", "to_answered"} <= set(hops)
    assert float(hops["to_answered"]) >= float(hops["answer"]) > 0


async def _kept(whole: Whole, what: str) -> None:
    """Until the keeper's file has a fact of a kind, and all that stood in Kafka before."""
    keeper = whole.ward.pager.keeper
    while await keeper.behind() or what.encode() not in keeper.file.path.read_bytes():
        await asyncio.sleep(0.05)


async def test_a_test_patient_that_fails_in_a_way_of_its_own_ends_the_ward_with_its_reason(whole: Whole):
    async def broken(_topic: str, _payload: bytes) -> None:
        raise RuntimeError("no way to send")

    whole.ward.pager.start_probe(broken)
    with pytest.raises(WardFailedError, match="pager cannot go on: RuntimeError: no way to send"):
        await whole.ward.unless_failed(timeout_s=PATIENCE_S)
