"""``teleward train`` and ``teleward evaluate``: the way to torch, with a sentence where it is not installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models import artifact as artifacts


class LearningError(ValueError):
    """It cannot be trained or evaluated like this; the message says what to do."""


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise LearningError("training needs torch: pip install '.[train]'")


def run_train(
    which: str,
    data: Path,
    out: Path,
    *,
    labs: bool,
    hourly: bool,
    folds: int,
    patients: int,
    threads: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Fit a detector; a run that was stopped goes on where it was.

    Raises:
        LearningError: If there is no such detector, or torch is not installed.
    """
    if which not in {"sepsis", "anomaly"}:
        raise LearningError(f"{which!r} cannot be trained; it is sepsis or anomaly")
    _need_torch()
    if which == "sepsis":
        from dataclasses import replace

        from models.training.cli_api import TrainSettings, train_sepsis

        settings = TrainSettings(folds=folds, patients=patients, threads=threads)
        return train_sepsis(data, out, replace(settings, fit=replace(settings.fit, labs=labs)))
    from models.training.anomaly_api import TrainSettings as AnomalySettings
    from models.training.anomaly_api import train

    return train(data, out, AnomalySettings(hourly=hourly, patients=patients, threads=threads), tell=say)


def run_evaluate(
    artifact: Path,
    data: Path,
    out: Path,
    *,
    split: str,
    hospital: str,
    against: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluate an artifact beside its controls.

    Raises:
        ArtifactError: If there is no artifact in the folder.
        LearningError: If torch is not installed, or the other artifact is of another kind.
    """
    kind = artifacts.load(artifact).manifest.kind
    if against is not None and (other := artifacts.load(against).manifest.kind) != kind:
        raise LearningError(f"--against holds an artifact of another kind: {other}, compared with {kind}")
    _need_torch()
    if kind == "sepsis":
        from models.training.cli_api import evaluate

        return evaluate(artifact, data, out, split=split, hospital=hospital, against=against)
    from models.training.anomaly_report import evaluate as evaluate_anomaly

    return evaluate_anomaly(artifact, data, out, against=against, tell=say)
