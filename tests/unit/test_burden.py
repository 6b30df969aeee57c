"""The burden of alarms against examples worked out by hand."""

from __future__ import annotations

import pytest

from vitals.burden import DAY_NS, Budget, Burn, burden, courses, percentile
from vitals.events import AlarmEvent, Priority
from vitals.signs import HOUR_NS, SECOND_NS
from vitals.topics import OWN, SYNTHETIC

T0 = 1_767_268_800_000_000_000
S = SECOND_NS


class Log:
    """Alarm events, written down one alarm at a time."""

    def __init__(self) -> None:
        self.events: list[AlarmEvent] = []

    def alarm(
        self,
        patient: str = "a",
        rule: str = "spo2-low",
        *,
        at_ns: int = T0,
        priority: Priority = Priority.MEDIUM,
        answered_s: float | None = None,
        by: str = "wren",
        outcome: str = "",
    ) -> str:
        alarm_id = f"{patient}:{rule}:{at_ns}:{len(self.events)}"
        self.say(alarm_id, "raised", at_ns, priority=priority)
        if answered_s is not None:
            self.say(alarm_id, "acknowledged", at_ns + round(answered_s * S), priority=priority, by=by)
        if outcome:
            self.say(alarm_id, "closed", at_ns + HOUR_NS, priority=priority, by=by, state={"outcome": outcome})
        return alarm_id

    def say(self, alarm_id: str, event: str, at_ns: int, *, priority=Priority.MEDIUM, **more) -> None:
        patient, rule = alarm_id.split(":")[:2]
        n = 1 + sum(e.alarm_id == alarm_id for e in self.events)
        self.events.append(
            AlarmEvent(
                event_id=f"{alarm_id}:{n}", alarm_id=alarm_id, n=n, patient=patient, rule=rule, rule_version="1",
                kind="physiological", priority=priority, event=event, at_ns=at_ns, cause="", **more,
            )
        )  # fmt: skip

    def burden(self, *, days: float = 1.0, patients: str = "ab", **more):
        to_ns = T0 + round(days * DAY_NS)
        return burden(self.events, from_ns=T0, to_ns=to_ns, watched={p: [(T0, to_ns)] for p in patients}, **more)


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_example_of_its_description(log):
    for outcome in ("dismissed", "confirmed", ""):
        log.alarm(outcome=outcome)
    told = log.burden()
    assert (told.patients, told.patient_days, told.paging) == (2, 2.0, 3)
    assert told.per_patient_day == 1.5
    assert told.false_per_patient_hour == 1 / 48
    assert (told.confirmed, told.dismissed, told.duplicate, told.unjudged) == (1, 1, 0, 1)
    assert told.burn[-1].rate == 0.75


def test_low_alarms_count_but_do_not_page_and_the_highest_priority_counts(log):
    log.alarm(priority=Priority.LOW)
    worse = log.alarm(priority=Priority.LOW)
    log.say(worse, "worsened", T0 + S, priority=Priority.HIGH)
    log.say(worse, "improved", T0 + 2 * S, priority=Priority.LOW)
    told = log.burden()
    assert (told.alarms["low"], told.alarms["medium"], told.alarms["high"]) == (1, 0, 1)
    assert (told.paging, told.unjudged) == (1, 1)


def test_ourselves_and_the_test_patient_are_nobodys_burden(log):
    log.alarm("a")
    alone = log.burden()
    for nobody in (OWN, SYNTHETIC):
        log.alarm(nobody, priority=Priority.HIGH, answered_s=1, outcome="dismissed")
    watched = {name: [(T0, T0 + DAY_NS)] for name in ("a", "b", OWN, SYNTHETIC)}
    assert burden(log.events, from_ns=T0, to_ns=T0 + DAY_NS, watched=watched) == alone


def test_time_to_answer_of_ten(log):
    """Of 10 s, 20 s, ... 100 s half are within 50 s, nine tenths within 90 s."""
    for n in (7, 3, 10, 1, 9, 2, 8, 4, 6, 5):
        log.alarm(answered_s=10 * n)
    log.alarm()
    log.alarm(priority=Priority.LOW, answered_s=1)  # not for the phone
    answer = log.burden().answer
    assert (answer.answered, answer.unanswered) == (10, 1)
    assert (answer.p50_s, answer.p90_s, answer.longest_s) == (50, 90, 100)


@pytest.mark.parametrize(
    ("values", "p50", "p90"),
    [([4.0], 4, 4), ([1.0, 9.0], 1, 9), ([1.0, 2.0, 9.0], 2, 9), (list(range(1, 101)), 50, 90)],
)
def test_a_percentile_is_the_least_value_that_enough_do_not_pass(values, p50, p90):
    assert (percentile(values, 50), percentile(values, 90)) == (p50, p90)


def test_only_the_first_answer_counts_and_whose_it_was(log):
    alarm = log.alarm(answered_s=30, by="wren")
    log.say(alarm, "shelved", T0 + 60 * S, by="heron")
    log.say(log.alarm(rule="hr-high"), "expecting", T0 + 5 * S, by="heron")
    judged = log.alarm(rule="rr-high")
    log.say(judged, "closed", T0 + 7 * S, by="heron", state={"outcome": "dismissed"})
    told = log.burden()
    assert [(row.name, row.alarms, row.dismissed, row.answer.longest_s) for row in told.people] == [
        ("heron", 2, 1, 7),
        ("wren", 1, 0, 30),
    ]
    assert told.people[0].per_patient_day is None


def test_what_closes_by_itself_or_is_refused_is_no_answer(log):
    alarm = log.alarm()
    log.say(alarm, "command_refused", T0 + S, by="wren")
    log.say(alarm, "closed", T0 + 2 * S, state={"outcome": None})
    told = log.burden()
    assert (told.answer.answered, told.answer.unanswered, told.unjudged) == (0, 1, 1)
    assert told.answer.p50_s is None


def test_events_that_come_twice_change_nothing_and_an_alarm_without_its_beginning_is_left_out(log):
    log.alarm(answered_s=5, outcome="confirmed")
    once = log.burden()
    log.events += list(log.events)
    assert log.burden() == once
    log.say("a:hr-high:0", "worsened", T0 + S, priority=Priority.HIGH)
    assert log.burden() == once
    assert len(courses(log.events)) == 1


def test_an_alarm_counts_where_it_was_raised_and_its_answer_may_come_later(log):
    log.alarm(at_ns=T0 - 1)
    log.alarm(at_ns=T0 + DAY_NS)
    log.alarm(at_ns=T0 + DAY_NS - S, answered_s=600)
    told = log.burden()
    assert (told.paging, told.answer.p50_s) == (1, 600)


def test_the_worst_tenth_of_eleven_patients_are_two(log):
    """Ten alarms: five of k, three of c, one each of a and b; a tenth of eleven patients, rounded up, is two."""
    for patient in "kkkkkcccab":
        log.alarm(patient)
    worst = log.burden(patients="abcdefghijk").worst
    assert (worst.patients, worst.share) == (2, 0.8)
    assert [(row.name, row.paging, row.per_patient_day) for row in worst.rows] == [("k", 5, 5 / 11), ("c", 3, 3 / 11)]


def test_the_worst_of_nothing_has_no_share(log):
    worst = log.burden().worst
    assert (worst.patients, worst.share, worst.rows) == (1, None, ())


def test_the_budget_burns_over_the_last_hours_faster_than_over_the_day(log):
    """One patient, 24 h: 1 alarm in the last hour, 3 in the last six, 4 in all, a budget of 2 a day.

    24 a day is 12 times the budget, 12 a day (3 in a quarter of a day) 6 times, 4 a day twice.
    """
    for hour in (1, 18.5, 19, 23.5):
        log.alarm(at_ns=T0 + round(hour * HOUR_NS))
    assert log.burden(patients="a", budget=Budget(per_patient_day=2)).burn == (
        Burn(span_h=1, paging=1, per_patient_day=24, rate=12),
        Burn(span_h=6, paging=3, per_patient_day=12, rate=6),
        Burn(span_h=24, paging=4, per_patient_day=4, rate=2),
    )


def test_a_span_shorter_than_an_hour_burns_over_itself(log):
    log.alarm()
    (burn,) = log.burden(days=1 / 48, patients="a").burn
    assert (burn.span_h, burn.paging, burn.per_patient_day, burn.rate) == (0.5, 1, 48, 24)


def test_where_nobody_was_watched_there_is_no_rate(log):
    log.alarm()
    told = log.burden(patients="")
    assert (told.patients, told.patient_days, told.paging) == (0, 0, 1)
    assert (told.per_patient_day, told.false_per_patient_hour, told.burn[0].rate) == (None, None, None)


def test_only_the_time_within_the_span_was_watched(log):
    """Two hours at its beginning and one at its end; the six before and the one behind do not count."""
    h = HOUR_NS
    times = [(T0 - 6 * h, T0 + 2 * h), (T0 + 23 * h, T0 + 25 * h)]
    told = burden([], from_ns=T0, to_ns=T0 + DAY_NS, watched={"a": times, "b": [(0, T0)]})
    assert (told.patients, told.patient_days) == (1, 3 / 24)


def test_a_span_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="at or before its beginning"):
        burden([], from_ns=T0, to_ns=T0, watched={})
