"""All alarms of the ward: what is open, and what was closed lately."""

from __future__ import annotations

from dashboards.console.alarms import AlarmView, worst_first
from dashboards.console.state import ConsoleState, PatientView
from dashboards.console.views import Json, Rows, full

_RECENT = 100


def alarms(state: ConsoleState, rows: Rows) -> Json:
    """Open ones worst first, tasks among them; closed ones newest first, as far as this console remembers.

    Each with its patient, its story, and what may be said to it.
    """
    held = [(view, alarm) for view in (*state.patients.values(), state.own) for alarm in view.alarms.values()]
    place = {id(alarm): i for i, alarm in enumerate(worst_first(alarm for _, alarm in held if not alarm.closed))}
    still = sorted((pair for pair in held if not pair[1].closed), key=lambda pair: place[id(pair[1])])
    over = sorted((pair for pair in held if pair[1].closed), key=lambda pair: -pair[1].newest.at_ns)[:_RECENT]
    return {"alarms": [_of(view, alarm, rows) for view, alarm in (*still, *over)]}


def _of(view: PatientView, alarm: AlarmView, rows: Rows) -> Json:
    return full(alarm, {}) | {"patient": view.patient, "place": rows.place(view.patient)}
