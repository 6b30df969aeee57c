"""The rules of the alarms about ourselves: a gateway, a person, a gap, a pipeline that stands, a pager that was away.

They stand beside `vitals.rules.RULES` and are judged by the pager, not by a ward; `topics.OWN` stands in the patient's
place. What the "device" of a rule is: a person, a line of a team, an alarm, a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vitals.events import Kind
from vitals.rule import HIGH, LOW, MEDIUM, Band, Rule, Subject
from vitals.signs import HOUR_NS

VERSION: Final = "teleward-paging-3"

GATEWAY: Final = "gateway-silent"
CHANNEL: Final = "pager-channel"
UNPROVEN: Final = "pager-unproven"
GAP: Final = "pager-gap"
NO_CHANNEL: Final = "pager-no-channel"
CALENDAR: Final = "pager-calendar"
HAND_OVER: Final = "pager-hand-over"
AUDIT: Final = "pager-audit"
BLIND: Final = "pager-blind"
PIPELINE: Final = "pipeline-silent"
AWAY: Final = "pager-away"
TEST: Final = "pager-test"
CHAIN: Final = "audit-chain"
CUT_OFF: Final = "pager-cut-off"
TWICE: Final = "pager-twice"


def _rule(
    name: str, bands: tuple[Band, ...], words: str, source: str, *, per_device: bool = True, latched: bool = False
) -> Rule:
    return Rule(
        id=name,
        kind=Kind.TECHNICAL,
        subject=Subject.TECHNICAL,
        bands=bands,
        unit="",
        words=words,
        source=source,
        per_device=per_device,
        latched=latched,
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
            _rule(
                PIPELINE,
                (Band(1, HIGH),),
                "Ward time stands still: no reading is judged and no alarm is raised while it does.",
                "site: no tick for ten seconds of the wall",
                per_device=False,
            ),
            _rule(
                AWAY,
                (Band(1, LOW), Band(2, MEDIUM)),
                "The pager was away for a while: what rose meanwhile was paged late.",
                "site: level 1 from one minute on, 2 from five",
                per_device=False,
                latched=True,
            ),
            _rule(
                CHAIN,
                (Band(1, MEDIUM),),
                "The audit's chain does not hold: nothing is written there until an engineer looks.",
                "site",
                per_device=False,
            ),
            _rule(
                CUT_OFF,
                (Band(1, MEDIUM),),
                "A work of the pager stands still; what waits for it is kept.",
                "site: half a minute without it",
            ),
            _rule(
                TWICE,
                (Band(1, MEDIUM),),
                "Another pager pages for this ward as well: people are told twice.",
                "site",
                per_device=False,
            ),
            _rule(
                TEST,
                (Band(1, HIGH),),
                "The test patient's alarm did not come through: a real one may not either.",
                "site: a test alarm that was not acknowledged in its time",
                per_device=False,
            ),
        )
    }
)
"""Every rule about ourselves, by id."""
