"""Of a frame's signs the value of each measure: its first source that stands, else the one heard last."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vitals.events import Frames
from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.signs import N_MEASURES, SOURCES


class Best(NamedTuple):
    """Measures of some patients, each of shape (rows, N_MEASURES); `sign` -1 where none was ever heard."""

    value: FloatArray
    measured: BoolArray
    age_ns: IntArray
    sign: IntArray


def best_of(frames: Frames) -> Best:
    """For each measure its first source with a standing value; else the one heard last."""
    rows = np.arange(len(frames.patients))
    shape = (len(rows), N_MEASURES)
    found = Best(
        np.full(shape, np.nan), np.zeros(shape, np.bool_), np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    )
    for measure, signs in SOURCES.items():
        columns = np.array(signs)
        stands = ~np.isnan(frames.value[:, columns])
        age = frames.age_ns[:, columns]
        never = np.iinfo(np.int64).max
        latest = np.argmin(np.where(age >= 0, age, never), axis=1)
        chosen = columns[np.where(stands.any(axis=1), np.argmax(stands, axis=1), latest)]
        found.value[:, measure] = frames.value[rows, chosen]
        found.measured[:, measure] = frames.measured[rows, chosen]
        found.age_ns[:, measure] = frames.age_ns[rows, chosen]
        heard = (age >= 0).any(axis=1) | stands.any(axis=1)
        found.sign[:, measure] = np.where(heard, chosen, -1)
    return found
