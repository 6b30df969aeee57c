"""Alert rules for clinicians and for engineers, as Grafana evaluates them.

Grafana decides nothing about patients: it reads the alarm state that Teleward decided, and the health of the pipeline.

What happens without data, and why:

- A rule about patients keeps its last state, on no data and on an error. Absence is no recovery, and a thousand alarms
  that all resolve because a database restarts would be read as a thousand recoveries.
- That absence is a fault of the pipeline, and one rule says so: *Alarm states have stopped* fires on no data and on an
  error. The other rules about the pipeline keep their last state too, so that one fault is one alert.
- Grafana resolves a series that vanishes beside others that stay. So rules look back for a day: a patient whose
  partition has stopped keeps the series, and the alert, while the rule about the partition fires beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import alerting, expr
from grafana_foundation_sdk.models import alerting as models

from dashboards.grafana.boards import as_json
from dashboards.grafana.clinical import console_patient
from dashboards.grafana.expressions import EXPRESSIONS
from dashboards.grafana.influxql import (
    ALERT_INTERVAL_MS,
    ALERT_MAX_POINTS,
    DATASOURCE_UID,
    Query,
    expression_source,
)
from dashboards.grafana.influxql import (
    CLINICAL as CLINICAL_PATIENTS,
)
from dashboards.grafana.settings import Site
from vitals.events import Priority
from vitals.measurements import ALARM_EVENTS, ALARM_STATE, LEDGER, PIPELINE
from vitals.signs import SIGNS, SOURCES, Measure

LABEL: Final = "teleward"
"""On every alert of ours; the branch of the notification policies matches it."""
CLINICAL: Final = "clinical"
PIPELINE_FAULT: Final = "pipeline"

FOLDER_UID: Final = "teleward-alerts"
CLINICAL_GROUP: Final = "teleward-patients"
PIPELINE_GROUP: Final = "teleward-pipeline"
EVERY_S: Final = 30

_WARD: Final = f"{CLINICAL_PATIENTS} AND $timeFilter"
_DAY_S: Final = 24 * 3600
_NOW_S: Final = 120  # for what a message says: older than that it would be of another alarm

_State = Literal["KeepLast", "Alerting", "OK"]
_Compare = Literal["gt", "lt", "within_range", "outside_range"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What differs between two rules.

    Attributes:
        uid: Stable.
        title: Its name.
        queries: Letter -> (question, seconds it looks back).
        steps: (letter, builder of an expression), in order; the last is the condition.
        labels: For the routes.
        summary: One line; a template.
        text: What it means and what to do; a template.
        hold: How long the condition must hold.
        no_data: What no data means.
        error: What an error means.
    """

    uid: str
    title: str
    queries: dict[str, tuple[str, int]]
    steps: tuple[tuple[str, Any], ...]
    labels: dict[str, str]
    summary: str
    text: str
    hold: str = "0s"
    no_data: _State = "KeepLast"
    error: _State = "KeepLast"


def groups(site: Site) -> list[dict[str, Any]]:
    """Both groups of rules, as the provisioning interface takes them."""
    return [
        _group(
            CLINICAL_GROUP,
            [*(_open_alarm(p, site) for p in reversed(Priority)), _overdue(site), _unobserved(site)],
            site,
        ),
        _group(PIPELINE_GROUP, [_stopped(), _silent_part(), _trouble(), _behind(), _unexplained(), _slow()], site),
    ]


# -- about patients ----------------------------------------------------------------------------------------------------


def _open_alarm(priority: Priority, site: Site) -> _Rule:
    rank = list(Priority).index(priority) + 1
    return _about_patient(
        f"teleward-{priority.value}", f"Open alarm of {priority.value} priority", "priority",
        _threshold("B", "within_range", rank - 0.5, rank + 0.5), priority,
        f"{{{{ $labels.patient }}}}: alarm of {priority.value} priority",
        f"{_what()}. {{{{ if $values.age.Labels }}}}The oldest alarm has been open for "
        f"{{{{ humanizeDuration $values.age.Value }}}}. {{{{ end }}}}",
        site,
    )  # fmt: skip


def _overdue(site: Site) -> _Rule:
    return _about_patient(
        "teleward-overdue", "Nobody has answered in time", "overdue_s", _threshold("B", "gt", 0), Priority.HIGH,
        "{{ $labels.patient }}: nobody has answered in time",
        "The next step owed for an alarm is late{{ if $values.B.Labels }} by "
        "{{ humanizeDuration $values.B.Value }}{{ end }}. "
        f"{_what()}. ", site,
    )  # fmt: skip


def _unobserved(site: Site) -> _Rule:
    return _about_patient(
        "teleward-unobserved", "An alarm stands without data", "unobserved", _threshold("B", "gt", 0), Priority.MEDIUM,
        "{{ $labels.patient }}: an alarm stands and its data have stopped",
        f"The readings behind an open alarm have stopped or lost their quality: it stands until somebody looks. "
        f"{_what()}. ",
        site,
    )  # fmt: skip


def _about_patient(
    uid: str, title: str, field: str, threshold: Any, priority: Priority, summary: str, text: str, site: Site
) -> _Rule:
    def newest(name: str) -> str:
        return f'SELECT last("{name}") FROM {ALARM_STATE.source} WHERE {_WARD} GROUP BY "patient"'

    said = {"value": "worst_value", "limit": "worst_limit", "measure": "worst_measure", "age": "oldest_open_s"}
    queries = {"A": (newest(field), _DAY_S)} | {f"Q_{name}": (newest(of), _NOW_S) for name, of in said.items()}
    return _Rule(
        uid=uid,
        title=title,
        queries=queries,
        steps=(("B", _last("A")), *((name, _last(f"Q_{name}")) for name in said), ("C", threshold)),
        labels={LABEL: CLINICAL, "priority": priority.value},
        summary=summary,
        text=text + f"Console: {console_patient(site.console_url, '{{ $labels.patient }}')}",
    )


def _what() -> str:
    """The measure with its unit, the value and the limit behind the worst alarm, as far as they are known."""
    # Each is tested by its labels: a number that is not there has none, and 0 is a value.
    chain = "".join(
        f"{{{{ {'if' if measure == 0 else 'else if'} eq $values.measure.Value {measure:d}.0 }}}}{_with_unit(measure)}"
        for measure in Measure
    )
    return (
        f"{{{{ if $values.measure.Labels }}}}{chain}{{{{ end }}}}{{{{ else }}}}Worst alarm{{{{ end }}}}"
        '{{ if $values.value.Labels }}: {{ printf "%.4g" $values.value.Value }}{{ end }}'
        '{{ if $values.limit.Labels }}, limit {{ printf "%.4g" $values.limit.Value }}{{ end }}'
    )


def _with_unit(measure: Measure) -> str:
    unit = SIGNS[SOURCES[measure][0]].unit
    return measure.label if unit.startswith("{") else f"{measure.label} ({unit})"


# How long, where a number is there.
_LONG: Final = "{{ if $values.B.Labels }}{{ humanizeDuration $values.B.Value }}{{ else }}nobody knows how long{{ end }}"

# -- about the pipeline ------------------------------------------------------------------------------------------------


def _stopped() -> _Rule:
    state = ALARM_STATE.source
    last = f'SELECT last("watch") AS "w" FROM {state} WHERE $timeFilter GROUP BY "patient", "partition"'
    return _pipeline(
        "teleward-stopped", "Alarm states have stopped", "critical",
        {
            "A": ((f'SELECT count("watch") FROM {state} WHERE $timeFilter GROUP BY time(2m), "partition" '
                  f'fill(0)'), _DAY_S),
            "W": (f'SELECT count("w") FROM ({last}) WHERE "w" > 0 AND $timeFilter GROUP BY "partition"', _DAY_S),
        },
        (("B", _last("A")), ("C", _threshold("B", "lt", 1)), ("X", _last("W")), ("Y", _threshold("X", "gt", 0)),
         ("Z", _math("$C && $Y"))),
        "Nobody is watching the patients{{ with $labels.partition }} of partition {{ . }}{{ end }}",
        "No state of an alarm has been written for minutes: monitoring, storing or InfluxDB has stopped, or Grafana "
        "cannot "
        "ask. Alerts about patients stand as they were and say nothing new. Look at the patients, then at "
        "`teleward doctor`.",
        hold="2m", no_data="Alerting", error="Alerting",
    )  # fmt: skip


def _silent_part() -> _Rule:
    return _pipeline(
        "teleward-silent-part", "A part says nothing", "critical",
        {"A": ((f'SELECT count("status") FROM {PIPELINE.source} WHERE $timeFilter GROUP BY time(2m), "part" '
               f'fill(0)'), _DAY_S)},
        (("B", _last("A")), ("C", _threshold("B", "lt", 1))),
        "{{ $labels.part }} says nothing",
        "The part has not said for minutes how it is: it has ended, or what it says is not kept.", hold="2m",
    )  # fmt: skip


def _trouble() -> _Rule:
    return _pipeline(
        "teleward-trouble", "A part says that it is slow or "
                            "down", "warning", {"A": (_newest_of_part("status"), _DAY_S)},
        (("B", _last("A")), ("C", _threshold("B", "gt", 0))),
        "{{ $labels.part }} says that it is not well",
        '1 is slow, 2 is down; now {{ with $values.B.Labels }}{{ printf "%.0f" $values.B.Value }}'
        '{{ else }}unknown{{ end }}. '
        "The dashboard Pipeline and the part's log "
        "say why.",
        hold="2m",
    )  # fmt: skip


def _behind() -> _Rule:
    return _pipeline(
        "teleward-behind", "Work is behind ward time", "critical", {"A": (_newest_of_part("behind_s"), _DAY_S)},
        (("B", _last("A")), ("C", _threshold("B", "gt", 60))),
        f"{{{{ $labels.part }}}} is behind by {_LONG}",
        "Alarms come late by so much. 60 s: a frame of the grid (site).", hold="2m",
    )  # fmt: skip


def _unexplained() -> _Rule:
    query = f'SELECT last("remainder") FROM {LEDGER.source} WHERE $timeFilter GROUP BY "device"'
    return _pipeline(
        "teleward-unexplained", "Readings that nobody can explain", "warning", {"A": (query, _DAY_S)},
        (("B", _last("A")), ("C", _threshold("B", "outside_range", -0.5, 0.5))),
        '{{ $labels.device }}: {{ with $values.B.Labels }}{{ printf "%.0f" $values.B.Value }}{{ else }}some{{ end }} '
        'readings are unexplained',
        "Sent, and neither stored nor duplicate nor refused for half an hour. Above 0 the device may still have "
        "them; below "
        "it counts wrongly. `teleward ledger` says which bundles.", hold="30m",
    )  # fmt: skip


def _slow() -> _Rule:
    query = f'SELECT percentile("to_alarm_s", 99) FROM {ALARM_EVENTS.source} WHERE $timeFilter GROUP BY "partition"'
    return _pipeline(
        "teleward-slow", "Alarms take long", "warning", {"A": (query, 3600)},
        (("B", _last("A")), ("C", _threshold("B", "gt", 180))),
        f"Alarms of partition {{{{ $labels.partition }}}} take {_LONG}",
        "From the measurement to the alarm, p99 of the last hour. 180 s: two frames of a minute and the allowed "
        "lateness, "
        "with room (site). An hour without alarms is no fault.", hold="5m", no_data="OK",
    )  # fmt: skip


def _newest_of_part(field: str) -> str:
    return f'SELECT last("{field}") FROM {PIPELINE.source} WHERE $timeFilter GROUP BY "part"'


def _pipeline(
    uid: str, title: str, severity: str, queries: dict[str, tuple[str, int]], steps: tuple[tuple[str, Any], ...],
    summary: str, text: str, **more: Any,
) -> _Rule:  # fmt: skip
    labels = {LABEL: PIPELINE_FAULT, "severity": severity}
    return _Rule(uid, title, queries, steps, labels, summary, text, **more)


# -- building ----------------------------------------------------------------------------------------------------------


def _group(name: str, rules: list[_Rule], site: Site) -> dict[str, Any]:
    group = alerting.RuleGroup(name).folder_uid(FOLDER_UID).interval(EVERY_S)
    group.rules([_built(rule, name, site) for rule in rules])
    built: dict[str, Any] = as_json(group.build())
    return built


def _built(rule: _Rule, group: str, site: Site) -> alerting.Rule:
    annotations = {"summary": rule.summary, "description": rule.text, "console": site.console_url}
    built = alerting.Rule(rule.title).uid(rule.uid).folder_uid(FOLDER_UID).rule_group(group).for_val(rule.hold)
    built.org_id(1).labels(rule.labels).annotations(annotations).condition(rule.steps[-1][0])
    # The typed builder does not know KeepLast, which Grafana has had since 10.3.
    built.no_data_state(rule.no_data).exec_err_state(rule.error)  # type: ignore[arg-type]
    for letter, (question, seconds) in rule.queries.items():
        since = models.RelativeTimeRange(from_val=seconds, to=0)
        query = alerting.Query(letter).datasource_uid(DATASOURCE_UID).relative_time_range(since)
        built.with_query(query.model(Query(question, letter, alert=True)))
    for letter, step in rule.steps:
        step.ref_id(letter).datasource(expression_source()).interval_ms(ALERT_INTERVAL_MS).max_data_points(
            ALERT_MAX_POINTS
        )
        none = models.RelativeTimeRange(from_val=0, to=0)
        built.with_query(alerting.Query(letter).datasource_uid(EXPRESSIONS).relative_time_range(none).model(step))
    return built


def _last(of: str) -> expr.TypeReduce:
    return expr.TypeReduce().expression(of).reducer("last").settings(expr.ExprTypeReduceSettings().mode("dropNN"))


def _threshold(of: str, compare: _Compare, *limits: float) -> expr.TypeThreshold:
    evaluator = expr.ExprTypeThresholdConditionsEvaluator().type(compare).params(list(limits))
    return expr.TypeThreshold().expression(of).conditions([expr.ExprTypeThresholdConditions().evaluator(evaluator)])


def _math(expression: str) -> expr.TypeMath:
    return expr.TypeMath().expression(expression)
