"""The shipped artifacts still say of invented patients what they said when they were shipped.

The recordings hold nobody: six made-up patients by the hour, three by the minute. Made, and made anew only with a new
version of an artifact or of the features, by `python tests/contract/test_golden_scores.py`: for each artifact

    teleward score KIND tests/contract/golden/RECORDING.csv --artifact models/artifacts/NAME --out .../NAME.csv
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv

pytest.importorskip("onnxruntime", reason="onnxruntime serves the artifacts")

from deploy.scoring import run_score
from models.artifact import load
from models.sepsis import SHIPPED

GOLDEN = Path(__file__).parent / "golden"
RECORDING = {
    "sepsis-vitals": "hours.csv", "sepsis-labs": "hours.csv", "anomaly": "minutes.csv", "anomaly-hourly": "hours.csv",
}  # fmt: skip


def made(name, out):
    run_score(load(SHIPPED / name).manifest.kind, GOLDEN / RECORDING[name], out, SHIPPED / name)
    return csv.read_csv(out)


def test_every_shipped_artifact_has_one():
    assert {folder.name for folder in SHIPPED.iterdir()} == set(RECORDING)


@pytest.mark.parametrize("name", sorted(RECORDING))
def test_scores_are_as_they_were(name, tmp_path):
    kept, now = csv.read_csv(GOLDEN / f"{name}.csv"), made(name, tmp_path / "now.csv")
    assert now.column_names == kept.column_names
    for column in ("patient", "t_s", "assessable"):
        assert now[column].to_pylist() == kept[column].to_pylist(), column
    assert sum(kept["assessable"].to_pylist()) > 100
    for column in ("score", "low", "high"):
        # Another processor may round the last bits of a matrix product otherwise.
        np.testing.assert_allclose(now[column].to_numpy(), kept[column].to_numpy(), atol=1e-5, err_msg=column)


@pytest.mark.parametrize("name", ["sepsis-vitals", "sepsis-labs"])
def test_the_sick_of_them_are_told_from_the_well(name):
    kept = csv.read_csv(GOLDEN / f"{name}.csv")
    worst = {}
    for patient, score in zip(kept["patient"].to_pylist(), kept["score"].to_pylist(), strict=True):
        worst[patient] = max(worst.get(patient, 0), score)
    assert min(worst["p1"], worst["p3"]) > max(worst["p0"], worst["p2"])


if __name__ == "__main__":
    for one in sys.argv[1:] or sorted(RECORDING):
        made(one, GOLDEN / f"{one}.csv")
