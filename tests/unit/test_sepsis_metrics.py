"""Hour-matched AUROC, alerts, calibration, splits: small numbers worked out by hand."""

import itertools

import numpy as np
import pytest

from models.training.alerts import AlertRule, alerts_of, judge, threshold_for
from models.training.calibrate import calibration_table, expected_error, isotonic
from models.training.datasets import Augment, Stays, crop_and_drop, split_of
from models.training.metrics import Ranking, auprc, auroc, hm_auroc


def slow_hm(score, label, hour):
    right = pairs = 0.0
    for i, j in itertools.product(np.flatnonzero(label), np.flatnonzero(~label)):
        if hour[i] == hour[j]:
            pairs += 1
            right += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return right / pairs


def test_hm_against_every_pair():
    rng = np.random.default_rng(0)
    for _ in range(20):
        score, hour = rng.integers(0, 6, 80).astype(float), rng.integers(0, 5, 80)
        label = rng.random(80) < 0.3
        assert hm_auroc(score, label, hour) == pytest.approx(slow_hm(score, label, hour))


def test_time_alone_scores_a_half():
    hour = np.tile(np.arange(20), 10)
    label = np.random.default_rng(1).random(200) < hour / 40
    assert hm_auroc(hour.astype(float), label, hour) == 0.5
    assert auroc(hour.astype(float), label) > 0.6


def test_weights_count_rows_as_often():
    rng = np.random.default_rng(2)
    score, label, hour = rng.normal(size=60), rng.random(60) < 0.3, rng.integers(0, 3, 60)
    w = rng.integers(0, 3, 60)
    twice = np.repeat(np.arange(60), w)
    weighted = Ranking(score, label, hour).auroc(w.astype(float))
    assert weighted == pytest.approx(hm_auroc(score[twice], label[twice], hour[twice]))


def test_average_precision_by_hand():
    assert auprc(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)


def test_the_alert_example_of_the_docstring():
    rule = AlertRule(threshold=5, clear=4, refractory_h=6)
    got = alerts_of(np.array([5, 4.5, 5, 3, 5, 5, 5]), np.array([7]), rule)
    assert np.flatnonzero(got).tolist() == [0, 6]


def test_a_score_that_cannot_be_given_never_alerts():
    assert not alerts_of(np.full(9, np.nan), np.array([9]), AlertRule(0.1, 0.1)).any()


def test_alerts_are_judged_by_the_onset():
    label = np.r_[np.zeros(20, bool), np.ones(10, bool), np.zeros(30, bool)]  # onset of the first at hour 26
    alert = np.zeros(60, bool)
    alert[[5, 20, 40]] = True  # too early; six hours before; a well patient
    got = judge(alert, label, np.array([30, 30]))
    assert got.per_day == pytest.approx(3 / 60 * 24)
    assert got.precision == pytest.approx(1 / 3)
    assert got.sensitivity == got.before_onset == 1
    assert got.lead_h == 6


def test_a_budget_is_kept_and_used():
    rng = np.random.default_rng(3)
    score, lengths = rng.random(2400), np.full(100, 24)
    alert = alerts_of(score, lengths, threshold_for(score, lengths, 0.3))
    assert 0.28 < alert.sum() / 100 <= 0.3


def test_isotonic_pools_violators():
    np.testing.assert_allclose(isotonic(np.arange(3.0), np.array([1.0, 0, 1]), np.ones(3)), [0.5, 0.5, 1])
    np.testing.assert_allclose(isotonic(np.arange(3.0), np.array([1.0, 0, 1]), np.array([3.0, 1, 1])), [0.75, 0.75, 1])


def test_calibration_rises_and_is_near_the_truth():
    rng = np.random.default_rng(4)
    z = rng.normal(-3, 1, 50_000)
    label = rng.random(50_000) < 1 / (1 + np.exp(-z))
    x, p = np.array(calibration_table(z + 5, label)).T
    assert (np.diff(x) > 0).all()
    assert (np.diff(p) > 0).all()
    assert p[0] > 0
    assert p[-1] < 1
    assert expected_error(np.interp(z + 5, x, p), label) < 0.004


def test_a_patient_is_in_one_split_and_stays_there():
    patients = np.arange(20_000)
    split = split_of(patients)
    np.testing.assert_array_equal(split, split_of(patients[::-1])[::-1])
    shares = [np.mean(split == s) for s in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.01)
    # Frozen: the shipped artifacts were fitted on this split.
    assert split_of(np.array([1, 2, 3, 100_001])).tolist() == FROZEN


FROZEN = ["train", "train", "train", "validation"]


def small():
    lengths = np.array([8, 100, 30])
    n = int(lengths.sum())
    values = np.repeat(np.arange(n, dtype=np.float32)[:, None], 7, axis=1)
    return Stays(np.arange(3), np.array(["A"] * 3), lengths, np.zeros((3, 2), np.float32), values,
                 np.zeros(n, bool), np.concatenate([np.arange(k) + 1 for k in lengths]))  # fmt: skip


def test_crops_stay_within_their_patient_and_keep_rows_together():
    stays = small()
    for seed in range(20):
        v = crop_and_drop(stays, Augment(longest_h=40), np.random.default_rng(seed))
        assert v.lengths.max() <= 40
        begin = np.cumsum(v.lengths) - v.lengths
        for p, (b, n) in enumerate(zip(begin, v.lengths, strict=True)):
            rows = v.values[b : b + n]
            rows = rows[~np.isnan(rows)]
            first = stays.begin[p]
            assert rows.min() >= first
            assert rows.max() < first + stays.lengths[p]
            np.testing.assert_array_equal(np.diff(v.hour[b : b + n]), 1)


def test_whole_stays_when_nothing_is_dropped():
    how = Augment(crop=0.0, longest_h=1000, lost=(0.0, 0.0), absent=0.0)
    v = crop_and_drop(small(), how, np.random.default_rng(0))
    np.testing.assert_array_equal(v.values, small().values)


def test_picking_patients_takes_them_whole():
    part = small().pick(np.array([True, False, True]))
    assert part.lengths.tolist() == [8, 30]
    assert part.values[8, 0] == 108
