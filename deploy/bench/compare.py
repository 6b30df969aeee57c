"""``teleward bench compare OLD.json NEW.json``: ratios with intervals, and a verdict for each.

Where runs were repeated the interval is a bootstrap of the medians' ratio over runs; where a report holds whole
histograms it comes from the order statistics of both percentiles. The second knows chance within a run only, not
what another run on another minute would give: so such a verdict needs a wider margin.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from deploy.bench.counted import TOLERANCE
from vitals.hops import Histogram

Verdict = Literal["better", "worse", "same", "unclear"]

_Z: Final = 1.96
_DRAWS: Final = 4000
_SAME: Final = 0.05  # repeated runs: what lies within is the same
_SAME_ONCE: Final = 0.20  # a single run: minutes differ by so much on a quiet machine
_FEWEST: Final = 3  # runs that tell of their spread


class CompareError(ValueError):
    """Two reports that cannot be held side by side; the text says why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One number in two reports.

    Attributes:
        what: Which.
        old: In the first.
        new: In the second.
        ratio: New by old; NaN where there is none.
        low: Lower end of its 95 % interval; NaN where the runs do not tell.
        high: Upper end.
        verdict: What it comes to.
    """

    what: str
    old: float
    new: float
    ratio: float
    low: float
    high: float
    verdict: Verdict

    def told(self) -> dict[str, Any]:
        """For a report."""
        interval = None if math.isnan(self.low) else [round(self.low, 3), round(self.high, 3)]
        return {"what": self.what, "old": self.old, "new": self.new, "ratio": round(self.ratio, 3),
                "interval": interval, "verdict": self.verdict}  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    """Read a report.

    Raises:
        CompareError: If it is none.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CompareError(f"{path} is no report of a benchmark: {error}") from error
    if not isinstance(report, dict) or "bench" not in report:
        raise CompareError(f"{path} is no report of a benchmark: it names none")
    return report


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Hold two reports of one benchmark side by side.

    Raises:
        CompareError: If they are of two benchmarks, or of different settings.
    """
    kind = old["bench"]
    if kind != new["bench"]:
        raise CompareError(f"one is of `bench {kind}`, the other of `bench {new['bench']}`")
    if old.get("settings") != new.get("settings"):
        raise CompareError(f"they ran with different settings: {old.get('settings')} and {new.get('settings')}")
    rows = list({"peers": _peers, "count": _counts}.get(kind, _times)(old, new))
    warnings = [
        f"the machine's {name} was {before} and is {after}"
        for name, before in old.get("machine", {}).items()
        if name != "load_1min" and (after := new.get("machine", {}).get(name)) != before
    ]
    for name, report in (("old", old), ("new", new)):
        if (others := report.get("others")) is not None and others > 0.1:
            warnings.append(f"{others:.0%} of the machine was others' in the {name} run: times tell of them too")
    verdicts = {row.verdict for row in rows}
    verdict = next((v for v in ("worse", "better", "unclear") if v in verdicts), "same")
    return {"bench": "compare", "of": kind, "verdict": verdict, "warnings": warnings,
            "steps": [row.told() for row in rows]}  # fmt: skip


def _peers(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Compared]:
    for who in old["peers"]:
        if who in new["peers"]:
            for name, more_is_better in (("bundles_per_s", True), ("cpu_s_per_1000", False)):
                then, now = (np.array([run[name] for run in r["runs"] if run["who"] == who]) for r in (old, new))
                yield of_runs(f"{who}: {name}", then, now, more_is_better=more_is_better)


def _counts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Compared]:
    for stage, counts in old["stages"].items():
        for name, was in counts.items():
            found = new["stages"].get(stage, {}).get(name)
            if found is not None:
                ratio = found / was if was else math.nan
                verdict: Verdict = "same"
                if abs(found - was) > TOLERANCE * was:
                    verdict = "worse" if found > was else "better"
                yield Compared(f"{stage}: {name}", was, found, ratio, ratio, ratio, verdict)


def _times(old: Mapping[str, Any], new: Mapping[str, Any], of: str = "") -> Iterator[Compared]:
    for pipeline in ("teleward", "tutorial"):  # each a report by itself, where several ran beside each other
        if pipeline in old and pipeline in new:
            yield from _times(old[pipeline], new[pipeline], f"{pipeline} ")
    for kind in ("ways", "hops"):
        for name, was in old.get(kind, {}).items():
            now = new.get(kind, {}).get(name, {})
            if was.get("histogram") and now.get("histogram"):
                before, after = (Histogram.from_bytes(bytes.fromhex(one["histogram"])) for one in (was, now))
                for percent in (50.0, 99.0):
                    yield of_histograms(f"{of}{name}: p{percent:g} ms", before, after, percent)
    for name, was in old.get("processes", {}).items():
        now = new.get("processes", {}).get(name)
        if now and was["cpu_s_per_1000"] and now["cpu_s_per_1000"]:
            single = (np.array([each["cpu_s_per_1000"]]) for each in (was, now))
            yield of_runs(f"{of}{name}: cpu_s_per_1000", *single, more_is_better=False)


def of_runs(what: str, old: np.ndarray, new: np.ndarray, *, more_is_better: bool) -> Compared:
    """The ratio of medians of repeated runs, and its bootstrap interval; fewer than three runs tell none."""
    then, now = float(np.median(old)), float(np.median(new))
    ratio = now / then
    if min(len(old), len(new)) < _FEWEST:
        return Compared(what, then, now, ratio, math.nan, math.nan, "unclear")
    rng = np.random.default_rng(7)  # the same two reports always compare alike
    draws = [np.median(runs[rng.integers(0, len(runs), (_DRAWS, len(runs)))], axis=1) for runs in (old, new)]
    low, high = (float(end) for end in np.percentile(draws[1] / draws[0], (2.5, 97.5)))
    return Compared(what, then, now, ratio, low, high, _verdict(low, high, _SAME, more_is_better=more_is_better))


def of_histograms(what: str, old: Histogram, new: Histogram, percent: float) -> Compared:
    """The ratio of a percentile, and the interval that both numbers of samples leave."""
    then, now = _between(old, percent), _between(new, percent)
    ratio, low, high = now[1] / then[1], now[0] / then[2], now[2] / then[0]
    verdict = _verdict(low, high, _SAME_ONCE, more_is_better=False)
    return Compared(what, round(then[1] / 1e6, 3), round(now[1] / 1e6, 3), ratio, low, high, verdict)


def _between(histogram: Histogram, percent: float) -> tuple[float, float, float]:
    """A percentile between the order statistics that hold it in 95 of 100 (normal approximation to the binomial)."""
    n, p = histogram.count, percent / 100
    away = _Z * math.sqrt(p * (1 - p) / n) * 100
    low, middle, high = histogram.percentiles(max(0.0, percent - away), percent, min(100.0, percent + away))
    return max(low, 1.0), max(middle, 1.0), max(high, 1.0)


def _verdict(low: float, high: float, same: float, *, more_is_better: bool) -> Verdict:
    if low > 1 + same:
        return "better" if more_is_better else "worse"
    if high < 1 / (1 + same):
        return "worse" if more_is_better else "better"
    return "same" if 1 / (1 + same) <= low and high <= 1 + same else "unclear"
