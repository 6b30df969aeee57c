"""What stands in InfluxDB: every measurement with its tags and fields, and how long it is kept.

The store writes by this table, dashboards and alert rules are built from it, retention and down-sampling are set up
from it. Ask with the policy's name in front, ``FROM "raw"."vitals"`` (`Measurement.source`): the same query then
works on InfluxDB 1.8, where a policy is a retention policy, and on 2.x, where it is the bucket ``teleward/raw``.

Tags are few and bounded: patients, devices, signs, rules, parts. Numbers that only grow (sequence, boot, ids of
alarms) are fields, or every event would be a series of its own.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from vitals.signs import MINUTE_NS, SECOND_NS, Sign

DATABASE: Final = "teleward"

STATE_EVERY_NS: Final = 10 * SECOND_NS
"""Ward time between two points of `ALARM_STATE` for every watched patient; they stand at its multiples."""
MINUTE_EVERY_NS: Final = MINUTE_NS
"""Ward time between two points of `LEDGER` for every device; width of a row of `VITALS_MINUTE`."""


class Policy(enum.StrEnum):
    """How long something is kept; the name of a retention policy on 1.8, of a bucket ``teleward/<name>`` on 2.x."""

    RAW = "raw"
    """As it came: days (14 by default)."""
    LONG = "long"
    """What a review asks for months later: scores, alarms, minutes (400 days by default)."""
    BOOKS = "books"
    """What storing itself has to remember: offsets, facts for the ledger. Never deleted; does not grow with time."""


class FieldType(enum.StrEnum):
    """Type of a field; InfluxDB refuses a point that comes with another."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "string"


FLOAT, INTEGER, BOOLEAN, TEXT = FieldType


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement.

    Attributes:
        name: Its name.
        policy: How long it is kept.
        time: What the time of a point is.
        tags: Name -> what it holds.
        fields: Name -> type and what it holds. A field may be missing from a point: then nothing is known.
        what: In words.
    """

    name: str
    policy: Policy
    time: str
    tags: dict[str, str]
    fields: dict[str, tuple[FieldType, str]]
    what: str

    @property
    def source(self) -> str:
        """As it stands behind FROM in InfluxQL: ``"raw"."vitals"``."""
        return f'"{self.policy}"."{self.name}"'


VITALS: Final = Measurement(
    "vitals",
    Policy.RAW,
    "when it was measured, by the device's clock",
    {"patient": "pseudonym", "device": "which device", "sign": "`Sign.column`: hr, spo2, nibp_sbp ..."},
    {
        "value": (FLOAT, "in the sign's canonical unit; missing where the sensor had no contact"),
        "quality": (INTEGER, "`reading.Quality`: 0 good, 1 doubtful, 2 poor signal, 3 no contact; judged are 0 and 1"),
        "boot": (INTEGER, "of the bundle that brought it first"),
        "seq": (INTEGER, "likewise"),
        "received_ns": (INTEGER, "when the bridge had it"),
    },
    "every accepted reading, once",
)

VITALS_MINUTE: Final = Measurement(
    "vitals_1m",
    Policy.LONG,
    "start of the minute",
    VITALS.tags,
    {
        "mean": (FLOAT, "of the usable readings of the minute"),
        "min": (FLOAT, "likewise"),
        "max": (FLOAT, "likewise"),
        "count": (INTEGER, "how many there were"),
    },
    "minute means of the usable readings (good or doubtful); made by the server from `vitals`",
)

BUNDLES: Final = Measurement(
    "bundles",
    Policy.RAW,
    "when the bridge received it",
    {"patient": "who wore the device", "device": "which device"},
    {
        "boot": (INTEGER, "start of the device"),
        "seq": (INTEGER, "number of the bundle within the boot"),
        "n": (INTEGER, "readings the device put in"),
        "refused": (INTEGER, "of these, refused by the bridge"),
        "doubtful": (INTEGER, "of the accepted, outside the plausible range"),
        "unusable": (INTEGER, "of the accepted, of poor signal or without contact"),
        "delay_s": (FLOAT, "from the device's sending to our receipt; holds the error of the device's clock"),
        "queued": (INTEGER, "bundles that still waited on the device"),
        "battery_pct": (FLOAT, "charge; missing where the device does not tell"),
    },
    "quality of the data, a point for each delivery. Gauges: what adds up stands in `ledger`",
)

FRAMES: Final = Measurement(
    "frames",
    Policy.LONG,
    "end of the frame",
    {"patient": "pseudonym"},
    {
        **{sign.column: (FLOAT, "value that stands at the end of the frame; missing where none does") for sign in Sign},
        **{
            f"{sign.column}_age_ns": (INTEGER, "age of the newest usable reading; missing where there never was one")
            for sign in Sign
        },
        "start_ns": (INTEGER, "start of the frame"),
        "measured": (INTEGER, "bit set of the signs (1 << `Sign`) measured within the frame"),
        "missing": (INTEGER, "bit set of the measures (1 << `Measure`) that NEWS2 lacked"),
    },
    "closed frames, one a minute for every watched patient",
)

SCORES: Final = Measurement(
    "scores",
    Policy.LONG,
    "end of the frame",
    {"patient": "pseudonym", "score": "news2, mews, qsofa, sirs, or a detector's name"},
    {
        "low": (FLOAT, "lower bound; for a detector its score in 0..1; missing where it could not say"),
        "high": (FLOAT, "upper bound, above `low` where inputs were missing; likewise"),
        "assessable": (BOOLEAN, "false where there was nothing to score"),
    },
    "every score of every closed frame; higher is worse",
)

ALARM_EVENTS: Final = Measurement(
    "alarm_events",
    Policy.LONG,
    "event time (`at_ns`), plus some nanoseconds where the patient has another event there",
    {
        "patient": "pseudonym",
        "rule": "id of the rule",
        "kind": "physiological or technical",
        "priority": "low, medium, high: the alarm's, after this event",
        "event": "raised, returned, worsened, acknowledged ... (docs/alarms.md)",
        "partition": "of the input topic; a patient's never changes",
    },
    {
        "event_id": (TEXT, "`alarm_id:n`"),
        "alarm_id": (TEXT, "name of the alarm"),
        "n": (INTEGER, "number within the alarm, from 1"),
        "at_ns": (INTEGER, "event time, exactly"),
        "level": (INTEGER, "the rule's band after this event"),
        "cause": (TEXT, "what brought it about, in words"),
        "by": (TEXT, "who, for a command; missing else"),
        "device": (TEXT, "which device a technical alarm is about; missing else"),
        "due_ns": (INTEGER, "when the next step falls due; missing where nothing is owed"),
        "delayed": (BOOLEAN, "whether we received its readings late"),
        "since_raised_s": (FLOAT, "from the raising of the alarm to this event"),
        "to_alarm_s": (FLOAT, "from the measurement to the alarm, where its stamps tell"),
        "to_alarm_least_s": (FLOAT, "the same, by the least that the device's clock is ahead; where that is known"),
        "to_alarm_most_s": (FLOAT, "likewise by the most"),
        "body": (TEXT, "the whole event, JSON"),
        "stamps": (TEXT, "when it passed each hop, JSON"),
    },
    "every alarm event, once: the truth about alarms is their sequence",
)

ALARM_STATE: Final = Measurement(
    "alarm_state",
    Policy.RAW,
    "a multiple of ten seconds of ward time",
    {"patient": "pseudonym", "partition": "of the input topic; a patient's never changes"},
    {
        "watch": (INTEGER, "2 watched, 1 paused, 0 discharged: the last point of a series unless admitted again"),
        "priority": (INTEGER, "highest of the open alarms: 0 none, 1 low, 2 medium, 3 high"),
        "unattended_priority": (INTEGER, "highest of those neither acknowledged nor shelved; 0 none"),
        "physiological_priority": (INTEGER, "highest of those about the patient, attended or not; 0 none"),
        "technical_priority": (INTEGER, "highest of those about equipment, attended or not; 0 none"),
        "open": (INTEGER, "alarms that are not closed"),
        "unattended": (INTEGER, "of these, neither acknowledged nor shelved"),
        "shelved": (INTEGER, "of these, shelved"),
        "unobserved": (INTEGER, "of these, alarms whose inputs have fallen silent"),
        "oldest_open_s": (FLOAT, "since the oldest open alarm was raised; 0 where there is none"),
        "oldest_unattended_s": (FLOAT, "since the oldest of the unattended was raised; 0 where there is none"),
        "overdue_s": (FLOAT, "by how much the next step owed is late; 0 where none is"),
        "worst_alarm_id": (TEXT, "the first in the order of `alarm_fold.worst_first`; missing where none is open"),
        "worst_rule": (TEXT, "its rule"),
        "worst_why": (TEXT, "why somebody should look, in words"),
        "worst_measure": (INTEGER, "`Measure` it is about; missing where it is about no single one or none is open"),
        "worst_value": (FLOAT, "the newest value or score of its reason; missing where there is none"),
        "worst_limit": (FLOAT, "the limit that value passed; likewise"),
    },
    "how things stand for every watched patient, alarms or not, readings or not: no series vanishes while its patient "
    "is watched, and a pipeline that has stopped is a series that has stopped",
)

HOPS: Final = Measurement(
    "hops",
    Policy.RAW,
    "when the part said it",
    {
        "part": "bridge, monitoring, storing ...",
        "hop": "`hops.Hop`: radio, ingest, log, judge, emit, store, to_alarm ...",
    },
    {
        "count": (INTEGER, "samples since the part started"),
        "mean_ns": (FLOAT, "of these"),
        "p50_ns": (FLOAT, "of these"),
        "p95_ns": (FLOAT, "of these"),
        "p99_ns": (FLOAT, "of these"),
        "p999_ns": (FLOAT, "of these"),
        "max_ns": (INTEGER, "of these"),
        "histogram": (TEXT, "`hops.Histogram.to_bytes`, base64: differences of two give the time between them"),
    },
    "how long each hop took",
)

PIPELINE: Final = Measurement(
    "pipeline",
    Policy.RAW,
    "when the part said it",
    {"part": "bridge, monitoring, storing, pager ..."},
    {
        "status": (INTEGER, "0 ok, 1 slow, 2 down"),
        "text": (TEXT, "the same in words"),
        "behind_s": (FLOAT, "how far its work is behind ward time, where the part tells"),
        "waiting": (INTEGER, "records it holds that are not done, where it tells"),
    },
    "what the parts say of themselves. Beside these fields a float for every number the part tells (`counts` of its "
    "record in the health topic), by name, nested names joined with an underscore: `readings`, `refused`, `retries`; "
    "they count from the part's start",
)

LEDGER: Final = Measurement(
    "ledger",
    Policy.LONG,
    "a whole minute of ward time",
    {"device": "which device"},
    {
        "sent": (INTEGER, "readings, as far as the device's bundles have told"),
        "stored": (INTEGER, "once each"),
        "duplicate": (INTEGER, "of repeated deliveries, or brought by another bundle already"),
        "refused": (INTEGER, "one by one"),
        "quarantined": (INTEGER, "in messages refused whole"),
        "remainder": (INTEGER, "explained by none of these; below zero where the device counts wrongly"),
        "missing": (INTEGER, "bundles that must exist and were not seen"),
    },
    "the ledger's sums, for devices of which something came since the point before (queues of the devices not counted: "
    "`teleward ledger` does)",
)

BOOK: Final = Measurement(
    "book",
    Policy.BOOKS,
    "which piece, counted from 0",
    {"name": "which book: settled offsets, the ledger's sums, alarms of a patient ..."},
    {"pieces": (INTEGER, "how many there are"), "body": (TEXT, "base64 of a piece")},
    "what storing has to remember, each under its name; overwritten in place",
)

FACTS: Final = Measurement(
    "facts",
    Policy.BOOKS,
    "place in a ring: the offset modulo its size, times the most pieces of a record",
    {"topic": "of the record", "partition": "of the record"},
    {
        "offset": (INTEGER, "of the record"),
        "pieces": (INTEGER, "how many there are of it"),
        "body": (TEXT, "base64 of a piece"),
    },
    "facts for the ledger that were not added up yet",
)

MEASUREMENTS: Final = (
    VITALS,
    VITALS_MINUTE,
    BUNDLES,
    FRAMES,
    SCORES,
    ALARM_EVENTS,
    ALARM_STATE,
    HOPS,
    PIPELINE,
    LEDGER,
    BOOK,
    FACTS,
)


def bucket(policy: Policy, database: str = DATABASE) -> str:
    """Where a policy's points are written: ``teleward/raw``, on 1.8 and on 2.x alike."""
    return f"{database}/{policy}"
