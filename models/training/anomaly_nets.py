"""The anomaly detector's network: a recurrent forecaster, and small scorers that weigh its surprise with the evidence.

```
  row t-3 --> GRU --> per sign: where the value should be now, how far off is usual (heavy-tailed),
                 |             how large a change is usual, how likely an exact repeat
                 |    the same once more, given what the *other* signs show now
                 v
  row t   --> surprise: residuals of two of three rows, residuals accumulated over 10 and 30, changes
              smaller than usual, repeats less likely than usual        + evidence of `models.anomaly_evidence`
                 v
              scorers, per sign: spike, shift, stuck, flat;  over all signs: drift
```

The forecaster stands three rows back, so an event's first row cannot prepare it for the second.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.anomaly_evidence import DRIFT, FRAME, SIGN_FEATURES
from models.anomaly_grid import CHANNELS, N

PARTS: Final = ("spike", "shift", "stuck", "flat", "drift")
SURPRISE: Final = 14
"""Numbers per sign that the forecaster adds to the evidence."""
NU: Final = 3.0
"""Degrees of freedom of the Student distribution of residuals: heavy-tailed, so a flush does not widen everything."""
_MEMORY: Final = 11
"""Numbers per sign carried besides the hidden vector: two residuals back of each head, eight averages less one."""
_FAST, _SLOW = 0.5 ** (1 / 7), 0.5 ** (1 / 20)

_PARTNERS = ((0, (1,)), (1, (0,)), (5, (6, 7)), (6, (5, 7)), (7, (5, 6)))
_SIGNED = [SIGN_FEATURES.index(f) for f in ("jump_pop", "now_pop", "shift_pop", "hold10", "hold20")]
_SIZES = [SIGN_FEATURES.index(f) for f in ("jump_own", "jump_pop", "shift_pop", "hold10")]
_CALM = [SIGN_FEATURES.index(f) for f in ("run", "quiet15", "quiet30", "quiet60")]
_FORMED = (9, 9, -1, -1, -1, 8, 8, 8)  # the formed channel that speaks about each sign


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The middle of three: what two of three rows agree on; an unknown one is 0."""
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


class Forecaster(nn.Module):  # type: ignore[misc]
    """GRU over rows, with two heads: from the past alone, and with the other signs' present."""

    def __init__(self, width: int = 64, hidden: int = 48) -> None:
        super().__init__()
        self.width = width
        self.gru = nn.GRU(3 * N + N, width, batch_first=True)
        self.own = nn.Linear(width, 4 * N)
        self.others = nn.Sequential(nn.Linear(width + 3 * N, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.register_buffer("eye", torch.eye(N), persistent=False)

    @staticmethod
    def past(frame: Tensor) -> Tensor:
        """What the GRU is fed: rows `then`, `then_fresh`, `then_moved` of FRAME, and the size of the move."""
        then = frame[..., :3, :].flatten(-2)
        return torch.cat([then, frame[..., 2, :].abs()], -1)

    def cell(self, x: Tensor, h: Tensor) -> Tensor:
        """One row of the GRU by hand: the exporter fixes the number of patients when it meets `nn.GRU`."""
        g = self.gru
        from_x = functional.linear(x, g.weight_ih_l0, g.bias_ih_l0).chunk(3, -1)
        from_h = functional.linear(h, g.weight_hh_l0, g.bias_hh_l0).chunk(3, -1)
        reset, keep = torch.sigmoid(from_x[0] + from_h[0]), torch.sigmoid(from_x[1] + from_h[1])
        new = torch.tanh(from_x[2] + reset * from_h[2])
        return (1 - keep) * new + keep * h

    def heads(self, h: Tensor, frame: Tensor) -> dict[str, Tensor]:
        """Middle and log-scale of each head, log of the usual change, log-odds of a repeat; in usual changes."""
        o = self.own(h).unflatten(-1, (4, N))
        middle, scale = 2 * o[..., 0, :], o[..., 1, :].clamp(-3, 5)
        here, distance = frame[..., 3, :], frame[..., 4, :]
        z = torch.asinh((distance - middle) * torch.exp(-scale)) * here
        rest = 1 - self.eye
        shape = (*h.shape[:-1], N, N)
        seen = torch.cat([(z[..., None, :] * rest), (here[..., None, :] * rest), self.eye.expand(shape)], -1)
        c = self.others(torch.cat([h[..., None, :].expand(*h.shape[:-1], N, self.width), seen], -1))
        return {
            "middle": middle, "scale": scale, "change": o[..., 2, :].clamp(-4, 5), "repeat": o[..., 3, :],
            "middle_given": middle + torch.exp(scale) * 2 * c[..., 0], "scale_given": scale + c[..., 1].clamp(-4, 3),
        }  # fmt: skip


def forecast_loss(out: dict[str, Tensor], frame: Tensor, repeat_step: Tensor) -> Tensor:
    """Negative log-likelihood of all heads, summed: Student for values, exponential for changes, odds for repeats.

    Args:
        out: From `Forecaster.heads`.
        frame: Shape (..., len(FRAME), N).
        repeat_step: Shape (N,), changes below are repeats, in usual changes.
    """
    here, distance, known, moved = (frame[..., i, :] for i in range(3, 7))

    def student(middle: Tensor, scale: Tensor) -> Tensor:
        z = (distance - middle) * torch.exp(-scale)
        return ((scale + (NU + 1) / 2 * torch.log1p(z * z / NU)) * here).sum() / here.sum().clamp(min=1)

    same = (moved < repeat_step).float()
    changes = known * (1 - same)
    usual = ((out["change"] + moved * torch.exp(-out["change"])) * changes).sum() / changes.sum().clamp(min=1)
    odds = functional.binary_cross_entropy_with_logits(out["repeat"], same, reduction="none")
    repeats = (odds * known).sum() / known.sum().clamp(min=1)
    return student(out["middle"], out["scale"]) + student(out["middle_given"], out["scale_given"]) + usual + repeats


def surprise(out: dict[str, Tensor], frame: Tensor, repeat_step: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """How unexpected a row is, per sign, and what must be remembered for the next.

    Args:
        out: From `Forecaster.heads`.
        frame: Shape (n, len(FRAME), N).
        repeat_step: Shape (N,).
        memory: Shape (n, _MEMORY, N).

    Returns:
        Shape (n, N, SURPRISE) and the memory one row on.
    """
    here, distance, known, moved = (frame[..., i, :] for i in range(3, 7))
    own = torch.asinh((distance - out["middle"]) * torch.exp(-out["scale"])) * here
    given = torch.asinh((distance - out["middle_given"]) * torch.exp(-out["scale_given"])) * here
    same = (moved < repeat_step).float()
    calm = (torch.log(moved.clamp(min=0.02)) - out["change"]).clamp(-3, 3)
    m = memory.unbind(-2)

    def average(old: Tensor, new: Tensor, keep: float, seen: Tensor) -> Tensor:
        return torch.where(seen > 0, keep * old + (1 - keep) * new, old)

    averages = [
        average(m[4], own, _FAST, here), average(m[5], own, _SLOW, here),
        average(m[6], given, _FAST, here), average(m[7], given, _SLOW, here),
        average(m[8], calm, _FAST, known), average(m[9], calm, _SLOW, known),
    ]  # fmt: skip
    repeated = torch.where(known > 0, same * (m[10] + functional.softplus(-out["repeat"])), m[10])
    told = [
        own, _middle(own, m[0], m[1]), given, _middle(given, m[2], m[3]), *averages, torch.log1p(repeated),
        out["scale"], out["scale_given"], out["change"],
    ]  # fmt: skip
    after = [own, m[0], given, m[2], *averages, repeated]
    return torch.stack(told, -1), torch.stack(after, -2)


def sign_rows(evidence: Tensor) -> Tensor:
    """The evidence about each sign with its formed channel, its companions and the rest; shape (n, N, ...).

    Args:
        evidence: Shape (n, CHANNELS, len(SIGN_FEATURES)).
    """
    own = evidence[:, :N]
    none = torch.zeros_like(evidence[:, 0])
    formed = torch.stack([evidence[:, f] if f >= 0 else none for f in _FORMED], 1)
    share = torch.zeros(N, N)
    for sign, partners in _PARTNERS:
        share[sign, list(partners)] = 1 / len(partners)
    partners_say = torch.matmul(share, own[:, :, _SIGNED])
    sizes, calm = own[:, :, _SIZES].abs(), own[:, :, _CALM]
    rest = torch.cat([sizes.sum(1, keepdim=True) - sizes, calm.sum(1, keepdim=True) - calm], 2) / (N - 1)
    largest = sizes[:, :, :1].amax(1, keepdim=True).expand(-1, N, 1)
    which = torch.eye(N).expand(evidence.shape[0], N, N)
    return torch.cat([own, formed, partners_say, rest, largest, which], 2)


SIGN_ROW: Final = 2 * len(SIGN_FEATURES) + len(_SIGNED) + len(_SIZES) + len(_CALM) + 1 + N


def drift_row(drift: Tensor) -> Tensor:
    """The drift over all signs: how far, on which side, by how many; shape (n, 5 * len(DRIFT) ...).

    Args:
        drift: Shape (n, N, len(DRIFT)).
    """
    there = (drift.abs().sum(2, keepdim=True) > 0).float()
    count = there.sum(1).clamp(min=1)
    worse, better = drift.clamp(min=0), (-drift).clamp(min=0)
    several = [(part * there).sum(1) / count for part in (drift, worse, better, (drift > 0.5).float())]
    # Pulse and temperature repeat the heart rate or move too slowly to be told by themselves.
    single = drift[:, [0, 2, 3, 5, 6, 7]].flatten(1) * 0.5
    return torch.cat([*several, single, count / N], 1)


DRIFT_ROW: Final = (4 + 6) * len(DRIFT) + 1


class AnomalyNetwork(nn.Module):  # type: ignore[misc]
    """One step of everything learned: `features, state -> logits, state`, as `models.runtime` serves it."""

    def __init__(self, repeat_step: Tensor, width: int = 64, hidden: int = 64, *, network: bool = True) -> None:
        super().__init__()
        self.forecaster = Forecaster(width)
        row = SIGN_ROW + SURPRISE
        self.signs = nn.Sequential(
            nn.Linear(row, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 4)
        )
        self.drift = nn.Sequential(
            nn.Linear(DRIFT_ROW, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
        )
        self.register_buffer("repeat_step", repeat_step)
        # False: the scorers see zeros where the forecaster would speak. That is how "what the network adds" is told.
        self.network = network

    @property
    def state_width(self) -> int:
        """Numbers carried per patient."""
        return self.forecaster.width + _MEMORY * N

    @property
    def outputs(self) -> int:
        """Log-odds that come out: four for each sign, sign by sign, then the drift."""
        return 4 * N + 1

    @staticmethod
    def split(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, shape (n, WIDTH), to frame, evidence and drift."""
        a, b = len(FRAME) * N, len(FRAME) * N + CHANNELS * len(SIGN_FEATURES)
        frame = features[..., :a].unflatten(-1, (len(FRAME), N))
        evidence = features[..., a:b].unflatten(-1, (CHANNELS, len(SIGN_FEATURES)))
        return frame, evidence, features[..., b:].unflatten(-1, (N, len(DRIFT)))

    def score(self, evidence: Tensor, drift: Tensor, said: Tensor) -> Tensor:
        """Log-odds, shape (n, outputs), of one row: evidence, drift, and what the forecaster said."""
        said = said if self.network else torch.zeros_like(said)
        signs = self.signs(torch.cat([sign_rows(evidence), said], 2))
        return torch.cat([signs.flatten(1), self.drift(drift_row(drift))], 1)

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One row of n patients; returns log-odds and the next state."""
        frame, evidence, drift = self.split(features)
        width = self.forecaster.width
        h, memory = state[:, :width], state[:, width:].unflatten(-1, (_MEMORY, N))
        h = self.forecaster.cell(self.forecaster.past(frame), h)
        said, memory = surprise(self.forecaster.heads(h, frame), frame, self.repeat_step, memory)
        return self.score(evidence, drift, said), torch.cat([h, memory.flatten(1)], 1)

    def told(self, frames: Tensor) -> Tensor:
        """What it says along whole stretches: shape (n, rows, N, SURPRISE) from (n, rows, len(FRAME), N)."""
        h, _ = self.forecaster.gru(self.forecaster.past(frames))
        memory = torch.zeros(len(frames), _MEMORY, N)
        said = []
        for t in range(frames.shape[1]):
            row, memory = surprise(self.forecaster.heads(h[:, t], frames[:, t]), frames[:, t], self.repeat_step, memory)
            said.append(row)
        return torch.stack(said, 1)
