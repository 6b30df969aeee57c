"""The detectors everybody could write, which a learned one must beat.

Each takes stretches of shape (n, rows, N_SIGNS), NaN where not measured, and gives a score of shape (n, rows), higher
is worse. They see the raw recording, as such detectors do; none is tuned on the stretches it is judged on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from vitals.signs import N_SIGNS, Sign

if TYPE_CHECKING:
    from models.training.injections import Sizes

Floats = npt.NDArray[np.float32]

WATCHED: Final = [Sign.HR, Sign.SPO2, Sign.RESP, Sign.TEMP_C, Sign.SBP, Sign.DBP, Sign.MAP]
_EARLY: Final = 30  # rows in which an exponential mean is still finding its level


def random(x: Floats, seed: int = 0) -> Floats:
    """Uniform noise: what any alert rate finds by luck."""
    return np.random.default_rng(seed).random(x.shape[:2]).astype(np.float32)


def _ewma_residual(x: Floats, sizes: Sizes, half_life: float) -> Floats:
    """Distance from the exponential mean of the rows before, in exponential deviations; shape (n, rows, N_SIGNS)."""
    keep = np.float32(0.5 ** (1 / half_life))
    sd = np.nan_to_num(sizes.change_sd, nan=1.0).astype(np.float32)
    mean = np.full((len(x), N_SIGNS), np.nan, np.float32)
    var = np.broadcast_to(sd**2, mean.shape).astype(np.float32)
    z = np.zeros(x.shape, np.float32)
    for t in range(x.shape[1]):
        now = x[:, t]
        d = now - mean
        z[:, t] = np.nan_to_num(d / np.sqrt(var))
        mean = np.where(np.isnan(now), mean, np.where(np.isnan(mean), now, keep * mean + (1 - keep) * now))
        var = np.where(np.isnan(d), var, np.maximum(keep * var + (1 - keep) * d * d, (0.2 * sd) ** 2))
    z[:, : min(_EARLY, x.shape[1] // 6)] = 0
    return z[:, :, WATCHED]


def cusum(z: Floats, slack: float = 0.5) -> Floats:
    """Largest two-sided cumulative sum over signs; shape (n, rows)."""
    up = np.zeros((len(z), z.shape[2]), np.float32)
    down = np.zeros_like(up)
    out = np.zeros(z.shape[:2], np.float32)
    for t in range(z.shape[1]):
        step = np.clip(z[:, t], -6, 6)
        up, down = np.maximum(up + step - slack, 0), np.maximum(down - step - slack, 0)
        out[:, t] = np.maximum(up, down).max(1)
    return out


def ewma_largest(x: Floats, sizes: Sizes, half_life: float = 60.0) -> Floats:
    """Largest deviation from a patient's exponential mean."""
    return np.asarray(np.abs(_ewma_residual(x, sizes, half_life)).max(2))


def ewma_cusum(x: Floats, sizes: Sizes, half_life: float = 240.0) -> Floats:
    """The same deviations, accumulated."""
    return cusum(_ewma_residual(x, sizes, half_life))


def stuck_run(x: Floats, fit: Floats) -> Floats:
    """Longest run of exact repeats over the signs, each against the run that sign has once in 2000 rows of `fit`.

    The plain longest run is owned by saturations of 100 %; weighing each sign by its own habit makes the rule about
    as good as it can be.
    """
    usual = np.maximum(np.quantile(_runs(fit).reshape(-1, len(WATCHED)), 1 - 1 / 2000, axis=0), 3)
    out: Floats = (_runs(x) / usual).max(2)
    # Whole numbers tie; a hair of row number breaks ties without changing what is longer.
    return out + np.linspace(0, 1e-3, x.shape[1], dtype=np.float32)


def _runs(x: Floats) -> Floats:
    """Rows that each watched sign has repeated exactly; shape (n, rows, len(WATCHED))."""
    run = np.zeros((len(x), len(WATCHED)), np.float32)
    out = np.zeros((*x.shape[:2], len(WATCHED)), np.float32)
    for t in range(1, x.shape[1]):
        run = np.where(x[:, t, WATCHED] == x[:, t - 1, WATCHED], run + 1, 0)
        out[:, t] = run
    return out


def window_features(x: Floats, rows: int = 10) -> Floats:
    """Mean, spread and change over ten rows of every sign, missing filled by the sign's mean; for the forest."""
    w = x[:, :, WATCHED]
    centre = np.nanmean(w.reshape(-1, len(WATCHED)), axis=0) if np.isfinite(w).any() else np.zeros(len(WATCHED))
    w = np.where(np.isnan(w), np.nan_to_num(centre), w).astype(np.float32)
    total, square = np.cumsum(w, 1), np.cumsum(w * w, 1)
    mean, spread, change = w.copy(), np.zeros_like(w), np.zeros_like(w)
    mean[:, rows:] = (total[:, rows:] - total[:, :-rows]) / rows
    spread[:, rows:] = np.sqrt(np.maximum((square[:, rows:] - square[:, :-rows]) / rows - mean[:, rows:] ** 2, 0))
    change[:, rows:] = w[:, rows:] - w[:, :-rows]
    return np.concatenate([mean, spread, change], axis=2)


def isolation_forest(x: Floats, fit: Floats, seed: int = 0) -> Floats:
    """Isolation forest on `window_features`, fitted on every seventh row of `fit`."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - only evaluation needs it

    train = window_features(fit)[:, ::7].reshape(-1, 3 * len(WATCHED))
    forest = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(train)
    rows = window_features(x)
    out = np.empty(x.shape[:2], np.float32)
    for i in range(0, len(x), 200):
        block = rows[i : i + 200]
        out[i : i + 200] = -forest.score_samples(block.reshape(-1, block.shape[2])).reshape(block.shape[:2])
    return out


def gaussian_gru(x: Floats, fit: Floats, *, epochs: int = 10, seed: int = 0) -> tuple[Floats, Floats]:
    """A GRU that forecasts the next row with Gaussian residuals, as textbooks do it: largest residual, and its CUSUM.

    Args:
        x: Shape (n, rows, N_SIGNS), to be judged.
        fit: Shape (m, rows, N_SIGNS), raw stretches to fit on.
        epochs: Passes over `fit`.
        seed: Of weights and order.

    Returns:
        Two scores of shape (n, rows).
    """
    import torch  # noqa: PLC0415 - the other controls need none
    from torch import nn  # noqa: PLC0415

    torch.manual_seed(seed)
    k = len(WATCHED)
    flat = fit[:, :, WATCHED].reshape(-1, k)
    seen = np.isfinite(flat).any(0)
    middle = np.where(seen, np.nanmean(np.where(seen, flat, 0), 0), 0).astype(np.float32)
    spread = np.where(seen, np.nanstd(np.where(seen, flat, 0), 0), 1).astype(np.float32)
    gru, head = nn.GRU(2 * k, 48, batch_first=True), nn.Linear(48, 2 * k)
    optimiser = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=4e-3)

    def residual(part: Floats) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scaled = torch.from_numpy((part[:, :, WATCHED] - middle) / spread)
        there = torch.isfinite(scaled).float()
        scaled = torch.nan_to_num(scaled)
        h, _ = gru(torch.cat([scaled, there], 2)[:, :-1])
        mean, log_sd = head(h).chunk(2, -1)
        log_sd = log_sd.clamp(-4, 3)
        return (scaled[:, 1:] - mean) * torch.exp(-log_sd), log_sd, there[:, 1:]

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for lot in np.array_split(rng.permutation(len(fit)), max(1, len(fit) // 24)):
            z, log_sd, there = residual(fit[lot])
            loss = ((z * z / 2 + log_sd) * there).sum() / there.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    largest, summed = np.zeros(x.shape[:2], np.float32), np.zeros(x.shape[:2], np.float32)
    with torch.no_grad():
        for i in range(0, len(x), 200):
            z, _, there = residual(x[i : i + 200])
            block = (z * there).numpy()
            largest[i : i + 200, 1:] = np.abs(block).max(2)
            summed[i : i + 200, 1:] = cusum(block)
    return largest, summed
