"""Limits of one measure: whose readings are judged, past which threshold, and what is said without readings.

Owner tables: device rows 0, 1, 2 are called a, b, c; a reading is ``sign device value``.
"""

from __future__ import annotations

import numpy as np
import pytest
from wards import ns

from vitals.conditions import HEARD, RAISED, RETURNED, WORSE
from vitals.limit_rules import LIMIT_RULES, RULE_INDEX
from vitals.limits import LimitChange, Limits, Readings
from vitals.rules import RULES, with_limit
from vitals.signs import MEASURE_OF, SECOND_NS, Measure, Sign
from vitals.tables import pack, unpack

DEVICES = "abc"
RANK = np.arange(3)
WORDS = {RAISED: "raised", WORSE: "worse", RETURNED: "returned", HEARD: "heard"}


class Judge:
    """One patient's limits, spoken to in words."""

    def __init__(self, period_s: float = 10) -> None:
        self.limits = Limits(slow_factor=2.5)
        self.limits.reach(1)
        self.period_s = period_s

    def readings(self, second: float, text: str, delayed: bool = False) -> Readings:
        rows = [word.split() for word in text.split(",")]
        n = len(rows)
        return Readings(
            patient=np.zeros(n, dtype=np.int64),
            sign=np.array([Sign[sign.upper()] for sign, _, _ in rows], dtype=np.int64),
            device=np.array([DEVICES.index(device) for _, device, _ in rows], dtype=np.int64),
            value=np.array([float(value) for _, _, value in rows]),
            time_ns=np.full(n, ns(second)),
            delayed=np.full(n, delayed),
            period_ns=np.full(n, round(self.period_s * SECOND_NS)),
        )

    def read(self, second: float, text: str, **more: bool) -> str:
        """Readings come, and a tick: what changed."""
        found, _ = self.limits.judge(self.readings(second, text, **more))
        settled, _ = self.limits.settle(RANK)
        return words(found + settled)

    def frame(self, *best: tuple[str, str]) -> None:
        """A frame closes; (sign, device) that counted in it."""
        signs = np.array([Sign[sign.upper()] for sign, _ in best], dtype=np.int64)
        devices = np.array([DEVICES.index(device) for _, device in best], dtype=np.int64)
        periods = np.full(len(best), round(self.period_s * SECOND_NS))
        self.limits.reconsider(np.zeros(len(best), dtype=np.int64), signs, devices, periods, RANK)

    def owner(self, measure: Measure) -> str:
        device, sign = self.limits._owner[0, measure], self.limits._owner_sign[0, measure]
        return f"{Sign(sign).column} {DEVICES[device]}" if device >= 0 else "-"


def words(changes: list[LimitChange]) -> str:
    return ", ".join(
        f"{WORDS[c.what]} {LIMIT_RULES[c.rule].id}" + (f" {c.level}" if c.what in {RAISED, WORSE} else "")
        for c in changes
    ) or "-"  # fmt: skip


def hold(judge: Judge, text: str, seconds: range) -> list[str]:
    return [said for second in seconds if (said := judge.read(second, text)) != "-"]


# -- thresholds --------------------------------------------------------------------------------------------------------

CASES = [(rule.id, level) for rule in LIMIT_RULES for level in range(1, len(rule.bands) + 1)]


@pytest.mark.parametrize("name, level", CASES)
def test_every_threshold_of_the_table_is_inclusive(name, level):
    rule = RULES[name]
    sign = next(s.column for s in Sign if MEASURE_OF[s] == rule.measure)
    threshold, outward = rule.bands[level - 1].threshold, 1 if rule.direction == "above" else -1
    hold_s = range(0, rule.delay_ns // SECOND_NS + 20, 10)
    at = hold(Judge(), f"{sign} a {threshold}", hold_s)
    assert at == [f"raised {name} {level}"]
    just_short = hold(Judge(), f"{sign} a {threshold - outward * 0.05}", hold_s)
    assert just_short == ([f"raised {name} {level - 1}"] if level > 1 else [])


@pytest.mark.parametrize("rule", LIMIT_RULES, ids=lambda rule: rule.id)
def test_back_is_past_the_margin(rule):
    sign = next(s.column for s in Sign if MEASURE_OF[s] == rule.measure)
    inward = -1 if rule.direction == "above" else 1
    first = rule.bands[0].threshold
    delay, hysteresis = rule.delay_ns // SECOND_NS, rule.hysteresis_ns // SECOND_NS
    for beyond, said in ((-0.05, []), (0.0, []), (0.05, [f"returned {rule.id}"])):
        judge = Judge()
        hold(judge, f"{sign} a {first}", range(0, delay + 10, 10))
        back = first + inward * (rule.margin + beyond)
        assert hold(judge, f"{sign} a {back}", range(delay + 10, delay + hysteresis + 30, 10)) == said


OVERRIDES = [
    # rule, own limit, value, level raised
    ("spo2-low", 92, 92, 1),
    ("spo2-low", 92, 93, 0),
    ("spo2-low", 92, 85, 2),
    ("spo2-low", 80, 84, 0),
    ("spo2-low", 80, 80, 2),  # further bands never stay on the mild side
    ("spo2-low", None, 87, 1),
    ("rate-high", 120, 120, 1),
    ("rate-high", 120, 190, 2),
    ("rate-high", 200, 195, 0),
    ("rate-high", 200, 200, 2),
]


@pytest.mark.parametrize("rule, own, value, level", OVERRIDES)
def test_a_patients_own_limit(rule, own, value, level):
    judge = Judge()
    judge.limits.override(0, rule, 85.0)
    judge.limits.override(0, rule, own)
    sign = "spo2" if rule == "spo2-low" else "hr"
    assert hold(judge, f"{sign} a {value}", range(0, 80, 10)) == ([f"raised {rule} {level}"] if level else [])
    if own is not None:
        bands = [band.threshold for band in with_limit(RULES[rule], own).bands]
        assert [judge.limits.threshold(0, RULE_INDEX[rule], i + 1) for i in range(len(bands))] == bands


def test_another_patient_keeps_the_tables_limit():
    judge = Judge()
    judge.limits.reach(40)
    judge.limits.override(33, "spo2-low", 92)
    assert hold(judge, "spo2 a 91", range(0, 80, 10)) == []


# -- whose readings are judged -----------------------------------------------------------------------------------------

FIRST_OWNERS = [
    ("spo2 b 84", Measure.SPO2, "spo2 b"),
    ("spo2 b 84,spo2 a 97", Measure.SPO2, "spo2 a"),
    ("spo2 a 97,spo2 b 84", Measure.SPO2, "spo2 a"),
    ("pulse a 70,hr b 70", Measure.RATE, "hr b"),
    ("nibp_sbp a 120,sbp c 118", Measure.SBP, "sbp c"),
]


@pytest.mark.parametrize("read, measure, owner", FIRST_OWNERS)
def test_the_first_owner_is_the_best_source_heard_until_the_tick(read, measure, owner):
    judge = Judge()
    judge.limits.judge(judge.readings(0, read))
    assert judge.owner(measure) == "-"
    judge.limits.settle(RANK)
    assert judge.owner(measure) == owner


def test_how_devices_interleave_before_the_tick_changes_nothing():
    rows = ["spo2 b 97", "spo2 a 84", "spo2 b 97", "spo2 a 84"]
    found = set()
    for order in ((0, 1, 2, 3), (1, 0, 3, 2), (1, 3, 0, 2)):
        judge = Judge()
        for row in order:
            judge.limits.judge(judge.readings(60 * (row // 2), rows[row]))
        found.add(words(judge.limits.settle(RANK)[0]))
    assert found == {"raised spo2-low 2"}


def test_only_the_owners_readings_are_judged():
    judge = Judge()
    judge.read(0, "spo2 a 97")
    assert hold(judge, "spo2 b 70", range(10, 200, 10)) == []


FRAMES = [
    # the owner is, the frame's best, the owner then
    ("nibp_sbp a 120", [("sbp", "b")], "sbp b"),  # a better source takes over at once
    ("sbp b 120", [("nibp_sbp", "a")], "nibp_sbp a"),  # the owner gave nothing in the whole frame
    ("sbp b 120", [("nibp_sbp", "a"), ("sbp", "b")], "sbp b"),
    ("sbp b 120", [("sbp", "a")], "sbp a"),
    ("sbp a 120", [("sbp", "b")], "sbp b"),
]


@pytest.mark.parametrize("owned, best, owner", FRAMES)
def test_when_a_frame_closes_owners_are_reconsidered(owned, best, owner):
    judge = Judge()
    judge.read(0, owned)
    judge.frame(*best)
    assert judge.owner(Measure.SBP) == owner


def test_what_is_raised_goes_on_with_the_next_owner():
    judge = Judge()
    hold(judge, "spo2 b 86", range(0, 70, 10))
    judge.frame(("spo2", "a"))
    assert hold(judge, "spo2 a 95", range(70, 140, 10)) == ["returned spo2-low"]


# -- order and time ----------------------------------------------------------------------------------------------------


def test_older_readings_than_the_newest_judged_say_nothing():
    judge = Judge()
    hold(judge, "spo2 a 84", range(0, 50, 10))
    assert judge.read(30, "spo2 a 99") == "-"
    assert judge.read(60, "spo2 a 84") == "raised spo2-low 2"


def test_many_readings_in_one_block_are_judged_one_after_another():
    judge = Judge()
    judge.read(0, "spo2 a 97,hr a 70")
    seconds = list(range(10, 260, 10))
    values = [84 if s <= 100 else 95 for s in seconds]
    parts = [judge.readings(s, f"spo2 a {v}, hr a 200") for s, v in zip(seconds, values, strict=True)]
    whole = Readings._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    found, _ = judge.limits.judge(whole)
    assert words(found) == "raised spo2-low 2, raised rate-high 2, returned spo2-low"
    assert [c.at_ns for c in found] == [ns(70), ns(70), ns(170)]


def test_an_ordinary_reading_in_the_same_block_speaks_against_the_one_before_it():
    judge = Judge()
    judge.read(0, "spo2 a 97")
    parts = [judge.readings(s, f"spo2 a {v}") for s, v in ((10, 84), (20, 97), (70, 84))]
    whole = Readings._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    assert judge.limits.judge(whole)[0] == []
    assert judge.read(129, "spo2 a 84") == "-"
    assert judge.read(130, "spo2 a 84") == "raised spo2-low 2"


@pytest.mark.parametrize("seed", range(8))
def test_how_a_stream_is_cut_into_blocks_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    spells = np.repeat(rng.choice([97, 88, 86, 84], size=20), rng.integers(1, 9, size=20))
    seconds = np.arange(len(spells)) * 10 - rng.choice([0, 0, 0, 35], size=len(spells))  # some are older than the last
    judge = Judge()
    rows = [judge.readings(int(s), f"spo2 a {v},hr a 200") for s, v in zip(seconds, spells, strict=True)]

    def run(cuts: list[int]) -> list[LimitChange]:
        judge = Judge()
        judge.read(-100, "spo2 a 97,hr a 70")
        found = []
        for low, high in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            block = [Readings._make(np.concatenate(c) for c in zip(*rows[low:high], strict=True))] if high > low else []
            found += [change for part in block for change in judge.limits.judge(part)[0]]
        return sorted(found, key=lambda c: (c.at_ns, c.rule, c.what))

    one_by_one = run(list(range(1, len(rows))))
    assert one_by_one
    assert run([]) == one_by_one
    assert run(sorted(rng.choice(len(rows), size=5, replace=False).tolist())) == one_by_one


def test_a_change_carries_the_reading_behind_it():
    judge = Judge()
    judge.read(0, "spo2 b 84")
    found, _ = judge.limits.judge(judge.readings(60, "spo2 b 83.5", delayed=True))
    (change,) = found
    assert (change.value, change.device, change.sign, change.threshold) == (83.5, 1, Sign.SPO2, 85.0)
    assert (change.time_ns, change.delayed) == (ns(60), True)


def test_values_that_somebody_waits_for_are_handed_on_however_ordinary():
    judge = Judge()
    judge.read(0, "spo2 a 97")
    assert judge.limits.judge(judge.readings(10, "spo2 a 97"))[1] == []
    judge.limits.watched[0, Measure.SPO2] = True
    assert judge.limits.judge(judge.readings(20, "spo2 a 97, hr a 70"))[1] == [(0, Measure.SPO2, 97.0, ns(20), 0)]


# -- slow sources: what nothing speaks against -------------------------------------------------------------------------


def test_a_cuffs_value_that_stands_unchallenged_is_raised_after_the_delay():
    judge = Judge(period_s=3600)
    assert judge.read(0, "nibp_sbp a 66") == "-"
    assert judge.limits.unchallenged_due_ns() == ns(60)
    assert judge.limits.unchallenged(ns(59)) == []
    found = judge.limits.unchallenged(ns(60))
    assert words(found) == "raised sbp-low 2"
    assert (found[0].at_ns, found[0].time_ns, found[0].value) == (ns(60), ns(0), 66.0)
    assert judge.limits.unchallenged_due_ns() is None
    assert judge.limits.unchallenged(ns(1000)) == []


def test_a_quick_sources_value_is_not_raised_by_time():
    judge = Judge(period_s=10)
    judge.read(0, "nibp_sbp a 66")
    assert judge.limits.unchallenged_due_ns() is None
    assert judge.limits.unchallenged(ns(1000)) == []


def test_a_slow_source_that_spoke_against_it_in_time_ends_it():
    judge = Judge(period_s=3600)
    judge.read(0, "nibp_sbp a 66")
    judge.read(50, "nibp_sbp a 120")
    assert judge.limits.unchallenged_due_ns() is None


def test_a_slow_sources_bands_fall_due_one_after_another():
    judge = Judge(period_s=3600)
    judge.read(0, "nibp_sbp a 78")
    judge.read(30, "nibp_sbp a 66")
    assert judge.limits.unchallenged_due_ns() == ns(60)
    assert words(judge.limits.unchallenged(ns(60))) == "raised sbp-low 1"
    assert judge.limits.unchallenged_due_ns() == ns(90)
    assert words(judge.limits.unchallenged(ns(90))) == "worse sbp-low 2"


# -- silence -----------------------------------------------------------------------------------------------------------


def test_a_raised_limit_is_silent_once_its_value_is_no_longer_valid():
    judge = Judge()
    assert judge.limits.silence_due_ns() is None
    hold(judge, "spo2 a 84", range(0, 70, 10))
    assert judge.limits.silence_due_ns() == ns(60 + 120)
    assert judge.limits.silent(ns(179)) == []
    assert judge.limits.silent(ns(180)) == [(0, RULE_INDEX["spo2-low"], ns(60), ns(180))]
    assert judge.limits.silent(ns(999)) == [], "it is said once"
    assert judge.limits.silence_due_ns() is None
    assert judge.read(400, "spo2 a 97") == "heard spo2-low"


def test_a_pending_limit_that_falls_silent_says_nothing_and_begins_anew():
    judge = Judge()
    hold(judge, "spo2 a 84", range(0, 50, 10))
    assert judge.limits.silence_due_ns() is None
    assert hold(judge, "spo2 a 84", range(400, 470, 10)) == ["raised spo2-low 2"]
    assert judge.read(470, "spo2 a 84") == "-"


# -- leaving and coming back -------------------------------------------------------------------------------------------


def test_who_leaves_leaves_nothing_pending_raised_or_waiting():
    judge = Judge(period_s=3600)
    judge.read(0, "nibp_sbp a 66,spo2 a 84")
    judge.limits.judge(judge.readings(5, "temp_c a 30"))
    judge.limits.leave(0)
    assert judge.limits.unchallenged_due_ns() is None
    assert judge.limits.silence_due_ns() is None
    assert judge.limits.settle(RANK) == ([], [])
    assert judge.read(100, "spo2 a 84") == "-"


@pytest.mark.parametrize("cut", [0, 30, 60, 90, 150])
def test_a_snapshot_anywhere_changes_nothing(cut):
    def run(restart_at: int | None) -> list[str]:
        judge, found = Judge(), []
        for second in range(0, 300, 10):
            if second == restart_at:
                again = Limits(2.5)
                again.load(unpack(pack(judge.limits.state())))
                judge.limits = again
            spo2 = 84 if second < 120 else 97
            found.append(judge.read(second, f"spo2 a {spo2},hr b 180"))
            found += [str(row) for row in judge.limits.silent(ns(second))]
        return found

    assert run(cut) == run(None)
    assert "returned spo2-low" in run(None)


def test_nothing_to_judge():
    judge = Judge()
    assert judge.limits.judge(Readings(*[np.zeros(0, dtype=np.int64)] * 7)) == ([], [])
    assert judge.limits.settle(RANK) == ([], [])
