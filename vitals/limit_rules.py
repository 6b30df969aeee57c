"""The rules about limits of one measure as columns, which `vitals.limits` judges by.

Shape (rules,); `THRESHOLDS` (rules, bands), NaN where a rule has fewer; `RULES_OF` (measures, rules of one), -1 padded.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from vitals.conditions import BANDS, RuleTimes
from vitals.rules import RULES, Rule, Subject
from vitals.signs import N_MEASURES

LIMIT_RULES: Final[tuple[Rule, ...]] = tuple(rule for rule in RULES.values() if rule.subject is Subject.LIMIT)
RULE_INDEX: Final = {rule.id: index for index, rule in enumerate(LIMIT_RULES)}
"""Id of a rule -> its place in all columns of this module."""
SIDE: Final = np.array([1.0 if rule.direction == "above" else -1.0 for rule in LIMIT_RULES])
MARGIN: Final = np.array([rule.margin for rule in LIMIT_RULES])
MEASURE: Final = np.array([rule.measure for rule in LIMIT_RULES], dtype=np.int64)
THRESHOLDS: Final = np.array(
    [[band.threshold for band in rule.bands] + [np.nan] * (BANDS - len(rule.bands)) for rule in LIMIT_RULES]
)
PER_MEASURE: Final = max(int(np.count_nonzero(m == MEASURE)) for m in range(N_MEASURES))
RULES_OF: Final = np.full((N_MEASURES, PER_MEASURE), -1, dtype=np.int64)
for _m in range(N_MEASURES):
    _found = np.flatnonzero(_m == MEASURE)
    RULES_OF[_m, : len(_found)] = _found

TIMES: Final = RuleTimes(
    delay_ns=np.array([rule.delay_ns for rule in LIMIT_RULES], dtype=np.int64),
    hysteresis_ns=np.array([rule.hysteresis_ns for rule in LIMIT_RULES], dtype=np.int64),
)
