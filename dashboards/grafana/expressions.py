"""Grafana's server-side expressions, as far as our alert rules use them, so that a rule's meaning can be tested.

A rule is a chain: queries give series (a set of labels, points in time), *reduce* makes one number of each series,
*math* and *threshold* work on numbers of equal labels. What the condition leaves as a number other than zero fires;
nothing at all is *no data*, and no number in a series is no data of that one. Anything else that Grafana's expressions
can do is refused here: a rule that uses it would not be tested.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Labels: TypeAlias = frozenset[tuple[str, str]]
Numbers: TypeAlias = dict[Labels, float | None]

EXPRESSIONS: Final = "__expr__"
"""Data source of an expression."""


class UnknownExpressionError(ValueError):
    """An expression that is not evaluated here."""


@dataclass(frozen=True, slots=True)
class Series:
    """One answer of a query.

    Attributes:
        labels: Its tags.
        points: (time in ns, value), oldest first; None where a bucket of time is empty.
    """

    labels: Labels
    points: tuple[tuple[int, float | None], ...]


def _last(values: Sequence[float]) -> float:
    return values[-1]


_REDUCERS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "last": _last,
    "max": max,
    "min": min,
    "sum": math.fsum,
    "mean": lambda values: math.fsum(values) / len(values),
    "count": lambda values: float(len(values)),
}
_COMPARE: Final[dict[tuple[str, int], Callable[..., bool]]] = {
    ("gt", 1): lambda value, a: value > a,
    ("lt", 1): lambda value, a: value < a,
    ("within_range", 2): lambda value, a, b: a < value < b,
    ("outside_range", 2): lambda value, a, b: value < a or value > b,
}
_REF: Final = re.compile(r"\$(\w+)")
_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else math.nan,
}


def evaluate(rule: Mapping[str, Any], ask: Callable[[Mapping[str, Any]], Sequence[Series]]) -> Numbers:
    """What the condition of a rule says of each set of labels: not 0 fires, None is no data.

    Args:
        rule: As the provisioning interface has it.
        ask: Answers one query of the rule.

    Raises:
        UnknownExpressionError: If it uses an expression that is not evaluated here, or names one that is not there.
    """
    return captures(rule, ask)[str(rule["condition"])]


def captures(rule: Mapping[str, Any], ask: Callable[[Mapping[str, Any]], Sequence[Series]]) -> dict[str, Numbers]:
    """The numbers of every step, by its letter: what annotations know as ``$values``."""
    series: dict[str, Sequence[Series]] = {}
    numbers: dict[str, Numbers] = {}
    for step in rule["data"]:
        name, model = step["refId"], step["model"]
        if step["datasourceUid"] != EXPRESSIONS:
            series[name] = ask(step)
        elif model["type"] == "reduce":
            numbers[name] = _reduce(model, _known(series, model["expression"]))
        elif model["type"] == "threshold":
            numbers[name] = _threshold(model, _known(numbers, model["expression"]))
        elif model["type"] == "math":
            numbers[name] = _math(model["expression"], numbers)
        else:
            raise UnknownExpressionError(f"step {name}: {model['type']!r} is not evaluated here")
    _known(numbers, rule["condition"])
    return numbers


def firing(numbers: Numbers) -> set[Labels]:
    """The sets of labels that fire."""
    return {labels for labels, value in numbers.items() if value is not None and value != 0}


def _known(steps: Mapping[str, Any], name: str) -> Any:
    if name not in steps:
        raise UnknownExpressionError(f"{name!r} is no earlier step of the right kind")
    return steps[name]


def _reduce(model: Mapping[str, Any], series: Sequence[Series]) -> Numbers:
    mode = model.get("settings", {}).get("mode", "")
    if model["reducer"] not in _REDUCERS or mode != "dropNN":
        raise UnknownExpressionError(f"reduce {model['reducer']!r} with mode {mode!r} is not evaluated here")
    reduced: Numbers = {}
    for one in series:
        values = [value for _, value in one.points if value is not None and math.isfinite(value)]
        reduced[one.labels] = _REDUCERS[model["reducer"]](values) if values else None
    return reduced


def _threshold(model: Mapping[str, Any], numbers: Numbers) -> Numbers:
    (condition,) = model["conditions"]
    kind, limits = condition["evaluator"]["type"], condition["evaluator"]["params"]
    if (kind, len(limits)) not in _COMPARE:
        raise UnknownExpressionError(f"threshold {kind!r} {limits} is not evaluated here")
    passes = _COMPARE[kind, len(limits)]
    return {labels: None if value is None else float(passes(value, *limits)) for labels, value in numbers.items()}


def _math(expression: str, numbers: Mapping[str, Numbers]) -> Numbers:
    """Products, quotients and ``&&`` of earlier numbers; labels that one of them lacks are left out, as in Grafana."""
    names = _REF.findall(expression)
    parts = [_known(numbers, name) for name in names]
    tree = ast.parse(_REF.sub(r"\1", expression).replace("&&", " and "), mode="eval").body
    joined: Numbers = {}
    for labels in set.intersection(*(set(part) for part in parts)):
        values = {name: part[labels] for name, part in zip(names, parts, strict=True)}
        known = all(value is not None for value in values.values())
        result = _value(tree, values, expression) if known else None
        joined[labels] = None if result is None or math.isnan(result) else result
    return joined


def _value(tree: ast.expr, values: Mapping[str, float], expression: str) -> float:
    match tree:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](_value(left, values, expression), _value(right, values, expression))
        case ast.BoolOp(op=ast.And(), values=parts):
            return float(all(_value(part, values, expression) != 0 for part in parts))
        case _:
            raise UnknownExpressionError(f"math {expression!r} is not evaluated here")
