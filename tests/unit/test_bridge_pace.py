"""How long bundles gather: nothing on a quiet ward, never longer than asked on a busy one."""

from __future__ import annotations

import pytest

from ingest.pace import Pace


def at_rate(per_s: float, *, seconds: float = 5.0, **settings: float) -> Pace:
    """A pace after some seconds of evenly spaced bundles."""
    pace = Pace(**{"gather_s": 0.008, "busy_per_s": 1000.0, **settings})
    for n in range(round(per_s * seconds)):
        pace.came(1, 100 + n / per_s)
    return pace


def test_nothing_waits_before_anything_came_or_on_a_quiet_ward():
    assert Pace(0.008, 1000.0).gap_s() == 0
    assert at_rate(2).gap_s() == at_rate(200).gap_s() == 0


@pytest.mark.parametrize(("per_s", "gap_ms"), [(500, 2), (700, 3.9), (1_000, 8), (5_000, 8)])
def test_the_wait_grows_with_the_square_of_the_rate_up_to_what_was_asked(per_s, gap_ms):
    assert at_rate(per_s).gap_s() * 1e3 == pytest.approx(gap_ms, rel=0.02)


def test_a_storm_that_is_over_is_forgotten_within_two_seconds():
    pace = at_rate(5_000)
    pace.came(1, 107)
    assert pace.gap_s() == 0


def test_no_wait_can_be_asked_for():
    assert at_rate(5_000, gather_s=0.0).gap_s() == 0
