"""The words of a page: who, what, how bad, since when, the values, why, what is missing, how to answer.

A patient is called by the bed or the pseudonym, on every channel. What leaves the building is besides searched for the
names that the site's directory knows, because free text of people may hold one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from stream_processors.paging import own
from stream_processors.paging.intake import rule_of
from stream_processors.paging.rota import Rota, local
from stream_processors.paging.state import Send
from vitals.alarm_fold import OpenAlarm
from vitals.events import Evidence, Priority
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, SIGNS
from vitals.topics import clinical

_URGENCY: Final = {
    Priority.HIGH: "HIGH: look now",
    Priority.MEDIUM: "MEDIUM: look soon",
    Priority.LOW: "low",
}
_BY_COLUMN: Final = {sign.column: row for sign, row in SIGNS.items()}
_ANSWERS: Final = {
    "acknowledge": "I have seen it",
    "on-my-way": "I am on my way",
    "hand-on": "Hand it to the next",
    "snooze": "Snooze",
    "confirm": "Confirm",
}
_MOST_ALARMS: Final = 8  # a text message that goes on is not read; how many more there are is said
_MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class Words:
    """What is sent."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What the words need besides the message.

    Attributes:
        rota: For beds and the zone.
        console_url: Where the console is, with a slash at its end; "" where there is none.
        links: action -> address, of this message.
        answers: Whether it says how to answer; a page that is itself where one answers does not.
    """

    rota: Rota
    console_url: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    answers: bool = True


def words(send: Send, setting: Setting) -> Words:
    """The title and the text of a message."""
    lines: list[str] = [send.note] if send.note else []
    subjects = list(dict.fromkeys(alarm.patient for alarm in send.alarms))
    for alarm in send.alarms[:_MOST_ALARMS]:
        lines += ([""] if lines else []) + alarm_lines(alarm, send.at_ns, setting.rota, name=len(subjects) > 1)
    if len(send.alarms) > _MOST_ALARMS:
        lines.append(f"... and {len(send.alarms) - _MOST_ALARMS} more alarms: see the console.")
    lines.append("")
    if send.because:
        lines.append(f"You are told because: {send.because}.")
    lines += [f"{_ANSWERS[action]}: {address}" for action, address in setting.links.items()]
    if setting.console_url:
        where = f"patient/{subjects[0]}" if len(subjects) == 1 and clinical(subjects[0]) else ""
        lines.append(f"Console: {setting.console_url}{where}")
    if send.alarms and not setting.links and setting.answers:
        lines.append("To answer: acknowledge it on the console.")
    lines.append(f"Message {send.message_id}")
    return Words(_title(send, subjects, setting.rota), "\n".join(lines).strip())


def _title(send: Send, subjects: list[str], rota: Rota) -> str:
    match send.kind:
        case "page" if send.alarms:
            more = f" and {len(send.alarms) - 1} more" if len(send.alarms) > 1 else ""
            whom = ", ".join(called(subject, rota) for subject in subjects[:3])
            return f"{_URGENCY[send.priority]} - {whom} - {_short(send.alarms[0])}{more}"
        case "page":
            return f"{_URGENCY[send.priority]} - {send.note}"
        case "digest":
            return f"Digest: {len(send.alarms)} alarms of {len(subjects)} patients"
        case "limit":
            return "Limit of pages reached: digests from now on"
        case "refused":
            return "Your answer does not hold"
        case "test":
            return "Test page: please confirm that it reached you"
        case "quiet":
            return "All quiet, and watched"
        case "hand-over":
            return "Hand-over: please take the pager"


def called(patient: str, rota: Rota) -> str:
    """How a page calls a patient: by bed and pseudonym, never by name."""
    if patient == own.OWN:
        return "equipment"
    place = rota.places.get(patient)
    return f"bed {place.bed} ({patient})" if place is not None and place.bed else patient


def _short(alarm: OpenAlarm) -> str:
    rule = rule_of(alarm.rule)
    return (rule.words if rule else alarm.rule).rstrip(".").partition(":")[0]


def alarm_lines(alarm: OpenAlarm, now_ns: int, rota: Rota, *, name: bool = False) -> list[str]:
    """One alarm: what, how bad, since when, on what it rests, and what is missing."""
    whom = f"{called(alarm.patient, rota)}: " if name else ""
    lines = [f"{whom}[{alarm.priority}] {alarm.why}"]
    rule = rule_of(alarm.rule)
    if rule is not None and rule.words != alarm.why:
        lines.append(f"  {rule.words}")
    since = local(rota.zone, alarm.raised_ns).strftime("%H:%M")
    lines.append(f"  since {since} ({lasted(now_ns - alarm.raised_ns)})")
    if alarm.state.get("condition") == "returned":
        lines[-1] += ", returned meanwhile, and nobody has looked"
    lines += [f"  {_value(piece, now_ns)}" for piece in alarm.evidence]
    if alarm.score is not None:
        lines += _score(alarm)
    unobserved = alarm.state.get("unobserved_since_ns")
    if isinstance(unobserved, int):
        lines.append(f"  no readings since {local(rota.zone, unobserved).strftime('%H:%M')}: it may be worse by now")
    if alarm.delayed:
        lines.append("  the readings reached us late")
    return lines


def _value(piece: Evidence, now_ns: int) -> str:
    info = _BY_COLUMN.get(piece.sign)
    name = info.label if info else piece.sign
    unit = f" {info.unit}" if info else ""
    value = "no value" if piece.value is None else f"{piece.value:g}{unit}"
    limit = "" if piece.limit is None else f", limit {piece.limit:g}{unit}"
    return f"{name} {value}, {lasted(now_ns - piece.time_ns)} ago{limit}"


def _score(alarm: OpenAlarm) -> list[str]:
    score = alarm.score
    if score is None:
        return []
    bounds = f"{score.low:g}" if score.low == score.high else f"{score.low:g} to {score.high:g}"
    parts = sorted(score.parts.items(), key=lambda part: -part[1])
    because = ", ".join(f"{name} {value:g}" for name, value in parts if value)
    lines = [f"  {score.name} {bounds}" + (f": {because}" if because else "")]
    if score.missing:
        lines.append(f"  missing: {', '.join(score.missing)}")
    if (why := score.why) is not None:
        told = [one.words for one in why.contributions if one.direction != "neither"][:_MOST_REASONS]
        told += [one.words for one in why.clears[:1]]
        lines += [f"  {why.summary}", *(f"    {one}" for one in told)]
        lines += [f"  {why.trust}"] if why.trust else []
    return lines


def lasted(length_ns: int) -> str:
    """A length of time: ``41 s``, ``12 min``, ``3 h 5 min``."""
    if length_ns < 2 * MINUTE_NS:
        return f"{max(length_ns, 0) // SECOND_NS} s"
    if length_ns < 2 * HOUR_NS:
        return f"{length_ns // MINUTE_NS} min"
    hours, rest = divmod(length_ns, HOUR_NS)
    return f"{hours} h {rest // MINUTE_NS} min"


def without_names(text: Words, names: Collection[str]) -> tuple[Words, int]:
    """The words without names of patients, and how many there were. For whatever leaves the building."""
    known = sorted((name for name in names if name.strip()), key=len, reverse=True)
    if not known:
        return text, 0
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(re.escape(name) for name in known) + r")(?!\w)", re.IGNORECASE)
    title, in_title = pattern.subn("[name]", text.title)
    body, in_body = pattern.subn("[name]", text.body)
    return Words(title, body), in_title + in_body
