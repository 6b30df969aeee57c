"""The hops of an alarm, up to the page."""

import pytest

from dashboards.console.latency import HopTimes

S = 1_000_000_000
STAMPS = {
    "measured": 100 * S,
    "published": 101 * S,
    "received": 102 * S,
    "appended": 103 * S,
    "fetched": 104 * S,
    "scored": 105 * S,
    "emitted": 106 * S,
}


def table(times):
    return {row["hop"]: row for row in times.table()}


def test_every_hop_with_both_stamps_is_counted():
    times = HopTimes(started_ns=0)
    assert times.on_event("e", STAMPS, 108 * S)
    rows = table(times)
    assert set(rows) == {"gather", "radio", "ingest", "log", "judge", "emit", "to_alarm", "show:read"}
    assert rows["show:read"]["mean"] == 3000
    assert rows["to_alarm"]["mean"] == 6000
    assert rows["to_alarm"]["crosses_clocks"]


def test_between_what_a_hop_lies_is_told_where_the_devices_clock_is_known():
    times = HopTimes(started_ns=0, speed=10)
    times.on_event("e", STAMPS | {"clock_least": -S // 2, "clock_most": 2 * S}, 108 * S)
    rows = {row["hop"]: row for row in times.of("e")}
    assert (rows["radio"]["least"], rows["radio"]["ms"], rows["radio"]["most"]) == (50, 100, 300)
    assert (rows["to_alarm"]["least"], rows["to_alarm"]["most"]) == (550, 800)
    assert "most" not in rows["ingest"]
    times.on_event("f", STAMPS, 108 * S)
    assert all("most" not in row for row in times.of("f"))


def test_where_the_log_is_not_stamped_its_way_is_one_hop():
    times = HopTimes(started_ns=0)
    times.on_event("e", {"received": 1 * S, "fetched": 3 * S, "scored": 4 * S}, 5 * S)
    times.on_pushed("e", "a", 6 * S)
    times.on_shown("e", "a", 7 * S)
    rows = table(times)
    assert rows["carry"]["mean"] == 2000
    assert rows["show:all"]["mean"] == 3000
    assert "log" not in rows
    assert "show" not in rows


def test_shown_counts_back_from_the_word_of_the_page_that_got_it():
    times = HopTimes(started_ns=0)
    times.on_event("e", STAMPS, 108 * S)
    times.on_pushed("e", "page-1", 109 * S)
    assert times.on_shown("e", "page-1", 111 * S)
    rows = table(times)
    assert rows["show:push"]["mean"] == 1000
    assert rows["show:draw"]["mean"] == 2000
    assert rows["show"]["mean"] == 5000
    assert rows["to_shown"]["mean"] == 11000


def test_only_the_first_page_counts():
    times = HopTimes(started_ns=0)
    times.on_event("e", STAMPS, 108 * S)
    times.on_pushed("e", "a", 109 * S)
    times.on_pushed("e", "b", 120 * S)
    times.on_shown("e", "a", 110 * S)
    times.on_shown("e", "b", 190 * S)
    assert table(times)["show"]["count"] == 1
    assert table(times)["show"]["max"] == 4000


def test_a_page_cannot_tell_of_what_it_was_not_given():
    times = HopTimes(started_ns=0)
    times.on_event("e", STAMPS, 108 * S)
    times.on_pushed("e", "a", 109 * S)
    assert not times.on_shown("e", "b", 110 * S)
    assert not times.on_shown("other", "a", 110 * S)
    assert "show" not in table(times)


def test_a_page_cannot_have_drawn_before_it_was_given():
    times = HopTimes(started_ns=0)
    times.on_event("e", STAMPS, 108 * S)
    times.on_pushed("e", "a", 109 * S)
    times.on_shown("e", "a", 50 * S)
    assert table(times)["show:draw"]["max"] == 0


def test_what_is_read_back_from_the_log_keeps_its_stamps_and_is_not_counted():
    times = HopTimes(started_ns=200 * S)
    assert not times.on_event("e", STAMPS, 201 * S)
    assert times.table() == []
    assert [hop["hop"] for hop in times.of("e")][:2] == ["gather", "radio"]


def test_an_event_without_stamps_has_no_hops():
    times = HopTimes(started_ns=0)
    assert not times.on_event("e", {}, 5)
    assert times.of("e") == []
    assert times.of("unknown") == []


def test_times_are_of_the_wall_however_fast_the_ward_runs():
    times = HopTimes(started_ns=0, speed=60)
    times.on_event("e", {"scored": 0, "emitted": 60 * S}, 60 * S)
    assert table(times)["emit"]["mean"] == pytest.approx(1000)
    assert {hop["hop"]: hop["ms"] for hop in times.of("e")}["emit"] == pytest.approx(1000)


def test_clocks_that_disagree_are_counted_beside():
    times = HopTimes(started_ns=0)
    times.on_event("e", {"published": 20 * S, "received": 10 * S, "scored": 30 * S}, 31 * S)
    assert table(times)["radio"]["negative"] == 1
    assert table(times)["radio"]["max"] == 0


def test_mean_is_total_over_count():
    times = HopTimes(started_ns=0)
    for i, seconds in enumerate((1, 2, 6)):
        times.on_event(f"e{i}", {"scored": 0, "emitted": seconds * S}, seconds * S)
    row = table(times)["emit"]
    assert (row["count"], row["mean"], row["max"]) == (3, 3000, 6000)
