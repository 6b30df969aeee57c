"""*Ward*: who needs someone now. *Patient*: one patient's signs with their limits, scores with their bounds, alarms."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from dashboards.grafana.boards import PATIENT, WARD, Board
from dashboards.grafana.influxql import CLINICAL, Query, name
from dashboards.grafana.panels import (
    COLOURS,
    GREEN,
    PRIORITY_WORDS,
    WATCH_WORDS,
    Step,
    column,
    config,
    lines,
    number,
    rows,
    sources_of,
    states,
    steps_of,
    unit,
    words_panel,
)
from vitals.events import SCORES, Priority
from vitals.measurements import ALARM_EVENTS, ALARM_STATE, FRAMES, VITALS
from vitals.measurements import SCORES as SCORES_MEASUREMENT
from vitals.rules import RULES, Subject
from vitals.signs import SIGNS, SOURCES, Consciousness, Measure

_STATE: Final = ALARM_STATE.source
_WARD: Final = f"{CLINICAL} AND $timeFilter"
_PATIENT: Final = "\"patient\" = '$patient' AND $timeFilter"
_OBSERVED: Final = (Measure.CONSCIOUSNESS, Measure.OXYGEN)  # people tell these: states, not curves


def console_patient(console_url: str, patient: str) -> str:
    """Where the console shows a patient; `patient` may be a placeholder of Grafana's or a template's."""
    return f"{console_url}/patient/{patient if '$' in patient or '{' in patient else quote(patient, safe='')}"


def _newest(field: str, one: str) -> str:
    """How many watched patients fulfil a condition at their newest point; nothing where no patient is known.

    Args:
        field: What it looks at.
        one: InfluxQL that makes 1 of a value that fulfils it and 0 of any other. (A condition behind WHERE would leave
            no row where nobody fulfils it, and an InfluxDB without data would look like a quiet ward.)
    """
    inner = f'SELECT last("watch") AS "watch", last("{field}") AS "v" FROM {_STATE} WHERE {_WARD} GROUP BY "patient"'
    each = f'SELECT {one} AS "n" FROM ({inner}) WHERE "watch" = 2 AND $timeFilter GROUP BY "patient"'
    return f'SELECT sum("n") FROM ({each}) WHERE $timeFilter'


_ANY: Final = 'ceil("v" / ("v" + 1))'  # of a number that is not negative: whether it is above 0
_HIGH: Final = 'floor("v" / 3)'  # of a priority's rank


def ward(console_url: str) -> dict[str, Any]:
    """The dashboard *Ward*."""
    board = Board(WARD, "Ward", "Who needs someone now.", console_url, since="now-15m", refresh="10s")
    board.add(words_panel("", "What this page is.", _WARD_TEXT), 24, 3)
    counts = (
        ("Watched", "Patients who are admitted and not paused.", "watch", 'floor("v" / 2)', None),
        ("High alarm open", "Patients whose worst open alarm is of high priority, attended or not.",
         "priority", _HIGH, Priority.HIGH),
        ("Nobody has answered", "Patients with an open alarm that is neither acknowledged nor shelved.",
         "unattended", _ANY, Priority.MEDIUM),
        ("Overdue", "Patients for whom the next step owed is late (docs/alarms.md, due times).",
         "overdue_s", _ANY, Priority.HIGH),
        ("Data stopped under an alarm", ("Patients with an alarm whose inputs have fallen silent: it stands until "
        "somebody "
         "looks. Absence of data is never recovery."), "unobserved", _ANY, Priority.MEDIUM),
    )  # fmt: skip
    for index, (title, description, field, one, worst) in enumerate(counts):
        steps: list[Step] = [(None, GREEN), (1.0, COLOURS[worst])] if worst else []
        panel = number(title, description, Query(_newest(field, one)), steps=steps)
        board.add(panel, 4 if index == len(counts) - 1 else 5, 4)
    board.add(_needs(console_url), 24, 12)
    board.add(
        states(
            "Worst open alarm of each patient over time",
            "Highest priority of the alarms that were open, for each patient. A gap: nothing is known of that time.",
            Query(
                f'SELECT max("priority") FROM {_STATE} WHERE {_WARD} GROUP BY time($__interval), "patient" fill(none)',
                alias="$tag_patient",
            ),
            words=PRIORITY_WORDS,
        ).interval("10s"),
        12,
        12,
    )
    board.add(_by_priority().interval("1m"), 12, 12)
    return board.build()


_WARD_TEXT: Final = """\
Whoever stands first below needs someone first. **Alarms are answered on the console** (link above): this page only
shows them. A patient is a pseudonym here; the console knows the bed."""


def _needs(console_url: str) -> Any:
    fields = (
        "unattended_priority", "priority", "overdue_s", "oldest_unattended_s", "open", "unattended", "shelved",
        "unobserved", "worst_rule", "worst_why", "watch",
    )  # fmt: skip
    panel = rows(
        "Who needs someone now",
        "The newest state of every patient: unanswered alarms of high priority first. A click on a patient opens the "
        "dashboard *Patient* or the console.",
        Query(
            f"SELECT {', '.join(name(field) for field in fields)} FROM {_STATE} WHERE {_WARD} "
            f'GROUP BY "patient" ORDER BY time DESC LIMIT 1',
            result_format="table",
        ),
        sort_by="unattended_priority",
    )
    value = "${__value.raw:percentencode}"
    links = [
        {"title": "Patient", "url": f"/d/{PATIENT}?var-patient={value}"},
        {"title": "Console", "url": console_patient(console_url, value), "targetBlank": True},
    ]
    panel.override_by_name("patient", [config("links", links)])
    for field in ("unattended_priority", "priority"):
        panel.override_by_name(field, column(words=PRIORITY_WORDS))
    panel.override_by_name("watch", column(words=WATCH_WORDS))
    for field in ("overdue_s", "oldest_unattended_s"):
        panel.override_by_name(field, column(unit="s"))
    return panel


def _by_priority() -> Any:
    def count(rank: int) -> str:
        return (
            f'SELECT count("p") FROM (SELECT max("priority") AS "p" FROM {_STATE} WHERE {_WARD} '
            f'GROUP BY time($__interval), "patient") WHERE "p" = {rank} AND $timeFilter GROUP BY time($__interval) '
            f"fill(0)"
        )

    panel = lines(
        "Patients by their worst open alarm",
        "How many patients had a worst open alarm of each priority.",
        *(Query(count(rank), "ABC"[rank - 1], alias=priority.value) for rank, priority in enumerate(Priority, 1)),
    )
    for priority in Priority:
        colour = {"mode": "fixed", "fixedColor": COLOURS[priority]}
        panel.override_by_name(priority.value, [config("color", colour)])
    return panel


def patient(console_url: str) -> dict[str, Any]:
    """The dashboard *Patient*."""
    board = Board(
        PATIENT, "Patient", "One patient: signs with limits, scores with bounds, alarms.", console_url,
        since="now-6h", refresh="30s",
    )  # fmt: skip
    board.patient_variable()
    board.annotate(
        "Alarms", COLOURS[Priority.HIGH],
        f'SELECT "cause", "rule", "event", "priority" FROM {ALARM_EVENTS.source} WHERE {_PATIENT} '
        'AND "event" =~ /^(raised|worsened|recurred|returned|closed)$/',
        text_column="cause", tags_columns="rule,event,priority",
    )  # fmt: skip
    link = console_patient(console_url, "${patient:percentencode}")
    text = f"Alarms of this patient are answered [on the console]({link}). Limits drawn here are the site's defaults; "
    board.add(words_panel("", "What this page is.", text + "a patient's own limits stand on the console."), 24, 3)
    _standing(board)
    board.row("Signs, with their limits")
    for measure in Measure:
        if measure not in _OBSERVED:
            board.add(_measure(measure), 12, 8)
    board.row("Scores, with their bounds")
    for score in SCORES:
        board.add(_score(score), 12, 8)
    board.add(_detectors(), 12, 8)
    board.row("Alarms")
    board.add(_events(), 24, 12)
    return board.build()


def _standing(board: Board) -> None:
    """How things stand: priority, what people observed, how old everything is."""
    board.add(
        states(
            "Worst open alarm", "Highest priority of the alarms that were open. A gap: nothing is known of that time.",
            Query(f'SELECT max("priority") FROM {_STATE} WHERE {_PATIENT} GROUP BY time($__interval) fill(none)',
                  alias="alarm"),
            words=PRIORITY_WORDS,
        ).interval("10s"), 24, 4,
    )  # fmt: skip
    letters = {
        str(int(c)): (c.name, "green" if c is Consciousness.A else COLOURS[Priority.MEDIUM]) for c in Consciousness
    }
    air = {"0": ("air", "green"), "1": ("oxygen", COLOURS[Priority.LOW])}
    for measure, words in ((Measure.CONSCIOUSNESS, letters), (Measure.OXYGEN, air)):
        (sign,) = SOURCES[measure]
        board.add(
            states(
                measure.label.capitalize(),
                f"As last observed, while it is valid ({SIGNS[sign].valid_ns / 3.6e12:g} h). {SIGNS[sign].source}.",
                Query(f'SELECT last("{sign.column}") FROM {FRAMES.source} WHERE {_PATIENT} GROUP BY time($__interval) '
                      "fill(none)", alias=measure.label),
                words=words,
            ).interval("1m"), 12, 4,
        )  # fmt: skip
    ages = [sign for measure in Measure for sign in SOURCES[measure]]
    board.add(
        number(
            "Age of the newest usable reading", "By sign, at the end of the newest frame; signs that were never "
            "measured are "
            "left out.",
            *(Query(f'SELECT last("{sign.column}_age_ns") FROM {FRAMES.source} WHERE {_PATIENT}', chr(ord("A") + index),
                    alias=sign.column) for index, sign in enumerate(ages)),
            unit="ns",
        ), 24, 4,
    )  # fmt: skip


def _measure(measure: Measure) -> Any:
    signs = SOURCES[measure]
    limits = [rule for rule in RULES.values() if rule.subject is Subject.LIMIT and rule.measure is measure]
    names = "|".join(sign.column for sign in signs)
    told = "\n".join(f"- {sign.column}: {SIGNS[sign].label}; {SIGNS[sign].source}" for sign in signs)
    where = sources_of(limits) or "no limit of its own; NEWS2 scores it"
    panel = lines(
        measure.label.capitalize(),
        f"Readings that may be judged (good or doubtful), as means of the interval; a line breaks where its last "
        f"value is no "
        f"longer valid.\n\n{told}\n\nLimits:\n{where}",
        Query(
            f'SELECT mean("value") FROM {VITALS.source} WHERE {_PATIENT} AND "sign" =~ /^({names})$/ AND "quality" '
            f"<= 1 "
            'GROUP BY time($__interval), "sign" fill(none)',
            alias="$tag_sign",
        ),
        unit=unit(SIGNS[signs[0]].unit),
        steps=steps_of(limits),
    )
    for sign in signs:
        panel.override_by_name(sign.column, [config("custom.insertNulls", SIGNS[sign].valid_ns // 1_000_000)])
    return panel


def _score(score: str) -> Any:
    limits = [rule for rule in RULES.values() if rule.subject is Subject.SCORE and rule.score == score]
    where = f"\n\nLimits:\n{sources_of(limits)}" if limits else ""
    panel = lines(
        score.upper(),
        "Lower and upper bound: they part where inputs are missing. Nothing missing is ever taken as normal." + where,
        *(
            Query(
                f'SELECT last("{bound}") FROM {SCORES_MEASUREMENT.source} WHERE {_PATIENT} AND "score" = \'{score}\' '
                "GROUP BY time($__interval) fill(none)",
                ref, alias=words,
            ) for ref, bound, words in (("A", "low", "at least"), ("B", "high", "at most"))
        ),
        unit="points",
        steps=steps_of(limits),
    )  # fmt: skip
    panel.override_by_name("at most", [config("custom.fillBelowTo", "at least")])
    return panel.interval("1m")


def _detectors() -> Any:
    return lines(
        "Learned detectors",
        "Calibrated scores in 0..1, higher is worse; each has a threshold of its own, set to an alert budget "
        "(docs/models.md). A gap: the detector could not say.",
        Query(
            f'SELECT last("low") FROM {SCORES_MEASUREMENT.source} WHERE {_PATIENT} '
            f'AND "score" !~ /^({"|".join(SCORES)})$/ GROUP BY time($__interval), "score" fill(none)',
            alias="$tag_score",
        ),
        unit="percentunit",
    ).interval("1m")


def _events() -> Any:
    panel = rows(
        "Alarm events",
        "What happened to this patient's alarms, newest first: the truth about an alarm is the sequence of its events.",
        Query(
            f'SELECT "event", "priority", "rule", "cause", "by", "due_ns" FROM {ALARM_EVENTS.source} WHERE {_PATIENT} '
            "ORDER BY time DESC LIMIT 200",
            result_format="table",
        ),
        sort_by="Time",
    )
    return panel.override_by_name("due_ns", [config("custom.hidden", value=True)])
