"""How long bundles may gather before they go to Kafka: not at all on a quiet ward, some milliseconds on a busy one.

What a record costs Kafka, the judges and the store hardly depends on how many bundles are in it, so on a busy ward
larger blocks are what keeps one machine enough. The wait grows with the square of the rate::

    gather_s = 8 ms at 1,000 bundles/s:    200/s 0.3 ms    500/s 2 ms    1,000/s 8 ms    more 8 ms
"""

from __future__ import annotations

import math
from typing import Final

_MEMORY_S: Final = 0.5
_LEAST_S: Final = 0.001
"""Timers of an event loop are no finer: a shorter wait is none."""


class Pace:
    """The rate of the last half second, and when the next group may go."""

    def __init__(self, gather_s: float, busy_per_s: float) -> None:
        """Nothing has come yet.

        Args:
            gather_s: The longest wait between two groups of a lane; 0 for none at any rate.
            busy_per_s: Bundles a second from which it is that.
        """
        self._gather_s, self._busy_per_s = gather_s, busy_per_s
        self._rate, self._at_s = 0.0, -math.inf

    def came(self, bundles: int, now_s: float) -> None:
        """So many bundles have come; `now_s` is monotonic."""
        self._rate = self._rate * math.exp((self._at_s - now_s) / _MEMORY_S) + bundles / _MEMORY_S
        self._at_s = now_s

    def gap_s(self) -> float:
        """The least time between two groups of a lane, as busy as it is now."""
        gap_s = self._gather_s * min(1.0, self._rate / self._busy_per_s) ** 2
        return gap_s if gap_s >= _LEAST_S else 0.0
