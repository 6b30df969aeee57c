"""The table of rules: what raises an alarm, how soon someone must look, and where each number comes from.

Rules are code with a version. A patient's own limit is an override with a name, a time and a reason
(`vitals.log.Limit`), never an edit of this table.

Two layers, so that neither has to do the other's work: the limits here are *extreme and quick* (a minute or two),
set beyond what a healthy person reaches in a run for the bus; what is *moderate and lasting* (a heart rate of 131, a
saturation of 91) is NEWS2's, after five minutes.

Sources: ``[CLIN 1.3]`` the critical column of the ranges in docs/clinical.md; ``[NEWS2]`` RCP 2017 as [CLIN 2.1] has
it; ``[MEWS]`` Subbe 2001 as [CLIN 2.4] has it (third-party); ``site``: our own default, unconfirmed by a publication,
with its reason. All of them are defaults that a site's clinicians set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from vitals.events import Kind
from vitals.rule import (
    ACK_NS,
    ANSWER_WITHIN_NS,
    EXPECT_MAX_NS,
    HIGH,
    LOW,
    MEASURE_SLUGS,
    MEDIUM,
    NEWS2_MEASURES,
    Band,
    ByPriority,
    Rule,
    Subject,
    detector_rule,
    missed_id,
    observe_id,
    sensor_off_id,
    with_limit,
)
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Measure

__all__ = [
    "ACK_NS",
    "ANSWER_WITHIN_NS",
    "EXPECT_MAX_NS",
    "MEASURE_SLUGS",
    "NEWS2_MEASURES",
    "RULES",
    "RULES_VERSION",
    "Band",
    "ByPriority",
    "Rule",
    "Subject",
    "detector_rule",
    "missed_id",
    "observe_id",
    "sensor_off_id",
    "with_limit",
]

RULES_VERSION: Final = "teleward-rules-1"


def _limit(
    name: str,
    measure: Measure,
    direction: Literal["above", "below"],
    bands: tuple[Band, ...],
    unit: str,
    *,
    delay_ns: int,
    margin: float,
    hysteresis_ns: int,
    words: str,
    source: str,
) -> Rule:
    """A limit of a measure: latched, on the floor list, inhibited while its own sensor is off."""
    return Rule(
        id=name,
        kind=Kind.PHYSIOLOGICAL,
        subject=Subject.LIMIT,
        bands=bands,
        unit=unit,
        measure=measure,
        direction=direction,
        delay_ns=delay_ns,
        margin=margin,
        hysteresis_ns=hysteresis_ns,
        latched=True,
        inhibited_by=(sensor_off_id(measure),),
        on_floor_list=True,
        words=words,
        source=source,
    )


_SCORES: Final = (
    Rule(
        id="news2",
        kind=Kind.PHYSIOLOGICAL,
        subject=Subject.SCORE,
        score="news2",
        bands=(Band(5, MEDIUM), Band(7, HIGH)),
        unit="points",
        delay_ns=5 * MINUTE_NS,
        hysteresis_ns=5 * MINUTE_NS,
        latched=True,
        on_floor_list=True,
        refractory_ns=30 * MINUTE_NS,
        words="Several signs together are off: urgent review at 5, emergency at 7.",
        source="[NEWS2] response table: 5-6 urgent, 7 or more emergency; delay and hysteresis: site (a bus run)",
    ),
    Rule(
        id="news2-single",
        kind=Kind.PHYSIOLOGICAL,
        subject=Subject.SINGLE,
        score="news2",
        bands=(Band(3, MEDIUM),),
        unit="points",
        delay_ns=5 * MINUTE_NS,
        hysteresis_ns=5 * MINUTE_NS,
        latched=True,
        refractory_ns=30 * MINUTE_NS,
        words="One sign alone is far off (3 points): urgent ward review.",
        source="[NEWS2] response table: any single parameter at 3; delay and hysteresis: site (a bus run)",
    ),
)

_LIMITS: Final = (
    _limit(
        "spo2-low",
        Measure.SPO2,
        "below",
        (Band(87, MEDIUM), Band(85, HIGH)),
        "%",
        delay_ns=60 * SECOND_NS,
        margin=2,
        hysteresis_ns=60 * SECOND_NS,
        words="Oxygen saturation is very low.",
        source="high: [CLIN 1.3] critical 85; medium: [NEWS2] 87 is below the target of both scales (scale 2 aims at "
        "88-92); delay: site, longer than a pause of breath in sleep or a movement",
    ),
    _limit(
        "rate-high",
        Measure.RATE,
        "above",
        (Band(170, MEDIUM), Band(190, HIGH)),
        "/min",
        delay_ns=60 * SECOND_NS,
        margin=5,
        hysteresis_ns=60 * SECOND_NS,
        words="The heart is very fast.",
        source="site: above the critical 160 of [CLIN 1.3], which a healthy run for the bus reaches; 131 or more for "
        "five minutes is news2-single's",
    ),
    _limit(
        "rate-low",
        Measure.RATE,
        "below",
        (Band(40, MEDIUM), Band(30, HIGH)),
        "/min",
        delay_ns=60 * SECOND_NS,
        margin=3,
        hysteresis_ns=60 * SECOND_NS,
        words="The heart is very slow.",
        source="medium: [NEWS2] 40 or less scores 3; high: site, between that and the critical 20 of [CLIN 1.3]",
    ),
    _limit(
        "resp-high",
        Measure.RESP,
        "above",
        (Band(35, MEDIUM), Band(40, HIGH)),
        "/min",
        delay_ns=2 * MINUTE_NS,
        margin=3,
        hysteresis_ns=60 * SECOND_NS,
        words="Breathing is very fast.",
        source="medium: [CLIN 1.3] critical 35; high: site; 25 or more for five minutes is news2-single's",
    ),
    _limit(
        "resp-low",
        Measure.RESP,
        "below",
        (Band(8, MEDIUM), Band(4, HIGH)),
        "/min",
        delay_ns=60 * SECOND_NS,
        margin=1,
        hysteresis_ns=60 * SECOND_NS,
        words="Breathing is very slow.",
        source="medium: [NEWS2] 8 or less scores 3; high: [CLIN 1.3] critical 4; delay: site, longer than one apnoea",
    ),
    _limit(
        "temp-high",
        Measure.TEMP_C,
        "above",
        (Band(39.1, LOW), Band(41.0, MEDIUM), Band(42.0, HIGH)),
        "Cel",
        delay_ns=10 * MINUTE_NS,
        margin=0.3,
        hysteresis_ns=10 * MINUTE_NS,
        words="High fever.",
        source="low: [NEWS2] 39.1 scores 2; high: [CLIN 1.3] critical 42; medium: site, between them",
    ),
    _limit(
        "temp-low",
        Measure.TEMP_C,
        "below",
        (Band(34.0, MEDIUM), Band(32.0, HIGH)),
        "Cel",
        delay_ns=10 * MINUTE_NS,
        margin=0.3,
        hysteresis_ns=10 * MINUTE_NS,
        words="The body is very cold.",
        source="high: [CLIN 1.3] critical 32; medium: site; 35.0 or less for five minutes is news2-single's",
    ),
    _limit(
        "sbp-low",
        Measure.SBP,
        "below",
        (Band(80, MEDIUM), Band(70, HIGH)),
        "mm[Hg]",
        delay_ns=60 * SECOND_NS,
        margin=5,
        hysteresis_ns=60 * SECOND_NS,
        words="Blood pressure is very low.",
        source="[MEWS] 71-80 scores 2, 70 or less 3 ([CLIN 1.3] critical is 60); 90 or less for five minutes is "
        "news2-single's; delay: site, longer than a flush of the line",
    ),
    _limit(
        "sbp-high",
        Measure.SBP,
        "above",
        (Band(200, LOW), Band(220, MEDIUM), Band(250, HIGH)),
        "mm[Hg]",
        delay_ns=5 * MINUTE_NS,
        margin=10,
        hysteresis_ns=5 * MINUTE_NS,
        words="Blood pressure is very high.",
        source="low: [MEWS] 200 or more scores 2; medium: [NEWS2] 220 or more scores 3; high: top of the plausible "
        "range of [CLIN 1.3] (site)",
    ),
)

_DETECTORS: Final = (
    Rule(
        id="sepsis-risk",
        kind=Kind.PHYSIOLOGICAL,
        subject=Subject.DETECTOR,
        score="sepsis",
        bands=(Band(0.5, MEDIUM),),
        unit="score",
        hysteresis_ns=2 * HOUR_NS,
        latched=True,
        shelf_max_ns=4 * HOUR_NS,
        refractory_ns=4 * HOUR_NS,
        words="The course of the signs resembles early sepsis: think of infection, look at the patient.",
        source="threshold: the artifact's own, set to an alert budget (0.5 stands for it here); times: site, two "
        "hourly frames",
    ),
    Rule(
        id="anomaly",
        kind=Kind.PHYSIOLOGICAL,
        subject=Subject.DETECTOR,
        score="anomaly",
        bands=(Band(0.5, LOW),),
        unit="score",
        delay_ns=3 * MINUTE_NS,
        hysteresis_ns=10 * MINUTE_NS,
        shelf_max_ns=4 * HOUR_NS,
        refractory_ns=HOUR_NS,
        words="The signs are unlike this patient's own.",
        source="threshold: the detector's own, set to an alert budget (0.5 stands for it here); times: site",
    ),
)


def _technical(name: str, bands: tuple[Band, ...], unit: str, *, words: str, source: str, **more: object) -> Rule:
    """A rule about equipment: unlatched, and shelvable for half a day."""
    fields: dict[str, object] = {"shelf_max_ns": 12 * HOUR_NS, "refractory_ns": HOUR_NS} | more
    return Rule(
        id=name,
        kind=Kind.TECHNICAL,
        subject=Subject.TECHNICAL,
        bands=bands,
        unit=unit,
        words=words,
        source=source,
        **fields,  # type: ignore[arg-type]  # names and types are the table's own, a test reads every row
    )


_TECHNICAL: Final = (
    _technical(
        "device-silent",
        (Band(3, LOW), Band(90, MEDIUM)),
        "periods of its binding",
        per_device=True,
        words="A device has stopped sending.",
        source="site: two lost bundles are the radio's, three are the device's; a quarter of an hour of a device that "
        "sends each ten seconds needs somebody",
    ),
    _technical(
        "battery-low",
        (Band(15, LOW),),
        "%",
        direction="below",
        margin=5,
        delay_ns=MINUTE_NS,
        per_device=True,
        words="A device needs charging.",
        source="site",
    ),
    _technical(
        "device-clock",
        (Band(60, LOW),),
        "s",
        delay_ns=MINUTE_NS,
        margin=30,
        hysteresis_ns=MINUTE_NS,
        per_device=True,
        words="A device's clock is wrong: its readings stand at wrong times.",
        source="site: a frame of the grid is a minute",
    ),
    _technical(
        "model-late",
        (Band(5, LOW),),
        "min",
        pages=False,
        words="A risk score is late or missing; the published scores go on.",
        source="site: five frames of the grid; calls nobody, because it is true of a whole ward at once: whoever runs "
        "the system is told by the health of its parts",
    ),
    _technical(
        "no-device",
        (Band(10, MEDIUM),),
        "min",
        words="An admitted patient wears no device: nobody is watching.",
        source="site: time to change a device",
    ),
    *(
        _technical(
            sensor_off_id(measure),
            (Band(1, LOW),),
            "poor signal, no contact or artefact",
            measure=measure,
            delay_ns=MINUTE_NS,
            hysteresis_ns=10 * SECOND_NS,
            words=f"The sensor for {measure.label} is off, has no signal, or shows what is no patient's.",
            source="site: delay longer than a movement",
        )
        for measure in Measure
        if measure not in (Measure.CONSCIOUSNESS, Measure.OXYGEN)  # people observe these
    ),
    *(
        _technical(
            observe_id(measure),
            (Band(1, LOW),),
            "missing or stale",
            measure=measure,
            delay_ns=10 * MINUTE_NS,
            pages=False,
            words=f"A raised score cannot be excluded: please observe {measure.label}.",
            source="site: time for a sensor to come back by itself",
        )
        for measure in NEWS2_MEASURES
    ),
)


def _missed(rule: Rule) -> Rule:
    """The review of what a device sent too late to be judged as live."""
    return _technical(
        missed_id(rule.id),
        (Band(1, LOW),),
        "occurrences",
        measure=rule.measure,
        latched=True,
        momentary=True,
        refractory_ns=0,
        words=f"Sent late by the device, for review: {rule.words[0].lower()}{rule.words[1:]}",
        source=f"ALARMS, seventh property: what a device sent late never pages as live; the numbers are {rule.id}'s",
    )


_PHYSIOLOGICAL: Final = (*_SCORES, *_LIMITS, *_DETECTORS)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*_PHYSIOLOGICAL, *_TECHNICAL, *(_missed(rule) for rule in _PHYSIOLOGICAL))}
)
"""Every rule by id. The order is the table's, the same in every process."""
