"""Rules and panels against a real InfluxDB that holds what a test wrote: what each rule means, and what the check "
"finds."""

from __future__ import annotations

import dataclasses
import time

import httpx
import natives
import pytest

from dashboards.grafana.checking import Window, check_boards, check_rule, rule_states
from dashboards.grafana.expressions import captures, firing
from dashboards.grafana.influxql import Influx, InfluxError, rendered
from dashboards.grafana.resources import resources
from dashboards.grafana.settings import Site
from deploy.native.servers import Influx as InfluxServer
from transport.stores.influx_http import InfluxSettings
from transport.stores.influx_setup import set_up_influx
from vitals.signs import MINUTE_NS, SECOND_NS, Measure

pytestmark = pytest.mark.integration

NOW = time.time_ns() // (10 * SECOND_NS) * 10 * SECOND_NS
HOUR = 60 * MINUTE_NS
ALL = resources(Site())
RULES = {rule["uid"]: rule for group in ALL.groups for rule in group["rules"]}
ZERO = {
    "watch": 2, "priority": 0, "unattended_priority": 0, "unattended": 0, "open": 0, "unobserved": 0, "shelved": 0,
}  # fmt: skip


def state(patient, partition, until_ns=NOW, **fields):
    """A point each ten seconds for ten minutes, the last at `until_ns`."""
    said = {**ZERO, **fields}
    integers = ",".join(
        f"{name}={value}i" for name, value in said.items() if not name.startswith(("overdue", "worst", "oldest"))
    )
    floats = "".join(f",{name}={float(said.get(name, 0))}" for name in ("overdue_s", "oldest_open_s"))
    floats += "".join(
        f",{name}={said[name]}" for name in ("worst_value", "worst_limit", "worst_measure") if name in said
    )
    return [
        f"alarm_state,patient={patient},partition={partition} {integers}{floats} {until_ns - k * 10 * SECOND_NS}"
        for k in range(60)
    ]


def part(name, until_ns=NOW, status=0, behind_s=0.0):
    return [
        f"pipeline,part={name} status={status}i,behind_s={behind_s} {until_ns - k * 10 * SECOND_NS}" for k in range(60)
    ]


RAW = [
    *state("p-high", 0, priority=3, open=1, unattended=1, overdue_s=12, oldest_open_s=185, worst_value=84.0,
           worst_limit=85.0, worst_measure=f"{int(Measure.SPO2)}i"),
    *state("p-medium", 0, priority=2, open=1),
    *state("p-unseen", 1, priority=2, open=1, unobserved=1),
    *state("p-low", 1, priority=1, open=1),
    *state("p-calm", 0),
    *state("p-gone", 2, until_ns=NOW - 5 * MINUTE_NS),
    (f"alarm_state,patient=p-gone,partition=2 watch=0i,priority=0i,unattended=0i,unobserved=0i,overdue_s=0 "
    f"{NOW - 290 * SECOND_NS}"),
    *state("p-cut", 3, until_ns=NOW - 8 * MINUTE_NS, priority=3, open=1),
    *state("teleward-test", 0, priority=3, open=1, overdue_s=5, unobserved=1),
    *part("bridge"),
    *part("monitoring", behind_s=75.0),
    *part("storing", status=1),
    *part("pager", until_ns=NOW - 8 * MINUTE_NS),
]  # fmt: skip
LONG = [
    f"ledger,device=d-1 remainder=0i {NOW}",
    f"ledger,device=d-2 remainder=7i {NOW}",
    f"ledger,device=d-3 remainder=-2i {NOW}",
    *(
        f"alarm_events,patient=p-1,rule=r,kind=k,priority=low,event=raised,partition={p} n=1i,to_alarm_s={s} {NOW - i}"
        for p, s in ((0, 12.0), (1, 400.0))
        for i in range(3)
    ),
]

MEANING = {
    "teleward-high": {"p-high", "p-cut"},
    "teleward-medium": {"p-medium", "p-unseen"},
    "teleward-low": {"p-low"},
    "teleward-overdue": {"p-high"},
    "teleward-unobserved": {"p-unseen"},
    "teleward-stopped": {"3"},  # not 2: its only patient went home
    "teleward-silent-part": {"pager"},
    "teleward-trouble": {"storing"},
    "teleward-behind": {"monitoring"},
    "teleward-unexplained": {"d-2", "d-3"},
    "teleward-slow": {"1"},
}


@pytest.fixture(scope="module")
def influx(tmp_path_factory):
    there = natives.installed()
    server = InfluxServer(tmp_path_factory.mktemp("influx"), there.influxd)
    natives.done(server.start())
    try:
        set_up_influx(InfluxSettings(server.url))
        for policy, lines in (("raw", RAW), ("long", LONG)):
            body = "\n".join(lines).encode()
            httpx.post(f"{server.url}/write", params={"db": "teleward", "rp": policy}, content=body).raise_for_status()
        yield Influx(server.url, "teleward")
    finally:
        natives.done(server.stop())


def fires(influx, uid, at_ns=NOW + SECOND_NS):
    return {"/".join(value for _, value in sorted(labels)) for labels in firing(rule_states(influx, RULES[uid], at_ns))}


class TestRules:
    def test_all_are_tested(self):
        assert set(MEANING) == set(RULES)

    @pytest.mark.parametrize(("uid", "who"), MEANING.items())
    def test_fires_for_those_it_should_and_for_nobody_else(self, influx, uid, who):
        assert fires(influx, uid) == who

    @pytest.mark.parametrize("after", [10 * MINUTE_NS, 23 * HOUR])
    def test_an_alarm_stands_after_everything_stopped_and_the_stop_is_told(self, influx, after):
        assert fires(influx, "teleward-high", NOW + after) == {"p-high", "p-cut"}
        assert fires(influx, "teleward-stopped", NOW + after) == {"0", "1", "3"}

    def test_after_a_day_there_is_no_data_and_not_no_alarm(self, influx):
        for uid, rule in RULES.items():
            assert rule_states(influx, rule, NOW + 30 * HOUR) == {}, uid

    def test_what_a_message_says_is_of_now(self, influx):
        def said(at_ns):
            def ask(step):
                since = step["relativeTimeRange"]
                from_ns = at_ns - since["from"] * SECOND_NS
                return influx.ask(rendered(step["model"]["query"], from_ns, at_ns, 1, {})).as_series()

            found = captures(RULES["teleward-high"], ask)
            return {name: numbers.get(frozenset({("patient", "p-high")})) for name, numbers in found.items()}

        now = said(NOW + SECOND_NS)
        assert (now["value"], now["limit"], now["measure"], now["age"]) == (84.0, 85.0, float(Measure.SPO2), 185.0)
        later = said(NOW + HOUR)
        assert later["C"] == 1.0
        assert later["value"] is None, "an hour later nobody knows whether the value is that of this alarm"

    def test_the_check_finds_a_rule_that_fires_for_somebody_else(self, influx):
        wanted = {frozenset({("patient", "p-high")})}
        checked = check_rule(influx, RULES["teleward-high"], [(NOW + SECOND_NS, wanted)])
        assert checked.compared
        assert "fires and should not: p-cut" in checked.problem


class TestCheck:
    window = Window(NOW - HOUR, NOW + SECOND_NS)

    def problems(self, influx, change, **more):
        board = next(board for board in resources(Site()).dashboards if board["uid"] == "teleward-ward")
        (panel,) = [panel for panel in board["panels"] if panel["title"] == "Watched"]
        change(panel)
        board["panels"] = [panel]
        only = dataclasses.replace(ALL, dashboards=(board,))
        expected = {("teleward-ward", "Watched"): more["expected"]} if more else {}
        return [one.problem for one in check_boards(influx, only, self.window, {}, expected, quiet=False)]

    def test_a_good_panel_has_no_problem(self, influx):
        assert self.problems(influx, lambda panel: None) == [""]

    def test_an_empty_answer(self, influx):
        def change(panel):
            panel["targets"][0]["query"] = panel["targets"][0]["query"].replace("alarm_state", "alarm_stats")

        assert self.problems(influx, change) == ["the answer is empty"]

    def test_a_question_that_influxdb_refuses(self, influx):
        def change(panel):
            panel["targets"][0]["query"] = panel["targets"][0]["query"].replace("SELECT", "SELEC")

        (problem,) = self.problems(influx, change)
        assert "SELEC" in problem

    def test_a_variable_that_is_not_defined(self, influx):
        def change(panel):
            panel["targets"][0]["query"] += " AND \"patient\" = '$patiens'"

        (problem,) = self.problems(influx, change)
        assert "'patiens' is not defined" in problem

    def test_a_wrong_number(self, influx):
        assert self.problems(influx, lambda panel: None, expected=lambda told: f"{told.rows} rows, no") == [
            "1 rows, no"
        ]

    def test_an_expectation_of_a_panel_that_is_not_there(self, influx):
        with pytest.raises(KeyError, match="Watches"):
            check_boards(
                influx, dataclasses.replace(ALL, dashboards=()), self.window, {}, {("w", "Watches"): None}, quiet=False
            )

    def test_a_quiet_ward_is_no_empty_database(self, influx):
        board = next(board for board in ALL.dashboards if board["uid"] == "teleward-ward")
        (panel,) = [panel for panel in board["panels"] if panel["title"] == "Overdue"]
        query = panel["targets"][0]["query"]
        assert influx.ask(rendered(query, NOW - HOUR, NOW + SECOND_NS, 10, {})).as_series()[0].points[0][1] == 1.0
        before = rendered(query, NOW - 30 * HOUR, NOW - 20 * HOUR, 10, {})
        assert influx.ask(before).rows == 0, "no data must not look like nobody"

    def test_nobody_there(self):
        with pytest.raises(InfluxError, match="does not answer"):
            Influx("http://127.0.0.1:9", "teleward").ask("SHOW DATABASES")
