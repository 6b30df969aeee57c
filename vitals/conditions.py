"""Whether the condition of a rule holds, and for how long: delay and hysteresis for many patients at once.

State is arrays of shape (patients, rules). `judge` takes one observation for each of some (patient, rule) pairs and
says what changed: a condition raised after its delay, went up a band, or came back for good. What follows from a
change (latching, acknowledgement, shelves) is `vitals.alarm`'s.

A rule has up to three bands. An observation is the number of bands its value has passed (0 to 3), whether it is back on
the normal side by the hysteresis margin, and its time. A value between (not over the limit, not yet back by the margin)
changes nothing but interrupts the way back.

One example, delay 30 s, hysteresis 10 s::

    second   0    29   30      31   39   45      56
    bands    1    1    1       0    0    0       0
             pending   raised  back back returned
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitals.reading import BoolArray, IntArray

BANDS: Final = 3
_NEVER: Final = -1

RAISED: Final = 1
WORSE: Final = 2
RETURNED: Final = 3
HEARD: Final = 4


class RuleTimes(NamedTuple):
    """Times of the rules, each of shape (rules,).

    Attributes:
        delay_ns: How long a condition must hold before it is raised.
        hysteresis_ns: How long it must be back before it has returned.
    """

    delay_ns: IntArray
    hysteresis_ns: IntArray


class Changes(NamedTuple):
    """What changed, a row each: which of the observations given (`at`), what (RAISED..HEARD), and the level now."""

    at: IntArray
    what: IntArray
    level: IntArray


class Conditions:
    """The conditions of some rules for many patients."""

    _COLUMNS: Final[dict[str, tuple[npt.DTypeLike, int]]] = {
        "level": (np.int8, 0),  # bands held as raised; 0 not raised
        "back_ns": (np.int64, _NEVER),  # since when back on the normal side
        "last_ns": (np.int64, _NEVER),  # the newest observation
        "silent": (np.bool_, 0),  # inputs have fallen silent (said so already)
    }

    def __init__(self, times: RuleTimes) -> None:
        """Conditions of as many rules as `times` has."""
        self._times = times
        self._rules = len(times.delay_ns)
        self._rows = 16
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.full((self._rows, self._rules), fill, dtype=dtype) for name, (dtype, fill) in self._COLUMNS.items()
        }
        self.since = np.full((self._rows, self._rules, BANDS), _NEVER, dtype=np.int64)  # each band's start, -1 not held
        self.dropped = 0  # pendings that turned false before their delay was over

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        while rows > self._rows:
            for name, (dtype, fill) in self._COLUMNS.items():
                fresh = np.full((self._rows, self._rules), fill, dtype=dtype)
                self.columns[name] = np.concatenate((self.columns[name], fresh))
            self.since = np.concatenate((self.since, np.full((self._rows, self._rules, BANDS), _NEVER, np.int64)))
            self._rows *= 2

    def busy(self, row: IntArray, rule: IntArray) -> BoolArray:
        """Which pairs are anything but idle: pending, raised, or on their way back. Shape as the arguments."""
        held: BoolArray = (self.columns["level"][row, rule] > 0) | (self.since[row, rule, 0] != _NEVER)
        return held

    def judge(
        self, row: IntArray, rule: IntArray, bands: IntArray, back: BoolArray, time_ns: IntArray, stale_ns: IntArray
    ) -> Changes:
        """Take one observation for each of some pairs; no pair twice.

        Args:
            row: Shape (n,), patients.
            rule: Shape (n,).
            bands: Shape (n,), how many bands are passed.
            back: Shape (n,), true where the value is back by the margin.
            time_ns: Shape (n,), event time of the observation.
            stale_ns: Shape (n,): after a silence longer than this, nothing is taken as having held meanwhile.

        Returns:
            What changed. HEARD comes before any other change of the same pair.
        """
        level, last = self.columns["level"], self.columns["last_ns"]
        before = level[row, rule]
        seen = last[row, rule]
        fresh = (seen == _NEVER) | (time_ns - seen > stale_ns)
        last[row, rule] = time_ns

        since = self.since[row, rule]
        since[fresh] = _NEVER
        holds = bands[:, None] > np.arange(BANDS)
        was_pending = since[:, 0] != _NEVER
        since = np.where(holds, np.where(since == _NEVER, time_ns[:, None], since), _NEVER)
        self.since[row, rule] = since
        self.dropped += int(np.count_nonzero(was_pending & ~holds[:, 0] & (before == 0)))

        due = time_ns - self._times.delay_ns[rule]
        reached = ((since != _NEVER) & (since <= due[:, None])).sum(axis=1)
        up = reached > before

        back_at = self.columns["back_ns"][row, rule]
        back_at[fresh] = _NEVER
        going = back & (before > 0)
        back_at = np.where(going, np.where(back_at == _NEVER, time_ns, back_at), _NEVER)
        returned = going & (time_ns - back_at >= self._times.hysteresis_ns[rule])
        back_at[returned] = _NEVER
        self.columns["back_ns"][row, rule] = back_at
        level[row, rule] = np.where(returned, 0, np.where(up, reached, before))

        heard = self.columns["silent"][row, rule]
        if heard.any():
            self.columns["silent"][row, rule] = False
        return self._changes(heard, up, returned, before, reached)

    @staticmethod
    def _changes(
        heard: BoolArray, up: BoolArray, returned: BoolArray, before: npt.NDArray[np.int8], reached: IntArray
    ) -> Changes:
        index = np.flatnonzero(heard | up | returned)
        if not len(index):
            return Changes(index, index, index)
        rows = [
            (i, what, int(reached[i]))
            for i in index.tolist()
            for what, true in (
                (HEARD, heard[i]),
                (RAISED, up[i] and before[i] == 0),
                (WORSE, up[i] and before[i] > 0),
                (RETURNED, returned[i]),
            )
            if true
        ]
        table = np.array(rows, dtype=np.int64)
        return Changes(table[:, 0], table[:, 1], table[:, 2])

    def unchallenged(self, row: IntArray, rule: IntArray, at_ns: IntArray) -> Changes:
        """Let pending conditions of slow sources reach their delay: nothing has spoken against them until `at_ns`.

        Args:
            row: Shape (n,), patients; no pair twice.
            rule: Shape (n,).
            at_ns: Shape (n,), the instants judged.

        Returns:
            What was raised or went up.
        """
        before = self.columns["level"][row, rule]
        since = self.since[row, rule]
        due = at_ns - self._times.delay_ns[rule]
        reached = ((since != _NEVER) & (since <= due[:, None])).sum(axis=1)
        up = reached > before
        self.columns["level"][row, rule] = np.where(up, reached, before)
        none = np.zeros(len(row), dtype=bool)
        return self._changes(none, up, none, before, reached)

    def reset(self, row: int, rule: int) -> None:
        """Forget that a condition is pending or raised (its patient was discharged)."""
        self.columns["level"][row, rule] = 0
        self.columns["back_ns"][row, rule] = _NEVER
        self.columns["silent"][row, rule] = False
        self.since[row, rule] = _NEVER

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {"columns": self.columns, "since": self.since, "dropped": self.dropped}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self.columns = state["columns"]
        self.since = state["since"]
        self.dropped = state["dropped"]
        self._rows = len(self.since)
