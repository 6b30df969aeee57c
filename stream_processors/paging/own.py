"""The pager's own alarms: a gateway that fails, a person who can't be reached, a gap, something the auditor found.

They run on the same machine as a patient's (`vitals.alarm`), under the name `OWN` in the patient's place, so that
everything that holds for an alarm holds for them: policies, answers, ends of acknowledgements, links, the audit.
"""

from __future__ import annotations

from vitals import alarm
from vitals.alarm import Alarm
from vitals.alarm_commands import GONE
from vitals.events import AlarmEvent
from vitals.log import Command
from vitals.own_rules import (
    AUDIT,
    AWAY,
    BLIND,
    CALENDAR,
    CHAIN,
    CHANNEL,
    CUT_OFF,
    GAP,
    GATEWAY,
    HAND_OVER,
    NO_CHANNEL,
    PIPELINE,
    RULES,
    TEST,
    TWICE,
    UNPROVEN,
    VERSION,
)
from vitals.topics import OWN

__all__ = [
    "AUDIT",
    "AWAY",
    "BLIND",
    "CALENDAR",
    "CHAIN",
    "CHANNEL",
    "CUT_OFF",
    "GAP",
    "GATEWAY",
    "HAND_OVER",
    "NO_CHANNEL",
    "OWN",
    "PIPELINE",
    "RULES",
    "TEST",
    "TWICE",
    "UNPROVEN",
    "VERSION",
    "judge",
    "key",
    "let_time_go",
    "no_such",
    "obey",
]


def key(rule: str, about: str) -> str:
    """The name of an own alarm in the pager's state: ``pager-channel@kestrel``."""
    return f"{rule}@{about}" if about else rule


def judge(
    before: Alarm | None, rule: str, about: str, cause: str | None, level: int, now_ns: int
) -> tuple[Alarm | None, tuple[AlarmEvent, ...]]:
    """What a finding does to its alarm.

    Args:
        before: The alarm so far.
        rule: Of `RULES`.
        about: What it is about; "" for a rule that is about the pager as a whole.
        cause: What was found; None: it is over.
        level: How bad, from 1.
        now_ns: When.
    """
    row = RULES[rule]
    if cause is None:
        if before is None:
            return None, ()
        return alarm.step(before, alarm.Return(at_ns=now_ns, cause="over", device=about), now_ns, row, version=VERSION)
    said = alarm.Raise(at_ns=now_ns, cause=cause, level=level, device=about)
    return alarm.step(before, said, now_ns, row, patient=OWN, version=VERSION)


def let_time_go(before: Alarm, now_ns: int) -> tuple[Alarm | None, tuple[AlarmEvent, ...]]:
    """What falls due by itself: the end of an acknowledgement or of a shelf."""
    return alarm.step(before, alarm.Due(at_ns=now_ns), now_ns, RULES[before.rule], version=VERSION)


def obey(before: Alarm, command: Command, now_ns: int) -> tuple[Alarm | None, tuple[AlarmEvent, ...]]:
    """What a person says about an own alarm."""
    return alarm.step(before, command, now_ns, RULES[before.rule], patient=OWN, version=VERSION)


def no_such(command: Command, now_ns: int) -> AlarmEvent:
    """The answer to a command about an own alarm that is not there."""
    return alarm.refuse(command, now_ns, GONE, None, None, VERSION)
