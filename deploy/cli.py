"""The command line. Each command takes ``--json`` and then ends with one JSON object on its last line.

The exit status is 0 only where what the command promises holds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy import cli_bench, cli_grafana, cli_people, cli_replay, cli_stack
from deploy.cli_common import Json, PromiseBrokenError, end, err, progress_bar, quietly

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Remote patient monitoring as a stream. Research software, not a medical device.",
)
cli_stack.register(app)
cli_people.register(app)
cli_replay.register(app)
cli_grafana.register(app)
cli_bench.register(app)


@app.command()
def demo(
    scenario: Annotated[str, typer.Option(help="A shipped scenario or a file.")] = "demo",
    recording: Annotated[Path | None, typer.Option(help="Play recorded patients through the devices instead.")] = None,
    speed: Annotated[float | None, typer.Option(help="Seconds of the patients' time in one of the wall.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all chance; the scenario's own by default.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes of the wall.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Without a page.")] = False,
    host: Annotated[str, typer.Option(help="Where the page is served.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8080,
    truth: Annotated[Path | None, typer.Option(help="File for what really happened (stories, faults).")] = None,
    page_to: Annotated[list[str] | None, typer.Option(help="Page at this Apprise address; json://host:port.")] = None,
    keep: Annotated[Path | None, typer.Option(help="New folder in which store, pages and audit stay.")] = None,
    as_json: Json = False,
) -> None:
    """The whole ward in one process on the embedded stack: devices, brokers, bridge, judges, store, page."""
    from deploy.demo import DemoSettings, run_demo
    from deploy.demo_show import show_summary

    settings = DemoSettings(
        scenario, recording, speed, seed, minutes, headless, host, port, truth, tuple(page_to or ()), keep
    )
    result = asyncio.run(run_demo(settings, quietly))
    end(result, as_json=as_json, show=show_summary)
    if result["promise"]:
        raise PromiseBrokenError(result["promise"])


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario or a file.")],
    mqtt: Annotated[str, typer.Option(help="host:port of any MQTT 5 broker.")] = "127.0.0.1:1883",
    kafka: Annotated[
        str | None, typer.Option(help="Where to say who wears what; without it that was said before.")
    ] = None,
    speed: Annotated[float | None, typer.Option(help="Seconds of the patients' time in one of the wall.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all chance.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so many minutes of the wall.")] = None,
    truth: Annotated[Path | None, typer.Option(help="File for what really happened.")] = None,
    user: Annotated[str, typer.Option(help="A player's account, where the broker wants one.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="Its password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="The authority to trust, where the broker wants TLS.")] = None,
    as_json: Json = False,
) -> None:
    """Devices only, against any MQTT broker. Follows TELEWARD_CLOCK, the clock of a stack that runs faster."""
    from deploy.parts.environment import CLOCK
    from deploy.simulating import SimulateSettings, run_simulate

    password = None if password_file is None else password_file.read_text(encoding="utf-8").strip()
    clock = "" if speed else os.environ.get(CLOCK, "")
    settings = SimulateSettings(scenario, mqtt, kafka, speed, seed, minutes, truth, user, password, ca, clock)
    result = asyncio.run(run_simulate(settings, quietly))
    end(result, as_json=as_json, show=lambda r: print(json.dumps(r, indent=2)))


@app.command()
def score(
    which: Annotated[str, typer.Argument(help="news2, sepsis or anomaly.")],
    recording: Annotated[Path, typer.Argument(help="Parquet, CSV, .psv file or folder, or a WFDB record.")],
    out: Annotated[Path, typer.Option(help="File to write: CSV where its name ends so, else Parquet.")],
    artifact: Annotated[
        Path | None, typer.Option(help="Folder of a learned score's artifact; the shipped one without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A score for each patient and frame: columns patient, t_s, score, low, high, assessable."""
    from deploy.scoring import run_score

    if which not in {"news2", "sepsis", "anomaly"}:
        raise typer.BadParameter(f"{which!r} is no score; it is news2, sepsis or anomaly")
    result = run_score(which, recording, out, artifact)  # type: ignore[arg-type]  # checked above
    end(result, as_json=as_json, show=lambda r: print(f"{r['rows']} rows, {r['assessable']} assessable, in {r['out']}"))


@app.command()
def train(
    which: Annotated[str, typer.Argument(help="sepsis or anomaly.")],
    data: Annotated[Path, typer.Option(help="Folder of the recordings to learn from.")],
    out: Annotated[Path, typer.Option(help="Run folder: settings, curves, metrics, artifact. Goes on where it was.")],
    labs: Annotated[bool, typer.Option("--labs", help="Sepsis: with laboratory values.")] = False,
    hourly: Annotated[bool, typer.Option("--hourly", help="Anomaly: for a row an hour, not a minute.")] = False,
    folds: Annotated[int, typer.Option(help="Sepsis: k-fold cross-validation instead of an artifact.")] = 0,
    patients: Annotated[int, typer.Option(help="Only so many patients, for a trial.")] = 0,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 1,
    as_json: Json = False,
) -> None:
    """Fit a detector (needs torch: the extra named train)."""
    from deploy.learning import run_train

    result = run_train(
        which, data, out, labs=labs, hourly=hourly, folds=folds, patients=patients, threads=threads, say=quietly
    )
    end(result, as_json=as_json, show=lambda r: print(json.dumps(r, indent=2)))


@app.command()
def evaluate(
    artifact: Annotated[Path, typer.Argument(help="Folder of an artifact.")],
    data: Annotated[Path, typer.Option(help="Folder of the recordings.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    split: Annotated[str, typer.Option(help="test, validation, train, or all for patients never seen.")] = "test",
    hospital: Annotated[str, typer.Option(help="Only this hospital's patients.")] = "",
    against: Annotated[
        Path | None, typer.Option(help="Another artifact: both on the same patients, at equal alert rates.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate an artifact beside its controls: one HTML page, and all numbers as JSON (needs torch)."""
    from deploy.learning import run_evaluate

    result = run_evaluate(artifact, data, out, split=split, hospital=hospital, against=against, say=quietly)
    end(result, as_json=as_json, show=lambda r: print(f"report in {out}: {', '.join(r)}"))


data_app = typer.Typer(no_args_is_help=True, help="Fetch published recordings from where they are published.")
app.add_typer(data_app, name="data")


@data_app.command()
def physionet2019(
    out: Annotated[Path, typer.Option(help="Folder to fill. Goes on where it was.")],
    base: Annotated[str | None, typer.Option("--from", help="Address of the folder with SHA256SUMS.txt.")] = None,
    as_json: Json = False,
) -> None:
    """The patient files of the PhysioNet/CinC Challenge 2019, sets A and B (about 350 MB)."""
    from deploy.fetching import fetch_physionet2019, show_fetched

    with progress_bar() as progress:
        task = progress.add_task("fetching", total=None)

        def on_progress(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        result = fetch_physionet2019(out, base, on_progress, quietly)
    end(result, as_json=as_json, show=show_fetched)


@app.command()
def ledger(
    store: Annotated[
        str,
        typer.Option(
            envvar="TELEWARD_STORE", help="Where storing keeps: influx:http://HOST:PORT/DATABASE, or a SQLite file."
        ),
    ],
    truth: Annotated[Path | None, typer.Option(help="The devices' own accounts: the sidecar of a simulation.")] = None,
    as_json: Json = False,
) -> None:
    """Per device, in readings: sent = stored + duplicate + refused + quarantined + queued + remainder."""
    from deploy.ledger import read_ledger, show_ledger

    result = read_ledger(store, truth)
    end(result, as_json=as_json, show=show_ledger)
    if result["remainder"] or result["missing"]:
        first = result["open"][0]
        raise PromiseBrokenError(
            f"{result['remainder']} readings and {result['missing']} bundles are unaccounted for; "
            f"the first is of {first['device']}: {first['first_missing'] or 'no bundle, a count that does not add up'}"
        )


Kafka = Annotated[str, typer.Option(envvar="TELEWARD_KAFKA", help="host:port of Kafka.")]
By = Annotated[str, typer.Option(help="Who says so.", envvar="USER")]


@app.command()
def bind(
    device: str,
    patient: str,
    period: Annotated[float, typer.Option(help="Seconds between two bundles of this device.")] = 60.0,
    end: Annotated[bool, typer.Option("--end", help="Nobody wears it from now on.")] = False,
    kafka: Kafka = "127.0.0.1:9092",
    as_json: Json = False,
) -> None:
    """Say that a patient wears a device from now on (or, with --end, no longer)."""
    from deploy.registry import bind_device

    _said(bind_device(kafka, device, patient, period, end=end), as_json=as_json)


def _enrolment(state: str, words: str) -> Callable[..., None]:
    def command(
        patient: str,
        by: By = "",
        reason: Annotated[str, typer.Option(help="Why.")] = "",
        hours: Annotated[float | None, typer.Option(help="For a pause: how long.")] = None,
        scale: Annotated[int, typer.Option(help="SpO2 scale; 2 only on a documented decision.")] = 1,
        kafka: Kafka = "127.0.0.1:9092",
        as_json: Json = False,
    ) -> None:
        from deploy.registry import enrol

        _said(enrol(kafka, patient, state, by=by, reason=reason, hours=hours, scale=scale), as_json=as_json)

    command.__doc__ = words
    return command


app.command("admit")(_enrolment("admitted", "Watch a patient from now on."))
app.command("pause")(_enrolment("paused", "A patient's silence is no alarm for a while; who and why is shown."))
app.command("discharge")(_enrolment("discharged", "Watch a patient no longer; open alarms close under your name."))


def _said(record: dict[str, Any], *, as_json: bool) -> None:
    end(record, as_json=as_json, show=lambda r: print(f"said: {json.dumps(r)}"))


def main() -> None:
    """Run a command; what goes wrong ends in a sentence that says what to do."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _told()):
            raise
        err.print(f"teleward: {error}", style="bold red", markup=False, soft_wrap=True)
        sys.exit(1)


def _told() -> tuple[type[Exception], ...]:
    """Errors whose text is for people; looked for only when something went wrong, so that commands start quickly."""
    from dashboards.console import SettingsError
    from dashboards.console.accounts import AccountsError
    from dashboards.console.session_book import SessionBookError
    from dashboards.grafana import SettingsError as GrafanaSettingsError
    from dashboards.grafana.client import GrafanaError
    from dashboards.grafana.influxql import InfluxError
    from deploy.audit import AuditError
    from deploy.bench.compare import CompareError
    from deploy.bench.driven import BenchError
    from deploy.bench.machine import MachineError
    from deploy.bench.peers.environments import PeerError
    from deploy.brokers.certificates import CertificateError
    from deploy.burden import BurdenError
    from deploy.devices import AccountError
    from deploy.embedded import EmbeddedBrokerError
    from deploy.fetching_disk import FetchError
    from deploy.kafka_topics import TopicsError
    from deploy.learning import LearningError
    from deploy.live_capture import RecordError
    from deploy.native.process import ServerError
    from deploy.page import PageError
    from deploy.paging import PagingError
    from deploy.parts.environment import SettingError
    from deploy.parts.part import PartFailedError
    from deploy.parts.process import PartStartError
    from deploy.registry import RegistryError
    from deploy.replay_stream import RestartError
    from deploy.up.compose import ComposeError
    from deploy.up.native import UpError
    from deploy.ward_process import WardFailedError
    from device_sim import DeviceConflictError, ScenarioError
    from models.artifact import ArtifactError
    from stream_processors.paging.store import StoreMismatch
    from transport.yaml_lines import FileError
    from vitals.recording import RecordingError

    return (
        AccountError,
        AccountsError,
        ArtifactError,
        AuditError,
        BurdenError,
        BenchError,
        CertificateError,
        CompareError,
        ComposeError,
        DeviceConflictError,
        EmbeddedBrokerError,
        FetchError,
        FileError,
        GrafanaError,
        GrafanaSettingsError,
        InfluxError,
        LearningError,
        MachineError,
        PageError,
        SessionBookError,
        PagingError,
        PartFailedError,
        PartStartError,
        PeerError,
        PromiseBrokenError,
        RecordError,
        RecordingError,
        RegistryError,
        RestartError,
        ScenarioError,
        ServerError,
        StoreMismatch,
        SettingError,
        SettingsError,
        TopicsError,
        UpError,
        WardFailedError,
        OSError,
    )


if __name__ == "__main__":
    main()
