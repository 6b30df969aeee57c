"""Commands about recordings: what a live stack received, and replaying it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli_common import Json, PromiseBrokenError, end, positive, progress_bar


def record(
    out: Annotated[Path, typer.Option(help="File to write, .parquet.")],
    since: Annotated[str | None, typer.Option("--from", help="Ward time, 2026-03-01T22:00 or ns; else all.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Ward time; else up to now.")] = None,
    alarms: Annotated[Path | None, typer.Option(help="The live alarm events as JSON Lines.")] = None,
    kafka: Annotated[str, typer.Option(envvar="TELEWARD_KAFKA", help="host:port of Kafka.")] = "127.0.0.1:9092",
    as_json: Json = False,
) -> None:
    """What a live stack received, as a recording: replayed, it tells the same alarms."""
    from deploy.live_capture import RecordSettings, run_record, time_of

    try:
        times = [None if text is None else time_of(text) for text in (since, until)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with progress_bar() as progress:
        task = progress.add_task("recording", total=None)

        def on_progress(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        result = asyncio.run(run_record(RecordSettings(kafka, out, times[0], times[1], alarms), on_progress))
    end(result, as_json=as_json, show=_show_record)


def _show_record(result: dict[str, Any]) -> None:
    print(
        f"{result['patients']} patients, {result['readings']} readings in {result['bundles']} bundles in "
        f"{result['out']}; {result['events']} live alarm events, digest {result['digest'] or 'of none'}"
    )


def replay(
    recording: Annotated[Path, typer.Argument(help="Parquet, CSV, .psv file or folder, a WFDB record, or a capture.")],
    through: Annotated[str, typer.Option(help="ward: no brokers; stream: MQTT, Kafka and Faust.")] = "ward",
    speed: Annotated[str, typer.Option(help="max, or seconds of recorded time in one of the wall.")] = "max",
    alarms: Annotated[Path | None, typer.Option(help="Alarm events as JSON Lines; - for standard output.")] = None,
    patients: Annotated[int | None, typer.Option(help="Only so many; beyond what there is: shifted copies.")] = None,
    seed: Annotated[int, typer.Option(help="Of the copies' names and shifts.")] = 0,
    faults: Annotated[Path | None, typer.Option(help="File of what goes wrong on the way.")] = None,
    limits: Annotated[Path | None, typer.Option(help="What if these limits had held: a file of limits.")] = None,
    diff: Annotated[Path | None, typer.Option(help="Alarm events of another run to compare with.")] = None,
    as_json: Json = False,
) -> None:
    """A recording through the ward: alarm events and a digest. The same on either way, bit for bit."""
    from deploy.replay import ReplaySettings, run_replay

    if through not in {"ward", "stream"}:
        raise typer.BadParameter(f"--through is {through!r}; it takes ward or stream")
    if limits is not None and through == "stream":
        raise typer.BadParameter("--limits asks what would have been, which needs no brokers; leave --through out")
    if patients is not None and patients < 1:
        raise typer.BadParameter(f"--patients is {patients}; it takes a number above 0")
    factor = None if speed == "max" else positive(speed, "--speed")
    what = ReplaySettings(recording, through == "stream", factor, alarms, patients, seed, faults, limits, diff)
    with progress_bar() as progress:
        task = progress.add_task("replaying", total=None)

        def on_progress(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        result = run_replay(what, on_progress)
    end(result, as_json=as_json, show=_show_replay)
    if result.get("as_live") is False and not (patients or faults or limits):
        raise PromiseBrokenError("the alarm events are not those that the live stack told; see --diff")


def _show_replay(result: dict[str, Any]) -> None:
    if "readings" in result:
        print(
            f"{result['patients']} patients, {result['readings']} readings in {result['bundles']} bundles, "
            f"{result['refused']} refused; {result['events']} alarm events, {result['alarms']} raised"
        )
    if "what_if" in result:
        told = result["what_if"]
        day, late = told["alarms_a_day"], told["added_delay_s"]
        print(f"alarms a day: {day['before']} before, {day['after']} with these limits, over {told['days']} days")
        for rule, row in told["by_rule"].items():
            print(f"  {rule}: {row['before']} -> {row['after']}")
        print(f"confirmed: {told['confirmed']}, of which {len(told['missed_confirmed'])} would have been missed")
        if late["mean"] is not None:
            print(f"the others {late['mean']} s later on average, {late['greatest']} s at most")
    if "diff" in result:
        told = result["diff"]
        print(
            f"{told['same']} alarms the same, {told['came']} came, {told['went']} went, {told['moved']} moved, "
            f"{told['changed']} changed"
        )
        for change in told["changes"]:
            print(f"  {change['change']} {change['patient']} {change['rule']}: {'; '.join(change['why'])}")
    if "as_live" in result:
        print("as the live stack told it" if result["as_live"] else "NOT as the live stack told it")
    print(f"digest {result['digest']}")


def register(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(record)
    app.command()(replay)
