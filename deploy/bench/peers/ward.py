"""Teleward with all of the ward's work: its monitoring app as it serves, or the ward alone on memory."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.bench.peers.work import Workload
from deploy.bench.workload import device, patient
from deploy.clock import WardClock
from deploy.detectors import make_ward
from deploy.parts.part import quick_loops
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings
from vitals.digest import digest
from vitals.events import AlarmEvent
from vitals.log import Binding, Enrolment, Record, Tick
from vitals.reading import Block


def log_of(workload: Workload) -> Iterator[Record]:
    """The ward's log of a workload: who is watched, then the blocks with a tick before each."""
    sent = workload.sent_ns()
    for i in range(workload.patients):
        yield Enrolment(patient=patient(i), state="admitted", at_ns=int(sent[0]))
        yield Binding(device=device(i), patient=patient(i), from_ns=0, period_ns=workload.period_ns)
    for block in workload.blocks():
        yield Tick(now_ns=int(block.sent_ns[0]))
        yield block
    yield Tick(now_ns=int(sent[-1]))


def alone(spec: dict[str, Any]) -> None:
    """The ward on memory; prints how it went, with the digest of its events and the ends of its frames."""
    log = list(log_of(Workload(spec["count"])))
    ward = make_ward()
    warm, bundles, began = spec["warm"], 0, (0.0, 0.0, 0)
    events: list[AlarmEvent] = []
    frames: list[int] = []
    for record in log:
        if bundles >= warm and not began[2]:
            began = (time.monotonic(), time.process_time(), bundles)
        out = ward.step(record)
        events += out.events
        frames += [frame.end_ns for frame in out.frames]
        if isinstance(record, Block):
            bundles += record.bundles
    wall_s, cpu_s = time.monotonic() - began[0], time.process_time() - began[1]
    told = {"bundles": bundles - began[2], "wall_s": wall_s, "cpu_s": cpu_s, "digest": digest(events),
            "events": len(events), "frames": frames}  # fmt: skip
    print(json.dumps(told), flush=True)


async def serve(spec: dict[str, Any]) -> None:
    """The monitoring app; run until killed."""
    settings = StreamSettings(
        KafkaSettings(spec["bootstrap"], client_id="bench"), partitions=1, group_prefix=spec["group"],
        model_deadline_s=math.inf,  # ward time runs a thousand times faster here: no model could be in time
    )  # fmt: skip
    monitoring = Monitoring(settings, WardClock(), ward=make_ward)
    await monitoring.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    quick_loops()
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    alone(told) if len(sys.argv) > 2 else asyncio.run(serve(told))
