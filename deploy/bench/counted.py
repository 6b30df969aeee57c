"""Counted work: calls, records and bytes for each bundle on its way, and the most memory held meanwhile.

Counts do not depend on how busy a machine is, so a small one, shared with others, can tell whether a change made the
way longer. What is counted is deterministic for a version of Python and of the libraries; a baseline is kept in the
repository, a test compares, and ``teleward bench count --write FILE`` writes a new one.

A call is a Python function entered; a call into C is a built-in or a library's. Neither says how long it takes: they
stand for what the interpreter is asked to do, and arrays are meant to keep both independent of the number of bundles.
"""

from __future__ import annotations

import gc
import platform
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Final

import numpy as np

from deploy.bench.workload import Ward as MadeUp
from deploy.bench.workload import payloads
from ingest.intake import Intake as BridgeIntake
from ingest.intake import Taken
from ingest.lane import Lane, LaneSettings, Receipt
from ingest.registry import Registry
from stream_processors.storing_intake import Intake as StoringIntake
from transport.stores.sqlite import SqliteStore
from vitals import block, topics
from vitals import log as records
from vitals.log import Tick
from vitals.reading import Block
from vitals.signs import SECOND_NS
from vitals.topics import bundle_topic
from vitals.validate import CheckSettings
from vitals.ward import Ward

_BEGIN_NS: Final = 1_700_000_000 * SECOND_NS
_PATIENTS: Final = 100
_RATE: Final = 10.0
_SECONDS: Final = 75.0  # a frame closes
_BLOCKS: Final = (1, 50)
TOLERANCE: Final = 0.15
"""How far a count may move from its baseline: libraries change a little from version to version."""


@dataclass
class Count:
    """What one stage took.

    Attributes:
        bundles: How many went through.
        calls: Python functions entered.
        c_calls: Calls into C.
        peak_kb: Most memory that it held at once beyond what it held before.
        more: Records and bytes out.
    """

    bundles: int
    calls: int = 0
    c_calls: int = 0
    peak_kb: float = 0.0
    more: dict[str, float] = field(default_factory=dict)

    def told(self) -> dict[str, float]:
        """For each bundle; the peak as it is."""
        n = self.bundles
        return {
            "calls": round(self.calls / n, 3), "c_calls": round(self.c_calls / n, 3),
            "peak_kb": round(self.peak_kb, 1), **{name: round(value / n, 4) for name, value in self.more.items()},
        }  # fmt: skip


def counted(bundles: int, work: Callable[[], Any]) -> tuple[Count, Any]:
    """Count a piece of work.

    Args:
        bundles: How many it handles.
        work: It; done once while calls are counted, and once more while memory is traced.

    Returns:
        The counts, and what the work returned.
    """
    seen: Counter[str] = Counter()

    def note(_: FrameType, event: str, __: Any) -> None:
        seen[event] += 1

    gc.collect()
    gc.disable()
    sys.setprofile(note)
    try:
        result = work()
    finally:
        sys.setprofile(None)
        gc.enable()
    tracemalloc.start()
    try:
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Count(bundles, seen["call"], seen["c_call"], peak / 1e3), result


def run_counted() -> dict[str, Any]:
    """Count every stage; each has run once before, so that nothing that is loaded or compiled at first use counts."""
    ward = MadeUp(_PATIENTS, _RATE, ill=0.1)
    at, who, bodies = payloads(ward, _BEGIN_NS, _SECONDS, boot=1)
    inputs = list(zip(at.tolist(), [f"bench-d-{i:06d}" for i in who.tolist()], bodies, strict=True))
    stages: dict[str, dict[str, float]] = {}
    for size in _BLOCKS:
        _bridge(ward, inputs[:400], size)
        count, log = counted(len(inputs), partial(_bridge, ward, inputs, size))
        blocks = [value for kind, value in log if kind == records.BLOCK]
        count.more = {"records": len(blocks), "bytes": sum(map(len, blocks))}
        stages[f"bridge, blocks of {size}"] = count.told()
        block.decode(blocks[0])
        count, _ = counted(len(inputs), partial(_decoded, blocks))
        stages[f"decoding, blocks of {size}"] = count.told()
        judged = [*_registry(ward), *_with_ticks(_decoded(blocks))]
        _judge(judged)
        count, out = counted(len(inputs), partial(_judge, judged))
        count.more = {"records": out}
        stages[f"ward, blocks of {size}"] = count.told()
        _keep(blocks)
        count, _ = counted(len(inputs), partial(_keep, blocks))
        stages[f"storing, blocks of {size}"] = count.told()
    return {"bench": "count", "python": platform.python_version(), "numpy": np.__version__,
            "settings": {"patients": _PATIENTS, "bundles": len(inputs)}, "stages": stages}  # fmt: skip


def _registry(ward: MadeUp) -> list[Any]:
    return list(ward.records(_BEGIN_NS - SECOND_NS))


def _bridge(ward: MadeUp, inputs: list[tuple[int, str, bytes]], size: int) -> list[tuple[bytes | None, bytes]]:
    """Decode, judge, fill blocks of so many, encode."""
    registry = Registry(1)
    for record in _registry(ward):
        registry.apply(record)
    intake = BridgeIntake(registry.bindings, bridge="bench", check_settings=CheckSettings())
    lane = Lane(topics.INPUT.name, 0, LaneSettings("bench", size, 1 << 20, 1 << 20))
    out: list[tuple[bytes | None, bytes]] = []
    for sent_ns, device, body in inputs:
        taken = intake.judge(bundle_topic(device), body, sent_ns + 1_000_000)
        if not isinstance(taken, Taken):
            raise TypeError(f"a bundle of the benchmark was refused: {taken}")
        lane.add(taken.accepted, Receipt(None), sent_ns)
        if size == 1 or len(out) % 50 == 49:
            out += [(entry.kind, entry.value) for entry in lane.next_group()]
    while group := lane.next_group():
        out += [(entry.kind, entry.value) for entry in group]
    return out


def _decoded(blocks: list[bytes]) -> list[Block]:
    return [block.decode(value) for value in blocks]


def _with_ticks(blocks: list[Block]) -> list[Any]:
    """A tick before the first block of every second."""
    out: list[Any] = []
    second = 0
    for each in blocks:
        now = int(each.received_ns[0]) // SECOND_NS
        if now > second:
            second = now
            out.append(Tick(now_ns=now * SECOND_NS))
        out.append(each)
    return out


def _judge(log: list[Any]) -> int:
    """The ward with its EWMA control: records that it brings about."""
    ward = Ward()
    told = 0
    for record in log:
        out = ward.step(record)
        told += len(out.events) + len(out.frames)
    return told


def _keep(blocks: list[bytes]) -> None:
    """What storing makes of blocks, written into a database in memory's place, a batch for every 50 bundles or so."""
    intake = StoringIntake()
    intake.restore({}, {0: 1 << 40})
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder, "bench.sqlite"))
        every = max(1, 50 * len(blocks) // (int(_RATE * _SECONDS)))
        try:
            for offset, value in enumerate(blocks):
                message = SimpleNamespace(
                    topic=topics.INPUT.name, partition=0, offset=offset, value=value,
                    headers=((records.HEADER, records.BLOCK),),
                )  # fmt: skip
                intake.take(message)
                intake.settle(message)
                if offset % every == every - 1 or offset == len(blocks) - 1:
                    store.write(intake.take_all().batch())
        finally:
            store.close()


def moved(baseline: dict[str, Any], now: dict[str, Any], tolerance: float = TOLERANCE) -> list[str]:
    """Counts that are not what the baseline says, in words; empty where all are.

    Args:
        baseline: A report of `run_counted` that is kept.
        now: One of now.
        tolerance: As a share of the baseline; a count of less than one a bundle may move by a tenth of one.
    """
    wrong = []
    for stage, counts in baseline["stages"].items():
        for name, was in counts.items():
            found = now["stages"].get(stage, {}).get(name)
            if found is None:
                wrong.append(f"{stage}: {name} is not counted any more")
            elif abs(found - was) > max(tolerance * was, 0.1 if name != "bytes" else 1.0):
                by = f" ({found / was - 1:+.0%})" if was else ""
                wrong.append(f"{stage}: {name} {was:g} -> {found:g}{by}")
    wrong += [f"{stage}: new" for stage in now["stages"] if stage not in baseline["stages"]]
    return wrong
