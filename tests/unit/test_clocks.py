"""Bounds of a device's clock from both directions: always true, as tight as the ways were quick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wards import SentBundle, block, ns

from stream_processors.monitoring import PatientClocks
from vitals.clocks import WINDOW_NS, Bounds, DeviceClocks, heard, say
from vitals.log import Tick

MS = 1_000_000
S = 1000 * MS
T = 1_767_268_800 * S


def turn(
    clocks: DeviceClocks, at_ns: int, ahead_ns: int, down_ns: int, up_ns: int, device: str = "d-1"
) -> Bounds | None:
    """Our word goes down, and half a second later a bundle comes up with its echo."""
    clocks.told(at_ns)
    heard_ns = at_ns + down_ns + ahead_ns
    sent_ns = heard_ns + S // 2
    return clocks.saw(device, sent_ns, sent_ns - ahead_ns + up_ns, (at_ns, heard_ns))


def test_the_example():
    clocks = DeviceClocks()
    clocks.told(T)
    assert clocks.saw("d-1", T + 2_870 * MS, T + 900 * MS, (T, T + 2_030 * MS)) == (1_970 * MS, 2_030 * MS)


@given(
    st.integers(-3600 * S, 3600 * S),
    st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 5 * S)), min_size=1, max_size=40),
)
def test_bounds_hold_the_truth_and_are_those_of_the_quickest_ways(ahead_ns, ways):
    clocks = DeviceClocks()
    for i, (down_ns, up_ns) in enumerate(ways):
        found = turn(clocks, T + i * 10 * S, ahead_ns, down_ns, up_ns)
        assert found is not None
        assert found.least <= ahead_ns <= found.most
    if len(ways) * 10 * S < WINDOW_NS:
        assert found == (ahead_ns - min(up for _, up in ways), ahead_ns + min(down for down, _ in ways))


def test_bundles_without_an_echo_tighten_one_side_and_alone_say_nothing():
    clocks = DeviceClocks()
    assert clocks.saw("d-1", T, T + 3 * S, None) is None
    assert turn(clocks, T, 0, 40 * MS, 90 * MS) == (-90 * MS, 40 * MS)
    assert clocks.saw("d-1", T + S, T + S + 20 * MS, None) == (-20 * MS, 40 * MS)
    assert clocks.saw("d-1", T - 3600 * S, T + 2 * S, None) == (-20 * MS, 40 * MS), "history sent late says little"


def test_an_echo_of_what_we_never_said_says_nothing():
    clocks = DeviceClocks()
    clocks.told(T)
    assert clocks.saw("d-1", T + S, T + S, (T + 1, T - 5 * S)) is None
    assert clocks.saw("d-1", T + S, T + S + MS, (T, T + MS)) == (0, MS)


def test_one_that_was_told_long_ago_is_forgotten():
    clocks = DeviceClocks()
    for i in range(200):
        clocks.told(T + i * 10 * S)
    assert clocks.saw("d-1", T + 2001 * S, T + 2001 * S, (T, T)) is None


def test_a_clock_that_is_set_begins_anew_and_the_old_bounds_do_not_come_back():
    clocks = DeviceClocks()
    assert turn(clocks, T, 0, 5 * MS, 5 * MS) == (-5 * MS, 5 * MS)
    ahead_ns = 30 * S
    assert clocks.saw("d-1", T + S + ahead_ns, T + S + 5 * MS, None) is None, "the other direction is not known yet"
    assert turn(clocks, T + 10 * S, ahead_ns, 5 * MS, 6 * MS) == (ahead_ns - 5 * MS, ahead_ns + 5 * MS)
    back = turn(clocks, T + 20 * S, 0, 7 * MS, 8 * MS)
    assert back == (-8 * MS, 7 * MS)


def test_what_is_old_is_forgotten_after_two_windows_and_kept_for_one():
    clocks = DeviceClocks()
    turn(clocks, T, 0, MS, MS)
    assert turn(clocks, T + WINDOW_NS + S, 0, 50 * MS, 50 * MS) == (-MS, MS)
    assert turn(clocks, T + 2 * WINDOW_NS + 2 * S, 0, 60 * MS, 60 * MS) == (-50 * MS, 50 * MS)
    assert turn(clocks, T + 9 * WINDOW_NS, 0, 70 * MS, 70 * MS) == (-70 * MS, 70 * MS)


def test_numbers_tell_of_devices_whose_clocks_are_known_in_both_directions():
    clocks = DeviceClocks()
    assert clocks.numbers() == {"clocks": 0, "clock_off_ms": 0, "clock_width_ms": 0}
    turn(clocks, T, 0, 5 * MS, 5 * MS, "d-right")
    turn(clocks, T, -2 * S, 20 * MS, 30 * MS, "d-behind")
    clocks.saw("d-half", T + S, T + S, (T + 77, T))
    assert clocks.numbers() == {"clocks": 2, "clock_off_ms": 1_980.0, "clock_width_ms": 50.0}


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b'{"v":1}', b'{"now_ns":"x","v":1}', b"\xff"])
def test_bytes_that_tell_no_time_tell_none(payload):
    assert heard(payload) is None


def test_what_is_said_is_heard():
    assert heard(say(T)) == T


def test_a_patients_bounds_are_those_of_the_newest_bundle_and_go_when_its_device_is_not_known_any_more():
    known = block([SentBundle("d-1", "p-1", 0, 0, []), SentBundle("d-2", "p-2", 0, 0, [])])
    known.clocks = {0: (1, 2), 1: (3, 4)}
    patients = PatientClocks()
    patients.note(known)
    assert patients.of("p-1") == {"clock_least": 1, "clock_most": 2}
    assert patients.of("p-9") == {}
    patients.note(Tick(now_ns=ns(5)))
    patients.note(block([SentBundle("d-1", "p-1", 1, 10, [])]))
    assert patients.of("p-1") == {}
    assert patients.of("p-2") == {"clock_least": 3, "clock_most": 4}
