"""Fits the anomaly network: the forecaster on untouched stretches, the scorers on stretches with known events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import anomaly_frames
from models.anomaly_evidence import FRAME, WIDTH
from models.anomaly_grid import MINUTES, SIGNS, Grid, N
from models.training.anomaly_nets import PARTS, SURPRISE, AnomalyNetwork, forecast_loss
from models.training.injections import MINUTE, Event, NoRoomError, Plan, Sizes, inject
from vitals.signs import Sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Events = list[list[Event]]

_FRAME = len(FRAME) * N


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the network is fitted; all of it goes into the artifact."""

    width: int = 64
    """Hidden numbers of the GRU."""
    forecast_epochs: int = 20
    score_epochs: int = 12
    batch: int = 24
    """Stretches in a step of the forecaster."""
    rows: int = 1024
    """Rows in a step of the scorers."""
    rate: float = 4e-3
    """Highest learning rate of the forecaster; the scorers' is half of it."""
    drop: float = 0.15
    """Share of signs that a stretch loses altogether while the forecaster learns, so that any subset can be served."""
    found_weight: float = 0.3
    """Weight of a row inside an event against a row without: below 1 because the tail of quiet rows is what counts."""
    network: bool = True
    """False takes the forecaster away."""
    seed: int = 0


# From which row of an event on a part should speak: a run of three is no stuck sensor yet. In rows, by grid.
AFTER: Final = {
    "minute": {"spike": 0, "shift": 3, "stuck": 12, "flat": 20},
    "hour": {"spike": 0, "shift": 1, "stuck": 3, "flat": 5},
}
DRIFT_FROM: Final = 0.35
"""Share of a slide after which the drift should speak."""


def features_of(x: Floats, grid: Grid = MINUTES, batch: int = 1000) -> Halves:
    """Features of whole stretches, row by row as a ward makes them.

    Args:
        x: Shape (n, rows, N_SIGNS), NaN where not measured.
        grid: Minutes or hours.
        batch: Stretches at once.

    Returns:
        Shape (n, rows, WIDTH), half precision (they are squashed; a training set of stretches fits into memory).
    """
    out = np.empty((*x.shape[:2], WIDTH), np.float16)
    for i in range(0, len(x), batch):
        part = x[i : i + batch]
        state = anomaly_frames.start(len(part))
        for t in range(x.shape[1]):
            rows, state = anomaly_frames.look(part[:, t], np.isfinite(part[:, t]), state, grid)
            out[i : i + batch, t] = rows
    return out


def _any_plan(rng: np.random.Generator, base: Plan) -> Plan:
    """Sizes and lengths around those of the table, wider than it: the scorers must not learn one shape."""

    def rows(n: int) -> int:
        return max(2, round(n * float(rng.uniform(0.5, 2.0))))

    return Plan(
        spike_rows=max(base.spike_rows, int(rng.integers(base.spike_rows, base.spike_rows + 2))),
        spike_changes=float(rng.uniform(0.6, 1.25)) * base.spike_changes,
        shift_rows=rows(base.shift_rows),
        shift_sd=float(rng.uniform(0.55, 1.45)) * base.shift_sd,
        ramp_rows=rows(base.ramp_rows),
        ramp_sd=float(rng.uniform(0.6, 1.7)) * base.ramp_sd,
        stuck_rows=rows(base.stuck_rows),
        flat_rows=rows(base.flat_rows),
        flat_share=float(rng.uniform(0.5, 1.8)) * base.flat_share,
        first_row=base.first_row // 3,
        together=bool(rng.random() < 0.5),
        resolution=base.resolution,
    )


COPIES: Final = {"spike": 5, "shift": 3, "deterioration": 2, "stuck": 2, "flat": 3}
"""Copies of a stretch of minutes: few patients, long stretches."""
COPIES_HOURLY: Final = {"spike": 3, "shift": 2, "deterioration": 1, "stuck": 1, "flat": 1}
"""Copies of a stretch of hours: many patients, short stretches."""


def _with_spikes(x: Floats, sizes: Sizes, rng: np.random.Generator, base: Plan) -> tuple[Floats, list[Event]]:
    """A copy with a spike in every part as long as two warm-ups: two rows of one spike teach next to nothing."""
    span = max(2 * (base.first_row // 3), 12)
    y, events = x.copy(), []
    for a in range(0, len(x) - span + 1, span // 2):
        plan = _any_plan(rng, base)
        place = int(rng.integers(span // 2, span - plan.spike_rows))
        plan = Plan(**{**{f: getattr(plan, f) for f in plan.__slots__}, "first_row": place})
        try:
            y[a : a + span], e = inject(y[a : a + span], "spike", sizes, rng, plan)
        except NoRoomError:
            continue
        events.append(Event("spike", e.start + a, e.stop + a, e.sign, e.also))
    return y, events


def lessons(
    base: Sequence[Floats], sizes: Sizes, seed: int, plan: Plan = MINUTE, copies: dict[str, int] = COPIES
) -> tuple[Floats, Events]:
    """Stretches to learn from: each untouched, then copies with events of many sizes.

    Args:
        base: Stretches of shape (rows, N_SIGNS).
        sizes: What events are measured in.
        seed: Decides all of them.
        plan: Around which sizes and lengths.
        copies: How many of each kind a stretch gets.

    Returns:
        Shape (n, rows, N_SIGNS), and for each its events (none: untouched).
    """
    rng = np.random.default_rng([seed, 11])
    x: list[Floats] = []
    events: Events = []
    for stretch in base:
        x.append(stretch)
        events.append([])
        for kind, many in copies.items():
            for _ in range(many):
                if kind == "spike":
                    copy, found = _with_spikes(stretch, sizes, rng, plan)
                else:
                    try:
                        copy, event = inject(stretch, kind, sizes, rng, _any_plan(rng, plan))
                    except NoRoomError:
                        continue
                    found = [event]
                if found:
                    x.append(copy)
                    events.append(found)
    return np.stack(x), events


def _cycle(net: nn.Module, rate: float, decay: float, steps: int) -> Callable[[Tensor], None]:
    """A step of learning: gradients held, rate up for a third of the steps and down again."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)

    def learn(loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()

    return learn


def fit_forecaster(
    net: AnomalyNetwork, features: Halves, settings: FitSettings, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Fit the forecaster on untouched stretches, shape (n, rows, WIDTH). In place."""
    rng = np.random.default_rng([settings.seed, 1])
    frames = torch.from_numpy(features[..., :_FRAME].astype(np.float32)).unflatten(-1, (len(FRAME), N))
    lots = -(-len(frames) // settings.batch)
    learn = _cycle(net.forecaster, settings.rate, 1e-3, settings.forecast_epochs * lots)
    for epoch in range(settings.forecast_epochs):
        total = 0.0
        for lot in np.array_split(rng.permutation(len(frames)), lots):
            frame = frames[lot]
            # A sign that is dropped is neither there nor known: all its rows of the frame are 0.
            frame = frame * torch.from_numpy(rng.random((len(lot), 1, 1, N)) >= settings.drop)
            h, _ = net.forecaster.gru(net.forecaster.past(frame))
            loss = forecast_loss(net.forecaster.heads(h, frame), frame, net.repeat_step)
            learn(loss)
            total += float(loss.detach()) * len(lot)
        tell(f"forecaster epoch {epoch + 1}: {total / len(frames):.4f}")


@torch.no_grad()  # type: ignore[untyped-decorator]
def said_of(net: AnomalyNetwork, features: Halves, batch: int = 64) -> Halves:
    """What the forecaster says along stretches: shape (n, rows, N, SURPRISE), half precision."""
    out = np.zeros((*features.shape[:2], N, SURPRISE), np.float16)
    if net.network:
        for i in range(0, len(features), batch):
            frames = torch.from_numpy(features[i : i + batch, :, :_FRAME].astype(np.float32))
            out[i : i + batch] = net.told(frames.unflatten(-1, (len(FRAME), N))).numpy()
    return out


def labels_of(events: Events, rows: int, after: dict[str, int]) -> npt.NDArray[np.bool_]:
    """Shape (n, rows, 4 * N + 1), as the network's log-odds: which part should speak about which sign."""
    out = np.zeros((len(events), rows, 4 * N + 1), bool)
    for i, found in enumerate(events):
        for e in found:
            if e.kind == "deterioration":
                out[i, e.start + int(DRIFT_FROM * (e.stop - e.start)) : e.stop, -1] = True
            else:
                # The companions it moved too: were they taken for quiet, a rise of all pressures would teach silence.
                for sign in (e.sign, *e.also):
                    column = 4 * SIGNS.index(Sign(sign)) + PARTS.index(e.kind)
                    out[i, e.start + after[e.kind] : e.stop, column] = True
    return out


def fit_scorers(
    net: AnomalyNetwork, features: Halves, said: Halves, labels: npt.NDArray[np.bool_], settings: FitSettings,
    tell: Callable[[str], None] = lambda _: None, first_row: int = 60, among: npt.NDArray[np.intp] | None = None,
) -> None:  # fmt: skip
    """Fit the scorers on rows inside events and all rows of untouched stretches, `among` some or all. In place."""
    rng = np.random.default_rng([settings.seed, 2])
    untouched = np.logical_not(labels.any(axis=(1, 2)))
    late = np.arange(labels.shape[1]) >= first_row
    chosen = np.ones(len(labels), bool) if among is None else np.isin(np.arange(len(labels)), among)
    quiet = np.argwhere(np.logical_and.outer(untouched & chosen, late))
    loud = np.argwhere(labels.any(axis=2) & chosen[:, None])
    most = len(quiet)
    lots = -(-(len(quiet) + min(len(loud), most)) // settings.rows)
    learn = _cycle(nn.ModuleList([net.signs, net.drift]), settings.rate / 2, 1e-3, settings.score_epochs * lots)
    net.train()
    for epoch in range(settings.score_epochs):
        rows = np.concatenate([quiet, loud[rng.permutation(len(loud))[:most]]])
        total = 0.0
        for lot in np.array_split(rng.permutation(len(rows)), lots):
            i, t = rows[lot].T
            _, evidence, drift = net.split(torch.from_numpy(features[i, t].astype(np.float32)))
            logits = net.score(evidence, drift, torch.from_numpy(said[i, t].astype(np.float32)))
            wanted = torch.from_numpy(labels[i, t].astype(np.float32))
            loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            loss = (loss * torch.where(wanted > 0, settings.found_weight, 1.0)).sum(1).mean()
            learn(loss)
            total += float(loss.detach()) * len(lot)
        tell(f"scorers epoch {epoch + 1}: {total / len(rows):.4f}")
    net.eval()


@torch.no_grad()  # type: ignore[untyped-decorator]
def logits_of(net: AnomalyNetwork, features: Halves, said: Halves) -> Floats:
    """Log-odds along stretches, shape (n, rows, outputs)."""
    net.eval()
    out = np.empty((*features.shape[:2], net.outputs), np.float32)
    for i in range(len(features)):
        _, evidence, drift = net.split(torch.from_numpy(features[i].astype(np.float32)))
        out[i] = net.score(evidence, drift, torch.from_numpy(said[i].astype(np.float32))).numpy()
    return out
