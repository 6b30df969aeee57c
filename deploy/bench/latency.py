"""``teleward bench latency``: how long each hop and the whole way take at a rate, in an open loop on the native stack.

Latencies count from the instant at which a bundle was *meant* to be sent. Every bundle counts for the ways to the
judged frame and to the store; alarm events that a bundle brought about count for the ways to an event and to the page.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from deploy.bench.load import LoadDone, LoadSpec
from deploy.bench.machine import Usage, described, taken, usage
from deploy.bench.observer import ObserveSpec, Seen
from deploy.bench.stack import PASSWORD, USER, BenchStack
from deploy.bench.workload import Ward
from deploy.brokers import values
from transport.kafka import KafkaSettings, TopicReader
from vitals import topics
from vitals.hops import Histogram, Stamp
from vitals.signs import SECOND_NS

Say = Callable[[str], None]

PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_CURVE: Final = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0)
_MAKE_S: Final = 4.0  # starting the load's process,
_MAKE_S_PER_BUNDLE: Final = 40e-6  # and making its bytes; longer on a machine that is busy with other things
_PAUSE_S: Final = 4.0  # after the load: whatever is under way comes out, and every part says how it is once more


class BenchError(RuntimeError):
    """A run told nothing; the text says why."""


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
    return {"bench": "latency", "machine": described(), "settings": _fields(settings), **result}


def _fields(settings: Any) -> dict[str, Any]:
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
    """
    async with AsyncExitStack() as running:
        total_s = warm_s + seconds
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        start_ns = time.time_ns() + int((_MAKE_S + ward.rate * total_s * _MAKE_S_PER_BUNDLE) * crowd * SECOND_NS)
        observer = _Child("observer", stack.folder, _observe_spec(stack))
        load = _Child("load", stack.folder, _load_spec(stack, ward, total_s, start_ns, boot))
        for child in (observer, load):
            running.callback(child.kill)
            child.start()
        pids = {**stack.pids, "load": load.pid, "observer": observer.pid}
        await _until(start_ns + int(warm_s * SECOND_NS))
        before, counted = usage(pids), await health(stack)
        say(f"warm: measuring {seconds:g} s at {ward.rate:g} bundles a second")
        await _until(start_ns + int(total_s * SECOND_NS) - SECOND_NS // 10)
        after = usage(pids)
        done = msgspec.json.decode(await load.result(60), type=LoadDone)
        if done.error:
            raise BenchError(f"the load broke off: {done.error}")
        await asyncio.sleep(_PAUSE_S)
        last = await health(stack)
        seen = msgspec.json.decode(await observer.result(30, close=True), type=Seen)
        window = (start_ns + int(warm_s * SECOND_NS), start_ns + int(total_s * SECOND_NS))
        return _report(ward, seconds, done, seen, window, (before, after), (counted, last), pids)


def _report(
    ward: Ward,
    seconds: float,
    done: LoadDone,
    seen: Seen,
    window: tuple[int, int],
    used: tuple[Usage, Usage],
    health_then: tuple[Mapping[str, Any], Mapping[str, Any]],
    pids: Mapping[str, int],
) -> dict[str, Any]:
    bundles = int(ward.rate * seconds)
    ways = _ways(seen, window)
    hops: dict[str, Any] = {}
    for part, said in health_then[1].items():
        earlier = health_then[0].get(part, {})
        for kind, into in (("hops", hops), ("ways", ways)):
            for name, data in (said.get(kind) or {}).items():
                now = Histogram.from_bytes(bytes.fromhex(data))
                then = (earlier.get(kind) or {}).get(name)
                grown = now.since(Histogram.from_bytes(bytes.fromhex(then))) if then else now
                key = f"{part}.{name}" if name in into or name == "log" else name
                into[key] = told(grown)
    return {
        "load": {"bundles": done.sent, "acknowledged": done.acknowledged, "cpu_s": done.cpu_s, "wall_s": done.wall_s,
                 "late_p99_ms": round(done.late_p99_ms, 3), "late_max_ms": round(done.late_max_ms, 3)},
        "ways": ways,
        "hops": hops,
        "judged": _counted(health_then, "monitoring", "bundles"),
        "blocks": _counted(health_then, "bridge", "blocks"),
        "page": seen.error or "watched",
        **taken(used[0], used[1], bundles, pids),
    }  # fmt: skip


def _counted(health_then: tuple[Mapping[str, Any], Mapping[str, Any]], part: str, name: str) -> int:
    first, last = ((said.get(part) or {}).get("counts", {}).get(name, 0) for said in health_then)
    return int(last) - int(first)


def _ways(seen: Seen, window: tuple[int, int]) -> dict[str, Any]:
    """The ways of alarm events that a bundle of the window brought about."""
    begin, end = window
    events = {
        event_id: (came_ns, stamps)
        for event_id, came_ns, stamps in seen.events
        if begin <= stamps.get(Stamp.PUBLISHED, -1) < end
    }
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


def _load_spec(stack: BenchStack, ward: Ward, seconds: float, start_ns: int, boot: int) -> LoadSpec:
    return LoadSpec(
        port=stack.servers.mqtt_port, user=values.PLAYER_USER, password_file=stack.player_password_file,
        patients=ward.patients, rate=ward.rate, ill=ward.ill, seconds=seconds, start_ns=start_ns, boot=boot,
    )  # fmt: skip


async def _until(time_ns: int) -> None:
    await asyncio.sleep(max(0.0, (time_ns - time.time_ns()) / SECOND_NS))


class _Child:
    """A process of the benchmark itself: told a spec by a file, tells its result on standard output."""

    def __init__(self, name: str, folder: Path, spec: msgspec.Struct) -> None:
        self._name = name
        self._file = folder / f"{name}.json"
        self._file.write_bytes(msgspec.json.encode(spec))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"deploy.bench.{self._name}", str(self._file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def result(self, timeout_s: float, *, close: bool = False) -> bytes:
        process = self._process
        if process is None:
            raise BenchError(f"the {self._name} was not started")
        try:
            out, errors = await asyncio.to_thread(process.communicate, b"" if close else None, timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"the {self._name} did not come to its end") from None
        if process.returncode:
            raise BenchError(f"the {self._name} failed: {errors.decode(errors='replace')[-600:]}")
        return out

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
