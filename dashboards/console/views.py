"""The state as the page receives it: plain JSON. Times are milliseconds, for a browser's numbers end at 2^53.

A row says nothing that time alone would change (no ages): the page knows ward time and counts them itself. So a row
changes only when something was heard, and can be kept until then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from dashboards.console import words
from dashboards.console.alarms import AlarmView, Said
from dashboards.console.state import MeasureView, PatientView, group
from vitals.events import AlarmEvent, Evidence, ScoreEvidence, Why
from vitals.rule import Rule, Subject, with_limit
from vitals.rules import RULES
from vitals.scores import ADULT_YEARS, NEWS2_ROWS, NEWS2_SPO2
from vitals.signs import HOUR_NS, MEASURE_OF, SECOND_NS, SIGNS, Measure

Json: TypeAlias = dict[str, Any]
_SPARKED: Final = (Measure.RATE, Measure.SPO2, Measure.RESP, Measure.TEMP_C, Measure.SBP)


def ms(at_ns: int | None) -> int | None:
    """Nanoseconds as the page's milliseconds."""
    return None if at_ns is None else at_ns // 1_000_000


class Rows:
    """Rows of patients, each made once for every version of its patient.

    Args:
        directory: Pseudonym -> place, as staff call it.
        spark_h: Hours that the small lines span.
        spark_bins: Points in them.
    """

    def __init__(self, directory: Mapping[str, str], spark_h: float, spark_bins: int) -> None:
        self._directory = directory
        self._width_ns = int(spark_h * HOUR_NS / spark_bins)
        self._bins = spark_bins
        self._kept: dict[str, tuple[int, Json]] = {}

    def place(self, patient: str) -> str:
        """What staff call a patient's place; "" where the directory has none."""
        return self._directory.get(patient, "")

    def row(self, view: PatientView) -> Json:
        """A patient's row on the ward page. Treat it as frozen: it is kept and given again."""
        kept = self._kept.get(view.patient)
        if kept and kept[0] == view.version:
            return kept[1]
        row: Json = {
            "id": view.patient,
            "place": self._directory.get(view.patient, ""),
            "group": group(view).value,
            "watch": _watch(view),
            "alarms": [brief(alarm) for alarm in view.open_alarms],
            "measures": {words.SLUGS[m]: _measure(view.measures[m]) for m in Measure if m in view.measures},
            "news2": _news2(view),
            "detectors": {name: round(score, 3) for name, score in view.detectors.items()},
            "frame": ms(view.frame_end_ns) if view.frame_end_ns else None,
            "devices": sorted(device for device, bound in view.bindings.items() if bound.to_ns is None),
            "spark": self._spark(view),
        }
        self._kept[view.patient] = (view.version, row)
        return row

    def own(self, view: PatientView) -> list[Json]:
        """Open alarms about ourselves, worst first."""
        return [brief(alarm) for alarm in view.open_alarms]

    def _spark(self, view: PatientView) -> Json:
        """Small lines: ``first`` is the number of the first bin, so that a change sends the newest ones only."""
        if not view.frame_end_ns:
            return {"first": 0, "lines": {}}
        last = (view.frame_end_ns - 1) // self._width_ns
        first = last - self._bins + 1
        means = view.window.bins(self._width_ns, first, last)
        return {"first": first, "lines": {words.SLUGS[m]: _numbers(means[:, m], m) for m in _SPARKED}}


def difference(before: Json, after: Json) -> Json:
    """What a page that has `before` needs to have `after`: the keys that differ, of small lines the newest bins."""
    change = {key: value for key, value in after.items() if before.get(key) != value}
    old, new = before.get("spark"), change.get("spark")
    if old and new and old["lines"] and new["first"] >= old["first"]:
        # The page holds the bins up to old_last; of these only the last was still growing.
        length = len(next(iter(new["lines"].values())))
        skip = min(max(0, old["first"] + length - 1 - new["first"]), length)
        lines = {slug: line[skip:] for slug, line in new["lines"].items()}
        change["spark"] = {"first": new["first"] + skip, "lines": lines}
    return change


def normal_ranges() -> dict[str, tuple[float, float]]:
    """Where a measure gives NEWS2 no points (saturation: scale 1): the band behind the small lines and the trends."""
    found: dict[str, tuple[float, float]] = {}
    for row in (*NEWS2_ROWS, NEWS2_SPO2[1, False]):
        zero = row.points.index(0)
        if row.measure in _SPARKED and zero > 0:
            top = row.cuts[zero] if zero < len(row.cuts) else 100.0
            found[words.SLUGS[row.measure]] = (row.cuts[zero - 1], top)
    return found


def brief(alarm: AlarmView) -> Json:
    """An alarm on the ward page."""
    newest, why, rule = alarm.newest, alarm.why, words.rule_of(alarm.newest.rule)
    return {
        "id": newest.alarm_id,
        "n": alarm.seen,
        "rule": newest.rule,
        # A task asks for an observation and never calls anybody.
        "task": rule is not None and not rule.pages,
        "title": words.rule_title(newest.rule, newest.level),
        "means": words.rule_words(newest.rule),
        "cause": words.cause(why.cause),
        "kind": newest.kind.value,
        "priority": newest.priority.value,
        "condition": alarm.condition,
        "raised": ms(alarm.raised_ns),
        "due": ms(newest.due_ns),
        "unobserved": ms(alarm.unobserved_since_ns),
        "acknowledged": _said(alarm.acknowledged),
        "shelf": _said(alarm.shelf),
        "expecting": _said(alarm.expecting),
        "attended": alarm.attended,
        "delayed": why.delayed,
        "device": newest.device,
        "closed": alarm.closed,
    }


def full(alarm: AlarmView, hops: Mapping[str, list[Json]]) -> Json:
    """An alarm on its patient's page: with its story, what it rests on, and what may be done.

    Args:
        alarm: The alarm.
        hops: By event id, as `HopTimes.of` gives them.
    """
    rule = words.rule_of(alarm.newest.rule)
    return brief(alarm) | {
        "story": [step(event, hops.get(event.event_id, [])) for event in alarm.events],
        "why": step(alarm.why, hops.get(alarm.why.event_id, [])),
        "version": alarm.newest.rule_version,
        "may": _may(rule, alarm) if rule else None,
    }


def step(event: AlarmEvent, hops: list[Json]) -> Json:
    """One event of an alarm's story."""
    return {
        "id": event.event_id,
        "n": event.n,
        "at": ms(event.at_ns),
        "event": event.event,
        "words": words.happened(event),
        "cause": words.cause(event.cause),
        "priority": event.priority.value,
        "by": event.by,
        "note": event.state.get("note", ""),
        "delayed": event.delayed,
        "device": event.device,
        "evidence": [_evidence(piece, event.at_ns) for piece in event.evidence],
        "score": _score(event.score) if event.score else None,
        "hops": hops,
    }


def limits(view: PatientView) -> list[Json]:
    """The limit rules as they hold for this patient, for the lines in the trends."""
    found = []
    for rule in RULES.values():
        if rule.subject is not Subject.LIMIT or rule.measure is None:
            continue
        own = view.limits.get(rule.id)
        held = with_limit(rule, own.threshold) if own and own.threshold is not None else rule
        found.append(
            {
                "rule": rule.id,
                "measure": words.SLUGS[rule.measure],
                "direction": str(rule.direction),
                "bands": [{"threshold": band.threshold, "priority": band.priority.value} for band in held.bands],
                "own": {"by": own.by, "at": ms(own.at_ns), "reason": own.reason} if own else None,
            }
        )
    return found


def _may(rule: Rule, alarm: AlarmView) -> Json:
    """What a person may say about the alarm, as far as the table tells; the ward has the last word."""
    floor = rule.on_floor_list and alarm.newest.priority.value == "high"
    return {
        "shelve": rule.shelvable and not floor,
        "expect": not rule.momentary,
        "why_not": "An alarm of high priority on the ward's floor list cannot be shelved." if floor else "",
        "shelf_max_s": rule.shelf_max_ns // SECOND_NS,
        "expect_max_s": rule.expect_max_ns[alarm.newest.priority] // SECOND_NS,
        "measure": words.SLUGS[rule.measure] if rule.measure is not None else None,
        "label": rule.measure.label if rule.measure is not None else "",
        "unit": words.measure_unit(rule.measure) if rule.measure is not None else "",
        "direction": str(rule.direction),
        "latched": rule.latched,
        "source": rule.source,
    }


def _watch(view: PatientView) -> Json:
    said = view.enrolment
    if said is None:
        return {"state": "admitted"}
    told = {"state": said.state, "by": said.by, "reason": said.reason}
    return told | {"at": ms(said.at_ns), "until": ms(said.until_ns), "scale": said.spo2_scale}


def _measure(view: MeasureView) -> Json:
    known = not math.isnan(view.value)
    return {
        "text": words.value(view.sign, view.value) if known else "",
        "value": round(view.value, 2) if known else None,
        "at": ms(view.at_ns),
        "stands": view.stands,
        "sign": view.sign.column,
        "source": SIGNS[view.sign].label,
    }


def _news2(view: PatientView) -> Json | None:
    bounds = view.scores.get("news2")
    if bounds is None:
        age = view.enrolment.age if view.enrolment is not None else None
        young = age is not None and age < ADULT_YEARS
        return {"low": 0, "high": 0, "missing": [], "assessed": False, "young": True, "parts": {}} if young else None
    return {
        "low": int(bounds.low),
        "high": int(bounds.high),
        "missing": [words.SLUGS[measure] for measure in view.missing],
        # With nothing known at all the interval says nothing: the patient is not assessed.
        "assessed": len(view.missing) < len(view.parts),
        "parts": {words.SLUGS[m]: [int(part.low), int(part.high)] for m, part in view.parts.items()},
    }


def _said(said: Said | None) -> Json | None:
    if said is None:
        return None
    told = {"by": said.by, "at": ms(said.at_ns), "until": ms(said.until_ns), "reason": said.reason}
    return told | {"bound": said.bound, "direction": said.direction}


def _evidence(piece: Evidence, at_ns: int) -> Json:
    sign = next((s for s in SIGNS if s.column == piece.sign), None)
    return {
        "label": SIGNS[sign].label if sign is not None else piece.sign,
        "measure": words.SLUGS[MEASURE_OF[sign]] if sign is not None else None,
        "text": words.reading(piece.sign, piece.value),
        "limit": words.reading(piece.sign, piece.limit) if piece.limit is not None else "",
        "at": ms(piece.time_ns),
        # How old it was when it was judged: a value of an hour ago is another reason than one of now.
        "age": max(0, at_ns - piece.time_ns) // 1_000_000,
        "device": piece.device,
    }


def _score(score: ScoreEvidence) -> Json:
    parts = sorted(score.parts.items(), key=lambda part: -abs(part[1]))
    return {
        "name": words.score_name(score.name),
        "low": round(score.low, 3),
        "high": round(score.high, 3),
        "missing": words.measures_in_words(score.missing),
        "parts": [_part(name, points) for name, points in parts],
        "version": score.version,
        "why": _why(score.why) if score.why else None,
    }


def _part(name: str, points: float) -> Json:
    measure = words.measure_of(name)
    label = name if measure is None else measure.label
    return {
        "label": label,
        "measure": words.SLUGS[measure] if measure is not None else None,
        "points": round(points, 3),
    }


def _why(why: Why) -> Json:
    """The explanation of a learned score; its words are shown as they are."""
    return {
        "summary": words.cause(why.summary),
        "threshold": why.threshold,
        "contributions": [
            {
                "what": one.what,
                "log_odds": round(one.log_odds, 3),
                "direction": one.direction,
                "words": words.cause(one.words),
                "age": None if one.age_s is None else one.age_s * 1000,
            }
            for one in why.contributions
        ],
        "clears": [words.cause(one.words) for one in why.clears],
        "published": [{"name": words.score_name(b.name), "low": b.low, "high": b.high} for b in why.published],
        "trust": words.cause(why.trust),
    }


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]], measure: Measure) -> list[float | None]:
    """Numbers with a gap where nothing stood, no finer than a small line can show."""
    digits = 1 if measure is Measure.TEMP_C else 0
    return [None if math.isnan(number) else round(number, digits) for number in values.tolist()]
