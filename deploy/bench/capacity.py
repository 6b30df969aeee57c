"""``teleward bench capacity``: how many bundles a second one machine carries, what gives out there, what one costs.

The rate is raised step by step on one running stack until the way to the judged frame no longer keeps up: its lag
grows, or a bundle in a hundred waits for longer than a second. The last step that held is the knee. With several
partitions and workers the same again on a fresh stack, to see how it scales.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from deploy.bench.driven import BenchError, Say
from deploy.bench.latency import admit, measure, settings_told
from deploy.bench.machine import described
from deploy.bench.stack import BenchStack
from deploy.bench.workload import Ward
from vitals.hops import TO_SCORED

ILL: Final = 0.02  # of the patients of a search
_LATE_MS: Final = 1000.0  # where a bundle in a hundred waits so long, the rate is beyond the knee
_JUDGED: Final = 0.97  # or where so few of what was sent had been judged when the step was over
_FULL: Final = 0.85  # of a processor: a process with so much of one has no more to give
_MACHINE_FULL: Final = 0.95
_PERIOD_S: Final = 10.0  # a patient's bundle each ten seconds, for what one costs


@dataclass(frozen=True, slots=True)
class CapacitySettings:
    """A search.

    Attributes:
        patients: In the ward; the rate changes how often they send, not how many they are.
        start: First rate, bundles a second.
        factor: Each step's rate by the one before.
        steps: At most so many.
        seconds: Measured in each step.
        warm_s: Before that in each step.
        workers: Numbers of monitoring processes to try, with as many partitions.
        store: influx or sqlite.
    """

    patients: int = 1000
    start: float = 200.0
    factor: float = 1.5
    steps: int = 10
    seconds: float = 15.0
    warm_s: float = 5.0
    workers: tuple[int, ...] = (1,)
    store: Literal["influx", "sqlite"] = "influx"

    def __post_init__(self) -> None:
        """Refuse what cannot be searched."""
        if self.factor <= 1 or self.start <= 0 or self.steps < 1 or not self.workers or min(self.workers) < 1:
            raise BenchError("take a first rate above 0, a factor above 1, at least one step and one worker")


async def run_capacity(settings: CapacitySettings, say: Say) -> dict[str, Any]:
    """Search for the knee with each number of workers.

    Raises:
        BenchError: If the load or the observer broke.
        ServerError, PartStartError: If the stack does not start.
    """
    found = {f"{n} workers": await _search(settings, n, say) for n in settings.workers}
    scaling = [{"workers": n, "knee_per_s": found[f"{n} workers"]["knee_per_s"]} for n in settings.workers]
    told = {"settings": settings_told(settings), "scaling": scaling}
    return {"bench": "capacity", "machine": described(), **told, **found}


async def _search(settings: CapacitySettings, workers: int, say: Say) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="teleward-bench-") as folder:
        async with BenchStack(Path(folder), workers=workers, partitions=workers, store=settings.store) as stack:
            await admit(stack, Ward(settings.patients, settings.start, ILL))
            for number in range(settings.steps):
                rate = settings.start * settings.factor**number
                ward = Ward(settings.patients, rate, ILL)
                result = await measure(stack, ward, settings.seconds, settings.warm_s, say, boot=number + 1)
                steps.append(step_of(rate, settings.seconds, result))
                say(f"{workers} workers, {rate:.0f}/s: {steps[-1]['verdict']}, p99 {steps[-1]['p99_ms']} ms")
                if steps[-1]["verdict"] != "holds":
                    break
    return knee(steps)


def step_of(rate: float, seconds: float, result: Mapping[str, Any]) -> dict[str, Any]:
    """One step as a row: how it went and what was busiest.

    Of a pipeline that says nothing of its judging, the alarm events stand for all that is judged.
    """
    ways, hops = result["ways"], result["hops"]
    scored = ways.get(TO_SCORED) or hops.get(TO_SCORED) or ways.get("to_event") or {}
    judged = min(1.0, result["judged"] / (rate * seconds))
    p99 = scored.get("p99_ms")
    holds = p99 is not None and p99 <= _LATE_MS and judged >= _JUDGED
    return {
        "rate_per_s": round(rate), "verdict": "holds" if holds else "falls behind", "judged": round(judged, 3),
        "p50_ms": scored.get("p50_ms"), "p99_ms": p99, "busy": result["busy"], "others": result["others"],
        "full": full(result), "cpu_s_per_1000": cost(result), "processes": result["processes"],
    }  # fmt: skip


def full(result: Mapping[str, Any]) -> str:
    """What had nothing more to give, in words."""
    shares = {name: row["share"] or 0.0 for name, row in result["processes"].items()}
    name = max(shares, key=lambda each: shares[each])
    if shares[name] >= _FULL:
        return f"{name}: {shares[name]:.0%} of a processor"
    if (result["busy"] or 0) >= _MACHINE_FULL:
        others = result["others"] or 0.0
        beside = f", {others:.0%} of it others'" if others >= 0.05 else ""
        return f"the machine{beside}; most of ours by {name}"
    return ""


def cost(result: Mapping[str, Any]) -> float:
    """Seconds of processor time for a thousand bundles, of the whole way without the load and who looks on."""
    rows = result["processes"].items()
    return round(sum(row["cpu_s_per_1000"] or 0.0 for name, row in rows if name not in {"load", "observer"}), 4)


def knee(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The last step that held, what was full in the first that did not, and what a patient costs at the knee."""
    held = [step for step in steps if step["verdict"] == "holds"]
    beyond = [step for step in steps if step["verdict"] != "holds"]
    best = held[-1] if held else None
    return {
        "knee_per_s": best["rate_per_s"] if best else 0,
        "reached": bool(beyond),
        "full": (beyond[0] if beyond else steps[-1])["full"],
        "patients_at_a_bundle_each_10_s": int(best["rate_per_s"] * _PERIOD_S) if best else 0,
        "cpu_share_of_a_patient": best["cpu_s_per_1000"] / 1000 / _PERIOD_S if best else None,
        "steps": steps,
    }
