"""ALARMS' properties, as far as the machine alone can hold them, on generated streams of what may be said to a book.

A stream is a list of sayings; time moves only forward between them. Commands name an alarm by how many were raised
before it, so that the same stream means the same whatever else is said in between.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from vitals.alarm import Heard, Level, Raise, Return, Silent, Value
from vitals.alarm_book import Book
from vitals.alarm_fold import Fold, fold
from vitals.events import AlarmEvent, Evidence, Priority, event_decoder, event_encoder
from vitals.log import Command
from vitals.rules import RULES
from vitals.signs import HOUR_NS, SECOND_NS, Measure

SUBJECTS = [
    ("p-1", "spo2-low", ""),
    ("p-1", "temp-high", ""),
    ("p-1", "news2", ""),
    ("p-1", "missed-spo2-low", ""),
    ("p-1", "device-silent", "oxi-1"),
    ("p-2", "spo2-low", ""),
    ("p-2", "anomaly", ""),
    ("p-2", "device-silent", "cuff"),
]
READINGS = ("raise", "level", "return", "heard", "value")
COMMANDS = ("acknowledge", "shelve", "unshelve", "expect", "resolve")


@dataclass(frozen=True)
class Saying:
    """One thing said after `wait` seconds."""

    wait: int
    what: str
    subject: tuple[str, str, str]
    level: int
    number: float
    span: int
    nth: int
    bound: bool
    seen: int | None
    late: bool


SAYINGS = st.lists(
    st.builds(
        Saying,
        wait=st.one_of(st.integers(0, 60), st.integers(0, 5000)),
        what=st.sampled_from([*READINGS, *READINGS, "silent", *COMMANDS, "due", "discharge", "repeat"]),
        subject=st.sampled_from(SUBJECTS),
        level=st.integers(1, 3),
        number=st.sampled_from([80.0, 84.0, 88.0, 92.0, 96.0]),
        span=st.sampled_from([-5, 10, 600, 2000, 100_000]),
        nth=st.integers(0, 5),
        bound=st.booleans(),
        seen=st.one_of(st.none(), st.integers(0, 6)),
        late=st.booleans(),
    ),
    max_size=40,
)


@dataclass
class Run:
    """A book being spoken to."""

    book: Book = field(default_factory=Book)
    now: int = 1_000 * SECOND_NS
    events: list[AlarmEvent] = field(default_factory=list)
    raised: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    last: Command | None = None
    commands: int = 0

    def say(self, said: Saying) -> list[AlarmEvent]:
        """Say it; give the events it made."""
        self.now += said.wait * SECOND_NS
        return self.take(self.one(said))

    def take(self, events: list[AlarmEvent]) -> list[AlarmEvent]:
        """Remember what was raised, so that a later command can name it."""
        for event in events:
            if event.event == "raised" and event.alarm_id not in self.raised[event.patient]:
                self.raised[event.patient].append(event.alarm_id)
        self.events += events
        return events

    def one(self, said: Saying) -> list[AlarmEvent]:
        """Hand it to the book as the ward would."""
        patient, rule, device = said.subject
        now, book = self.now, self.book
        evidence = (Evidence(sign="spo2", value=said.number, time_ns=now - said.late * SECOND_NS),)
        match said.what:
            case "raise":
                signal = Raise(
                    at_ns=now, level=said.level, cause="it", evidence=evidence, device=device, delayed=said.late
                )
            case "level":
                signal = Level(at_ns=now, level=said.level, evidence=evidence, device=device)
            case "return":
                signal = Return(at_ns=now, evidence=evidence, device=device)
            case "silent":
                signal = Silent(since_ns=now - 90 * SECOND_NS, at_ns=now, device=device)
            case "heard":
                signal = Heard(at_ns=now, evidence=evidence, device=device)
            case "value":
                return book.value(patient, Value(measure=Measure.SPO2, value=said.number, time_ns=now))
            case "due":
                return book.advance(now)
            case "discharge":
                return book.discharge(patient, "ann", now)
            case "repeat":
                return book.command(self.last, now) if self.last else []
            case _:
                return book.command(self.command(said, patient), now)
        return book.signal(patient, rule, signal)

    def command(self, said: Saying, patient: str) -> Command:
        """A command about one of the patient's alarms so far, or about none that ever was."""
        names = self.raised[patient]
        bound = {"bound": said.number, "direction": "above" if said.level > 1 else "below"} if said.bound else {}
        more = {
            "acknowledge": {},
            "shelve": {"until_ns": self.now + said.span * SECOND_NS, "reason": "bath", **bound},
            "unshelve": {},
            "expect": {"within_ns": said.span * SECOND_NS, **bound},
            "resolve": {"outcome": "dismissed"},
        }[said.what]
        self.commands += 1
        self.last = Command(
            command_id=f"c-{self.commands}",
            patient=patient,
            alarm_id=names[-1 - said.nth % len(names)] if names else f"{patient}:none:0",
            action=said.what,
            by="ann",
            seen=said.seen,
            **more,
        )
        return self.last

    def restart(self) -> None:
        """Through JSON and back, as a snapshot goes."""
        state = self.book.to_state()
        self.book = Book.from_state(json.loads(json.dumps(state)))
        assert self.book.to_state() == state

    def per_alarm(self) -> dict[str, list[AlarmEvent]]:
        """Events by alarm: the order between alarms is not promised, the order within one is."""
        found: dict[str, list[AlarmEvent]] = defaultdict(list)
        for event in self.events:
            found[event.alarm_id].append(event)
        return found


def play(sayings: list[Saying]) -> Run:
    """Say all of it, then let a day pass."""
    run = Run()
    for said in sayings:
        run.say(said)
    run.take(run.book.advance(run.now + 24 * HOUR_NS))
    return run


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_taking_readings_away_never_returns_an_alarm_and_never_closes_it_without_a_name(sayings):
    cut = len(sayings) // 2
    run = Run()
    for said in sayings[:cut]:
        run.say(said)
    before = len(run.events)
    for said in sayings[cut:]:
        if said.what not in READINGS:
            run.say(said)
    run.take(run.book.advance(run.now + 24 * HOUR_NS))
    for event in run.events[before:]:
        assert event.event not in {"returned", "recurred", "worsened", "observed"}
        assert event.event != "closed" or event.by


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_an_alarm_closes_only_on_fresh_readings_or_by_a_named_person(sayings):
    run = Run()
    for said in sayings:
        for event in run.say(said):
            if event.event == "closed" and not event.by:
                assert said.what in {"return", "value"}
                assert event.at_ns == run.now
                assert event.evidence
            if event.event == "returned":
                assert said.what == "return"
    assert all(event.event != "closed" for event in run.take(run.book.advance(run.now + 24 * HOUR_NS)))


@given(SAYINGS, st.integers(1, 900))
@settings(max_examples=150, deadline=None)
def test_how_often_time_is_told_changes_no_event(sayings, every):
    plain = play(sayings)
    ticked = Run()
    for said in sayings:
        start, end = ticked.now, ticked.now + said.wait * SECOND_NS
        for tick in range(start + every * SECOND_NS, end, every * SECOND_NS):
            ticked.take(ticked.book.advance(tick))
        ticked.take(ticked.book.advance(end))
        ticked.say(said)
    ticked.take(ticked.book.advance(ticked.now + 24 * HOUR_NS))
    assert ticked.per_alarm() == plain.per_alarm()


@given(SAYINGS, st.sets(st.integers(0, 40)))
@settings(max_examples=150, deadline=None)
def test_a_snapshot_anywhere_changes_no_event(sayings, cuts):
    plain = play(sayings)
    cut = Run()
    for index, said in enumerate(sayings):
        if index in cuts:
            cut.restart()
        cut.say(said)
    cut.take(cut.book.advance(cut.now + 24 * HOUR_NS))
    assert cut.events == plain.events
    assert cut.book.to_state() == plain.book.to_state()


@given(SAYINGS)
@settings(max_examples=100, deadline=None)
def test_every_command_twice_changes_no_event(sayings):
    plain = play(sayings)
    twice = Run()
    for said in sayings:
        twice.say(said)
        if said.what in COMMANDS:
            assert twice.say(replace(said, what="repeat", wait=0)) == []
    twice.take(twice.book.advance(twice.now + 24 * HOUR_NS))
    assert twice.events == plain.events


@given(SAYINGS)
@settings(max_examples=100, deadline=None)
def test_a_patient_alone_has_the_events_it_has_on_a_ward(sayings):
    together = play(sayings)
    for patient in ("p-1", "p-2"):
        alone = Run()
        for said in sayings:
            # "repeat" means the last command of anybody: said here only where it was this patient's.
            mine = said.subject[0] == patient and said.what != "repeat"
            alone.say(said if mine else replace(said, what="due"))
        alone.take(alone.book.advance(alone.now + 24 * HOUR_NS))
        ward = [e for e in together.events if e.patient == patient]
        assert _nameless(alone.events) == _nameless(ward)


def _nameless(events: list[AlarmEvent]) -> dict[str, list[tuple]]:
    """Events by alarm without the ids of commands, which are numbered over all patients."""
    found = defaultdict(list)
    for e in events:
        if e.event != "command_refused":
            found[e.alarm_id].append((e.n, e.event, e.at_ns, e.cause, e.priority, e.due_ns, e.state))
    return found


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_whatever_is_raised_has_a_next_step_and_nothing_due_is_left_behind(sayings):
    run = Run()
    for said in sayings:
        run.say(said)
        for alarm in run.book.open_alarms():
            due = alarm.due_ns()
            assert due is not None
            if not (alarm.attention or alarm.shelf or alarm.expectation):
                priority = RULES[alarm.rule].priority(alarm.peak)
                assert due == alarm.answer_due_ns <= run.now + RULES[alarm.rule].answer_within_ns[priority]
        run.take(run.book.advance(run.now))
        assert all(a.timer_ns() is None or a.timer_ns() > run.now for a in run.book.open_alarms())
        next_due = run.book.next_due_ns()
        assert next_due is None or next_due > run.now


@given(SAYINGS)
@settings(max_examples=200, deadline=None)
def test_nothing_given_for_better_covers_what_is_worse(sayings):
    run = Run()
    for said in sayings:
        run.say(said)
        for alarm in run.book.open_alarms():
            for given_ in (alarm.attention, alarm.shelf, alarm.expectation):
                assert given_ is None or alarm.standing <= given_.level
            rule = RULES[alarm.rule]
            high = rule.priority(alarm.peak) is Priority.HIGH
            assert not (alarm.shelf and high and rule.on_floor_list)
            assert alarm.level <= alarm.peak
        if said.what == "raise":
            # However it was closed: something worse than what was closed stands open now.
            patient, rule_id, device = said.subject
            level = min(said.level, len(RULES[rule_id].bands))
            state = {(a["patient"], a["rule"], a.get("device", "")): a for a in run.book.to_state()["alarms"]}
            alarm = state[patient, rule_id, device]
            assert not alarm.get("closed") or level <= alarm.get("closed_level", 0)


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_no_event_comes_before_its_evidence_and_delay_is_told(sayings):
    run = Run()
    for said in sayings:
        for event in run.say(said):
            assert all(e.time_ns <= event.at_ns for e in event.evidence)
            assert event.at_ns <= run.now
            if event.event == "raised" and event.cause == "it":
                assert event.delayed == said.late
            elif said.what != "raise":
                assert not event.delayed


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_any_state_is_a_fold_of_the_events(sayings):
    run = Run()
    state = Fold()
    for said in sayings:
        for event in run.say(said):
            state.apply(event_decoder.decode(event_encoder.encode(event)))
            assert state.apply(event) is False  # delivered twice
        book = {a.alarm_id: (a.n, a.due_ns(), a.facts()) for a in run.book.open_alarms()}
        assert {name: (a.n, a.due_ns, a.state) for name, a in state.open.items()} == book
        for alarm in run.book.open_alarms():
            assert state.open[alarm.alarm_id].priority == RULES[alarm.rule].priority(alarm.peak)
    assert fold(run.events + run.events) == fold(run.events)


@given(SAYINGS)
@settings(max_examples=150, deadline=None)
def test_names_are_unique_and_numbers_have_no_gaps(sayings):
    run = play(sayings)
    assert len({event.event_id for event in run.events}) == len(run.events)
    for events in run.per_alarm().values():
        assert [event.n for event in events] == list(range(1, len(events) + 1))
        assert events[0].event in {"raised", "command_refused"}
        assert all(event.event != "closed" for event in events[:-1])
        if events[0].event == "command_refused":
            assert len(events) == 1
    open_keys = [(a.patient, a.rule, a.device) for a in run.book.open_alarms()]
    assert len(set(open_keys)) == len(open_keys)
