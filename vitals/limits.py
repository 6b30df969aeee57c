"""Limits of one measure, judged as readings come: nothing waits for a frame.

A measure has one *owner* for each patient: the device and sign whose readings are judged. Owners are chosen when time
goes on, never by who happened to come first in a block: a fresh measure's readings wait for the next tick, and the
best source among them (arterial line before cuff, then the device's id) becomes the owner. So how devices interleave
between two ticks changes nothing.

Nearly every reading is far from every limit and its patient has nothing pending, so the first step is a filter of a
few array operations. Only what passes it reaches `Conditions`, round by round: the first such reading of every
(patient, measure), then the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from vitals.align import MEASURE_OF_SIGN, SOURCE_RANK, VALID_NS
from vitals.conditions import BANDS, Conditions
from vitals.limit_rules import LIMIT_RULES, MARGIN, MEASURE, RULE_INDEX, RULES_OF, SIDE, THRESHOLDS, TIMES
from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.signs import N_MEASURES

_FRESH: Final = -1
_ROUNDING: Final = 1e-9  # 39.1 - 38.8 is more than 0.3 in binary; back is past the margin, not at it


class Readings(NamedTuple):
    """Usable readings in the order of their devices; all of shape (n,).

    Attributes:
        patient: Row of the patient.
        sign: `Sign` as a number.
        device: Row of the device.
        value: Canonical unit.
        time_ns: When measured.
        delayed: True where we, not the device, made them late.
        period_ns: How often the device is due.
    """

    patient: IntArray
    sign: IntArray
    device: IntArray
    value: FloatArray
    time_ns: IntArray
    delayed: BoolArray
    period_ns: IntArray

    def take(self, which: IntArray | BoolArray) -> Readings:
        """Some of them."""
        return Readings._make(column[which] for column in self)


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A change of one limit's condition: what `vitals.conditions` said, when, and the reading behind it."""

    patient: int
    rule: int
    what: int
    level: int
    sign: int
    device: int
    value: float
    time_ns: int
    at_ns: int
    delayed: bool
    threshold: float


class Limits:
    """The limits of all patients."""

    def __init__(self, slow_factor: float) -> None:
        """`slow_factor` as in `vitals.align.AlignSettings`."""
        self._slow_factor = slow_factor
        self.conditions = Conditions(TIMES)
        self._rows = 0
        self._owner = np.zeros((0, N_MEASURES), dtype=np.int64)  # device row, _FRESH: none yet
        self._owner_sign = np.zeros((0, N_MEASURES), dtype=np.int64)
        self._valid = np.zeros((0, N_MEASURES), dtype=np.int64)
        self._period = np.zeros((0, N_MEASURES), dtype=np.int64)
        self._last_value = np.zeros((0, len(LIMIT_RULES)))  # of the newest reading judged
        self._thresholds = np.zeros((0, len(LIMIT_RULES), BANDS))
        self._low = np.zeros((0, N_MEASURES))
        self._high = np.zeros((0, N_MEASURES))
        self._busy = np.zeros((0, N_MEASURES), dtype=bool)
        self.watched = np.zeros((0, N_MEASURES), dtype=bool)  # a shelf's bound or an expectation asks for its values
        self._waiting: list[Readings] = []
        self._active: tuple[IntArray, IntArray] | None = None  # caches; None: to be found again
        self._pending: tuple[IntArray, IntArray, IntArray] | None = None

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        if rows <= self._rows:
            return
        rows = max(16, 1 << (rows - 1).bit_length())
        more = rows - self._rows
        self.conditions.reach(rows)
        self._owner = np.concatenate((self._owner, np.full((more, N_MEASURES), _FRESH)))
        self._owner_sign = np.concatenate((self._owner_sign, np.full((more, N_MEASURES), _FRESH)))
        self._valid = np.concatenate((self._valid, np.zeros((more, N_MEASURES), dtype=np.int64)))
        self._period = np.concatenate((self._period, np.zeros((more, N_MEASURES), dtype=np.int64)))
        self._last_value = np.concatenate((self._last_value, np.zeros((more, len(LIMIT_RULES)))))
        self._thresholds = np.concatenate((self._thresholds, np.broadcast_to(THRESHOLDS, (more, *THRESHOLDS.shape))))
        self._low = np.concatenate((self._low, np.full((more, N_MEASURES), -np.inf)))
        self._high = np.concatenate((self._high, np.full((more, N_MEASURES), np.inf)))
        self._busy = np.concatenate((self._busy, np.zeros((more, N_MEASURES), dtype=bool)))
        self.watched = np.concatenate((self.watched, np.zeros((more, N_MEASURES), dtype=bool)))
        self._outer(np.arange(self._rows, rows))
        self._rows = rows

    def _outer(self, rows: IntArray) -> None:
        """Note the mildest thresholds on either side of each measure, for the filter."""
        for index, rule in enumerate(LIMIT_RULES):
            first = self._thresholds[rows, index, 0]
            side = self._high if rule.direction == "above" else self._low
            side[rows, rule.measure] = first

    def override(self, row: int, rule: str, threshold: float | None) -> None:
        """Set a patient's own threshold of a rule's first band; None takes it back.

        Further bands stay where they are, or move with it where it passes them.
        """
        index = RULE_INDEX[rule]
        bands = THRESHOLDS[index].copy()
        if threshold is not None:
            side = SIDE[index]
            bands[0] = threshold
            bands[1:] = side * np.maximum(side * bands[1:], side * threshold)
        self._thresholds[row, index] = bands
        self._outer(np.array([row]))

    def threshold(self, row: int, rule: int, level: int) -> float:
        """The threshold of a band (level from 1) for a patient."""
        return float(self._thresholds[row, rule, max(level, 1) - 1])

    def judge(self, readings: Readings) -> tuple[list[LimitChange], list[tuple[int, int, float, int, int]]]:
        """Judge readings as they come.

        Args:
            readings: In the order of their devices; usable, not late.

        Returns:
            What changed, in the order of event time, and the values that somebody asked for (`watched`): patient,
            measure, value, time_ns, device.
        """
        if not len(readings.sign):
            return [], []
        measure = MEASURE_OF_SIGN[readings.sign]
        owner = self._owner[readings.patient, measure]
        mine = (owner == readings.device) & (self._owner_sign[readings.patient, measure] == readings.sign)
        fresh = owner == _FRESH
        if fresh.any():
            self._waiting.append(readings.take(fresh))
        return self._judge_owned(readings, measure, mine)

    def _judge_owned(
        self, readings: Readings, measure: IntArray, mine: BoolArray
    ) -> tuple[list[LimitChange], list[tuple[int, int, float, int, int]]]:
        patient, value = readings.patient, readings.value
        near = (value <= self._low[patient, measure]) | (value >= self._high[patient, measure])
        near |= self._busy[patient, measure] | self.watched[patient, measure]
        picked = np.flatnonzero(near & mine)
        if not len(picked):
            return [], []
        # Whatever follows such a reading may speak for or against it, however ordinary it is.
        key = patient * N_MEASURES + measure
        hot, first = np.unique(key[picked], return_index=True)
        place = np.minimum(np.searchsorted(hot, key), len(hot) - 1)
        follows = (hot[place] == key) & (np.arange(len(key)) >= picked[first][place])
        picked = np.flatnonzero(follows & mine)
        readings, measure = readings.take(picked), measure[picked]
        asked = np.flatnonzero(self.watched[readings.patient, measure])
        values = [
            (
                int(readings.patient[i]),
                int(measure[i]),
                float(readings.value[i]),
                int(readings.time_ns[i]),
                int(readings.device[i]),
            )
            for i in asked.tolist()
        ]
        return self._rounds(readings, measure), values

    def _rounds(self, readings: Readings, measure: IntArray) -> list[LimitChange]:
        """Reading by reading of each (patient, rule), but all patients and rules at once."""
        rules = RULES_OF[measure]
        index, slot = np.nonzero(rules >= 0)
        rule = rules[index, slot]
        patient = readings.patient[index]
        key = patient * len(LIMIT_RULES) + rule
        order = np.argsort(key, kind="stable")
        grouped = key[order]
        start = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1])))
        size = np.diff(np.append(start, len(grouped)))
        turn = np.arange(len(grouped)) - np.repeat(start, size)

        changes: list[tuple[int, int, LimitChange]] = []
        for now in range(int(size.max())):
            some = order[turn == now]
            self._round(readings, index[some], rule[some], changes)
        self._note_busy(np.unique(patient), np.unique(measure))
        self._active = self._pending = None
        # Event time decides; between equal times the place in the log.
        changes.sort(key=lambda change: change[:2])
        return [change for _, _, change in changes]

    def _round(
        self, readings: Readings, index: IntArray, rule: IntArray, changes: list[tuple[int, int, LimitChange]]
    ) -> None:
        patient, value, time = readings.patient[index], readings.value[index], readings.time_ns[index]
        newer = time >= self.conditions.columns["last_ns"][patient, rule]
        if not newer.all():
            index, rule = index[newer], rule[newer]
            if not len(index):
                return
            patient, value, time = readings.patient[index], readings.value[index], readings.time_ns[index]
        over = SIDE[rule, None] * (value[:, None] - self._thresholds[patient, rule])
        bands = (over >= 0).sum(axis=1)
        back = (over[:, 0] < -MARGIN[rule] - _ROUNDING) & (bands == 0)
        # Of an idle rule an ordinary value is not even noted, so that how a block was cut changes nothing.
        told = (bands > 0) | self.conditions.busy(patient, rule)
        if not told.all():
            index, rule, patient, value, time = (column[told] for column in (index, rule, patient, value, time))
            bands, back = bands[told], back[told]
        valid = self._valid[patient, MEASURE[rule]]
        self._last_value[patient, rule] = value
        said = self.conditions.judge(patient, rule, bands, back, time, valid)
        for at, what, level in zip(said.at.tolist(), said.what.tolist(), said.level.tolist(), strict=True):
            i, k, p = int(index[at]), int(rule[at]), int(patient[at])
            change = LimitChange(
                patient=p,
                rule=k,
                what=what,
                level=level,
                sign=int(readings.sign[i]),
                device=int(readings.device[i]),
                value=float(readings.value[i]),
                time_ns=int(readings.time_ns[i]),
                at_ns=int(readings.time_ns[i]),
                delayed=bool(readings.delayed[i]),
                threshold=self.threshold(p, k, level),
            )
            changes.append((change.time_ns, i, change))

    def _note_busy(self, patients: IntArray, measures: IntArray) -> None:
        for measure in measures.tolist():
            rules = RULES_OF[measure]
            rules = rules[rules >= 0]
            if len(rules):
                busy = self.conditions.busy(patients[:, None], rules[None, :]).any(axis=1)
                self._busy[patients, measure] = busy

    def settle(self, device_rank: IntArray) -> tuple[list[LimitChange], list[tuple[int, int, float, int, int]]]:
        """At a tick: choose owners for fresh measures, and judge what waited for that. Returns as `judge`."""
        if not self._waiting:
            return [], []
        parts, self._waiting = self._waiting, []
        readings = Readings._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
        measure = MEASURE_OF_SIGN[readings.sign]
        key = readings.patient * N_MEASURES + measure
        order = np.lexsort((device_rank[readings.device], SOURCE_RANK[readings.sign], key))
        first = order[np.concatenate(([True], key[order][1:] != key[order][:-1]))]
        self.own(readings.patient[first], readings.sign[first], readings.device[first], readings.period_ns[first])
        mine = (self._owner[readings.patient, measure] == readings.device) & (
            self._owner_sign[readings.patient, measure] == readings.sign
        )
        return self._judge_owned(readings, measure, mine)

    def own(self, patient: IntArray, sign: IntArray, device: IntArray, period_ns: IntArray) -> None:
        """Let these sources be the ones judged from now on."""
        measure = MEASURE_OF_SIGN[sign]
        self._owner[patient, measure] = device
        self._owner_sign[patient, measure] = sign
        slow = (self._slow_factor * period_ns).astype(np.int64)
        self._valid[patient, measure] = np.maximum(VALID_NS[sign], slow)
        self._period[patient, measure] = period_ns

    def reconsider(
        self, patient: IntArray, sign: IntArray, device: IntArray, period_ns: IntArray, device_rank: IntArray
    ) -> None:
        """When a frame closes: a better source takes over at once, another one when the owner gave nothing.

        Args:
            patient: Shape (m,), a row for each (patient, sign) with usable readings in the frame.
            sign: Shape (m,).
            device: Shape (m,), the device that counted.
            period_ns: Shape (m,), how often it is due.
            device_rank: Shape (devices,).
        """
        measure = MEASURE_OF_SIGN[sign]
        key = patient * N_MEASURES + measure
        order = np.lexsort((SOURCE_RANK[sign], key))
        best = order[np.concatenate(([True], key[order][1:] != key[order][:-1]))]
        p, m, s, d = patient[best], measure[best], sign[best], device[best]
        owner, owner_sign = self._owner[p, m], self._owner_sign[p, m]
        known = owner != _FRESH
        rank, own_rank = SOURCE_RANK[s], SOURCE_RANK[owner_sign]
        better = (rank < own_rank) | ((rank == own_rank) & (device_rank[d] < device_rank[owner]))
        # The frame's best is worse than the owner: the owner was silent for a whole frame.
        switch = known & (better | (rank > own_rank) | ((rank == own_rank) & (d != owner)))
        chosen = best[switch]
        self.own(patient[chosen], sign[chosen], device[chosen], period_ns[chosen])

    def _raised(self) -> tuple[IntArray, IntArray]:
        """Pairs whose condition is raised and whose inputs are not known to be silent."""
        if self._active is None:
            columns = self.conditions.columns
            row, rule = np.nonzero((columns["level"] > 0) & ~columns["silent"])
            self._active = (row, rule)
        return self._active

    def _slow_pending(self) -> tuple[IntArray, IntArray, IntArray]:
        """Pending pairs of sources slower than the rule's delay: patient, rule, and when the delay is over.

        An hourly cuff's value stands until the next one. Waiting for that one would make a delay of a minute an hour.
        """
        if self._pending is None:
            since, level = self.conditions.since[: self._rows], self.conditions.columns["level"][: self._rows]
            row, rule = np.nonzero((since[:, :, 0] != _FRESH) & (level < BANDS))
            slow = self._period[row, MEASURE[rule]] >= TIMES.delay_ns[rule]
            row, rule = row[slow], rule[slow]
            waits = (since[row, rule] != _FRESH) & (np.arange(BANDS) >= level[row, rule][:, None])
            start = np.where(waits, since[row, rule], np.iinfo(np.int64).max).min(
                axis=1, initial=np.iinfo(np.int64).max
            )
            some = start != np.iinfo(np.int64).max
            row, rule, start = row[some], rule[some], start[some]
            self._pending = row, rule, start + TIMES.delay_ns[rule]
        return self._pending

    def unchallenged_due_ns(self) -> int | None:
        """When the first pending limit of a slow source will have stood for its delay."""
        due = self._slow_pending()[2]
        return int(due.min()) if len(due) else None

    def unchallenged(self, until_ns: int) -> list[LimitChange]:
        """Raise pending limits of slow sources that nothing spoke against by `until_ns`, by time."""
        row, rule, due = self._slow_pending()
        found = due <= until_ns
        if not found.any():
            return []
        row, rule, due = row[found], rule[found], due[found]
        said = self.conditions.unchallenged(row, rule, due)
        self._pending = self._active = None
        changes = []
        for at, what, level in zip(said.at.tolist(), said.what.tolist(), said.level.tolist(), strict=True):
            p, k = int(row[at]), int(rule[at])
            m = int(MEASURE[k])
            changes.append(
                LimitChange(
                    patient=p,
                    rule=k,
                    what=what,
                    level=level,
                    sign=int(self._owner_sign[p, m]),
                    device=int(self._owner[p, m]),
                    value=float(self._last_value[p, k]),
                    time_ns=int(self.conditions.columns["last_ns"][p, k]),
                    at_ns=int(due[at]),
                    delayed=False,
                    threshold=self.threshold(p, k, level),
                )
            )
        changes.sort(key=lambda change: (change.at_ns, change.patient, change.rule))
        return changes

    def silence_due_ns(self) -> int | None:
        """When the first raised limit's input will have been silent for longer than its value is valid."""
        row, rule = self._raised()
        if not len(row):
            return None
        last = self.conditions.columns["last_ns"][row, rule]
        return int((last + self._valid[row, MEASURE[rule]]).min())

    def silent(self, until_ns: int) -> list[tuple[int, int, int, int]]:
        """Raised limits whose input fell silent by `until_ns`: patient, rule, since (last reading), at, by time."""
        row, rule = self._raised()
        last = self.conditions.columns["last_ns"][row, rule]
        due = last + self._valid[row, MEASURE[rule]]
        found = due <= until_ns
        if not found.any():
            return []
        self.conditions.columns["silent"][row[found], rule[found]] = True
        self._active = None
        rows = zip(*(column[found].tolist() for column in (due, row, rule, last)), strict=True)
        return [(p, k, since, at) for at, p, k, since in sorted(rows)]

    def forget(self, row: int, rule: int) -> None:
        """See `Conditions.reset`."""
        self.conditions.reset(row, rule)
        self._note_busy(np.array([row]), np.array([MEASURE[rule]]))
        self._active = self._pending = None

    def leave(self, row: int) -> None:
        """Forget all that is pending, raised or waiting of one patient, who was discharged."""
        for rule in range(len(LIMIT_RULES)):
            self.conditions.reset(row, rule)
        self._busy[row] = False
        self._waiting = [part.take(part.patient != row) for part in self._waiting if (part.patient != row).any()]
        self._active = self._pending = None

    _ARRAYS: Final = (
        "_owner",
        "_owner_sign",
        "_valid",
        "_period",
        "_last_value",
        "_thresholds",
        "_low",
        "_high",
        "_busy",
        "watched",
    )

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {
            "rows": self._rows,
            "arrays": {name: getattr(self, name) for name in self._ARRAYS},
            "waiting": [list(part) for part in self._waiting],
            "conditions": self.conditions.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self._rows = state["rows"]
        for name in self._ARRAYS:
            setattr(self, name, state["arrays"][name])
        self._waiting = [Readings._make(part) for part in state["waiting"]]
        self.conditions.load(state["conditions"])
        self._active = self._pending = None
