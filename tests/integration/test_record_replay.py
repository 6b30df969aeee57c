"""What a live stack received, recorded: replayed either way, at any speed, it tells the alarms that the stack told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dashboards.feed import CommandSender
from deploy.clock import WardClock
from deploy.live_capture import RecordSettings, run_record
from deploy.replay import through_stream, through_ward
from deploy.replay_source import open_source
from deploy.ward_process import WardProcess, WardProcessSettings, say
from device_sim import Simulation, load, plan
from transport.captures import open_capture
from transport.kafka import KafkaSettings, make_producer
from transport.recordings import open_recording
from vitals.digest import digest
from vitals.events import AlarmEvent
from vitals.log import Binding, Command, Enrolment, Limit
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS

pytestmark = pytest.mark.integration

START_NS = 1_700_000_000 * SECOND_NS
SPEED = 150.0
NOTHING = lambda _done, _of: None  # noqa: E731


async def live(out: Path, alarms: Path) -> tuple[list[AlarmEvent], dict]:
    """Twenty minutes of a ward with all faults, and with people who say things meanwhile; recorded."""
    scenario = load("ward-faults", 11)
    planned = plan(scenario, START_NS)
    clock = WardClock(SPEED, START_NS, waiting=True)
    process = WardProcess(
        WardProcessSettings(out.with_suffix(".sqlite"), partitions=3, ticks_per_s=20), clock, planned.records
    )
    async with process as ward:
        senders = await ward.publisher()
        kafka = KafkaSettings(ward.stack.bootstrap, fetch_max_wait_ms=10)
        simulation = Simulation(planned, senders, clock, None)
        clock.begin()
        playing = asyncio.create_task(simulation.run())
        await people(ward, kafka, clock)
        await clock.sleep_until(START_NS + 20 * MINUTE_NS)
        simulation.stop()
        clock.hold()
        await playing
        await ward.drained(senders.published)
        told = await run_record(RecordSettings(ward.stack.bootstrap, out, alarms=alarms), NOTHING)
        return list(ward.alarms.events), told


async def people(ward: WardProcess, kafka: KafkaSettings, clock: WardClock) -> None:
    """A limit, a pause, a device that goes to somebody else, a discharge; and answers to the first alarms."""
    producer, sender = make_producer(kafka), CommandSender(kafka, 3)
    await producer.start()
    await sender.start()
    try:
        await clock.sleep_until(START_NS + 6 * MINUTE_NS)
        at = clock.now_ns()
        await say(producer, Limit(patient="s-02", rule="spo2-low", threshold=90.0, at_ns=at, by="dr", reason="copd"))
        until = at + 5 * MINUTE_NS
        await say(producer, Enrolment(patient="h-01", state="paused", at_ns=at, by="n", reason="ct", until_ns=until))
        await clock.sleep_until(START_NS + 10 * MINUTE_NS)
        while not any(event.event == "raised" for event in ward.alarms.events):
            await clock.sleep_until(clock.now_ns() + 10 * SECOND_NS)
        for number, event in enumerate([e for e in ward.alarms.events if e.event == "raised"][:4]):
            action = ("acknowledge", "resolve", "acknowledge", "unshelve")[number]
            await sender(
                Command(
                    command_id=f"c-{number}", patient=event.patient, alarm_id=event.alarm_id, action=action, by="dr",
                    seen=event.n, outcome="confirmed" if action == "resolve" else None,
                )
            )  # fmt: skip
        await clock.sleep_until(START_NS + 14 * MINUTE_NS)
        at = clock.now_ns()
        await say(producer, Binding(device="h-05-chest", patient="h-02", from_ns=at, period_ns=10 * SECOND_NS))
        await say(producer, Enrolment(patient="h-03", state="discharged", at_ns=at, by="dr", reason="home"))
    finally:
        await sender.stop()
        await producer.stop()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[AlarmEvent], dict]:
    folder = tmp_path_factory.mktemp("live")
    events, told = asyncio.run(live(folder / "night.parquet", folder / "live.jsonl"))
    return folder / "night.parquet", events, told


def test_the_capture_holds_what_the_stack_was_told(recorded):
    file, events, told = recorded
    capture = open_capture(file)
    assert told["whole"]
    assert capture.whole
    assert told["digest"] == digest(events) == capture.events
    assert len(events) > 20
    kinds = {type(record).__name__ for _, record in capture.between}
    assert kinds >= {"Tick", "Command", "Binding", "Enrolment", "Limit", "Quarantined"}
    assert capture.bundles.refused.sum() == sum(len(found) for found in capture.refused.values()) > 0
    assert (capture.appended_ns > 0).all()


def test_the_ward_alone_tells_the_same(recorded):
    file, _, told = recorded
    source = open_source(file)
    done = through_ward(source, None, NOTHING)
    assert digest(done.events) == told["digest"] == source.live_digest
    assert {e.event for e in done.events} >= {"raised", "acknowledged"}


async def test_the_brokers_tell_the_same(recorded):
    file, _, told = recorded
    events, summary = await through_stream(open_source(file), None, NOTHING)
    assert digest(events) == told["digest"]
    assert summary["refused"] > 0


def test_who_knows_nothing_of_captures_reads_a_recording(recorded):
    file, _, told = recorded
    recording = open_recording(file)
    assert set(recording.patients) == set(open_capture(file).bundles.patients)
    assert 0 < recording.readings <= told["readings"]
    assert recording.received_ns is not None


FAULTS = """\
seed: 3
faults:
  - {fault: lost, device: "*-chest", rate: 0.05, at: 2m, for: 10m}
  - {fault: delayed, rate: 0.05, by: 40s}
  - {fault: twice, rate: 0.1, by: 10s}
  - {fault: reordered, rate: 0.05, by: 12s}
  - {fault: clock, device: s-06-wrist, offset: 30s, drift_ppm: 200}
  - {fault: restart, broker: mqtt, at: 10m}
"""


async def test_with_faults_and_as_a_larger_ward_both_ways_tell_the_same(recorded, tmp_path):
    file, _, told = recorded
    scenario = tmp_path / "faults.yaml"
    scenario.write_text(FAULTS)
    source = open_source(file, patients=15, seed=5, faults=scenario)
    assert len(source.patients) == len(set(source.patients)) == 15
    events, _ = await through_stream(source, None, NOTHING)
    assert digest(events) == digest(through_ward(source, None, NOTHING).events) != told["digest"]


def test_a_copy_of_the_ward_tells_the_same_later(recorded):
    file, _, _ = recorded
    source = open_source(file, patients=24, seed=5)
    events = through_ward(source, None, NOTHING).events
    first, second = source.patients[:12], source.patients[12:]
    assert not {*first} & {*second}
    names = dict(zip(first, second, strict=True))
    raised = [(e.patient, e.rule, e.at_ns) for e in events if e.event == "raised" and e.kind == "physiological"]
    shifts = {
        at - mine
        for who, rule, mine in raised
        if who in names
        for whom, what, at in raised
        if whom == names[who] and what == rule
    }
    assert shifts
    assert max(shifts) < HOUR_NS
