"""What always holds of paging, on generated histories of alarms, answers, failures, shifts, swaps and clock changes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from paging_world import START, H, M, S, Scene, rota

from stream_processors.paging import own
from stream_processors.paging.core import Plan
from stream_processors.paging.owners import owners
from stream_processors.paging.policy import DEFAULT, Target
from stream_processors.paging.rota import (
    DAYS,
    HOLIDAY,
    Duty,
    Shift,
    Swap,
    duties,
    gaps,
    instant,
    on_call,
)
from stream_processors.paging.state import Answered, Found, Order, Send, Undelivered
from vitals.events import Priority

PEOPLE = ("wren", "heron", "kestrel")
PATIENTS = ("p-1", "p-2", "p-3")
RULES = ("spo2-low", "news2-single", "rate-high", "sbp-low", "device-silent", "anomaly")

patients, rules, persons = st.sampled_from(PATIENTS), st.sampled_from(RULES), st.sampled_from(PEOPLE)
actions = st.one_of(
    st.tuples(st.just("raise"), patients, rules, st.integers(1, 2)),
    st.tuples(st.just("end"), patients, rules),
    st.tuples(st.just("ack"), patients, rules, persons),
    st.tuples(
        st.just("answer"),
        patients,
        persons,
        st.sampled_from(("acknowledge", "on-my-way", "hand-on", "snooze")),
        st.booleans(),
    ),
    st.tuples(st.just("fail"), patients, persons),
    st.tuples(st.just("find"), persons, st.sampled_from((None, 1, 2))),
    st.tuples(st.just("swap"), persons, st.sampled_from((*PEOPLE, ""))),
    st.tuples(st.just("no rota")),
)
pauses = st.one_of(st.integers(0, 20 * S), st.integers(0, 30 * M), st.sampled_from((0, 2 * M, 10 * M)))
histories = st.lists(st.tuples(pauses, actions), max_size=25)


def do(scene: Scene, action: tuple) -> None:
    match action:
        case ("raise", patient, rule, level):
            device = f"d-{patient}" if rule == "device-silent" else ""
            scene.raise_(patient, rule, level, device)
        case ("end", patient, rule):
            scene.end(patient, rule, f"d-{patient}" if rule == "device-silent" else "")
        case ("ack", patient, rule, person):
            if scene.ward.alarms.get((patient, rule, "")) is not None:
                scene.acknowledge(patient, rule, person)
        case ("answer", patient, person, what, heard):
            page = scene.state.pages.get(patient)
            if page is None:
                return
            seen = {name: scene.state.alarms[name].n for name in page.members}
            answer = Answered(person=person, action=what, alarms=seen, command_id=f"a{len(scene.told)}")
            for decision in scene.say(answer):
                if isinstance(decision, Order) and heard:  # else the ward is away and confirms nothing
                    scene.events(scene.ward.obey(decision.command, scene.now_ns))
        case ("fail", patient, person):
            page = scene.state.pages.get(patient)
            if page is not None:
                scene.say(Undelivered(person=person, alarm_ids=tuple(page.members)))
        case ("find", person, level):
            cause = None if level is None else "found"
            scene.say(Found(rule=own.CHANNEL, about=person, cause=cause, level=level or 1))
        case ("swap", out, into):
            swap = Swap(out=out, into=into, from_ns=scene.now_ns, to_ns=scene.now_ns + H)
            scene.plan = Plan(rota(swaps=(*scene.plan.rota.swaps, swap)), scene.plan.policies)
        case ("no rota",):
            scene.plan = Plan(rota(shifts=()), scene.plan.policies)


def run(history: list, times: int = 1) -> tuple[Scene, list[tuple[int, set[str], dict[str, Priority]]]]:
    """Play a history; what calls is kept at every change: (when, alarms held by an answer, alarm -> priority)."""
    scene = Scene()
    calling = []

    def look() -> None:
        members = [m for page in scene.state.pages.values() for m in page.members.values()]
        calling.append(
            (scene.now_ns, {m.alarm_id for m in members if m.held_by}, {m.alarm_id: m.priority for m in members})
        )

    told = scene.say

    def say(*said):  # look after every single input, however it came about
        out = []
        for one in said:
            out += told(one)
            look()
        return out

    scene.say = say
    deliver = scene.events
    scene.events = lambda events: deliver([event for event in events for _ in range(times)])
    for pause, action in history:
        scene.jump(scene.now_ns + pause)
        do(scene, action)
    scene.jump(scene.now_ns + 20 * M)
    return scene, calling


@settings(deadline=None, max_examples=150)
@given(histories)
def test_every_high_alarm_that_no_one_answers_reaches_everyone_within_its_policys_time(history):
    scene, calling = run(history)
    reach_ns = DEFAULT.policies[0].reach_ns
    since: dict[str, int] = {}
    for at, held, members in calling:
        high = {name for name, priority in members.items() if priority is Priority.HIGH and name not in held}
        since = {name: since.get(name, at) for name in high}
        for name, began in since.items():
            if at - began < reach_ns or at - began > reach_ns + M:
                continue
            told = {s.person for t, s in _sent(scene) if began - M <= t <= began + reach_ns and name in s.alarm_ids}
            assert told == set(PEOPLE), f"{name} calls since {began - START} and reached only {told}"


@settings(deadline=None, max_examples=150)
@given(histories)
def test_an_answered_alarm_pages_nobody_until_it_calls_again_and_every_calling_one_has_a_due_step(history):
    scene, calling = run(history)
    times = [at for at, *_ in calling]
    for at, send in _sent(scene):
        # What calls after the last input of this instant or of an earlier one.
        standing = [members for t, held, members in calling if t == at]
        assert any(set(send.alarm_ids) <= set(members) for members in standing)
    assert times == sorted(times)
    for page in scene.state.pages.values():
        for member in page.members.values():
            assert member.next_ns() > scene.now_ns


@settings(deadline=None, max_examples=150)
@given(histories)
def test_no_page_is_sent_twice_for_one_step(history):
    scene, _ = run(history)
    names = [d.message_id for _, d in scene.told if isinstance(d, Send)]
    assert len(names) == len(set(names))


@settings(deadline=None, max_examples=100)
@given(histories)
def test_what_calls_is_what_the_topic_says_is_unattended(history):
    scene, _ = run(history)
    calling = {name for page in scene.state.pages.values() for name in page.members}
    gateway = scene.state.own.get(own.GATEWAY)
    for name, alarm in scene.state.alarms.items():
        attended = (
            alarm.state["attention"] == "acknowledged"
            or alarm.state["shelf"] == "shelved"
            or "expecting_by" in alarm.state
        )
        covered = gateway is not None and not gateway.closed and alarm.rule == "device-silent"
        assert (name in calling) == (alarm.priority is not Priority.LOW and not attended and not covered)


@settings(deadline=None, max_examples=100)
@given(histories)
def test_events_that_come_twice_tell_nobody_twice(history):
    once, _ = run(history)
    twice, _ = run(history, times=2)
    assert twice.told == once.told
    assert twice.state == once.state


def _sent(scene: Scene) -> list[tuple[int, Send]]:
    return [(t, d) for t, d in scene.told if isinstance(d, Send) and d.kind == "page"]


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "UTC")
CHANGES = (
    dt.date(2026, 3, 29),
    dt.date(2026, 10, 25),
    dt.date(2026, 3, 8),
    dt.date(2026, 11, 1),
    dt.date(2026, 4, 5),
    dt.date(2026, 10, 4),
)
minutes = st.integers(0, 24 * 60 - 1)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(CHANGES),
    st.sets(minutes, min_size=2, max_size=4),
    st.sets(st.integers(-3, 3)),
)
def test_shifts_that_meet_leave_no_gap_on_the_night_the_clock_changes(zone, day, bounds, holidays):
    edges = sorted(bounds)
    shifts = tuple(
        Shift(
            team="ward",
            line=line,
            people=("wren", "heron"),
            from_minute=a,
            to_minute=b,
            since=dt.date(2025, 1, 1),
            turn="day",
        )
        for line in ("first", "second")
        for a, b in [*pairwise(edges), (edges[-1], edges[0])]
    )
    plan = rota(zone=zone, shifts=shifts, holidays=frozenset(day + dt.timedelta(days=n) for n in holidays))
    start = instant(zone, day - dt.timedelta(days=3), 0)
    assert gaps(plan, start, start + 7 * 24 * H) == ()
    for duty in duties(plan, start, start + 7 * 24 * H):
        assert duty.from_ns < duty.to_ns


shifts = st.builds(
    Shift,
    team=st.just("ward"),
    line=st.sampled_from(("first", "second")),
    people=st.lists(persons, max_size=3).map(tuple),
    from_minute=minutes,
    to_minute=minutes,
    since=st.sampled_from(CHANGES),
    days=st.sets(st.sampled_from((*DAYS, HOLIDAY))).map(tuple),
    turn=st.sampled_from(("", "day", "week")),
)
instants = st.tuples(st.sampled_from(CHANGES), st.integers(-2 * 24 * 60, 2 * 24 * 60)).map(
    lambda at: instant("Europe/Berlin", at[0], 0) + at[1] * M
)
swaps = st.builds(
    lambda out, into, at, long: Swap(out=out, into=into, from_ns=at, to_ns=at + long),
    persons,
    st.sampled_from((*PEOPLE, "")),
    instants,
    st.integers(1, 3 * 24 * H),
)
singles = st.builds(
    lambda person, at, long: Duty(team="ward", line="first", person=person, from_ns=at, to_ns=at + long),
    st.sampled_from((*PEOPLE, "stranger")),
    instants,
    st.integers(1, 24 * H),
)
targets = st.sampled_from(
    [
        Target("line", "first"),
        Target("line", "none"),
        Target("person", "stranger"),
        Target("team"),
        Target("lead"),
        Target("answered"),
    ]
)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(shifts, max_size=4),
    st.lists(swaps, max_size=4),
    st.lists(singles, max_size=2),
    instants,
    targets,
    st.frozensets(persons),
    st.sampled_from(ZONES),
)
def test_no_shifts_swaps_or_clock_changes_leave_an_alarm_without_an_owner(rows, changes, more, at, target, weak, zone):
    plan = rota(zone=zone, shifts=tuple(rows), swaps=tuple(changes), duties=tuple(more))
    found = owners(plan, plan.teams["ward"], target, at, weak=weak)
    assert found.people
    assert set(found.people) <= set(PEOPLE)
    assert len(set(found.people)) == len(found.people)
    if set(PEOPLE) - weak:
        assert set(found.people) - weak, "somebody proven reachable is always among them"
    gap_now = [g for g in gaps(plan, at, at + 1) if g.line == "first"]
    assert bool(gap_now) == (not on_call(plan, "ward", "first", at))
