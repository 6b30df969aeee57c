"""The networks: one step and a whole sequence from the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["gru", "gru_decay", "lstm", "tcn"]


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Shape of a network."""

    n_features: int
    """Columns of the scaled features."""
    n_forecast: int = 7
    """Leading inputs whose next value is forecast as a second task; 0 for none."""
    kind: Kind = "gru"
    """What carries the past."""
    width: int = 64
    """Width of encoder and hidden state."""
    dropout: float = 0.2
    """Share of encoded and hidden units dropped in training."""
    decay_columns: tuple[int, ...] = ()
    """Staleness columns, for `gru_decay`."""


class SepsisNetwork(nn.Module):  # type: ignore[misc]
    """Encoder, recurrent cell, head; the head also sees the encoded present.

    The present goes to the head directly, so that the hidden state need only carry what the 24 h features do not say.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        s = self.settings = settings
        self.encode = nn.Linear(s.n_features, s.width)
        if s.kind == "lstm":
            self.core: nn.Module = nn.LSTM(s.width, s.width, batch_first=True)
        elif s.kind == "tcn":
            self.core = nn.ModuleList(nn.Conv1d(s.width, s.width, 3, dilation=d) for d in (1, 2, 4, 8))
        else:
            self.core = nn.GRU(s.width, s.width, batch_first=True)
        if s.kind == "gru_decay":
            self.fade = nn.Linear(len(s.decay_columns), s.width)
        self.drop = nn.Dropout(s.dropout)
        self.head = nn.Linear(2 * s.width, 1)
        self.forecast = nn.Linear(s.width, max(s.n_forecast, 1))
        self.soon = nn.Linear(2 * s.width, 1)

    @property
    def state_width(self) -> int:
        """Numbers carried per patient."""
        return self.settings.width * (2 if self.settings.kind == "lstm" else 1)

    def sequence(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whole stays.

        Args:
            x: Scaled features, (n, hours, n_features).

        Returns:
            Log-odds (n, hours); forecast of the next hour's values (n, hours, n_forecast); log-odds of sepsis within
            a day (n, hours), a second task.
        """
        e = self.drop(torch.relu(self.encode(x)))
        h = self._run(e, x)
        both = self.drop(torch.cat([h, e], dim=-1))
        return self.head(both).squeeze(-1), self.forecast(h), self.soon(both).squeeze(-1)

    def _run(self, e: Tensor, x: Tensor) -> Tensor:
        if self.settings.kind == "tcn":
            y = e.transpose(1, 2)
            for conv in self.core:
                y = y + torch.relu(conv(functional.pad(y, (2 * conv.dilation[0], 0))))
            return y.transpose(1, 2)
        if self.settings.kind == "gru_decay":
            h = e.new_zeros(len(e), self.settings.width)
            out = []
            for t in range(e.shape[1]):
                h = self._cell(e[:, t], self._faded(h, x[:, t]))
                out.append(h)
            return torch.stack(out, dim=1)
        return self.core(e)[0]

    def _faded(self, h: Tensor, x: Tensor) -> Tensor:
        if self.settings.kind != "gru_decay":
            return h
        return h * torch.exp(-torch.relu(self.fade(x[:, list(self.settings.decay_columns)])))

    def _cell(self, e: Tensor, state: Tensor) -> Tensor:
        """One step of the recurrent cell, written out: the exported graph holds only plain operators."""
        w = self.core
        if self.settings.kind == "lstm":
            h, c = state.chunk(2, dim=1)
            i, f, g, o = (
                functional.linear(e, w.weight_ih_l0, w.bias_ih_l0) + functional.linear(h, w.weight_hh_l0, w.bias_hh_l0)
            ).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], dim=1)
        a = functional.linear(e, w.weight_ih_l0, w.bias_ih_l0).chunk(3, dim=1)
        b = functional.linear(state, w.weight_hh_l0, w.bias_hh_l0).chunk(3, dim=1)
        r, z = torch.sigmoid(a[0] + b[0]), torch.sigmoid(a[1] + b[1])
        return (1 - z) * torch.tanh(a[2] + r * b[2]) + z * state

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One hour: scaled features (n, n_features), state (n, state_width) -> log-odds (n,), next state."""
        e = torch.relu(self.encode(x))
        new = self._cell(e, self._faded(state, x))
        h = new[:, : self.settings.width]
        return self.head(torch.cat([h, e], dim=-1)).squeeze(-1), new


class Ensemble(nn.Module):  # type: ignore[misc]
    """Several networks as one: their log-odds and their states side by side; the server takes the mean.

    Their disagreement is the honest part of "how far to trust it".
    """

    def __init__(self, members: list[SepsisNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.widths = [m.state_width for m in members]

    @property
    def state_width(self) -> int:
        """Numbers carried per patient."""
        return sum(self.widths)

    def sequence(self, x: Tensor) -> Tensor:
        """Log-odds (n, hours, members) of whole stays (n, hours, n_features)."""
        return torch.stack([m.sequence(x)[0] for m in self.members], dim=-1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One hour: scaled features (n, n_features), state (n, state_width) -> log-odds (n, members), next state."""
        parts = state.split(self.widths, dim=1)
        out = [m(x, s) for m, s in zip(self.members, parts, strict=True)]
        return torch.stack([o[0] for o in out], dim=1), torch.cat([o[1] for o in out], dim=1)
