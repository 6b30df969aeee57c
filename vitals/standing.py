"""What stands for each patient: the newest value of every sign, how old it is, and whether it is still valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vitals.align import VALID_NS, Closed
from vitals.medians import median
from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.signs import N_SIGNS

_FRAMES: Final = 60  # of an hour


@dataclass(frozen=True, slots=True)
class Picture:
    """The signs of some patients at one instant.

    Attributes:
        value: Shape (n, N_SIGNS), NaN where none is valid.
        measured: Shape (n, N_SIGNS), true where measured within the frame.
        age_ns: Shape (n, N_SIGNS), age of the newest usable reading, valid or not; -1 where there never was one.
        newest: Shape (n, N_SIGNS), that reading's frame value, valid or not; NaN where there never was one.
    """

    value: FloatArray
    measured: BoolArray
    age_ns: IntArray
    newest: FloatArray


class Standing:
    """The newest frame values of all patients, and the frames of a minute that one of an hour is made of."""

    def __init__(self, slow_factor: float) -> None:
        """`slow_factor` as in `vitals.align.AlignSettings`."""
        self._slow_factor = slow_factor
        self._value = np.zeros((0, N_SIGNS))
        self._time = np.zeros((0, N_SIGNS), dtype=np.int64)
        self._valid = np.zeros((0, N_SIGNS), dtype=np.int64)
        self._measured = np.zeros((0, N_SIGNS), dtype=bool)
        self._hour = np.zeros((0, N_SIGNS, _FRAMES), dtype=np.float32)
        self._count = np.zeros((0, N_SIGNS), dtype=np.int64)

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        have = len(self._value)
        if rows <= have:
            return
        more = max(16, 1 << (rows - 1).bit_length()) - have
        shape = (more, N_SIGNS)
        self._value = np.concatenate((self._value, np.full(shape, np.nan)))
        self._time = np.concatenate((self._time, np.full(shape, -1, dtype=np.int64)))
        self._valid = np.concatenate((self._valid, np.broadcast_to(VALID_NS, shape)))
        self._measured = np.concatenate((self._measured, np.zeros(shape, dtype=bool)))
        self._hour = np.concatenate((self._hour, np.full((*shape, _FRAMES), np.nan, dtype=np.float32)))
        self._count = np.concatenate((self._count, np.zeros(shape, dtype=np.int64)))

    def take(self, closed: Closed, period_ns: IntArray) -> None:
        """Let a frame's values stand.

        Args:
            closed: What the frame measured.
            period_ns: Shape (m,), how often the device of each row is due: slow devices' values are valid longer.
        """
        self._measured[:] = False
        usable = (closed.usable > 0) & (closed.time_ns >= self._time[closed.patient, closed.sign])
        p, s = closed.patient[usable], closed.sign[usable]
        self._value[p, s] = closed.value[usable]
        self._time[p, s] = closed.time_ns[usable]
        slow = (self._slow_factor * period_ns[usable]).astype(np.int64)
        self._valid[p, s] = np.maximum(VALID_NS[s], slow)
        self._measured[p, s] = True
        # A grid finer than a minute lets the oldest go.
        self._hour[p, s, self._count[p, s] % _FRAMES] = closed.value[usable]
        self._count[p, s] += 1

    def picture(self, rows: IntArray, end_ns: int) -> Picture:
        """The signs of some patients at the end of the frame just taken."""
        time = self._time[rows]
        known = time >= 0
        age = np.where(known, end_ns - time, -1)
        newest = self._value[rows]
        valid = known & (age <= self._valid[rows])
        return Picture(np.where(valid, newest, np.nan), self._measured[rows], age, newest)

    def hour(self, rows: IntArray, end_ns: int) -> Picture:
        """The hour that ends with the frame just taken: the median of the minutes measured.

        The median, because the hours that detectors learn from are medians of what was charted (docs/models.md,
        "Hours"). Where nothing was measured within the hour, the value that still stands is given, unmeasured.
        """
        now = self.picture(rows, end_ns)
        some = self._count[rows] > 0
        return Picture(np.where(some, median(self._hour[rows]), now.value), some, now.age_ns, now.newest)

    def begin_hour(self) -> None:
        """The next hour begins: nothing has been measured in it."""
        self._hour[:] = np.nan
        self._count[:] = 0

    def any_valid(self, end_ns: int) -> bool:
        """Whether any sign of anybody is still valid at an instant."""
        return bool(((self._time >= 0) & (end_ns - self._time <= self._valid)).any())

    def times(self, row: int) -> IntArray:
        """Newest usable reading of each sign of one patient, -1 never. Shape (N_SIGNS,)."""
        found: IntArray = self._time[row]
        return found

    _ARRAYS = ("_value", "_time", "_valid", "_measured", "_hour", "_count")

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {name: getattr(self, name) for name in self._ARRAYS}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        for name in self._ARRAYS:
            setattr(self, name, state[name])
