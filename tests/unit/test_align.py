"""Readings onto the grid: which frame, which device, which value; drawn as tables where they read well."""

from __future__ import annotations

import numpy as np
import pytest
from wards import START_NS, ns

from vitals.align import AlignSettings, Closed, Grid, Samples, measures
from vitals.signs import MINUTE_NS, N_SIGNS, SECOND_NS, Measure, Sign
from vitals.tables import pack, unpack

RANK = np.array([2, 0, 1])  # ids of the devices in rows 0, 1, 2 are "c", "a", "b"


def samples(*rows: tuple[str, float, float, int, bool] | tuple[str, float, float, int], patient: int = 0) -> Samples:
    """(sign, value, second, device row[, usable])."""
    sign, value, second, device = zip(*(row[:4] for row in rows), strict=True)
    return Samples(
        patient=np.full(len(rows), patient),
        sign=np.array([Sign[s.upper()] for s in sign], dtype=np.int64),
        device=np.array(device, dtype=np.int64),
        value=np.array(value, dtype=np.float64),
        time_ns=np.array([ns(s) for s in second], dtype=np.int64),
        usable=np.array([row[4] if len(row) > 4 else True for row in rows]),
    )


def grid(begun_s: float = 0.0) -> Grid:
    made = Grid(AlignSettings())
    made.begin(ns(begun_s))
    return made


def close(made: Grid, end_s: float) -> Closed:
    """Close frames up to the one that ends at a second; give that one."""
    while True:
        end, closed = made.close(RANK)
        assert end <= ns(end_s)
        if end == ns(end_s):
            return closed


def rows(closed: Closed) -> list[tuple[str, float, int]]:
    """(sign, value, device) of each row; None where nothing was usable."""
    return [
        (Sign(s).column, None if np.isnan(v) else v, d)
        for s, v, d in zip(closed.sign.tolist(), closed.value.tolist(), closed.device.tolist(), strict=True)
    ]


# -- what a frame's value is -------------------------------------------------------------------------------------------

VALUES = [
    # what was read (value, second)                    value, second of the newest
    ([(70, 10)], 70.0, 10),
    ([(70, 10), (80, 20)], 75.0, 20),
    ([(70, 10), (80, 20), (75, 15)], 75.0, 20),
    ([(70, 10), (200, 20), (72, 30)], 72.0, 30),  # one spike does not move the median
    ([(70, 1), (71, 2), (90, 3), (91, 4)], 80.5, 4),
    ([(70, 59.999)], 70.0, 59.999),
]


@pytest.mark.parametrize("read, value, newest", VALUES)
@pytest.mark.parametrize("order", [1, -1], ids=["as they came", "backwards"])
def test_the_value_is_the_median_of_the_frame(read, value, newest, order):
    made = grid()
    made.add(samples(*[("hr", v, s, 0) for v, s in read][::order]))
    closed = close(made, 60)
    assert rows(closed) == [("hr", value, 0)]
    assert closed.time_ns.tolist() == [ns(newest)]
    assert closed.usable.tolist() == [len(read)]


def test_what_people_observe_is_no_quantity_its_newest_reading_counts():
    made = grid()
    made.add(
        samples(("consciousness", 4, 30, 0), ("consciousness", 0, 40, 0), ("oxygen", 1, 10, 0), ("oxygen", 0, 9, 0))
    )
    assert rows(close(made, 60)) == [("consciousness", 0.0, 0), ("oxygen", 1.0, 0)]


def test_readings_of_poor_signal_do_not_count_and_are_counted():
    made = grid()
    made.add(samples(("hr", 70, 1, 0), ("hr", 250, 2, 0, False), ("hr", 72, 3, 0), ("spo2", 50, 4, 0, False)))
    closed = close(made, 60)
    assert rows(closed) == [("hr", 71.0, 0), ("spo2", None, -1)]
    assert closed.usable.tolist() == [2, 0]
    assert closed.unusable.tolist() == [1, 1]
    assert closed.time_ns.tolist() == [ns(3), -1]


# -- which device ------------------------------------------------------------------------------------------------------

DEVICES = [
    # (value, second, device row, usable)                         value and device: the first by id that is usable
    ([(70, 1, 0), (90, 2, 1)], 90.0, 1),
    ([(90, 2, 1), (70, 1, 0)], 90.0, 1),
    ([(70, 1, 0), (80, 2, 2), (82, 3, 2)], 81.0, 2),
    ([(70, 1, 0), (90, 2, 1, False)], 70.0, 0),
    ([(70, 1, 0), (90, 2, 1, False), (92, 3, 1)], 92.0, 1),
    ([(70, 1, 0, False), (90, 2, 1, False)], None, -1),
]


@pytest.mark.parametrize("read, value, device", DEVICES)
def test_the_first_device_by_id_with_a_usable_reading_counts(read, value, device):
    made = grid()
    made.add(samples(*[("hr", *row) for row in read]))
    assert rows(close(made, 60)) == [("hr", value, device)]


def test_how_devices_interleave_changes_nothing():
    read = [("hr", 60 + i, i, i % 3, i % 5 > 0) for i in range(50)] + [("resp", 10 + i, i, i % 2) for i in range(20)]
    whole = grid()
    whole.add(samples(*read))
    shuffled = grid()
    for i in np.random.default_rng(1).permutation(len(read)).tolist():
        shuffled.add(samples(read[i]))
    for one, other in zip(close(whole, 60), close(shuffled, 60), strict=True):
        assert one.tolist() == other.tolist()


def test_patients_and_signs_keep_apart():
    made = grid()
    made.add(samples(("hr", 70, 1, 0), ("pulse", 71, 1, 0)))
    made.add(samples(("hr", 90, 1, 1), patient=3))
    closed = close(made, 60)
    assert closed.patient.tolist() == [0, 0, 3]
    assert rows(closed) == [("hr", 70.0, 0), ("pulse", 71.0, 0), ("hr", 90.0, 1)]


# -- which frame -------------------------------------------------------------------------------------------------------


def test_a_frame_begins_with_its_first_instant_and_ends_before_the_next_one():
    made = grid()
    made.add(samples(("hr", 1, 0, 0), ("hr", 2, 59.9, 0), ("hr", 3, 60, 0), ("hr", 4, 120, 0)))
    assert [close(made, end).value.tolist() for end in (60, 120, 180)] == [[1.5], [3.0], [4.0]]


BEGINS = [
    # first tick at, end of the oldest open frame: the one that contains the tick less the allowed lateness
    (0.0, 0.0),
    (9.9, 0.0),
    (10.0, 60.0),
    (30.0, 60.0),
    (69.9, 60.0),
    (70.0, 120.0),
]


@pytest.mark.parametrize("tick, end", BEGINS)
def test_where_the_first_tick_begins(tick, end):
    made = grid(tick)
    assert made.next_end_ns == ns(end)
    assert made.due_ns() == ns(end) + 10 * SECOND_NS
    made.begin(ns(1000))
    assert made.next_end_ns == ns(end), "only the first tick begins"


def test_before_the_first_tick_nothing_is_due_and_nothing_can_close():
    made = Grid(AlignSettings())
    assert made.due_ns() is None
    with pytest.raises(RuntimeError, match="first tick"):
        made.close(RANK)


def test_what_came_before_the_first_tick_counts_in_the_oldest_frame():
    made = Grid(AlignSettings())
    made.add(samples(("hr", 70, -200, 0), ("hr", 80, 5, 0)))
    made.begin(ns(20))
    assert rows(close(made, 60)) == [("hr", 75.0, 0)]
    assert made.idle()


def test_what_we_were_slow_to_bring_counts_in_the_oldest_open_frame():
    made = grid(10)
    close(made, 60)
    made.add(samples(("hr", 70, 30, 0), ("hr", 90, 65, 0)))
    closed = close(made, 120)
    assert rows(closed) == [("hr", 80.0, 0)]
    assert closed.time_ns.tolist() == [ns(65)]


def test_a_frame_without_readings_is_empty():
    made = grid(10)
    closed = close(made, 60)
    assert [len(column) for column in closed] == [0] * len(closed)


def test_frames_in_which_nothing_can_happen_are_gone_over():
    made = grid(10)
    made.skip_to(ns(3605))
    assert made.next_end_ns == ns(3600)
    made.skip_to(ns(100))
    assert made.next_end_ns == ns(3600), "never backwards"


def test_another_grid():
    made = Grid(AlignSettings(grid_ns=10 * MINUTE_NS, lateness_ns=0))
    made.begin(START_NS)
    assert made.next_end_ns % (10 * MINUTE_NS) == 0
    assert made.due_ns() == made.next_end_ns


@pytest.mark.parametrize("wrong", [{"grid_ns": 0}, {"grid_ns": -1}, {"lateness_ns": -1}, {"slow_factor": 0.5}])
def test_settings_that_make_no_frames_are_refused(wrong):
    with pytest.raises(ValueError, match="make no frames"):
        AlignSettings(**wrong)


def test_open_frames_survive_a_snapshot():
    made = grid(10)
    made.add(samples(("hr", 70, 30, 0), ("hr", 90, 65, 1)))
    again = Grid(AlignSettings())
    again.load(unpack(pack(made.state())))
    again.add(samples(("hr", 74, 40, 0)))
    assert rows(close(again, 60)) == [("hr", 72.0, 0)]
    assert rows(close(again, 120)) == [("hr", 90.0, 1)]
    assert again.idle()


def test_what_is_put_in_is_not_changed():
    given = samples(("hr", 70, 30, 0), ("hr", 90, 65, 1))
    before = [column.copy() for column in given]
    made = grid(1000)
    made.add(given)
    made.close(RANK)
    for column, was in zip(given, before, strict=True):
        assert column.tolist() == was.tolist()


# -- measures ----------------------------------------------------------------------------------------------------------

SOURCES = [
    # signs that stand                       measure       value   sign it came from
    ({"hr": 70, "pulse": 72}, Measure.RATE, 70, Sign.HR),
    ({"pulse": 72}, Measure.RATE, 72, Sign.PULSE),
    ({"sbp": 118, "nibp_sbp": 125}, Measure.SBP, 118, Sign.SBP),
    ({"nibp_sbp": 125}, Measure.SBP, 125, Sign.NIBP_SBP),
    ({"nibp_map": 90, "map": 85}, Measure.MAP, 85, Sign.MAP),
    ({"consciousness": 2}, Measure.CONSCIOUSNESS, 2, Sign.CONSCIOUSNESS),
]


@pytest.mark.parametrize("stands, measure, value, came", SOURCES)
def test_the_best_source_that_stands_is_the_measure(stands, measure, value, came):
    signs = np.full((2, N_SIGNS), np.nan)
    for sign, stood in stands.items():
        signs[1, Sign[sign.upper()]] = stood
    found, sources = measures(signs)
    assert np.isnan(found[0]).all()
    assert (sources[0] == -1).all()
    assert (found[1, measure], sources[1, measure]) == (value, came)
    assert np.count_nonzero(~np.isnan(found[1])) == 1
