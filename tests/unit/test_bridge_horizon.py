"""How far time may go: never past what may still wait at the broker, and never stopped by deafness."""

from __future__ import annotations

import pytest

from ingest.horizon import Horizon

S = 1_000_000_000


def make() -> Horizon:
    return Horizon("this life", patience_s=10.0)


def test_there_is_no_time_before_the_first_probe_came_back():
    horizon = make()
    assert horizon.probe(100 * S, generation=1) is not None
    assert horizon.now_ns == -1


def test_time_goes_on_to_when_the_probe_was_sent_and_not_to_when_it_came_back():
    horizon = make()
    probe = horizon.probe(100 * S, generation=1)
    assert not horizon.looked(160 * S, 0.0)
    assert horizon.returned(probe)
    assert horizon.now_ns == 100 * S


def test_one_probe_is_under_way_at_a_time():
    horizon = make()
    first = horizon.probe(100 * S, generation=1)
    assert horizon.probe(101 * S, generation=1) is None
    horizon.returned(first)
    assert horizon.probe(102 * S, generation=1) is not None


def test_a_new_connection_gets_a_new_probe():
    horizon = make()
    lost = horizon.probe(100 * S, generation=1)
    second = horizon.probe(105 * S, generation=2)
    assert horizon.returned(second)
    assert horizon.now_ns == 105 * S
    assert not horizon.returned(lost), "it comes again from the session, and time does not run backwards"
    assert horizon.now_ns == 105 * S


def test_an_older_probe_that_comes_first_counts_and_the_newer_one_stays_under_way():
    horizon = make()
    older = horizon.probe(100 * S, generation=1)
    horizon.probe(105 * S, generation=2)
    assert horizon.returned(older)
    assert horizon.now_ns == 100 * S
    assert horizon.probe(106 * S, generation=2) is None


def test_a_probe_that_did_not_go_out_is_tried_again():
    horizon = make()
    horizon.probe(100 * S, generation=1)
    horizon.not_sent()
    assert horizon.probe(101 * S, generation=1) is not None


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"life":"another life","now_ns":5}', b"\xff", b'{"life":1}'])
def test_probes_of_another_life_and_rubbish_say_nothing(payload):
    horizon = make()
    assert not horizon.returned(payload)
    assert horizon.now_ns == -1


def test_when_nothing_is_heard_time_goes_on_all_the_same():
    horizon = make()
    ticks = [second for second in range(13) if horizon.looked((1000 + second) * S, float(second))]
    assert ticks == [10, 11, 12]
    assert horizon.blind
    assert horizon.now_ns == 1012 * S


def test_whoever_hears_something_waits_for_the_probe():
    horizon = make()
    for second in range(60):
        if second % 5 == 0:
            horizon.heard()
        assert not horizon.looked((1000 + second) * S, float(second))
    assert not horizon.blind


def test_while_the_process_was_stopped_nobody_listened():
    horizon = make()
    horizon.looked(1000 * S, 0.0)
    probe = horizon.probe(1000 * S, generation=1)
    assert not horizon.looked(1600 * S, 600.0), "ten minutes of a stopped process are no ten minutes of silence"
    assert horizon.returned(probe)
    assert horizon.now_ns == 1000 * S


def test_blindness_ends_with_the_first_word():
    horizon = make()
    for second in range(12):
        horizon.looked((1000 + second) * S, float(second))
    assert horizon.blind
    probe = horizon.probe(1012 * S, generation=1)
    assert probe is not None, "the one under way was lost"
    assert horizon.returned(probe)
    assert not horizon.blind
    assert not horizon.looked(1013 * S, 12.0)
