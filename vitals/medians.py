"""Medians and means of many short rows at once, what is missing left out.

Windows of a minute's evidence are some ten values of thousands of signs. With the values of a window one behind the
other NumPy sorts and sums them one window at a time; as planes, a plane for each place in the window, it compares and
adds whole planes, and a sorting network does what a sort does. Either way a row's answer depends on that row alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def median(x: Floats) -> Floats:
    """Median over the last axis, NaN left out; NaN where all are. `np.nanmedian` is many times slower here.

    Example: 3 NaN 1 2 gives 2; an even number of values gives the mean of the two in the middle.
    """
    ordered = np.sort(x, axis=-1)  # NaN last
    count = np.isfinite(x).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, (count // 2).clip(max=x.shape[-1] - 1), axis=-1)
    return np.where(count > 0, (low + high) / 2, np.nan)[..., 0].astype(np.float32)


@cache
def _network(k: int) -> tuple[tuple[int, int], ...]:
    """Pairs to put in order one after another so that k values are sorted: Batcher's merge exchange (Knuth 5.2.2 M)."""
    pairs = []
    top = p = 1 << max(k - 1, 0).bit_length() - 1 if k > 1 else 0
    while p:
        q, r, d = top, 0, p
        while d:
            pairs += [(i, i + d) for i in range(k - d) if i & p == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(pairs)


def ordered(planes: Floats) -> list[Floats]:
    """Planes sorted place by place, the least values first; none may hold NaN."""
    out: list[Floats] = list(planes)
    for a, b in _network(len(out)):
        out[a], out[b] = np.minimum(out[a], out[b]), np.maximum(out[a], out[b])
    return out


def median_of(planes: Floats) -> Floats:
    """Median over the first axis, NaN left out; NaN where all are. What `median` gives over the last."""
    seen = np.isfinite(planes)
    count = np.add.reduce(seen, axis=0, dtype=np.int32)
    rows = np.stack(ordered(np.where(seen, planes, np.float32(np.inf))))
    low = np.take_along_axis(rows, (np.maximum(count - 1, 0) // 2)[None], axis=0)[0]
    high = np.take_along_axis(rows, np.minimum(count // 2, len(rows) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.float32(np.nan))


def mean_of(planes: Floats) -> Floats:
    """Mean over the first axis, NaN left out; NaN where all are."""
    seen = np.isfinite(planes)
    count = np.add.reduce(seen, axis=0, dtype=np.int32)
    total = np.zeros(planes.shape[1:], np.float32)
    for plane in np.where(seen, planes, np.float32(0)):  # one after another: NumPy's order depends on the shape
        total += plane
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
