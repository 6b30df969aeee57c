"""One order and one fingerprint for alarm events, so that two runs of a recording can be held side by side.

A partition's events come in the order of its log; how partitions interleave is nobody's promise. So events are put in
one order (patient, alarm, number), and the digest is that of their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vitals.events import AlarmEvent, event_encoder


def ordered(events: Iterable[AlarmEvent]) -> list[AlarmEvent]:
    """Each event once, by the instant its alarm was first told, then by alarm and number."""
    unique = {event.event_id: event for event in events}
    first: dict[str, int] = {}
    for event in unique.values():
        first[event.alarm_id] = min(event.at_ns, first.get(event.alarm_id, event.at_ns))
    return sorted(unique.values(), key=lambda e: (first[e.alarm_id], e.patient, e.alarm_id, e.n))


def digest(events: Iterable[AlarmEvent]) -> str:
    """SHA-256 of the events' JSON lines in that order: equal exactly where two runs told the same."""
    total = hashlib.sha256()
    for event in ordered(events):
        total.update(event_encoder.encode(event) + b"\n")
    return total.hexdigest()
