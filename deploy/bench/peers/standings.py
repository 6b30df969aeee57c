"""Who competes, how a run went, and what all runs say of each beside the others."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final

from vitals import topics

MESSAGES: Final = "bench.messages"
BLOCKS: Final = "bench.blocks"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does the work.

    Attributes:
        name: In reports.
        program: File in this folder, and more of the command line.
        what: In words.
        share: Of the bundles; those who are slow get fewer.
        source: The topic it reads.
        told: How its result is known: ``messages`` (a record for each bundle), ``blocks`` (for each block),
            ``exit`` (it ends when it is done), ``said`` (it only reads, and says how it went), ``ward``.
    """

    name: str
    program: tuple[str, ...]
    what: str
    share: float
    source: str
    told: str


CONTESTANTS: Final = (
    Contestant("faust-tutorial", ("faust_tutorial.py",), "Faust as its tutorial has it", 0.02, MESSAGES, "messages"),
    Contestant("quix", ("quix.py",), "Quix Streams, RocksDB", 0.2, MESSAGES, "messages"),
    Contestant("kafka-streams", ("Judge",), "Kafka Streams (Java), RocksDB", 0.3, MESSAGES, "messages"),
    Contestant("bytewax", ("bytewax_flow.py",), "Bytewax, no recovery", 0.3, MESSAGES, "messages"),
    Contestant("arrays", ("arrays.py",), "confluent-kafka and NumPy, no recovery", 1.0, MESSAGES, "exit"),
    Contestant("teleward-blocks", ("blocks.py",), "Teleward's app and codec, the peers' work", 1.0, BLOCKS, "blocks"),
    Contestant("teleward-ward", ("ward.py",), "Teleward, all of the ward's work", 1.0, topics.INPUT.name, "ward"),
    Contestant("read-confluent", ("arrays.py", "confluent"), "reading and parsing only", 1.0, MESSAGES, "said"),
    Contestant("read-aiokafka", ("arrays.py", "aiokafka"), "reading and parsing only", 1.0, MESSAGES, "said"),
    Contestant("ward-alone", ("ward.py", "alone"), "the ward on memory, no Kafka", 1.0, "", "said"),
)
BY_NAME: Final = {each.name: each for each in CONTESTANTS}


@dataclass
class Run:
    """How one run went.

    Attributes:
        who: Of `CONTESTANTS`.
        bundles: Measured ones.
        wall_s: From the warm one to the last.
        cpu_s: Of the process meanwhile.
        more: What it said beside that.
    """

    who: str
    bundles: int
    wall_s: float
    cpu_s: float
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Bundles a second."""
        return self.bundles / self.wall_s

    @property
    def cpu_s_per_1000(self) -> float:
        """Seconds of processor time for a thousand bundles."""
        return self.cpu_s * 1000 / self.bundles


def summary(runs: list[tuple[int, Run]]) -> dict[str, Any]:
    """Of everybody the median, least and greatest of all runs."""
    found: dict[str, Any] = {}
    for name, contestant in BY_NAME.items():
        mine = [run for _, run in runs if run.who == name]
        if mine:
            rates = [run.per_s for run in mine]
            found[name] = {
                "what": contestant.what, "times": len(mine), "bundles_per_s": round(statistics.median(rates)),
                "least": round(min(rates)), "greatest": round(max(rates)),
                "cpu_s_per_1000": round(statistics.median(run.cpu_s_per_1000 for run in mine), 5),
            }  # fmt: skip
    return found


_PAIRS: Final = (
    ("teleward-blocks", "faust-tutorial"), ("teleward-blocks", "bytewax"), ("teleward-blocks", "quix"),
    ("teleward-blocks", "kafka-streams"), ("teleward-blocks", "arrays"), ("teleward-ward", "faust-tutorial"),
    ("teleward-ward", "bytewax"), ("teleward-ward", "ward-alone"), ("arrays", "read-confluent"),
)  # fmt: skip


def ratios(runs: list[tuple[int, Run]]) -> dict[str, Any]:
    """Ratios of bundles a second within rounds (median, least, greatest), and of bundles for a second of processor."""
    by = {(number, run.who): run for number, run in runs}
    rounds = sorted({number for number, _ in runs})
    found = {}
    for a, b in _PAIRS:
        both = [(by[n, a], by[n, b]) for n in rounds if (n, a) in by and (n, b) in by]
        if both:
            each = [mine.per_s / theirs.per_s for mine, theirs in both]
            # On a machine that others load too, this one tells of the programs alone.
            cpu = [theirs.cpu_s_per_1000 / mine.cpu_s_per_1000 for mine, theirs in both]
            found[f"{a} / {b}"] = {
                "median": round(statistics.median(each), 2), "least": round(min(each), 2),
                "greatest": round(max(each), 2), "per_cpu_s": round(statistics.median(cpu), 2),
            }  # fmt: skip
    return found


_GOALS: Final = (
    ("teleward-blocks / faust-tutorial", 100.0),
    ("teleward-blocks / bytewax", 3.0),
    ("teleward-blocks / arrays", 0.7),
    ("teleward-ward / faust-tutorial", 40.0),
)
_CPU_GOAL: Final = 0.006


def goals(runs: list[tuple[int, Run]]) -> list[dict[str, Any]]:
    """What was promised, beside what came."""
    found = ratios(runs)
    rows = [
        {"goal": name, "measured": found[name]["median"], "per_cpu_s": found[name]["per_cpu_s"],
         "wanted": f">= {wanted:g}",
         "verdict": "met" if found[name]["median"] >= wanted else "missed"}
        for name, wanted in _GOALS if name in found
    ]  # fmt: skip
    ward = summary(runs).get("teleward-ward")
    if ward:
        spent = ward["cpu_s_per_1000"]
        rows.append({"goal": "teleward-ward, CPU s per 1,000", "measured": spent, "wanted": f"<= {_CPU_GOAL:g}",
                     "verdict": "met" if spent <= _CPU_GOAL else "missed"})  # fmt: skip
    return rows
