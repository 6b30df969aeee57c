"""Comparing reports: ratios, intervals, verdicts; and the counted work of one bundle against its baseline."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.bench.compare import CompareError, compare, load, of_histograms, of_runs
from deploy.bench.counted import moved
from deploy.bench.latency import told
from vitals.hops import Histogram

BASELINE = Path(__file__).parents[1] / "benchmarks" / "counted.json"


def histogram(times_ms: np.ndarray) -> Histogram:
    out = Histogram()
    out.record_many((times_ms * 1e6).astype(np.int64))
    return out


def test_repeated_runs_tell_a_ratio_with_its_interval():
    old, new = np.array([100.0, 102.0, 98.0]), np.array([200.0, 196.0, 204.0])
    found = of_runs("x", old, new, more_is_better=True)
    assert found.ratio == 2.0
    assert 1.9 < found.low <= 2.0 <= found.high < 2.1
    assert found.verdict == "better"
    assert of_runs("x", new, old, more_is_better=True).verdict == "worse"
    assert of_runs("x", old, new, more_is_better=False).verdict == "worse"
    assert of_runs("x", old, old, more_is_better=True).verdict == "same"


def test_what_scatters_too_much_is_unclear():
    old, new = np.array([100.0, 50.0, 150.0]), np.array([120.0, 40.0, 160.0])
    assert of_runs("x", old, new, more_is_better=True).verdict == "unclear"


def test_two_runs_tell_no_interval():
    found = of_runs("x", np.array([1.0, 1.0]), np.array([9.0, 9.0, 9.0]), more_is_better=False)
    assert found.verdict == "unclear"
    assert math.isnan(found.low)


def test_percentiles_are_compared_with_what_their_samples_leave_open():
    rng = np.random.default_rng(3)
    few, many = rng.lognormal(1, 1, 50), rng.lognormal(1, 1, 50_000)
    narrow = of_histograms("x", histogram(many), histogram(many), 99)
    wide = of_histograms("x", histogram(few), histogram(few), 99)
    assert narrow.low < 1 < narrow.high
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    assert of_histograms("x", histogram(many), histogram(2 * many), 50).verdict == "worse"
    assert of_histograms("x", histogram(2 * many), histogram(many), 50).verdict == "better"


def report(times: np.ndarray, **more) -> dict:
    return {"bench": "latency", "settings": {"rate": 200}, "machine": {"processors": 2, "load_1min": 0.1},
            "ways": {"to_event": told(histogram(times))}, **more}  # fmt: skip


def test_a_report_of_times_is_compared_way_by_way(tmp_path):
    times = np.random.default_rng(3).lognormal(1, 0.3, 20_000)
    old, new = report(times), report(3 * times, machine={"processors": 4, "load_1min": 3.0}, others=0.5)
    found = compare(old, new)
    assert found["verdict"] == "worse"
    assert [row["what"] for row in found["steps"]] == ["to_event: p50 ms", "to_event: p99 ms"]
    assert found["warnings"] == [
        "the machine's processors was 2 and is 4",
        "50% of the machine was others' in the new run: times tell of them too",
    ]
    file = tmp_path / "r.json"
    file.write_text(json.dumps(old))
    assert compare(load(file), old)["verdict"] == "same"


def test_what_cannot_be_compared_is_said(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("[]")
    with pytest.raises(CompareError, match="names none"):
        load(file)
    one = report(np.ones(5))
    with pytest.raises(CompareError, match="`bench peers`"):
        compare(one, {"bench": "peers"})
    with pytest.raises(CompareError, match="different settings"):
        compare(one, {**one, "settings": {"rate": 300}})


def test_counts_are_compared_without_chance():
    one = {"bench": "count", "stages": {"ward": {"calls": 10.0}}}
    assert compare(one, {"bench": "count", "stages": {"ward": {"calls": 12.0}}})["verdict"] == "worse"
    assert compare(one, {"bench": "count", "stages": {"ward": {"calls": 10.5}}})["verdict"] == "same"
    assert moved(one, {"stages": {"ward": {"calls": 12.0}}}) == ["ward: calls 10 -> 12 (+20%)"]
    assert moved(one, {"stages": {"ward": {}}}) == ["ward: calls is not counted any more"]
    assert moved(one, {"stages": {"ward": {"calls": 10.0}, "b": {}}}) == ["b: new"]


def test_the_work_for_each_bundle_is_what_it_was(tmp_path):
    """A change that makes the way of a bundle longer, or shorter, is meant, and then says so here.

    Counted in a process of its own, as the baseline was: what earlier tests left in this one would be counted too.
    """
    file = tmp_path / "counted.json"
    subprocess.run([sys.executable, "-m", "deploy.cli", "bench", "count", "--write", file], check=True)
    counted = load(file)
    baseline = json.loads(BASELINE.read_text("utf-8"))
    same_python = baseline["python"].split(".")[:2] == platform.python_version().split(".")[:2]
    # Another Python inlines other calls: there only what grows a lot is a change of ours.
    wrong = moved(baseline, counted, **({} if same_python else {"tolerance": 0.5}))
    assert not wrong, (
        "the work for each bundle is not what tests/benchmarks/counted.json says:\n  "
        + "\n  ".join(wrong)
        + "\nif it is meant, write it down: teleward bench count --write tests/benchmarks/counted.json"
    )
