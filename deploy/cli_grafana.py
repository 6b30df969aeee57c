"""The commands about Grafana: push, diff, check."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli_common import Json, PromiseBrokenError, end, positive, quietly

_app = typer.Typer(no_args_is_help=True, help="Dashboards and alert rules in Grafana 11.6, as code.")

Url = Annotated[str, typer.Option(envvar="TELEWARD_GRAFANA_URL", help="Of Grafana, with its path if it has one.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TELEWARD_GRAFANA_TOKEN_FILE", help="File with a service account's token, or --user's password."
    ),
]
User = Annotated[str, typer.Option(help="Sign in by name and password instead of a token.")]
InfluxToken = Annotated[
    Path | None,
    typer.Option(envvar="TELEWARD_INFLUX_TOKEN_FILE", help="File with the token by which Grafana asks InfluxDB."),
]
_URL = "http://127.0.0.1:3000"


@_app.command()
def push(
    url: Url = _URL,
    token_file: TokenFile = None,
    user: User = "",
    influx_token_file: InfluxToken = None,
    message: Annotated[str, typer.Option(help="Stands in the history of each dashboard.")] = "teleward grafana push",
    as_json: Json = False,
) -> None:
    """Bring a server to what the code says; a second push changes nothing. The site's settings: docs/grafana.md."""
    from dashboards.grafana import Access
    from deploy.grafana import run_push

    access = Access.from_files(url, token_file, user=user, influx_token_file=influx_token_file)
    result = run_push(access, os.environ, message, quietly)
    end(result, as_json=as_json, show=lambda r: print(f"{len(r['changed'])} changed on Grafana {r['grafana']}"))
    if result["left"]:
        raise PromiseBrokenError(f"{len(result['left'])} fields differ all the same: {result['left'][0]['words']}")


@_app.command()
def diff(
    url: Url = _URL,
    token_file: TokenFile = None,
    user: User = "",
    influx_token_file: InfluxToken = None,
    as_json: Json = False,
) -> None:
    """Say what differs on a server, field by field; exit status 0 only if nothing does."""
    from dashboards.grafana import Access
    from deploy.grafana import run_diff

    access = Access.from_files(url, token_file, user=user, influx_token_file=influx_token_file)
    result = run_diff(access, os.environ)
    end(result, as_json=as_json, show=_show_differences)
    if result["differences"]:
        raise PromiseBrokenError(f"{len(result['differences'])} fields differ; teleward grafana push mends that")


def _show_differences(result: dict[str, Any]) -> None:
    for one in result["differences"]:
        print(one["words"])
    if not result["differences"]:
        print(f"nothing differs on Grafana {result['grafana']}")


@_app.command()
def check(
    influx: Annotated[str, typer.Option(help="Ask this running InfluxDB instead of one that is filled here.")] = "",
    influx_token_file: InfluxToken = None,
    hours: Annotated[str, typer.Option(help="With --influx: how far back.")] = "1",
    minutes: Annotated[
        str, typer.Option(help="Without: how long the ward runs, of the wall, 60 times as fast.")
    ] = "1.5",
    as_json: Json = False,
) -> None:
    """Ask every panel's and every rule's question of a real InfluxDB; refused, empty or wrong answers are told."""
    from deploy.grafana import run_check, run_check_of

    if influx:
        token = influx_token_file.read_text(encoding="utf-8").strip() if influx_token_file is not None else ""
        result = run_check_of(influx, token, os.environ, positive(hours, "--hours"))
    else:
        result = run_check(os.environ, positive(minutes, "--minutes"), quietly)
    end(result, as_json=as_json, show=_show_check)
    if result["problems"]:
        first = result["problems"][0]
        raise PromiseBrokenError(
            f"{len(result['problems'])} are wrong; the first is {first['what']}: {first['problem']}"
        )


def _show_check(result: dict[str, Any]) -> None:
    for one in result["problems"]:
        print(f"{one['what']}: {one['problem']}")
    print(
        f"{result['panels']} panels and {result['rules']} rules, {result['questions']} questions, "
        f"{result['compared']} compared with what was written, {len(result['problems'])} wrong"
    )


def register(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.add_typer(_app, name="grafana")
