"""The streams to the pages, on a real event loop with short times."""

import asyncio
import json

import pytest
from console_made_up import WELL, Alarms, at, frames

from dashboards.console import Console, ConsoleSettings, NoHistory

PERSON = "imre"


class Clock:
    speed = 60.0

    def now_ns(self):
        return at(0)


def make(**more):
    times = {"heartbeat_s": 0.08, "silence_s": 0.5, "coalesce_s": 0.02}
    commands = []

    async def send(command):
        commands.append(command)

    return Console(ConsoleSettings(**(times | more)), NoHistory(), send, Clock())


class Page:
    """Reads a stream as a page does."""

    def __init__(self, console, person=PERSON, still=lambda: True):
        self.stream = console.streams.follow(person, f"page-{id(self)}", still)

    async def next(self, wanted=None):
        async with asyncio.timeout(5):
            while True:
                event, data = (await anext(self.stream)).decode().rstrip("\n").split("\n")
                name = event.removeprefix("event: ")
                if wanted is None or name == wanted:
                    return name, json.loads(data.removeprefix("data: "))

    async def ended(self):
        async with asyncio.timeout(5):
            async for _ in self.stream:
                pass
        return True


async def test_first_the_picture_then_beats():
    console = make(title="Ward 4", volatile=True)
    console.on_frames(frames({"p-1": WELL}, 1))
    page = Page(console)
    name, picture = await page.next()
    assert name == "picture"
    assert [row["id"] for row in picture["patients"]] == picture["order"] == ["p-1"]
    assert (picture["title"], picture["volatile"], picture["speed"]) == ("Ward 4", True, 60)
    name, beat = await page.next()
    assert name == "beat"
    assert beat["now"] == at(0) // 1_000_000
    await page.stream.aclose()


async def test_a_change_has_only_what_changed():
    console = make()
    console.on_frames(frames({"p-1": WELL, "p-2": WELL}, 1))
    page = Page(console)
    await page.next()
    alarms = Alarms()
    alarms.raised("p-2", "spo2-low", 1)
    console.on_alarm(alarms.events[0], {}, (0, 0))
    _, change = await page.next("change")
    (row,) = change["patients"]
    assert set(row) == {"id", "alarms", "group"}
    assert change["order"] == ["p-2", "p-1"]
    assert "fresh" not in change  # without stamps nobody can say how long it took
    await page.stream.aclose()


async def test_what_happens_at_once_is_told_together():
    console = make(coalesce_s=0.2)
    page = Page(console)
    await page.next()
    console.on_frames(frames({"p-1": WELL}, 1))
    await page.next("change")
    for minute in range(2, 12):
        console.on_frames(frames({"p-1": WELL | {"hr": 60 + minute}}, minute))
        await asyncio.sleep(0)
    _, change = await page.next("change")
    assert change["patients"][0]["measures"]["rate"]["text"] == "71"
    await page.stream.aclose()


async def test_live_events_are_reported_as_pushed_when_the_server_took_them():
    console = make()
    page = Page(console)
    await page.next()
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 1)
    console.on_alarm(alarms.events[0], {"scored": at(0), "emitted": at(0)}, (0, 0))
    _, change = await page.next("change")
    assert change["fresh"] == [{"id": alarms.events[0].event_id, "patient": "p-1"}]
    await page.next()
    assert "show:push" in {row["hop"] for row in console.hop_times.table()}
    await page.stream.aclose()


async def test_an_alarm_does_not_wait_until_the_next_change_is_due():
    console = make(coalesce_s=8.0, heartbeat_s=100.0, silence_s=300.0)
    console.on_frames(frames({"p-1": WELL}, 1))
    page = Page(console)
    await page.next("picture")
    console.on_frames(frames({"p-1": WELL | {"hr": 99}}, 2))
    following = asyncio.create_task(page.next("change"))
    for _ in range(5):  # the stream sees the change, and waits until it may tell it
        await asyncio.sleep(0)
    alarms = Alarms()
    alarms.raised("p-1", "spo2-low", 2)
    console.on_alarm(alarms.events[0], {"scored": at(0), "emitted": at(0)}, (0, 0))
    _, change = await following  # within five seconds, or it fails
    assert change["fresh"] == [{"id": alarms.events[0].event_id, "patient": "p-1"}]
    await page.stream.aclose()


async def test_an_answer_goes_to_its_person_alone():
    console = make()
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 1, level=2)
    console.on_alarm(alarms.events[0], {}, (0, 0))
    mine, other = Page(console), Page(console, "ana")
    await mine.next()
    await other.next()
    (refused,) = alarms.say(raised.alarm_id, "shelve", 2, reason="x", until_ns=at(9))
    console.on_alarm(refused, {}, (0, 1))
    _, change = await mine.next("change")
    (answer,) = change["answers"]
    assert answer["refused"]
    assert "high priority" in answer["text"]
    _, change = await other.next("change")
    assert "answers" not in change
    await mine.stream.aclose()
    await other.stream.aclose()


async def test_stopping_says_goodbye_and_ends_every_stream():
    console = make(heartbeat_s=30, silence_s=90)
    page = Page(console)
    await page.next()
    waiting = asyncio.create_task(page.next())
    await asyncio.sleep(0)
    console.stop()
    assert (await waiting)[0] == "bye"
    assert await page.ended()


async def test_a_session_that_ends_takes_its_stream_along():
    console = make()
    signed_in = [True]
    page = Page(console, still=lambda: signed_in[0])
    await page.next()
    signed_in[0] = False
    assert await page.ended()


async def test_a_new_trouble_does_not_wait_for_the_heartbeat():
    console = make(heartbeat_s=30, silence_s=90)
    page = Page(console)
    await page.next()
    waiting = asyncio.create_task(page.next("beat"))
    await asyncio.sleep(0)
    console.on_health({"part": "store", "status": "down", "text": "disk is full", "at_ns": at(0)})
    _, beat = await waiting
    assert beat["problems"][0]["part"] == "store"
    await page.stream.aclose()


async def test_a_page_that_leaves_is_forgotten():
    console = make(max_streams=1)
    page = Page(console)
    await page.next()
    assert console.streams.full
    await page.stream.aclose()
    assert not console.streams.full


@pytest.mark.parametrize("pages", [1, 3])
async def test_a_slow_page_gets_fewer_changes_and_the_same_picture(pages):
    console = make()
    open_pages = [Page(console) for _ in range(pages)]
    for page in open_pages:
        await page.next()
    for minute in range(1, 100):
        console.on_frames(frames({"p-1": WELL | {"hr": 60 + minute}}, minute))
    for page in open_pages:
        _, change = await page.next("change")
        assert change["patients"][0]["measures"]["rate"]["text"] == "159"
        await page.stream.aclose()
