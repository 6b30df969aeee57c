"""``teleward bench latency``: how long each hop and the whole way take at a rate, in an open loop on the native stack.

Latencies count from the instant at which a bundle was *meant* to be sent. Every bundle counts for the ways to the
judged frame and to the store; alarm events that a bundle brought about count for the ways to an event and to the page.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from deploy.bench.driven import PAUSE_S, Drive, Driven, Say, arrived, drive, end_of
from deploy.bench.due import came_of, raised
from deploy.bench.load import LoadDone
from deploy.bench.machine import described, taken
from deploy.bench.observer import ObserveSpec, Seen
from deploy.bench.stack import PASSWORD, USER, BenchStack
from deploy.bench.workload import Ward
from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import topics
from vitals.events import event_decoder
from vitals.hops import Histogram, Stamp

PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_CURVE: Final = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0)
_OWED_S: Final = 30.0  # an alarm that is due may come so long after the one before it


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """A run.

    Attributes:
        patients: In the ward.
        rate: Bundles a second of all of them.
        seconds: How long is measured.
        warm_s: How long before that; the first alarms come after a minute.
        ill: Share of patients who bring alarms.
        workers: Monitoring processes.
        partitions: Of the input.
        store: influx or sqlite.
    """

    patients: int = 2000
    rate: float = 200.0
    seconds: float = 30.0
    warm_s: float = 65.0
    ill: float = 0.2
    workers: int = 1
    partitions: int = 1
    store: Literal["influx", "sqlite"] = "influx"


def told(histogram: Histogram) -> dict[str, Any]:
    """A histogram for a report, in milliseconds: count, mean (total / count), percentiles, max, and a curve."""
    if not histogram.count:
        return {"count": 0}
    points = histogram.percentiles(*_CURVE)
    named = zip(PERCENTS, histogram.percentiles(*PERCENTS), strict=True)
    return {
        "count": histogram.count,
        "mean_ms": round(histogram.mean_ns / 1e6, 3),
        **{f"p{percent:g}_ms": round(value / 1e6, 3) for percent, value in named},
        "max_ms": round(histogram.max_ns / 1e6, 3),
        "histogram": histogram.to_bytes().hex(),
        "curve": [[percent, round(value / 1e6, 3)] for percent, value in zip(_CURVE, points, strict=True)],
    }


def histogram_of(durations_ns: Iterable[int]) -> Histogram:
    """Some times as a histogram."""
    out = Histogram()
    out.record_many(np.array(list(durations_ns), dtype=np.int64))
    return out


async def run_latency(settings: LatencySettings, say: Say) -> dict[str, Any]:
    """Start a stack, load it, measure it, and give the report.

    Raises:
        BenchError: If the load or the observer broke.
        ServerError, PartStartError: If the stack does not start.
    """
    with tempfile.TemporaryDirectory(prefix="teleward-bench-") as folder:
        async with BenchStack(
            Path(folder), workers=settings.workers, partitions=settings.partitions, store=settings.store
        ) as stack:
            ward = Ward(settings.patients, settings.rate, settings.ill)
            say(f"stack up; {settings.patients} patients are being admitted")
            await admit(stack, ward)
            result = await measure(stack, ward, settings.seconds, settings.warm_s, say)
    return {"bench": "latency", "machine": described(), "settings": settings_told(settings), **result}


def settings_told(settings: Any) -> dict[str, Any]:
    """The fields of a run's settings, for its report."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


async def admit(stack: BenchStack, ward: Ward) -> None:
    """Everybody is admitted and wears a device; the ward's log says so."""
    await stack.copied(await stack.register(ward.records(time.time_ns())))


async def measure(
    stack: BenchStack, ward: Ward, seconds: float, warm_s: float, say: Say, *, boot: int = 1
) -> dict[str, Any]:
    """One load on a running stack.

    Args:
        stack: It, with the ward admitted.
        ward: Who sends.
        seconds: How long is measured.
        warm_s: How long before that.
        say: Prints a line for people.
        boot: Of all devices; higher each time on one stack.

    Raises:
        BenchError: If the load or the observer broke.
    """
    plan = Drive(stack, ward, seconds, warm_s, boot)
    kafka = KafkaSettings(stack.servers.bootstrap, client_id="bench")
    since = await end_of(kafka, topics.ALARMS.name)
    due: set[str] = set()

    async def at_end(start_ns: int) -> dict[str, Any]:
        await asyncio.sleep(PAUSE_S)
        last = await health(stack)
        due.update(raised(ward, start_ns, plan.total_s))
        await arrived(kafka, topics.ALARMS.name, since, due, _claim, _OWED_S)
        return last

    pids = dict(stack.pids)
    driven = await drive(plan, _observe_spec(stack), pids, lambda: health(stack), at_end, say)
    return _report(plan, driven, pids, due)


def _claim(record: Record) -> str:
    event = event_decoder.decode(record.value or b"")
    return came_of(event.event_id)


def load_told(done: LoadDone) -> dict[str, Any]:
    """How the load went, for a report."""
    return {"bundles": done.sent, "acknowledged": done.acknowledged, "cpu_s": done.cpu_s, "wall_s": done.wall_s,
            "late_p99_ms": round(done.late_p99_ms, 3), "late_max_ms": round(done.late_max_ms, 3)}  # fmt: skip


def _report(plan: Drive, driven: Driven[dict[str, Any]], pids: Mapping[str, int], due: set[str]) -> dict[str, Any]:
    ways = _ways(driven.seen, driven.window, plan.ward)
    hops: dict[str, Any] = {}
    first, last = driven.looks
    for part, said in last.items():
        earlier = first.get(part, {})
        for kind, into in (("hops", hops), ("ways", ways)):
            for name, data in (said.get(kind) or {}).items():
                now = Histogram.from_bytes(bytes.fromhex(data))
                then = (earlier.get(kind) or {}).get(name)
                grown = now.since(Histogram.from_bytes(bytes.fromhex(then))) if then else now
                key = f"{part}.{name}" if name in into or name == "log" else name
                into[key] = told(grown)
    came = {came_of(event_id) for event_id, _, _ in driven.seen.events}
    return {
        "load": load_told(driven.done),
        "ways": ways,
        "hops": hops,
        "alarms": {"due": len(due), "came": len(due & came)},
        "judged": _counted(driven.looks, "monitoring", "bundles"),
        "blocks": _counted(driven.looks, "bridge", "blocks"),
        "page": driven.seen.error or "watched",
        **taken(driven.used[0], driven.used[1], plan.bundles, pids),
    }


def _counted(health_then: tuple[Mapping[str, Any], Mapping[str, Any]], part: str, name: str) -> int:
    first, last = ((said.get(part) or {}).get("counts", {}).get(name, 0) for said in health_then)
    return int(last) - int(first)


def _ways(seen: Seen, window: tuple[int, int], ward: Ward) -> dict[str, Any]:
    """The ways of alarm events that a bundle of the window brought about."""
    begin, end = window
    events = {}
    for event_id, came_ns, said in seen.events:
        stamps = {name: ward.wall_ns(said_ns) for name, said_ns in said.items()}
        if begin <= stamps.get(Stamp.PUBLISHED, -1) < end:
            events[event_id] = (came_ns, stamps)
    shown = dict(reversed(seen.shown))
    sent = {event_id: stamps[Stamp.PUBLISHED] for event_id, (_, stamps) in events.items()}
    found = {
        "to_event": [came_ns - sent[event_id] for event_id, (came_ns, _) in events.items()],
        "to_page": [shown[event_id] - sent[event_id] for event_id in events if event_id in shown],
        "event.to_bridge": [s[Stamp.RECEIVED] - s[Stamp.PUBLISHED] for _, s in events.values()],
        "event.to_monitoring": [s[Stamp.FETCHED] - s[Stamp.RECEIVED] for _, s in events.values()],
        "event.judged": [s[Stamp.SCORED] - s[Stamp.FETCHED] for _, s in events.values()],
        "event.to_reader": [came_ns - s[Stamp.SCORED] for came_ns, s in events.values()],
    }
    return {name: told(histogram_of(times)) for name, times in found.items()}


async def health(stack: BenchStack) -> dict[str, Any]:
    """What each part said of itself last; of several workers of a part counts and times are added up."""
    kafka = KafkaSettings(stack.servers.bootstrap, client_id="bench")
    name = topics.HEALTH.name
    found: dict[tuple[str, str], dict[str, Any]] = {}
    async with TopicReader(kafka, (name,), offsets={(name, 0): -24}, compacted=True) as reader:
        for record in await reader.read_to_end():
            said = msgspec.json.decode(record.value or b"{}")
            found[said.get("part", ""), said.get("instance", "")] = said
    parts: dict[str, Any] = {}
    for (part, _), said in found.items():
        parts[part] = added(parts[part], said) if part in parts else said
    return parts


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two workers of one part said, together."""
    counts = dict(one.get("counts", {}))
    for name, count in other.get("counts", {}).items():
        if isinstance(count, int):
            counts[name] = counts.get(name, 0) + count
    told = {**one, "counts": counts}
    for kind in ("hops", "ways"):
        both = dict(one.get(kind) or {})
        for name, data in (other.get(kind) or {}).items():
            histogram = Histogram.from_bytes(bytes.fromhex(data))
            if name in both:
                histogram.merge(Histogram.from_bytes(bytes.fromhex(both[name])))
            both[name] = histogram.to_bytes().hex()
        told[kind] = both
    return told


def _observe_spec(stack: BenchStack) -> ObserveSpec:
    return ObserveSpec(stack.servers.bootstrap, topics.ALARMS.name, page=stack.page, user=USER, password=PASSWORD)
