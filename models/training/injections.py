"""Made-up events in real recordings, so that a detector's recall can be counted.

Real stays carry no label for "this sensor drifted here". So a known event is written into a copy of a real stretch, and
the untouched stretch says how often a detector cries out without it. The sizes are those of the minute table (issue
of the learned detectors); everything random comes from a seed.

```
  kind           lasts     what happens
  spike          2 min     one sign jumps by 8 standard deviations of its one-minute change
  shift          45 min    one sign sits 1.5 population standard deviations higher or lower
  deterioration  180 min   all signs slide towards illness, by 1.5 population deviations at the end
  stuck          45 min    one sign repeats its last value exactly
  flat           60 min    one sign's variation shrinks to 15 % around its mean of the hour
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vitals.signs import N_SIGNS, Sign

Floats = npt.NDArray[np.float32]

KINDS: Final = ("spike", "shift", "deterioration", "stuck", "flat")
TARGETS: Final = (Sign.HR, Sign.SPO2, Sign.RESP, Sign.SBP, Sign.DBP, Sign.MAP)
"""Signs an event of one sign may fall on."""
WORSE: Final[dict[Sign, float]] = {
    Sign.HR: 1.0,
    Sign.PULSE: 1.0,
    Sign.SPO2: -1.0,
    Sign.RESP: 1.0,
    Sign.TEMP_C: 1.0,
    Sign.SBP: -1.0,
    Sign.DBP: -1.0,
    Sign.MAP: -1.0,
}
"""Direction of illness for each sign (a septic or bleeding patient)."""
COMPANIONS: Final[dict[int, tuple[Sign, ...]]] = {
    Sign.HR: (Sign.PULSE,),
    Sign.SBP: (Sign.DBP, Sign.MAP),
    Sign.DBP: (Sign.SBP, Sign.MAP),
    Sign.MAP: (Sign.SBP, Sign.DBP),
}
"""What a body moves together with a sign."""


class NoRoomError(ValueError):
    """A stretch has no place where the wanted event could be told from a gap."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the events are measured in; from patients the detector was fitted on."""

    population_sd: Floats
    """Shape (N_SIGNS,): standard deviation of the sign over all patients and minutes; NaN where never measured."""
    change_sd: Floats
    """Shape (N_SIGNS,): standard deviation of its change from one row to the next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how large; the defaults are the minute table's, in rows of the recording."""

    spike_rows: int = 2
    spike_changes: float = 8.0
    shift_rows: int = 45
    shift_sd: float = 1.5
    ramp_rows: int = 180
    ramp_sd: float = 1.5
    stuck_rows: int = 45
    flat_rows: int = 60
    flat_share: float = 0.15
    first_row: int = 180
    """No event begins before this row of its stretch: the detector's warm-up."""
    together: bool = False
    """Whether the companions of the sign (its pulse, the other two pressures) move with it, each by its own measure."""
    resolution: float = 0.1
    """Injected values are rounded to this, as the source's are, so that odd decimals give nothing away."""

    def rows(self, kind: str) -> int:
        """How many rows an event of this kind lasts."""
        return {
            "spike": self.spike_rows,
            "shift": self.shift_rows,
            "deterioration": self.ramp_rows,
            "stuck": self.stuck_rows,
            "flat": self.flat_rows,
        }[kind]


MINUTE: Final = Plan()
HOURLY: Final = Plan(
    spike_rows=1, spike_changes=5.0, shift_rows=6, shift_sd=2.25, ramp_rows=12, stuck_rows=8, flat_rows=12, first_row=6
)  # fmt: skip
"""For rows of one hour: a reading off by 5 changes, a shift of 6 h, a decline over 12 h, a sensor stuck for 8 h. The
sizes are those at which a patient's exponential mean finds what the hourly table says it does (.73, .46, .38)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Where the truth lies."""

    kind: str
    start: int
    """First row of the event."""
    stop: int
    """First row after it."""
    sign: int
    """The sign it fell on; -1 where it fell on all."""
    also: tuple[int, ...] = ()
    """Companions that it moved too."""


def sizes_of(stretches: Floats) -> Sizes:
    """Measure what the events are scaled by.

    Args:
        stretches: Shape (n, rows, N_SIGNS), NaN where not measured.

    Returns:
        Deviations of values and of changes from row to row, artefacts included (they are part of what is real).
    """
    with np.errstate(invalid="ignore"):
        change = np.diff(stretches, axis=1)
        values = stretches.reshape(-1, N_SIGNS)
        sd = np.array([np.nanstd(c) if np.isfinite(c).any() else np.nan for c in values.T], np.float32)
        moves = change.reshape(-1, N_SIGNS).T
        dsd = np.array([np.nanstd(c) if np.isfinite(c).any() else np.nan for c in moves], np.float32)
    return Sizes(sd, dsd)


def _place(x: Floats, rows: int, plan: Plan, rng: np.random.Generator, signs: list[int]) -> tuple[int, int]:
    """A sign and a start such that the sign is mostly there in the event and in the stretch before it."""
    seen = ~np.isnan(x)
    before = min(60, plan.first_row)
    for _ in range(60):
        sign = int(rng.choice(signs))
        start = int(rng.integers(plan.first_row, len(x) - rows + 1))
        if seen[start : start + rows, sign].mean() >= 0.8 and seen[start - before : start, sign].mean() >= 0.5:
            return sign, start
    raise NoRoomError(f"no place for {rows} rows among {len(x)}")


def _tidy(x: Floats, plan: Plan) -> Floats:
    """Back to what a monitor can print."""
    # In double precision: the same decimal must come out as the same float32 as in the source.
    out = np.round(x.astype(np.float64) / plan.resolution) * plan.resolution
    high = np.full(N_SIGNS, np.inf, np.float32)
    high[Sign.SPO2] = 100.0
    low = np.zeros(N_SIGNS, np.float32)
    low[Sign.SPO2] = 1.0
    return np.clip(out, low, high).astype(np.float32)


def _one_sign(v: Floats, kind: str, way: float, change_sd: float, population_sd: float, plan: Plan) -> Floats:
    """The event's rows of one sign, written over; all NaN stays so."""
    known = v[np.isfinite(v)]
    if not len(known):
        return v
    if kind == "spike":
        return v + np.float32(way * plan.spike_changes * change_sd)
    if kind == "shift":
        return v + np.float32(way * plan.shift_sd * population_sd)
    if kind == "stuck":
        return np.where(np.isnan(v), np.float32(np.nan), known[0])
    middle = known.mean(dtype=np.float32)
    return np.asarray(middle + np.float32(plan.flat_share) * (v - middle), np.float32)


def inject(x: Floats, kind: str, sizes: Sizes, rng: np.random.Generator, plan: Plan = MINUTE) -> tuple[Floats, Event]:
    """Write one event into a copy of a stretch.

    Args:
        x: Shape (rows, N_SIGNS), canonical units, NaN where not measured; left untouched.
        kind: One of `KINDS`.
        sizes: From `sizes_of` on patients not in `x`.
        rng: Decides sign, direction and place.
        plan: Lengths and sizes.

    Returns:
        The copy and its event. What was missing stays missing.

    Raises:
        NoRoomError: If the stretch is too broken for such an event.
    """
    rows = plan.rows(kind)
    signs = [int(s) for s in TARGETS if np.isfinite(x[:, s]).any()]
    if len(x) < plan.first_row + rows or not signs:
        raise NoRoomError(f"{len(x)} rows hold no {kind}")
    sign, start = _place(x, rows, plan, rng, signs)
    window = slice(start, start + rows)
    y = x.copy()
    also: tuple[int, ...] = ()
    if kind == "deterioration":
        ramp = np.linspace(0.0, plan.ramp_sd, rows, dtype=np.float32)
        for s, way in WORSE.items():
            if np.isfinite(sizes.population_sd[s]):
                y[window, s] += way * ramp * sizes.population_sd[s]
    else:
        way = -1.0 if sign == Sign.SPO2 else float(rng.choice([-1.0, 1.0]))
        also = tuple(int(s) for s in COMPANIONS.get(sign, ())) if plan.together else ()
        for moved in (sign, *also):
            change, spread = float(sizes.change_sd[moved]), float(sizes.population_sd[moved])
            y[window, moved] = _one_sign(x[window, moved], kind, way, change, spread, plan)
    changed = y != x
    about = -1 if kind == "deterioration" else sign
    return np.where(changed, _tidy(y, plan), y), Event(kind, start, start + rows, about, also)
