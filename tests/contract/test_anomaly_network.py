"""Torch, the exported graph and the stream say the same; the forecaster does not see what it judges."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")
pytest.importorskip("onnx", reason="the train extra is not installed")

from models import anomaly_evidence, anomaly_frames  # noqa: E402
from models.anomaly_grid import HOURS, MINUTES, N  # noqa: E402
from models.anomaly_model import AnomalyModel  # noqa: E402
from models.training.anomaly_export import head_of, rate_table, write  # noqa: E402
from models.training.anomaly_fit import (  # noqa: E402
    FitSettings,
    features_of,
    fit_forecaster,
    fit_scorers,
    labels_of,
    lessons,
    logits_of,
    said_of,
)
from models.training.anomaly_nets import AnomalyNetwork  # noqa: E402
from models.training.injections import Event, Plan, sizes_of  # noqa: E402
from vitals.signs import N_SIGNS, Sign  # noqa: E402

torch.set_num_threads(1)


def stays(n=4, rows=150, seed=0):
    rng = np.random.default_rng(seed)
    x = np.full((n, rows, N_SIGNS), np.nan, np.float32)
    for sign, middle in {Sign.HR: 80, Sign.SPO2: 96, Sign.RESP: 16, Sign.SBP: 120, Sign.DBP: 60, Sign.MAP: 80}.items():
        x[:, :, sign] = np.round(middle + np.cumsum(rng.normal(0, 0.2, (n, rows)), 1) + rng.normal(0, 1, (n, rows)), 1)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return AnomalyNetwork(torch.from_numpy(MINUTES.step[:N] / MINUTES.change[:N] / 2), width=16).eval()


def features(x, grid=MINUTES):
    state, out = anomaly_frames.start(len(x)), []
    for t in range(x.shape[1]):
        rows, state = anomaly_frames.look(x[:, t], np.isfinite(x[:, t]), state, grid)
        out.append(rows)
    return np.stack(out, 1)


@pytest.mark.parametrize("grid", [MINUTES, HOURS])
def test_features_have_their_names_and_are_never_nan(grid):
    f = features(stays(), grid)
    assert f.shape[2] == anomaly_evidence.WIDTH == len(anomaly_evidence.names()) == len(set(anomaly_evidence.names()))
    assert np.isfinite(f).all()


def test_step_by_step_equals_the_whole_stretch(network):
    f = torch.from_numpy(features(stays()))
    state, steps = torch.zeros(len(f), network.state_width), []
    with torch.no_grad():
        for t in range(f.shape[1]):
            row, state = network(f[:, t], state)
            steps.append(row)
        frames, evidence, drift = network.split(f)
        said = network.told(frames)
        whole = torch.stack([network.score(evidence[:, t], drift[:, t], said[:, t]) for t in range(f.shape[1])], 1)
    assert torch.allclose(torch.stack(steps, 1), whole, atol=1e-5)


def test_torch_equals_the_served_graph(network, tmp_path):
    x = stays(n=5)
    rng = np.random.default_rng(0)
    head = head_of(
        rng.normal(0, 3, (30, 720, 4 * N + 1)).astype(np.float32), rows_a_day=1440, refractory=60, warm_up=60
    )
    write(tmp_path, network, MINUTES, head, name="anomaly", version="0", trained={}, card="for a test")
    model = AnomalyModel(tmp_path)
    f = features(x)
    hidden, state = model.runtime.start(5), torch.zeros(5, network.state_width)
    for t in range(40):
        served, hidden = model.runtime.step(f[:, t], hidden)
        with torch.no_grad():
            ours, state = network(torch.from_numpy(f[:, t]), state)
        assert np.allclose(served, ours.numpy(), atol=1e-4)
    assert np.allclose(hidden, state.numpy(), atol=1e-4)


def test_the_forecast_of_a_row_rests_on_rows_three_back(network):
    x = stays(n=1)
    y = x.copy()
    y[0, 100:, Sign.HR] += 50
    a, b = (torch.from_numpy(features(v)[:, :, : 7 * N]).unflatten(-1, (7, N)) for v in (x, y))
    with torch.no_grad():
        ha, hb = (network.forecaster.gru(network.forecaster.past(v))[0] for v in (a, b))
    assert torch.equal(ha[0, :103], hb[0, :103])
    assert not torch.equal(ha[0, 103], hb[0, 103])


def test_a_short_training_learns_to_tell_events_from_calm():
    x = stays(n=12, rows=240, seed=5)
    plan = Plan(first_row=60, shift_rows=30, ramp_rows=60, stuck_rows=30, flat_rows=40)
    sizes = sizes_of(x)
    lesson, events = lessons(list(x), sizes, 0, plan)
    f = features_of(lesson)
    labels = labels_of(events, 240, {"spike": 0, "shift": 3, "stuck": 12, "flat": 20})
    settings = FitSettings(width=8, forecast_epochs=2, score_epochs=6, rows=64)
    torch.manual_seed(0)
    net = AnomalyNetwork(torch.from_numpy(MINUTES.step[:N] / MINUTES.change[:N] / 2), width=8)
    losses = []
    calm = np.flatnonzero([not e for e in events])
    fit_forecaster(net, f[calm], settings, lambda line: losses.append(float(line.split(":")[1])))
    assert losses[-1] < losses[0]
    said = said_of(net, f)
    fit_scorers(net, f, said, labels, settings)
    logits = logits_of(net, f, said)
    stuck = labels[:, :, 2 : 4 * N : 4]
    found = logits[:, :, 2 : 4 * N : 4][stuck]
    quiet = logits[calm][:, 60:, 2 : 4 * N : 4]
    assert np.median(found) > np.quantile(quiet, 0.99)


def test_the_companions_of_an_event_are_not_taught_as_quiet():
    event = Event("shift", 100, 145, int(Sign.MAP), (int(Sign.SBP), int(Sign.DBP)))
    labels = labels_of([[event]], 200, {"shift": 3})
    told = np.flatnonzero(labels.any(axis=(0, 1)))
    assert told.tolist() == [4 * s + 1 for s in (5, 6, 7)]
    assert np.flatnonzero(labels[0, :, told[0]])[[0, -1]].tolist() == [103, 144]


def test_rate_tables_fall_and_reach_beyond_what_was_seen():
    rng = np.random.default_rng(2)
    parts = [rng.normal(0, 1, (40, 720)).astype(np.float32) for _ in range(5)]
    for table in rate_table(parts, 1440, 60):
        assert (np.diff(table) < 0).all()
        assert table[0] > table[3]
