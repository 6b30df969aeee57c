"""Scores of recordings: what a ward would not show is marked as not assessable."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from deploy.scoring import ScoringError, run_score


@pytest.fixture
def recording(tmp_path):
    """Ten hours of a child, an adult, and one whose age nobody knows, all with the same values."""
    rows = ["patient,t_s,age,sex,hr,spo2,resp,temp_c,sbp,dbp,map"]
    for patient, age in (("p-child", "8"), ("p-adult", "61"), ("p-unknown", "")):
        rows += [f"{patient},{hour * 3600},{age},0,{88 + hour},95,19,37.4,118,66,83" for hour in range(10)]
    path = tmp_path / "recording.csv"
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("which", ["news2", "sepsis"])
def test_nothing_is_assessable_of_a_child(which, recording, tmp_path):
    run_score(which, recording, tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    patient = np.array(table["patient"].to_pylist())
    some = table["assessable"].to_numpy(zero_copy_only=False)
    assert table.num_rows == 30, "a row for each row"
    assert not some[patient == "p-child"].any()
    assert some[patient == "p-adult"].sum() >= 9
    assert (some[patient == "p-adult"] == some[patient == "p-unknown"]).all()
    assert np.isfinite(table["score"].to_numpy()[some]).all()


def test_a_published_score_has_no_artifact(recording, tmp_path):
    with pytest.raises(ScoringError, match="leave --artifact out"):
        run_score("news2", recording, tmp_path / "scores.parquet", tmp_path)
