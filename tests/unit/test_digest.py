"""One order and one fingerprint for alarm events."""

from __future__ import annotations

import random

import msgspec

from vitals.digest import digest, ordered
from vitals.events import AlarmEvent, Kind, Priority


def event(alarm: str, n: int, at_ns: int, patient: str = "p-1", cause: str = "") -> AlarmEvent:
    return AlarmEvent(
        event_id=f"{alarm}:{n}", alarm_id=alarm, n=n, patient=patient, rule="r", rule_version="1",
        kind=Kind.PHYSIOLOGICAL, priority=Priority.LOW, event="raised", at_ns=at_ns, cause=cause,
    )  # fmt: skip


EVENTS = [
    event("b", 1, 10),
    event("b", 2, 50),
    event("b", 3, 40),  # event time may step back a little; the number is the order
    event("a", 1, 20),
    event("c", 1, 10, patient="p-0"),
    event("c", 2, 10, patient="p-0"),
]


def test_alarms_stand_in_the_order_in_which_they_were_first_told_and_events_by_number():
    assert [e.event_id for e in ordered(EVENTS)] == ["c:1", "c:2", "b:1", "b:2", "b:3", "a:1"]


def test_how_partitions_interleave_changes_nothing():
    for seed in range(20):
        shuffled = random.Random(seed).sample(EVENTS, len(EVENTS))
        assert ordered(shuffled) == ordered(EVENTS)
        assert digest(shuffled) == digest(EVENTS)


def test_an_event_told_twice_counts_once():
    assert ordered(EVENTS + EVENTS[:3]) == ordered(EVENTS)
    assert digest(EVENTS + EVENTS) == digest(EVENTS)


def test_any_difference_shows():
    seen = {digest(EVENTS), digest([]), digest(EVENTS[:-1]), digest([*EVENTS, event("d", 1, 90)])}
    for change in ({"cause": "other"}, {"at_ns": 11}, {"priority": Priority.HIGH}, {"delayed": True}):
        seen.add(digest([msgspec.structs.replace(EVENTS[0], **change), *EVENTS[1:]]))
    assert len(seen) == 8


def test_the_digest_of_nothing_is_written_down():
    assert digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes
