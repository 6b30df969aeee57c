"""What is generated for Grafana, as far as it can be judged without one: whole, in step with its files, and "
"reachable."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.models import alerting
from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana import notify, panels
from dashboards.grafana.boards import as_json
from dashboards.grafana.difference import ABSENT, differences
from dashboards.grafana.expressions import EXPRESSIONS
from dashboards.grafana.influxql import DATASOURCE_UID, variant
from dashboards.grafana.provisioned_files import ProvisioningError, files
from dashboards.grafana.resources import LABEL, resources
from dashboards.grafana.settings import Access, SettingsError, Site
from deploy.compose import generate
from deploy.compose import grafana as compose_grafana
from vitals.hops import HOPS
from vitals.rules import RULES, Subject
from vitals.signs import SOURCES

SITE = Site(console_url="https://ward-7.example")
ALL = resources(SITE)
BOARDS = {board["uid"]: board for board in ALL.dashboards}
RULES_OF_GRAFANA = [rule for group in ALL.groups for rule in group["rules"]]
BUILT_IN = {"__interval", "__interval_ms", "timeFilter", "__value"}


def panels_of(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries_of(board):
    return [target for panel in panels_of(board) for target in panel.get("targets", [])]


def test_the_files_are_what_the_generator_writes():
    wanted = compose_grafana.provisioning()
    there = {path.relative_to(compose_grafana.FOLDER).as_posix(): path.read_text() for path in
             compose_grafana.FOLDER.rglob("*") if path.is_file()}  # fmt: skip
    assert there == wanted, "run: python -m deploy.compose.generate"
    assert (
        f"../../dashboards/grafana/provisioning:{compose_grafana.MOUNTED}:ro"
        in (generate.compose()["services"]["grafana"]["volumes"])
    )


def test_every_variable_that_the_files_name_is_given_to_the_container():
    given = generate.compose()["services"]["grafana"]["environment"]
    named = {
        name for text in compose_grafana.provisioning().values() for name in re.findall(r"\$\{(TELEWARD_\w+)\}", text)
    }
    assert named == {"TELEWARD_ALERT_MAIL", "TELEWARD_FAULT_MAIL", "TELEWARD_ALERT_WEBHOOK"}
    assert named <= set(given)


def test_a_dollar_that_grafana_would_fill_in_is_refused():
    from pathlib import PurePosixPath

    site = Site(clinicians_mail="$HOME@example.org")
    with pytest.raises(ProvisioningError, match=r"\$HOME@example.org"):
        files(resources(site), PurePosixPath("/etc/grafana/provisioning"))


@pytest.mark.parametrize("name", ["rules", "contacts", "policies", "quiet-hours", "templates"])
def test_files_of_alerting_hold_what_the_interface_gets(name):
    text = compose_grafana.provisioning()[f"alerting/teleward-{name}.yaml"]
    told = yaml.safe_load(text)
    assert told.pop("apiVersion") == 1
    ((_, things),) = told.items()
    assert things
    assert all(thing["orgId"] == 1 for thing in things)


@pytest.mark.parametrize("uid", sorted(BOARDS))
class TestBoard:
    def test_the_typed_models_read_it_back_as_it_is(self, uid):
        plugins.register_default_plugins()
        runtime.register_dataquery_variant(variant())
        told = {key: value for key, value in BOARDS[uid].items() if key != "annotations"}  # see InfluxAnnotation
        again = as_json(models.Dashboard.from_json(told))
        again.pop("annotations", None)
        for found in differences(uid, told, again):
            # Reading, the models write out defaults of some panels that the builders leave to Grafana.
            assert found.path.endswith("fieldConfig.defaults.custom"), found
            assert found.ours == ABSENT

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self, uid):
        every = BOARDS[uid]["panels"]
        assert len({panel["id"] for panel in every}) == len(every)
        taken = set()
        for panel in every:
            p = panel["gridPos"]
            assert p["x"] + p["w"] <= 24
            cells = {(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
            assert not cells & taken, panel["title"]
            taken |= cells

    def test_every_panel_says_what_it_shows_and_what_this_is_not(self, uid):
        for panel in panels_of(BOARDS[uid]):
            assert len(panel["description"]) > 10
            text = (
                panel["description"] + panel["options"].get("content", "")
                if panel["type"] == "text"
                else panel["description"]
            )
            assert "not a medical device" in text

    def test_every_data_source_is_ours(self, uid):
        for found in re.findall(r'"uid": "([^"]+)"\}', json.dumps(BOARDS[uid])):
            assert found in {DATASOURCE_UID, EXPRESSIONS}
        for query in queries_of(BOARDS[uid]):
            assert query["datasource"]["uid"] in {DATASOURCE_UID, EXPRESSIONS}

    def test_every_variable_that_is_used_exists(self, uid):
        board = BOARDS[uid]
        known = {variable["name"] for variable in board["templating"]["list"]} | BUILT_IN
        texts = [query["query"] for query in queries_of(board) if "query" in query]
        texts += (
            [annotation.get("query", "") for annotation in board["annotations"]["list"]]
            if "annotations" in board
            else []
        )
        texts += [panel["options"].get("content", "") for panel in panels_of(board)]
        used = {one or two for text in texts for one, two in re.findall(r"\$\{(\w+)|\$(\w+)", text)}
        assert used <= known
        aliases = {name for query in queries_of(board) for name in re.findall(r"\$tag_(\w+)", query.get("alias", ""))}
        grouped = {
            name
            for text in texts
            for group in re.findall(r"GROUP BY (.+)", text)
            for name in re.findall(r'"(\w+)"', group)
        }
        assert aliases <= grouped

    def test_the_letters_of_a_panels_queries_differ(self, uid):
        for panel in panels_of(BOARDS[uid]):
            letters = [query["refId"] for query in panel.get("targets", [])]
            assert len(letters) == len(set(letters)), panel["title"]

    def test_it_leads_to_the_others_and_to_the_console(self, uid):
        links = {link["type"]: link for link in BOARDS[uid]["links"]}
        assert links["dashboards"]["tags"] == ["teleward"]
        assert BOARDS[uid]["tags"] == ["teleward"]
        assert links["link"]["url"] == SITE.console_url


def test_every_measure_with_readings_has_its_limits_drawn():
    titles = {panel["title"]: panel for panel in panels_of(BOARDS["teleward-patient"])}
    for measure in SOURCES:
        panel = titles[measure.label.capitalize()]
        limits = [rule for rule in RULES.values() if rule.subject is Subject.LIMIT and rule.measure is measure]
        drawn = {step["value"] for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ())}
        for rule in limits:
            assert {band.threshold for band in rule.bands} <= drawn
            assert rule.source in panel["description"]


def test_colours_by_limits_get_worse_outwards():
    low = [rule for rule in RULES.values() if rule.id in {"rate-low", "rate-high"}]
    values = [(value, colour) for value, colour in panels.steps_of(low)]
    high, medium = panels.COLOURS[panels.Priority.HIGH], panels.COLOURS[panels.Priority.MEDIUM]
    assert values == [(None, high), (30, medium), (40, "green"), (170, medium), (190, high)]


def test_every_hop_has_a_panel():
    titles = [panel["title"] for panel in panels_of(BOARDS["teleward-latency"])]
    for hop in HOPS:
        assert any(title.startswith(f"{hop.value}:") for title in titles)


class TestRules:
    def test_uids_differ_and_fit(self):
        uids = [rule["uid"] for rule in RULES_OF_GRAFANA]
        assert len(uids) == len(set(uids))
        assert all(re.fullmatch(r"[a-z-]{1,40}", uid) for uid in uids)

    def test_the_typed_models_read_them_back(self):
        plugins.register_default_plugins()
        runtime.register_dataquery_variant(variant())
        for group in ALL.groups:
            assert as_json(alerting.RuleGroup.from_json(group)) == group

    def test_absence_is_never_recovery_and_one_rule_says_that_it_is_a_fault(self):
        states = {rule["uid"]: (rule["noDataState"], rule["execErrState"]) for rule in RULES_OF_GRAFANA}
        assert states.pop("teleward-stopped") == ("Alerting", "Alerting")
        assert states.pop("teleward-slow") == ("OK", "KeepLast")  # an hour without alarms is no fault
        assert set(states.values()) == {("KeepLast", "KeepLast")}

    def test_every_question_gives_one_column(self):
        # Two columns are two series of equal labels, which Grafana's expressions refuse.
        for rule in RULES_OF_GRAFANA:
            for step in rule["data"]:
                if step["datasourceUid"] == DATASOURCE_UID:
                    selected = step["model"]["query"].split(" FROM ")[0]
                    assert "," not in re.sub(r"\([^)]*\)", "", selected)
                    assert step["model"]["resultFormat"] == "time_series"

    def test_steps_name_earlier_steps(self):
        for rule in RULES_OF_GRAFANA:
            known = set()
            for step in rule["data"]:
                expression = step["model"].get("expression", "")
                named = set(re.findall(r"\$(\w+)", expression)) or ({expression} if expression else set())
                assert named <= known, rule["uid"]
                known.add(step["refId"])
            assert rule["condition"] == rule["data"][-1]["refId"]

    def test_every_alert_reaches_somebody_and_patients_reach_clinicians(self):
        points = {point["name"] for point in ALL.contact_points}
        for rule in RULES_OF_GRAFANA:
            told = receivers(ALL.tree, rule["labels"])
            assert told <= points
            if rule["labels"][LABEL] == "clinical":
                assert told == {notify.CLINICIANS}
            else:
                both = {notify.ENGINEERS} | ({notify.CLINICIANS} if rule["labels"]["severity"] == "critical" else set())
                assert told == both

    def test_only_low_priority_waits_for_the_morning(self):
        named = {timing["name"] for timing in ALL.mute_timings}
        (ours,) = ALL.tree["routes"]
        quiet = [route for route in ours["routes"] if "mute_time_intervals" in route]
        assert [route["object_matchers"][1] for route in quiet] == [["priority", "=", "low"]]
        assert set(quiet[0]["mute_time_intervals"]) <= named


def receivers(route, labels):
    """Who is told, as Alertmanager walks the tree."""
    found = set()
    for inner in route.get("routes", ()):
        if all(re.fullmatch(value, labels.get(name, "")) for name, _, value in inner["object_matchers"]):
            found |= receivers(inner, labels)
            if not inner.get("continue"):
                break
    return found or {route["receiver"]}


class TestSettings:
    def test_the_environment_is_read(self):
        site = Site.from_env({"TELEWARD_CONSOLE_URL": "https://c.example", "TELEWARD_QUIET_HOURS": "23:00-06:30"})
        assert (site.console_url, site.quiet_hours) == ("https://c.example", ("23:00", "06:30"))

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("TELEWARD_CONSOLE_URL", "ward-7"),
            ("TELEWARD_CONSOLE_URL", "https://ward-7/"),
            ("TELEWARD_GRAFANA_INFLUX", "http://me:secret@influx:8086"),
            ("TELEWARD_QUIET_HOURS", "22:00"),
            ("TELEWARD_QUIET_HOURS", "10pm-7am"),
            ("TELEWARD_QUIET_HOURS", "22:00-25:00"),
        ],
    )
    def test_what_cannot_be_is_refused_with_what_to_write(self, variable, text):
        with pytest.raises(SettingsError, match=r"takes|leave out|give them"):
            Site.from_env({variable: text})

    def test_nobody_comes_without_a_token_and_no_secret_is_printed(self):
        with pytest.raises(SettingsError, match="token-file"):
            Access()
        assert "hunter2" not in repr(Access(secret="hunter2", influx_token="hunter2"))

    def test_quiet_hours_over_midnight_are_two_times(self):
        (timing,) = notify.mute_timings(Site())
        assert timing["time_intervals"][0]["times"] == [
            {"start_time": "22:00", "end_time": "24:00"},
            {"start_time": "00:00", "end_time": "07:00"},
        ]
        (day,) = notify.mute_timings(Site(quiet_hours=("12:00", "13:00")))
        assert day["time_intervals"][0]["times"] == [{"start_time": "12:00", "end_time": "13:00"}]
