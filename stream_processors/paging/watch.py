"""What the pager does without an alarm: test pages, hand-overs, quiet-shift messages, a look ahead. Pure.

```
        test page            hand-over          shift begins
 -----------|-------------------|-------------------|------------------------------>
            confirmed: proven   accepted: the new one has the pager; else the last one keeps it
```
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stream_processors.paging import own
from stream_processors.paging.owners import owners
from stream_processors.paging.rota import Duty, Rota, Swap, duties, gaps, local, next_minute, on_call, without_channel
from stream_processors.paging.state import Found, PagerState, Send, message_id
from stream_processors.paging.text import lasted
from stream_processors.paging.turn import Plan, replace
from vitals.alarm_fold import OpenAlarm, worst_first
from vitals.events import Priority
from vitals.signs import HOUR_NS, MINUTE_NS
from vitals.topics import SYNTHETIC, clinical

HAND_OVER_BEFORE_NS: Final = 15 * MINUTE_NS
LOOK_EVERY_NS: Final = 5 * MINUTE_NS
_ANSWER_TEST_NS: Final = 10 * MINUTE_NS
_REMEMBER_NS: Final = 14 * 24 * HOUR_NS


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """A test page for a duty."""

    person: str
    from_ns: int
    sent_ns: int
    answered_ns: int | None = None


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """A change of person in a line."""

    team: str
    line: str
    out: str
    into: str
    from_ns: int
    to_ns: int
    accepted_ns: int | None = None


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """What is under way; tests and hand-overs by the id of their message.

    Attributes:
        tests: Test pages.
        hand_overs: Hand-overs.
        looked_ns: When the look ahead was made.
        watched_ns: Up to when shifts were watched and quiet-shift messages sent; 0 at the very first.
    """

    tests: dict[str, Test] = {}
    hand_overs: dict[str, HandOver] = {}
    looked_ns: int = 0
    watched_ns: int = 0


class WardView(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever reads frames and enrolments can say of the ward.

    Attributes:
        patients: Admitted.
        watched: Of them, with a reading that still stands.
        oldest_ns: Time of the oldest of the patients' newest readings, of those watched; None where none is.
    """

    patients: int
    watched: int
    oldest_ns: int | None = None


@dataclass(slots=True)
class Outcome:
    """What to do.

    Attributes:
        state: Afterwards.
        sends: Messages.
        found: For the core.
    """

    state: WatchState
    sends: list[Send] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


def effective(rota: Rota, state: WatchState) -> Rota:
    """The rota as it holds: whoever has not taken over is stood in for by whoever had the pager."""
    kept = tuple(
        Swap(out=h.into, into=h.out, from_ns=h.from_ns, to_ns=h.to_ns, team=h.team, line=h.line)
        for h in state.hand_overs.values()
        if h.accepted_ns is None
    )
    return replace(rota, swaps=(*rota.swaps, *kept)) if kept else rota


def watch(plan: Plan, state: WatchState, pager: PagerState, now_ns: int, view: WardView | None = None) -> Outcome:
    """What is to be done at an instant. Asked again at the same instant it has nothing more to do.

    Args:
        plan: With the rota as written, not `effective`.
        state: As the last call left it.
        pager: Whose alarms are handed over.
        now_ns: Ward time.
        view: For quiet-shift messages; None where nobody knows.
    """
    out = Outcome(_forget(state, now_ns))
    coming = [d for d in _changes(plan.rota, now_ns, now_ns + plan.policies.test_before_ns) if d.to_ns > now_ns]
    _tests(plan, out, coming, pager, now_ns)
    _hand_overs(plan, out, coming, pager, now_ns)
    if now_ns - state.looked_ns >= LOOK_EVERY_NS:
        _look_ahead(plan, out, pager, now_ns)
    _quiet_messages(plan, out, pager, now_ns, view)
    return out


def confirmed(state: WatchState, message: str, now_ns: int) -> WatchState:
    """Somebody confirmed a test page or took over."""
    if (test := state.tests.get(message)) is not None and test.answered_ns is None:
        return replace(state, tests={**state.tests, message: replace(test, answered_ns=now_ns)})
    if (hand_over := state.hand_overs.get(message)) is not None and hand_over.accepted_ns is None:
        return replace(state, hand_overs={**state.hand_overs, message: replace(hand_over, accepted_ns=now_ns)})
    return state


def asked_test(state: WatchState, person: str, ask_id: str, now_ns: int) -> tuple[WatchState, Send]:
    """A test page that its person asked for: it proves the same as one before a shift."""
    name = message_id(person, "test", ask_id)
    test = Test(person=person, from_ns=now_ns + _ANSWER_TEST_NS, sent_ns=now_ns)
    send = Send(message_id=name, person=person, kind="test", at_ns=now_ns, note="You asked for this test page.")
    return replace(state, tests={**state.tests, name: state.tests.get(name, test)}), send


def _forget(state: WatchState, now_ns: int) -> WatchState:
    """Shifts that are long over."""
    return replace(
        state,
        tests={name: t for name, t in state.tests.items() if now_ns - t.from_ns < _REMEMBER_NS},
        hand_overs={name: h for name, h in state.hand_overs.items() if now_ns < h.to_ns},
    )


def _changes(rota: Rota, from_ns: int, to_ns: int) -> list[Duty]:
    """Duties that begin or run between two instants and are no mere continuation of the same person's."""
    return [
        d
        for d in duties(rota, from_ns, to_ns)
        if d.person in rota.people and d.person not in on_call(rota, d.team, d.line, d.from_ns - 1)
    ]


def _tests(plan: Plan, out: Outcome, coming: list[Duty], pager: PagerState, now_ns: int) -> None:
    tests = dict(out.state.tests)
    # Whoever is on call without an end would never be asked: they are when no test of theirs is remembered.
    asked = {test.person for test in tests.values()} | {duty.person for duty in coming}
    always = {d.person: d for d in duties(plan.rota, now_ns, now_ns + 1) if d.person in plan.rota.people}
    for duty in (*coming, *(d for person, d in always.items() if person not in asked)):
        name = message_id(duty.person, "test", str(duty.from_ns))
        if name not in tests:
            tests[name] = Test(person=duty.person, from_ns=duty.from_ns, sent_ns=now_ns)
            when = local(plan.rota.zone, duty.from_ns).strftime("%a %H:%M")
            note = f"You are on call ({duty.line} of {duty.team}) from {when}. Please confirm that this reached you."
            out.sends.append(Send(message_id=name, person=duty.person, kind="test", at_ns=now_ns, note=note))
    out.state = replace(out.state, tests=tests)
    half_ns = plan.policies.test_before_ns // 2
    standing: dict[str, int] = {}
    for test in tests.values():
        if test.answered_ns is not None or now_ns < test.sent_ns + min(_ANSWER_TEST_NS, half_ns):
            continue
        later = any(t.person == test.person and (t.answered_ns or 0) >= test.sent_ns for t in tests.values())
        if not later:
            standing[test.person] = max(standing.get(test.person, 0), 2 if now_ns >= test.from_ns else 1)
    for person, level in standing.items():
        cause = f"{person} has not confirmed the test page for the shift"
        out.found.append(Found(rule=own.UNPROVEN, about=person, cause=cause, level=level))
    out.found += _over(pager, own.UNPROVEN, standing)


def _hand_overs(plan: Plan, out: Outcome, coming: list[Duty], pager: PagerState, now_ns: int) -> None:
    under_way = dict(out.state.hand_overs)
    for duty in coming:
        # A shift that had begun before anybody watched is not handed over: whoever is in it has the pager.
        if not (out.state.watched_ns or now_ns) <= duty.from_ns <= now_ns + HAND_OVER_BEFORE_NS:
            continue
        name = message_id(duty.person, "hand-over", duty.team, duty.line, str(duty.from_ns))
        before = on_call(effective(plan.rota, out.state), duty.team, duty.line, duty.from_ns - 1)
        if name in under_way or not before or duty.person in before:
            continue
        under_way[name] = HandOver(
            team=duty.team, line=duty.line, out=before[0], into=duty.person, from_ns=duty.from_ns, to_ns=duty.to_ns
        )
        alarms = tuple(
            worst_first(a for a in pager.alarms.values() if a.priority is not Priority.LOW and a.patient != SYNTHETIC)
        )
        note = f"{before[0]} hands over to you ({duty.line} of {duty.team}). {_hand_over_words(plan, pager)}"
        out.sends.append(
            Send(message_id=name, person=duty.person, kind="hand-over", alarms=alarms, at_ns=now_ns, note=note)
        )
    out.state = replace(out.state, hand_overs=under_way)
    standing = {
        f"{h.team}/{h.line}": (h, 2 if now_ns - h.from_ns >= HOUR_NS // 2 else 1)
        for h in under_way.values()
        if h.accepted_ns is None and now_ns >= h.from_ns
    }
    for line, (hand_over, level) in standing.items():
        cause = f"{hand_over.into} has not taken over {line}: {hand_over.out} keeps the pager"
        out.found.append(Found(rule=own.HAND_OVER, about=line, cause=cause, level=level))
    out.found += _over(pager, own.HAND_OVER, standing)


def _hand_over_words(plan: Plan, pager: PagerState) -> str:
    """What is open, in numbers and times; reasons that people wrote stay on the console (they may hold names)."""
    zone = plan.rota.zone
    alarms = [alarm for alarm in pager.alarms.values() if clinical(alarm.patient)]
    lines = [f"{len(alarms)} alarms are open, {sum(a.priority is Priority.LOW for a in alarms)} of them low."]
    for word, said in (("shelved", "Shelved"), ("expecting", "Expected")):
        for alarm in alarms:
            until = alarm.state.get(f"{word}_until_ns")
            if isinstance(until, int):
                when, by = local(zone, until).strftime("%H:%M"), alarm.state.get(f"{word}_by")
                lines.append(f"{said} by {by} until {when}: {alarm.rule} of {alarm.patient}.")
    unobserved = sorted({alarm.patient for alarm in alarms if alarm.state.get("observation") == "unobserved"})
    if unobserved:
        lines.append(f"Unobserved: {', '.join(unobserved)}.")
    return " ".join(lines)


def _look_ahead(plan: Plan, out: Outcome, pager: PagerState, now_ns: int) -> None:
    """Gaps and people without a channel, each with how soon: a week ahead it is shown, in the last hour it pages."""
    rota, until_ns = plan.rota, now_ns + plan.policies.look_ahead_ns
    broken = frozenset(a.device for a in pager.own.values() if a.rule == own.CHANNEL and not a.closed and a.level >= 2)
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for gap in gaps(rota, now_ns, until_ns):
        cause = f"nobody is {gap.line} of {gap.team} {_from_to(rota.zone, gap.from_ns, gap.to_ns)}"
        found.setdefault((own.GAP, f"{gap.team}/{gap.line}"), (gap.from_ns, cause))
    for duty in without_channel(rota, broken, now_ns, until_ns):
        when = _from_to(rota.zone, duty.from_ns, duty.to_ns)
        cause = f"{duty.person} is {duty.line} of {duty.team} {when} and has no channel that works"
        found.setdefault((own.NO_CHANNEL, duty.person), (duty.from_ns, cause))
    for (rule, about), (from_ns, cause) in found.items():
        level = 3 if from_ns - now_ns <= HOUR_NS else 2 if from_ns - now_ns <= 24 * HOUR_NS else 1
        out.found.append(Found(rule=rule, about=about, cause=cause, level=level))
    for rule in (own.GAP, own.NO_CHANNEL):
        out.found += _over(pager, rule, {about for name, about in found if name == rule})
    out.state = replace(out.state, looked_ns=now_ns)


def _from_to(zone: str, from_ns: int, to_ns: int) -> str:
    return f"from {local(zone, from_ns):%a %d.%m. %H:%M} to {local(zone, to_ns):%a %d.%m. %H:%M}"


def _over(pager: PagerState, rule: str, standing: Iterable[str]) -> list[Found]:
    """Findings of a rule that do not stand any more."""
    still = set(standing)
    return [
        Found(rule=rule, about=alarm.device)
        for alarm in pager.own.values()
        if alarm.rule == rule and not alarm.closed and alarm.active and alarm.device not in still
    ]


def _quiet_messages(plan: Plan, out: Outcome, pager: PagerState, now_ns: int, view: WardView | None) -> None:
    since_ns = out.state.watched_ns
    out.state = replace(out.state, watched_ns=now_ns)
    zone = plan.rota.zone
    if not since_ns or all(next_minute(zone, since_ns, minute) > now_ns for minute in plan.policies.quiet_messages):
        return
    note = quiet_words(zone, pager.alarms.values(), out.state, now_ns, view)
    team = next(iter(plan.rota.teams.values()))
    rota = effective(plan.rota, out.state)
    for target in plan.policies.quiet_to:
        for person in owners(rota, team, target, now_ns).people:
            name = message_id(person, "quiet", str(now_ns))
            out.sends.append(Send(message_id=name, person=person, kind="quiet", at_ns=now_ns, note=note))


def quiet_words(zone: str, alarms: Iterable[OpenAlarm], state: WatchState, now_ns: int, view: WardView | None) -> str:
    """That it is quiet, and how one can tell.

    Example: "Watching 38 of 40 patients, oldest reading 41 s, 2 unobserved since 02:14, no alarm open that would call
    you, last test page answered 22:00."
    """
    alarms = [alarm for alarm in alarms if clinical(alarm.patient)]
    parts = ["How many patients are watched is not known here"]
    if view is not None:
        oldest = "no reading" if view.oldest_ns is None else f"oldest reading {lasted(now_ns - view.oldest_ns)}"
        parts = [f"Watching {view.watched} of {view.patients} patients, {oldest}"]
    silent = {
        alarm.patient: since for alarm in alarms if isinstance(since := alarm.state.get("unobserved_since_ns"), int)
    }
    if silent:
        parts.append(f"{len(silent)} unobserved since {local(zone, min(silent.values())):%H:%M}")
    calling = [alarm for alarm in alarms if alarm.priority is not Priority.LOW]
    parts.append(f"{len(calling)} alarms open" if calling else "no alarm open that would call you")
    answered = max((t.answered_ns for t in state.tests.values() if t.answered_ns is not None), default=None)
    parts.append(
        "no test page answered yet" if answered is None else f"last test page answered {local(zone, answered):%H:%M}"
    )
    return ", ".join(parts) + "."
