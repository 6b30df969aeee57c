"""Medians and means of windows: NumPy's, of each row by itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from vitals.medians import mean_of, median, median_of, ordered


@pytest.fixture(scope="module", params=[1, 2, 3, 8, 10, 12, 20, 30])
def windows(request: pytest.FixtureRequest) -> np.ndarray:
    """Shape (400, so many): every share of missing values from none to all."""
    rng = np.random.default_rng(request.param)
    x = rng.normal(80, 5, (400, request.param)).round(1).astype(np.float32)
    x[rng.random(x.shape) < np.linspace(0, 1, 400)[:, None]] = np.nan
    x[-1] = np.nan
    return x


def test_medians_along_either_axis_are_numpys(windows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a row in which nothing is known
        theirs = np.nanmedian(windows, axis=1)
    assert np.array_equal(median(windows), theirs, equal_nan=True)
    assert np.array_equal(median_of(np.ascontiguousarray(windows.T)), theirs, equal_nan=True)


def test_means_are_numpys(windows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = np.nanmean(windows.astype(np.float64), axis=1)
    np.testing.assert_allclose(mean_of(np.ascontiguousarray(windows.T)), theirs, rtol=1e-6)


def test_planes_are_sorted_place_by_place(windows):
    planes = np.nan_to_num(windows.T)
    assert np.array_equal(np.stack(ordered(planes)), np.sort(planes, axis=0))


def test_a_row_is_answered_the_same_whoever_stands_beside_it(windows):
    alone = np.concatenate([mean_of(windows[i : i + 1].T) for i in range(len(windows))])
    assert alone.tobytes() == mean_of(np.ascontiguousarray(windows.T)).tobytes()
