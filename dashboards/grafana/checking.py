"""Asks every question of every panel and rule of a real InfluxDB, and judges the answers.

A question that is refused is a fault, and so is an empty answer, but where nothing need have happened (nobody
acknowledged an alarm in the time shown). What the answers should be comes from outside as *expectations*: functions
that were told what was written, and know nothing of these questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dashboards.grafana import expressions
from dashboards.grafana.expressions import EXPRESSIONS, Numbers, Series
from dashboards.grafana.influxql import Answer, Influx, InfluxError, rendered
from dashboards.grafana.resources import Resources
from vitals.measurements import ALARM_EVENTS
from vitals.signs import SECOND_NS

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_POINTS: Final = 200  # a panel as wide as on a page


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is shown.

    Attributes:
        from_ns: Its start.
        to_ns: Its end: what a rule takes for now.
    """

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Told:
    """What InfluxDB answered to a panel.

    Attributes:
        answers: To each of its questions, by letter.
        numbers: What its expressions made of them, by letter.
        interval_s: Width of a bucket of time.
        window: The time asked for.
    """

    answers: Mapping[str, Answer]
    numbers: Mapping[str, Numbers]
    interval_s: int
    window: Window

    @property
    def rows(self) -> int:
        """Values of all answers."""
        return sum(answer.rows for answer in self.answers.values())

    @property
    def only(self) -> Answer:
        """The answer of a panel with one question."""
        (answer,) = self.answers.values()
        return answer


Expectation: TypeAlias = Callable[[Told], str]
"""What is wrong with an answer, in words; "" where nothing is."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One panel, variable, annotation or rule.

    Attributes:
        what: Which.
        questions: How many were asked.
        rows: Values that came.
        compared: Whether the values were compared with what was written.
        problem: What is wrong; "" where nothing is.
    """

    what: str
    questions: int
    rows: int
    compared: bool
    problem: str = ""


def check_boards(
    influx: Influx,
    resources: Resources,
    window: Window,
    variables: Mapping[str, str],
    expectations: Mapping[tuple[str, str], Expectation],
    *,
    quiet: bool,
) -> list[Checked]:
    """Ask for everything that is on the dashboards.

    Args:
        influx: Whom.
        resources: What is asked.
        window: Which time.
        variables: Values of the dashboards' variables.
        expectations: (uid of a dashboard, title of a panel) -> what its answer should be.
        quiet: True where nothing need have happened: questions about alarm events may then stay without an answer.

    Raises:
        KeyError: If an expectation names a panel that is not there.
    """
    done: list[Checked] = []
    left = dict(expectations)
    for board in resources.dashboards:
        for variable in board["templating"]["list"]:
            query = {"refId": "A", "query": variable["query"]}
            done.append(
                _panel(influx, f"{board['uid']}: variable {variable['name']}", [query], window, variables, None)
            )
        for one in board["annotations"]["list"]:
            what = f"{board['uid']}: annotations {one['name']}"
            checked = _panel(
                influx, what, [{"refId": "A", "query": one["query"]}], window, variables, None, quiet=quiet
            )
            done.append(checked)
        for panel in board["panels"]:
            if panel.get("targets"):
                what = f"{board['uid']}: {panel['title']}"
                expected = left.pop((board["uid"], panel["title"]), None)
                interval = str(panel.get("interval", "1s"))
                done.append(_panel(influx, what, panel["targets"], window, variables, expected, interval, quiet=quiet))
    if left:
        raise KeyError(f"no such panels: {sorted(left)}")
    return done


def _panel(
    influx: Influx, what: str, targets: Sequence[Mapping[str, Any]], window: Window, variables: Mapping[str, str],
    expected: Expectation | None, interval: str = "1s", *, quiet: bool = False,
) -> Checked:  # fmt: skip
    shown_s = (window.to_ns - window.from_ns) // SECOND_NS
    interval_s = max(_seconds(interval), shown_s // _POINTS, 1)
    questions = [target for target in targets if "query" in target]
    try:
        answers = {
            target["refId"]: influx.ask(rendered(target["query"], window.from_ns, window.to_ns, interval_s, variables))
            for target in questions
        }
        numbers = _numbers(targets, answers)
    except (InfluxError, expressions.UnknownExpressionError) as error:
        return Checked(what, len(questions), 0, compared=False, problem=str(error))
    told = Told(answers, numbers, interval_s, window)
    problem = expected(told) if expected is not None else _empty(targets, told, quiet=quiet)
    return Checked(what, len(questions), told.rows, expected is not None, problem or _unlike_numbers(told))


def _numbers(targets: Sequence[Mapping[str, Any]], answers: Mapping[str, Answer]) -> Mapping[str, Numbers]:
    """What a panel's expressions make of its answers."""
    steps = [
        {"refId": target["refId"], "datasourceUid": target["datasource"]["uid"], "model": target}
        for target in targets
        if "datasource" in target
    ]
    if not any(step["datasourceUid"] == EXPRESSIONS for step in steps):
        return {}
    rule = {"data": steps, "condition": steps[-1]["refId"]}
    return expressions.captures(rule, lambda step: answers[step["refId"]].as_series())


def _empty(targets: Sequence[Mapping[str, Any]], told: Told, *, quiet: bool) -> str:
    may_be = quiet and all(ALARM_EVENTS.source in target["query"] for target in targets if "query" in target)
    return "" if told.rows or may_be else "the answer is empty"


def _unlike_numbers(told: Told) -> str:
    """Values that no panel can draw."""
    for answer in told.answers.values():
        for _, _, columns, rows in answer.series:
            for row in rows:
                for name, value in zip(columns[1:], row[1:], strict=True):
                    if isinstance(value, float) and not math.isfinite(value):
                        return f"{name} is {value}"
    return ""


def _seconds(interval: str) -> int:
    return int(interval[:-1]) * _SECONDS[interval[-1]]


# -- rules -------------------------------------------------------------------------------------------------------------


def rule_states(influx: Influx, rule: Mapping[str, Any], now_ns: int) -> Numbers:
    """What the condition of a rule says at an instant; see `expressions.evaluate`.

    Raises:
        InfluxError: If a question is refused.
    """

    def ask(step: Mapping[str, Any]) -> list[Series]:
        since = step["relativeTimeRange"]
        from_ns, to_ns = now_ns - since["from"] * SECOND_NS, now_ns - since["to"] * SECOND_NS
        return influx.ask(rendered(step["model"]["query"], from_ns, to_ns, 1, {})).as_series()

    return expressions.evaluate(rule, ask)


def check_rule(
    influx: Influx, rule: Mapping[str, Any], moments: Iterable[tuple[int, set[frozenset[tuple[str, str]]] | None]]
) -> Checked:
    """Whether a rule fires exactly for those it should, at each of some instants.

    Args:
        influx: Whom to ask.
        rule: As the provisioning interface has it.
        moments: (instant, the sets of labels that should fire; None where only an answer is wanted).
    """
    what, questions, rows = f"rule {rule['uid']}", 0, 0
    compared = False
    for now_ns, wanted in moments:
        questions += 1
        try:
            numbers = rule_states(influx, rule, now_ns)
        except (InfluxError, expressions.UnknownExpressionError) as error:
            return Checked(what, questions, rows, compared, str(error))
        rows += len(numbers)
        if wanted is None:
            continue
        compared = True
        if (found := expressions.firing(numbers)) != wanted:
            lacking, wrong = _names(wanted - found), _names(found - wanted)
            problem = (
                f"at {now_ns}: should fire and does not: {lacking or 'none'}; fires and should not: {wrong or 'none'}"
            )
            return Checked(what, questions, rows, compared, problem)
    return Checked(what, questions, rows, compared)


def _names(labels: Iterable[frozenset[tuple[str, str]]]) -> str:
    return ", ".join(sorted("/".join(value for _, value in sorted(one)) for one in labels))
