"""Ward time: as fast as it is told, never backwards, standing where it must."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from deploy import clock
from deploy.clock import WallClock, WardClock

HOUR_S = 3600


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock, in a hand; nanoseconds."""
    now = [5_000]
    monkeypatch.setattr(clock.time, "monotonic_ns", lambda: now[0])
    return now


PACES = [(1.0, 7, 7), (60.0, 1_000, 60_000), (0.5, 10, 5), (3600.0, 1_000_000, 3_600_000_000)]


@pytest.mark.parametrize("speed, passed, told", PACES)
def test_it_runs_at_its_speed_from_its_start(wall, speed, passed, told):
    ward = WardClock(speed, start_ns=1_000, _zero=wall[0])
    assert ward.now_ns() == 1_000
    wall[0] += passed
    assert ward.now_ns() == 1_000 + told


def test_at_the_walls_pace_it_is_exact_for_years(wall):
    ward = WardClock(start_ns=0, _zero=wall[0])
    wall[0] += 10**17 + 1
    assert ward.now_ns() == 10**17 + 1


def test_it_begins_with_the_walls_time():
    before = time.time_ns()
    assert before <= WardClock().start_ns <= time.time_ns()


def test_a_waiting_clock_stands_until_it_is_let_go(wall):
    ward = WardClock(2.0, start_ns=100, waiting=True, _zero=wall[0])
    wall[0] += 50
    assert ward.now_ns() == 100
    ward.begin()
    assert ward.now_ns() == 100
    wall[0] += 50
    assert ward.now_ns() == 200


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_clock_that_stands_still_is_refused(speed):
    with pytest.raises(ValueError, match=f"speed is {speed}"):
        WardClock(speed)


async def test_waiting_for_an_instant_that_has_passed_returns_at_once():
    ward = WardClock(1.0, start_ns=100)
    await asyncio.wait_for(ward.sleep_until(50), 0.1)


async def test_waiting_is_in_ward_time():
    ward = WardClock(1_000_000.0, start_ns=0)  # an hour in 3.6 ms
    async with asyncio.timeout(5):
        await ward.sleep_until(HOUR_S * 10**9)
    assert ward.now_ns() >= HOUR_S * 10**9


async def test_a_held_clock_stands_where_it_is_and_goes_on_from_there(wall):
    ward = WardClock(2.0, start_ns=100, _zero=wall[0])
    wall[0] += 50
    ward.hold()
    wall[0] += 1_000
    assert ward.now_ns() == 200
    ward.hold()
    assert ward.now_ns() == 200
    ward.begin()
    wall[0] += 5
    assert ward.now_ns() == 210


async def test_whoever_waits_on_a_held_clock_goes_on_with_it():
    ward = WardClock(1_000_000.0, start_ns=0, waiting=True)
    waiting = asyncio.create_task(ward.sleep_until(HOUR_S * 10**9))
    await asyncio.wait({waiting}, timeout=0.01)
    assert not waiting.done()
    ward.begin()
    await asyncio.wait_for(waiting, 5)


class _Set:
    """A wall that can be set, and what only rises."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000 * 10**9, 5 * 10**9

    def passes(self, s: float) -> None:
        self.wall += int(s * 1e9)
        self.steady += int(s * 1e9)

    def clock(self, speed: float = 1.0, since_ns: int = 0) -> WallClock:
        return WallClock(speed, since_ns, lambda: self.wall, lambda: self.steady)


def test_the_wall_is_followed_at_once_when_it_is_set_forward() -> None:
    told = _Set()
    clock = told.clock()
    assert clock.now_ns() == 1_000 * 10**9
    told.passes(2)
    told.wall += 3600 * 10**9
    assert clock.now_ns() == told.wall


def test_a_wall_that_was_set_back_is_met_at_half_the_pace_and_time_never_stands_still() -> None:
    told = _Set()
    clock = told.clock()
    began = clock.now_ns()
    told.wall -= 60 * 10**9
    seen = [began]
    for _ in range(130):
        told.passes(1)
        seen.append(clock.now_ns())
    steps = {after - before for before, after in itertools.pairwise(seen)}
    assert steps == {5 * 10**8, 10**9}
    assert seen[-1] == told.wall, "a minute back is made up after two"


def test_a_faster_clock_is_the_same_in_every_process() -> None:
    told = _Set()
    since = told.wall
    first = told.clock(20.0, since)
    told.passes(3)
    later = told.clock(20.0, since)
    assert first.now_ns() == later.now_ns() == since + 60 * 10**9


def test_a_wall_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="speed is 0"):
        WallClock(0)
