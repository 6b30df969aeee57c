"""Irregular readings -> frames on a fixed grid, for many patients at once.

Time of one patient, grid of a minute, allowed lateness 10 s::

    frame 0          frame 1          frame 2
    |----------------|----------------|------------
    0s  . .  .   .   60s .  . .       120s
                          ^ tick 70 s closes frame 0: value = median of its usable readings
                            of the best source, newest time = age, `measured` = true

A frame's value is the median of the usable readings of one device in the frame: the first by device id, so that how
devices interleave changes nothing. What people observe (consciousness, air or oxygen) is no quantity: its newest
reading counts. Between frames a value stands for as long as its sign says (`signs.SIGNS[...].valid_ns`), longer where
its device is known to be slow; then it is missing, never normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.signs import MEASURE_OF, MINUTE_NS, N_MEASURES, N_SIGNS, SECOND_NS, SIGNS, SOURCES, Measure, Sign

OBSERVED_BY_PEOPLE: Final = (Sign.CONSCIOUSNESS, Sign.OXYGEN)
MEASURE_OF_SIGN: Final = np.array([MEASURE_OF[sign] for sign in Sign], dtype=np.int64)
SOURCE_RANK: Final = np.array([SOURCES[MEASURE_OF[sign]].index(sign) for sign in Sign], dtype=np.int64)
VALID_NS: Final = np.array([SIGNS[sign].valid_ns for sign in Sign], dtype=np.int64)
_BY_PEOPLE: Final = np.isin(np.arange(N_SIGNS), OBSERVED_BY_PEOPLE)


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """How readings become frames.

    Attributes:
        grid_ns: Length of a frame.
        lateness_ns: A frame closes when the newest tick has passed its end by this much.
        slow_factor: A value of a device that is due every `period` stays valid for at least this many periods.
    """

    grid_ns: int = MINUTE_NS
    lateness_ns: int = 10 * SECOND_NS
    slow_factor: float = 2.5

    def __post_init__(self) -> None:
        """Refuse numbers that make no frames."""
        if self.grid_ns <= 0 or self.lateness_ns < 0 or self.slow_factor < 1:
            raise ValueError(f"these settings make no frames: {self}")


class Samples(NamedTuple):
    """Readings to be put on the grid, a row each; all of shape (n,).

    Attributes:
        patient: Row of the patient.
        sign: `Sign` as a number.
        device: Row of the device.
        value: Canonical unit.
        time_ns: When measured.
        usable: False for poor signal and lost contact.
    """

    patient: IntArray
    sign: IntArray
    device: IntArray
    value: FloatArray
    time_ns: IntArray
    usable: BoolArray


class Closed(NamedTuple):
    """What a closed frame measured, a row for each (patient, sign) with at least one reading.

    Attributes:
        patient: Shape (m,).
        sign: Shape (m,).
        device: Shape (m,), the device whose readings count; -1 where none was usable.
        value: Shape (m,), NaN where none was usable.
        time_ns: Shape (m,), newest usable reading; -1 where none.
        usable: Shape (m,), how many usable readings of that device.
        unusable: Shape (m,), how many readings of the sign were not usable.
    """

    patient: IntArray
    sign: IntArray
    device: IntArray
    value: FloatArray
    time_ns: IntArray
    usable: IntArray
    unusable: IntArray


class Grid:
    """Open frames of all patients. Readings wait here until their frame closes."""

    def __init__(self, settings: AlignSettings) -> None:
        """An empty grid; the first tick says where it begins."""
        self.settings = settings
        self.next_end_ns: int | None = None  # end of the oldest open frame
        self._open: dict[int, list[Samples]] = {}  # end of frame -> readings

    def begin(self, now_ns: int) -> None:
        """At the first tick: the frame that contains `now_ns` less the allowed lateness is the oldest open one."""
        if self.next_end_ns is None:
            grid = self.settings.grid_ns
            self.next_end_ns = ((now_ns - self.settings.lateness_ns) // grid + 1) * grid

    def add(self, samples: Samples) -> None:
        """Put readings into their frames; where that has closed (we were slow), into the oldest open one."""
        grid = self.settings.grid_ns
        end = (samples.time_ns // grid + 1) * grid
        if self.next_end_ns is not None:
            np.maximum(end, self.next_end_ns, out=end)
        first = int(end[0])
        if (end == first).all():
            self._open.setdefault(first, []).append(samples)
            return
        for frame in np.unique(end).tolist():
            mine = end == frame
            self._open.setdefault(frame, []).append(Samples._make(column[mine] for column in samples))

    def due_ns(self) -> int | None:
        """The tick at which the oldest open frame closes; None before the first tick."""
        return None if self.next_end_ns is None else self.next_end_ns + self.settings.lateness_ns

    def idle(self) -> bool:
        """True where no reading waits in any frame."""
        return not self._open

    def skip_to(self, time_ns: int) -> None:
        """Go over frames in which nothing can happen, up to the last one that ends at or before `time_ns`."""
        if self.next_end_ns is not None:
            grid = self.settings.grid_ns
            self.next_end_ns = max(self.next_end_ns, time_ns // grid * grid)

    def close(self, device_rank: IntArray) -> tuple[int, Closed]:
        """Close the oldest open frame.

        Args:
            device_rank: Shape (devices,), order of the devices' ids: ties go to the lowest.

        Returns:
            The end of the frame, and what was measured in it.
        """
        if self.next_end_ns is None:
            raise RuntimeError("no frame is open before the first tick")
        end = self.next_end_ns
        parts = self._open.pop(end, [])
        self.next_end_ns = end + self.settings.grid_ns
        # Readings that came before the first tick may belong to frames older than the first.
        for older in sorted(e for e in self._open if e < end):
            parts = self._open.pop(older) + parts
        if not parts:
            return end, _NOTHING
        return end, _summarise(_joined(parts), device_rank)

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot. The parts of a frame become one: many blocks are many arrays."""
        self._open = {end: [_joined(parts)] for end, parts in self._open.items()}
        return {
            "next": self.next_end_ns,
            "open": [[end, [list(part) for part in parts]] for end, parts in sorted(self._open.items())],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self.next_end_ns = state["next"]
        self._open = {end: [Samples._make(part) for part in parts] for end, parts in state["open"]}


_NONE: Final = np.zeros(0, dtype=np.int64)
_NOTHING: Final = Closed(_NONE, _NONE, _NONE, np.zeros(0), _NONE, _NONE, _NONE)


def _joined(parts: list[Samples]) -> Samples:
    if len(parts) == 1:
        return parts[0]
    return Samples._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _summarise(samples: Samples, device_rank: IntArray) -> Closed:
    """One row for each (patient, sign): median of the usable readings of the first device by id."""
    key = samples.patient * N_SIGNS + samples.sign
    rank = np.where(samples.usable, device_rank[samples.device], len(device_rank))
    by_people = _BY_PEOPLE[samples.sign]
    within = np.where(by_people, samples.time_ns.astype(np.float64), samples.value)
    # Of equal numbers it does not matter which stands first; of what people saw at one instant the last word counts.
    order = _order(key, rank, np.argsort(within, kind="stable" if by_people.any() else None))
    key, rank = key[order], rank[order]
    start = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    size = np.diff(np.append(start, len(key)))
    best = np.repeat(rank[start], size)
    mine = (rank == best) & samples.usable[order]
    count = np.add.reduceat(mine.astype(np.int64), start)  # mine stand first in their group
    unusable = np.add.reduceat((~samples.usable[order]).astype(np.int64), start)

    value, time = samples.value[order], samples.time_ns[order]
    some = count > 0
    low = start + np.maximum(count - 1, 0) // 2
    high = start + np.maximum(count, 1) // 2
    middle = (value[low] + value[np.minimum(high, len(value) - 1)]) / 2
    sign = key[start] % N_SIGNS
    newest = start + np.maximum(count - 1, 0)
    middle = np.where(_BY_PEOPLE[sign], value[newest], middle)
    time = np.maximum.reduceat(np.where(mine, time, -1), start)
    return Closed(
        patient=key[start] // N_SIGNS,
        sign=sign,
        device=np.where(some, samples.device[order][start], -1),
        value=np.where(some, middle, np.nan),
        time_ns=time,
        usable=count,
        unusable=unusable,
    )


def _order(key: IntArray, rank: IntArray, within: IntArray) -> IntArray:
    """The order by key, then by rank, then as `within` has them: `numpy.lexsort`, in a sixth of its time.

    All three in one number, which is sorted as such.
    """
    n = len(key)
    ranks = int(rank.max()) + 1
    if (int(key.max()) + 1) * ranks * n > np.iinfo(np.int64).max:
        place = np.empty(n, dtype=np.int64)
        place[within] = np.arange(n)
        return np.lexsort((place, rank, key))
    one = (key[within] * ranks + rank[within]) * n + np.arange(n)
    one.sort()
    order: IntArray = within[one % n]
    return order


def measures(value: FloatArray) -> tuple[FloatArray, IntArray]:
    """The best source that stands for each measure.

    Args:
        value: Shape (n, N_SIGNS), NaN where none is valid.

    Returns:
        Values of shape (n, N_MEASURES), NaN where no source stands, and the sign each came from, -1 where none.
    """
    out = np.full((len(value), N_MEASURES), np.nan)
    came = np.full((len(value), N_MEASURES), -1, dtype=np.int64)
    for measure in Measure:
        for sign in SOURCES[measure]:
            take = np.isnan(out[:, measure]) & ~np.isnan(value[:, sign])
            out[take, measure] = value[take, sign]
            came[take, measure] = sign
    return out, came
