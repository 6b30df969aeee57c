"""Rules that are judged when a frame closes: scores, detectors, and what is wrong with sensors and devices.

Each rule gets one of three answers for a patient: it holds (at a level), it certainly does not, or nobody can tell. Not
being able to tell never returns an alarm: it makes it *unobserved*. A score holds where its lower bound reaches the
threshold and certainly does not where even its upper bound stays below; between, it cannot be excluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from vitals.align import MEASURE_OF_SIGN, Closed
from vitals.asking import ANSWERED
from vitals.conditions import BANDS, Conditions, RuleTimes
from vitals.reading import BoolArray, FloatArray, IntArray
from vitals.roster import NEVER, Roster
from vitals.rules import NEWS2_MEASURES, RULES, Rule, observe_id, sensor_off_id
from vitals.scores import NEWS2, Scores
from vitals.signs import MINUTE_NS, N_MEASURES, SECOND_NS, Measure

SENSOR_RULES: Final = {m: sensor_off_id(m) for m in Measure if sensor_off_id(m) in RULES}
SINGLE_POINTS: Final = 3  # any single NEWS2 parameter at 3: urgent ward review (RCP 2017)


class Answer(NamedTuple):
    """What a rule says about some patients, each of shape (n,).

    Attributes:
        bands: Bands passed; 0 where it does not hold, or nobody can tell.
        back: True where it certainly does not hold.
    """

    bands: IntArray
    back: BoolArray


@dataclass(frozen=True, slots=True)
class FrameChange:
    """A change of one rule's condition: row, rule id, what (`vitals.conditions`), level."""

    row: int
    rule: str
    what: int
    level: int


@dataclass(frozen=True, slots=True)
class FrameSilence:
    """A raised rule that nobody can tell about any more: row, rule id, since (its last answer)."""

    row: int
    rule: str
    since_ns: int


def news2_answers(scores: Scores) -> dict[str, Answer]:
    """NEWS2's total, its single parameters, and what has to be observed to exclude it."""
    low, high = scores.low[:, NEWS2], scores.high[:, NEWS2]
    first = RULES["news2"].bands[0].threshold
    total = Answer(_bands(RULES["news2"], low), high < first)
    single = Answer(
        (scores.part_low.max(axis=1) >= SINGLE_POINTS).astype(np.int64), scores.part_high.max(axis=1) < SINGLE_POINTS
    )
    answers = {"news2": total, "news2-single": single}
    open_question = (low < first) & (high >= first)
    for measure in NEWS2_MEASURES:
        asked = open_question & ((scores.missing >> measure & 1) == 1)
        answers[observe_id(measure)] = Answer(asked.astype(np.int64), ~asked)
    return answers


def detector_answer(score: FloatArray, threshold: float) -> Answer:
    """A detector's score against its threshold; back below four fifths of it."""
    known = ~np.isnan(score)
    return Answer((known & (score >= threshold)).astype(np.int64), known & (score < 0.8 * threshold))


def model_late_answer(since_ns: IntArray, end_ns: int) -> Answer:
    """Whether a detector has given no answer for too long.

    Args:
        since_ns: Shape (n, detectors), as `vitals.asking.Service.since_ns`.
        end_ns: End of the frame.
    """
    late = since_ns != ANSWERED
    first = np.where(late, since_ns, end_ns).min(axis=1, initial=end_ns)
    minutes = np.where(late.any(axis=1), (end_ns - first) / MINUTE_NS, -1.0)
    return Answer(_bands(RULES["model-late"], minutes), ~late.any(axis=1))


def sensor_answers(roster: Roster, rows: IntArray, closed: Closed, now_ns: int) -> dict[str, Answer]:
    """Which measures have sensors that are off or without signal, and whether anybody wears nothing at all.

    A frame in which a sensor said nothing answers neither way; the silence of a device is the roster's to tell.
    """
    patients = len(roster.patients)
    excused = roster.may_be_silent(now_ns)[rows]
    off = np.zeros((patients, N_MEASURES), dtype=bool)
    on = np.zeros((patients, N_MEASURES), dtype=bool)
    measure = MEASURE_OF_SIGN[closed.sign]
    bad, good = (closed.unusable > 0) & (closed.usable == 0), closed.usable > 0
    off[closed.patient[bad], measure[bad]] = True
    on[closed.patient[good], measure[good]] = True
    off &= ~on
    answers = {
        rule: Answer((off[rows, m] & ~excused).astype(np.int64), on[rows, m] | excused)
        for m, rule in SENSOR_RULES.items()
    }
    wears = np.zeros(patients, dtype=bool)
    wears[roster.devices["patient"][roster.bound(now_ns)]] = True
    bare = ~wears[rows] & ~excused
    since = roster.patients["bare_ns"]
    since[rows] = np.where(bare, np.where(since[rows] == NEVER, now_ns, since[rows]), NEVER)
    minutes = np.where(bare, (now_ns - since[rows]) / MINUTE_NS, -1.0)
    answers["no-device"] = Answer(_bands(RULES["no-device"], minutes), ~bare)
    return answers


def device_answers(roster: Roster, rows: IntArray) -> dict[str, Answer]:
    """What is wrong with some devices themselves: charge and clock."""
    battery = roster.devices["battery"][rows]
    rule = RULES["battery-low"]
    low = (battery[:, None] <= _thresholds(rule)).sum(axis=1)
    low[battery < 0] = 0  # it does not tell
    answers = {"battery-low": Answer(low, battery > rule.bands[0].threshold + rule.margin)}
    offset = np.abs(roster.devices["offset_ns"][rows]) / SECOND_NS
    rule = RULES["device-clock"]
    answers["device-clock"] = Answer(_bands(rule, offset), offset < rule.bands[0].threshold - rule.margin)
    return answers


def _thresholds(rule: Rule) -> FloatArray:
    return np.array([band.threshold for band in rule.bands] + [np.nan] * (BANDS - len(rule.bands)))


def _bands(rule: Rule, value: FloatArray) -> IntArray:
    """Bands that a value passes upwards."""
    passed: IntArray = (value[:, None] >= _thresholds(rule)).sum(axis=1)
    return passed


class FrameRules:
    """The conditions of rules that frames decide, for rows of patients or of devices."""

    def __init__(self, rules: list[str], grids: dict[str, int]) -> None:
        """Conditions of some rules.

        Args:
            rules: Their ids; the order is part of a snapshot.
            grids: Of the rules that are not judged every minute, how often they are.
        """
        self.rules = rules
        self._column = {rule: index for index, rule in enumerate(rules)}
        # After more than two frames without an answer nothing is taken as having held meanwhile.
        self._stale = np.array([2 * grids.get(rule, MINUTE_NS) for rule in rules], dtype=np.int64)
        times = RuleTimes(
            np.array([RULES[rule].delay_ns for rule in rules], dtype=np.int64),
            np.array([RULES[rule].hysteresis_ns for rule in rules], dtype=np.int64),
        )
        self.conditions = Conditions(times)

    def reach(self, rows: int) -> None:
        """Make room for so many patients."""
        self.conditions.reach(rows)

    def judge(
        self, rows: IntArray, answers: dict[str, Answer], end_ns: int
    ) -> tuple[list[FrameChange], list[FrameSilence]]:
        """Take the answers of one closed frame.

        Args:
            rows: Shape (n,), patients.
            answers: By rule id, n rows each.
            end_ns: End of the frame: the event time of all that follows.

        Returns:
            What changed and what nobody can tell about any more, by patient and then by rule.
        """
        names = [rule for rule in self.rules if rule in answers]
        column = np.array([self._column[rule] for rule in names], dtype=np.int64)
        bands = np.stack([answers[rule].bands for rule in names])
        back = np.stack([answers[rule].back for rule in names])
        grid_rule = np.broadcast_to(column[:, None], bands.shape)
        grid_row = np.broadcast_to(rows, bands.shape)
        busy = self.conditions.busy(grid_row, grid_rule)
        known = (bands > 0) | back

        lost = np.nonzero(busy & ~known)
        silences = self._lost(grid_row[lost], grid_rule[lost])

        told = np.nonzero(known & (busy | (bands > 0)))
        row, rule = grid_row[told], grid_rule[told]
        if not len(row):
            return [], silences
        time = np.full(len(row), end_ns, dtype=np.int64)
        said = self.conditions.judge(row, rule, bands[told], back[told], time, self._stale[rule])
        changes = [
            FrameChange(int(row[at]), self.rules[int(rule[at])], what, level)
            for at, what, level in zip(said.at.tolist(), said.what.tolist(), said.level.tolist(), strict=True)
        ]
        changes.sort(key=lambda c: (c.row, self._column[c.rule]))
        return changes, silences

    def _lost(self, row: IntArray, rule: IntArray) -> list[FrameSilence]:
        columns = self.conditions.columns
        newly = (columns["level"][row, rule] > 0) & ~columns["silent"][row, rule]
        row, rule = row[newly], rule[newly]
        columns["silent"][row, rule] = True
        found = zip(row.tolist(), rule.tolist(), columns["last_ns"][row, rule].tolist(), strict=True)
        return [FrameSilence(p, self.rules[k], since) for p, k, since in sorted(found)]

    def forget(self, row: int, rule: str) -> None:
        """See `Conditions.reset`."""
        self.conditions.reset(row, self._column[rule])

    def leave(self, row: int) -> None:
        """Forget all that is pending or raised of one patient, who was discharged."""
        for column in range(len(self.rules)):
            self.conditions.reset(row, column)

    def raised(self, row: int) -> list[str]:
        """Which of the rules are raised for a row."""
        return [rule for rule, column in self._column.items() if self.conditions.columns["level"][row, column] > 0]

    def raised_rows(self) -> IntArray:
        """Rows for which at least one rule is raised."""
        return np.flatnonzero((self.conditions.columns["level"] > 0).any(axis=1))

    def knows(self, rule: str) -> bool:
        """Whether a rule is one of these."""
        return rule in self._column

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {"rules": self.rules, "conditions": self.conditions.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave.

        Raises:
            ValueError: If the snapshot was made with other rules.
        """
        if state["rules"] != self.rules:
            raise ValueError(f"the snapshot has the rules {state['rules']}, this ward {self.rules}")
        self.conditions.load(state["conditions"])
