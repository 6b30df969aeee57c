import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitals.hops import HOPS, Histogram, HistogramError, Hop, Stamp, appended_at, differences, spread

calm = settings(deadline=None)  # how long one takes depends on who else uses the machine
HOUR = 3_600_000_000_000
MICROSECOND = 1_000
within = st.lists(st.integers(MICROSECOND, HOUR), min_size=1, max_size=200)
any_time = st.lists(st.integers(0, 2**45), max_size=50)


def filled(durations):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


def facts(histogram):
    return histogram.to_bytes()


def test_every_stamp_is_the_end_of_a_hop_or_the_start_of_the_way():
    assert {row.end for row in HOPS.values()} | {Stamp.MEASURED} == set(Stamp)
    assert set(HOPS) == set(Hop)


def test_hops_go_forward():
    order = list(Stamp)
    for hop, row in HOPS.items():
        assert order.index(row.start) < order.index(row.end), hop


def test_only_hops_from_the_devices_clock_to_ours_hold_its_error():
    device = {Stamp.MEASURED, Stamp.PUBLISHED}
    for hop, row in HOPS.items():
        assert row.crosses_clocks == ((row.start in device) != (row.end in device)), hop


def test_stamps_tell_the_hops_whose_both_ends_they_hold():
    assert differences({"measured": 100, "published": 130, "received": 125, "other": 1}) == {
        Hop.GATHER: 30,
        Hop.RADIO: -5,
    }


def test_a_hop_that_crosses_clocks_lies_between_what_the_bounds_of_the_clock_leave():
    stamps = {"measured": 100, "published": 130, "received": 125, "clock_least": 10, "clock_most": 30}
    assert spread(Hop.RADIO, stamps) == (5, 25)
    assert spread(Hop.RADIO, stamps | {"clock_least": -10}) == (0, 25), "nothing arrives before it is sent"
    assert spread(Hop.GATHER, stamps) is None, "one clock"
    assert spread(Hop.TO_ALARM, stamps) is None, "not known when it was emitted"
    assert spread(Hop.RADIO, {"published": 130, "received": 125}) is None, "the clock is not known"


def test_an_empty_histogram_knows_nothing():
    histogram = Histogram()
    assert (histogram.count, histogram.total_ns, histogram.min_ns, histogram.max_ns) == (0, 0, 0, 0)
    assert math.isnan(histogram.mean_ns)
    assert all(math.isnan(told) for told in histogram.percentiles(0, 50, 100))


def test_the_mean_is_total_time_over_number_of_samples():
    histogram = filled([1_000_000, 2_000_001])
    assert (histogram.mean_ns, histogram.total_ns, histogram.count) == (1_500_000.5, 3_000_001, 2)


def test_ranks_are_not_lost_to_binary_fractions():
    histogram = filled([MICROSECOND] * 999 + [HOUR])
    assert histogram.percentile(99.9) == pytest.approx(MICROSECOND, rel=0.01)
    assert histogram.percentile(99.91) == HOUR


@pytest.mark.parametrize("percent", [-1, 100.1, math.nan])
def test_a_percentile_that_is_none_is_refused(percent):
    with pytest.raises(ValueError, match="percentile"):
        filled([5]).percentile(percent)


def test_what_two_clocks_make_negative_counts_as_nothing():
    histogram = filled([-5])
    histogram.record_many(np.array([-7, 3]))
    assert (histogram.count, histogram.total_ns, histogram.min_ns) == (3, 3, 0)


def test_times_beyond_the_table_are_told_as_the_greatest_seen():
    histogram = filled([5, 3 * HOUR, 2 * HOUR])
    assert histogram.percentiles(1, 50, 100) == (pytest.approx(500, abs=500), 3 * HOUR, 3 * HOUR)


@calm
@given(within, st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_percentiles_are_numpys_to_one_per_cent(durations, percents):
    histogram = filled(durations)
    theirs = np.percentile(durations, percents, method="inverted_cdf")
    for ours, exact, percent in zip(histogram.percentiles(*percents), theirs, percents, strict=True):
        rank = percent / 100 * len(durations)
        if abs(rank - round(rank)) > 1e-6:  # at a whole rank NumPy's own arithmetic decides either way
            assert ours == pytest.approx(exact, rel=0.01)


@calm
@given(within)
def test_count_mean_least_and_greatest_are_exact(durations):
    histogram = filled(durations)
    assert (histogram.count, histogram.total_ns) == (len(durations), sum(durations))
    assert histogram.mean_ns == sum(durations) / len(durations)
    assert histogram.percentiles(0, 100)[1] == histogram.max_ns == max(durations)
    assert histogram.min_ns == min(durations)


@calm
@given(any_time)
def test_many_at_once_are_the_same_as_one_by_one(durations):
    at_once = Histogram()
    at_once.record_many(np.array(durations, dtype=np.int64))
    assert facts(at_once) == facts(filled(durations))


@calm
@given(any_time, any_time)
def test_merged_histograms_are_the_histogram_of_all(some, others):
    merged = filled(some)
    merged.merge(filled(others))
    assert facts(merged) == facts(filled(some + others))


@calm
@given(any_time)
def test_a_histogram_that_was_written_is_read_back_alike(durations):
    histogram = filled(durations)
    got = Histogram.from_bytes(histogram.to_bytes())
    assert facts(got) == facts(histogram)
    assert (got.count, got.total_ns, got.min_ns, got.max_ns) == (
        histogram.count,
        histogram.total_ns,
        histogram.min_ns,
        histogram.max_ns,
    )


def test_ways_of_a_recording_a_year_old_are_told():
    """Sent today, a few hundred of its readings together pass what 64 bits hold."""
    year = 365 * 24 * HOUR
    histogram = Histogram()
    histogram.record_many(np.full(1_000, year))
    assert histogram.total_ns == 1_000 * year > 2**63
    got = Histogram.from_bytes(histogram.to_bytes())
    assert (got.count, got.total_ns, got.percentile(50)) == (1_000, 1_000 * year, year)


def test_a_histogram_of_version_1_is_read():
    """Health of a part that has not been upgraded yet, and reports that are kept."""
    written = struct.pack("<BIqqqqHQ", 1, 1, 2, 30_000, 14_000, 16_000, 244, 2)
    got = Histogram.from_bytes(written)
    assert (got.count, got.total_ns, got.min_ns, got.max_ns) == (2, 30_000, 14_000, 16_000)
    assert got.percentile(50) == 14_000


@calm
@given(st.binary(max_size=80), any_time)
def test_bytes_that_are_no_histogram_are_refused(junk, durations):
    good = filled(durations).to_bytes()
    for data in (junk, good + b"x", good[:-1], b"\x03" + good[1:], b"\x01" + good[1:]):
        with pytest.raises(HistogramError):
            Histogram.from_bytes(data)
    broken = bytearray(filled([5, 5]).to_bytes())
    broken[-8] = 3
    with pytest.raises(HistogramError, match="2 samples"):
        Histogram.from_bytes(bytes(broken))


def test_an_empty_record_changes_nothing():
    histogram = filled([7])
    before = facts(histogram)
    histogram.record_many(np.array([], dtype=np.int64))
    histogram.merge(Histogram())
    assert facts(histogram) == before


def test_a_brokers_stamp_becomes_ward_time():
    """A whole millisecond, its end taken; in a faster ward's time; never still to come."""
    assert appended_at(5, 8_500_000, 108_500_000) == 106_000_000
    assert appended_at(5, 8_500_000, 1_000_000_000, speed=60.0) == 1_000_000_000 - 150_000_000
    assert appended_at(5, 5_200_000, 77) == 77
