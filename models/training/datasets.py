"""The PhysioNet 2019 stays as arrays, split by patient; crops and dropped sensors for training."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transport.recordings_text import psv_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHALLENGE_VITALS = ("HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp")
"""The challenge's names of `vitals.features.VITALS`, in its order."""
CHALLENGE_LABS = (
    "EtCO2", "BaseExcess", "HCO3", "FiO2", "pH", "PaCO2", "SaO2", "AST", "BUN", "Alkalinephos", "Calcium", "Chloride",
    "Creatinine", "Bilirubin_direct", "Glucose", "Lactate", "Magnesium", "Phosphate", "Potassium", "Bilirubin_total",
    "TroponinI", "Hct", "Hgb", "PTT", "WBC", "Fibrinogen", "Platelets",
)  # fmt: skip
"""The challenge's names of `vitals.features.LABS`, in its order."""
SPLITS = ("train", "validation", "test")
_SHARES = (0.7, 0.8, 1.0)  # upper ends


class DataMissingError(FileNotFoundError):
    """The recordings, which are no part of the project, are not where they were looked for."""


@dataclass(frozen=True, slots=True)
class Stays:
    """Many patients' stays laid end to end, an hour a row."""

    patient: NDArray[np.int64]
    """Shape (n_patients,): the data set's own number."""
    hospital: NDArray[np.str_]
    """Shape (n_patients,): `A` or `B`."""
    lengths: NDArray[np.int64]
    """Shape (n_patients,): hours of each stay."""
    static: NDArray[np.float32]
    """Shape (n_patients, 2): age in years, sex (1 male)."""
    values: NDArray[np.float32]
    """Shape (n_hours, n_inputs): hourly frames, NaN where not measured."""
    label: NDArray[np.bool_]
    """Shape (n_hours,): true from six hours before the onset of sepsis on."""
    hour: NDArray[np.int64]
    """Shape (n_hours,): hour in intensive care. For matching and controls; never a feature."""

    @property
    def begin(self) -> NDArray[np.int64]:
        """First row of each stay."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def owner(self) -> NDArray[np.intp]:
        """Shape (n_hours,): which patient (row of `patient`) an hour belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def pick(self, chosen: NDArray[np.bool_]) -> Stays:
        """Only some patients, whole."""
        rows = np.repeat(chosen, self.lengths)
        return Stays(
            self.patient[chosen], self.hospital[chosen], self.lengths[chosen], self.static[chosen],
            self.values[rows], self.label[rows], self.hour[rows],
        )  # fmt: skip


def default_data(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the recordings: `TELEWARD_DATA`, else `../shared/data`."""
    return Path((os.environ if environ is None else environ).get("TELEWARD_DATA", "../shared/data"))


def load(data: Path, *, labs: bool = False) -> Stays:
    """Read the challenge's stays.

    Args:
        data: The folder that holds `physionet2019/dev.parquet`; such a Parquet file itself; or a folder as
            `teleward data physionet2019` fills it, of patient files (`training_setA/p000001.psv`).
        labs: Also the laboratory columns.

    Raises:
        DataMissingError: If there are no such files.
        RecordingError: If a patient file cannot be read; it says which line.
    """
    columns = [*CHALLENGE_VITALS, *(CHALLENGE_LABS if labs else ())]
    table = _table(data, ["ICULOS", "SepsisLabel", "Age", "Gender", *columns])
    col = {name: table.column(name).to_numpy() for name in table.column_names if name != "hospital"}
    hospital = np.asarray(table.column("hospital").cast("string").to_pylist())
    order = np.lexsort((col["ICULOS"], col["patient_id"]))
    patient, first, lengths = np.unique(col["patient_id"][order], return_index=True, return_counts=True)
    return Stays(
        patient=patient.astype(np.int64),
        hospital=hospital[order][first],
        lengths=lengths.astype(np.int64),
        static=np.stack([col["Age"], col["Gender"]], axis=1)[order][first].astype(np.float32),
        values=np.stack([col[c] for c in columns], axis=1)[order].astype(np.float32),
        label=col["SepsisLabel"][order] > 0,
        hour=col["ICULOS"][order].astype(np.int64),
    )


def _table(data: Path, columns: list[str]) -> pa.Table:
    """Columns of the challenge, `patient_id` and `hospital`, from whichever form the data have."""
    file = data / "physionet2019" / "dev.parquet" if data.is_dir() else data
    if file.is_file():
        return pq.read_table(file, columns=["patient_id", "hospital", *columns])
    parts = []
    for folder in sorted(data.glob("**/training_set[AB]")):
        files = sorted(folder.glob("p*.psv"))
        if files:
            part = psv_table(files, columns)
            number = [int(name.removeprefix("p")) for name in part["patient"].to_pylist()]
            hospital = pa.array([folder.name[-1]] * len(part))
            part = (
                part.select(columns).append_column("patient_id", pa.array(number)).append_column("hospital", hospital)
            )
            parts.append(part)
    if not parts:
        raise DataMissingError(
            f"no PhysioNet 2019 stays in {data}: neither physionet2019/dev.parquet nor training_setA/p*.psv; "
            "`teleward data physionet2019 --out DIR` fetches them"
        )
    return pa.concat_tables(parts)


def split_of(patient: NDArray[np.int64]) -> NDArray[np.str_]:
    """Which part each patient is in: 70 % train, 10 % validation, 20 % test, by a hash of the number.

    A hash and not a shuffle: no list to keep, and a patient never changes sides when others come or go.
    """
    share = [int.from_bytes(hashlib.sha256(f"teleward-sepsis-1:{p}".encode()).digest()[:6]) / 2**48 for p in patient]
    return np.asarray(SPLITS)[np.searchsorted(_SHARES, share, side="right")]


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done to a stay each time it is shown."""

    crop: float = 0.9
    """Share of stays that begin at a random hour, so that hours since the start say nothing."""
    longest_h: int = 60
    """Longer stays are shown in part."""
    lost: tuple[float, float] = (0.0, 0.34)
    """Share of readings lost, drawn for each stay and input (wards of wearables lose 6-34 %)."""
    lost_labs: tuple[float, float] = (0.0, 0.34)
    """The same of laboratory values, of which each is one of few."""
    bias: tuple[float, ...] = ()
    """Standard deviation of a constant error of each vital sign, drawn for each stay, in the frame's order and units.

    Sensors and habits differ between hospitals: mean pressure is 8 mmHg higher in B than in A. Empty: none.
    """
    absent: float = 0.04
    """Chance that an input is not there at all during the stay."""


def crop_and_drop(stays: Stays, how: Augment, rng: np.random.Generator) -> Stays:
    """A fresh view of the training stays: random beginnings, random losses."""
    n = len(stays.lengths)
    span = np.where(rng.random(n) < how.crop, rng.random(n), 0.0)
    start = np.floor(span * np.maximum(stays.lengths - 8, 0)).astype(np.int64)
    # Stays that are too long lose their beginning as often as their end.
    over = stays.lengths - start - how.longest_h
    start += np.where(over > 0, np.floor(rng.random(n) * (over + 1)), 0).astype(np.int64)
    lengths = np.minimum(stays.lengths - start, how.longest_h)
    rows = np.repeat(stays.begin + start - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    k = stays.values.shape[1]
    rate = rng.uniform(*how.lost, size=(n, k))
    labs = k - len(CHALLENGE_VITALS)
    if labs:
        rate[:, -labs:] = rng.uniform(*how.lost_labs, size=(n, labs))
    rate[rng.random((n, k)) < how.absent] = 1.0
    lost = rng.random((len(rows), k), dtype=np.float32) < np.repeat(rate, lengths, axis=0)
    values = stays.values[rows]
    if how.bias:
        error = rng.normal(0.0, how.bias, size=(n, len(how.bias))).astype(np.float32)
        # systolic, mean and diastolic come from one device and err together
        error[:, 3:6] = error[:, 4:5] * (np.asarray(how.bias[3:6], np.float32) / np.float32(how.bias[4]))
        values[:, : len(how.bias)] += np.repeat(error, lengths, axis=0)
    values[lost] = np.nan
    return Stays(stays.patient, stays.hospital, lengths, stays.static, values, stays.label[rows], stays.hour[rows])
