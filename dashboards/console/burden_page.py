"""The burden of alarms over some days, from the store: how many, how many for nothing, how long until an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from dashboards.console import words
from dashboards.console.history import History, HistoryUnavailable
from dashboards.console.people import in_ms
from dashboards.console.state import ConsoleState, PatientView
from dashboards.console.views import Json
from vitals import burden as rules
from vitals.events import AlarmEvent

_STORE_S = 20.0


async def burden(state: ConsoleState, history: History, from_ns: int, to_ns: int, *, by_person: bool) -> Json:
    """The burden of a span.

    Args:
        state: What this console has seen: counted where the store does not answer, and the note says so.
        history: Where the events are, and when who was watched.
        from_ns: First instant.
        to_ns: First instant after it.
        by_person: Whether the asking person may see how each person answered.
    """
    note = ""
    try:
        async with asyncio.timeout(_STORE_S):
            events = list(await history.alarm_events(None, from_ns, to_ns))
            watched = dict(await history.watched(from_ns, to_ns))
    except (HistoryUnavailable, TimeoutError) as error:
        events = _own(state, from_ns)
        watched = {view.patient: piece for view in state.patients.values() if (piece := _watched(view, from_ns, to_ns))}
        note = (
            f"The store does not answer ({error or 'too slow'}): only what this page has seen itself is counted, and "
            "patients are taken as watched since their newest enrolment."
        )
    found = await asyncio.to_thread(rules.burden, events, from_ns=from_ns, to_ns=to_ns, watched=watched)
    told: Json = in_ms(msgspec.to_builtins(found))
    for row in told["rules"]:
        row["title"] = words.rule_title(row["name"])
    if not by_person:
        told["people"] = None
    return told | {"note": note}


def _own(state: ConsoleState, from_ns: int) -> list[AlarmEvent]:
    held = (alarm for view in state.patients.values() for alarm in view.alarms.values())
    return [event for alarm in held for event in alarm.events if event.at_ns >= from_ns]


def _watched(view: PatientView, from_ns: int, to_ns: int) -> Sequence[tuple[int, int]]:
    """When a patient was watched, as far as the newest enrolment tells: of earlier ones nothing is known here."""
    said = view.enrolment
    if said is None:
        return ((from_ns, to_ns),) if view.frame_end_ns else ()
    start, end = (said.at_ns, to_ns) if said.state == "admitted" else (from_ns, said.at_ns)
    piece = (max(from_ns, start), min(to_ns, end))
    return (piece,) if piece[0] < piece[1] else ()
