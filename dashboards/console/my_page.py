"""The page of a patient or carer: the own values in plain words, and what to do. Never a judgement, never another's.

It tells what was measured and when, whether the equipment needs a hand, and that the team has been told where it has.
It names no rule, no score and no priority: those are for the team, and would only frighten or calm without reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dashboards.console import words
from dashboards.console.alarms import AlarmView
from dashboards.console.history import History
from dashboards.console.patient_page import trends
from dashboards.console.state import PatientView
from dashboards.console.views import Json, ms
from vitals.events import Kind, Priority
from vitals.signs import HOUR_NS, MINUTE_NS, Measure

_SHOWN: Final[tuple[tuple[Measure, str, str], ...]] = (
    (Measure.RATE, "Heart rate", "beats a minute"),
    (Measure.SPO2, "Oxygen in the blood", "%"),
    (Measure.RESP, "Breaths", "a minute"),
    (Measure.SBP, "Blood pressure", "mmHg"),
    (Measure.TEMP_C, "Temperature", "°C"),
)
_TRACKS: Final = ("rate", "spo2", "resp", "pressure", "temp")
# What a sensor is called by who wears it.
_SENSORS: Final[dict[str, str]] = {
    "rate": "heart sensor",
    "spo2": "finger sensor",
    "resp": "breathing sensor",
    "temp": "temperature sensor",
    "sbp": "blood pressure cuff",
    "dbp": "blood pressure cuff",
    "map": "blood pressure cuff",
}
_LATE_NS: Final = 5 * MINUTE_NS
_TREND_H: Final = 24


async def page(view: PatientView, history: History, now_ns: int, help_line: str) -> Json:
    """All that the page shows, of this patient alone.

    Args:
        view: The patient.
        history: For the trends.
        now_ns: Ward time.
        help_line: What to do who feels unwell; always there.
    """
    drawn = await trends(view, history, now_ns - _TREND_H * HOUR_NS, now_ns)
    late = not view.frame_end_ns or now_ns - view.frame_end_ns > _LATE_NS
    watching = view.watching == "admitted" and not late
    return {
        "now": ms(now_ns),
        "watching": watching,
        "state": view.watching,
        "help": help_line,
        "todo": tips(view.open_alarms),
        "team": _team(view.open_alarms),
        "values": [] if late else [v for row in _SHOWN if (v := _value(view, *row)) is not None],
        "tracks": [
            {"track": track["track"], "lines": [_line(line) for line in track["lines"]]}
            for track in drawn["tracks"]
            if track["track"] in _TRACKS and track["lines"]
        ],
        "from": drawn["from"],
        "to": drawn["to"],
        "note": "Older values cannot be shown just now." if drawn["note"] else "",
    }


def tips(alarms: Iterable[AlarmView]) -> list[Json]:
    """What somebody at the bedside can do, each once, the most useful first.

    Example: an alarm ``sensor-off-spo2`` gives "Your finger sensor is loose. Press it on."
    """
    found: dict[str, Json] = {}
    for alarm in alarms:
        told = _tip(alarm)
        if told is not None and alarm.condition == "active":
            found.setdefault(told["what"], told)
    return list(found.values())


def _tip(alarm: AlarmView) -> Json | None:
    rule = alarm.newest.rule
    if rule.startswith("sensor-off-"):
        name = _SENSORS.get(rule.removeprefix("sensor-off-"), "sensor")
        return {"what": f"Your {name} is loose.", "do": "Press it on, or put it back where it was.", "sign": "press"}
    if rule == "no-device":
        return {"what": "You wear no device that we hear from.", "do": "Please put it on.", "sign": "press"}
    if rule == "battery-low":
        return {"what": "Your device's battery is low.", "do": "Please charge it soon.", "sign": "charge"}
    if rule == "device-silent":
        do = "See that it is switched on, charged, and near your base station or telephone."
        return {"what": "We do not hear from your device.", "do": do, "sign": "near"}
    if rule.startswith("observe-"):
        measure = words.BY_SLUG.get(rule.removeprefix("observe-"))
        if measure in (Measure.TEMP_C, Measure.SBP):
            what = "temperature" if measure is Measure.TEMP_C else "blood pressure"
            return {
                "what": f"Your {what} has not been measured for a while.",
                "do": "Please measure it.",
                "sign": "measure",
            }
    return None


def _team(alarms: Iterable[AlarmView]) -> str:
    """Whether the team has been told of something, without what it is."""
    pressing = [
        alarm
        for alarm in alarms
        if alarm.newest.kind is Kind.PHYSIOLOGICAL and alarm.newest.priority is not Priority.LOW
    ]
    if not pressing:
        return ""
    if all(alarm.attended for alarm in pressing):
        return "Your care team has seen your newest values and is looking after you."
    return "Your care team has been told about your newest values."


def _value(view: PatientView, measure: Measure, name: str, unit: str) -> Json | None:
    held = view.measures.get(measure)
    if held is None or not held.stands:
        return None
    text = words.value(held.sign, held.value)
    below = view.measures.get(Measure.DBP)
    if measure is Measure.SBP and below is not None and below.stands:
        text = f"{text} over {words.value(below.sign, below.value)}"
    return {"name": name, "text": text, "unit": unit, "at": ms(held.at_ns), "measure": words.SLUGS[measure]}


def _line(line: Json) -> Json:
    return {"label": line["label"], "unit": line["unit"], "segments": line["segments"], "valid": line["valid"]}
