"""Who is in the ward that things befall: three patients who fall ill, and beacons, who tell that alarms flow."""

from __future__ import annotations

from dataclasses import replace

from device_sim import plan as plan_devices
from device_sim.device import Device
from device_sim.faults import Faults
from device_sim.kinds import KINDS
from device_sim.people import generator
from device_sim.queue import MemoryQueue, Queue
from device_sim.scenario import Plan, Scenario
from device_sim.scenario_file import parse
from vitals.log import Binding, Enrolment
from vitals.signs import SECOND_NS, Sign
from vitals.topics import partition_of

PARTITIONS = 2
_BEACONS = 12  # in each partition
_BEACON_S = 240
_LOW_S = 110  # so that of all alarms of a partition one begins or ends every ten seconds of the patients' time

SCENARIO = """
name: faults
seed: {seed}
duration: {seconds}s
every: {{wrist: {{sample: 5s, bundle: 5s}}, chest: {{sample: 5s, bundle: 5s}}}}
patients:
  - {{id: s-1, age: 74, devices: [chest, wrist]}}
  - {{id: s-2, age: 58, devices: [chest, wrist, tablet]}}
  - {{id: s-3, age: 44, devices: [chest, wrist, cuff]}}
stories:
  - {{patient: s-1, story: atrial-fibrillation, at: 2m}}
  - {{patient: s-2, story: respiratory-failure, at: 1m, tempo: 10}}
  - {{patient: s-3, story: haemorrhage, at: 1m, tempo: 10}}
"""


def scenario_of(seed: int, seconds: int) -> Scenario:
    """Three patients who fall ill at once, for so many seconds of theirs."""
    return parse(SCENARIO.format(seed=seed, seconds=seconds))


def planned(scenario: Scenario, start_ns: int) -> Plan:
    """The scenario, and beacons: patients whose saturation falls and comes back again and again, each in its turn."""
    made = plan_devices(scenario, start_ns)
    names = [_named(partition, number) for number in range(_BEACONS) for partition in range(PARTITIONS)]
    beacons = [
        _beacon(f"{name}-wrist", k // PARTITIONS * _BEACON_S // _BEACONS, k, start_ns) for k, name in enumerate(names)
    ]
    enrolments = [Enrolment(patient=name, state="admitted", at_ns=start_ns) for name in names]
    bindings = [
        Binding(device=f"{name}-wrist", patient=name, from_ns=start_ns, period_ns=5 * SECOND_NS) for name in names
    ]
    return replace(
        made,
        devices=(*made.devices, *beacons),
        enrolments=(*made.enrolments, *enrolments),
        bindings=(*made.bindings, *bindings),
    )


def _named(partition: int, number: int) -> str:
    """A beacon's name, by which it comes into a partition."""
    names = (f"beacon-{number:02}-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    return next(name for name in names if partition_of(name, PARTITIONS) == partition)


def _beacon(device: str, offset_s: int, number: int, start_ns: int) -> Device:
    def body(t_ns: int) -> list[float]:
        values = [0.0] * len(Sign)
        low = ((t_ns - start_ns) // SECOND_NS + offset_s) % _BEACON_S < _LOW_S
        values[Sign.PULSE], values[Sign.SPO2] = 72.0, 84.0 if low else 97.0
        return values

    kind = KINDS["wrist"].every(5 * SECOND_NS, 5 * SECOND_NS)
    queue: Queue = MemoryQueue()
    faults = Faults([], generator(number, device))
    return Device(device, kind, body, faults, queue, start_ns=start_ns, phase_ns=(number * 5 // 24) * SECOND_NS)
