"""Paging policies: whom first, how long until the next, whom then, how often at most, what waits for the morning.

A policy is data: a site writes it (`policy_file`), the core obeys it. The numbers of `DEFAULT` are a site's to set.

```
alarm calls                                                              first of high, DEFAULT
   |-- wait --|-- after 0: first --|-- after 2 min: second --|-- after 4 min: everyone --|-- repeat, everyone ...
```
"""

from __future__ import annotations

import fnmatch
from typing import Final, Literal, TypeAlias

import msgspec

from vitals.events import Priority
from vitals.rules import RULES
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS
from vitals.topics import SYNTHETIC

TargetKind: TypeAlias = Literal["line", "person", "team", "lead", "everyone", "answered"]


class Target(msgspec.Struct, frozen=True):
    """Somebody to page, by place and not by name.

    Attributes:
        kind: ``line`` whoever is on call in a line of the team; ``person`` one person; ``team`` all of the team;
            ``lead`` its leads; ``everyone`` everybody of the rota; ``answered`` who answered the alarm last.
        name: Of the line or person.
    """

    kind: TargetKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


class Step(msgspec.Struct, frozen=True):
    """One step of a policy.

    Attributes:
        after_ns: From the start of the round. Example: 0 and 2 min: the second is told 2 min after the first.
        to: Whom.
    """

    after_ns: int
    to: tuple[Target, ...]


class Quiet(msgspec.Struct, frozen=True):
    """The hours in which a policy does not begin to call, in the rota's zone.

    Attributes:
        from_minute: Of the day.
        to_minute: Of the day; below `from_minute` it is the next day's.
    """

    from_minute: int
    to_minute: int

    def __contains__(self, minute: int) -> bool:
        if self.from_minute <= self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How alarms of a priority, and of some rules, reach people.

    Attributes:
        name: For people.
        priority: Of the alarms it is for.
        rules: Ids of rules, or patterns (``pager-*``); empty: all.
        team: Of the rota; "" takes the patient's.
        wait_ns: From the alarm to the first step: what rises together becomes one page.
        steps: In order of time; the first at 0.
        repeat_ns: After the last step its people are asked again, this often, until somebody answers.
        at_most_every_ns: A person hears of one page at most this often; what comes meanwhile rides on the next.
            Something of a higher priority than the person heard of does not wait.
        quiet: When it does not begin to call; None: it always does.
    """

    name: str
    priority: Priority
    steps: tuple[Step, ...]
    rules: tuple[str, ...] = ()
    team: str = ""
    wait_ns: int = 0
    repeat_ns: int = 5 * MINUTE_NS
    at_most_every_ns: int = 0
    quiet: Quiet | None = None

    @property
    def reach_ns(self) -> int:
        """How long it takes at most, from the alarm, until everyone of its last step has been told (no quiet hours)."""
        return self.wait_ns + self.steps[-1].after_ns + self.at_most_every_ns

    def fits(self, rule: str, priority: Priority) -> bool:
        """Whether it is for such an alarm."""
        return priority == self.priority and (
            not self.rules or any(fnmatch.fnmatchcase(rule, pattern) for pattern in self.rules)
        )


class Gateway(msgspec.Struct, frozen=True):
    """When many silences are one fault: a gateway, not forty patients.

    Attributes:
        rules: Rules whose alarms count, and become part of the one page.
        at_least: How many open at once.
        within_ns: Raised within this time of one another.
    """

    rules: tuple[str, ...] = ("device-silent",)
    at_least: int = 5
    within_ns: int = 2 * MINUTE_NS


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """All that a site decides about paging, but for who is there.

    Attributes:
        policies: The first that fits an alarm holds.
        per_hour: Pages a person gets in an hour, singly; above it only high priority comes singly.
        digest_every_ns: How often the rest then comes, together.
        gateway: When silences are one fault.
        confirm_ns: How long an answer given here holds off the next step until the ward has confirmed it.
        link_valid_ns: How long a link of a page can be used.
        snooze_ns: How long a snooze by link lasts; the rule's own limit stands above it.
        test_before_ns: How long before a shift the test page goes out.
        look_ahead_ns: How far ahead gaps and unreachable people are looked for.
        quiet_messages: Minutes of the day at which the quiet-shift message is sent.
        quiet_to: To whom.
    """

    policies: tuple[Policy, ...]
    per_hour: int = 12
    digest_every_ns: int = 15 * MINUTE_NS
    gateway: Gateway = Gateway()
    confirm_ns: int = 45 * SECOND_NS
    link_valid_ns: int = HOUR_NS
    snooze_ns: int = 30 * MINUTE_NS
    test_before_ns: int = HOUR_NS
    look_ahead_ns: int = 7 * 24 * HOUR_NS
    quiet_messages: tuple[int, ...] = ()
    quiet_to: tuple[Target, ...] = (Target("line", "first"),)

    def of(self, rule: str, priority: Priority) -> Policy | None:
        """The policy for an alarm; None where it calls nobody (low priority, a task, a rule that does not page)."""
        known = RULES.get(rule)
        if priority is Priority.LOW or (known is not None and not known.pages):
            return None
        return next((policy for policy in self.policies if policy.fits(rule, priority)), None)


TEST: Final = Policy(
    name="test patient",
    priority=Priority.HIGH,
    steps=(Step(0, (Target("person", SYNTHETIC),)),),
    repeat_ns=5 * MINUTE_NS,
)
"""How the test patient's alarm calls: by the channel that it is made for, and nobody else."""

TEST_RULE: Final = "spo2-low"
"""The rule that the test patient breaks; its others are of no interest to anybody."""


def calls(rule: str, priority: Priority) -> bool:
    """Which alarms of the test patient page."""
    return rule == TEST_RULE and priority is Priority.HIGH


_FIRST: Final = Target("line", "first")
_SECOND: Final = Target("line", "second")
_EVERYONE: Final = Target("everyone")

DEFAULT: Final = Policies(
    policies=(
        Policy(
            name="high",
            priority=Priority.HIGH,
            steps=(Step(0, (_FIRST,)), Step(2 * MINUTE_NS, (_SECOND,)), Step(4 * MINUTE_NS, (_EVERYONE,))),
            repeat_ns=2 * MINUTE_NS,
            at_most_every_ns=MINUTE_NS,
        ),
        Policy(
            name="equipment",
            priority=Priority.MEDIUM,
            rules=("device-*", "no-device", "sensor-off-*", "battery-low", "model-late", "gateway-silent", "pager-*"),
            steps=(Step(0, (_FIRST,)), Step(20 * MINUTE_NS, (_SECOND,)), Step(HOUR_NS, (Target("team"),))),
            wait_ns=MINUTE_NS,
            repeat_ns=30 * MINUTE_NS,
            at_most_every_ns=10 * MINUTE_NS,
        ),
        Policy(
            name="medium",
            priority=Priority.MEDIUM,
            steps=(Step(0, (_FIRST,)), Step(10 * MINUTE_NS, (_SECOND,)), Step(20 * MINUTE_NS, (_EVERYONE,))),
            wait_ns=15 * SECOND_NS,
            repeat_ns=10 * MINUTE_NS,
            at_most_every_ns=5 * MINUTE_NS,
        ),
    )
)
"""What holds where a site has written nothing: every number is a site's to set."""
