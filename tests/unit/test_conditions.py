"""Delay, hysteresis and silence of a condition, as tables over time.

One rule, delay 30 s, hysteresis 10 s; a silence of more than 60 s proves nothing. `bands` is how many bands the value
passes, or `back` (back by the margin) or `between` (neither). `said` is what changed; `due` lets time pass alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from vitals.conditions import HEARD, RAISED, RETURNED, WORSE, Conditions, RuleTimes
from vitals.signs import SECOND_NS
from vitals.tables import pack, unpack

DELAY_S, HYSTERESIS_S, STALE_S = 30, 10, 60
WORDS = {RAISED: "raised", WORSE: "worse", RETURNED: "returned", HEARD: "heard"}
ZERO = np.zeros(1, dtype=np.int64)


def fresh(rules: int = 1) -> Conditions:
    times = (np.full(rules, seconds * SECOND_NS, dtype=np.int64) for seconds in (DELAY_S, HYSTERESIS_S))
    return Conditions(RuleTimes(*times))


def observe(conditions: Conditions, second: float, word: str, row: int = 0) -> str:
    """One observation of a patient; what it changed, in words: ``raised 1``."""
    bands = 0 if word in {"back", "between"} else int(word)
    said = conditions.judge(
        np.array([row]),
        ZERO,
        np.array([bands]),
        np.array([word == "back"]),
        np.array([round(second * SECOND_NS)]),
        np.array([STALE_S * SECOND_NS]),
    )
    return told(said) or "-"


def told(said) -> str:
    rows = zip(said.what.tolist(), said.level.tolist(), strict=True)
    return ", ".join(WORDS[what] if what in {RETURNED, HEARD} else f"{WORDS[what]} {level}" for what, level in rows)


def play(table: str, *, restart: bool = False) -> Conditions:
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    assert header == ["second", "bands", "said"]
    conditions = fresh()
    for second, bands, said in rows:
        if restart:
            again = fresh()
            again.load(unpack(pack(conditions.state())))
            conditions = again
        if bands == "due":
            found = told(conditions.unchallenged(ZERO, ZERO, np.array([int(second) * SECOND_NS]))) or "-"
        elif bands == "silent":
            conditions.columns["silent"][0, 0] = True
            found = "-"
        else:
            found = observe(conditions, float(second), bands)
        assert found == said, (second, bands)
    return conditions


TABLES = {
    "held through its delay it is raised": """
        second | bands   | said
        0      | 1       | -
        29     | 1       | -
        30     | 1       | raised 1
        31     | 1       | -
    """,
    "false once within the delay and it begins again": """
        second | bands   | said
        0      | 1       | -
        20     | between | -
        21     | 1       | -
        50     | 1       | -
        51     | 1       | raised 1
    """,
    "back through the hysteresis it has returned": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | back    | -
        49     | back    | -
        50     | back    | returned
        51     | back    | -
    """,
    "a value between interrupts the way back and raises nothing": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | back    | -
        45     | between | -
        50     | back    | -
        59     | back    | -
        60     | back    | returned
    """,
    "over the limit again on the way back it stays raised": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | back    | -
        45     | 1       | -
        46     | back    | -
        56     | back    | returned
    """,
    "each band has a delay of its own": """
        second | bands   | said
        0      | 1       | -
        20     | 2       | -
        30     | 2       | raised 1
        49     | 3       | -
        50     | 3       | worse 2
        78     | 3       | -
        79     | 3       | worse 3
    """,
    "at once in the second band it is raised there": """
        second | bands   | said
        0      | 2       | -
        30     | 2       | raised 2
    """,
    "a band that gets better makes no change, nor does the same band again": """
        second | bands   | said
        0      | 2       | -
        30     | 2       | raised 2
        40     | 1       | -
        50     | 2       | -
        85     | 2       | -
    """,
    "raised again after it returned": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | back    | -
        50     | back    | returned
        60     | 1       | -
        90     | 1       | raised 1
    """,
    "nothing is taken as having held through a silence": """
        second | bands   | said
        0      | 1       | -
        20     | 1       | -
        81     | 1       | -
        110    | 1       | -
        111    | 1       | raised 1
    """,
    "a silence that is just not too long proves enough": """
        second | bands   | said
        0      | 1       | -
        60     | 1       | raised 1
    """,
    "back before a silence and after it is not back through it": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | back    | -
        140    | back    | -
        149    | back    | -
        150    | back    | returned
    """,
    "heard comes before any other change": """
        second | bands   | said
        0      | 1       | -
        30     | 1       | raised 1
        40     | silent  | -
        200    | back    | heard
        210    | back    | returned
    """,
    "heard and worse at once": """
        second | bands   | said
        0      | 1       | -
        20     | 2       | -
        30     | 2       | raised 1
        40     | silent  | -
        60     | 2       | heard, worse 2
    """,
    "unchallenged through its delay it is raised without another reading": """
        second | bands   | said
        0      | 2       | -
        29     | due     | -
        30     | due     | raised 2
        31     | due     | -
    """,
    "what was spoken against is not raised by time": """
        second | bands   | said
        0      | 1       | -
        10     | between | -
        30     | due     | -
    """,
}


@pytest.mark.parametrize("restart", [False, True], ids=["straight", "restarted"])
@pytest.mark.parametrize("name", TABLES)
def test_over_time(name: str, *, restart: bool):
    play(TABLES[name], restart=restart)


def test_what_turned_false_while_pending_is_counted():
    conditions = play("""
        second | bands   | said
        0      | 1       | -
        10     | back    | -
        20     | 1       | -
        25     | between | -
        30     | 1       | -
        60     | 1       | raised 1
        70     | back    | -
        80     | back    | returned
    """)
    assert conditions.dropped == 2


def test_patients_keep_apart_and_the_table_grows():
    conditions = fresh()
    conditions.reach(100)
    for row in (0, 77):
        observe(conditions, 0, "1", row)
    assert observe(conditions, 30, "1", 77) == "raised 1"
    conditions.reach(500)
    assert conditions.busy(np.array([0, 1, 77, 400]), np.zeros(4, dtype=np.int64)).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert observe(conditions, 31, "back", 0) == "-"
    assert observe(conditions, 41, "back", 77) == "-"
    assert observe(conditions, 51, "back", 77) == "returned"


def test_many_pairs_at_once_are_as_one_by_one():
    rng = np.random.default_rng(5)
    many, single = fresh(3), fresh(3)
    rows, rules = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(3)))
    changes = 0
    for second in range(0, 400, 5):
        bands = rng.choice([0, 0, 1, 2, 3], size=len(rows))
        back = (bands == 0) & (rng.random(len(rows)) < 0.7)
        time = np.full(len(rows), second * SECOND_NS)
        stale = np.full(len(rows), STALE_S * SECOND_NS)
        together = many.judge(rows, rules, bands, back, time, stale)
        for i in range(len(rows)):
            some = slice(i, i + 1)
            alone = single.judge(rows[some], rules[some], bands[some], back[some], time[some], stale[some])
            mine = together.at == i
            assert alone.what.tolist() == together.what[mine].tolist()
            assert alone.level.tolist() == together.level[mine].tolist()
        changes += len(together.at)
    assert changes > 8
    assert pack(many.state()) == pack(single.state())


def test_forgetting_ends_pending_and_raised():
    conditions = fresh()
    observe(conditions, 0, "1")
    observe(conditions, 30, "1")
    conditions.reset(0, 0)
    assert not conditions.busy(ZERO, ZERO)[0]
    assert observe(conditions, 31, "1") == "-"
    assert observe(conditions, 61, "1") == "raised 1"
