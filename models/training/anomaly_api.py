"""What the command line calls: train an anomaly artifact, evaluate one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models.anomaly_grid import HOURS, MINUTES, Grid, N
from models.training import anomaly_export
from models.training.anomaly_bench import stretches_of
from models.training.anomaly_card import card_of
from models.training.anomaly_data import hash_share, hourly_stays, hourly_test, is_test, minute_stays
from models.training.anomaly_fit import (
    AFTER,
    COPIES,
    COPIES_HOURLY,
    FitSettings,
    features_of,
    fit_forecaster,
    fit_scorers,
    labels_of,
    lessons,
    logits_of,
    said_of,
)  # fmt: skip
from models.training.anomaly_nets import AnomalyNetwork
from models.training.anomaly_report import evaluate
from models.training.injections import HOURLY, MINUTE, Plan, sizes_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["TrainSettings", "evaluate", "train"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A whole run."""

    hourly: bool = False
    """Hours of physionet2019 in place of minutes of mimic2_challenge2009."""
    fit: FitSettings = field(default_factory=FitSettings)
    """How the network is fitted."""
    folds: int = 3
    """The rate tables come from patients that a fold's scorers did not see; the shipped ones see all of them."""
    most: int = 8
    """Stretches of one patient."""
    patients: int = 0
    """Only so many patients (for tests); all when 0. Of the hours: 4000 when 0."""
    threads: int = 1
    """Of torch."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """What differs between minutes and hours."""

    name: str
    grid: Grid
    plan: Plan
    after: dict[str, int]
    stretch: int
    rows_a_day: int
    refractory: int
    warm_up: int
    copies: dict[str, int]
    shares: dict[str, float]


BY_MINUTE: Final = Cadence(
    "anomaly", MINUTES, MINUTE, AFTER["minute"], 720, 1440, 60, 60, COPIES, anomaly_export.SHARES
)
BY_HOUR: Final = Cadence(
    "anomaly-hourly", HOURS, HOURLY, AFTER["hour"], 36, 24, 6, 6, COPIES_HOURLY, anomaly_export.SHARES_HOURLY
)
"""Refractory six hours, as for the sepsis warning; warm-up six."""


def stretches(data: Path, cadence: Cadence, settings: TrainSettings) -> tuple[list[str], list[Floats]]:
    """Patients to fit on, and their stretches: two lists of the same length."""
    if cadence is BY_HOUR:
        stays = hourly_stays(data, most=(settings.patients or 4000) * 5 // 4, least_hours=cadence.stretch)
        stays = {p: x for p, x in stays.items() if not hourly_test(p)}
    else:
        stays = {p: x for p, x in minute_stays(data).items() if not is_test(p)}
    who = sorted(stays)[: settings.patients or None]
    pairs = [
        (p, s)
        for p in who
        for s in stretches_of(stays[p], cadence.stretch, settings.most, 0.7 if cadence is BY_MINUTE else 0.6)
    ]
    return [p for p, _ in pairs], [s for _, s in pairs]


def _network(settings: FitSettings, grid: Grid) -> AnomalyNetwork:
    torch.manual_seed(settings.seed)
    repeat = torch.from_numpy(grid.step[:N] / grid.change[:N] / 2)
    return AnomalyNetwork(repeat, settings.width, network=settings.network)


def train(
    data: Path, out: Path, settings: TrainSettings | None = None, *, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train an anomaly artifact.

    Args:
        data: Folder of the recordings.
        out: Run folder: `settings.json`, `metrics.json`, `artifact/`.
        settings: What and how.
        tell: Called with a line of progress now and then.

    Returns:
        What `metrics.json` holds: losses, and the alert rates the tables rest on.
    """
    settings = settings or TrainSettings()
    torch.set_num_threads(settings.threads)
    cadence = BY_HOUR if settings.hourly else BY_MINUTE
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
    who, base = stretches(data, cadence, settings)
    sizes = sizes_of(np.stack(base))
    x, events = lessons(base, sizes, settings.fit.seed, cadence.plan, cadence.copies)
    tell(f"{len(set(who))} patients, {len(base)} stretches, {len(x)} with their copies")
    features = features_of(x, cadence.grid)
    labels = labels_of(events, x.shape[1], cadence.after)
    untouched = np.flatnonzero([not e for e in events])
    of = np.repeat(np.array(who), np.diff(np.append(untouched, len(x))))  # patient of every copy
    fold = np.array([int(hash_share(f"fold-{p}") * settings.folds) for p in of])
    quiet = np.full((len(untouched), x.shape[1], 4 * N + 1), np.nan, np.float32)
    losses: list[str] = []

    def told(line: str) -> None:
        losses.append(line)
        tell(line)

    # One forecaster for all folds: it is told nothing of events, and its loss on unseen patients is within 5 % of that
    # on seen ones. What could learn a patient by heart are the scorers, and they are fitted anew for each fold.
    net = _network(settings.fit, cadence.grid)
    if settings.fit.network:
        fit_forecaster(net, features[untouched], settings.fit, told)
    said = said_of(net, features)
    for k in range(settings.folds):
        rows = np.flatnonzero(fold != k)
        other = _network(settings.fit, cadence.grid)
        fit_scorers(other, features, said, labels, settings.fit, told, cadence.warm_up, rows)
        held = np.flatnonzero(fold[untouched] == k)
        quiet[held] = logits_of(other, features[untouched[held]], said[untouched[held]])
        tell(f"fold {k + 1} of {settings.folds} done")
    fit_scorers(net, features, said, labels, settings.fit, told, cadence.warm_up)
    np.save(out / "quiet.npy", quiet)
    head = anomaly_export.head_of(
        quiet,
        rows_a_day=cadence.rows_a_day,
        refractory=cadence.refractory,
        warm_up=cadence.warm_up,
        shares=cadence.shares,
    )
    metrics = {"losses": losses, "quiet_days": round(quiet[..., 0].size / cadence.rows_a_day, 1)}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    np.savez(out / "sizes.npz", population_sd=sizes.population_sd, change_sd=sizes.change_sd)
    trained = {
        "data": "physionet2019" if settings.hourly else "mimic2_challenge2009", "patients": len(set(who)),
        "stretches": len(base), "settings": asdict(settings),
        "population_sd": [None if np.isnan(v) else round(float(v), 4) for v in sizes.population_sd],
        "change_sd": [None if np.isnan(v) else round(float(v), 4) for v in sizes.change_sd],
    }  # fmt: skip
    anomaly_export.write(
        out / "artifact", net, cadence.grid, head, name=cadence.name, version="1.0.0", trained=trained,
        card=card_of(cadence.name, head, trained),
    )  # fmt: skip
    torch.save(net.state_dict(), out / "network.pt")
    return metrics


def without_network(settings: TrainSettings) -> TrainSettings:
    """The same run with the forecaster taken away: what the network adds is the difference."""
    return replace(settings, fit=replace(settings.fit, network=False))
