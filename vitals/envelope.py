"""Many readings as few points that hide nothing: the mean of each stretch of time, and its least and greatest.

A screen shows some hundred points, and two days of a reading each second are 172,800. A mean alone would hide the one
deep fall that somebody looks for; least and greatest keep it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitals.reading import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Envelope:
    """Stretches of one sign that hold a reading, oldest first; those that hold none are not there.

    Attributes:
        time_ns: Shape (n,), time of the newest reading of the stretch.
        mean: Shape (n,), of its readings, canonical unit.
        low: Shape (n,), the least.
        high: Shape (n,), the greatest.
    """

    time_ns: IntArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def empty(cls) -> Envelope:
        """No readings."""
        none = np.empty(0, np.float64)
        return cls(np.empty(0, np.int64), none, none, none)


def envelope(time_ns: IntArray, value: FloatArray, from_ns: int, width_ns: int) -> Envelope:
    """The envelope of readings.

    Example: widths of 10 from 0; readings 1 at 3, 5 at 9 and 2 at 31 are two stretches: 9 (mean 3, 1 to 5), 31 (2).

    Args:
        time_ns: Shape (n,), rising, none before `from_ns`.
        value: Shape (n,), no NaN: what is not usable has been left out.
        from_ns: Where the first stretch begins.
        width_ns: How long a stretch is; at least 1.
    """
    if not len(time_ns):
        return Envelope.empty()
    stretch = (time_ns - from_ns) // width_ns
    starts = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1))
    ends = np.append(starts[1:], len(stretch))
    return Envelope(
        time_ns[ends - 1],
        np.add.reduceat(value, starts) / (ends - starts),
        np.minimum.reduceat(value, starts),
        np.maximum.reduceat(value, starts),
    )
