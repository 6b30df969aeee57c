"""A second version beside the one that serves: scored and stored, never alarmed, and in nobody's way."""

import shutil
import threading

import msgspec
import numpy as np
import pytest
from wards import SentBundle, admitted, block, ns

from deploy.detectors import ShadowError, make_ward, wards_with
from deploy.replay_ward import replay
from models import artifact as artifacts
from models.artifact import ArtifactError
from models.sepsis import SHIPPED
from stream_processors.ahead import Ahead
from transport.recordings import open_recording
from transport.stores.base import Batch
from transport.stores.sqlite import SqliteStore
from vitals.log import Tick
from vitals.signs import HOUR_NS

GOLDEN = "tests/contract/golden/hours.csv"


def version(folder, number, threshold=None):
    """A copy of the shipped sepsis artifact under another version."""
    one = artifacts.load(SHIPPED / "sepsis-vitals")
    head = one.manifest.head | ({} if threshold is None else {"threshold": threshold, "clear": 0.8 * threshold})
    artifacts.save(folder, msgspec.structs.replace(one.manifest, version=number, head=head), one.graph, one.card)
    return folder


def played(shadow=(), on_frames=None):
    sick = open_recording(GOLDEN, labs=False).select(["p1"], 20 * HOUR_NS, 23 * HOUR_NS)
    return replay(sick, make_ward=wards_with(shadow), on_frames=on_frames)


def test_it_is_scored_and_stored_under_its_version_and_raises_nothing(tmp_path):
    quick = version(tmp_path / "quick", "9.0.0", threshold=1e-4)  # would alarm about everybody
    kept = []
    done = played((quick,), kept.append)
    assert done.events == played().events
    store = SqliteStore(tmp_path / "ward.sqlite")
    try:
        store.write(Batch(frames=kept))
        found = store.frames("p1", 0, 1 << 62).detectors
    finally:
        store.close()
    assert np.isfinite(found["sepsis-9.0.0"]).sum() >= 2
    np.testing.assert_array_equal(found["sepsis-9.0.0"], found["sepsis"])


def test_the_version_that_serves_is_no_shadow():
    with pytest.raises(ShadowError, match="a shadow needs another version"):
        wards_with((SHIPPED / "sepsis-vitals",))


def test_a_broken_one_stops_the_start_and_not_the_ward(tmp_path):
    folder = version(tmp_path / "one", "9.0.1")
    (folder / "graph.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"checksum of graph\.onnx"):
        wards_with((folder,))
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="no artifact in one"):
        wards_with((folder,))


def test_a_slow_shadow_does_not_hold_up_the_one_that_serves(tmp_path, monkeypatch):
    """Each version has a thread of its own: while the shadow hangs the others answer, and only it is told as late."""
    ward = make_ward((version(tmp_path / "slow", "9.0.2"),))
    shadow, hangs, go_on = ward.plugs[-1].detector, threading.Event(), threading.Event()
    step = shadow.step

    def slow(*args):
        hangs.set()
        go_on.wait(60)
        return step(*args)

    for said in admitted("p", {"dev": 60.0}):
        ward.step(said)
    ward.step(Tick(now_ns=ns(10)))
    ward.step(block([SentBundle("dev", "p", 0, 2795, [("hr", 80.0, 2795)])]))
    ward.step(Tick(now_ns=ns(2830)))  # an hour has closed, nobody is asked yet
    monkeypatch.setattr(shadow, "step", slow)
    now_s = 0.0
    ahead = Ahead(deadline_s=1.0, clock=lambda: now_s)
    ahead.host(ward)
    try:
        ahead.begin(0, ward)
        others = [job for job in ahead._waiting if job.batch.detector is not shadow]
        assert sorted(job.batch.detector.name for job in others) == ["anomaly", "ewma", "sepsis"]
        assert all(job.done.wait(60) for job in others)
        assert hangs.wait(60)
        now_s = 10.0
        assert [(w.detector, w.version, w.state) for w in ahead.words()] == [("sepsis", "9.0.2", "late")]
    finally:
        go_on.set()
