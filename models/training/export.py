"""Fitted networks -> a served artifact: graph, scaler, calibration, threshold, rules, card."""

from __future__ import annotations

import io
import logging
import platform
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models import artifact as artifacts
from models.sepsis import SepsisHead
from models.training.alerts import threshold_for
from models.training.calibrate import calibration_table
from models.training.fitting import LIMIT
from vitals import features
from vitals.signs import HOUR_NS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.datasets import Stays
    from models.training.fitting import FitSettings, Scaling
    from models.training.networks import Ensemble

BUDGET = 0.3
"""Alerts per patient-day that the shipped threshold allows on validation patients."""
_UNLIKE_SHARE = 0.999


def to_onnx(net: Ensemble) -> bytes:
    """One step of the ensemble as a graph; any number of patients."""
    n_features = net.members[0].settings.n_features
    patients = torch.export.Dim("n")
    file = io.BytesIO()
    with warnings.catch_warnings():  # the exporter warns about its own internals
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net.eval(), (torch.zeros(3, n_features), torch.zeros(3, net.state_width)),
            input_names=["features", "state"], output_names=["logits", "state_next"],
            dynamic_shapes=({0: patients}, {0: patients}), dynamo=True, verbose=False,
        )  # fmt: skip
        program.save(file, include_initializers=True)
    # The exporter writes into every node the files and lines it came from: this machine's paths, and four times the
    # size.
    return _without_origins(file.getvalue())


def _without_origins(graph: bytes) -> bytes:
    import onnx  # noqa: PLC0415 - the train extra

    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for part in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def head_of(
    logit: NDArray[np.float64], unlike: NDArray[np.float32], stays: Stays, *, budget: float = BUDGET
) -> SepsisHead:
    """Calibration, threshold and rules from validation stays.

    Args:
        logit: Shape (n_hours,), mean log-odds of the ensemble.
        unlike: Shape (n_hours,), `models.sepsis.unlikeness` of the same hours.
        stays: The validation stays.
        budget: Alerts per patient-day.
    """
    table = calibration_table(logit, stays.label)
    points = np.asarray(table)
    score = np.interp(logit, points[:, 0], points[:, 1])
    rule = threshold_for(score, stays.lengths, budget, clear_share=CLEAR_SHARE, refractory_h=6)
    return SepsisHead(
        calibration=table, threshold=rule.threshold, clear=rule.clear, refractory_h=rule.refractory_h,
        alerts_per_day=budget, warm_up=1, fresh_groups=3, fresh_h=6,
        unlike_limit=round(float(np.quantile(unlike, _UNLIKE_SHARE)), 4),
    )  # fmt: skip


CLEAR_SHARE = 0.8
"""The alert ends when the score falls below this share of the threshold."""


def manifest_of(
    name: str, version: str, settings: FitSettings, scaling: Scaling, head: SepsisHead, net: Ensemble,
    trained: dict[str, Any],
) -> artifacts.Manifest:  # fmt: skip
    """The manifest of a sepsis artifact; checksums are filled in on saving."""
    return artifacts.Manifest(
        format=artifacts.FORMAT, name=name, kind="sepsis", version=version, grid_ns=HOUR_NS,
        feature_version=features.VERSION, inputs=settings.features.units, features=settings.features.names,
        scaler=artifacts.Scaler(
            tuple(_short(scaling.center)), tuple(_short(scaling.spread)), LIMIT,
        ),
        state_width=net.state_width,
        head={f: getattr(head, f) for f in head.__struct_fields__},
        trained={**trained, "tools": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]}},
        checksums={},
    )  # fmt: skip


def _short(values: NDArray[np.float32]) -> list[float]:
    # nine digits carry a float32 through JSON and back unchanged
    return [float(f"{v:.9g}") for v in values]


def write(folder: Path, net: Ensemble, manifest: artifacts.Manifest, card: str) -> None:
    """Write the artifact's folder."""
    artifacts.save(folder, manifest, to_onnx(net), card)
