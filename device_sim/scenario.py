"""A scenario: who wears what, what befalls them, what goes wrong; and the plan that follows from it and a start time.

Times in a scenario count from its start, so that the same scenario can begin at any instant. `plan` adds the instant:
from there on everything, to the last byte, follows from the scenario and its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import gcd
from pathlib import Path
from typing import Final

from device_sim.bodies import Bodies
from device_sim.device import Device
from device_sim.faults import FOREVER_NS, Fault, Faults
from device_sim.kinds import KINDS, Kind
from device_sim.people import Sex, draw_person, generator
from device_sim.queue import FileQueue, MemoryQueue, Queue
from device_sim.stories import Courses, Story
from device_sim.truth import Onset
from vitals.log import Binding, Enrolment
from vitals.signs import MINUTE_NS, SECOND_NS

MAX_STEP_NS: Final = 15 * SECOND_NS  # longer steps would turn fast noise into steps of their own


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient of a scenario.

    Attributes:
        patient: Pseudonym.
        age: Years.
        sex: ``f`` or ``m``.
        devices: Names of kinds.
    """

    patient: str
    age: float
    sex: Sex
    devices: tuple[str, ...]

    def device_id(self, kind: str) -> str:
        """The id of the device of a kind that the patient wears."""
        return f"{self.patient}-{kind}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario file says; times from the start of the scenario.

    Attributes:
        name: Stable.
        seed: Of all chance.
        patients: All, in order.
        stories: What befalls them.
        faults: What goes wrong.
        kinds: The kinds of devices, at the scenario's pace.
        duration_ns: How long it runs; None until it is stopped.
        speed: Seconds of the patients' time in a second of the wall, by default.
        start_h: Local time of day at its start, hours.
    """

    name: str
    seed: int
    patients: tuple[Patient, ...]
    stories: tuple[Story, ...] = ()
    faults: tuple[Fault, ...] = ()
    kinds: dict[str, Kind] = field(default_factory=lambda: dict(KINDS))
    duration_ns: int | None = None
    speed: float = 60.0
    start_h: float = 8.0

    def device_ids(self) -> list[str]:
        """All devices, in order."""
        return [p.device_id(kind) for p in self.patients for kind in p.devices]

    def slowest_ns(self, story: Story) -> int:
        """Period of the slowest device that delivers what a story needs; the fastest of two that tell the same.

        Raises:
            ValueError: If the patient wears nothing that tells one of the measures: the alarm could never come.
        """
        wearer = next(p for p in self.patients if p.patient == story.patient)
        worn = [self.kinds[name] for name in wearer.devices]
        slowest = 0
        for measure in story.row.needs:
            periods = [period for kind in worn if (period := kind.period_of(measure)) is not None]
            if not periods:
                able = [name for name, kind in self.kinds.items() if kind.period_of(measure) is not None]
                raise ValueError(
                    f"{story.patient} wears nothing that tells {measure.label}, without which nobody can see "
                    f"{story.row.label}; give {story.patient} one of: {', '.join(able)}"
                )
            slowest = max(slowest, min(periods))
        return slowest


QueueOf = Callable[[str], Queue]


def in_memory(_device: str) -> Queue:
    """Queues that live as long as the process."""
    return MemoryQueue()


def volatile(_device: str) -> Queue:
    """Queues for a broker that ends with the devices: they need not keep what it has acknowledged."""
    return MemoryQueue(keep_s=0)


def on_disk(folder: Path) -> QueueOf:
    """Queues in files of their own, one for each device, in a folder (made where it is not there)."""
    folder.mkdir(parents=True, exist_ok=True)
    return lambda device: FileQueue(folder / f"{device}.queue")


@dataclass(slots=True)
class Plan:
    """A scenario with a start.

    Attributes:
        scenario: What is played.
        start_ns: When it starts, ward time.
        bodies: Of all patients.
        devices: All, in order, switched on at the start.
        onsets: Every story with its instants, in order of onset.
        faults: With instants.
        bindings: Who wears what, for the registry.
        enrolments: Who is watched, for the registry.
    """

    scenario: Scenario
    start_ns: int
    bodies: Bodies
    devices: tuple[Device, ...]
    onsets: tuple[Onset, ...]
    faults: tuple[Fault, ...]
    bindings: tuple[Binding, ...]
    enrolments: tuple[Enrolment, ...]

    @property
    def end_ns(self) -> int | None:
        """When it ends; None where it runs until it is stopped."""
        duration_ns = self.scenario.duration_ns
        return None if duration_ns is None else self.start_ns + duration_ns

    @property
    def records(self) -> tuple[Enrolment | Binding, ...]:
        """All that has to be said before the first bundle: enrolments, then bindings."""
        return (*self.enrolments, *self.bindings)


def plan(scenario: Scenario, start_ns: int, queue_of: QueueOf = in_memory) -> Plan:
    """Make bodies and devices.

    Args:
        scenario: What is played.
        start_ns: When it starts.
        queue_of: Where each device keeps what the broker has not acknowledged.

    Raises:
        ValueError: If a story needs a measure that none of the patient's devices tells.
    """
    patients = scenario.patients
    step_ns = _step_ns(scenario)
    names = [p.patient for p in patients]
    bodies = Bodies(
        [draw_person(scenario.seed, p.patient, p.age, p.sex) for p in patients],
        seed=scenario.seed,
        step_ns=step_ns,
        start_h=scenario.start_h,
        drives=Courses(names, scenario.stories, step_ns),
    )
    faults = tuple(
        replace(f, from_ns=start_ns + f.from_ns, to_ns=min(start_ns + f.to_ns, FOREVER_NS)) for f in scenario.faults
    )
    devices: list[Device] = []
    bindings: list[Binding] = []
    for column, patient in enumerate(patients):
        body = partial(_at, bodies, start_ns, step_ns, column)
        for name in patient.devices:
            device_id, kind = patient.device_id(name), scenario.kinds[name]
            mine = [f for f in faults if f.device == device_id]
            devices.append(_device(scenario, device_id, kind, body, mine, start_ns, queue_of(device_id)))
            bindings.append(
                Binding(device=device_id, patient=patient.patient, from_ns=start_ns, period_ns=kind.bundle_ns)
            )
    onsets = [_onset(scenario, story, start_ns) for story in scenario.stories]
    return Plan(
        scenario=scenario,
        start_ns=start_ns,
        bodies=bodies,
        devices=tuple(devices),
        onsets=tuple(sorted(onsets, key=lambda o: (o.onset_ns, o.patient))),
        faults=faults,
        bindings=tuple(bindings),
        enrolments=tuple(
            Enrolment(patient=p.patient, state="admitted", at_ns=start_ns, by="scenario", age=p.age, sex=p.sex)
            for p in patients
        ),
    )


def _step_ns(scenario: Scenario) -> int:
    """The bodies' step: fine enough that no two samples of a device fall into the same one."""
    worn = {name for p in scenario.patients for name in p.devices}
    return gcd(MAX_STEP_NS, *(scenario.kinds[name].sample_ns for name in worn)) if worn else MAX_STEP_NS


def _at(bodies: Bodies, start_ns: int, step_ns: int, column: int, t_ns: int) -> list[float]:
    return bodies.at((t_ns - start_ns) // step_ns, column)


def _device(
    scenario: Scenario,
    device_id: str,
    kind: Kind,
    body: Callable[[int], list[float]],
    faults: list[Fault],
    start_ns: int,
    queue: Queue,
) -> Device:
    """A device that starts somewhere in its period, so that the devices of a ward do not all speak at once."""
    random = generator(scenario.seed, "device", device_id)
    within_ms = min(kind.sample_ns, 2 * MINUTE_NS) // 1_000_000
    phase_ns = int(random.integers(within_ms)) * 1_000_000
    battery_pct = 60.0 + 40.0 * float(random.random())
    mine = Faults(faults, random)
    return Device(device_id, kind, body, mine, queue, start_ns=start_ns, phase_ns=phase_ns, battery_pct=battery_pct)


def _onset(scenario: Scenario, story: Story, start_ns: int) -> Onset:
    due_ns = story.due_ns(scenario.slowest_ns(story))
    return Onset(
        patient=story.patient,
        story=story.name,
        begins_ns=start_ns + story.at_ns,
        onset_ns=start_ns + story.onset_ns,
        expects_alarm=story.row.expects_alarm,
        due_ns=None if due_ns is None else start_ns + due_ns,
        families=story.row.families,
    )
