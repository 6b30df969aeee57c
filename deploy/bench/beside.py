"""``teleward bench latency|capacity --through both``: ours and the tutorial's pipeline on the whole way, in one run.

Latency goes in rounds. A round has servers of its own, and each pipeline runs on them once, alone: its processes are
started when the other's have ended, so neither takes the other's processors, and no state of an earlier round is left.
Which is first changes from round to round. Both get the same bundles, from the same load, and are judged by the same
observer. Ratios are taken within rounds.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.bench.capacity import ILL, CapacitySettings, cost, knee, run_capacity, step_of
from deploy.bench.driven import BenchError, Say
from deploy.bench.latency import LatencySettings, admit, measure, settings_told, told
from deploy.bench.machine import described
from deploy.bench.stack import BenchStack
from deploy.bench.whole_tutorial import Tutorial
from deploy.bench.workload import Ward
from vitals.hops import TO_SCORED, Histogram

OURS: Final = "teleward"
THEIRS: Final = "tutorial"
BOTH: Final = "both"
# What is held against the tutorial's alarm event: name in the report, our way.
_AGAINST: Final = (("alarm", "to_event"), ("judged, every bundle", TO_SCORED))


def pipelines(through: str) -> tuple[str, ...]:
    """Which pipelines a word of the command line means, in the order of the first round.

    Example: ``both`` is ``teleward,tutorial``; ``tutorial,teleward`` lets the tutorial's begin.

    Raises:
        BenchError: If it means none.
    """
    names = (OURS, THEIRS) if through == BOTH else tuple(word.strip() for word in through.split(","))
    if not set(names) <= {OURS, THEIRS} or len(set(names)) < len(names):
        raise BenchError(f"nothing goes through {through!r}; take {OURS}, {THEIRS} or {BOTH}")
    return names


@dataclass(frozen=True, slots=True)
class BesideSettings:
    """Rounds of latency.

    Attributes:
        latency: Each run.
        through: teleward, tutorial or both.
        rounds: How many.
    """

    latency: LatencySettings
    through: str = BOTH
    rounds: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        names = pipelines(self.through)
        if self.rounds < 1:
            raise BenchError("take at least one round")
        if THEIRS in names and (self.latency.workers, self.latency.partitions) != (1, 1):
            raise BenchError(
                "the tutorial's pipeline has one worker and one partition: leave --workers and --partitions"
            )


@dataclass(frozen=True, slots=True)
class KneeSettings:
    """Searches for the knee, one after the other.

    Attributes:
        capacity: Ours; the tutorial's has the same ward, steps and times.
        through: tutorial or both; ours alone is `deploy.bench.capacity.run_capacity`.
        start: The tutorial's first rate.
        factor: Each of its rates by the one before.
    """

    capacity: CapacitySettings
    through: str = BOTH
    start: float = 200.0
    factor: float = 1.25

    def __post_init__(self) -> None:
        """Refuse what cannot be searched."""
        pipelines(self.through)
        if self.factor <= 1 or self.start <= 0:
            raise BenchError("take a first rate above 0 and a factor above 1 for the tutorial too")


async def run_beside(settings: BesideSettings, say: Say) -> dict[str, Any]:
    """All rounds of latency.

    Raises:
        BenchError: If the load or the observer broke, or a pipeline did not tell what the bundles say.
        ServerError, PartStartError: If the stack does not start.
    """
    names = pipelines(settings.through)
    rounds: list[dict[str, dict[str, Any]]] = []
    rows: list[dict[str, Any]] = []
    for number in range(settings.rounds):
        order = names if number % 2 == 0 else names[::-1]
        found = await one_round(settings.latency, order, say)
        rounds.append(found)
        for name in order:
            rows.append(row_of(number + 1, name, found[name]))
            say("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return {
        "bench": "latency",
        "machine": described(),
        "settings": settings_told(settings.latency) | {"through": settings.through, "rounds": settings.rounds},
        "runs": rows,
        **{name: merged([found[name] for found in rounds]) for name in names},
        **({"ratios": latency_ratios(rounds)} if len(names) > 1 else {}),
    }


async def one_round(settings: LatencySettings, order: Iterable[str], say: Say, **trial: Any) -> dict[str, Any]:
    """Each pipeline once, one after the other, on the same servers.

    Args:
        settings: Of each run.
        order: Who is first.
        say: Prints a line for people.
        trial: `speed` and `since_ns` of `deploy.bench.workload.Ward`, where nobody measures.

    Returns:
        By pipeline, its report.
    """
    ward = Ward(settings.patients, settings.rate, settings.ill, **trial)
    clock = "" if ward.speed == 1 else f"{ward.speed:g}@{ward.since_ns}"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="teleward-bench-") as folder:
        async with BenchStack(
            Path(folder), workers=settings.workers, partitions=settings.partitions, store=settings.store, ward=False,
            clock=clock,
        ) as stack:  # fmt: skip
            for boot, name in enumerate(order, 1):
                say(f"{name}: being started")
                if name == OURS:
                    await stack.start_ward()
                    await admit(stack, ward)
                    found[name] = await measure(stack, ward, settings.seconds, settings.warm_s, say, boot=boot)
                    await stack.stop_ward()
                else:
                    async with Tutorial(stack, ward) as tutorial:
                        found[name] = await tutorial.measure(ward, settings.seconds, settings.warm_s, say, boot=boot)
                _all_came(name, found[name])
    return found


def _all_came(name: str, report: Mapping[str, Any]) -> None:
    alarms = report["alarms"]
    if alarms["came"] < alarms["due"]:
        raise BenchError(
            f"{name}: of {alarms['due']} alarms that the bundles bring about {alarms['came']} came, so times would "
            "tell only of the quick ones; take a lower rate"
        )


def row_of(number: int, name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """One run in one line."""
    alarm, scored = report["ways"]["to_event"], _scored(report)
    return {
        "round": number, "through": name, "alarms": alarm.get("count", 0), "p50_ms": alarm.get("p50_ms"),
        "p99_ms": alarm.get("p99_ms"), "judged_p50_ms": scored.get("p50_ms", ""),
        "judged_p99_ms": scored.get("p99_ms", ""), "cpu_s_per_1000": cost(report), "busy": report["busy"],
        "others": report["others"],
    }  # fmt: skip


def _scored(report: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = report["ways"].get(TO_SCORED) or report["hops"].get(TO_SCORED) or {}
    return found


def merged(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The runs of one pipeline as one report: its times of all rounds together, and each round by itself."""
    out: dict[str, Any] = {}
    for kind in ("ways", "hops"):
        names = dict.fromkeys(name for report in reports for name in report[kind])
        out[kind] = {name: told(_together(report[kind].get(name, {}) for report in reports)) for name in names}
    out["alarms"] = {word: sum(report["alarms"][word] for report in reports) for word in ("due", "came")}
    return out | {f"round {number}": report for number, report in enumerate(reports, 1)}


def _together(rows: Iterable[Mapping[str, Any]]) -> Histogram:
    out = Histogram()
    for row in rows:
        if row.get("count"):
            out.merge(Histogram.from_bytes(bytes.fromhex(row["histogram"])))
    return out


def latency_ratios(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """How many times as long the tutorial's pipeline takes: within rounds, median, least and greatest.

    Its alarm event is held against our alarm event, and against our judgement of every bundle: an alarm of ours is a
    rarer thing than an event for each breach.
    """
    found = {}
    for what, way in _AGAINST:
        for percent in ("p50_ms", "p99_ms"):
            pairs = []
            for both in rounds:
                mine = (both[OURS]["ways"].get(way) or both[OURS]["hops"].get(way) or {}).get(percent)
                theirs = both[THEIRS]["ways"]["to_event"].get(percent)
                if mine and theirs:
                    pairs.append((theirs, mine))
            if pairs:
                found[f"tutorial's alarm / {what}, {percent[:3]}"] = _spread(pairs, "ms")
    costs = [(cost(both[THEIRS]), cost(both[OURS])) for both in rounds]
    if all(mine for _, mine in costs):
        found["CPU s per 1,000 bundles"] = _spread(costs, "s")
    return found


def _spread(pairs: list[tuple[float, float]], unit: str) -> dict[str, Any]:
    each = [theirs / mine for theirs, mine in pairs]
    return {
        "ratio": round(statistics.median(each), 2), "least": round(min(each), 2), "greatest": round(max(each), 2),
        f"tutorial_{unit}": round(statistics.median(theirs for theirs, _ in pairs), 4),
        f"teleward_{unit}": round(statistics.median(mine for _, mine in pairs), 4),
    }  # fmt: skip


async def run_knees(settings: KneeSettings, say: Say) -> dict[str, Any]:
    """Search for the tutorial's knee, and for ours if it is asked for.

    Raises:
        BenchError: If the load or the observer broke, or the tutorial's pipeline told what the bundles do not say.
        ServerError, PartStartError: If the stack does not start.
    """
    theirs = await _tutorial_knee(settings, say)
    fields = settings_told(settings.capacity)
    fields |= {"through": settings.through, "tutorial_start": settings.start, "tutorial_factor": settings.factor}
    out = {"bench": "capacity", "machine": described(), "settings": fields, THEIRS: theirs}
    if OURS in pipelines(settings.through):
        ours = await run_capacity(settings.capacity, say)
        out |= {name: row for name, row in ours.items() if name not in out}
        out["ratios"] = knee_ratios(ours, theirs)
    return out


def knee_ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our knees by the tutorial's. Where a search ended before its knee, that side is a lower bound."""
    found = {}
    for row in ours["scaling"]:
        name = f"{row['workers']} workers"
        low, high = theirs["knee_per_s"], row["knee_per_s"]
        found[f"knee, {name} / tutorial"] = {
            "ratio": round(high / low, 1) if low else None,
            "teleward_per_s": high, "teleward_reached": ours[name]["reached"],
            "tutorial_per_s": low, "tutorial_reached": theirs["reached"],
        }  # fmt: skip
    return found


async def _tutorial_knee(settings: KneeSettings, say: Say) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    search = settings.capacity
    with tempfile.TemporaryDirectory(prefix="teleward-bench-") as folder:
        async with BenchStack(Path(folder), workers=1, partitions=1, store=search.store, ward=False) as stack:
            first = Ward(search.patients, settings.start, ILL)
            async with Tutorial(stack, first) as tutorial:
                for number in range(search.steps):
                    rate = settings.start * settings.factor**number
                    ward = Ward(search.patients, rate, ILL)
                    result = await tutorial.measure(ward, search.seconds, search.warm_s, say, boot=number + 1)
                    steps.append(step_of(rate, search.seconds, result))
                    say(f"tutorial, {rate:.0f}/s: {steps[-1]['verdict']}, p99 {steps[-1]['p99_ms']} ms")
                    if steps[-1]["verdict"] != "holds":
                        break
    return knee(steps)
