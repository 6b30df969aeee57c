"""Whatever dies, at seeded moments: nothing lost, every alarm as the log says, none missing, the store complete.

Each run: `faulty_ward` starts real servers and parts, something befalls them again and again, `verdicts` holds what
Kafka has, what the store has and what the devices sent beside each other and beside an undisturbed run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cut_off
import pytest
import set_clock
import small_disk
from faulty_ward import KAFKA, SPEED, FaultyWard
from in_the_ward import scenario_of
from verdicts import HEAD, Verdict, judge

from deploy.live_capture import RecordSettings, run_record
from deploy.replay import through_ward
from deploy.replay_source import open_source
from transport.stores.opened import open_store
from vitals.digest import digest

pytestmark = pytest.mark.integration

TIMES = 3
CALM_S = (4.0, 9.0)  # of the wall, between two faults
STALL_S = 5.0  # of the patients' time: half of the allowed lateness
HELD_BACK_S = 120.0  # of the patients' time: longer than any fault here, and than finding the way back
Fate = random.Random
Befalls = Callable[[FaultyWard, Fate], Awaitable[None]]

_lines: list[str] = []


def kill(*names: str) -> Befalls:
    async def befalls(ward: FaultyWard, _: Fate) -> None:
        ward.kill(*names)

    return befalls


def cut(which: str, what: str, *, swallow: bool) -> Befalls:
    async def befalls(ward: FaultyWard, fate: Fate) -> None:
        await ward.cut(getattr(ward, which), what, round(fate.uniform(1.0, 4.0), 1), swallow=swallow)

    return befalls


async def nothing(_: FaultyWard, __: Fate) -> None:
    """For comparison."""


async def any_of_them(ward: FaultyWard, fate: Fate) -> None:
    name = fate.choice(["bridge", "monitoring-0", "monitoring-1", "storing", "kafka", "mosquitto"])
    ward.kill(name)


def pull(part: str, shortest_s: float, longest_s: float) -> Befalls:
    async def befalls(ward: FaultyWard, fate: Fate) -> None:
        await ward.pull(KAFKA, part, round(fate.uniform(shortest_s, longest_s), 1))

    return befalls


def stand_still(name: str, *, killed: str = "") -> Befalls:
    """A part stands still for longer than its session; a server may die meanwhile."""

    async def befalls(ward: FaultyWard, fate: Fate) -> None:
        if killed:
            ward.kill(killed)
        await ward.stand_still(name, round(fate.uniform(3.5, 6.0), 1))

    return befalls


async def full_disk(ward: FaultyWard, fate: Fate) -> None:
    await ward.fill_disk(round(fate.uniform(3.0, 6.0), 1))


def clock_jumps(by_s: float) -> Befalls:
    """There, and back the next time."""

    async def befalls(ward: FaultyWard, _: Fate) -> None:
        ward.set_clock(by_s if len(ward.faults) % 2 == 0 else 0.0)

    return befalls


async def run(
    folder: Path,
    name: str,
    befalls: Befalls,
    *,
    times: int,
    seconds: int,
    held_back_s: float = 0.0,
    calm_s: tuple[float, float] = CALM_S,
    **ward_is: Any,
) -> Verdict:
    fate = random.Random(name)
    recorded: dict[str, Any] = {}
    async with FaultyWard(folder, scenario_of(len(name), seconds), **ward_is) as ward:
        await ward.until_alarms_flow()
        for _ in range(times):
            await asyncio.sleep(fate.uniform(*calm_s))  # the schedule itself: nothing is waited for
            await befalls(ward, fate)
        truth = await ward.finish()
        recorded |= await run_record(RecordSettings(ward.stack.bootstrap, folder / "night.parquet"), lambda *_: None)
        with open_store(ward.store_address, read_only=True) as store:
            # A machine that stops all of us holds bundles back as the devices' own way may, while time goes on.
            stalled_s = ward.stalled_s * SPEED
            verdict = await judge(ward, truth, store, HELD_BACK_S if stalled_s > STALL_S else held_back_s)
    _told(verdict, name, ward.stalled_s)
    replayed = through_ward(open_source(folder / "night.parquet"), None, lambda *_: None)
    assert digest(replayed.events) == recorded["digest"], "what the stack received, replayed, tells its alarms"
    assert not verdict.missing, "no physiological alarm is missing"
    assert not verdict.added, "none is doubled or made up"
    return verdict


def _told(verdict: Verdict, name: str, stalled_s: float) -> None:
    """At once, and for the report at the end."""
    _lines.append(verdict.line(name))
    silences = "; ".join(f"{what}: {silent_s:.1f} s" for what, silent_s in verdict.silence_s.items())
    differing = f"; differing: {', '.join(verdict.on_frames)}" if verdict.on_frames else ""
    moved = f"; moved by {sorted(set(verdict.moved_s))} s" if verdict.moved_s else ""
    print(f"\n{_lines[-1]}\nsilent after {silences}{differing}{moved}; the machine stalled for {stalled_s:.2f} s")


@pytest.fixture(scope="module", autouse=True)
def report() -> object:
    yield
    print("\n" + "\n".join([HEAD, *_lines]))


def needing(why_not: str, *values: Any) -> Any:
    """A row that this machine may not be able to run; why, in words."""
    return pytest.param(*values, marks=pytest.mark.skipif(bool(why_not), reason=why_not))


async def test_parts_and_servers_killed_at_random_moments(tmp_path):
    name = "short: one of all, at random"
    await run(tmp_path, name, any_of_them, times=2, seconds=210, calm_s=(1.0, 4.0))


# What is done, to which ward, and how often. Bundles that a network of the devices' holds back while time goes on come
# after their frames have closed: `judge` says what must hold then.
LONG = [
    ("nothing", nothing, {}),
    ("kill -9 of the bridge", kill("bridge"), {}),
    ("kill -9 of one of two workers", kill("monitoring-0"), {}),
    ("kill -9 of both workers", kill("monitoring-0", "monitoring-1"), {}),
    ("kill -9 of storing", kill("storing"), {}),
    ("kill -9 of storing, into InfluxDB", kill("storing"), {"store": "influx"}),
    ("kill -9 of InfluxDB", kill("influxd"), {"store": "influx"}),
    ("kill -9 of Kafka", kill("kafka"), {}),
    ("kill -9 of Mosquitto", kill("mosquitto"), {}),
    ("kill -9 of all servers at once", kill("kafka", "mosquitto", "influxd"), {"store": "influx"}),
    (
        "kill -9 of everything at once",
        kill("kafka", "mosquitto", "influxd", "bridge", "monitoring-0", "monitoring-1", "storing"),
        {"store": "influx"},
    ),
    ("a worker stands still", stand_still("monitoring-0"), {}),
    ("storing stands still, into InfluxDB", stand_still("storing"), {"store": "influx"}),
    ("storing stands still, InfluxDB killed", stand_still("storing", killed="influxd"), {"store": "influx"}),
    ("bridge to Mosquitto cut", cut("bridge_to_mqtt", "bridge to Mosquitto", swallow=False), {}),
    ("bridge to Mosquitto swallowed", cut("bridge_to_mqtt", "bridge to Mosquitto", swallow=True), {}),
    ("all to Kafka cut", cut("to_kafka", "everybody to Kafka", swallow=False), {}),
    ("all to Kafka swallowed", cut("to_kafka", "everybody to Kafka", swallow=True), {}),
    (
        "devices to Mosquitto swallowed",
        cut("devices_to_mqtt", "devices to Mosquitto", swallow=True),
        {"held_back_s": HELD_BACK_S},
    ),
    needing(cut_off.why_not(), "the bridge's cable to Kafka pulled", pull("bridge", 2.0, 6.0), {"apart": ("bridge",)}),
    needing(
        cut_off.why_not(),
        "a worker's cable to Kafka pulled",
        pull("monitoring-0", 1.0, 9.0),  # shorter and longer than its session
        {"apart": ("monitoring-0",)},
    ),
    needing(small_disk.why_not(), "full disk, SQLite", full_disk, {"small_disk": True}),
    needing(small_disk.why_not(), "full disk, InfluxDB", full_disk, {"small_disk": True, "store": "influx"}),
    needing(
        set_clock.why_not(), "the bridge's clock jumps by 8 s", clock_jumps(8.0), {"set_clock_of": "bridge", "times": 4}
    ),
    needing(
        set_clock.why_not(),
        "the bridge's clock jumps by -4 s",  # from 5 s on it takes what devices say for the future's
        clock_jumps(-4.0),
        {"set_clock_of": "bridge", "times": 4},
    ),
    needing(
        set_clock.why_not(),
        "the bridge's clock jumps by 60 s",
        clock_jumps(60.0),
        {"set_clock_of": "bridge", "times": 4, "held_back_s": HELD_BACK_S},
    ),
    needing(
        set_clock.why_not(),
        "a worker's clock jumps by 60 s",
        clock_jumps(60.0),
        {"set_clock_of": "monitoring-0", "times": 4},
    ),
]


@pytest.mark.long_faults
@pytest.mark.parametrize(("name", "befalls", "how"), LONG)
async def test_whatever_befalls_it_several_times(tmp_path, name, befalls, how):
    await run(tmp_path, name, befalls, **{"times": TIMES, "seconds": 540, **how})
