"""Whoever looks after the parts: order, growing pauses, and what is done at the end. Nothing sleeps: time is told."""

from __future__ import annotations

import asyncio

import pytest

from deploy.parts.supervisor import LONGEST_PAUSE_S, Supervisor, pause_s


class Thing:
    """Something that runs until it is told how it ends."""

    def __init__(self, name, book, *, refuses=0, may_end=False):
        self.name, self.book, self.refuses, self.may_end = name, book, refuses, may_end
        self.ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self):
        if self.refuses:
            self.refuses -= 1
            raise RuntimeError(f"{self.name} has no disk")
        self.ending = asyncio.get_running_loop().create_future()
        self.book.append(f"{self.name} up")

    async def died(self):
        return await self.ending

    async def stop(self):
        self.book.append(f"{self.name} stopped")


class World:
    """A supervisor whose pauses are noted instead of slept, and whose clock is set by hand."""

    def __init__(self):
        self.book, self.said, self.pauses, self.now = [], [], [], 0.0
        self.looked = asyncio.Event()
        self.supervisor = Supervisor(self.said.append, self.sleep, lambda: self.now)

    async def sleep(self, seconds):
        self.pauses.append(seconds)

    async def until(self, line, count=1):
        while self.book.count(line) < count:
            await asyncio.sleep(0)


@pytest.fixture
async def world():
    one = World()
    yield one
    await one.supervisor.stop()


def test_pauses_grow_to_a_bound():
    assert [pause_s(n) for n in range(1, 6)] == [0.2, 0.4, 0.8, 1.6, 3.2]
    assert pause_s(1000) == LONGEST_PAUSE_S


async def test_stages_start_in_order_and_stop_the_other_way_round(world):
    book = world.book
    await world.supervisor.start([Thing("kafka", book)])
    await world.supervisor.start([Thing("bridge", book), Thing("monitoring", book)])
    await world.supervisor.stop()
    assert book == [
        "kafka up", "bridge up", "monitoring up",
        "bridge stopped", "monitoring stopped", "kafka stopped",
    ]  # fmt: skip


async def test_what_is_killed_is_started_again_and_said_so(world):
    thing = Thing("bridge", world.book)
    await world.supervisor.start([thing])
    thing.ending.set_result(-9)
    await world.until("bridge up", 2)
    assert world.said[0] == "bridge was killed by signal 9; it is started again in 0.2 s"
    assert world.supervisor.care["bridge"].restarts == 1


async def test_a_start_that_fails_is_tried_again_with_longer_pauses_and_its_reason(world):
    thing = Thing("storing", world.book)
    await world.supervisor.start([thing])
    thing.refuses = 3
    thing.ending.set_result(70)
    await world.until("storing up", 2)
    assert world.pauses == [0.2, 0.4, 0.8, 1.6]
    assert "storing did not come up: storing has no disk; it is started again in 0.4 s" in world.said


async def test_a_minute_of_health_makes_the_next_pause_short_again(world):
    thing = Thing("bridge", world.book)
    await world.supervisor.start([thing])
    for run, lasted in enumerate((0.0, 59.0, 60.0), start=2):
        world.now += lasted
        thing.ending.set_result(1)
        await world.until("bridge up", run)
    assert world.pauses == [0.2, 0.4, 0.2]


async def test_one_that_does_not_come_up_at_first_ends_the_stage_and_says_why(world):
    with pytest.raises(RuntimeError, match="kafka has no disk"):
        await world.supervisor.start([Thing("mosquitto", world.book), Thing("kafka", world.book, refuses=1)])
    assert world.book == ["mosquitto up", "mosquitto stopped", "kafka stopped"]


@pytest.mark.parametrize(("status", "restarts"), [(0, 0), (1, 1)])
async def test_what_may_end_is_left_alone_only_when_it_ended_well(world, status, restarts):
    thing = Thing("simulator", world.book, may_end=True)
    await world.supervisor.start([thing])
    thing.ending.set_result(status)
    while not world.said:
        await asyncio.sleep(0)
    if restarts:
        await world.until("simulator up", 2)
    assert world.supervisor.care["simulator"].restarts == restarts
    assert ("simulator has come to its end" in world.said) == (not restarts)


async def test_a_server_that_ends_without_being_asked_is_started_again_even_if_it_ended_well(world):
    thing = Thing("kafka", world.book)
    await world.supervisor.start([thing])
    thing.ending.set_result(0)
    await world.until("kafka up", 2)
    assert world.said[0].startswith("kafka ended with status 0")
