"""The commands about Grafana, as programs call them."""

from __future__ import annotations

import json

import pytest
from grafana_server import TOKEN, FakeGrafana
from typer.testing import CliRunner

from dashboards.grafana import SettingsError
from deploy.cli import app
from deploy.cli_common import PromiseBrokenError


@pytest.fixture
def called(tmp_path, monkeypatch):
    for name in ("TELEWARD_CONSOLE_URL", "TELEWARD_ALERT_MAIL", "TELEWARD_GRAFANA_INFLUX"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with FakeGrafana() as server:

        def call(*arguments):
            done = CliRunner().invoke(
                app, ["grafana", *arguments, "--url", server.url, "--token-file", str(token), "--json"]
            )
            return done.exception, json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None

        call.server = server
        yield call


def test_diff_push_and_diff_again(called):
    error, told = called("diff")
    assert isinstance(error, PromiseBrokenError)
    assert told["grafana"] == "11.6.0"
    assert {one["words"] for one in told["differences"]} >= {"dashboard teleward-ward is not on the server"}
    error, told = called("push")
    assert error is None
    assert len(told["changed"]) == len({one["what"] for one in told["changed"]}) == 17
    assert all(one["made"] for one in told["changed"] if one["what"] != "notification policy")
    assert told["left"] == []
    assert called("push") == (None, {"grafana": "11.6.0", "changed": [], "left": []})
    assert called("diff") == (None, {"grafana": "11.6.0", "differences": []})


def test_a_server_that_does_not_keep_what_it_is_given_is_no_success(called):
    real = called.server._named

    def forgets(kept, method, rest, body, provenance, make):
        return real(kept, method, rest, body if method == "GET" else {**body, "template": "x"}, provenance, make)

    called.server._named = forgets
    error, told = called("push")
    assert isinstance(error, PromiseBrokenError)
    assert "differ all the same" in str(error)
    assert {one["path"] for one in told["left"]} >= {"template"}


def test_without_a_token_it_says_what_to_do(monkeypatch):
    monkeypatch.delenv("TELEWARD_GRAFANA_TOKEN_FILE", raising=False)
    done = CliRunner().invoke(app, ["grafana", "push", "--json"])
    assert isinstance(done.exception, SettingsError)
    assert "--token-file" in str(done.exception)
