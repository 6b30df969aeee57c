"""What a closed frame says of each rule: it holds, it certainly does not, or nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
from wards import admitted, ns

from vitals.align import Closed
from vitals.conditions import HEARD, RAISED, RETURNED, WORSE
from vitals.frame_rules import Answer, FrameRules, detector_answer, device_answers, news2_answers, sensor_answers
from vitals.log import Binding, Enrolment
from vitals.roster import Roster
from vitals.scores import score
from vitals.signs import HOUR_NS, N_MEASURES, SECOND_NS, Measure, Sign
from vitals.tables import pack, unpack

ONE = np.array([0])
WELL = {
    Measure.RATE: 70, Measure.SPO2: 97, Measure.RESP: 15, Measure.TEMP_C: 36.8, Measure.SBP: 120,
    Measure.CONSCIOUSNESS: 0, Measure.OXYGEN: 0,
}  # fmt: skip
HOLDS, NOT, NOBODY_KNOWS = "holds", "not", "?"


def said(answer: Answer, row: int = 0) -> str:
    """``holds 2``, ``not``, ``?``."""
    if answer.bands[row]:
        assert not answer.back[row]
        return f"{HOLDS} {answer.bands[row]}"
    return NOT if answer.back[row] else NOBODY_KNOWS


def scored(**changes: float | None) -> dict[str, str]:
    """What the NEWS2 rules say of somebody well but for some measures; None: missing."""
    values = np.full((1, N_MEASURES), np.nan)
    for measure, usual in WELL.items():
        value = changes.get(measure.name.lower(), usual)
        values[0, measure] = np.nan if value is None else value
    return {rule: said(answer) for rule, answer in news2_answers(score(values, np.array([1]))).items()}


NEWS2 = [
    # what differs from somebody well                                   news2        news2-single
    ({}, NOT, NOT),
    ({"resp": 22, "spo2": 94, "rate": 100}, NOT, NOT),  # 2 + 1 + 1
    ({"resp": 22, "spo2": 93, "rate": 100}, "holds 1", NOT),  # 5
    ({"resp": 22, "spo2": 93, "rate": 100, "temp_c": 38.5, "sbp": 105}, "holds 2", NOT),  # 7
    ({"resp": 25}, NOT, "holds 1"),  # 3 by one alone
    ({"consciousness": 1}, NOT, "holds 1"),
    ({"temp_c": None}, NOT, NOBODY_KNOWS),  # 0 to 3
    ({"temp_c": None, "resp": 22}, NOBODY_KNOWS, NOBODY_KNOWS),  # 2 to 5
    ({"temp_c": None, "resp": 22, "spo2": 93, "rate": 100}, "holds 1", NOBODY_KNOWS),  # 5 to 8
    ({"temp_c": None, "resp": 25}, NOBODY_KNOWS, "holds 1"),
    (dict.fromkeys(measure.name.lower() for measure in WELL), NOBODY_KNOWS, NOBODY_KNOWS),
]


@pytest.mark.parametrize("changes, total, single", NEWS2)
def test_news2_holds_by_its_lower_bound_and_is_excluded_by_its_upper(changes, total, single):
    found = scored(**changes)
    assert (found["news2"], found["news2-single"]) == (total, single)


def asked(**changes: float | None) -> set[str]:
    return {rule for rule, answer in scored(**changes).items() if rule.startswith("observe-") and answer != NOT}


def test_what_is_missing_is_asked_for_only_where_it_could_make_the_difference():
    assert asked() == set()
    assert asked(temp_c=None) == set()
    assert asked(temp_c=None, resp=22) == {"observe-temp"}
    assert asked(consciousness=None, oxygen=None) == {"observe-consciousness", "observe-oxygen"}
    assert asked(temp_c=None, resp=22, spo2=93, rate=100) == set(), "raised already: nothing to exclude"


DETECTOR = [(0.5, "holds 1"), (0.9, "holds 1"), (0.49, "?"), (0.4, "?"), (0.39, NOT), (0.0, NOT), (np.nan, "?")]


@pytest.mark.parametrize("value, answer", DETECTOR)
def test_a_detector_is_back_below_four_fifths_of_its_threshold(value, answer):
    assert said(detector_answer(np.array([value]), 0.5)) == answer


# -- sensors and devices -----------------------------------------------------------------------------------------------


def roster(**devices: str) -> Roster:
    """Patients by the devices they wear: ``roster(d1="p-1")``."""
    made = Roster()
    for device, patient in devices.items():
        for record in admitted(patient, {device: 10}):
            made.bind(record, ns(0)) if isinstance(record, Binding) else made.enrol(record, ns(0))
    return made


def closed(*rows: tuple[str, int, int]) -> Closed:
    """(sign, usable readings, unusable readings) of patient 0."""
    n = len(rows)
    return Closed(
        patient=np.zeros(n, dtype=np.int64),
        sign=np.array([Sign[sign.upper()] for sign, _, _ in rows], dtype=np.int64),
        device=np.zeros(n, dtype=np.int64),
        value=np.zeros(n),
        time_ns=np.zeros(n, dtype=np.int64),
        usable=np.array([good for _, good, _ in rows], dtype=np.int64),
        unusable=np.array([bad for _, _, bad in rows], dtype=np.int64),
    )


SENSORS = [
    ([("spo2", 0, 3)], "sensor-off-spo2", "holds 1"),
    ([("spo2", 1, 3)], "sensor-off-spo2", NOT),
    ([("spo2", 4, 0)], "sensor-off-spo2", NOT),
    ([("hr", 4, 0)], "sensor-off-spo2", NOBODY_KNOWS),
    ([], "sensor-off-spo2", NOBODY_KNOWS),
    ([("hr", 0, 5), ("pulse", 3, 0)], "sensor-off-rate", NOT),  # another source of the same measure stands in
    ([("hr", 0, 5), ("pulse", 0, 3)], "sensor-off-rate", "holds 1"),
]


@pytest.mark.parametrize("rows, rule, answer", SENSORS)
def test_a_sensor_is_off_where_all_its_frame_was_unusable(rows, rule, answer):
    assert said(sensor_answers(roster(d1="p-1"), ONE, closed(*rows), ns(60))[rule]) == answer


def test_whose_silence_is_excused_has_no_sensor_alarm():
    who = roster(d1="p-1")
    who.enrol(Enrolment(patient="p-1", state="paused", at_ns=ns(0)), ns(0))
    assert said(sensor_answers(who, ONE, closed(("spo2", 0, 3)), ns(60))["sensor-off-spo2"]) == NOT


def test_who_wears_nothing_for_ten_minutes_is_watched_by_nobody():
    who = roster(d1="p-1")
    answers = []

    def ask(second: float) -> None:
        answers.append(said(sensor_answers(who, ONE, closed(), ns(second))["no-device"]))

    ask(0)
    who.bind(Binding(device="d1", patient="p-1", from_ns=0, to_ns=ns(30)), ns(30))
    for second in (60, 600, 659, 660, 720):
        ask(second)
    who.bind(Binding(device="d2", patient="p-1", from_ns=ns(730)), ns(730))
    ask(780)
    assert answers == [NOT, "?", "?", "?", "holds 1", "holds 1", NOT]


BATTERY = [(-1.0, "?"), (16.0, "?"), (15.0, "holds 1"), (0.0, "holds 1"), (20.0, "?"), (20.1, NOT), (100.0, NOT)]
CLOCK = [(0, NOT), (29.9, NOT), (30, "?"), (59, "?"), (60, "holds 1"), (-60, "holds 1"), (-29, NOT), (86400, "holds 1")]


@pytest.mark.parametrize("charge, answer", BATTERY)
def test_charge(charge, answer):
    who = roster(d1="p-1")
    who.devices["battery"][0] = charge
    assert said(device_answers(who, ONE)["battery-low"]) == answer


@pytest.mark.parametrize("off_s, answer", CLOCK)
def test_clock(off_s, answer):
    who = roster(d1="p-1")
    who.devices["offset_ns"][0] = round(off_s * SECOND_NS)
    assert said(device_answers(who, ONE)["device-clock"]) == answer


# -- over frames -------------------------------------------------------------------------------------------------------

WORDS = {RAISED: "raised", WORSE: "worse", RETURNED: "returned", HEARD: "heard"}
ANSWERS = {"?": (0, False), "not": (0, True), "1": (1, False), "2": (2, False)}


def play(table: str, rule: str, *, restart: bool = False, grid_ns: int | None = None) -> None:
    """minute | answer | said: answers of one rule for one patient (delay and hysteresis are the rule's own)."""
    grids = {} if grid_ns is None else {rule: grid_ns}
    rules = FrameRules([rule], grids)
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    assert header == ["minute", "answer", "said"]
    for minute, answer, expected in rows:
        bands, back = ANSWERS[answer]
        if restart:
            again = FrameRules([rule], grids)
            again.load(unpack(pack(rules.state())))
            rules = again
        given = {rule: Answer(np.array([bands]), np.array([back]))}
        changes, silences = rules.judge(ONE, given, ns(60 * int(minute)))
        words = [f"{WORDS[c.what]} {c.level}" if c.what in {RAISED, WORSE} else WORDS[c.what] for c in changes]
        words += [f"lost since {(s.since_ns - ns(0)) // (60 * SECOND_NS)}" for s in silences]
        assert (", ".join(words) or "-") == expected, (minute, answer)


TABLES = {
    "held through its five minutes": """
        minute | answer | said
        1      | 1      | -
        2      | 1      | -
        3      | 1      | -
        4      | 1      | -
        5      | 1      | -
        6      | 1      | raised 1
    """,
    "worse and back": """
        minute | answer | said
        1      | 2      | -
        3      | 2      | -
        5      | 2      | -
        6      | 2      | raised 2
        7      | not    | -
        9      | not    | -
        11     | not    | -
        12     | not    | returned
    """,
    "nobody can tell: told once, with since when; never back": """
        minute | answer | said
        1      | 1      | -
        3      | 1      | -
        5      | 1      | -
        6      | 1      | raised 1
        7      | ?      | lost since 6
        8      | ?      | -
        90     | ?      | -
        91     | not    | heard
        93     | not    | -
        95     | not    | -
        96     | not    | returned
    """,
    "one frame nobody could tell about does not begin the delay anew": """
        minute | answer | said
        1      | 1      | -
        2      | ?      | -
        3      | 1      | -
        5      | 1      | -
        6      | 1      | raised 1
    """,
    "more than two frames nobody could tell about do": """
        minute | answer | said
        1      | 1      | -
        2      | ?      | -
        3      | ?      | -
        4      | 1      | -
        6      | 1      | -
        8      | 1      | -
        9      | 1      | raised 1
    """,
    "what nobody can tell while nothing is raised is no event": """
        minute | answer | said
        1      | ?      | -
        2      | 1      | -
        3      | ?      | -
        4      | not    | -
    """,
}


@pytest.mark.parametrize("restart", [False, True], ids=["straight", "restarted"])
@pytest.mark.parametrize("name", TABLES)
def test_over_frames(name, *, restart):
    play(TABLES[name], "news2", restart=restart)


def test_a_rule_judged_each_hour_holds_from_hour_to_hour():
    play(
        """
        minute | answer | said
        60     | 1      | raised 1
        120    | 1      | -
        180    | not    | -
        240    | not    | -
        300    | not    | returned
        """,
        "sepsis-risk",
        grid_ns=HOUR_NS,
    )


def test_rules_without_an_answer_in_a_frame_are_left_alone():
    rules = FrameRules(["news2", "sepsis-risk"], {"sepsis-risk": HOUR_NS})
    holds = {"sepsis-risk": Answer(np.array([1]), np.array([False]))}
    changes, _ = rules.judge(ONE, holds, ns(3600))
    assert [(c.rule, c.what) for c in changes] == [("sepsis-risk", RAISED)]
    well = {"news2": Answer(np.array([0]), np.array([True]))}
    assert rules.judge(ONE, well, ns(3660)) == ([], [])
    assert rules.raised(0) == ["sepsis-risk"]
    assert rules.raised_rows().tolist() == [0]


def test_patients_come_in_order_and_keep_apart():
    rules = FrameRules(["device-clock", "battery-low"], {})
    rules.reach(40)
    rows = np.array([2, 33, 7])
    found = []
    for minute in (1, 2):
        given = {
            "device-clock": Answer(np.array([1, 0, 1]), np.array([False, True, False])),
            "battery-low": Answer(np.array([1, 1, 0]), np.array([False, False, True])),
        }
        found += rules.judge(rows, given, ns(60 * minute))[0]
    assert [(c.row, c.rule) for c in found] == [
        (2, "device-clock"), (2, "battery-low"), (7, "device-clock"), (33, "battery-low"),
    ]  # fmt: skip
    rules.leave(2)
    rules.forget(7, "device-clock")
    assert rules.raised_rows().tolist() == [33]


def test_a_snapshot_of_other_rules_is_refused():
    rules = FrameRules(["news2"], {})
    with pytest.raises(ValueError, match="the snapshot has the rules"):
        FrameRules(["news2-single"], {}).load(rules.state())
    assert rules.knows("news2")
    assert not rules.knows("spo2-low")
