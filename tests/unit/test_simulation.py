"""The simulation: the same bytes at any pace, nothing lost whatever the broker does, truth beside the wire only."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sim_fakes import START_NS, FakeBroker, FakeClock, until

from device_sim.faults import Fault
from device_sim.run import Simulation, simulate
from device_sim.scenario import Scenario, on_disk, plan
from device_sim.scenario_file import parse
from device_sim.truth import Onset, Raised, Truth
from vitals import wire
from vitals.signs import MINUTE_NS, SECOND_NS

SCENARIO = parse("""
name: small
seed: 11
duration: 40m
every: {wrist: {sample: 1s, bundle: 5s}}
patients:
  - {count: 4, prefix: a-, devices: [chest, wrist]}
  - {id: b, age: 60, devices: [chest, cuff, tablet]}
stories:
  - {patient: b, story: haemorrhage, at: 2m}
faults:
  - {device: "*", fault: lost, rate: 0.1}
  - {device: "a-*", fault: twice, rate: 0.1}
  - {device: "a-01-*", fault: reordered, rate: 0.1}
  - {device: a-02-wrist, fault: offline, at: 5m, for: 10m}
  - {device: a-03-chest, fault: battery, at: 10m, for: 5m}
  - {device: a-04-wrist, fault: malformed, rate: 0.1}
""")


class StoppableClock(FakeClock):
    """Stands for ever at an instant."""

    def __init__(self, until_ns: int) -> None:
        super().__init__()
        self._until_ns = until_ns

    async def sleep_until(self, t_ns: int) -> None:
        if t_ns > self._until_ns:
            await asyncio.Event().wait()
        await super().sleep_until(t_ns)


async def played(scenario: Scenario = SCENARIO, broker: FakeBroker | None = None, lag_ns: int = 0) -> FakeBroker:
    broker = broker or FakeBroker()
    await simulate(scenario, broker, FakeClock(lag_ns=lag_ns), start_ns=START_NS)
    return broker


def bundles_of(messages: list[bytes]) -> set[tuple[int, int]]:
    """Boot and sequence number of all that can be counted, cut short or not."""
    out = set()
    for payload in messages:
        salvaged = wire.salvage_header(payload)
        if salvaged is not None and salvaged.boot is not None and salvaged.seq is not None:
            out.add((salvaged.boot, salvaged.seq))
    return out


def once(messages: list[bytes]) -> list[bytes]:
    """The bundles, each once, in the order of their first arrival; without garbage, which is tried but once."""
    return list(dict.fromkeys(payload for payload in messages if bundles_of([payload])))


async def test_the_same_seed_gives_the_same_bytes_at_any_pace() -> None:
    one = await played()
    again = await played()
    assert one.messages == again.messages
    for slow in (await played(lag_ns=700_000_000), await played(lag_ns=30 * SECOND_NS)):
        assert slow.by_device() == one.by_device()


async def test_another_seed_gives_other_bytes() -> None:
    assert (await played()).by_device() != (await played(replace(SCENARIO, seed=12))).by_device()


async def test_a_fault_of_one_device_changes_nothing_of_another() -> None:
    fewer = replace(SCENARIO, faults=tuple(f for f in SCENARIO.faults if f.device != "a-02-wrist"))
    one, other = (await played()).by_device(), (await played(fewer)).by_device()
    assert one.pop("a-02-wrist") != other.pop("a-02-wrist")
    assert one == other


@pytest.mark.parametrize("fate", ["lose", "forget"])
async def test_a_broker_that_fails_now_and_then_gets_every_bundle_and_the_same_bytes(fate: str) -> None:
    calm = (await played()).by_device()
    rough = FakeBroker(lambda k: fate if k % 5 == 0 else "take")
    await played(broker=rough)
    for device, messages in rough.by_device().items():
        got, wanted = once(messages), once(calm[device])
        assert got == wanted[: len(got)], "in order, each at least once"
        assert len(wanted) - len(got) <= 1, "a try that failed at the very end is not repeated: it stays queued"


async def test_a_broker_that_is_away_for_long_loses_nothing_and_changes_no_send_time() -> None:
    calm = (await played()).by_device()
    away = FakeBroker(lambda k: "lose" if 200 < k < 600 else "take")
    await played(broker=away)
    assert {device: once(messages) for device, messages in away.by_device().items()} == {
        device: once(messages) for device, messages in calm.items()
    }


async def test_garbage_that_the_broker_refuses_does_not_hold_up_the_bundles_behind_it() -> None:
    class StrictBroker(FakeBroker):
        async def publish(self, topic: str, payload: bytes) -> None:
            if not bundles_of([payload]):
                raise ValueError("not taken, ever")
            await super().publish(topic, payload)

    broker = StrictBroker()
    truth = await simulate(SCENARIO, broker, FakeClock(), start_ns=START_NS)
    assert truth.hits["a-04-wrist"]["malformed"] > 0
    counts = truth.counts["a-04-wrist"]
    assert counts.garbage == 0
    assert len(bundles_of(broker.by_device()["a-04-wrist"])) == counts.acknowledged_bundles >= counts.bundles - 2


async def test_the_ledger_closes_for_every_device() -> None:
    broker = FakeBroker()
    truth = await simulate(SCENARIO, broker, FakeClock(), start_ns=START_NS)
    for device, messages in broker.by_device().items():
        counts = truth.counts[device]
        assert len(bundles_of(messages)) == counts.acknowledged_bundles
        assert counts.readings == counts.acknowledged + counts.queued
        assert counts.queued_bundles <= 2, "what the radio has not delivered when the scenario ends"
    assert sum(c.repeated for c in truth.counts.values()) > 0
    assert truth.counts["a-04-wrist"].broken > 0


async def test_stopping_waits_for_answers_and_counts_the_rest_as_queued() -> None:
    gate = asyncio.Event()

    class SlowBroker(FakeBroker):
        async def publish(self, topic: str, payload: bytes) -> None:
            if len(self.messages) > 50:
                await gate.wait()
            await super().publish(topic, payload)

    broker = SlowBroker()
    simulation = Simulation(plan(SCENARIO, START_NS), broker, FakeClock())
    running = asyncio.ensure_future(simulation.run())
    await until(lambda: simulation.progress.under_way >= 9)  # every device waits for an answer
    simulation.stop()
    gate.set()
    truth = await running
    progress = simulation.progress
    assert progress.under_way == 0
    assert (
        progress.acknowledged + progress.queued == progress.readings == sum(c.readings for c in truth.counts.values())
    )
    got = sum(len(bundles_of(messages)) for messages in broker.by_device().values())
    assert got == sum(c.acknowledged_bundles for c in truth.counts.values())


class ForgetfulBroker(FakeBroker):
    """Is killed now and then: everything it acknowledged since it last saved is gone, and the connection breaks."""

    def __init__(self, dies_at: set[int], forgets: int) -> None:
        super().__init__()
        self._dies_at, self._forgets = dies_at, forgets

    async def publish(self, topic: str, payload: bytes) -> None:
        await super().publish(topic, payload)
        if self.tries in self._dies_at:
            self._dies_at.discard(self.tries)
            del self.messages[-self._forgets :]
            self.reconnect()
            raise ConnectionError("killed")


async def test_what_a_killed_broker_forgot_is_said_again_before_anything_new() -> None:
    calm = (await played()).by_device()
    broker = ForgetfulBroker({300, 500, 501, 1500}, forgets=100)
    await played(broker=broker)
    assert broker.connections == 5
    for device, messages in broker.by_device().items():
        assert bundles_of(messages) == bundles_of(calm[device])
    # In order but for the repeats: a bundle that is new to the receiver never comes before an older one that is too.
    tablet = [wire.salvage_header(payload) for payload in once(broker.by_device()["b-chest"])]
    numbers = [one.seq for one in tablet if one is not None]
    assert numbers == sorted(numbers)


async def test_a_device_with_nothing_new_to_say_says_again_what_it_said() -> None:
    broker = FakeBroker()
    silent = replace(SCENARIO, duration_ns=None)
    simulation = Simulation(plan(silent, START_NS), broker, StoppableClock(START_NS + 6 * MINUTE_NS))
    running = asyncio.ensure_future(simulation.run(grace_s=0.0))
    worn = simulation.plan.devices
    await until(lambda: all(one.next_ns > START_NS + 6 * MINUTE_NS for one in worn) and not simulation._tasks)
    before = {device: bundles_of(messages) for device, messages in broker.by_device().items()}
    del before["a-02-wrist"]  # has no radio now
    broker.messages.clear()
    broker.reconnect()
    await until(lambda: {d: bundles_of(m) for d, m in broker.by_device().items()} == before)
    simulation.stop()
    await running


async def test_a_simulation_that_never_gets_an_answer_still_stops() -> None:
    class DeadBroker(FakeBroker):
        async def publish(self, topic: str, payload: bytes) -> None:
            await asyncio.Event().wait()

    simulation = Simulation(plan(SCENARIO, START_NS), DeadBroker(), FakeClock())
    running = asyncio.ensure_future(simulation.run(grace_s=0.0))
    await until(lambda: simulation.progress.under_way >= 9)
    simulation.stop()
    truth = await running
    assert sum(c.acknowledged for c in truth.counts.values()) == 0
    assert simulation.progress.queued == simulation.progress.readings > 0


async def test_stopped_before_it_began_it_makes_nothing() -> None:
    broker = FakeBroker()
    simulation = Simulation(plan(SCENARIO, START_NS), broker, FakeClock())
    simulation.stop()
    await simulation.run()
    assert broker.messages == []


async def test_whoever_cancels_the_simulation_is_told() -> None:
    simulation = Simulation(plan(replace(SCENARIO, duration_ns=None), START_NS), FakeBroker(), FakeClock())
    running = asyncio.ensure_future(simulation.run())
    await until(lambda: simulation.progress.bundles >= 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_waits_on_a_disk_goes_out_in_the_next_run(tmp_path: Path) -> None:
    broken = FakeBroker(lambda _: "lose")
    simulation = Simulation(plan(SCENARIO, START_NS, on_disk(tmp_path)), broken, FakeClock())
    running = asyncio.ensure_future(simulation.run(grace_s=0.0))
    await until(lambda: simulation.progress.bundles >= 100)
    simulation.stop()
    before = await running
    made = {device: c.bundles for device, c in before.counts.items()}

    mended = FakeBroker()
    later = plan(SCENARIO, START_NS, on_disk(tmp_path))
    await Simulation(later, mended, FakeClock()).run()
    for device, messages in mended.by_device().items():
        first_boot = {seq for boot, seq in bundles_of(messages) if boot == START_NS // SECOND_NS}
        assert first_boot == set(range(made[device])), f"{device}: every bundle of the life before"


async def test_the_sidecar_tells_the_truth_and_the_wire_does_not(tmp_path: Path) -> None:
    broker = FakeBroker()
    path = tmp_path / "truth.jsonl"
    truth = await simulate(SCENARIO, broker, FakeClock(), start_ns=START_NS, sidecar=path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds[0] == "scenario"
    assert kinds.count("onset") == 1
    assert kinds.count("fault") == len(SCENARIO.faults)
    assert kinds.count("device") == len(truth.counts)
    for device in truth.counts:
        told = [line for line in lines if line["type"] == "bundle" and line["device"] == device]
        total = next(line for line in lines if line["type"] == "device" and line["device"] == device)
        assert sum(line["n"] for line in told) == total["readings"] == truth.counts[device].readings
        assert total["queued"] + total["acknowledged"] == total["readings"]
    wire_bytes = b"".join(payload for _, payload in broker.messages)
    for word in (b"haemorrhage", b"story", b"onset", b"fault", b"offline", b"bleed"):
        assert word not in wire_bytes


ILL = Onset("p-1", "sepsis", 0, 60 * MINUTE_NS, True, 120 * MINUTE_NS, ("news2", "sepsis"))
BUS = Onset("p-2", "bus", 0, 0, False, None, ())


def truth_of(*onsets: Onset, faults: tuple[Fault, ...] = ()) -> Truth:
    return Truth(onsets, faults, {}, {})


@pytest.mark.parametrize(
    "raised, now_min, verdict",
    [
        ([("p-1", "news2", 90)], 200, "alarmed"),
        ([("p-1", "news2-single", 30)], 200, "alarmed"),  # before the onset, within the story: early
        ([("p-1", "sepsis-risk", 121)], 200, "late"),
        ([("p-1", "battery-low", 90)], 200, "missed"),
        ([("p-2", "news2", 90)], 200, "missed"),
        ([], 200, "missed"),
        ([], 100, "pending"),
    ],
)
def test_an_onset_is_compared_with_the_alarms_of_its_patient(
    raised: list[tuple[str, str, int]], now_min: int, verdict: str
) -> None:
    alarms = [Raised(patient, rule, at_min * MINUTE_NS) for patient, rule, at_min in raised]
    judged = truth_of(ILL, BUS).judge(alarms, now_min * MINUTE_NS)
    assert judged.began == (ILL,)
    assert {name: getattr(judged, name) for name in ("alarmed", "late", "missed", "pending")} == {
        name: (ILL,) if name == verdict else () for name in ("alarmed", "late", "missed", "pending")
    }


def test_an_onset_still_to_come_has_not_begun() -> None:
    assert truth_of(ILL).judge([], 59 * MINUTE_NS).began == ()


def test_an_alarm_of_somebody_in_no_illness_is_false() -> None:
    alarms = [Raised("p-1", "news2", 90 * MINUTE_NS), Raised("p-2", "news2", 0), Raised("p-3", "spo2-low", 5)]
    assert truth_of(ILL, BUS).judge(alarms, 200 * MINUTE_NS).false_alarms == (alarms[1], alarms[2])


async def test_what_time_it_is_is_heard_by_all_and_echoed_once_by_each_by_its_own_clock() -> None:
    ahead_ns = 90 * SECOND_NS
    scenario = parse(f"""
name: clocks
seed: 3
duration: 10m
every: {{wrist: {{sample: 1s, bundle: 10s}}}}
patients:
  - {{count: 2, prefix: a-, devices: [wrist]}}
faults:
  - {{fault: clock, device: a-02-wrist, at: 0s, offset: {ahead_ns // SECOND_NS}s}}
""")
    clock, broker = FakeClock(), FakeBroker()

    class Once:
        """Says it once, and never again."""

        said = False

        async def told(self) -> int:
            if self.said:
                await asyncio.Event().wait()
            self.said = True
            return START_NS - 7

    await Simulation(plan(scenario, START_NS), broker, clock, times=Once()).run()
    echoes = {
        device: [found.header.clock for found in map(wire.decode, messages) if found.header.clock is not None]
        for device, messages in broker.by_device().items()
    }
    (right,), (ahead,) = echoes["a-01-wrist"], echoes["a-02-wrist"]
    assert right[0] == ahead[0] == START_NS - 7
    assert ahead[1] == right[1] + ahead_ns
