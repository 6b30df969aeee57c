"""``teleward bench``: numbers. Each command ends with one JSON object and, if asked, one HTML page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli_common import Json, end, quietly

bench_app = typer.Typer(no_args_is_help=True, help="How long each hop takes, what a machine holds, what others make.")

Through = Annotated[str, typer.Option(help="teleward, the tutorials' pipeline (tutorial), or both beside each other.")]
Out = Annotated[Path | None, typer.Option(help="Write the report here: NAME.json, and beside it NAME.html.")]


def _finish(result: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    from deploy.bench.report import in_words, write_report

    if out is not None:
        write_report(out, result)
    end(result, as_json=as_json, show=lambda r: print(in_words(r)))


def _store(name: str) -> None:
    if name not in {"influx", "sqlite"}:
        raise typer.BadParameter(f"--store is {name!r}; it takes influx or sqlite")


@bench_app.command()
def latency(
    patients: Annotated[int, typer.Option(help="In the ward.")] = 2000,
    rate: Annotated[float, typer.Option(help="Bundles a second of all devices together.")] = 200.0,
    seconds: Annotated[float, typer.Option(help="How long is measured.")] = 30.0,
    warm: Annotated[float, typer.Option(help="Seconds before that; the first alarms come after a minute.")] = 65.0,
    ill: Annotated[float, typer.Option(help="Share of patients who bring alarms.")] = 0.2,
    workers: Annotated[int, typer.Option(help="Monitoring processes.")] = 1,
    partitions: Annotated[int, typer.Option(help="Of the input topic.")] = 1,
    store: Annotated[str, typer.Option(help="influx or sqlite.")] = "influx",
    through: Through = "teleward",
    rounds: Annotated[int, typer.Option(help="How often; pipelines take turns in each.")] = 1,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Percentiles of each hop and of the whole way, open loop, on real servers; processor time and memory."""
    from deploy.bench.beside import OURS, BesideSettings, run_beside
    from deploy.bench.latency import LatencySettings, run_latency

    _store(store)
    settings = LatencySettings(patients, rate, seconds, warm, ill, workers, partitions, store)  # type: ignore[arg-type]
    alone = through == OURS and rounds == 1
    run = run_latency(settings, quietly) if alone else run_beside(BesideSettings(settings, through, rounds), quietly)
    _finish(asyncio.run(run), out, as_json=as_json)


@bench_app.command()
def capacity(
    patients: Annotated[int, typer.Option(help="In the ward.")] = 1000,
    start: Annotated[float, typer.Option(help="First rate, bundles a second.")] = 200.0,
    factor: Annotated[float, typer.Option(help="Each rate by the one before.")] = 1.5,
    steps: Annotated[int, typer.Option(help="At most so many rates.")] = 10,
    seconds: Annotated[float, typer.Option(help="Measured at each rate.")] = 15.0,
    warm: Annotated[float, typer.Option(help="Seconds before that at each rate.")] = 5.0,
    workers: Annotated[str, typer.Option(help="Numbers of workers (and partitions) to try, commas between.")] = "1",
    store: Annotated[str, typer.Option(help="influx or sqlite.")] = "influx",
    through: Through = "teleward",
    tutorial_start: Annotated[float, typer.Option(help="First rate of the tutorial's pipeline.")] = 200.0,
    tutorial_factor: Annotated[float, typer.Option(help="Each of its rates by the one before.")] = 1.25,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Raise the rate until the lag grows: the knee, what is full there, what a patient costs, how workers scale."""
    from deploy.bench.beside import OURS, KneeSettings, run_knees
    from deploy.bench.capacity import CapacitySettings, run_capacity

    try:
        counts = tuple(int(word) for word in workers.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--workers is {workers!r}; it takes numbers with commas between, like 1,2,4"
        ) from None
    _store(store)
    settings = CapacitySettings(patients, start, factor, steps, seconds, warm, counts, store)  # type: ignore[arg-type]
    knees = KneeSettings(settings, through, tutorial_start, tutorial_factor)
    run = run_capacity(settings, quietly) if through == OURS else run_knees(knees, quietly)
    _finish(asyncio.run(run), out, as_json=as_json)


@bench_app.command()
def peers(
    bundles: Annotated[int, typer.Option(help="Of the fast; the slow get a share of it.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="How often everybody runs.")] = 3,
    only: Annotated[str, typer.Option(help="Names, with commas between; everybody by default.")] = "",
    install: Annotated[bool, typer.Option(help="Install what is missing first (pip, Maven).")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where peers are installed; .stack/peers by default.")] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """The same work by what a user would pick instead, interleaved on one Kafka; outputs checked to be equal."""
    from deploy.bench.peers.contest import PeersSettings, run_peers

    names = tuple(name.strip() for name in only.split(",") if name.strip())
    settings = PeersSettings(bundles, rounds, names, install, folder)
    _finish(asyncio.run(run_peers(settings, quietly)), out, as_json=as_json)


@bench_app.command()
def count(
    baseline: Annotated[Path | None, typer.Option(help="Compare with this; what moved ends it with status 1.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the counts here, as the baseline of the next.")] = None,
    as_json: Json = False,
) -> None:
    """Calls, records, bytes and memory for each bundle on its way: the same however busy the machine is."""
    import json

    from deploy.bench.compare import load
    from deploy.bench.counted import moved, run_counted
    from deploy.cli_common import PromiseBrokenError

    result = run_counted()
    if write is not None:
        write.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _finish(result, None, as_json=as_json)
    if baseline is not None and (wrong := moved(load(baseline), result)):
        raise PromiseBrokenError("not what the baseline says:\n" + "\n".join(wrong))


@bench_app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="A report, as --out wrote it.")],
    new: Annotated[Path, typer.Argument(help="Another of the same benchmark.")],
    as_json: Json = False,
) -> None:
    """Two reports side by side: ratios with intervals and a verdict; ends with status 1 where anything is worse."""
    from deploy.bench.compare import compare as compare_reports
    from deploy.bench.compare import load
    from deploy.cli_common import PromiseBrokenError

    result = compare_reports(load(old), load(new))
    for warning in result["warnings"]:
        quietly(warning)
    _finish(result, None, as_json=as_json)
    if result["verdict"] == "worse":
        raise PromiseBrokenError("worse: " + ", ".join(r["what"] for r in result["steps"] if r["verdict"] == "worse"))


def register(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.add_typer(bench_app, name="bench")
