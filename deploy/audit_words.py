"""An alarm's story out of the audit, in words for people: who knew what, when, and what they did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console as Terminal
from rich.markup import escape

from stream_processors.paging.text import lasted
from vitals import own_rules, rules
from vitals.burden import ANSWERS, OUTCOMES
from vitals.rule import Rule
from vitals.signs import SECOND_NS, SIGNS, Sign

_UNITS: Final = {sign.column: SIGNS[sign].unit for sign in Sign}
_EVENT_ID: Final = re.compile(r"[^:]+:[^:]+:\d+:\d+")
_RECEIPTS: Final = {
    "page-held-back": "held back for the digest",
    "page-sent": "sent",
    "page-delivered": "delivered",
    "page-opened": "opened",
    "page-answered": "answered",
    "page-acted": "acted on",
    "page-failed": "failed",
    "page-withdrawn": "withdrawn",
    "page-in-doubt": "in doubt, sent again",
}


def show_verified(result: dict[str, Any]) -> None:
    """Print what came of checking."""
    print(f"{result['lines']} lines hold; head {result['head']}")


def show_story(result: dict[str, Any]) -> None:
    """Print a story: what it was, what held then, a line for each fact, what it came to."""
    out = Terminal(highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(result['alarm'])}[/bold]")
    story = result["story"]
    events = [fact for fact in story if fact["fact"] == "event"]
    for line in (*_what(events), *_held(result["circumstances"]), ""):
        out.print(escape(line))
    began_ns = events[0]["at_ns"] if events else story[0]["at_ns"]
    messages: dict[str, int] = {}
    for fact in story:
        if _of_another(fact, result["alarm"]):
            continue
        when = _when(fact["at_ns"])
        after = f"+{lasted(fact['at_ns'] - began_ns)}" if fact["at_ns"] >= began_ns else ""
        words = _event(fact) if fact["fact"] == "event" else _entry(fact, messages)
        out.print(f"{when}  {after:>9}  {escape(words)}")
        for more in _evidence(fact):
            out.print(f"{'':32}{escape(more)}")
    out.print(escape(f"\nthe chain holds this far: {result['lines']} lines, head {result['head']}"))


def _of_another(fact: dict[str, Any], alarm: str) -> bool:
    """Whether it is what the ward said of another alarm of the same message: that one's story has it."""
    told, _, _ = str(fact.get("text", "")).partition(" ")
    return fact["fact"] == "entry" and bool(_EVENT_ID.fullmatch(told)) and not told.startswith(f"{alarm}:")


def _what(events: list[dict[str, Any]]) -> Iterator[str]:
    """What it is about, and what it came to."""
    if not events:
        return
    first, last = events[0], events[-1]
    rule = rules.RULES.get(first["rule"]) or own_rules.RULES.get(first["rule"])
    known = rule is not None and first["rule_version"] in (rules.RULES_VERSION, own_rules.VERSION)
    yield f"{rule.words if rule else first['rule']} ({first['kind']}; rule {first['rule']} of {first['rule_version']})"
    if rule is not None and known:
        yield from _bands(rule)
    else:
        yield f"limits: not known here, this program has {rules.RULES_VERSION}"
    answered = next((e for e in events if e.get("by") and (e["event"] in ANSWERS or _outcome(e) in OUTCOMES)), None)
    took = f"first answered by {answered['by']} after {lasted(answered['at_ns'] - first['at_ns'])}" if answered else ""
    over = "still open in this audit"
    if last["event"] == "closed":
        over = f"closed after {lasted(last['at_ns'] - first['at_ns'])} ({_outcome(last) or 'returned'})"
    yield f"{took or 'answered by nobody'}; {over}"


def _bands(rule: Rule) -> Iterator[str]:
    if rule.unit:
        side = "at or above" if rule.direction == "above" else "at or below"
        bands = ", ".join(f"{band.threshold:g} {band.priority.value}" for band in rule.bands)
        held = f", held for {lasted(rule.delay_ns)}" if rule.delay_ns else ""
        yield f"limits: {side} {bands} ({rule.unit}){held}; {rule.source}"


def _outcome(event: dict[str, Any]) -> str:
    return str(event.get("state", {}).get("outcome", ""))


def _held(circumstances: dict[str, Any] | None) -> Iterator[str]:
    """What the registry said of the patient then."""
    if circumstances is None:
        return
    if limit := circumstances["limit"]:
        yield (f"own limit: {limit['threshold']:g}, set by {limit['by']} {_when(limit['at_ns'])} ({limit['reason']})")
    if enrolment := circumstances["enrolment"]:
        scale = "; SpO2 scale 2" if enrolment.get("spo2_scale") == 2 else ""
        said = f" ({enrolment['reason']})" if enrolment.get("reason") else ""
        yield f"{enrolment['state']} by {enrolment.get('by') or '-'} {_when(enrolment['at_ns'])}{said}{scale}"
    if devices := circumstances["devices"]:
        yield f"wore {', '.join(sorted(body['device'] for body in devices))}"


def _when(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _event(fact: dict[str, Any]) -> str:
    by = f" by {fact['by']}" if fact.get("by") else ""
    due = f" (next step due after {lasted(fact['due_ns'] - fact['at_ns'])})" if fact.get("due_ns") else ""
    return f"{fact['event'].replace('_', ' ').upper()}{by} [{fact['priority']}]: {fact['cause']}{due}"


def _entry(fact: dict[str, Any], messages: dict[str, int]) -> str:
    """An entry; messages are numbered as they come, so that their receipts can be told apart."""
    what, person, text = fact["what"], fact.get("person", ""), fact.get("text", "")
    message = fact.get("message", "")
    if message:
        number = messages.setdefault(message, len(messages) + 1)
        if what == "page-queued":
            return f"message {number} to {person}: {text}"
        event_id, _, rest = text.partition(" ")
        if _EVENT_ID.fullmatch(event_id):
            text = f"the ward says {rest}"
        if what in _RECEIPTS:
            return f"message {number} {_RECEIPTS[what]}, {person}{f': {text}' if text else ''}"
    return f"{what}{f' {person}' if person else ''}{f': {text}' if text else ''}"


def _evidence(fact: dict[str, Any]) -> Iterator[str]:
    for piece in fact.get("evidence") or ():
        unit = _UNITS.get(piece["sign"], "")
        value = "nothing" if piece.get("value") is None else f"{piece['value']:g} {unit}".rstrip()
        age_ns = fact["at_ns"] - piece["time_ns"]
        age = f", {lasted(age_ns)} before" if age_ns > 0 else ""
        limit = f", limit {piece['limit']:g}" if piece.get("limit") is not None else ""
        device = f", {piece['device']}" if piece.get("device") else ""
        yield f"{piece['sign']} {value}{limit}{age}{device}"
    score = fact.get("score")
    if not score:
        return
    bounds = f"{score['low']:g}" if score["low"] == score["high"] else f"{score['low']:g} to {score['high']:g}"
    missing = f", missing {', '.join(score['missing'])}" if score.get("missing") else ""
    yield f"{score['name']} {score.get('version', '')} {bounds}{missing}"
    why = score.get("why")
    if why:
        yield why["summary"]
        yield from (f"  {one['words']}" for one in why.get("contributions", ()))
        yield from (f"  {one['words']}" for one in why.get("clears", ()))
