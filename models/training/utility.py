"""The utility of the PhysioNet 2019 challenge, written from its published description.

An alarm in time earns, an early or a late one earns less, a false one costs a little, silence before sepsis costs most:

```
hours from onset     -12      -6             +3
alarm, septic     -.05|0 ..... 1 ........... 0 | 0
silence, septic       0        0 .......... -2 | 0
alarm, no sepsis  -.05 an hour                silence, no sepsis  0
```

Source: Reyna et al., Crit Care Med 48(2):210-217 (2020), the utility figure and its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_H, BEST_H, LAST_H = -12.0, -6.0, 3.0
FALSE_ALARM, MISSED = -0.05, -2.0
LABEL_LEAD_H = 6
"""The label turns true six hours before the onset."""


def hours_from_onset(label: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Hours from the onset of sepsis, for each row; NaN for patients without sepsis.

    Example: a stay of four hours labelled 0, 0, 1, 1 has its onset six hours after the first 1: -8, -7, -6, -5.

    Args:
        label: Shape (n_hours,), stays laid end to end.
        lengths: Shape (n_patients,).
    """
    begin = np.cumsum(lengths) - lengths
    at = np.arange(len(label)) - np.repeat(begin, lengths)
    first = np.minimum.reduceat(np.where(label, at, np.iinfo(np.int64).max), begin)
    septic = np.logical_or.reduceat(label, begin)
    onset = np.where(septic, first + LABEL_LEAD_H, np.nan)
    return np.asarray(at - np.repeat(onset, lengths), np.float64)


def worth(from_onset: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What an alarm and what silence is worth in each hour.

    Args:
        from_onset: Hours from onset, NaN for patients without sepsis.

    Returns:
        Worth of an alarm, worth of silence.
    """
    t = from_onset
    rise = (t - FIRST_H) / (BEST_H - FIRST_H)
    fall = (LAST_H - t) / (LAST_H - BEST_H)
    alarm = np.select([np.isnan(t), t < FIRST_H, t <= BEST_H, t <= LAST_H], [FALSE_ALARM, FALSE_ALARM, rise, fall], 0.0)
    late = MISSED * (t - BEST_H) / (LAST_H - BEST_H)
    silence = np.select([np.isnan(t), t <= BEST_H, t <= LAST_H], [0.0, 0.0, late], 0.0)
    return alarm, silence


def utility(alarm: NDArray[np.bool_], label: NDArray[np.bool_], lengths: NDArray[np.int64]) -> float:
    """Normalised utility of hourly decisions: 0 is never alarming, 1 the best that can be.

    Args:
        alarm: Shape (n_hours,), the decision of each hour.
        label: Shape (n_hours,).
        lengths: Shape (n_patients,).

    Returns:
        At most 1; negative when the alarms do more harm than silence. NaN when there is nothing to win.
    """
    got, silent, best = utility_parts(alarm, label, lengths)
    return (got.sum() - silent.sum()) / (best.sum() - silent.sum()) if best.sum() > silent.sum() else float("nan")


def utility_parts(
    alarm: NDArray[np.bool_], label: NDArray[np.bool_], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per patient (for the bootstrap): worth of the decisions, of silence, and of the best decisions."""
    loud, silent = worth(hours_from_onset(label, lengths))
    begin = np.cumsum(lengths) - lengths
    got = np.where(alarm, loud, silent)
    return tuple(np.add.reduceat(x, begin) for x in (got, silent, np.maximum(loud, silent)))  # type: ignore[return-value]
