"""Medians of many short rows at once, what is missing left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def median(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Median over the last axis, NaN left out; NaN where all are. `np.nanmedian` is many times slower here.

    Example: 3 NaN 1 2 gives 2; an even number of values gives the mean of the two in the middle.
    """
    ordered = np.sort(x, axis=-1)  # NaN last
    count = np.isfinite(x).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, (count // 2).clip(max=x.shape[-1] - 1), axis=-1)
    return np.where(count > 0, (low + high) / 2, np.nan)[..., 0].astype(np.float32)
