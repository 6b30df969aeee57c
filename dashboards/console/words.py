"""What stands on the page in words: rules, events, measures and units, as a nurse reads them."""

from __future__ import annotations

from typing import Final

from vitals import own_rules
from vitals.events import AlarmEvent
from vitals.rules import MEASURE_SLUGS, RULES, Rule, Subject
from vitals.signs import BY_COLUMN, MEASURE_OF, SIGNS, SOURCES, Consciousness, Measure, Sign

SHORT: Final[dict[Measure, str]] = {
    Measure.RATE: "HR",
    Measure.SPO2: "SpO₂",
    Measure.RESP: "RR",
    Measure.TEMP_C: "Temp",
    Measure.SBP: "Systolic",
    Measure.DBP: "Diastolic",
    Measure.MAP: "Mean",
    Measure.CONSCIOUSNESS: "ACVPU",
    Measure.OXYGEN: "O₂",
}
UNIT_WORDS: Final[dict[str, str]] = {"Cel": "°C", "mm[Hg]": "mmHg", "{ACVPU}": "", "{bool}": ""}
SLUGS: Final = MEASURE_SLUGS
BY_SLUG: Final[dict[str, Measure]] = {slug: measure for measure, slug in MEASURE_SLUGS.items()}

_TITLES: Final[dict[str, str]] = {
    "news2-single": "One sign at NEWS2 3",
    "sepsis-risk": "Sepsis risk",
    "anomaly": "Unlike own pattern",
    "device-silent": "Device silent",
    "battery-low": "Battery low",
    "device-clock": "Device clock wrong",
    "model-late": "Risk score late",
    "no-device": "No device",
    own_rules.GATEWAY: "Many devices silent",
    own_rules.CHANNEL: "A person cannot be reached",
    own_rules.UNPROVEN: "Test page not answered",
    own_rules.GAP: "Nobody on call",
    own_rules.NO_CHANNEL: "On call without a channel",
    own_rules.CALENDAR: "Rota cannot be read",
    own_rules.HAND_OVER: "Pager not taken over",
    own_rules.AUDIT: "Alarm without a next step",
    own_rules.BLIND: "Pager is blind",
    own_rules.PIPELINE: "Ward time stands still",
    own_rules.AWAY: "Pager was away",
    own_rules.CHAIN: "Audit is not kept",
    own_rules.CUT_OFF: "Pager cut off",
    own_rules.TWICE: "Two pagers",
    own_rules.TEST: "Test alarm failed",
}
_SCORE_WORDS: Final[dict[str, str]] = {"news2": "NEWS2", "mews": "MEWS", "qsofa": "qSOFA", "sirs": "SIRS"}

_HAPPENED: Final[dict[str, str]] = {
    "raised": "Raised",
    "returned": "Back to normal",
    "recurred": "Came back",
    "worsened": "Got worse",
    "unobserved": "Can no longer be observed",
    "observed": "Observed again",
    "acknowledged": "Acknowledged",
    "acknowledgement_expired": "Acknowledgement ran out",
    "shelved": "Shelved",
    "unshelved": "Shelf ended",
    "expecting": "Improvement expected",
    "closed": "Closed",
    "command_refused": "Command refused",
}


def rule_of(rule_id: str) -> Rule | None:
    """A rule of the ward, or of the alarms about ourselves; None where this version knows none of that name."""
    return RULES.get(rule_id) or own_rules.RULES.get(rule_id)


def unit(sign: Sign) -> str:
    """A sign's unit for people: ``°C``; "" where it has none."""
    written = SIGNS[sign].unit
    return UNIT_WORDS.get(written, written)


def measure_unit(measure: Measure) -> str:
    """A measure's unit for people."""
    return unit(SOURCES[measure][0])


def value(sign: Sign, number: float) -> str:
    """A value as it is printed: ``37.2``, ``84``, ``V``, ``oxygen``."""
    if sign is Sign.CONSCIOUSNESS:
        return Consciousness(round(number)).name
    if sign is Sign.OXYGEN:
        return "oxygen" if number >= 0.5 else "air"
    return f"{number:.1f}" if SIGNS[sign].resolution < 1 else f"{number:.0f}"


def reading(column: str, number: float | None) -> str:
    """A reading with its unit: ``84 %``; unknown signs are shown as they came."""
    if number is None:
        return "no value"
    sign = BY_COLUMN.get(column)
    if sign is None:
        return f"{number:g}"
    words = unit(sign)
    return f"{value(sign, number)} {words}".rstrip()


def score_name(name: str) -> str:
    """A score in words: ``NEWS2``, ``sepsis``."""
    return _SCORE_WORDS.get(name, name)


def measures_in_words(names: tuple[str, ...]) -> list[str]:
    """Measures as an event names them (slug, column or label) in words; unknown ones as they came."""
    return [name if (measure := measure_of(name)) is None else measure.label for name in names]


def measure_of(name: str) -> Measure | None:
    """A measure by any name that an event may give it: slug, column, name or label; None where it is none of ours."""
    lower = name.lower()
    if lower in BY_SLUG:
        return BY_SLUG[lower]
    if lower in BY_COLUMN:
        return MEASURE_OF[BY_COLUMN[lower]]
    return next((measure for measure in Measure if lower in {measure.name.lower(), measure.label.lower()}), None)


def rule_title(rule_id: str, level: int = 1) -> str:
    """A rule in a few words: ``SpO₂ low``, ``NEWS2 7 or more``."""
    if rule_id in _TITLES:
        return _TITLES[rule_id]
    rule = rule_of(rule_id)
    if rule is None:
        return rule_id.replace("-", " ")
    if rule_id.startswith("missed-"):
        return f"Sent late: {rule_title(rule_id.removeprefix('missed-'))}"
    if rule.subject is Subject.SCORE:
        return f"{score_name(rule.score)} {_threshold(rule, level):g} or more"
    if rule.measure is None:
        return rule_id.replace("-", " ")
    short = SHORT[rule.measure]
    if rule_id.startswith("sensor-off-"):
        return f"{short} sensor off"
    if rule_id.startswith("observe-"):
        return f"Observe {rule.measure.label}"
    return f"{short} {'high' if rule.direction == 'above' else 'low'}"


def _threshold(rule: Rule, level: int) -> float:
    return rule.bands[min(max(level, 1), len(rule.bands)) - 1].threshold


def happened(event: AlarmEvent) -> str:
    """What an event is, in words: ``Acknowledged by imre``."""
    words = _HAPPENED.get(event.event, event.event)
    return f"{words} by {event.by}" if event.by else words


def cause(text: str) -> str:
    """A cause as the ward tells it, its UCUM units as people write them: ``39.2 °C``."""
    for written, shown in UNIT_WORDS.items():
        if shown:
            text = text.replace(f" {written}", f" {shown}")
    return text


def rule_words(rule_id: str) -> str:
    """What a rule means, as its table says; "" for a rule this version does not know."""
    rule = rule_of(rule_id)
    return rule.words if rule else ""
