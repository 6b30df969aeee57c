"""Without an alarm: test pages, hand-overs, quiet-shift messages, a look ahead; the auditor; the words of a page."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from paging_world import START, H, M, S, Scene, WardStub, rota, sends

from stream_processors.paging import own
from stream_processors.paging.auditor import audit
from stream_processors.paging.core import Plan
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.rota import Place, Shift, on_call
from stream_processors.paging.state import Found, PagerState, Send
from stream_processors.paging.text import Setting, Words, alarm_lines, without_names, words
from stream_processors.paging.watch import WardView, WatchState, confirmed, effective, watch
from vitals.alarm import Raise, Silent
from vitals.alarm_fold import Fold
from vitals.events import Clearing, Contribution, Evidence, ScoreEvidence, Why

DAY = {"team": "ward", "from_minute": 7 * 60, "to_minute": 19 * 60, "since": dt.date(2025, 1, 1)}
NIGHT = DAY | {"from_minute": 19 * 60, "to_minute": 7 * 60}
EVENING = START + 6 * H  # 19:00 in the rota's zone: wren goes, heron comes


def plan(**changes: object) -> Plan:
    shifts = (
        Shift(line="first", people=("wren",), **DAY),
        Shift(line="first", people=("heron",), **NIGHT),
        Shift(line="second", people=("kestrel",), **(DAY | {"from_minute": 0, "to_minute": 0})),
    )
    return Plan(rota(shifts=shifts), msgspec.structs.replace(DEFAULT, **changes))


def by_kind(sends: list[Send], kind: str) -> list[Send]:
    return [send for send in sends if send.kind == kind]


def test_a_test_page_goes_out_before_a_shift_and_must_be_answered():
    def unproven(state: WatchState, now_ns: int) -> list[tuple[str, int]]:
        found = watch(plan(), state, PagerState(), now_ns).found
        return [(f.about, f.level) for f in found if f.rule == own.UNPROVEN and f.about == "heron"]

    state = watch(plan(), WatchState(), PagerState(), EVENING - 70 * M).state
    first = watch(plan(), state, PagerState(), EVENING - 59 * M)
    (test,) = by_kind(first.sends, "test")
    assert test.person == "heron"  # who is always on call was asked when the watch began
    assert by_kind(watch(plan(), first.state, PagerState(), EVENING - 58 * M).sends, "test") == []
    assert unproven(first.state, EVENING - 55 * M) == []
    assert unproven(first.state, EVENING - 40 * M) == [("heron", 1)]
    assert unproven(first.state, EVENING) == [("heron", 2)]
    assert unproven(confirmed(first.state, test.message_id, EVENING - 50 * M), EVENING) == []


def test_a_shift_that_had_begun_before_anybody_watched_is_tested_and_not_handed_over():
    sends = watch(plan(), WatchState(), PagerState(), EVENING + 2 * H).sends
    assert {s.person for s in by_kind(sends, "test")} == {"heron", "kestrel"}
    assert by_kind(sends, "hand-over") == []


def test_an_answer_that_comes_late_ends_the_finding():
    scene = Scene(plan())
    scene.now_ns = EVENING
    scene.say(Found(rule=own.UNPROVEN, about="heron", cause="no answer", level=2))
    found = watch(plan(), WatchState(), scene.state, EVENING + M).found
    assert Found(rule=own.UNPROVEN, about="heron") in found


def test_the_last_one_keeps_the_pager_until_the_next_accepts():
    before = watch(plan(), WatchState(), PagerState(), EVENING - 14 * M)
    (hand_over,) = by_kind(before.sends, "hand-over")
    assert hand_over.person == "heron"
    rota_now = effective(plan().rota, before.state)
    assert on_call(rota_now, "ward", "first", EVENING - M) == ("wren",)
    assert on_call(rota_now, "ward", "first", EVENING + H) == ("wren",)
    late = watch(plan(), before.state, PagerState(), EVENING + 31 * M)
    assert [(f.about, f.level) for f in late.found if f.rule == own.HAND_OVER] == [("ward/first", 2)]
    accepted = confirmed(before.state, hand_over.message_id, EVENING + H)
    assert on_call(effective(plan().rota, accepted), "ward", "first", EVENING + H) == ("heron",)
    assert by_kind(watch(plan(), accepted, PagerState(), EVENING + H).sends, "hand-over") == []


def test_two_who_change_places_each_keep_their_line_until_the_other_accepts():
    shifts = (
        Shift(line="first", people=("wren",), **DAY),
        Shift(line="first", people=("heron",), **NIGHT),
        Shift(line="second", people=("heron",), **DAY),
        Shift(line="second", people=("wren",), **NIGHT),
    )
    changing = Plan(rota(shifts=shifts), DEFAULT)

    def holders(state: WatchState) -> list[str]:
        kept = effective(changing.rota, state)
        return [person for line in ("first", "second") for person in on_call(kept, "ward", line, EVENING + H)]

    state = watch(changing, WatchState(), PagerState(), EVENING - 14 * M).state
    assert holders(state) == ["wren", "heron"]
    names = {hand_over.line: name for name, hand_over in state.hand_overs.items()}
    first = confirmed(state, names["first"], EVENING)
    assert holders(first) == ["heron", "heron"]
    assert holders(confirmed(first, names["second"], EVENING)) == ["heron", "wren"]


def test_a_hand_over_says_what_is_open_shelved_and_unobserved():
    scene = Scene(plan())
    scene.raise_("p-7", "news2-single")
    scene.raise_("p-8", "rate-high")
    scene.events(scene.ward._say("p-8", "rate-high", "", Silent(since_ns=START, at_ns=START + M), START + M))
    from vitals.log import Command

    alarm = scene.ward.alarms["p-7", "news2-single", ""]
    command = Command(
        command_id="s",
        patient="p-7",
        alarm_id=alarm.alarm_id,
        action="shelve",
        by="wren",
        reason="Mr Example is known",
        until_ns=START + H,
    )
    scene.events(scene.ward.obey(command, START + M))
    (send,) = by_kind(watch(plan(), WatchState(), scene.state, EVENING - M).sends, "hand-over")
    assert "2 alarms are open, 0 of them low." in send.note
    assert "Shelved by wren until 14:00: news2-single of p-7." in send.note
    assert "Unobserved: p-8." in send.note
    assert "Example" not in words(send, Setting(scene.plan.rota)).body


def test_gaps_are_found_a_week_ahead_and_page_in_the_last_hour():
    away = plan()
    shifts = tuple(msgspec.structs.replace(s, until=dt.date(2026, 1, 3)) for s in away.rota.shifts if s.line == "first")
    away = Plan(msgspec.structs.replace(away.rota, shifts=(*shifts, away.rota.shifts[2])), away.policies)
    end = START + 2 * 24 * H + 18 * H  # the last night ends on the 4th at 07:00
    for now, level in ((START, 1), (end - 20 * H, 2), (end - 30 * M, 3)):
        found = [f for f in watch(away, WatchState(), PagerState(), now).found if f.rule == own.GAP]
        assert [(f.about, f.level) for f in found] == [("ward/first", level)]
    assert "nobody is first of ward from Sun 04.01. 07:00" in found[0].cause


def test_people_without_a_channel_are_found_ahead():
    scene = Scene(plan())
    scene.say(Found(rule=own.CHANNEL, about="heron", cause="no channel works", level=2))
    found = [f for f in watch(plan(), WatchState(), scene.state, START).found if f.rule == own.NO_CHANNEL]
    assert [(f.about, f.level) for f in found] == [("heron", 2)]


def test_a_quiet_shift_says_how_one_can_tell():
    settings = plan(quiet_messages=(22 * 60,))
    scene = Scene(settings)
    for patient in ("p-1", "p-2"):
        scene.raise_(patient, "battery-low", device="d")
        scene.events(
            scene.ward._say(patient, "battery-low", "d", Silent(since_ns=START + H, at_ns=START + H + M), START)
        )
    at = START + 9 * H  # 22:00
    state = watch(settings, WatchState(), scene.state, at - 2 * M).state
    test = next(name for name, t in state.tests.items() if t.person == "heron")
    state = confirmed(confirmed(state, test, at - M), next(iter(state.hand_overs), ""), at - M)
    assert by_kind(watch(settings, state, scene.state, at - S).sends, "quiet") == []
    out = watch(settings, state, scene.state, at + S, WardView(patients=40, watched=38, oldest_ns=at - 40 * S))
    (quiet,) = by_kind(out.sends, "quiet")
    assert quiet.note == (
        "Watching 38 of 40 patients, oldest reading 41 s, 2 unobserved since 14:00, "
        "no alarm open that would call you, last test page answered 21:59."
    )
    assert by_kind(watch(settings, out.state, scene.state, at + M).sends, "quiet") == []


def test_the_auditor_finds_what_nobody_answered_and_nobody_will_be_told_of():
    ward, fold = WardStub(), Fold()
    for event in ward.raise_("p-7", "spo2-low", START, 2) + ward.raise_("p-8", "battery-low", START, device="d"):
        fold.apply(event)
    (name,) = [n for n in fold.open if n.startswith("p-7")]
    seen = dict.fromkeys(fold.open, START)

    def found(promised: dict[str, int], now_ns: int) -> list[str]:
        return [o.why for o in audit(fold.open.values(), DEFAULT, promised, now_ns, seen_since_ns=seen)]

    assert found({name: START + 2 * M}, START + 3 * M) == []
    assert found({}, START + M) == []
    assert found({}, START + 3 * M) == ["nobody has answered it and the pager has no next step for it"]
    assert found({name: START + 2 * M}, START + 9 * M) == ["nobody has answered it and its next step is 7 min overdue"]


def test_the_auditor_has_nothing_to_say_of_a_pager_that_works():
    scene = Scene()
    fold, since = Fold(), {}
    tell = scene.events
    scene.events = lambda events: ([fold.apply(e) for e in events], tell(events))[1]
    for number, rule in enumerate(("spo2-low", "news2-single", "rate-high", "temp-high")):
        scene.raise_(f"p-{number}", rule, 2 if rule == "spo2-low" else 1)
    for _ in range(90):
        scene.jump(scene.now_ns + M)
        since = {name: since.get(name, scene.now_ns) for name in fold.open}
        promised = {n: m.next_ns() for page in scene.state.pages.values() for n, m in page.members.items()}
        assert audit(fold.open.values(), DEFAULT, promised, scene.now_ns, seen_since_ns=since) == ()


def page() -> Send:
    scene = Scene()
    said = Raise(
        at_ns=START,
        cause="NEWS2 8, at or above 7 for 5 min",
        level=2,
        evidence=(
            Evidence(sign="spo2", value=84.0, time_ns=START - 12 * S, limit=85.0),
            Evidence(sign="hr", value=131.0, time_ns=START - 5 * S),
        ),
        score=ScoreEvidence(
            name="news2",
            low=8,
            high=10,
            missing=("consciousness",),
            parts={"rate": 3.0, "spo2": 3.0, "resp": 2.0, "temp_c": 0.0},
        ),
    )
    (send,) = sends(scene.events(scene.ward._say("p-7", "news2", "", said, START)))
    return send


def test_a_page_says_all_that_is_asked_of_it():
    setting = Setting(
        rota(places={"p-7": Place("4", "ward")}), "https://ward.example/", {"acknowledge": "https://ward.example/a/x"}
    )
    told = words(page(), setting)
    assert told.title == "HIGH: look now - bed 4 (p-7) - Several signs together are off"
    for part in (
        "NEWS2 8, at or above 7 for 5 min",
        "since 13:00 (0 s)",
        "oxygen saturation 84 %, 12 s ago, limit 85 %",
        "heart rate 131 /min, 5 s ago",
        "news2 8 to 10: rate 3, spo2 3, resp 2",
        "missing: consciousness",
        "You are told because: step 1 of high: line first.",
        "I have seen it: https://ward.example/a/x",
        "Console: https://ward.example/patient/p-7",
    ):
        assert part in told.body
    assert "temp_c" not in told.body


def test_a_page_of_a_detector_says_what_its_score_rests_on():
    def part(words: str, direction: str) -> Contribution:
        return Contribution(what="x", log_odds=0.5, direction=direction, words=words)

    why = Why(
        summary="Sepsis risk 0.071, threshold 0.063: chiefly respiration.",
        threshold=0.063,
        contributions=tuple(part(f"reason {n}", "neither" if n == 1 else "raises") for n in range(6)),
        clears=(Clearing(what="x", words="would fall below the threshold if respiration were 18 /min"),),
        trust="half of the inputs were missing",
    )
    score = ScoreEvidence(name="sepsis", version="1", low=0.071, high=0.071, why=why)
    (raised,) = WardStub().raise_("p-7", "sepsis-risk", START)
    fold = Fold()
    fold.apply(msgspec.structs.replace(raised, score=score))
    (alarm,) = fold.open.values()
    told = "\n".join(alarm_lines(alarm, START + M, rota()))
    assert "chiefly respiration" in told
    assert [n for n in range(6) if f"reason {n}" in told] == [0, 2, 3]
    assert "if respiration were 18 /min" in told
    assert "half of the inputs were missing" in told


def test_no_name_leaves_the_building():
    text, found = without_names(
        Words("bed 4", "gave O2 to Anna Example, EXAMPLE is well; exampled"), ("Example", "Anna Example")
    )
    assert (text.body, found) == ("gave O2 to [name], [name] is well; exampled", 2)
    assert without_names(Words("a", "b"), ()) == (Words("a", "b"), 0)


@pytest.mark.parametrize("kind", ["page", "digest", "limit", "refused", "test", "quiet", "hand-over"])
def test_every_kind_of_message_has_words(kind):
    told = words(msgspec.structs.replace(page(), kind=kind, note="Note."), Setting(rota()))
    assert told.title
    assert "Note." in told.body
