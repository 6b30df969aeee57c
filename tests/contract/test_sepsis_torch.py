"""torch = ONNX = stream; training learns what is there, and nothing from shuffled labels. A minute of one core."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra")
pytest.importorskip("onnxscript", reason="the train extra")
pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models import artifact as artifacts
from models.runtime import Runtime
from models.sepsis import SHIPPED, SepsisModel, score_stays
from models.training.cli_api import Member, TrainSettings, evaluate, train_sepsis
from models.training.datasets import CHALLENGE_LABS, CHALLENGE_VITALS, Augment, DataMissingError, load, split_of
from models.training.export import to_onnx
from models.training.fitting import FitSettings, Scaling, features_of, fit, new_network, predict
from models.training.metrics import hm_auroc
from models.training.networks import Ensemble
from vitals.features import VITALS, FeatureSettings

QUICK = FitSettings(width=12, epochs=6, batch=32, rate=1e-2, dropout=0.0)


def made_up(patients=500, seed=0):
    """Challenge-like stays in which sepsis shows as a rising heart rate and temperature."""
    rng = np.random.default_rng(seed)
    typical = np.array([m.typical for m in VITALS])
    rows = []
    for p in range(patients):
        hours = int(rng.integers(10, 40))
        values = typical * rng.normal(1, 0.05, 7) * rng.normal(1, 0.03, (hours, 7))
        label = np.zeros(hours, int)
        if rng.random() < 0.3:
            start = int(rng.integers(0, hours - 6))
            label[start:] = 1
            values[start:, 0] *= 1.25
            values[start:, 2] += 1.0
        values[rng.random(values.shape) < 0.2] = np.nan
        rows.append((np.full(hours, p + 1), values, label, np.arange(hours) + 1, np.full(hours, "AB"[p % 2])))
    who, values, label, hour, hospital = (np.concatenate(part) for part in zip(*rows, strict=True))
    return pa.table({"patient_id": who, **dict(zip(CHALLENGE_VITALS, values.T, strict=True)), "ICULOS": hour,
                     "SepsisLabel": label, "hospital": hospital, "Age": np.full(len(who), 60.0),
                     "Gender": np.ones(len(who))})  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "physionet2019").mkdir()
    pq.write_table(made_up(), folder / "physionet2019" / "dev.parquet")
    return folder


@pytest.fixture(scope="module")
def run_folder(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_sepsis(data, out, TrainSettings(fit=QUICK, members=(Member(0), Member(1, alike=1.0))), quiet=True)
    return out


@pytest.mark.parametrize("kind", ["gru", "lstm", "gru_decay"])
def test_one_step_at_a_time_is_the_whole_sequence(kind):
    torch.manual_seed(0)
    net = new_network(FitSettings(width=16, kind=kind)).eval()
    x = torch.randn(5, 40, len(FeatureSettings().names))
    state = torch.zeros(5, net.state_width)
    with torch.no_grad():
        whole = net.sequence(x)[0]
        for t in range(40):
            z, state = net(x[:, t], state)
            assert (z - whole[:, t]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["gru", "lstm", "gru_decay"])
def test_torch_is_onnx(kind, run_folder):
    torch.manual_seed(1)
    net = Ensemble([new_network(FitSettings(width=16, kind=kind)) for _ in range(2)]).eval()
    base = artifacts.load(run_folder / "artifact")
    manifest = artifacts.msgspec.structs.replace(base.manifest, state_width=net.state_width)
    runtime = Runtime(artifacts.Artifact(manifest, to_onnx(net), ""))
    rng = np.random.default_rng(0)
    center, spread = (np.array(v, np.float32) for v in (manifest.scaler.center, manifest.scaler.spread))
    state = runtime.start(70)
    with torch.no_grad():
        expected = torch.zeros(70, net.state_width)
        for _ in range(30):
            x = rng.normal(size=(70, len(center))).astype(np.float32)
            z, state = runtime.step(x * spread + center, state)
            y, expected = net(torch.from_numpy(runtime.scale(x * spread + center)), expected)
            assert np.abs(z - y.numpy()).max() < 1e-4
            assert np.abs(state - expected.numpy()).max() < 1e-4


def test_a_temporal_convolution_sees_no_future():
    torch.manual_seed(2)
    net = new_network(FitSettings(width=8, kind="tcn")).eval()
    x = torch.randn(2, 30, len(FeatureSettings().names))
    y = x.clone()
    y[:, 20:] += 1
    with torch.no_grad():
        a, b = net.sequence(x)[0], net.sequence(y)[0]
    assert torch.equal(a[:, :20], b[:, :20])
    assert not torch.equal(a[:, 20:], b[:, 20:])


def test_a_run_leaves_what_it_promises(run_folder):
    names = {p.name for p in run_folder.iterdir()}
    assert {"settings.json", "curves.jsonl", "metrics.json", "artifact", "member-0.pt", "member-1.pt"} == names
    curves = [json.loads(line) for line in (run_folder / "curves.jsonl").read_text().splitlines()]
    assert {c["seed"] for c in curves} == {0, 1}


def test_the_served_scores_are_the_fitted_networks(data, run_folder):
    stays = load(data)
    model = SepsisModel(run_folder / "artifact")
    served = score_stays(model, stays.values, stays.lengths, stays.static)
    manifest = model.artifact.manifest
    scaling = Scaling(np.array(manifest.scaler.center, np.float32), np.array(manifest.scaler.spread, np.float32))
    x = scaling.apply(features_of(stays, QUICK))
    each = []
    for seed in (0, 1):
        net = new_network(QUICK)
        net.load_state_dict(torch.load(run_folder / f"member-{seed}.pt", weights_only=True))
        each.append(predict(net, x, stays.lengths))
    np.testing.assert_allclose(served.logit, np.mean(each, axis=0), atol=1e-4)


def test_it_learns_what_is_there(data, run_folder):
    stays = load(data)
    held = stays.pick(split_of(stays.patient) == "test")
    model = SepsisModel(run_folder / "artifact")
    score = score_stays(model, held.values, held.lengths, held.static).score
    assert hm_auroc(score, held.label, held.hour) > 0.8


def test_shuffled_labels_teach_nothing(data):
    stays = load(data)
    split = split_of(stays.patient)
    train, held = stays.pick(split == "train"), stays.pick(split != "train")
    # Labels go to another patient as they are: what is left to learn is only when labels occur, which hm removes.
    order = np.random.default_rng(0).permutation(len(train.lengths))
    first = [int(np.argmax(train.label[b : b + n])) if train.label[b : b + n].any() else -1
             for b, n in zip(train.begin, train.lengths, strict=True)]  # fmt: skip
    label = np.zeros(len(train.label), bool)
    for p, (b, n) in enumerate(zip(train.begin, train.lengths, strict=True)):
        start = first[order[p]]
        label[b + start : b + n] = 0 <= start < n
    lie = train.__class__(train.patient, train.hospital, train.lengths, train.static, train.values, label, train.hour)
    scaling = Scaling.of(features_of(train, QUICK))
    net = fit(lie, held, scaling, FitSettings(width=12, epochs=2, batch=32), seed=0)
    z = predict(net, scaling.apply(features_of(held, QUICK)), held.lengths).astype(float)
    assert abs(hm_auroc(z, held.label, held.hour) - 0.5) < 0.12


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(data, tmp_path):
    stays = load(data).pick(np.arange(500) < 120)
    split = split_of(stays.patient)
    train, held = stays.pick(split == "train"), stays.pick(split != "train")
    how = FitSettings(width=8, epochs=3, batch=32, augment=Augment(longest_h=24))
    scaling = Scaling.of(features_of(train, how))
    straight = fit(train, held, scaling, how, seed=3)

    def stop(epoch):
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    # The second epoch's checkpoint is not written yet when the run stops: it is done again.
    with pytest.raises(KeyboardInterrupt):
        fit(train, held, scaling, how, seed=3, checkpoint=tmp_path / "part", report=stop)
    resumed = fit(train, held, scaling, how, seed=3, checkpoint=tmp_path / "part")
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_run_folder_is_not_reused_for_other_settings(data, run_folder):
    with pytest.raises(ValueError, match="other settings"):
        train_sepsis(data, run_folder, TrainSettings(fit=QUICK, members=(Member(5),)), quiet=True)


def test_cross_validation_scores_every_fold(data, tmp_path):
    quick = FitSettings(width=8, epochs=1, batch=32)
    how = TrainSettings(fit=quick, members=(Member(0),), folds=3, patients=150)
    got = train_sepsis(data, tmp_path, how, quiet=True)
    assert len(got["folds"]) == 3
    assert 0 < got["hm_mean"] < 1


def test_the_report_holds_numbers_and_plots(data, run_folder, tmp_path):
    numbers = evaluate(run_folder / "artifact", data, tmp_path, bootstraps=5)
    assert json.loads((tmp_path / "report.json").read_text()) == numbers
    assert {"network", "time only", "NEWS2-like", "trees"} <= set(numbers["scores"])
    assert numbers["scores"]["network"]["hm"][0] > numbers["scores"]["NEWS2-like"]["hm"][0]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 7
    assert "not a medical device" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_two_artifacts_are_compared_on_the_same_patients_at_equal_alert_rates(data, run_folder, tmp_path):
    artifact = run_folder / "artifact"
    numbers = evaluate(artifact, data, tmp_path, bootstraps=5, with_trees=False, against=SHIPPED / "sepsis-vitals")
    assert numbers["against"]["name"].startswith("sepsis-vitals ")
    assert numbers["against"]["hm_difference"][0] > 0.05  # fitted on this made-up illness
    assert set(numbers["against"]["at_equal_alerts"]) == {"0.3", "1"}
    same = evaluate(artifact, data, tmp_path, bootstraps=5, with_trees=False, against=artifact)
    assert same["against"]["hm_difference"] == [0, 0, 0]
    assert same["against"]["at_equal_alerts"]["0.3"] == {"precision": [1, 1, 1], "sensitivity": [1, 1, 1]}
    assert "<h2>Against sepsis-vitals" in (tmp_path / "report.html").read_text()


def test_patient_files_as_they_are_fetched_are_the_same_stays(data, tmp_path):
    table = pq.read_table(data / "physionet2019" / "dev.parquet")
    names = [*CHALLENGE_VITALS, *CHALLENGE_LABS, "Age", "Gender", "ICULOS", "SepsisLabel"]
    rows = table.to_pylist()
    for p in range(1, 13):
        mine = [r for r in rows if r["patient_id"] == p]
        folder = tmp_path / f"training_set{mine[0]['hospital']}"
        folder.mkdir(exist_ok=True)
        lines = ["|".join("NaN" if r.get(n) is None or r[n] != r[n] else repr(r[n]) for n in names) for r in mine]
        (folder / f"p{p:06d}.psv").write_text("\n".join(["|".join(names), *lines]) + "\n")
    there = load(tmp_path)
    kept = load(data)
    kept = kept.pick(kept.patient <= 12)
    for name in ("patient", "hospital", "lengths", "static", "values", "label", "hour"):
        np.testing.assert_array_equal(getattr(there, name), getattr(kept, name), err_msg=name)
    assert load(tmp_path, labs=True).values.shape[1] == len(CHALLENGE_VITALS) + len(CHALLENGE_LABS)
    with pytest.raises(DataMissingError, match="fetches them"):
        load(tmp_path / "training_setA")
