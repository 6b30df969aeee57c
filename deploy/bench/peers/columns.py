"""The work on many bundles at once, and its results as bytes: what `arrays` and Teleward's blocks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Bundles as arrays.

    Attributes:
        patients: Names.
        seq: Shape (bundles,).
        sent_ns: Shape (bundles,).
        value: Shape (bundles, signs).
    """

    patients: Sequence[str]
    seq: IntArray
    sent_ns: IntArray
    value: FloatArray

    @classmethod
    def of(
        cls, patients: Sequence[str], seq: Sequence[int], sent_ns: Sequence[int], value: Sequence[Sequence[float]]
    ) -> Self:
        """From lists."""
        return cls(patients, np.array(seq), np.array(sent_ns), np.array(value, dtype=np.float64))


class Means:
    """Moving means of every patient and sign, a row for each patient."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Nobody is known yet.

        Args:
            spec: ``alpha``, and of each sign ``cuts`` and ``points``.
        """
        self._alpha: float = spec["alpha"]
        self._signs = tuple(spec["signs"])
        self._cuts = [np.array(sign["cuts"]) for sign in spec["signs"].values()]
        self._points = [np.array(sign["points"]) for sign in spec["signs"].values()]
        self._rows: dict[str, int] = {}
        self._mean = np.full((1024, len(self._cuts)), np.nan)

    def judge(self, columns: Columns) -> bytes:
        """Move the means on and score; the results as an Arrow stream of one batch."""
        rows = self._rows
        row = np.array([rows.setdefault(name, len(rows)) for name in columns.patients])
        while len(rows) > len(self._mean):
            self._mean = np.concatenate((self._mean, np.full_like(self._mean, np.nan)))
        news2 = np.zeros(len(row), np.int64)
        for sign, (cuts, points) in enumerate(zip(self._cuts, self._points, strict=True)):
            news2 += points.take(cuts.searchsorted(columns.value[:, sign], side="right"))
        mean = self._moved(row, columns.value)
        return results(self._signs, columns, news2, mean)

    def _moved(self, row: IntArray, value: FloatArray) -> FloatArray:
        """The means after each bundle; a patient's bundles one after another, in order."""
        out = np.empty_like(value)
        order = np.argsort(row, kind="stable")
        in_order = row[order]
        starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
        nth = np.arange(len(row)) - np.repeat(starts, np.diff(np.r_[starts, len(row)]))
        for n in range(int(nth.max()) + 1):  # how often the busiest patient comes: 1 or 2
            at = order[nth == n] if n or nth.any() else order
            old, new = self._mean[row[at]], value[at]
            moved = np.where(np.isnan(old), new, old + self._alpha * (new - old))
            self._mean[row[at]] = out[at] = moved
        return out


def results(signs: Sequence[str], columns: Columns, news2: IntArray, mean: FloatArray) -> bytes:
    """Results as bytes: a row for each bundle."""
    arrays = [pa.array(columns.patients), pa.array(columns.seq), pa.array(columns.sent_ns), pa.array(news2)]
    arrays += [pa.array(np.ascontiguousarray(mean[:, sign])) for sign in range(len(signs))]
    batch = pa.RecordBatch.from_arrays(arrays, names=["patient", "seq", "sent_ns", "news2", *signs])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
