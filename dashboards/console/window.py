"""The last hours of one patient's frames, in memory, for the lines on the page."""

from __future__ import annotations

import numpy as np

from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.signs import N_MEASURES


class Window:
    """Frames of one patient, newest last; the oldest go when it is full.

    Attributes:
        end_ns: Shape (n,), end of each frame, rising.
        value: Shape (n, N_MEASURES), the value that stood; NaN where none did.
        measured: Shape (n, N_MEASURES), true where it was measured within the frame.
        news2: Shape (n, 2), lower and upper bound.
    """

    def __init__(self, frames: int) -> None:
        self._keep = frames
        # Twice as long as is kept, so that only every `frames`-th frame moves anything.
        self._end = np.zeros(2 * frames, np.int64)
        self._value = np.full((2 * frames, N_MEASURES), np.nan)
        self._measured = np.zeros((2 * frames, N_MEASURES), np.bool_)
        self._news2 = np.full((2 * frames, 2), np.nan)
        self._n = 0

    @property
    def end_ns(self) -> IntArray:
        """Ends of the frames that are kept."""
        return self._end[max(0, self._n - self._keep) : self._n]

    @property
    def value(self) -> FloatArray:
        """What stood."""
        return self._value[max(0, self._n - self._keep) : self._n]

    @property
    def measured(self) -> BoolArray:
        """What was measured."""
        return self._measured[max(0, self._n - self._keep) : self._n]

    @property
    def news2(self) -> FloatArray:
        """Bounds of NEWS2."""
        return self._news2[max(0, self._n - self._keep) : self._n]

    def add(self, end_ns: int, value: FloatArray, measured: BoolArray, news2: tuple[float, float]) -> bool:
        """Take one frame.

        Returns:
            False where it is not newer than the newest (a repeat): nothing is changed.
        """
        if self._n and end_ns <= self._end[self._n - 1]:
            return False
        if self._n == len(self._end):
            for array in (self._end, self._value, self._measured, self._news2):
                array[: self._keep] = array[self._keep :]
            self._n = self._keep
        at = self._n
        self._end[at], self._value[at], self._measured[at], self._news2[at] = end_ns, value, measured, news2
        self._n += 1
        return True

    def bins(self, width_ns: int, first: int, last: int) -> FloatArray:
        """Means of what stood, for the small lines.

        Bins stand at fixed times (bin ``i`` holds frames with ``i * width_ns < end <= (i + 1) * width_ns``), so that
        a line grows at its end and never shivers.

        Returns:
            Shape (last - first + 1, N_MEASURES); NaN where nothing stood.
        """
        where = (self.end_ns - 1) // width_ns - first
        inside = (where >= 0) & (where <= last - first)
        sums = np.zeros((last - first + 1, N_MEASURES))
        counts = np.zeros_like(sums)
        value = self.value[inside]
        known = ~np.isnan(value)
        np.add.at(sums, where[inside], np.where(known, value, 0.0))
        np.add.at(counts, where[inside], known)
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
