"""A scenario through wire, validation and ward in virtual time: every onset has its alarm, nobody healthy has one."""

from __future__ import annotations

import heapq
from dataclasses import replace

import pytest

from device_sim.scenario import Plan, plan
from device_sim.scenario_file import load
from device_sim.truth import Raised, Truth, Verdict
from vitals import wire
from vitals.block import BlockBuilder
from vitals.events import AlarmEvent, Kind, Priority
from vitals.log import Binding, Tick
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.validate import Bindings, check
from vitals.ward import Ward

START_NS = 1_750_000_000 * SECOND_NS
BEAT_NS = 5 * SECOND_NS


def alarms_of(planned: Plan, minutes: int) -> list[AlarmEvent]:
    """What a ward says of the scenario; the broker never fails, the bridge ticks every five seconds."""
    bindings, ward, builder = Bindings(), Ward(), BlockBuilder()
    events: list[AlarmEvent] = []
    for record in planned.records:
        if isinstance(record, Binding):
            bindings.apply(record)
        events += ward.step(record).events
    due = [(device.next_ns, i) for i, device in enumerate(planned.devices)]
    heapq.heapify(due)
    for now_ns in range(START_NS, START_NS + minutes * MINUTE_NS, BEAT_NS):
        events += ward.step(Tick(now_ns=now_ns)).events
        while due[0][0] < now_ns + BEAT_NS:
            at_ns, i = due[0]
            device = planned.devices[i]
            for sending in device.advance(at_ns):
                device.acknowledged(sending)
                incoming = wire.decode(sending.payload)
                if isinstance(incoming, wire.Refused):
                    continue
                checked = check(incoming, device.device, at_ns, bindings)
                if not isinstance(checked, wire.Refused):
                    builder.append(checked.accepted)
            heapq.heapreplace(due, (device.next_ns, i))
        if len(builder):
            events += ward.step(builder.take()).events
    return events


def verdict(planned: Plan, events: list[AlarmEvent], minutes: int) -> Verdict:
    raised = [
        Raised(event.patient, event.rule, event.at_ns)
        for event in events
        if event.event == "raised" and event.kind is Kind.PHYSIOLOGICAL and event.priority is not Priority.LOW
    ]
    truth = Truth(planned.onsets, planned.faults, {}, {})
    return truth.judge(raised, START_NS + minutes * MINUTE_NS)


@pytest.mark.parametrize("name, minutes, onsets", [("ward-faults", 100, 4), ("demo", 125, 4)])
def test_every_onset_has_its_alarm_in_time_and_nobody_healthy_has_one(name: str, minutes: int, onsets: int) -> None:
    planned = plan(replace(load(name), duration_ns=None), START_NS)
    judged = verdict(planned, alarms_of(planned, minutes), minutes)
    assert len(judged.alarmed) == onsets
    assert judged.late == judged.missed == judged.pending == ()
    assert judged.false_alarms == ()
