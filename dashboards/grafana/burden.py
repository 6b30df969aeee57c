"""*Alarm burden*: how many alarms a patient-day brings, how soon they are answered, which rules they come from."""

from __future__ import annotations

from typing import Any, Final

from grafana_foundation_sdk.builders import expr

from dashboards.grafana.boards import BURDEN, Board
from dashboards.grafana.influxql import CLINICAL, Query, expression_source
from dashboards.grafana.panels import COLOURS, GREEN, bars, column, lines, number, rows, words_panel
from vitals.events import Priority
from vitals.measurements import ALARM_EVENTS, FRAMES
from vitals.rules import ACK_NS, ANSWER_WITHIN_NS
from vitals.signs import SECOND_NS

_EVENTS: Final = ALARM_EVENTS.source
_RAISED: Final = f"\"event\" = 'raised' AND {CLINICAL}"
_FRAMES_A_DAY: Final = 24 * 60  # one a minute for every watched patient


def burden(console_url: str) -> dict[str, Any]:
    """The dashboard *Alarm burden*."""
    board = Board(BURDEN, "Alarm burden", "How many alarms, how soon answered, from which rules.", console_url,
                  since="now-24h", refresh="5m")  # fmt: skip
    board.add(words_panel("", "What this page is.", _TEXT), 24, 4)
    board.add(_per_patient_day("All alarms", _RAISED), 8, 5)
    board.add(_per_patient_day("About the patient", f"{_RAISED} AND \"kind\" = 'physiological'"), 8, 5)
    board.add(_per_patient_day("About equipment", f"{_RAISED} AND \"kind\" = 'technical'"), 8, 5)
    _answers(board)
    board.row("Where they come from")
    for tag in ("rule", "patient"):
        board.add(
            bars(
                f"Alarms raised, by {tag}", "In the time shown.",
                Query(f'SELECT count("n") FROM {_EVENTS} WHERE {_RAISED} AND $timeFilter GROUP BY "{tag}"',
                      alias=f"$tag_{tag}"),
            ), 12, 12,
        )  # fmt: skip
    board.add(
        lines(
            "Alarms raised over time, by priority", "A bar for each hour.",
            *(Query(f'SELECT count("n") FROM {_EVENTS} WHERE {_RAISED} AND "priority" = \'{priority.value}\' AND '
                    f'$timeFilter '
                    "GROUP BY time($__interval) fill(0)", "ABC"[i], alias=priority.value)
              for i, priority in enumerate(Priority)),
        ).interval("1h"), 12, 10,
    )  # fmt: skip
    board.add(
        rows(
            "What became of them", "Events by rule: raised, worsened, acknowledged, shelved, closed ...",
            Query(f'SELECT count("n") AS "events" FROM {_EVENTS} WHERE {CLINICAL} AND $timeFilter GROUP BY "rule", '
                  f'"event"',
                  result_format="table"),
            sort_by="events",
        ), 12, 10,
    )  # fmt: skip
    return board.build()


_TEXT: Final = """\
An alarm that nobody needs makes the next one late. What matters here: **alarms a patient-day**, **time to an answer**,
and **which rule** they come from. A patient-day is 1440 closed frames: a patient who is watched, and whose time
goes on."""


def _per_patient_day(title: str, condition: str) -> Any:
    """Alarms raised, divided by the days that patients were watched; of two measurements, so by expressions."""
    panel = number(
        f"{title}: raised a patient-day",
        "Alarms raised in the time shown, divided by the patient-days watched in it (closed frames / 1440).",
        Query(f'SELECT count("n") FROM {_EVENTS} WHERE {condition} AND $timeFilter GROUP BY time($__interval) '
              f'fill(0)', "A",
              hide=True),
        Query(f'SELECT count("start_ns") FROM {FRAMES.source} WHERE {CLINICAL} AND $timeFilter GROUP BY '
              f'time($__interval) '
              f'fill(0)', "B",
              hide=True),
    )  # fmt: skip
    for ref, of in (("C", "A"), ("D", "B")):
        settings = expr.ExprTypeReduceSettings().mode("dropNN")
        step = expr.TypeReduce().datasource(expression_source()).ref_id(ref).expression(of).reducer("sum")
        panel.with_target(step.settings(settings).hide(True))
    quotient = expr.TypeMath().datasource(expression_source()).ref_id("E")
    panel.with_target(quotient.expression(f"$C / $D * {_FRAMES_A_DAY}"))
    return panel.decimals(1)


def _answers(board: Board) -> None:
    wanted = "; ".join(
        f"{priority.value}: {ANSWER_WITHIN_NS[priority] / SECOND_NS / 60:g} min (an acknowledgement lasts "
        f"{ACK_NS[priority] / SECOND_NS / 60:g} min)"
        for priority in Priority
    )
    fields = ", ".join(f'percentile("since_raised_s", {p}) AS "p{p}"' for p in (50, 90))
    board.add(
        rows(
            "Time to acknowledge, by priority",
            f"From the raising of an alarm to its acknowledgement. Somebody must have answered within (site): "
            f"{wanted}.",
            Query(f'SELECT count("since_raised_s") AS "acknowledged", {fields}, max("since_raised_s") AS "longest" '
                  f'FROM {_EVENTS} WHERE "event" = \'acknowledged\' AND {CLINICAL} AND $timeFilter GROUP BY "priority"',
                  result_format="table"),
            sort_by="p90", unit="s",
        ).override_by_name("acknowledged", column(unit="short")), 12, 7,
    )  # fmt: skip
    board.add(
        rows(
            "Time to acknowledge, by rule", "From the raising of an alarm to its acknowledgement.",
            Query(f'SELECT count("since_raised_s") AS "acknowledged", {fields} FROM {_EVENTS} '
                  f'WHERE "event" = \'acknowledged\' AND {CLINICAL} AND $timeFilter GROUP BY '
                  f'"rule"', result_format="table"),
            sort_by="p90", unit="s",
        ).override_by_name("acknowledged", column(unit="short")), 12, 7,
    )  # fmt: skip
    board.add(
        number(
            "Acknowledgements that ran out", "Nobody resolved the alarm before its acknowledgement's end: it asks "
            "again.",
            Query(f'SELECT count("n") FROM {_EVENTS} WHERE "event" = \'acknowledgement_expired\' AND {CLINICAL} AND '
                  f'$timeFilter '
                  "GROUP BY time($__interval) fill(0)"),
            steps=[(None, GREEN), (1.0, COLOURS[Priority.MEDIUM])], reducer="sum",
        ), 24, 4,
    )  # fmt: skip
