"""``teleward audit``: one alarm's whole story, and whether the chain holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.markup import escape

from stream_processors.paging.keeper import lines_of
from vitals import audit
from vitals.audit import Checked, Line
from vitals.signs import SECOND_NS

_SHORT = {"page-queued": "decided to tell", "page-sent": "sent to", "page-opened": "opened by"}


class AuditError(ValueError):
    """What was asked of the audit cannot be told; the message says why and what to do."""


def verify_audit(file: Path, head: str = "") -> dict[str, Any]:
    """Whether the chain of a file holds; ``broken`` names the first line that does not fit, None where all do.

    Args:
        file: The chain.
        head: A head noted elsewhere (the heartbeat's address is told it): the chain must come by it.

    Raises:
        AuditError: If there is no such file.
    """
    checked = audit.check(_lines(file), head)
    broken = None if checked.broken is None else {"line": checked.broken.line, "why": checked.broken.why}
    return {"file": str(file), "lines": checked.lines, "head": checked.head, "broken": broken}


def tell_story(file: Path, alarm: str) -> dict[str, Any]:
    """All that the chain holds about an alarm, in the order of its time; and whether the chain holds.

    Args:
        file: The chain.
        alarm: The alarm's id, or the beginning of it where only one alarm begins so.

    Raises:
        AuditError: If there is no such file, or no such alarm in it.
    """
    name = _whole_name(file, alarm)
    at: list[Checked] = []

    def good() -> Iterator[Line]:
        for line, checked in audit.follow(_lines(file)):
            at.append(checked)
            del at[:-1]
            if checked.broken is None:
                yield line

    told = sorted(audit.story(good(), name), key=lambda fact: fact["at_ns"])
    broken = at[0].broken if at else None
    return {
        "alarm": name,
        "story": told,
        "broken": None if broken is None else {"line": broken.line, "why": broken.why},
    }


def _whole_name(file: Path, wanted: str) -> str:
    names: dict[str, None] = {}
    behind = ""
    for line, checked in audit.follow(_lines(file)):
        if checked.broken is not None:
            behind = f"; the chain is broken at line {checked.broken.line}, and what stands behind that is not read"
        if checked.broken is None and line.what == "event" and wanted.encode() in bytes(line.body):
            body = audit.body_of(line)
            if str(body.get("alarm_id", "")).startswith(wanted) and body.get("event") != "command_refused":
                names[body["alarm_id"]] = None
    if wanted in names:
        return wanted
    if len(names) != 1:
        some = ", ".join(list(names)[:5])
        found = f"{len(names)} alarms begin so: {some}" if names else "there is no alarm of this name"
        raise AuditError(
            f"{wanted!r}: {found}{behind}; name one as the console or the alarm topic does: PATIENT:RULE:RAISED"
        )
    return next(iter(names))


def _lines(file: Path) -> Iterator[bytes]:
    if not file.is_file():
        raise AuditError(f"there is no audit at {file}; name the file that the pager writes (audit.jsonl) with --file")
    return lines_of(file)


def show_verified(result: dict[str, Any]) -> None:
    """Print what came of checking."""
    print(f"{result['lines']} lines hold; head {result['head']}")


def show_story(result: dict[str, Any]) -> None:
    """Print a story, a line for each fact."""
    out = Terminal(highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(result['alarm'])}[/bold]")
    for fact in result["story"]:
        when = datetime.fromtimestamp(fact["at_ns"] // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")
        write = _event if fact["fact"] == "event" else _entry
        out.print(f"{when}  {escape(write(fact))}")
        for more in _evidence(fact):
            out.print(f"                     {escape(more)}")


def _event(fact: dict[str, Any]) -> str:
    by = f" by {fact['by']}" if fact.get("by") else ""
    return f"{fact['event']}{by} [{fact['priority']}, {fact['rule']}, {fact['rule_version']}]: {fact['cause']}"


def _entry(fact: dict[str, Any]) -> str:
    what = _SHORT.get(fact["what"], fact["what"])
    text = f": {fact['text']}" if fact.get("text") else ""
    message = f" (message {fact['message']})" if fact.get("message") else ""
    return f"{what} {fact.get('person', '')}".rstrip() + text + message


def _evidence(fact: dict[str, Any]) -> Iterator[str]:
    for piece in fact.get("evidence") or ():
        limit = f", limit {piece['limit']:g}" if piece.get("limit") is not None else ""
        device = f", {piece['device']}" if piece.get("device") else ""
        yield f"{piece['sign']} {piece.get('value')}{limit}{device}"
    score = fact.get("score")
    if score:
        missing = f", missing {', '.join(score['missing'])}" if score.get("missing") else ""
        yield f"{score['name']} {score.get('version', '')} {score['low']:g} to {score['high']:g}{missing}"
