"""One patient's page: what the store remembers and what we have seen ourselves, put together.

A store that does not answer takes nothing from the page but the past: the note says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from dashboards.console.alarms import AlarmView, about, fold, worst_first
from dashboards.console.history import History, HistoryUnavailable
from dashboards.console.latency import HopTimes
from dashboards.console.state import PatientView
from dashboards.console.trends import TRACKS, line, news2_runs, remembered, spans, stretch_ns
from dashboards.console.views import Json, full, limits, ms
from vitals.envelope import Envelope
from vitals.events import AlarmEvent
from vitals.hops import Stamp
from vitals.signs import HOUR_NS, MEASURE_OF, Sign

_STORE_S = 5.0
_LONGEST_NS = 48 * HOUR_NS


async def trends(view: PatientView, history: History, from_ns: int, to_ns: int) -> Json:
    """All charts of a patient."""
    signs = [sign for _, signs in TRACKS for sign in signs]
    width_ns = stretch_ns(from_ns, to_ns)
    try:
        async with asyncio.timeout(_STORE_S):
            found = await history.envelopes(view.patient, [s.column for s in signs], from_ns, to_ns, width_ns)
        drawn, note = {sign: found[sign.column] for sign in signs}, ""
    except (HistoryUnavailable, TimeoutError) as error:
        drawn = {sign: _own(view, sign, from_ns, width_ns) for sign in signs}
        note = f"The store does not answer ({error or 'too slow'}): only what this page has seen itself is shown."
    tracks = []
    for name, members in TRACKS:
        lines = [
            line(sign, drawn[sign], view.valid_ns(sign, to_ns), width_ns)
            for sign in members
            if len(drawn[sign].time_ns)
        ]
        tracks.append({"track": name, "lines": lines})
    return {
        "from": ms(from_ns),
        "to": ms(to_ns),
        "note": note,
        "tracks": tracks,
        "news2": news2_runs(view, from_ns),
        "limits": limits(view),
    }


async def alarms(
    view: PatientView, history: History, hop_times: HopTimes, now_ns: int, people: Callable[[str], Mapping[str, int]]
) -> Json:
    """All alarms of a patient: open ones first and worst first, then the newest closed.

    Each with its story; and when each stood, for the bars above the trends.

    Args:
        view: The patient.
        history: For what this console has not seen itself.
        hop_times: How long each hop of an event took.
        now_ns: Ward time.
        people: When an alarm, by its id, was queued for people, sent and answered.
    """
    events, note = await _events(view, history)
    folded = _folded(events)
    hops = {event.event_id: hop_times.of(event.event_id, _at_people(event, events, people)) for event in events}
    still = worst_first(alarm for alarm in folded if not alarm.closed)
    over = sorted((a for a in folded if a.closed), key=lambda a: -a.newest.at_ns)
    stood = spans(folded, now_ns - _LONGEST_NS)
    return {"note": note, "alarms": [full(alarm, hops) for alarm in (*still, *over)], "spans": stood}


async def _events(view: PatientView, history: History) -> tuple[list[AlarmEvent], str]:
    """The events of the store and our own, each once, in the order of each alarm."""
    own = [event for alarm in view.alarms.values() for event in alarm.events]
    note = ""
    past: Iterable[AlarmEvent] = ()
    try:
        async with asyncio.timeout(_STORE_S):
            past = await history.alarm_events(view.patient)
    except (HistoryUnavailable, TimeoutError) as error:
        note = f"The store does not answer ({error or 'too slow'}): older alarms and events are not shown."
    by_id = {event.event_id: event for event in (*past, *own)}
    return sorted(by_id.values(), key=_place), note


def _at_people(
    event: AlarmEvent, events: list[AlarmEvent], people: Callable[[str], Mapping[str, int]]
) -> dict[str, int]:
    """What the first event of an alarm came to at people; later events were told together with others."""
    if event.n != 1 or event.event == "command_refused":
        return {}
    told = {name: at_ns for name, at_ns in people(event.alarm_id).items() if at_ns >= event.at_ns}
    answered = told.get(Stamp.ANSWERED)
    taken = (e for e in events if e.alarm_id == event.alarm_id and e.event == "acknowledged")
    first = next((e.at_ns for e in taken), None)
    if answered is not None and first is not None and first >= answered:
        told[Stamp.ACKNOWLEDGED] = first
    return told


def _place(event: AlarmEvent) -> tuple[str, float, bool, int]:
    """Where an event stands in its alarm's story: a refused command right after what its person had not seen."""
    refused = event.event == "command_refused"
    newest = event.state.get("n")
    n = event.n if not refused else newest if isinstance(newest, int) else float("inf")
    return about(event), n, refused, event.at_ns


def _folded(events: list[AlarmEvent]) -> list[AlarmView]:
    alarms: dict[str, AlarmView] = {}
    for event in events:
        name = about(event)
        alarm = fold(alarms.get(name), event)
        if alarm is not None:
            alarms[name] = alarm
    return list(alarms.values())


def _own(view: PatientView, sign: Sign, from_ns: int, width_ns: int) -> Envelope:
    """What we saw of a measure, drawn for the sign that tells it now (frames say which one only for the newest)."""
    measure = MEASURE_OF[sign]
    newest = view.measures.get(measure)
    return remembered(view, measure, from_ns, width_ns) if newest and newest.sign is sign else Envelope.empty()
