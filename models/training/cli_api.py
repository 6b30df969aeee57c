"""What the command line calls: train a sepsis artifact, evaluate one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models import artifact as artifacts
from models.sepsis_model import unlikeness
from models.training import export
from models.training.card import FAILURES, card_of, numbers_of
from models.training.datasets import Stays, load, split_of
from models.training.evaluate import evaluate_stays
from models.training.fitting import Epoch, FitSettings, Scaling, features_of, fit, new_network, pick_device, predict
from models.training.metrics import auroc, hm_auroc
from models.training.networks import Ensemble, SepsisNetwork
from models.training.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SHIPPED_MEMBERS", "Member", "TrainSettings", "evaluate", "train_sepsis", "write_card"]


@dataclass(frozen=True, slots=True)
class Member:
    """One network of an ensemble: what may differ from its neighbours."""

    seed: int
    alike: float = 0.0
    """`FitSettings.alike`: some rank for alerts, some within an hour of stay."""
    crop: float | None = None
    """`Augment.crop`; the run's when None, as all that follow."""
    longest_h: int | None = None
    """`Augment.longest_h`."""
    epochs: int | None = None
    """`FitSettings.epochs`."""

    def settings(self, base: FitSettings) -> FitSettings:
        """The network's own settings."""
        augment = replace(
            base.augment,
            crop=base.augment.crop if self.crop is None else self.crop,
            longest_h=self.longest_h or base.augment.longest_h,
        )
        return replace(base, alike=self.alike, epochs=self.epochs or base.epochs, augment=augment)


SHIPPED_MEMBERS = (
    Member(0, crop=0.5, longest_h=72, epochs=24),
    Member(1, alike=1.0, crop=0.5, longest_h=72, epochs=24),
    Member(2, crop=0.9, longest_h=60, epochs=16),
    Member(4, crop=0.9, longest_h=60, epochs=16),
)
"""The members of `sepsis-vitals` 1.0.0; `sepsis-labs` has the first three."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A whole run: several networks that become one artifact."""

    fit: FitSettings = field(default_factory=FitSettings)
    """How each network is fitted."""
    members: tuple[Member, ...] = SHIPPED_MEMBERS
    """The ensemble."""
    hospital: str = ""
    """Fit, calibrate and set thresholds on this hospital alone; all when empty."""
    folds: int = 0
    """Above 1: k-fold cross-validation over training and validation patients instead of an artifact."""
    budget: float = export.BUDGET
    """Alerts per patient-day."""
    threads: int = 1
    """Of torch."""
    patients: int = 0
    """Only that many patients (for tests); all when 0."""


def train_sepsis(
    data: Path, out: Path, settings: TrainSettings | None = None, *, quiet: bool = False
) -> dict[str, Any]:
    """Train a sepsis artifact; a run that was stopped goes on where it was.

    Args:
        data: Folder of the recordings.
        out: Run folder: `settings.json`, `curves.jsonl`, `member-*.pt`, `metrics.json`, `artifact/`.
        settings: The run's.
        quiet: No progress bar.

    Returns:
        The validation metrics, as in `metrics.json`.
    """
    settings = settings or TrainSettings()
    torch.set_num_threads(settings.threads)
    out.mkdir(parents=True, exist_ok=True)
    _same_settings(out / "settings.json", settings)
    stays = load(data, labs=settings.fit.labs)
    if settings.hospital:
        stays = stays.pick(stays.hospital == settings.hospital)
    if settings.patients:
        stays = stays.pick(np.arange(len(stays.lengths)) % max(len(stays.lengths) // settings.patients, 1) == 0)
    split = split_of(stays.patient)
    if settings.folds > 1:
        return _cross_validate(stays.pick(split != "test"), out, settings, quiet=quiet)
    train, validation = stays.pick(split == "train"), stays.pick(split == "validation")
    scaling = Scaling.of(features_of(train, settings.fit))
    members = _members(train, validation, scaling, out, settings, quiet=quiet)
    return _finish(members, scaling, validation, out, settings)


def evaluate(
    artifact: Path, data: Path, out: Path, *, split: str = "test", hospital: str = "", bootstraps: int = 500,
    with_trees: bool = True, against: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Evaluate an artifact beside its controls: `report.html` and `report.json` in `out`.

    Args:
        artifact: Its folder.
        data: Folder of the recordings, or a Parquet file with the challenge's columns.
        out: Folder for the report.
        split: `test`, `validation`, `train`, or `all` for patients that no split of ours has seen.
        hospital: Only this hospital's patients; all when empty.
        bootstraps: Samples of patients for the intervals.
        with_trees: Also fit trees on the training split, as a control (minutes).
        against: Folder of another artifact, compared on the same patients at equal alert rates.

    Returns:
        All numbers, as in `report.json`.
    """
    numbers, curves = evaluate_stays(
        artifact, data, split=split, hospital=hospital, bootstraps=bootstraps, with_trees=with_trees, against=against
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (out / "report.html").write_text(write_report(numbers, curves), encoding="utf-8")
    return numbers


def write_card(artifact: Path, reports: dict[str, dict[str, Any]]) -> None:
    """Put the results of evaluations into an artifact's card; the checksums follow.

    Args:
        artifact: Its folder.
        reports: Heading -> numbers, as `evaluate` returns them.
    """
    one = artifacts.load(artifact)
    text = "\n".join(f"## {heading}\n\n{numbers_of(numbers)}" for heading, numbers in reports.items())
    artifacts.save(artifact, one.manifest, one.graph, card_of(one.manifest, f"{text}\n{FAILURES}"))


def _same_settings(file: Path, settings: TrainSettings) -> None:
    text = json.dumps(asdict(settings), indent=1) + "\n"
    if file.exists() and file.read_text() != text:
        raise ValueError(f"{file.parent} holds a run with other settings; choose another folder")
    file.write_text(text)


def _members(
    train: Stays, validation: Stays, scaling: Scaling, out: Path, settings: TrainSettings, *, quiet: bool
) -> list[SepsisNetwork]:
    members = []
    for member in settings.members:
        seed, how = member.seed, member.settings(settings.fit)
        done = out / f"member-{seed}.pt"
        if done.exists():
            net = new_network(how)
            net.load_state_dict(torch.load(done, weights_only=True))
            members.append(net.eval())
            continue
        with _Bar(how.epochs, seed, out / "curves.jsonl", quiet=quiet) as bar:
            net = fit(train, validation, scaling, how, seed=seed, device=pick_device(),
                      checkpoint=out / f"member-{seed}.part", report=bar.show)  # fmt: skip
        torch.save(net.state_dict(), done)
        (out / f"member-{seed}.part").unlink(missing_ok=True)
        members.append(net)
    return members


def _finish(
    members: list[SepsisNetwork], scaling: Scaling, validation: Stays, out: Path, settings: TrainSettings
) -> dict[str, Any]:
    """Calibrate on validation patients, set the threshold, write the artifact."""
    x = scaling.apply(features_of(validation, settings.fit))
    each = np.stack([predict(m, x, validation.lengths) for m in members], axis=1).astype(np.float64)
    logit = each.mean(axis=1)
    head = export.head_of(logit, unlikeness(x), validation, budget=settings.budget)
    metrics = {
        "members": [_quality(each[:, k], validation) for k in range(len(members))],
        "ensemble": _quality(logit, validation),
        "threshold": head.threshold,
        "parameters": sum(p.numel() for m in members for p in m.parameters()),
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    name = "sepsis-labs" if settings.fit.labs else "sepsis-vitals"
    trained = {"data": "PhysioNet/CinC Challenge 2019, development part", "split": "sha256 of the patient, 70/10/20",
               "settings": asdict(settings), "validation": metrics}  # fmt: skip
    net = Ensemble(members).eval()
    manifest = export.manifest_of(name, VERSION, settings.fit, scaling, head, net, trained)
    export.write(out / "artifact", net, manifest, card_of(manifest))
    return metrics


VERSION = "1.0.0"
"""Of the artifacts that this code trains."""


def _quality(score: NDArray[np.float64], stays: Stays) -> dict[str, float]:
    hm, area = hm_auroc(score, stays.label, stays.hour), auroc(score, stays.label)
    return {"hm": round(hm, 4), "auroc": round(area, 4)}


def _cross_validate(stays: Stays, out: Path, settings: TrainSettings, *, quiet: bool) -> dict[str, Any]:
    """Each patient of training and validation is scored once by a network that never saw it."""
    fold = np.random.default_rng(0).permutation(len(stays.lengths)) % settings.folds
    scores = []
    for k in range(settings.folds):
        train, held = stays.pick(fold != k), stays.pick(fold == k)
        scaling = Scaling.of(features_of(train, settings.fit))
        how = replace(settings.members[0].settings(settings.fit), patience=settings.fit.epochs)
        with _Bar(how.epochs, k, out / "curves.jsonl", quiet=quiet) as bar:
            net = fit(train, held, scaling, how, seed=settings.members[0].seed, device=pick_device(), report=bar.show)
        x = scaling.apply(features_of(held, settings.fit))
        scores.append(_quality(predict(net, x, held.lengths).astype(np.float64), held))
    hms = np.array([s["hm"] for s in scores])
    metrics = {"folds": scores, "hm_mean": float(hms.mean()), "hm_sd": float(hms.std(ddof=1))}
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


class _Bar:
    """Progress on the terminal, curves in a file."""

    def __init__(self, epochs: int, seed: int, curves: Path, *, quiet: bool) -> None:
        self._curves = curves
        self._progress = Progress(
            TextColumn("network {task.fields[seed]}"), BarColumn(), TextColumn("{task.description}"),
            TimeRemainingColumn(), disable=quiet,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=epochs, seed=seed)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, epoch: Epoch) -> None:
        text = f"loss {epoch.loss:.4f}, hm {epoch.hm:.4f}{' best' if epoch.best else ''}"
        self._progress.update(self._task, completed=epoch.epoch + 1, description=text)
        with self._curves.open("a") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
