"""The pager's own alarms: a gateway that fails, a person who can't be reached, a gap, something the auditor found.

They run on the same machine as a patient's (`vitals.alarm`), under the name `OWN` in the patient's place, so that
everything that holds for an alarm holds for them: policies, answers, ends of acknowledgements, links, the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vitals import alarm
from vitals.alarm import Alarm
from vitals.events import AlarmEvent, Kind
from vitals.log import Command
from vitals.rule import HIGH, LOW, MEDIUM, Band, Rule, Subject
from vitals.signs import HOUR_NS

OWN: Final = "teleward"
VERSION: Final = "teleward-paging-1"

GATEWAY: Final = "gateway-silent"
CHANNEL: Final = "pager-channel"
UNPROVEN: Final = "pager-unproven"
GAP: Final = "pager-gap"
NO_CHANNEL: Final = "pager-no-channel"
CALENDAR: Final = "pager-calendar"
HAND_OVER: Final = "pager-hand-over"
AUDIT: Final = "pager-audit"
BLIND: Final = "pager-blind"


def _rule(name: str, bands: tuple[Band, ...], words: str, source: str, *, per_device: bool = True) -> Rule:
    return Rule(
        id=name,
        kind=Kind.TECHNICAL,
        subject=Subject.TECHNICAL,
        bands=bands,
        unit="",
        words=words,
        source=source,
        per_device=per_device,
        shelf_max_ns=12 * HOUR_NS,
        refractory_ns=HOUR_NS,
    )


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.id: rule
        for rule in (
            _rule(
                GATEWAY,
                (Band(1, MEDIUM), Band(2, MEDIUM), Band(4, MEDIUM), Band(8, MEDIUM)),
                "Many devices fell silent at once: think of the gateway or the network, not of the patients.",
                "site: each band is twice as many devices as the one before",
                per_device=False,
            ),
            _rule(
                CHANNEL,
                (Band(1, LOW), Band(2, MEDIUM)),
                "A person cannot be reached the way the rota says.",
                "site: level 1 one channel passed over, 2 all of them",
            ),
            _rule(
                UNPROVEN,
                (Band(1, LOW), Band(2, MEDIUM)),
                "A person has not answered the test page for a shift.",
                "site: level 1 before the shift, 2 when it begins",
            ),
            _rule(
                GAP,
                (Band(1, LOW), Band(2, MEDIUM), Band(3, HIGH)),
                "Nobody is on call.",
                "site: level 1 within a week, 2 within a day, 3 within an hour",
            ),
            _rule(
                NO_CHANNEL,
                (Band(1, LOW), Band(2, MEDIUM), Band(3, HIGH)),
                "Somebody is on call who has no channel that works.",
                "site: level 1 within a week, 2 within a day, 3 within an hour",
            ),
            _rule(
                CALENDAR,
                (Band(1, LOW), Band(2, MEDIUM)),
                "The rota's calendar cannot be read: the last good one holds.",
                "site: level 2 after a day",
            ),
            _rule(
                HAND_OVER,
                (Band(1, LOW), Band(2, MEDIUM)),
                "Nobody has taken over the pager: the last one keeps it.",
                "site: level 1 when the shift begins, 2 half an hour later",
            ),
            _rule(
                AUDIT,
                (Band(1, HIGH),),
                "The auditor found an alarm that nobody answered and nobody will be told of.",
                "ALARMS, fourth property",
            ),
            _rule(
                BLIND,
                (Band(1, HIGH),),
                "The pager cannot read alarms: what it does not see it cannot page.",
                "site",
                per_device=False,
            ),
        )
    }
)
"""Every rule of the pager's own, by id. What the "device" of a rule is: a person, a line of a team, an alarm."""


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
