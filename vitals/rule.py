"""What a rule is: one row of the table in `vitals.rules`, which hands out all that stands here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from vitals.events import Kind, Priority
from vitals.signs import HOUR_NS, MINUTE_NS, Measure

LOW: Final = Priority.LOW
MEDIUM: Final = Priority.MEDIUM
HIGH: Final = Priority.HIGH


@dataclass(frozen=True, slots=True)
class ByPriority:
    """A length of time for each priority: ``ACK_NS[Priority.HIGH]``."""

    low: int
    medium: int
    high: int

    def __getitem__(self, priority: Priority) -> int:
        """The time for a priority."""
        return {LOW: self.low, MEDIUM: self.medium, HIGH: self.high}[priority]


ACK_NS: Final = ByPriority(low=4 * HOUR_NS, medium=30 * MINUTE_NS, high=10 * MINUTE_NS)
"""How long an acknowledgement lasts (site)."""
ANSWER_WITHIN_NS: Final = ByPriority(low=HOUR_NS, medium=10 * MINUTE_NS, high=2 * MINUTE_NS)
"""How soon someone must have answered (site)."""
EXPECT_MAX_NS: Final = ByPriority(low=12 * HOUR_NS, medium=2 * HOUR_NS, high=30 * MINUTE_NS)
"""How far ahead something may be expected (site): an expectation keeps an alarm off the phone like a shelf does."""


class Subject(enum.StrEnum):
    """What a rule looks at."""

    LIMIT = "limit"  # readings of one measure, as they come
    SCORE = "score"  # a published score, at the end of a frame
    SINGLE = "single"  # the highest single NEWS2 parameter, at the end of a frame
    DETECTOR = "detector"  # a learned score, at the end of a frame
    TECHNICAL = "technical"  # devices, models, tasks, things missed


@dataclass(frozen=True, slots=True)
class Band:
    """One step of a rule. The level of an alarm is the number of bands passed, from 1.

    Attributes:
        threshold: Passed at ``value >= threshold`` (direction above) or ``value <= threshold`` (below).
        priority: Of the alarm at this level.
    """

    threshold: float
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table.

    Attributes:
        id: Lower case, stable; part of every alarm's name.
        kind: About the patient or about the equipment.
        subject: What it looks at.
        bands: Mildest first.
        unit: Of thresholds and margin, for people.
        measure: The measure it judges, or whose sensor or observation it is about; None where about no single one.
        score: The score it judges (``news2``); "" where none. A detector's rule takes its detector's own threshold.
        direction: Which side of a threshold is bad.
        delay_ns: How long the condition must hold. A value that stands unchallenged (a cuff's, hourly) holds.
        margin: How far past the threshold of the first band a value must come back to count as back: with threshold
            87, below, margin 2, values above 89 are back.
        hysteresis_ns: How long it must be back, on fresh readings.
        latched: True where someone must acknowledge although it has returned.
        momentary: True where the thing is over when it is told (a missed event): raised as already returned.
        per_device: True where each device of a patient has an alarm of its own.
        pages: False where it is a task on the page and never a call.
        inhibited_by: Technical rules that, while active, keep its inputs from being judged.
        shelvable: Whether it may be shelved at all.
        shelf_max_ns: For how long at most.
        on_floor_list: True where it can't be shelved at high priority.
        ack_ns: How long an acknowledgement lasts, by priority.
        answer_within_ns: How soon someone must have answered, by priority.
        expect_max_ns: How long an expectation may wait, by priority.
        refractory_ns: After a person closed it although the condition held: how long until it may raise again.
        words: What it means, as a nurse reads it.
        source: Where its numbers come from; the keys are in the docstring of `vitals.rules`.
    """

    id: str
    kind: Kind
    subject: Subject
    bands: tuple[Band, ...]
    unit: str
    words: str
    source: str
    measure: Measure | None = None
    score: str = ""
    direction: Literal["above", "below"] = "above"
    delay_ns: int = 0
    margin: float = 0.0
    hysteresis_ns: int = 0
    latched: bool = False
    momentary: bool = False
    per_device: bool = False
    pages: bool = True
    inhibited_by: tuple[str, ...] = ()
    shelvable: bool = True
    shelf_max_ns: int = 2 * HOUR_NS
    on_floor_list: bool = False
    ack_ns: ByPriority = ACK_NS
    answer_within_ns: ByPriority = ANSWER_WITHIN_NS
    expect_max_ns: ByPriority = EXPECT_MAX_NS
    refractory_ns: int = 15 * MINUTE_NS

    def priority(self, level: int) -> Priority:
        """The priority at a level; levels outside the bands are taken as the nearest."""
        return self.bands[min(max(level, 1), len(self.bands)) - 1].priority

    def level(self, value: float) -> int:
        """How many bands a value passes; 0 is none. NaN passes none."""
        if self.direction == "above":
            return sum(value >= band.threshold for band in self.bands)
        return sum(value <= band.threshold for band in self.bands)


def with_limit(rule: Rule, threshold: float) -> Rule:
    """The rule under a patient's own limit: the first band moves, and no further band stays on its mild side.

    Example: ``spo2-low`` has bands 87 and 85. A limit of 92 makes 92 and 85; a limit of 80 makes 80 and 80, so that
    whoever passes it is at once at the highest priority.
    """
    worse = max if rule.direction == "above" else min
    bands = tuple(Band(worse(threshold, b.threshold) if i else threshold, b.priority) for i, b in enumerate(rule.bands))
    return replace(rule, bands=bands)


MEASURE_SLUGS: Final[Mapping[Measure, str]] = MappingProxyType(
    {
        Measure.RATE: "rate",
        Measure.SPO2: "spo2",
        Measure.RESP: "resp",
        Measure.TEMP_C: "temp",
        Measure.SBP: "sbp",
        Measure.DBP: "dbp",
        Measure.MAP: "map",
        Measure.CONSCIOUSNESS: "consciousness",
        Measure.OXYGEN: "oxygen",
    }
)
"""Measures as parts of a rule's id."""

NEWS2_MEASURES: Final = (
    Measure.RATE,
    Measure.SPO2,
    Measure.RESP,
    Measure.TEMP_C,
    Measure.SBP,
    Measure.CONSCIOUSNESS,
    Measure.OXYGEN,
)


def sensor_off_id(measure: Measure) -> str:
    """Id of the rule that a measure's sensor is off: ``sensor-off-spo2``."""
    return f"sensor-off-{MEASURE_SLUGS[measure]}"


def observe_id(measure: Measure) -> str:
    """Id of the task to observe a measure: ``observe-consciousness``."""
    return f"observe-{MEASURE_SLUGS[measure]}"


def missed_id(rule: str) -> str:
    """Id of the review of what a device told too late for a rule: ``missed-spo2-low``."""
    return f"missed-{rule}"


def detector_rule(name: str) -> str:
    """Id of the rule that judges a detector: sepsis has its own, any other detector speaks of an anomaly."""
    return "sepsis-risk" if name == "sepsis" else "anomaly"
