"""What must hold after whatever befell a ward, and what is measured of it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from faulty_ward import SETTLE_S, FaultyWard
from in_the_ward import PARTITIONS, planned

from deploy.detectors import make_ward
from device_sim import Truth
from device_sim.scenario import Plan, Scenario
from transport.kafka import Record, read_all
from transport.stores.base import Store
from vitals import block, log, topics
from vitals.align import AlignSettings
from vitals.block import BlockBuilder
from vitals.events import AlarmEvent, Kind, event_decoder, event_encoder
from vitals.ledger import Account
from vitals.log import Binding, Tick
from vitals.rules import RULES, Subject
from vitals.signs import SECOND_NS, Sign
from vitals.validate import Bindings, Checked, receive
from vitals.ward import Ward
from vitals.wire import SentBundle

ALARMED = {"raised", "worsened", "recurred"}
WardOf = Callable[[], Ward]
_LATENESS_S = AlignSettings().lateness_ns / 1e9


@dataclass(slots=True)
class Verdict:
    """How a disturbed run ended.

    Attributes:
        events: Alarm events, each once, in the order of the log.
        repeated: How often an event was told again, with the same id and the same bytes.
        missing: Physiological alarms of the undisturbed run that nobody told.
        added: Such that only the disturbed run has.
        moved_s: Of those both have, by how much of the patients' time their instant differs, where it does.
        on_frames: Alarms of rules that frames decide, told in only one of the two, where frames closed before what
            the devices' way held back had come; empty where nothing was held back that long.
        silence_s: By fault, the longest time of the wall in which a partition told no alarm event.
        delay_s: Time of the wall from the instant of a physiological alarm until it was told.
        sent: Readings.
        duplicates: Readings that came more than once.
    """

    events: list[AlarmEvent]
    repeated: int
    missing: list[str]
    added: list[str]
    moved_s: list[float]
    on_frames: list[str]
    silence_s: dict[str, float]
    delay_s: list[float] = field(repr=False)
    sent: int = 0
    duplicates: int = 0

    def line(self, name: str) -> str:
        """A row of the report."""
        late = sorted(self.delay_s)
        worst = max(self.silence_s.values(), default=0.0)
        cells = [
            *(name, len(self.silence_s), len(self.events), self.repeated, len(self.missing), len(self.added)),
            *(len(self.moved_s), len(self.on_frames), f"{worst:.1f}", f"{statistics.median(late):.2f}"),
            *(f"{late[-1]:.1f}", self.sent, self.duplicates),
        ]
        return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| what befell the ward | times | alarm events | told again | alarms missing | alarms added | at another instant | "
    "on frames closed too early | "
    "longest silence s | delay s, median | delay s, worst | readings | came twice |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


async def judge(ward: FaultyWard, truth: Truth, store: Store, held_back_s: float = 0.0) -> Verdict:
    """Hold everything together that must agree; fails where it does not.

    Args:
        ward: Finished, its servers still up.
        truth: What its devices did.
        store: What storing wrote.
        held_back_s: For how much of the patients' time bundles may have been held back while time went on, at most;
            above the allowed lateness frames close without them. Then limits must be as undisturbed all the same, and
            everything must be for a ward that waits for so long: what differs for one that does not is the waiting.
    """
    records = await read_all(ward.kafka, topics.INPUT.name)
    told = await read_all(ward.kafka, topics.ALARMS.name)
    assert not await read_all(ward.kafka, topics.DEADLETTER.name), "every record could be read"
    events = _as_the_log_says(records, told)
    _nothing_is_lost(truth, ward, store)
    _the_store_has_it_all(store, events, ward.plan, truth, ward.scenario)
    assert not [event for event in events if event.rule.startswith("missed-")], "what we delayed is judged as live"
    found = _beside(events, ward, make_ward)
    on_frames: list[str] = []
    if held_back_s > _LATENESS_S:
        differ = [*found.missing, *found.added]
        assert not [one for one in differ if RULES[one.rule].subject is Subject.LIMIT], "limits wait for no frame"
        on_frames = [str(one) for one in differ]
        waiting = partial(_waiting, held_back_s)
        found = _beside([event for _, event in _fold(records, waiting)], ward, waiting)
    rows = store.ledger().rows()
    return Verdict(
        events=events,
        repeated=len(told) - len(events),
        missing=[str(one) for one in found.missing],
        added=[str(one) for one in found.added],
        moved_s=found.moved_s,
        on_frames=on_frames,
        silence_s=_silence(told, ward),
        delay_s=_delays(told, ward),
        sent=sum(counts.readings for counts in truth.counts.values()),
        duplicates=sum(row.duplicate for row in rows),
    )


def _as_the_log_says(records: list[Record], told: list[Record]) -> list[AlarmEvent]:
    """Ids, payloads and each patient's order are those of a ward that reads the same log undisturbed."""
    folded = [value for value, _ in _fold(records, make_ward)]
    found = list(dict.fromkeys(record.value or b"" for record in told))
    assert Counter(found) == Counter(folded), "the alarm events are those of the log, each with its bytes"
    events, wanted = ([event_decoder.decode(one) for one in many] for many in (found, folded))
    by_patient, wanted_by_patient = defaultdict(list), defaultdict(list)
    for event in events:
        by_patient[event.patient].append(event.event_id)
    for event in wanted:
        wanted_by_patient[event.patient].append(event.event_id)
    assert by_patient == wanted_by_patient, "in the order of the log, for each patient"
    return events


def _fold(records: list[Record], ward_of: WardOf) -> Iterable[tuple[bytes, AlarmEvent]]:
    """Alarm events, as bytes and read, of a ward of each partition that reads the log undisturbed."""
    for partition in range(PARTITIONS):
        ward = ward_of()
        for record in records:
            if record.partition == partition:
                read = block.decode if record.header(log.HEADER) == log.BLOCK else log.decode
                for event in ward.step(read(record.value or b"")).events:
                    yield event_encoder.encode(event), event


def _waiting(lateness_s: float) -> Ward:
    """The ward as it is, but its frames wait so long for what is on its way."""
    shipped = make_ward()
    align = replace(shipped.settings.align, lateness_ns=round(lateness_s * SECOND_NS))
    return Ward(replace(shipped.settings, align=align), shipped.plugs)


def _nothing_is_lost(truth: Truth, ward: FaultyWard, store: Store) -> None:
    ledger = store.ledger()
    for device, counts in truth.counts.items():
        assert counts.queued == 0, f"{device}: everything was acknowledged in the end"
        ledger.account(Account(device=device, at_ns=ward.clock.now_ns(), sent=counts.readings))
    for row in ledger.rows():
        assert row.closed, f"{row.device}: a remainder of {row.remainder}, first missing {row.first_missing}"
        assert row.refused == row.quarantined == row.queued == 0
        assert row.sent == row.stored + row.duplicate


def _the_store_has_it_all(store: Store, events: list[AlarmEvent], plan: Plan, truth: Truth, scenario: Scenario) -> None:
    kept = store.alarm_events()
    assert {one.event.event_id: one.event for one in kept} == {event.event_id: event for event in events}
    readings = store.counts().readings
    sent = sum(counts.readings for counts in truth.counts.values())
    assert readings == sent, f"{readings} readings kept of {sent} sent"
    end_ns = (plan.end_ns or 0) + SECOND_NS
    for patient, sign, times, values in _sent(scenario, plan.start_ns):
        series = store.series(patient, (sign,), plan.start_ns, end_ns)[sign]
        assert series.time_ns.tolist() == times, f"{patient} {sign.column}: every reading, once"
        assert np.allclose(series.value, values)


def sent_bundles(scenario: Scenario, start_ns: int) -> Iterable[tuple[int, str, bytes]]:
    """What devices say when nothing goes wrong: instant, device, bytes. The same bytes as in any run."""
    plan = planned(scenario, start_ns)
    end_ns = plan.end_ns or 0
    while True:
        device = min(plan.devices, key=lambda one: one.next_ns)
        if device.next_ns >= end_ns:
            return
        now_ns = device.next_ns
        for sending in device.advance(now_ns):
            device.acknowledged(sending)
            yield now_ns, device.device, sending.payload


def _sent(scenario: Scenario, start_ns: int) -> list[tuple[str, Sign, list[int], list[float]]]:
    found: dict[tuple[str, Sign], dict[int, float]] = defaultdict(dict)
    wears = {binding.device: binding.patient for binding in planned(scenario, start_ns).bindings}
    for _, device, payload in sent_bundles(scenario, start_ns):
        decoder = msgspec.json if payload[:1] == b"{" else msgspec.msgpack
        for reading in decoder.decode(payload, type=SentBundle).readings:
            sign = Sign[reading.sign.upper()]
            if isinstance(reading.value, float | int) and not isinstance(reading.value, bool):
                found[wears[device], sign][reading.time_ns] = float(reading.value)
    return [
        (patient, sign, sorted(series), [series[t] for t in sorted(series)])
        for (patient, sign), series in found.items()
    ]


def undisturbed(scenario: Scenario, start_ns: int, ward_of: WardOf = make_ward) -> list[AlarmEvent]:
    """The alarm events of a run in which everything comes at once: the same devices, a tick each second."""
    plan = planned(scenario, start_ns)
    wards = [ward_of() for _ in range(PARTITIONS)]
    bindings, events = Bindings(), []

    def step(patient: str, record: log.Record) -> None:
        events.extend(wards[topics.partition_of(patient, PARTITIONS)].step(record).events)

    for record in plan.records:
        if isinstance(record, Binding):
            bindings.apply(record)
        step(record.patient, record)
    ticked_ns = start_ns

    def ticks(until_ns: int) -> None:
        nonlocal ticked_ns
        while ticked_ns + SECOND_NS <= until_ns:
            ticked_ns += SECOND_NS
            for ward in wards:
                events.extend(ward.step(Tick(now_ns=ticked_ns, bridge="bridge")).events)

    for now_ns, device, payload in sent_bundles(scenario, start_ns):
        ticks(now_ns)
        checked = receive(payload, device, now_ns, bindings)
        assert isinstance(checked, Checked)
        builder = BlockBuilder()
        builder.append(checked.accepted)
        step(checked.accepted.patient, builder.take())
    ticks((plan.end_ns or 0) + round((SETTLE_S + wards[0].settings.align.lateness_ns / 1e9) * SECOND_NS))
    return events


class Alarm(NamedTuple):
    """A telling of an alarm, known by what it says: the `which`th of its patient, rule and word, from 0."""

    patient: str
    rule: str
    event: str
    which: int

    def __str__(self) -> str:
        return f"{self.patient} {self.rule} {self.event} {self.which}"


class Beside(NamedTuple):
    """What differs from an undisturbed run."""

    missing: list[Alarm]
    added: list[Alarm]
    moved_s: list[float]


def _alarms(events: Iterable[AlarmEvent], until_ns: int) -> dict[Alarm, int]:
    """Alarm -> its instant."""
    found: dict[Alarm, int] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        if event.kind is Kind.PHYSIOLOGICAL and event.event in ALARMED and event.at_ns <= until_ns:
            name = (event.patient, event.rule, event.event)
            found[Alarm(*name, seen[name])] = event.at_ns
            seen[name] += 1
    return found


def _beside(events: Iterable[AlarmEvent], ward: FaultyWard, ward_of: WardOf) -> Beside:
    start_ns, end_ns = ward.plan.start_ns, ward.plan.end_ns or 0
    wanted, found = (_alarms(some, end_ns) for some in (undisturbed(ward.scenario, start_ns, ward_of), events))
    return Beside(
        [one for one in wanted if one not in found],
        [one for one in found if one not in wanted],
        [(found[one] - at_ns) / 1e9 for one, at_ns in wanted.items() if one in found and found[one] != at_ns],
    )


def _silence(told: list[Record], ward: FaultyWard) -> dict[str, float]:
    """For each fault the longest time, from it to the next one, in which one of the partitions told nothing.

    Beacons tell something about every second in each; what the devices' end leaves silent does not count, and what a
    fault leaves silent beyond the next one counts as the next one's.
    """
    over_s = _wall_s(ward, ward.plan.end_ns or 0)
    ends = [*(fault.at_s for fault in ward.faults), over_s][1:]
    found: dict[str, float] = {}
    for number, (fault, end_s) in enumerate(zip(ward.faults, ends, strict=True), 1):
        longest = 0.0
        for partition in range(PARTITIONS):
            times = sorted(record.timestamp_ms / 1e3 for record in told if record.partition == partition)
            around = [fault.at_s, *(t for t in times if fault.at_s < t < end_s), end_s]
            longest = max([longest, *(then - at for at, then in pairwise(around))])
        found[f"{number}: {fault.what}"] = longest
    return found


def _wall_s(ward: FaultyWard, at_ns: int) -> float:
    return (ward.since_ns + (at_ns - ward.since_ns) / ward.clock.speed) / 1e9


def _delays(told: list[Record], ward: FaultyWard) -> list[float]:
    """Seconds of the wall from the instant of a physiological alarm until its first telling."""
    first: dict[str, float] = {}
    for record in told:
        event = event_decoder.decode(record.value or b"")
        if event.kind is Kind.PHYSIOLOGICAL and event.event in ALARMED:
            first.setdefault(event.event_id, record.timestamp_ms / 1e3 - _wall_s(ward, event.at_ns))
    return list(first.values())
