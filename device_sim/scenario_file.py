"""Scenario files (YAML) -> `device_sim.scenario.Scenario`. Format: scenarios/README.md."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, cast

from yaml.nodes import Node, ScalarNode, SequenceNode

from device_sim.faults import FAULTS, FOREVER_NS, Fault
from device_sim.kinds import KINDS, Kind
from device_sim.people import AGE_RANGE, generator
from device_sim.scenario import Patient, Scenario
from device_sim.stories import STORIES, Story
from device_sim.yaml_nodes import (
    Complaints,
    ScenarioError,
    Table,
    compose,
    number,
    positive_span,
    span,
    start_span,
    time_of_day,
    whole,
    word,
)
from vitals.topics import PATIENT_ID

MAX_PATIENTS: Final = 20_000
_SEVERITY: Final = (0.95, 1.15)


def shipped() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = files("device_sim") / "scenarios"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name_or_path: str, seed: int | None = None) -> Scenario:
    """Read a scenario: the name of a shipped one (``demo``) or the path of a file.

    Args:
        name_or_path: Which.
        seed: Of all chance, instead of the one it says.

    Raises:
        ScenarioError: If it cannot be played, with file and line of everything that is wrong.
    """
    if name_or_path in shipped():
        text = (files("device_sim") / "scenarios" / f"{name_or_path}.yaml").read_text("utf-8")
        return parse(text, f"{name_or_path}.yaml", seed)
    path = Path(name_or_path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        known = ", ".join(shipped())
        raise ScenarioError(f"{name_or_path}: cannot be read ({reason}); name a file, or one of: {known}") from error
    return parse(text, str(path), seed)


def parse(text: str, file: str = "scenario", seed: int | None = None) -> Scenario:
    """Read a scenario from text.

    Args:
        text: YAML.
        file: What complaints call it.
        seed: Of all chance, instead of the one it says.

    Raises:
        ScenarioError: If it cannot be played, with file and line of everything that is wrong.
    """
    complaints = Complaints(file)
    table = Table(compose(text, complaints), "the scenario", complaints)
    own_seed = table.read("seed", whole(0, 2**31), 1)
    seed = own_seed if seed is None else seed
    scenario = Scenario(
        name=table.find("name", str) or "",
        seed=seed,
        patients=_patients(table, seed),
        kinds=_kinds(table),
        duration_ns=table.find("duration", positive_span) if table.has("duration") else None,
        speed=table.read("speed", number(0.01, 10_000), 60.0) or 60.0,
        start_h=table.read("start", time_of_day, 8.0) or 0.0,
    )
    complaints.raise_if_any()  # stories and faults name patients and devices: no use reading them without
    stories = _stories(table, scenario)
    faults = _faults(table, scenario)
    table.finish()
    complaints.raise_if_any()
    return replace(scenario, stories=stories, faults=faults)


def _patients(table: Table, seed: int) -> tuple[Patient, ...]:
    out: dict[str, Patient] = {}
    nodes = table.items("patients")
    if not nodes:
        table.complaints.add(table.node, "the scenario has no patients; add a list `patients:`")
    for node in nodes:
        for patient in _entry(Table(node, "a patient", table.complaints), seed):
            if patient.patient in out:
                table.complaints.add(node, f"patient {patient.patient!r} is there twice; give one another id or prefix")
            out[patient.patient] = patient
    if len(out) > MAX_PATIENTS:
        table.complaints.add(table.node, f"{len(out)} patients; at most {MAX_PATIENTS}")
    return tuple(out.values())


def _entry(entry: Table, seed: int) -> list[Patient]:
    """One patient with an `id`, or `count` of them with a `prefix`."""
    devices = entry.words("devices", tuple(KINDS))
    if entry.has("id"):
        ids = [entry.find("id", _patient_id)]
    else:
        count = entry.find("count", whole(1, MAX_PATIENTS)) if entry.has("count") else None
        if not entry.has("count"):
            entry.complaints.add(entry.node, "a patient has neither an id nor a count; write `id: p-1` or `count: 10`")
        prefix = entry.read("prefix", _patient_id, "p-") or "p-"
        ids = [f"{prefix}{i:0{max(2, len(str(count)))}d}" for i in range(1, (count or 0) + 1)]
    low, high = _ages(entry)
    sex = entry.find("sex", word(("f", "m"))) if entry.has("sex") else None
    entry.finish()
    out = []
    for patient in ids:
        if patient is None:
            continue
        u = generator(seed, "admission", patient).random(2)
        drawn = sex or ("f" if u[1] < 0.5 else "m")
        out.append(Patient(patient, round(low + (high - low) * float(u[0])), cast("Literal['f', 'm']", drawn), devices))
    return out


def _patient_id(text: str) -> str:
    if not PATIENT_ID.fullmatch(text):
        raise ValueError(
            "write up to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit"
        )
    return text


def _ages(entry: Table) -> tuple[float, float]:
    """`age: 71` or `age: [20, 90]`; an adult of any age where nothing is said."""
    default = (20.0, 90.0)
    if not entry.has("age"):
        return default
    node = entry.node_of("age")
    read = number(*AGE_RANGE)
    nodes: list[Node] = list(node.value) if isinstance(node, SequenceNode) else [node]
    ages: list[float] = []
    for one in nodes:
        try:
            ages.append(read(one.value if isinstance(one, ScalarNode) else ""))
        except ValueError as error:
            entry.complaints.add(one, f"age of {entry.what} is {one.value!r}; {error}")
            return default
    if len(ages) not in {1, 2} or ages[0] > ages[-1]:
        entry.complaints.add(node, f"age of {entry.what} is {ages}; write one age, or [youngest, oldest]")
        return default
    return ages[0], ages[-1]


def _kinds(table: Table) -> dict[str, Kind]:
    """`every: {chest: 15s, wrist: {sample: 1s, bundle: 5s}}`: the pace of each kind of device."""
    kinds = dict(KINDS)
    if not table.has("every"):
        return kinds
    every = Table(table.node_of("every"), "every", table.complaints)
    for name, node in every.fields():
        if name not in KINDS:
            table.complaints.add(node, f"every has {name!r}; use {', '.join(KINDS)}")
            continue
        try:
            if isinstance(node, ScalarNode):
                kinds[name] = KINDS[name].every(positive_span(node.value))
                continue
            pace = Table(node, f"every {name}", table.complaints)
            sample_ns, bundle_ns = pace.find("sample", positive_span), pace.find("bundle", positive_span)
            pace.finish()
            if sample_ns is not None and bundle_ns is not None:
                kinds[name] = KINDS[name].every(sample_ns, bundle_ns)
        except ValueError as error:
            table.complaints.add(node, str(error))
    return kinds


def _stories(table: Table, scenario: Scenario) -> tuple[Story, ...]:
    out: list[Story] = []
    known = {p.patient for p in scenario.patients}
    for node in table.items("stories"):
        entry = Table(node, "a story", table.complaints)
        patient, name = entry.find("patient", _patient_id), entry.find("story", word(tuple(STORIES)))
        at_ns = entry.find("at", start_span)
        tempo = entry.read("tempo", number(0.1, 10.0), 1.0)
        severity = entry.find("severity", number(*_SEVERITY)) if entry.has("severity") else None
        entry.finish()
        if patient is not None and patient not in known:
            table.complaints.add(entry.node_of("patient"), f"no patient is called {patient!r}; list it under patients")
            continue
        if patient is None or name is None or at_ns is None or tempo is None:
            continue
        if severity is None:
            low, high = _SEVERITY
            drawn = low + (high - low) * float(generator(scenario.seed, "severity", patient, name, str(at_ns)).random())
            severity = round(drawn, 3) if STORIES[name].expects_alarm else 1.0
        story = Story(patient, name, at_ns, tempo, severity)
        try:
            scenario.slowest_ns(story)
        except ValueError as error:
            table.complaints.add(node, str(error))
        out.append(story)
    return tuple(out)


def _faults(table: Table, scenario: Scenario) -> tuple[Fault, ...]:
    out: list[Fault] = []
    devices = scenario.device_ids()
    for node in table.items("faults"):
        entry = Table(node, "a fault", table.complaints)
        pattern, kind = entry.find("device", str), entry.find("fault", word(tuple(FAULTS)))
        if kind is None:
            continue
        fault = _fault(entry, kind)
        entry.finish()
        hit = [device for device in devices if fnmatchcase(device, pattern or "")]
        if pattern is not None and not hit:
            table.complaints.add(
                entry.node_of("device"),
                f"no device is called {pattern!r}; they are called like {devices[0]}, and * stands for anything",
            )
        out += [replace(fault, device=device) for device in hit]
    return tuple(out)


def _fault(entry: Table, kind: str) -> Fault:
    """What a scenario says of a fault, of no device yet."""
    row = FAULTS[kind]
    at_ns = entry.read("at", start_span, 0) or 0
    lasts_ns = entry.find("for", positive_span) if entry.has("for") else row.lasts_ns
    fault = Fault(device="", kind=kind, from_ns=at_ns, to_ns=FOREVER_NS if lasts_ns is None else at_ns + lasts_ns)
    if row.rate is not None:
        fault = replace(fault, rate=entry.read("rate", number(0.001, 1.0), row.rate) or row.rate)
    if "offset" in row.extra:
        drift_ppm = entry.read("drift_ppm", number(-1e5, 1e5), 0.0) or 0.0
        fault = replace(fault, offset_ns=entry.read("offset", span, 0) or 0, drift_ppm=drift_ppm)
    if "low_for" in row.extra:
        low_for_ns = entry.read("low_for", positive_span, fault.low_for_ns) or fault.low_for_ns
        fault = replace(fault, low_for_ns=low_for_ns)
    return fault
