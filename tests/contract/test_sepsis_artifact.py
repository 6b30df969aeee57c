"""An artifact that was fitted on something else is refused, and the refusal says what differs."""

import json
import shutil

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

from models import artifact as artifacts
from models.artifact import ArtifactError, ArtifactMismatchError
from models.sepsis import SHIPPED, SepsisModel

SHIPPED_ONES = sorted(p.name for p in SHIPPED.glob("sepsis-*"))


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SHIPPED / "sepsis-vitals", tmp_path / "sepsis-vitals")


def change(folder, **changes):
    file = folder / "artifact.json"
    text = json.loads(file.read_text())
    for key, edit in changes.items():
        text[key] = edit(text[key]) if callable(edit) else edit
    file.write_text(json.dumps(text))


@pytest.mark.parametrize("name", SHIPPED_ONES)
def test_the_shipped_ones_load(name):
    model = SepsisModel(SHIPPED / name)
    assert model.artifact.manifest.name == name
    assert "not a medical device" in model.artifact.card
    assert model.runtime.members >= 1


@pytest.mark.parametrize("name", SHIPPED_ONES)
def test_nothing_of_the_machine_that_made_it_is_inside(name):
    for file in (SHIPPED / name).iterdir():
        content = file.read_bytes()
        assert b"/home/" not in content
        assert b"site-packages" not in content
        assert b".py" not in content.replace(b".pyt", b"")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 99}, "format: the artifact has 99"),
        ({"kind": "anomaly"}, "kind: the artifact has anomaly, here it is sepsis"),
        ({"grid_ns": 60}, "frame length"),
        ({"feature_version": 0}, "feature version: the artifact has 0"),
        ({"inputs": lambda i: {**i, "temp_c": "[degF]"}}, r"unit of temp_c: the artifact has \[degF\], here it is Cel"),
        ({"inputs": lambda i: dict(reversed(i.items()))}, "inputs"),
        ({"features": lambda f: [*f[:-1], "iculos"]}, r"only in the artifact \['iculos'\], only here \['sex'\]"),
        ({"features": lambda f: [f[1], f[0], *f[2:]]}, "order of features, first at column 0"),
        ({"scaler": lambda s: {**s, "center": s["center"][1:]}}, "number of scaler centers"),
        ({"scaler": lambda s: {**s, "spread": [0.0, *s["spread"][1:]]}}, "a spread is not positive"),
        ({"state_width": 1}, "inputs of the graph"),
    ],
)
def test_a_mismatch_is_refused_with_the_difference(folder, changes, says):
    change(folder, **changes)
    with pytest.raises(ArtifactMismatchError, match=says):
        SepsisModel(folder)


def test_every_difference_is_named_at_once(folder):
    change(folder, kind="anomaly", grid_ns=60, inputs=lambda i: {**i, "sbp": "kPa"})
    with pytest.raises(ArtifactMismatchError) as refused:
        SepsisModel(folder)
    assert len(refused.value.differences) == 3


@pytest.mark.parametrize("file", ["graph.onnx", "CARD.md"])
def test_a_changed_file_is_refused(folder, file):
    with (folder / file).open("ab") as f:
        f.write(b" ")
    with pytest.raises(ArtifactMismatchError, match=f"checksum of {file}"):
        SepsisModel(folder)


@pytest.mark.parametrize("file", ["graph.onnx", "CARD.md", "artifact.json"])
def test_a_missing_file_is_refused(folder, file):
    (folder / file).unlink()
    with pytest.raises(ArtifactError, match="no artifact in"):
        SepsisModel(folder)


def test_an_unknown_word_in_the_manifest_is_refused(folder):
    change(folder, head=lambda h: {**h, "surprise": 1})
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        SepsisModel(folder)


def test_saved_and_loaded_are_the_same(folder, tmp_path):
    one = artifacts.load(folder)
    artifacts.save(tmp_path / "copy", one.manifest, one.graph, one.card)
    assert artifacts.load(tmp_path / "copy") == one


@pytest.mark.parametrize("name", SHIPPED_ONES)
def test_the_calibration_rises(name):
    points = np.array(SepsisModel(SHIPPED / name).head.calibration)
    assert (np.diff(points, axis=0) > 0).all()
    assert (points[:, 1] > 0).all()
    assert (points[:, 1] < 1).all()
