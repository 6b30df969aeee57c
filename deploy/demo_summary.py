"""How a run ends: what was raised, what the ledger says, which onsets had their alarm, how long each hop took."""

from __future__ import annotations

import asyncio
import re
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.clock import WardClock
from deploy.ward_process import WardProcess
from device_sim import Raised, Truth
from device_sim.scenario import Plan
from vitals import topics
from vitals.digest import digest
from vitals.events import PRIORITY_RANK, AlarmEvent, Kind, Priority
from vitals.hops import Histogram
from vitals.ledger import Account, Ledger, Row


def raised_alarms(events: Iterable[AlarmEvent], least: Priority = Priority.MEDIUM) -> list[Raised]:
    """Physiological alarms of some priority or above, as onsets are compared with."""
    return [
        Raised(event.patient, event.rule, event.at_ns)
        for event in events
        if event.event in {"raised", "worsened"}
        and event.kind is Kind.PHYSIOLOGICAL
        and PRIORITY_RANK[event.priority] >= PRIORITY_RANK[least]
    ]


def ledger_summary(ledger: Ledger, accounts: Iterable[Account]) -> dict[str, Any]:
    """The ledger in sums, with the devices that do not add up."""
    for account in accounts:
        ledger.account(account)
    rows = [row for row in ledger.rows() if row.device != topics.SYNTHETIC_DEVICE]
    total = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("sent", "stored", "duplicate", "refused", "quarantined", "queued", "remainder", "missing")
    }
    open_rows = [row for row in rows if not row.closed]
    return {"devices": len(rows), **total, "open": [ledger_line(row) for row in open_rows]}


def ledger_line(row: Row) -> dict[str, Any]:
    """One device's line."""
    names = ("device", "sent", "stored", "duplicate", "refused", "quarantined", "queued", "remainder", "missing")
    first = None if row.first_missing is None else {"boot": row.first_missing[0], "seq": row.first_missing[1]}
    return {**{name: getattr(row, name) for name in names}, "first_missing": first}


def hop_line(histogram: Histogram, speed: float) -> dict[str, float]:
    """Count, mean and percentiles of a hop, in milliseconds of the wall."""
    p50, p95, p99 = (value / speed / 1e6 for value in histogram.percentiles(50, 95, 99))
    return {
        "count": histogram.count,
        "mean_ms": round(histogram.mean_ns / speed / 1e6, 3),
        "p50_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "max_ms": round(histogram.max_ns / speed / 1e6, 3),
    }


def latency(ward: WardProcess, speed: float) -> dict[str, dict[str, float]]:
    """Every hop that was measured."""
    found: dict[str, Histogram] = {"ingest": ward.bridge.ingest}
    found |= {hop.value: histogram for hop, histogram in ward.monitoring.hops.items()}
    found |= {hop.value: histogram for hop, histogram in ward.storing.hops.items()}
    if ward.pager is not None:
        found |= {hop.value: histogram for hop, histogram in ward.pager.pager.engine.ways.hops.items()}
    return {name: hop_line(histogram, speed) for name, histogram in found.items() if histogram.count}


async def closing_summary(
    ward: WardProcess,
    plan: Plan | None,
    truth: Truth | None,
    accounts: list[Account],
    clock: WardClock,
    wall_s: float,
) -> dict[str, Any]:
    """The JSON object that a run ends with; ``promise`` says what did not hold, "" where everything did."""
    events = [event for event in ward.alarms.events if topics.clinical(event.patient)]
    kept = await asyncio.to_thread(ward.store.ledger)
    nobodys = sum(row.stored for row in kept.rows() if row.device == topics.SYNTHETIC_DEVICE)
    ledger = ledger_summary(kept, accounts)
    counts = await asyncio.to_thread(ward.store.counts)
    broken = []
    if ledger["remainder"] or ledger["missing"]:
        broken.append(f"the ledger leaves {ledger['remainder']} readings in {ledger['missing']} missing bundles")
    onsets: dict[str, Any] = {"began": 0, "alarmed": 0}
    false_alarms: list[dict[str, Any]] = []
    if truth is not None and plan is not None:
        verdict = truth.judge(raised_alarms(events), clock.now_ns())
        onsets = {
            "began": len(verdict.began),
            "alarmed": len(verdict.alarmed),
            "late": [f"{o.patient} {o.story}" for o in verdict.late],
            "missed": [f"{o.patient} {o.story}" for o in verdict.missed],
            "pending": [f"{o.patient} {o.story}" for o in verdict.pending],
        }
        false_alarms = [raised._asdict() for raised in verdict.false_alarms]
        if verdict.missed or verdict.late:
            broken.append(f"{len(verdict.missed)} onsets without and {len(verdict.late)} with a late alarm")
        if false_alarms:
            broken.append(f"{len(false_alarms)} alarms of medium priority or above about nobody ill")
    by_priority = {p.value: sum(e.event == "raised" and e.priority is p for e in events) for p in Priority}
    return {
        "alarms": sum(event.event == "raised" for event in events),
        "alarms_by_priority": by_priority,
        "events": len(events),
        "digest": digest(events),
        "onsets": onsets,
        "false_alarms": false_alarms,
        "ledger": ledger,
        "store": {"readings": counts.readings - nobodys, "frames": counts.frames, "events": counts.events},
        "latency": latency(ward, clock.speed),
        "test_patient": ward.pager.probe.told() if ward.pager is not None and ward.pager.probe is not None else None,
        "patients": len({row.patient for row in plan.enrolments}) if plan else 0,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(time.process_time(), 1),
        "memory_mb": memory_mb(ward.stack.mqtt.pid),
        "promise": "; ".join(broken),
    }


def memory_mb(broker_pid: int) -> dict[str, float]:
    """Largest resident memory of this process and of the MQTT broker's, in megabytes."""
    return {"process": _peak_mb("self"), "broker": _peak_mb(str(broker_pid))}


def _peak_mb(pid: str) -> float:
    """Peak of a process.

    From the kernel's own account, where there is one: `ru_maxrss` also holds the size of whoever started the program.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text("ascii", "replace"))
        return round(int(found[1]) / 1e3, 1) if found else 0.0
    unit = 1e6 if sys.platform == "darwin" else 1e3
    who = resource.RUSAGE_SELF if pid == "self" else resource.RUSAGE_CHILDREN
    return round(resource.getrusage(who).ru_maxrss / unit, 1)
