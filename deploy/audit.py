"""``teleward audit``: one alarm's whole story, and whether the chain holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stream_processors.paging.keeper import lines_of
from vitals import audit
from vitals.audit import Checked, Line


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

    Returns:
        ``story``: events, messages, receipts, answers, each with its line of the chain; ``circumstances``: what held
        when it was raised (`vitals.audit.circumstances`); ``lines``, ``head`` and ``broken`` of the chain.

    Raises:
        AuditError: If there is no such file, or no such alarm in it.
    """
    name = _whole_name(file, alarm)
    registry: list[dict[str, Any]] = []
    at: list[Checked] = []

    def good() -> Iterator[Line]:
        for line, checked in audit.follow(_lines(file)):
            at.append(checked)
            del at[:-1]
            if checked.broken is None:
                if line.what == "registry":
                    registry.append(audit.body_of(line))
                yield line

    told = sorted(audit.story(good(), name), key=lambda fact: fact["at_ns"])
    began = next((fact for fact in told if fact["fact"] == "event"), None)
    held = None if began is None else audit.circumstances(registry, began["patient"], began["rule"], began["at_ns"])
    return {
        "alarm": name,
        "story": told,
        "circumstances": held,
        "lines": at[0].lines if at else 0,
        "head": at[0].head if at else audit.FIRST,
        "broken": None if not at or at[0].broken is None else {"line": at[0].broken.line, "why": at[0].broken.why},
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
