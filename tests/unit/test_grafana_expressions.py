"""Grafana's expressions as far as our rules use them; each semantic as its documentation has it."""

from __future__ import annotations

import math

import pytest

from dashboards.grafana.expressions import Series, UnknownExpressionError, captures, evaluate, firing

P1, P2 = frozenset({("patient", "p-1")}), frozenset({("patient", "p-2")})


def series(labels, *values):
    return Series(labels, tuple((i, value) for i, value in enumerate(values)))


def step(ref_id, **model):
    return {"refId": ref_id, "datasourceUid": "__expr__", "model": model}


def reduce_(ref_id, of, reducer="last", mode="dropNN"):
    return step(ref_id, type="reduce", expression=of, reducer=reducer, settings={"mode": mode})


def threshold(ref_id, of, kind, *params):
    return step(
        ref_id, type="threshold", expression=of, conditions=[{"evaluator": {"type": kind, "params": [*params]}}]
    )


def rule(*steps):
    asked = {"refId": "A", "datasourceUid": "influx", "model": {}}
    return {"data": [asked, *steps], "condition": steps[-1]["refId"]}


def numbers(answer, *steps):
    return evaluate(rule(*steps), lambda _: answer)


def test_the_last_number_counts_and_empty_buckets_do_not():
    answer = [series(P1, 3.0, 1.0, None), series(P2, 0.0, math.nan)]
    assert numbers(answer, reduce_("B", "A")) == {P1: 1.0, P2: 0.0}


def test_a_series_without_a_number_is_no_data_and_does_not_fire():
    found = numbers([series(P1, None), series(P2, 5.0)], reduce_("B", "A"), threshold("C", "B", "gt", 1))
    assert found == {P1: None, P2: 1.0}
    assert firing(found) == {P2}


def test_no_series_is_no_data_at_all():
    assert numbers([], reduce_("B", "A"), threshold("C", "B", "gt", 1)) == {}


@pytest.mark.parametrize(
    ("kind", "params", "value", "fires"),
    [
        ("gt", (1,), 1.0, False),
        ("gt", (1,), 1.5, True),
        ("lt", (1,), 1.0, False),
        ("lt", (1,), 0.0, True),
        ("within_range", (1.5, 2.5), 2.0, True),
        ("within_range", (1.5, 2.5), 2.5, False),
        ("outside_range", (-0.5, 0.5), 0.0, False),
        ("outside_range", (-0.5, 0.5), -3.0, True),
    ],
)
def test_a_threshold(kind, params, value, fires):
    found = numbers([series(P1, value)], reduce_("B", "A"), threshold("C", "B", kind, *params))
    assert bool(firing(found)) is fires


@pytest.mark.parametrize(
    ("reducer", "value"), [("sum", 6.0), ("max", 3.0), ("min", 1.0), ("mean", 2.0), ("count", 3.0), ("last", 3.0)]
)
def test_a_reducer(reducer, value):
    assert numbers([series(P1, 1.0, 2.0, None, 3.0)], reduce_("B", "A", reducer)) == {P1: value}


def test_what_only_one_side_has_is_left_out():
    both = {"A": [series(P1, 1.0), series(P2, 1.0)], "W": [series(P1, 1.0)]}
    steps = [{"refId": name, "datasourceUid": "influx", "model": {}} for name in both]
    steps += [reduce_("B", "A"), reduce_("X", "W"), step("Z", type="math", expression="$B && $X")]
    found = captures({"data": steps, "condition": "Z"}, lambda one: both[one["refId"]])
    assert found["Z"] == {P1: 1.0}
    assert found["B"] == {P1: 1.0, P2: 1.0}


def test_products_and_quotients():
    found = numbers(
        [series(P1, 3.0)],
        reduce_("C", "A"),
        reduce_("D", "A", "count"),
        step("E", type="math", expression="$C / $D * 10"),
    )
    assert found == {P1: 30.0}
    nothing = numbers([series(P1, 0.0)], reduce_("C", "A"), step("E", type="math", expression="$C / $C"))
    assert nothing == {P1: None}


@pytest.mark.parametrize(
    "bad",
    [
        step("B", type="sql", expression="SELECT 1"),
        reduce_("B", "A", "median"),
        reduce_("B", "A", mode=""),
        reduce_("B", "Q"),
        step("B", type="math", expression="$A"),
    ],
)
def test_what_is_not_evaluated_here_is_refused(bad):
    with pytest.raises(UnknownExpressionError):
        numbers([series(P1, 1.0)], bad)


def test_a_power_is_not_evaluated_here():
    with pytest.raises(UnknownExpressionError, match="not evaluated"):
        numbers([series(P1, 1.0)], reduce_("B", "A"), step("C", type="math", expression="$B ** 2"))
