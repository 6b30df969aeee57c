"""Recordings through the sepsis network: a row for a row, in order; finer ones on the hour grid."""

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

from models.sepsis import score_recording
from models.sepsis_recording import RecordingError
from vitals.features import VITALS

SIGNS = ["hr", "spo2", "temp_c", "sbp", "map", "dbp", "resp"]


def recording(hours=(20, 5, 33), seed=0, step_s=3600.0, missing=0.4, spread=0.1):
    rng = np.random.default_rng(seed)
    n = sum(hours)
    typical = np.array([m.typical for m in VITALS])
    values = typical * rng.normal(1, spread, (n, 7))
    values[rng.random(values.shape) < missing] = np.nan
    who = np.repeat([f"p{i}" for i in range(len(hours))], hours)
    t = np.concatenate([np.arange(k) * step_s for k in hours])
    return pa.table({"patient": who, "t_s": t, **dict(zip(SIGNS, values.T, strict=True)),
                     "age": np.repeat([50.0, np.nan, 80.0][: len(hours)], hours),
                     "sex": np.repeat([0.0, 1.0, np.nan][: len(hours)], hours)})  # fmt: skip


def scores(table):
    return score_recording(table).column("score").to_numpy()


def test_every_row_gets_a_score_in_order():
    table = recording()
    got = score_recording(table)
    assert got.column_names == ["patient", "t_s", "score", "low", "high", "assessable"]
    assert got.column("patient").to_pylist() == table.column("patient").to_pylist()
    assert got.column("t_s").to_pylist() == table.column("t_s").to_pylist()
    score = got.column("score").to_numpy()
    assert np.isfinite(score).all()
    assert ((score >= 0) & (score <= 1)).all()
    assert not got.column("assessable").to_pylist()[0]


def test_rows_in_any_order_get_their_own_scores():
    table = recording()
    shuffled = np.random.default_rng(1).permutation(len(table))
    np.testing.assert_array_equal(scores(table.take(shuffled)), scores(table)[shuffled])


def test_a_patient_alone_scores_as_among_others():
    table = recording()
    np.testing.assert_array_equal(scores(table.slice(20, 5)), scores(table)[20:25])


def test_a_stay_of_nothing_but_gaps_is_scored_and_not_assessable():
    got = score_recording(recording((12,), missing=1.0))
    assert np.isfinite(got.column("score").to_numpy()).all()
    assert not any(got.column("assessable").to_pylist())


def test_a_missing_hour_is_an_empty_hour():
    table = recording((20,), missing=0.0)
    gone = table.take([i for i in range(20) if i not in (7, 8)])
    empty = {n: table.column(n).to_numpy().copy() for n in SIGNS}
    for n in SIGNS:
        empty[n][[7, 8]] = np.nan
    full = pa.table({**{n: table.column(n) for n in ("patient", "t_s", "age", "sex")}, **empty})
    np.testing.assert_array_equal(scores(gone), np.delete(scores(full), [7, 8]))


def test_a_clock_that_jitters_is_still_hourly():
    table = recording((10,))
    t = table.column("t_s").to_numpy() + np.random.default_rng(0).uniform(-600, 600, 10)
    moved = table.set_column(1, "t_s", pa.array(t))
    np.testing.assert_array_equal(scores(moved), scores(table))


def test_time_ns_is_as_good_as_t_s():
    table = recording()
    ns = pa.array((table.column("t_s").to_numpy() * 1e9).astype(np.int64) + 1_700_000_000_000_000_000)
    other = table.set_column(1, "time_ns", ns)
    np.testing.assert_array_equal(scores(other), scores(table))


def test_a_finer_recording_becomes_hours_by_the_median():
    fine = recording((180,), step_s=60.0, missing=0.2, spread=0.01)
    got = score_recording(fine)
    assert got.column("t_s").to_pylist() == [0, 3600, 7200]
    values = np.stack([fine.column(n).to_numpy() for n in SIGNS], axis=1).reshape(3, 60, 7)
    hours = dict(zip(SIGNS, np.nanmedian(values, axis=1).T, strict=True))
    hourly = pa.table({"patient": ["p0"] * 3, "t_s": [0.0, 3600, 7200], **hours, "age": [50.0] * 3, "sex": [0.0] * 3})
    np.testing.assert_allclose(got.column("score").to_numpy(), scores(hourly), atol=1e-6)


def test_an_artefact_is_taken_out_before_the_hour_is_made_and_before_it_is_scored():
    fine = recording((120,), step_s=60.0, missing=0.0, spread=0.01)
    flushed = fine
    for name, value in {"sbp": 274.0, "map": 268.0, "dbp": 262.0}.items():
        changed, gone = (fine.column(name).to_numpy().copy() for _ in range(2))
        changed[20:58], gone[20:58] = value, np.nan
        at = fine.column_names.index(name)
        flushed = flushed.set_column(at, name, pa.array(changed))
        fine = fine.set_column(at, name, pa.array(gone))
    np.testing.assert_array_equal(scores(flushed), scores(fine))
    hourly = recording((6,), missing=0.0)
    wrong = {"sbp": 40.0, "map": 55.0, "dbp": 70.0}
    for name, value in wrong.items():
        changed = hourly.column(name).to_numpy().copy()
        changed[4] = value
        hourly = hourly.set_column(hourly.column_names.index(name), name, pa.array(changed))
    blank = hourly
    for name in wrong:
        gone = hourly.column(name).to_numpy().copy()
        gone[4] = np.nan
        blank = blank.set_column(hourly.column_names.index(name), name, pa.array(gone))
    np.testing.assert_array_equal(scores(hourly), scores(blank))


def test_a_gap_of_weeks_does_not_cost_weeks():
    table = recording((10,))
    t = table.column("t_s").to_numpy().copy()
    t[5:] += 3600 * 24 * 365 * 50
    assert len(score_recording(table.set_column(1, "t_s", pa.array(t)))) == 10


def test_other_sources_types_and_columns():
    table = recording((10,))
    renamed = table.rename_columns([{"hr": "pulse", "sbp": "nibp_sbp"}.get(n, n) for n in table.column_names])
    np.testing.assert_array_equal(scores(renamed), scores(table))
    words = table.set_column(table.column_names.index("sex"), "sex", pa.array(["F"] * 10))
    np.testing.assert_array_equal(scores(words.append_column("oddity", pa.array(["x"] * 10))), scores(table))
    whole = table.set_column(2, "hr", pa.array([80] * 10, pa.int64()))
    assert len(scores(whole)) == 10
    bare = table.select(["patient", "t_s", "hr"]).append_column("spo2", pa.nulls(10))
    assert np.isfinite(scores(bare)).all()


def test_no_rows_give_no_rows():
    assert len(score_recording(recording().slice(0, 0))) == 0


def test_a_table_that_is_no_recording_is_refused():
    with pytest.raises(RecordingError, match="patient and t_s"):
        score_recording(pa.table({"t_s": [1.0]}))
