"""What a ward says: alarm events, and frames with their scores. The truth about alarms is the sequence of events.

These names are promises to other programs (docs/alarms.md).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from vitals.reading import BoolArray, ByteArray, FloatArray, IntArray


class Priority(enum.StrEnum):
    """IEC 60601-1-8's three, by how soon someone must look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


PRIORITY_RANK: Final[dict[Priority, int]] = {Priority.LOW: 0, Priority.MEDIUM: 1, Priority.HIGH: 2}


class Kind(enum.StrEnum):
    """What an alarm is about: the patient, or the equipment."""

    PHYSIOLOGICAL = "physiological"
    TECHNICAL = "technical"


EventName: TypeAlias = Literal[
    "raised",
    "returned",
    "recurred",
    "worsened",
    "unobserved",
    "observed",
    "acknowledged",
    "acknowledgement_expired",
    "shelved",
    "unshelved",
    "expecting",
    "closed",
    "command_refused",
]


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reading that an event rests on."""

    sign: str
    value: float | None
    time_ns: int
    device: str = ""
    limit: float | None = None


class Contribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one kind of measurement does to a detector's score, found by leaving it out (occlusion).

    Attributes:
        what: In words: ``respiration``, ``blood pressure``, ``laboratory values``.
        log_odds: Log-odds of the score with it less those without it; positive raises the score.
        direction: The same in a word; ``neither`` below a twentieth.
        value: Its newest value, of several (blood pressure) the first sign's; None where it never was measured.
        unit: Of `value`, UCUM.
        age_s: Seconds since it was last measured, at the end of the frame; None where it never was.
        words: ``respiration 28 /min, 8 more than 6 h ago, raises the score``.
    """

    what: str
    log_odds: float
    direction: Literal["raises", "lowers", "neither"]
    value: float | None = None
    unit: str = ""
    age_s: int | None = None
    words: str


class Clearing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change that alone would take a detector's score below the level at which its rule returns.

    Attributes:
        what: The kind of measurement that would have to be otherwise.
        value: What it would have to be; None where it is no number ("if it varied again").
        unit: Of `value`, UCUM.
        words: ``would fall below the threshold if respiration were 18 /min``.
    """

    what: str
    value: float | None = None
    unit: str = ""
    words: str


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """A published score beside a detector's: its name, lower and upper bound (equal where nothing is missing)."""

    name: str
    low: float
    high: float


class Why(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a detector's score is what it is, for whoever answers its alarm.

    Attributes:
        summary: One sentence.
        threshold: Score at or above which the rule holds.
        contributions: The strongest first.
        clears: What would clear it; empty where no single change would.
        published: The published scores of the same frame.
        trust: How far to trust it, in words.
    """

    summary: str
    threshold: float
    contributions: tuple[Contribution, ...] = ()
    clears: tuple[Clearing, ...] = ()
    published: tuple[Bounds, ...] = ()
    trust: str = ""


class ScoreEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A score that an event rests on.

    Attributes:
        name: ``news2``, ``mews``, ``qsofa``, ``sirs`` or a detector's name.
        version: Of the score's table or of the detector.
        low: Lower bound (the score itself where nothing is missing).
        high: Upper bound.
        missing: The measures that were missing or stale.
        parts: Contribution of each measure that contributed.
        why: Of a detector's score, where an alarm was raised or got worse by it.
    """

    name: str
    version: str = ""
    low: float
    high: float
    missing: tuple[str, ...] = ()
    parts: dict[str, float] = {}
    why: Why | None = None


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of one alarm.

    Attributes:
        event_id: ``alarm_id:n``.
        alarm_id: ``patient:rule:raised_ns``, so that a replay names it the same; a rule with an alarm for each device
            stands there as ``rule@device``; a refused command has ``patient:command:command_id``.
        n: Number within the alarm, from 1.
        patient: Pseudonym.
        rule: The rule's id.
        rule_version: The table the rule stood in.
        kind: physiological or technical.
        priority: The alarm's priority after this event.
        event: What happened (the words of docs/alarms.md); a missed event is a ``raised`` of ``missed-<rule>``.
        at_ns: Event time: of the evidence it rests on, of the due time, or of the newest tick for a command.
        cause: What brought it about, in words: the limit passed, who acknowledged, why refused.
        by: Who, for a command.
        command_id: Which command, for a command.
        level: The rule's band after this event, from 1; higher is worse.
        evidence: The readings it rests on.
        score: The score it rests on.
        device: The device a technical alarm is about.
        delayed: True where the readings were sent in time and we received them late.
        due_ns: When the next step falls due if nobody does anything; None only when closed or nothing is owed.
        state: The alarm's four facts after this event: condition, observation, attention, shelf, and `closed`.
    """

    event_id: str
    alarm_id: str
    n: int
    patient: str
    rule: str
    rule_version: str
    kind: Kind
    priority: Priority
    event: EventName
    at_ns: int
    cause: str
    by: str = ""
    command_id: str = ""
    level: int = 1
    evidence: tuple[Evidence, ...] = ()
    score: ScoreEvidence | None = None
    device: str = ""
    delayed: bool = False
    due_ns: int | None = None
    state: dict[str, str | int | float | bool | None] = {}


event_encoder: Final = msgspec.json.Encoder(order="deterministic")
event_decoder: Final[msgspec.json.Decoder[AlarmEvent]] = msgspec.json.Decoder(AlarmEvent)

SCORES: Final = ("news2", "mews", "qsofa", "sirs")


@dataclass(slots=True)
class Frames:
    """Frames that closed at one instant, with their scores: a row for each watched patient.

    Attributes:
        start_ns: Start of the frame.
        end_ns: First instant after it.
        patients: Names, one for each row.
        value: Shape (rows, n_signs), canonical units: the value that stands at the end of the frame, carried forward
            while it is valid; NaN where none stands.
        measured: Shape (rows, n_signs), true where it was measured within this frame.
        age_ns: Shape (rows, n_signs), age at `end_ns` of the newest usable reading, -1 where there never was one
            (also given where the value has become stale, so that a page can say how old the last one is).
        low: Shape (rows, len(SCORES)), lower bounds.
        high: Shape (rows, len(SCORES)), upper bounds.
        missing: Shape (rows,), bit set of `Measure` that are missing or stale for NEWS2.
        detector: Shape (rows, detectors), scores in 0..1 of the detectors that stepped, NaN not assessable.
        detectors: Their names.
        closed_by_ns: The tick that closed it.
        reason: Shape (rows, n_signs), `vitals.artefacts.Reason` of each value measured; 0 where usable or absent.
        absent: Shape (rows, detectors), `vitals.asking.Absence`: why there is no score (0 where there is one).
    """

    start_ns: int
    end_ns: int
    patients: list[str]
    value: FloatArray
    measured: BoolArray
    age_ns: IntArray
    low: FloatArray
    high: FloatArray
    missing: IntArray
    detector: FloatArray
    detectors: tuple[str, ...]
    closed_by_ns: int
    reason: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    absent: ByteArray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    def __post_init__(self) -> None:
        """Where nothing is said of artefacts and absences there are none but what the scores themselves say."""
        if not self.reason.size:
            self.reason = np.zeros(self.value.shape, np.int8)
        if not self.absent.size:
            self.absent = np.where(np.isnan(self.detector), 2, 0).astype(np.uint8)
