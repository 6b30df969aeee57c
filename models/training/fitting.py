"""Fitting one network: fresh crops every epoch, hours taken out of the loss, weights averaged, best epoch kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.training.datasets import Augment, Stays, crop_and_drop
from models.training.metrics import auroc, hm_auroc
from models.training.networks import Kind, NetworkSettings, SepsisNetwork
from models.training.utility import FIRST_H, hours_from_onset, worth
from vitals.features import VITALS, WITH_LABS, FeatureSettings, feature_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LIMIT = 6.0
"""Scaled features are held within this many spreads."""
_SOON_H = -24.0


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a network is fitted; all of it goes into the artifact."""

    labs: bool = False
    """Laboratory inputs as well."""
    staleness: bool = True
    """False: no staleness features (ablation)."""
    kind: Kind = "gru"
    width: int = 64
    dropout: float = 0.2
    epochs: int = 16
    patience: int = 8
    """Epochs without a better validation hm after which fitting ends."""
    fresh_every: int = 2
    """Epochs between fresh crops and drops; making features costs as much time as an epoch of learning."""
    batch: int = 128
    """Stays in a step, of like length."""
    rate: float = 4e-3
    """Highest learning rate; it rises for a fifth of the steps and then falls."""
    decay: float = 1e-2
    hour_offset: float = 0.0
    """Share of each hour's prior log-odds that is added to the network's in the loss, and only there.

    With 1 the network has to say what the patient adds to what the hour of stay already tells. Served without the
    offset, its score cannot lean on the hour, which it is never shown.
    """
    alike: float = 0.0
    """0: every hour counts alike in the loss; 1: every stay does, however long; between: in between.

    Hours alike rank hours as a ward's alerts need it (late hours of long stays are many, and many of them septic);
    stays alike rank better within an hour of stay. Members of an ensemble may differ in this.
    """
    utility: float = 0.0
    """Share of the utility's worth in the weight of an hour; 0 weighs all hours alike."""
    soon: float = 0.3
    """Weight of the second task: sepsis begins within a day."""
    forecast: float = 0.03
    """Weight of the third task: the next hour's vital signs."""
    augment: Augment = field(default_factory=Augment)

    @property
    def features(self) -> FeatureSettings:
        """Which features the network sees."""
        base = WITH_LABS if self.labs else FeatureSettings()
        return FeatureSettings(inputs=base.inputs, staleness=self.staleness)

    def as_dict(self) -> dict[str, Any]:
        """For the run folder and the artifact."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Center and spread of each feature, of the training stays as they are."""

    center: Floats
    spread: Floats

    @classmethod
    def of(cls, x: Floats) -> Scaling:
        """Measure them; a feature that never varies gets spread 1."""
        spread = x.std(axis=0, dtype=np.float64)
        return cls(x.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(spread > 1e-4, spread, 1).astype("f4"))

    def apply(self, x: Floats) -> Floats:
        """As `models.runtime.Runtime.scale` does it."""
        return np.asarray(np.clip((x - self.center) / self.spread, -LIMIT, LIMIT), np.float32)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch, for curves and progress."""

    seed: int
    epoch: int
    loss: float
    hm: float
    """On validation stays, hour-matched."""
    auroc: float
    best: bool


def features_of(stays: Stays, settings: FitSettings) -> Floats:
    """`vitals.features` of whole stays."""
    return feature_table(stays.values, stays.lengths, stays.static, settings.features)


def prior_by_hour(label: NDArray[np.bool_], hour: NDArray[np.int64], longest: int = 80) -> Floats:
    """Log-odds of the label at each hour of stay, smoothed over seven hours; shape (longest + 1,)."""
    at = np.minimum(hour, longest)
    smooth = np.ones(7) / 7
    positive = np.convolve(np.pad(np.bincount(at, label, longest + 1), 3, "edge"), smooth, "valid") + 1
    count = np.convolve(np.pad(np.bincount(at, minlength=longest + 1), 3, "edge"), smooth, "valid") + 50
    return np.asarray(np.log(positive / (count - positive)), np.float32)


@dataclass(frozen=True, slots=True)
class _View:
    """One epoch's stays, ready to be cut into batches. All arrays have a row for each hour."""

    lengths: NDArray[np.int64]
    x: Floats
    label: Floats
    offset: Floats
    weight: Floats
    soon: Floats
    nxt: Floats
    """Scaled vital signs, NaN where not measured."""
    hours_per_batch: float


def _view(stays: Stays, scaling: Scaling, prior: Floats, settings: FitSettings, rng: np.random.Generator) -> _View:
    v = crop_and_drop(stays, settings.augment, rng)
    onset = hours_from_onset(v.label, v.lengths)
    loud, silent = worth(onset)
    worthy = np.where(np.isnan(onset) | (onset < FIRST_H), 1.0, np.abs(loud - silent) + 0.2)
    alike = np.repeat((v.lengths.mean() / v.lengths) ** settings.alike, v.lengths)
    names = settings.features.names
    columns = [names.index(m.name) for m in VITALS]
    vitals = (v.values[:, : len(VITALS)] - scaling.center[columns]) / scaling.spread[columns]
    return _View(
        lengths=v.lengths,
        x=scaling.apply(features_of(v, settings)),
        label=v.label.astype(np.float32),
        offset=settings.hour_offset * prior[np.minimum(v.hour, len(prior) - 1)],
        weight=((1 + settings.utility * (worthy - 1)) * alike).astype(np.float32),
        soon=(onset >= _SOON_H).astype(np.float32),
        nxt=np.clip(vitals, -4, 4),
        hours_per_batch=settings.batch * float(v.lengths.mean()),
    )


def _rows(lengths: NDArray[np.int64], who: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Row numbers (n, longest) of some stays, and which are real; padding repeats the last hour."""
    begin = np.cumsum(lengths) - lengths
    hours = np.arange(lengths[who].max())
    return begin[who][:, None] + np.minimum(hours, lengths[who][:, None] - 1), hours < lengths[who][:, None]


def batches(lengths: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Stays of like length together, lots in random order."""
    order = np.argsort(lengths + rng.uniform(-4, 4, len(lengths)))
    lots = [order[i : i + size] for i in range(0, len(order), size)]
    for i in rng.permutation(len(lots)):
        yield lots[i]


def _loss(net: SepsisNetwork, view: _View, who: NDArray[np.intp], settings: FitSettings, device: str) -> Tensor:
    rows, real = _rows(view.lengths, who)

    def take(a: Floats) -> Tensor:
        return torch.from_numpy(a[rows]).to(device)

    weight = torch.from_numpy(real).to(device) * take(view.weight)
    logit, forecast, soon = net.sequence(take(view.x))
    offset = take(view.offset)

    def bce(z: Tensor, y: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(z + offset, y, reduction="none")
        # Not divided by the hours of this batch: batches hold stays of like length, and the short ones, in which
        # sepsis is more frequent, would weigh more than `alike` says.
        return (each * weight).sum() / view.hours_per_batch

    loss = bce(logit, take(view.label))
    if settings.soon:
        loss = loss + settings.soon * bce(soon, take(view.soon))
    if settings.forecast:
        goal = take(view.nxt)[:, 1:]
        there = ~torch.isnan(goal) & torch.from_numpy(real[:, 1:, None]).to(device)
        loss = loss + settings.forecast * functional.smooth_l1_loss(forecast[:, :-1][there], goal[there])
    return loss


def predict(net: SepsisNetwork, x: Floats, lengths: NDArray[np.int64], device: str = "cpu") -> Floats:
    """Log-odds of every hour of whole stays, from scaled features."""
    net.eval()
    out = np.empty(len(x), np.float32)
    order = np.argsort(lengths)
    with torch.no_grad():
        for i in range(0, len(order), 256):
            rows, real = _rows(lengths, order[i : i + 256])
            z = net.sequence(torch.from_numpy(x[rows]).to(device))[0].cpu().numpy()
            out[rows[real]] = z[real]
    return out


def new_network(settings: FitSettings) -> SepsisNetwork:
    """An unfitted network of these settings."""
    names = settings.features.names
    stale = tuple(i for i, n in enumerate(names) if n.endswith("_stale"))
    return SepsisNetwork(
        NetworkSettings(len(names), kind=settings.kind, width=settings.width, dropout=settings.dropout,
                        decay_columns=stale)
    )  # fmt: skip


def pick_device() -> str:
    """A GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fit(
    train: Stays, validation: Stays, scaling: Scaling, settings: FitSettings, *, seed: int, device: str = "cpu",
    checkpoint: Path | None = None, report: Callable[[Epoch], None] = lambda _: None,
) -> SepsisNetwork:  # fmt: skip
    """Fit one network.

    Args:
        train: Stays to fit on.
        validation: Stays that choose the epoch; none of them in `train`.
        scaling: Of the training stays.
        settings: How.
        seed: Of weights, crops, drops and order.
        device: Where.
        checkpoint: A file to resume from if it is there, written after every epoch.
        report: Called after every epoch.

    Returns:
        The network (moving average of the weights) of the epoch with the best validation hm.
    """
    torch.manual_seed(seed)
    net, mean, best = new_network(settings), new_network(settings), new_network(settings)
    for one in (net, mean, best):
        one.to(device)
    mean.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), settings.rate, weight_decay=settings.decay)
    steps = settings.epochs * -(-len(train.lengths) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps + 1, pct_start=0.2)
    prior = prior_by_hour(train.label, train.hour)
    seen = scaling.apply(features_of(validation, settings))
    kept: dict[str, Any] = {"net": net, "mean": mean, "best": best, "optimiser": optimiser, "schedule": schedule}
    at = {"epoch": 0, "steps": 0, "best_hm": -1.0, "best_epoch": -1}
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        at = saved.pop("at")
        for name, part in saved.items():
            kept[name].load_state_dict(part)
    seen_look = -1
    while at["epoch"] < settings.epochs and at["epoch"] - at["best_epoch"] <= settings.patience:
        # Generators by epoch, so that a resumed run sees what an undisturbed one would have seen.
        epoch = int(at["epoch"])
        torch.manual_seed(seed * 1000 + epoch)
        look = epoch // settings.fresh_every
        if look != seen_look:
            view = _view(train, scaling, prior, settings, np.random.default_rng([seed, look, 0]))
            seen_look = look
        net.train()
        total = []
        for who in batches(view.lengths, settings.batch, np.random.default_rng([seed, epoch, 1])):
            loss = _loss(net, view, who, settings, device)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            at["steps"] += 1
            _average(mean, net, min(0.995, (1 + at["steps"]) / (10 + at["steps"])))
            total.append(float(loss.detach()))
        z = predict(mean, seen, validation.lengths, device).astype(np.float64)
        hm = hm_auroc(z, validation.label, validation.hour)
        better = hm > at["best_hm"]
        if better:
            best.load_state_dict(mean.state_dict())
            at.update(best_hm=hm, best_epoch=at["epoch"])
        report(Epoch(seed, epoch, float(np.mean(total)), hm, auroc(z, validation.label), better))
        at["epoch"] += 1
        if checkpoint is not None:
            torch.save({"at": at, **{k: v.state_dict() for k, v in kept.items()}}, checkpoint)
    best.to("cpu").eval()
    return best


def _average(mean: SepsisNetwork, net: SepsisNetwork, keep: float) -> None:
    with torch.no_grad():
        for m, p in zip(mean.parameters(), net.parameters(), strict=True):
            m.lerp_(p, 1 - keep)
