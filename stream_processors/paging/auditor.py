"""Walks all open alarms from the alarm topic alone and asks: does somebody know, or will somebody be told? Pure.

It shares no state with the core, only the policies: what it knows of alarms it folded itself. From the pager it takes
nothing on trust but what it claims to do next, and that must lie near enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream_processors.paging.policy import Policies
from vitals.alarm_fold import OpenAlarm
from vitals.signs import MINUTE_NS
from vitals.topics import clinical

GRACE_NS = 2 * MINUTE_NS
"""How much later than promised a step may be before it counts as missing."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """An alarm that nobody answered and nobody will be told of.

    Attributes:
        alarm: Which.
        why: In words.
    """

    alarm: OpenAlarm
    why: str


def audit(
    alarms: Iterable[OpenAlarm],
    policies: Policies,
    promised: Mapping[str, int],
    now_ns: int,
    *,
    seen_since_ns: Mapping[str, int],
    grouped: bool = False,
) -> tuple[Overdue, ...]:
    """What should not be.

    Args:
        alarms: Open alarms, folded from the topic by whoever asks.
        policies: As the pager has them.
        promised: alarm -> when the pager says that its next step is due.
        now_ns: Ward time.
        seen_since_ns: alarm -> since when the auditor sees it calling: what came a moment ago is not overdue.
        grouped: True while a failing gateway's own alarm stands for the silences.
    """
    out: list[Overdue] = []
    for alarm in alarms:
        policy = policies.of(alarm.rule, alarm.priority)
        if policy is None or not clinical(alarm.patient) or attended(alarm):
            continue
        if grouped and alarm.rule in policies.gateway.rules:
            continue
        since_ns = seen_since_ns.get(alarm.alarm_id, now_ns)
        due_ns = promised.get(alarm.alarm_id)
        if due_ns is None and now_ns - since_ns > GRACE_NS:
            out.append(Overdue(alarm, "nobody has answered it and the pager has no next step for it"))
        elif due_ns is not None and now_ns - due_ns > GRACE_NS:
            out.append(
                Overdue(alarm, f"nobody has answered it and its next step is {_minutes(now_ns - due_ns)} overdue")
            )
    return tuple(out)


def attended(alarm: OpenAlarm) -> bool:
    """Whether somebody has it in hand: acknowledged, shelved, or something is expected of it."""
    state = alarm.state
    return (
        state.get("attention") == "acknowledged"
        or state.get("shelf") == "shelved"
        or state.get("expecting_until_ns") is not None
    )


def _minutes(length_ns: int) -> str:
    return f"{length_ns // MINUTE_NS} min"
