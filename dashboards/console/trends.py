"""Readings as lines for a chart: thinned to what a screen can show, and cut where no value stood.

A line joins two readings only while the first was still valid when the second came. Where it was not, there is a gap,
and the gap is shown: silence must never look like a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from dashboards.console import words
from dashboards.console.alarms import AlarmView
from dashboards.console.state import PatientView
from dashboards.console.views import Json, ms
from vitals.envelope import Envelope, envelope
from vitals.signs import MINUTE_NS, SIGNS, Measure, Sign

TRACKS: Final[tuple[tuple[str, tuple[Sign, ...]], ...]] = (
    ("rate", (Sign.HR, Sign.PULSE)),
    ("spo2", (Sign.SPO2,)),
    ("resp", (Sign.RESP,)),
    ("pressure", (Sign.SBP, Sign.DBP, Sign.NIBP_SBP, Sign.NIBP_DBP)),
    ("temp", (Sign.TEMP_C,)),
    ("consciousness", (Sign.CONSCIOUSNESS,)),
    ("oxygen", (Sign.OXYGEN,)),
)
"""Charts of a patient's page, and the signs drawn in each."""

_POINTS: Final = 400
_FRAMES_MISSING_NS: Final = 5 * MINUTE_NS


def segments(
    points: Sequence[tuple[int, float, float, float]], valid_ns: int
) -> list[list[tuple[int, float, float, float]]]:
    """Points cut where a value did not stand until the next one.

    Example: valid for two minutes; readings at 0, 1, 2 and 9 minutes are two segments: three points, then one.
    """
    cut: list[list[tuple[int, float, float, float]]] = []
    for point in points:
        if cut and point[0] - cut[-1][-1][0] <= valid_ns:
            cut[-1].append(point)
        else:
            cut.append([point])
    return cut


def stretch_ns(from_ns: int, to_ns: int) -> int:
    """How long the stretch of one point is: as many points as a screen can show.

    Example: for 48 h a point stands for 432 s; with its least and greatest value no fall or peak is lost.
    """
    return max(1, (to_ns - from_ns) // _POINTS)


def line(sign: Sign, drawn: Envelope, valid_ns: int, width_ns: int) -> Json:
    """One sign's line."""
    # A point stands for its whole stretch, so two neighbours may lie a stretch further apart than readings.
    points = zip(drawn.time_ns.tolist(), drawn.mean.tolist(), drawn.low.tolist(), drawn.high.tolist(), strict=True)
    cut = segments(list(points), valid_ns + width_ns)
    return {
        "sign": sign.column,
        "label": SIGNS[sign].label,
        "unit": words.unit(sign),
        "valid": ms(valid_ns + width_ns),
        "segments": [[_point(point) for point in piece] for piece in cut],
    }


def remembered(view: PatientView, measure: Measure, from_ns: int, width_ns: int) -> Envelope:
    """What the console itself has seen of a measure: a value a minute, where one was measured."""
    window = view.window
    known = window.measured[:, measure] & ~np.isnan(window.value[:, measure]) & (window.end_ns > from_ns)
    return envelope(window.end_ns[known], window.value[known, measure], from_ns, width_ns)


def news2_runs(view: PatientView, from_ns: int) -> list[Any]:
    """NEWS2's bounds over time, as runs of equal frames: ``[start, end, low, high]``. Missing frames part two runs."""
    window = view.window
    inside = (window.end_ns > from_ns) & ~np.isnan(window.news2).any(axis=1)
    ends, bounds = window.end_ns[inside], window.news2[inside]
    if not len(ends):
        return []
    parted = (np.diff(bounds, axis=0) != 0).any(axis=1) | (np.diff(ends) > _FRAMES_MISSING_NS)
    firsts = np.flatnonzero(np.append(True, parted))
    lasts = np.append(firsts[1:] - 1, len(ends) - 1)
    rows = zip(ends[firsts].tolist(), ends[lasts].tolist(), bounds[firsts].tolist(), strict=True)
    return [[ms(first - MINUTE_NS), ms(last), int(low), int(high)] for first, last, (low, high) in rows]


def spans(alarms: Sequence[AlarmView], from_ns: int) -> list[Json]:
    """When each alarm stood: from where its condition was raised to where it returned, as its events tell."""
    found: list[Json] = []
    for alarm in alarms:
        since: int | None = None
        for event in alarm.events:
            name: str = event.event
            if name in {"raised", "recurred", "worsened"} and since is None:
                since = event.at_ns
            elif name in {"returned", "closed"} and since is not None:
                _span(found, alarm, since, event.at_ns, from_ns)
                since = None
        if since is not None:
            _span(found, alarm, since, None, from_ns)
    return found


def _span(found: list[Json], alarm: AlarmView, start_ns: int, end_ns: int | None, from_ns: int) -> None:
    if end_ns is not None and end_ns < from_ns:
        return
    newest = alarm.newest
    found.append(
        {
            "id": newest.alarm_id,
            "title": words.rule_title(newest.rule, newest.level),
            "priority": newest.priority.value,
            "kind": newest.kind.value,
            "from": ms(start_ns),
            # An alarm that stands goes on: the page draws it up to its own now.
            "to": ms(end_ns),
        }
    )


def _point(point: tuple[int, float, float, float]) -> list[float | int | None]:
    time_ns, mean, low, high = point
    return [ms(time_ns), round(mean, 2), round(low, 2), round(high, 2)]
