"""What stands for a patient, how old it is, and until when it is valid."""

from __future__ import annotations

import numpy as np
import pytest
from wards import ns

from vitals.align import Closed
from vitals.signs import N_SIGNS, SECOND_NS, Sign
from vitals.standing import Standing
from vitals.tables import pack, unpack

ROWS = np.array([0])


def closed(*rows: tuple[str, float | None, float], patient: int = 0) -> Closed:
    """(sign, value or None for unusable, second of the newest reading)."""
    n = len(rows)
    usable = np.array([value is not None for _, value, _ in rows], dtype=np.int64)
    return Closed(
        patient=np.full(n, patient),
        sign=np.array([Sign[sign.upper()] for sign, _, _ in rows], dtype=np.int64),
        device=np.zeros(n, dtype=np.int64),
        value=np.array([np.nan if value is None else value for _, value, _ in rows]),
        time_ns=np.array([ns(second) if value is not None else -1 for _, value, second in rows], dtype=np.int64),
        usable=usable,
        unusable=1 - usable,
    )


def standing(patients: int = 1) -> Standing:
    made = Standing(slow_factor=2.5)
    made.reach(patients)
    return made


def take(made: Standing, frame: Closed, period_s: float = 10) -> None:
    made.take(frame, np.full(len(frame.sign), round(period_s * SECOND_NS)))


VALID = [
    # sign, period of its device in s, seconds after the reading, stands
    ("hr", 10, 0, True),
    ("hr", 10, 120, True),
    ("hr", 10, 121, False),
    ("hr", 60, 150, True),  # slow device: two and a half periods
    ("hr", 60, 151, False),
    ("hr", 3600, 9000, True),
    ("nibp_sbp", 10, 3600, True),
    ("nibp_sbp", 10, 3601, False),
    ("temp_c", 10, 4 * 3600, True),
    ("temp_c", 10, 4 * 3600 + 1, False),
    ("consciousness", 10, 12 * 3600, True),
    ("consciousness", 10, 12 * 3600 + 1, False),
]


@pytest.mark.parametrize("sign, period, after, stands", VALID)
def test_a_value_stands_as_long_as_its_sign_and_its_device_say(sign, period, after, stands):
    made = standing()
    take(made, closed((sign, 36, 0)), period)
    take(made, closed(), period)  # a frame without it
    picture = made.picture(ROWS, ns(after))
    column = Sign[sign.upper()]
    assert (picture.value[0, column] == 36) is np.bool_(stands)
    assert np.isnan(picture.value[0, column]) is np.bool_(not stands)
    assert picture.age_ns[0, column] == after * SECOND_NS
    assert picture.newest[0, column] == 36, "what no longer stands is still known"
    assert not picture.measured[0].any()
    assert made.any_valid(ns(after)) is stands


def test_what_was_never_measured_is_missing_and_has_no_age():
    picture = standing().picture(ROWS, ns(60))
    assert np.isnan(picture.value).all()
    assert (picture.age_ns == -1).all()
    assert np.isnan(picture.newest).all()
    assert not picture.measured.any()


def test_measured_means_within_the_frame_just_taken():
    made = standing()
    take(made, closed(("hr", 70, 30), ("spo2", 97, 40)))
    take(made, closed(("hr", 72, 90)))
    picture = made.picture(ROWS, ns(120))
    assert np.flatnonzero(picture.measured[0]).tolist() == [Sign.HR]
    assert picture.value[0, [Sign.HR, Sign.SPO2]].tolist() == [72, 97]
    assert picture.age_ns[0, [Sign.HR, Sign.SPO2]].tolist() == [30 * SECOND_NS, 80 * SECOND_NS]


def test_a_frame_without_a_usable_reading_leaves_the_last_value():
    made = standing()
    take(made, closed(("hr", 70, 30)))
    take(made, closed(("hr", None, 90)))
    picture = made.picture(ROWS, ns(120))
    assert (picture.value[0, Sign.HR], picture.measured[0, Sign.HR]) == (70, False)


def test_what_came_late_never_replaces_what_is_newer():
    made = standing()
    take(made, closed(("hr", 70, 100)))
    take(made, closed(("hr", 90, 30)))
    assert made.picture(ROWS, ns(120)).value[0, Sign.HR] == 70


def test_an_hour_is_the_median_of_its_measured_minutes_and_the_next_begins_empty():
    made = standing()
    for minute, hr, sbp in ((0, 60, 110), (1, 80, 120), (30, 220, 130), (31, None, 90)):
        take(made, closed(("hr", hr, minute * 60), ("sbp", sbp, minute * 60)))
    take(made, closed(("temp_c", 37.0, 3500)))
    hour = made.hour(ROWS, ns(3600))
    assert hour.value[0, [Sign.HR, Sign.SBP, Sign.TEMP_C]].tolist() == [80, 115, 37.0]
    assert set(np.flatnonzero(hour.measured[0])) == {Sign.HR, Sign.SBP, Sign.TEMP_C}
    made.begin_hour()
    after = made.hour(ROWS, ns(7200))
    assert np.isnan(after.value[0, Sign.HR])
    assert after.value[0, Sign.TEMP_C] == 37.0, "still valid, not measured in this hour"
    assert not after.measured.any()


def test_patients_keep_apart_and_more_can_come():
    made = standing()
    take(made, closed(("hr", 70, 10)))
    made.reach(40)
    take(made, closed(("hr", 90, 20), patient=33))
    assert made.picture(np.array([33, 0, 1]), ns(60)).value[:, Sign.HR].tolist()[:2] == [90, 70]
    assert made.picture(np.array([0, 33]), ns(60)).measured[:, Sign.HR].tolist() == [False, True]
    assert made.times(33)[Sign.HR] == ns(20)
    assert (made.times(5) == -1).all()


def test_nothing_stands_in_an_empty_ward():
    assert not standing(0).any_valid(ns(0))


def test_it_survives_a_snapshot():
    made = standing()
    take(made, closed(("hr", 70, 10)), 3600)
    again = Standing(slow_factor=2.5)
    again.load(unpack(pack(made.state())))
    one, other = made.picture(ROWS, ns(600)), again.picture(ROWS, ns(600))
    for name in ("value", "measured", "age_ns", "newest"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name in {"value", "newest"})
    assert again.hour(ROWS, ns(600)).value[0, Sign.HR] == 70
    assert again.picture(ROWS, ns(600)).value.shape == (1, N_SIGNS)
