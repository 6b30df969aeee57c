"""Push and diff against a stand-in that keeps to Grafana's documented interface."""

from __future__ import annotations

import dataclasses

import pytest
from grafana_server import PASSWORD, TOKEN, FakeGrafana

from dashboards.grafana.client import ConflictError, Grafana, GrafanaError
from dashboards.grafana.difference import ABSENT, differences
from dashboards.grafana.pushing import diff, push
from dashboards.grafana.resources import resources
from dashboards.grafana.settings import Access, Site

SITE = Site(console_url="https://ward-7.example", influx_url="http://influx:8086")
OURS = resources(SITE, "influx-token")


@pytest.fixture
def server():
    with FakeGrafana() as fake:
        yield fake


@pytest.fixture
def grafana(server):
    with connected(server.url) as client:
        yield client


class connected:  # noqa: N801 - used like a function
    def __init__(self, url, **access):
        self._client = Grafana(Access(url, **({"secret": TOKEN} | access)))

    def __enter__(self):
        return self._client

    def __exit__(self, *_):
        self._client.close()


def pushed(grafana, ours=OURS):
    said = []
    done = push(grafana, ours, "a test", said.append)
    assert tuple(said) == done
    return [change.what for change in done]


class TestPush:
    def test_an_empty_server_gets_everything_and_the_second_push_writes_nothing(self, server, grafana):
        first = pushed(grafana)
        assert len(first) == 2 + 1 + 1 + 1 + 4 + 1 + 5 + 2
        assert first.index("folder teleward") < first.index("dashboard teleward-ward")
        assert first.index("contact point teleward-clinicians-mail") < first.index("notification policy")
        server.writes.clear()
        assert pushed(grafana) == []
        assert server.writes == []
        assert diff(grafana, OURS) == ()

    def test_what_it_wrote_is_what_the_code_says(self, server, grafana):
        pushed(grafana)
        assert set(server.dashboards) == {board["uid"] for board in OURS.dashboards}
        assert {
            key: value for key, value in server.dashboards["teleward-ward"].items() if key not in {"id", "version"}
        } == (OURS.dashboards[0])
        assert server.meta["teleward-ward"] == {"folderUid": "teleward", "provisioned": False, "message": "a test"}
        assert server.secrets == {"teleward-influx": {"httpHeaderValue1": "Token influx-token"}}
        assert {rule["uid"] for group in server.groups.values() for rule in group["rules"]} == {
            rule["uid"] for group in OURS.groups for rule in group["rules"]
        }

    def test_only_what_changed_is_written_again(self, server, grafana):
        pushed(grafana)
        server.writes.clear()
        other = resources(dataclasses.replace(SITE, time_zone="Europe/Oslo"), "influx-token")
        assert pushed(grafana, other) == ["mute timing Teleward quiet hours"]
        assert len(server.writes) == 1

    def test_a_hand_on_the_server_is_undone_and_named(self, server, grafana):
        pushed(grafana)
        server.dashboards["teleward-ward"]["panels"][1]["title"] = "Changed"
        server.groups["teleward-alerts", "teleward-patients"]["rules"][0]["noDataState"] = "OK"
        del server.templates["teleward"]
        found = {str(one) for one in diff(grafana, OURS)}
        assert found == {
            'dashboard teleward-ward: panels[1].title is "Changed" on the server and "Watched" in the code',
            'rule group teleward-patients: rules[0].noDataState is "OK" on the server and "KeepLast" in the code',
            "template teleward is not on the server",
        }
        assert pushed(grafana) == ["template teleward", "dashboard teleward-ward", "rule group teleward-patients"]
        assert diff(grafana, OURS) == ()

    def test_a_dashboard_in_another_folder_is_put_back(self, server, grafana):
        pushed(grafana)
        server.meta["teleward-burden"]["folderUid"] = "elsewhere"
        (found,) = diff(grafana, OURS)
        assert (found.path, found.ours, found.theirs) == ("folder", '"teleward"', '"elsewhere"')
        assert pushed(grafana) == ["dashboard teleward-burden"]

    def test_a_renamed_folder_gets_its_title_back(self, server, grafana):
        pushed(grafana)
        server.folders["teleward"]["title"] = "Mine"
        assert pushed(grafana) == ["folder teleward"]
        assert server.folders["teleward"]["title"] == "Teleward"

    def test_diff_writes_nothing(self, server, grafana):
        assert {one.theirs for one in diff(grafana, OURS)} == {ABSENT}
        assert server.writes == []


class TestOthers:
    def test_what_is_not_ours_stays(self, server, grafana):
        theirs = {"receiver": "grafana-default-email", "object_matchers": [["team", "=", "kitchen"]]}
        server.policies |= {"routes": [theirs], "group_wait": "1m"}
        server.dashboards["kitchen"] = {"id": 1, "uid": "kitchen", "version": 3}
        pushed(grafana)
        assert server.policies["receiver"] == "grafana-default-email"
        assert server.policies["group_wait"] == "1m"
        assert server.policies["routes"][1:] == [theirs]
        assert server.dashboards["kitchen"]["version"] == 3

    def test_a_branch_that_comes_before_ours_is_told_and_moved_behind(self, server, grafana):
        pushed(grafana)
        server.policies["routes"].insert(
            0, {"receiver": "grafana-default-email", "object_matchers": [["a", "=~", ".*"]]}
        )
        (found,) = diff(grafana, OURS)
        assert (found.path, found.theirs) == ("place in the tree", "number 2")
        assert pushed(grafana) == ["notification policy"]
        assert diff(grafana, OURS) == ()

    def test_the_tree_of_everybody_stays_open_and_the_rest_is_ours_alone(self, server, grafana):
        pushed(grafana)
        assert server.editable == ["v1/provisioning/policies"]
        assert {group["rules"][0]["provenance"] for group in server.groups.values()} == {"api"}


class TestRefusals:
    def test_a_wrong_token(self, server):
        with (
            connected(server.url, secret="guess") as grafana,
            pytest.raises(GrafanaError, match="token or password") as error,
        ):
            pushed(grafana)
        assert error.value.status == 401
        assert "guess" not in str(error.value)

    def test_a_name_and_its_password_do_too(self, server):
        with connected(server.url, user="admin", secret=PASSWORD) as grafana:
            assert pushed(grafana)

    def test_a_token_that_may_not_write(self, server, grafana):
        server.role = "Viewer"
        with pytest.raises(GrafanaError, match="role Admin"):
            pushed(grafana)

    def test_somebody_who_saves_between_our_reading_and_our_writing_wins(self, server, grafana):
        pushed(grafana)
        server.dashboards["teleward-ward"]["title"] = "Changed"

        def save(parts):
            if parts == ["dashboards", "db"]:
                server.dashboards["teleward-ward"]["version"] += 1

        server.on_write = save
        with pytest.raises(ConflictError, match="changed by somebody else") as error:
            pushed(grafana)
        assert error.value.status == 412
        assert server.dashboards["teleward-ward"]["title"] == "Changed"
        server.on_write = None
        assert pushed(grafana) == ["dashboard teleward-ward"]

    def test_a_template_that_changed_meanwhile(self, server, grafana):
        pushed(grafana)
        server.templates["teleward"]["template"] = "mine"

        def save(parts):
            if parts[-1] == "teleward":
                server.templates["teleward"]["version"] = "newer"

        server.on_write = save
        with pytest.raises(ConflictError):
            pushed(grafana)

    def test_a_folder_of_that_name_that_is_anothers(self, server, grafana):
        server.folders["x"] = {"id": 9, "uid": "x", "title": "Teleward", "version": 1}
        with pytest.raises(ConflictError, match="folder teleward"):
            pushed(grafana)

    def test_a_dashboard_that_files_provision(self, server, grafana):
        pushed(grafana)
        server.dashboards["teleward-ward"]["title"] = "Changed"
        server.meta["teleward-ward"]["provisioned"] = True
        with pytest.raises(GrafanaError, match=r"Cannot save provisioned dashboard"):
            pushed(grafana)

    def test_nobody_there(self, server):
        server.__exit__()
        with connected(server.url) as grafana, pytest.raises(GrafanaError, match="is it running"):
            diff(grafana, OURS)
        server.__enter__()

    def test_another_path_than_grafanas(self, server):
        with connected(f"{server.url}/elsewhere") as grafana, pytest.raises(GrafanaError, match="is no Grafana"):
            diff(grafana, OURS)

    def test_what_stopped_half_way_goes_on(self, server, grafana):
        def stop(parts):
            if parts[:2] == ["dashboards", "db"]:
                server.role = "Viewer"

        server.on_write = stop
        with pytest.raises(GrafanaError):
            pushed(grafana)
        server.on_write, server.role = None, "Admin"
        assert "folder teleward" not in pushed(grafana)
        assert diff(grafana, OURS) == ()


def test_grafana_under_a_path():
    with FakeGrafana("/grafana") as server, connected(server.url) as grafana:
        assert pushed(grafana)
        assert pushed(grafana) == []


class TestDifference:
    def test_both_sides_are_named(self):
        found = differences("x", {"a": 1, "b": [1, 2]}, {"a": 2, "b": [1], "c": 3})
        assert [(one.path, one.ours, one.theirs) for one in found] == [
            ("a", "1", "2"), ("b[1]", "2", ABSENT), ("c", ABSENT, "3"),
        ]  # fmt: skip

    def test_a_truth_is_no_number(self):
        assert differences("x", {"a": True}, {"a": 1})
        assert not differences("x", {"a": 1}, {"a": 1.0})

    def test_what_a_server_writes_out_is_no_difference_where_that_is_said(self):
        assert not differences("x", {}, {"a": None, "b": [], "c": "", "d": False, "e": "0s"}, loose=True)
        assert differences("x", {}, {"a": None})
        assert differences("x", {}, {"a": "5m"}, loose=True)

    def test_keys_of_the_server_are_left_alone_at_any_depth(self):
        assert not differences("x", {"a": {"id": 1}}, {"a": {"id": 2}}, ignore=("id",))
