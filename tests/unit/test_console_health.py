"""Which parts do not work: what they say, and their silence."""

from dashboards.console.health import Health
from vitals.signs import MINUTE_NS, SECOND_NS


def health():
    return Health(tick_silence_s=10, part_silence_s=30, started_s=0)


def ok(part="bridge", status="ok", text="", at_ns=5_000_000):
    return {"part": part, "status": status, "text": text, "at_ns": at_ns}


def test_all_is_well_while_ticks_and_words_come():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_health(ok(), 0)
    assert parts.problems(9, 0) == []


def test_no_tick_for_ten_seconds_is_said():
    parts = health()
    parts.on_tick(7_000_000, 0)
    assert parts.problems(10, 0) == []
    (problem,) = parts.problems(10.5, 0)
    assert problem["part"] == "pipeline"
    assert problem["status"] == "down"
    assert "no tick for 10 s" in problem["text"]
    assert problem["since"] == 7


def test_a_tick_that_never_came_is_said_too():
    (problem,) = health().problems(11, 0)
    assert "has not begun" in problem["text"]


def test_the_same_tick_again_is_no_sign_of_life():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_tick(1, 9)
    assert parts.problems(11, 0)


def test_a_part_that_is_slow_says_since_when():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_health(ok(), 0)
    assert parts.on_health(ok(status="slow", text="1204 bundles wait", at_ns=8_000_000), 1)
    assert not parts.on_health(ok(status="slow", text="1204 bundles wait", at_ns=9_000_000), 2)
    (problem,) = parts.problems(3, 0)
    assert problem == {"part": "bridge", "status": "slow", "text": "1204 bundles wait", "since": 8}


def test_a_part_that_falls_silent_counts_as_down():
    parts = health()
    parts.on_health(ok(), 0)
    parts.on_tick(1, 30)
    assert parts.problems(30, 0) == []
    (problem,) = parts.problems(31, 0)
    assert "said nothing for 31 s" in problem["text"]


def test_words_read_back_from_the_log_are_no_sign_of_life():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_health(ok(), 0, age_s=3600)
    assert parts.problems(1, 0)


def test_down_comes_before_slow_and_the_pipeline_first():
    parts = health()
    parts.on_health(ok("store", "slow"), 11)
    parts.on_health(ok("bridge", "down"), 11)
    assert [problem["part"] for problem in parts.problems(11, 0)] == ["pipeline", "bridge", "store"]


def test_what_is_no_such_message_is_left_alone():
    parts = health()
    for told in ({}, {"part": 3}, ok(status="fine"), {"part": "x", "status": "ok"}):
        assert not parts.on_health(told, 0)
    assert parts.parts(0) == []


def test_a_part_may_tell_the_tick_it_has_seen():
    parts = health()
    parts.on_health(ok() | {"tick_ns": 99}, 8)
    assert parts.problems(12, 0) == []


def test_a_ward_that_falls_behind_is_told():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_frames(10 * MINUTE_NS)
    assert parts.problems(1, 12 * MINUTE_NS) == []
    (problem,) = parts.problems(1, 13 * MINUTE_NS)
    assert (problem["part"], problem["status"], problem["since"]) == ("ward", "slow", 600_000)
    assert "for 3 min" in problem["text"]


def test_at_speed_a_breath_of_the_machine_is_no_lag():
    parts = health()
    parts.on_tick(1, 0)
    parts.on_frames(10 * MINUTE_NS)
    assert parts.problems(1, 16 * MINUTE_NS, speed=60) == []
    assert parts.problems(1, 10 * MINUTE_NS + 371 * SECOND_NS, speed=60)
