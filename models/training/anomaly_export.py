"""A fitted anomaly network -> a served artifact: graph, rate tables, shares, card."""

from __future__ import annotations

import io
import logging
import platform
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models import anomaly_evidence, anomaly_grid, artifact
from models.anomaly_grid import SIGNS, UNITS, Grid, N
from models.anomaly_model import AnomalyHead
from models.training.anomaly_bench import threshold_for
from models.training.anomaly_nets import PARTS, AnomalyNetwork
from models.training.export import _without_origins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Floats = npt.NDArray[np.float32]

RATES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
"""Alerts a patient-day at which a part's level is tabled."""
SHARES: Final = {"spike": 0.32, "shift": 0.28, "stuck": 0.10, "flat": 0.18, "drift": 0.12}
"""Of the alert budget; chosen on validation patients, so that no part starves. Drift needs little: when all signs slide
together, hardly anything else looks like it."""
SHARES_HOURLY: Final = {"spike": 0.50, "shift": 0.15, "stuck": 0.20, "flat": 0.05, "drift": 0.10}
"""By the hour a spike is one row and the hardest to tell; a shift of hours and a flat half day are easy."""
_LIMIT: Final = 250.0  # features are squashed already; nothing legitimate is beyond


def to_onnx(net: AnomalyNetwork) -> bytes:
    """One step of the network as a graph; any number of patients."""
    patients = torch.export.Dim("n")
    file = io.BytesIO()
    with warnings.catch_warnings():  # the exporter warns about its own internals
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net.eval(), (torch.zeros(3, anomaly_evidence.WIDTH), torch.zeros(3, net.state_width)),
            input_names=["features", "state"], output_names=["logits", "state_next"],
            dynamic_shapes=({0: patients}, {0: patients}), dynamo=True, verbose=False,
        )  # fmt: skip
        program.save(file, include_initializers=True)
    return _without_origins(file.getvalue())


def parts_of(logits: Floats) -> list[Floats]:
    """Each part's loudest sign: five arrays of shape (n, rows), from log-odds of shape (n, rows, 4 * N + 1)."""
    return [*(logits[..., k : 4 * N : 4].max(-1) for k in range(4)), logits[..., -1]]


def rate_table(quiet: Sequence[Floats], rows_a_day: int, refractory: int) -> tuple[tuple[float, ...], ...]:
    """For each part, the log-odds that give each of `RATES` on stretches where nothing was injected.

    Args:
        quiet: For each part, log-odds of shape (n, rows); NaN before the warm-up.
        rows_a_day: Rows of a day.
        refractory: Rows without a second alert.

    Returns:
        Falling levels for each part. Rates too rare to be seen in so little time are extrapolated from the rarest
        two that were: a level nobody reached says nothing about how far beyond it lies.
    """
    tables = []
    for part in quiet:
        days = np.isfinite(part).sum() / rows_a_day
        seen = [r for r in RATES if r * days >= 3]
        levels = [threshold_for(part, r, refractory, rows_a_day) for r in seen]
        slope = (levels[2] - levels[0]) / np.log(seen[2] / seen[0])
        rare = [levels[0] + slope * np.log(r / seen[0]) for r in RATES if r < seen[0]]
        table = np.array([*rare, *levels])
        # Strictly falling, also where two rates share a level.
        tables.append(tuple(float(f"{v:.6g}") for v in table - 1e-3 * np.arange(len(table))))
    return tuple(tables)


def head_of(
    quiet: Floats, *, rows_a_day: int, refractory: int, warm_up: int, threshold: float = 0.5,
    shares: dict[str, float] | None = None,
) -> AnomalyHead:  # fmt: skip
    """Rate tables from log-odds on untouched stretches, shape (n, rows, 4 * N + 1)."""
    parts = [np.where(np.arange(p.shape[1]) < warm_up, np.nan, p).astype(np.float32) for p in parts_of(quiet)]
    shares = shares or SHARES
    return AnomalyHead(
        parts=PARTS, rates=RATES, levels=rate_table(parts, rows_a_day, refractory),
        shares=tuple(shares[p] for p in PARTS), threshold=threshold, warm_up=warm_up,
    )  # fmt: skip


def write(
    folder: Path, net: AnomalyNetwork, grid: Grid, head: AnomalyHead, *, name: str, version: str,
    trained: dict[str, Any], card: str,
) -> artifact.Manifest:  # fmt: skip
    """Write the artifact's folder."""
    names = anomaly_evidence.names()
    manifest = artifact.Manifest(
        format=artifact.FORMAT, name=name, kind="anomaly", version=version, grid_ns=grid.grid_ns,
        feature_version=anomaly_grid.VERSION, inputs={s.column: u for s, u in zip(SIGNS, UNITS, strict=True)},
        features=names, scaler=artifact.Scaler((0.0,) * len(names), (1.0,) * len(names), _LIMIT),
        state_width=net.state_width, head={f: getattr(head, f) for f in head.__struct_fields__},
        trained={**trained, "tools": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}},
        checksums={},
    )  # fmt: skip
    return artifact.save(folder, manifest, to_onnx(net), card)
