"""The recordings the anomaly detector is fitted and tested on, as arrays of signs on a grid."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from vitals.signs import N_SIGNS, Sign

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float32]

CHALLENGE_2019: Final = {
    Sign.HR: "HR", Sign.SPO2: "O2Sat", Sign.TEMP_C: "Temp", Sign.SBP: "SBP", Sign.MAP: "MAP", Sign.DBP: "DBP",
    Sign.RESP: "Resp",
}  # fmt: skip


class DataMissingError(FileNotFoundError):
    """A recording that training or evaluation needs is not in the data folder."""


def hash_share(patient: str) -> float:
    """A patient's place in 0..1, by hash: the same whatever the order, the seed or the rest of the data."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:4], "big") / 2**32


def is_test(patient: str) -> bool:
    """Whether a patient of the minute recordings is kept for testing (18 of 46 here)."""
    return hash_share(patient) < 0.41


def hourly_test(patient: str) -> bool:
    """Whether a patient of the hourly recordings is kept for testing: a fifth, by hash."""
    return hash_share(f"split-{patient}") < 0.2


def _read(path: Path, columns: list[str]) -> Any:
    if not path.is_file():
        raise DataMissingError(f"{path.name} of {path.parent.name} is missing: point TELEWARD_DATA to the recordings")
    return pq.read_table(path, columns=columns)


def minute_stays(data: Path) -> dict[str, Floats]:
    """Stays of mimic2_challenge2009: each of shape (minutes, N_SIGNS), from the first measured minute, NaN missing."""
    signs = [Sign.HR, Sign.PULSE, Sign.SPO2, Sign.RESP, *range(Sign.SBP, Sign.NIBP_MAP + 1)]
    names = [Sign(s).column for s in signs]
    table = _read(data / "mimic2_challenge2009" / "dev.parquet", ["patient", "t_s", *names])
    patient = np.asarray(table["patient"].cast("string").to_pylist())
    minute = table["t_s"].to_numpy() // 60
    values = np.full((len(table), N_SIGNS), np.nan, np.float32)
    values[:, [int(s) for s in signs]] = np.stack([table[n].to_numpy() for n in names], axis=1)
    out: dict[str, Floats] = {}
    for who in np.unique(patient):
        mine = patient == who
        x = np.full((int(minute[mine].max()) + 1, N_SIGNS), np.nan, np.float32)
        x[minute[mine]] = values[mine]
        out[str(who)] = x
    return out


def hourly_stays(data: Path, most: int, least_hours: int) -> dict[str, Floats]:
    """Stays of physionet2019 of at least so many hours: each of shape (hours, N_SIGNS).

    Args:
        data: Folder of the recordings.
        most: At most so many patients, the first by hash.
        least_hours: Shorter stays are left out.
    """
    names = list(CHALLENGE_2019.values())
    table = _read(data / "physionet2019" / "dev.parquet", ["patient_id", *names])
    patient = table["patient_id"].to_numpy()
    values = np.full((len(table), N_SIGNS), np.nan, np.float32)
    values[:, [int(s) for s in CHALLENGE_2019]] = np.stack([table[n].to_numpy() for n in names], axis=1)
    first = np.flatnonzero(np.diff(patient, prepend=patient[0] - 1))
    length = np.diff(first, append=len(patient))
    long = np.flatnonzero(length >= least_hours)
    order = sorted(long, key=lambda i: hash_share(f"hourly-{patient[first[i]]}"))[:most]
    return {str(patient[first[i]]): values[first[i] : first[i] + length[i]] for i in order}


def wrist_bands(data: Path) -> dict[str, tuple[Floats, Floats]]:
    """Recordings of wearable_exam_stress on the minute grid: heart rate, and skin temperature beside it.

    Returns:
        For each recording the signs, shape (minutes, N_SIGNS), medians of each minute's seconds, and the wrist's skin
        temperature, shape (minutes,): below 25 Cel the band is mostly off.
    """
    table = _read(data / "wearable_exam_stress" / "dev.parquet", ["patient", "t_s", "hr", "skin_temp_c"])
    patient = np.asarray(table["patient"].cast("string").to_pylist())
    minute = table["t_s"].to_numpy() // 60
    both = np.stack([table["hr"].to_numpy(), table["skin_temp_c"].to_numpy()], axis=1)
    out: dict[str, tuple[Floats, Floats]] = {}
    for who in np.unique(patient):
        mine = patient == who
        m = minute[mine]
        x = np.full((int(m.max()) + 1, N_SIGNS), np.nan, np.float32)
        skin = np.full(len(x), np.nan, np.float32)
        for at in np.unique(m):
            rows = both[mine][m == at]
            x[at, Sign.HR] = np.nanmedian(rows[:, 0]) if np.isfinite(rows[:, 0]).any() else np.nan
            skin[at] = np.nanmedian(rows[:, 1]) if np.isfinite(rows[:, 1]).any() else np.nan
        out[str(who)] = (x, skin)
    return out
