"""The utility of the PhysioNet 2019 challenge, by hand."""

import numpy as np
import pytest

from models.training.utility import hours_from_onset, utility, utility_parts, worth


def septic(before, after=9):
    """Labels of a stay whose label starts after `before` hours; the onset is six hours later."""
    return np.r_[np.zeros(before, bool), np.ones(after, bool)]


def test_hours_from_onset():
    label = np.r_[np.zeros(2, bool), septic(2, 2)]
    got = hours_from_onset(label, np.array([2, 4]))
    assert np.isnan(got[:2]).all()
    assert got[2:].tolist() == [-8, -7, -6, -5]


@pytest.mark.parametrize(
    ("hours", "alarm", "silence"),
    [
        (-13, -0.05, 0.0), (-12, 0.0, 0.0), (-9, 0.5, 0.0), (-6, 1.0, 0.0), (-3, 2 / 3, -2 / 3), (0, 1 / 3, -4 / 3),
        (3, 0.0, -2.0), (4, 0.0, 0.0), (np.nan, -0.05, 0.0),
    ],
)  # fmt: skip
def test_worth_of_an_hour(hours, alarm, silence):
    got = worth(np.array([hours]))
    assert got[0][0] == pytest.approx(alarm)
    assert got[1][0] == pytest.approx(silence)


def test_silence_is_nought_and_the_best_is_one():
    label, lengths = np.r_[septic(10), np.zeros(20, bool)], np.array([19, 20])
    t = hours_from_onset(label, lengths)
    assert utility(np.zeros(39, bool), label, lengths) == 0
    assert utility((t > -12) & (t < 3), label, lengths) == pytest.approx(1)


def test_always_alarming_worked_out():
    # Septic stay: label from hour 6, onset at hour 12, hours 0..14 are -12..2 from the onset.
    # Alarms earn 0 1/6 .. 5/6 (sum 2.5) to -7 h, then 1 8/9 .. 1/9 (sum 5) from -6 h to 2 h: 7.5.
    # Silence costs 2/9 (0 + 1 + .. + 8) = 8; the well patient's 40 hours of alarms cost 2.
    label, lengths = np.r_[septic(6, 9), np.zeros(40, bool)], np.array([15, 40])
    assert utility(np.ones(55, bool), label, lengths) == pytest.approx((7.5 - 2 + 8) / (7.5 + 8))


def test_a_label_that_starts_with_the_stay():
    label, lengths = septic(0), np.array([9])
    assert hours_from_onset(label, lengths)[0] == -6
    assert utility(np.ones(9, bool), label, lengths) == pytest.approx(1)


def test_nothing_to_win_is_not_a_number():
    assert np.isnan(utility(np.zeros(5, bool), np.zeros(5, bool), np.array([5])))


def test_parts_are_by_patient():
    label, lengths = np.r_[septic(6, 9), np.zeros(40, bool)], np.array([15, 40])
    got, silent, best = utility_parts(np.ones(55, bool), label, lengths)
    np.testing.assert_allclose(got, [7.5, -2])
    np.testing.assert_allclose(silent, [-8, 0])
    np.testing.assert_allclose(best, [7.5, 0])
