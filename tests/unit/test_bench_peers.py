"""The comparison's own work: every way of doing it gives the same numbers, and wrong ones are noticed."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deploy.bench.peers
from deploy.bench.peers.blocks import columns_of
from deploy.bench.peers.columns import Columns, Means
from deploy.bench.peers.contest import PeersSettings
from deploy.bench.peers.environments import PeerError
from deploy.bench.peers.standings import Run, goals, ratios, summary
from deploy.bench.peers.work import ALPHA, Results, Workload, read_results, signs
from deploy.bench.workload import SIGNS
from vitals.scores import NEWS2, score
from vitals.signs import N_MEASURES, Measure

SPEC = {"alpha": ALPHA, "signs": signs()}


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(3000, patients=300)


def plain_work():
    """`plain` runs outside of the package, so it is loaded as its users load it: by its file."""
    where = Path(deploy.bench.peers.__file__).with_name("plain.py")
    spec = importlib.util.spec_from_file_location("plain", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Work(SPEC)


def test_message_by_message_and_arrays_and_blocks_agree(workload):
    expected = workload.expected(3000)
    work, means = plain_work(), {}
    values = []
    for key, message in workload.messages():
        values.append(json.dumps(work.step(json.loads(message), means.setdefault(key, {}))).encode())
    found, upto = read_results(values)
    assert found.differs(expected) == ""
    assert upto[-1] == 3000

    judge, names = Means(SPEC), tuple(SIGNS)
    found, upto = read_results([judge.judge(columns_of(block, names)) for block in workload.blocks()])
    assert found.differs(expected) == ""
    assert upto[0] == 250


def test_a_patient_who_comes_twice_in_a_batch_is_judged_in_order(workload):
    bundles = [json.loads(value) for _, value in workload.messages()][:700]  # 300 patients: two come three times
    columns = Columns.of(
        *([bundle[name] for bundle in bundles] for name in ("patient", "seq", "sent_ns")),
        [[bundle[sign] for sign in SIGNS] for bundle in bundles],
    )
    found, _ = read_results([Means(SPEC).judge(columns)])
    assert found.differs(workload.expected(700)) == ""


def test_the_points_are_the_published_scores(workload):
    """With consciousness alert and on air, NEWS2 of these five signs is the chart's."""
    value = np.full((300, N_MEASURES), np.nan)
    measures = (Measure.RATE, Measure.SPO2, Measure.RESP, Measure.TEMP_C, Measure.SBP)
    value[:, list(measures)] = workload.value[9]
    value[:, Measure.CONSCIOUSNESS] = value[:, Measure.OXYGEN] = 0
    expected = workload.expected(3000).news2[2700:]
    assert np.array_equal(score(value, np.ones(300, np.int64)).low[:, NEWS2], expected)
    assert expected.max() > 0


@pytest.mark.parametrize(
    "change, wrong",
    [
        (lambda r: replace(r, news2=r.news2 + (np.arange(3000) == 17)), "news2 of result"),
        (lambda r: replace(r, mean=np.nextafter(r.mean, np.inf)), "mean of result"),
        (lambda r: Results(r.patient[:-1], r.seq[:-1], r.news2[:-1], r.mean[:-1]), "3000 results are due, 2999 came"),
        (lambda r: Results(r.patient[::-1], r.seq[::-1], r.news2[::-1], r.mean[::-1]), "out of order"),
    ],
)
def test_what_is_wrong_is_said(workload, change, wrong):
    expected = workload.expected(3000)
    assert wrong in change(expected).differs(expected)


def test_ratios_are_taken_within_rounds():
    runs = [
        (0, Run("teleward-blocks", 1000, 1.0, 0.5)),
        (0, Run("faust-tutorial", 100, 10.0, 4.0)),
        (1, Run("teleward-blocks", 1000, 4.0, 0.5)),  # somebody else took the machine, from both alike
        (1, Run("faust-tutorial", 100, 40.0, 4.0)),
    ]
    found = ratios(runs)["teleward-blocks / faust-tutorial"]
    assert found == {"median": 100.0, "least": 100.0, "greatest": 100.0, "per_cpu_s": 80.0}
    assert summary(runs)["teleward-blocks"]["least"] == 250
    assert [row["verdict"] for row in goals(runs)] == ["met"]


def test_settings_say_what_is_possible():
    with pytest.raises(PeerError, match="nobody is called flink"):
        PeersSettings(only=("flink",))
    with pytest.raises(PeerError, match=r"multiple of 50,000"):
        PeersSettings(bundles=1234)
