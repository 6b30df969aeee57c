"""One alarm as a value, and what can be said to it: signals from the judges, commands from people, due times.

Whoever judges readings (delays and hysteresis are behind them) speaks in *signals*; `vitals.alarm.step` turns a
signal, a command or a due time into the next state and its events. All times are event time.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from vitals.events import Evidence, ScoreEvidence
from vitals.log import Command
from vitals.signs import HOUR_NS, Measure

KEEP_CLOSED_NS: Final = 24 * HOUR_NS
"""How long a closed alarm is remembered (site): longer than any page stays open."""

Direction: TypeAlias = Literal["above", "below"]
Facts: TypeAlias = dict[str, str | int | float | bool | None]


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """The condition is true and has held through the rule's delay.

    Attributes:
        at_ns: The instant at which it had held long enough.
        cause: In words: ``SpO2 84 % below 87 % for 60 s``.
        level: Bands passed, from 1.
        evidence: The readings it rests on; none later than `at_ns`.
        score: The score it rests on.
        device: The device it is about; needed for a rule that is per device.
        delayed: The readings were sent in time and received late.
    """

    at_ns: int
    cause: str
    level: int = 1
    evidence: tuple[Evidence, ...] = ()
    score: ScoreEvidence | None = None
    device: str = ""
    delayed: bool = False


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The condition is still true, at another level; higher or lower. Fields as `Raise`."""

    at_ns: int
    level: int
    cause: str = ""
    evidence: tuple[Evidence, ...] = ()
    score: ScoreEvidence | None = None
    device: str = ""
    delayed: bool = False


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """The condition is false on fresh readings and has been through the rule's hysteresis. Fields as `Raise`."""

    at_ns: int
    cause: str = ""
    evidence: tuple[Evidence, ...] = ()
    score: ScoreEvidence | None = None
    device: str = ""
    delayed: bool = False


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """The condition's inputs have fallen silent or lost their quality.

    Attributes:
        since_ns: The last good reading.
        at_ns: When that was noticed.
        cause: In words, "" for the usual ones.
        device: For a rule that is per device.
    """

    since_ns: int
    at_ns: int
    cause: str = ""
    device: str = ""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The condition's inputs are back.

    Attributes:
        at_ns: Time of the first good reading.
        evidence: That reading.
        device: For a rule that is per device.
    """

    at_ns: int
    evidence: tuple[Evidence, ...] = ()
    device: str = ""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A usable reading of a measure somebody waits for: a shelf's bound or an expectation.

    Attributes:
        measure: Of what.
        value: In its canonical unit.
        time_ns: When it was measured.
        device: By which device.
        sign: The sign's column, for the evidence; "" takes the measure's name.
    """

    measure: Measure
    value: float
    time_ns: int
    device: str = ""
    sign: str = ""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """Time has come to `at_ns`; what fell due by then happens, each at its own time."""

    at_ns: int


class Discharge(msgspec.Struct, frozen=True, kw_only=True):
    """The patient is no longer watched.

    Attributes:
        at_ns: When it was said.
        by: Who said it.
    """

    at_ns: int
    by: str


Signal: TypeAlias = Raise | Level | Return | Silent | Heard | Value
Input: TypeAlias = Signal | Command | Due | Discharge


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Who acknowledged, when and until when.

    Attributes:
        by: Who.
        at_ns: When.
        until_ns: When it ends.
        level: The level it was given for, 0 where the condition had returned: a higher one breaks it.
    """

    by: str
    at_ns: int
    until_ns: int
    level: int


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """Who shelved, why and until what.

    Attributes:
        by: Who.
        reason: Why.
        at_ns: When.
        until_ns: When it ends.
        level: The level it was given for, 0 where the condition had returned: a higher one breaks it.
        bound: A value of the rule's measure that breaks it.
        direction: ``above``: value >= bound breaks it; ``below``: value <= bound.
    """

    by: str
    reason: str
    at_ns: int
    until_ns: int
    level: int
    bound: float | None = None
    direction: Direction | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody expects, and by when.

    Attributes:
        by: Who.
        reason: What was done.
        at_ns: When it was said; only readings measured later can meet it.
        until_ns: When it is missed.
        level: The level it was given for, 0 where the condition had returned: a higher one breaks it.
        bound: Value of the rule's measure to be met; None: that the condition returns.
        direction: ``above``: met at value >= bound; ``below``: at value <= bound.
    """

    by: str
    reason: str
    at_ns: int
    until_ns: int
    level: int
    bound: float | None = None
    direction: Direction | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One occurrence of a rule for a patient: four facts that move independently, and what is owed.

    A closed alarm is kept for a day (`KEEP_CLOSED_NS`), so that a command about it is answered well and a new
    occurrence never takes its name. It has no events.

    Attributes:
        patient: Pseudonym.
        rule: Id of the rule.
        device: For a rule that is per device, else "".
        raised_ns: When it was raised; part of its name.
        n: Number of its newest event.
        active: The condition: active or returned. Pending conditions live with the judges.
        level: The level at which the condition stands (stood, where it has returned).
        peak: The highest level told; sets the priority, which does not fall until the alarm closes.
        observed: Whether its inputs are heard.
        unobserved_since_ns: The last good reading of its inputs, where not observed.
        attention: None is unacknowledged.
        shelf: None is not shelved.
        expectation: None where nothing is expected.
        answer_due_ns: By when somebody has to look while it is neither acknowledged nor shelved.
        told_worse_n: Number of the newest event that made it worse: a command given in sight of less is refused.
        latched: Whether someone must acknowledge although it has returned.
        evidence: The readings of the newest signal.
        score: The score of the newest signal.
        closed: Whether it is over.
        closed_ns: When it closed.
        closed_by: Who closed it, "" where readings did.
        closed_level: The level it was closed for, 0 where the condition had returned: a higher one raises at once.
        refractory_until_ns: Closed while the condition held: it may raise again from here; None else.
    """

    patient: str
    rule: str
    raised_ns: int
    answer_due_ns: int
    device: str = ""
    n: int = 0
    active: bool = True
    level: int = 1
    peak: int = 1
    observed: bool = True
    unobserved_since_ns: int | None = None
    attention: Attention | None = None
    shelf: Shelf | None = None
    expectation: Expectation | None = None
    told_worse_n: int = 1
    latched: bool = False
    evidence: tuple[Evidence, ...] = ()
    score: ScoreEvidence | None = None
    closed: bool = False
    closed_ns: int = 0
    closed_by: str = ""
    closed_level: int = 0
    refractory_until_ns: int | None = None

    @property
    def alarm_id(self) -> str:
        """``patient:rule:raised_ns``, with ``rule@device`` for a rule that is per device."""
        rule = f"{self.rule}@{self.device}" if self.device else self.rule
        return f"{self.patient}:{rule}:{self.raised_ns}"

    @property
    def standing(self) -> int:
        """The level that an acknowledgement, a shelf or an expectation given now is given for."""
        return self.level if self.active else 0

    def facts(self) -> Facts:
        """The four facts, and what goes with them, as every event carries them; keys that say nothing are left out."""
        facts: Facts = {
            "condition": "active" if self.active else "returned",
            "observation": "observed" if self.observed else "unobserved",
            "attention": "acknowledged" if self.attention else "unacknowledged",
            "shelf": "shelved" if self.shelf else "none",
            "closed": self.closed,
            "peak": self.peak,
        }
        if self.unobserved_since_ns is not None:
            facts["unobserved_since_ns"] = self.unobserved_since_ns
        if self.attention:
            facts["acknowledged_by"] = self.attention.by
            facts["acknowledged_at_ns"] = self.attention.at_ns
            facts["acknowledged_until_ns"] = self.attention.until_ns
        for word, given in (("shelved", self.shelf), ("expecting", self.expectation)):
            if given is None:
                continue
            facts |= {f"{word}_by": given.by, f"{word}_at_ns": given.at_ns, f"{word}_until_ns": given.until_ns}
            facts |= {f"{word}_reason": given.reason}
            if given.bound is not None:
                facts |= {f"{word}_bound": given.bound, f"{word}_direction": given.direction}
        return facts

    def timer_ns(self) -> int | None:
        """When the machine next does something by itself; None: never."""
        if self.closed:
            if self.refractory_until_ns is None:
                return self.closed_ns + KEEP_CLOSED_NS
            return self.refractory_until_ns if self.observed else None
        ends = [given.until_ns for given in (self.expectation, self.attention, self.shelf) if given is not None]
        return min(ends, default=None)

    def due_ns(self) -> int | None:
        """When the next step falls due if nobody does anything: the machine's, or a person's answer; None if closed."""
        if self.closed:
            return None
        timer = self.timer_ns()
        return self.answer_due_ns if timer is None else timer

    @property
    def waits_for_values(self) -> bool:
        """Whether a reading can break its shelf or meet its expectation."""
        given = (self.shelf, self.expectation)
        return not self.closed and any(g is not None and g.bound is not None for g in given)
