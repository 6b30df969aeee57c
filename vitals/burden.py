"""The burden of alarms on people: how many, how many for nothing, how long until somebody answers. Pure.

One definition for the live page, for weeks out of a store and for the command line. Alarms about ourselves and of the
test patient are left out. An alarm *pages* when it reached medium priority or above; it is *answered* when somebody
first acknowledges, shelves, expects or resolves it; what nobody judged is counted as such and never as right.

Time to answer counts from when the alarm was raised (event time), so that our own delays are in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from vitals.events import PRIORITY_RANK, AlarmEvent, Priority
from vitals.signs import HOUR_NS, SECOND_NS
from vitals.topics import clinical

DAY_NS: Final = 24 * HOUR_NS
ANSWERS: Final = frozenset({"acknowledged", "shelved", "expecting"})
SPANS_H: Final = (1.0, 6.0, 24.0, 168.0)
"""Hours over which the budget's burn is told: a page that looks at one alone cries wolf or sleeps."""
OUTCOMES: Final = frozenset({"confirmed", "dismissed", "duplicate"})
Watched: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]
"""Patient -> when they were watched: first instants and first instants after, that do not overlap."""
_MEDIUM: Final = PRIORITY_RANK[Priority.MEDIUM]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a ward has decided to bear. Numbers are a site's; the default is no recommendation.

    Attributes:
        per_patient_day: Paging alarms for each patient and day.
        period_h: Over which it is to hold.
    """

    per_patient_day: float = 2.0
    period_h: float = 168.0


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Time until somebody answered.

    Attributes:
        answered: How many alarms were.
        unanswered: How many were not: still open, or over before anybody looked.
        p50_s: Seconds that half of those answered took at most; None where none was.
        p90_s: Likewise nine tenths.
        longest_s: The longest of them.
    """

    answered: int
    unanswered: int
    p50_s: float | None = None
    p90_s: float | None = None
    longest_s: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The burden of one rule, patient or person.

    Attributes:
        name: Of what.
        alarms: Raised. For a person: that they were the first to answer.
        paging: Of those, that paged.
        per_patient_day: Paging alarms for each patient and day; None for a person.
        confirmed: Of those, that somebody called real.
        dismissed: Of those, that somebody called false.
        answer: How long it took.
    """

    name: str
    alarms: int
    paging: int
    per_patient_day: float | None
    confirmed: int
    dismissed: int
    answer: Times


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """The tenth of the patients (rounded up) that make most of the paging alarms.

    Attributes:
        patients: How many they are.
        share: Which part of all paging alarms is theirs, 0..1; None where there is none.
        rows: Those patients, most first.
    """

    patients: int
    share: float | None
    rows: tuple[Row, ...]


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a budget is used, over a span that ends with the whole one.

    Attributes:
        span_h: Hours.
        paging: Paging alarms in it.
        per_patient_day: Their rate.
        rate: 1 uses the budget up exactly at the end of its period, 2 in half of it; None where nobody was watched.
    """

    span_h: float
    paging: int
    per_patient_day: float | None
    rate: float | None


class Burden(msgspec.Struct, frozen=True, kw_only=True):
    """The burden over a span.

    Attributes:
        from_ns: First instant.
        to_ns: First instant after it.
        patients: Who were watched.
        patient_days: For how long, together.
        alarms: Raised in the span, by priority (the highest they had).
        paging: Of those, medium and high.
        per_patient_day: Of paging ones; None where nobody was watched.
        confirmed: Of the raised, called real.
        dismissed: Called false.
        duplicate: Called the same as another.
        unjudged: Of the paging ones, that nobody judged.
        false_per_patient_hour: Dismissed ones; a lower bound while `unjudged` is above 0. None: nobody watched.
        answer: Time to answer of the paging ones.
        rules: By rule, most paging first.
        people: By who answered first, most first.
        worst: The patients that make most.
        budget: What was decided.
        burn: How fast it is used.
    """

    from_ns: int
    to_ns: int
    patients: int
    patient_days: float
    alarms: dict[str, int]
    paging: int
    per_patient_day: float | None
    confirmed: int
    dismissed: int
    duplicate: int
    unjudged: int
    false_per_patient_hour: float | None
    answer: Times
    rules: tuple[Row, ...]
    people: tuple[Row, ...]
    worst: Worst
    budget: Budget
    burn: tuple[Burn, ...]


class Course(msgspec.Struct, kw_only=True):
    """What one alarm came to.

    Attributes:
        alarm_id: Which.
        patient: Whose.
        rule: Of which rule.
        raised_ns: When it was raised.
        priority: The highest it had.
        answered_ns: When somebody first answered; None: nobody has.
        by: Who.
        outcome: ``confirmed``, ``dismissed``, ``duplicate``; "" where nobody judged it.
    """

    alarm_id: str
    patient: str
    rule: str
    raised_ns: int
    priority: Priority
    answered_ns: int | None = None
    by: str = ""
    outcome: str = ""

    @property
    def paging(self) -> bool:
        """Whether it was for the phone."""
        return PRIORITY_RANK[self.priority] >= _MEDIUM


def courses(events: Iterable[AlarmEvent]) -> list[Course]:
    """What the alarms of some events came to, in the order in which they were raised.

    Repeated events change nothing. An alarm whose beginning is not among the events is left out: when it was raised
    stands in its name, but how bad it was before is not known.
    """
    found: dict[str, Course] = {}
    for event in events:
        if not clinical(event.patient) or event.event == "command_refused":
            continue
        course = found.get(event.alarm_id)
        if course is None:
            if event.event != "raised":
                continue
            course = found[event.alarm_id] = Course(
                alarm_id=event.alarm_id,
                patient=event.patient,
                rule=event.rule,
                raised_ns=event.at_ns,
                priority=event.priority,
            )
        if PRIORITY_RANK[event.priority] > PRIORITY_RANK[course.priority]:
            course.priority = event.priority
        said = event.state.get("outcome") if event.event == "closed" else None
        outcome = said if isinstance(said, str) and said in OUTCOMES else ""
        if event.by and (event.event in ANSWERS or outcome) and _sooner(event.at_ns, course.answered_ns):
            course.answered_ns, course.by = event.at_ns, event.by
        if outcome:
            course.outcome = outcome
    return sorted(found.values(), key=lambda course: (course.raised_ns, course.alarm_id))


def _sooner(at_ns: int, than_ns: int | None) -> bool:
    return than_ns is None or at_ns < than_ns


def burden(
    events: Iterable[AlarmEvent], *, from_ns: int, to_ns: int, watched: Watched, budget: Budget | None = None
) -> Burden:
    """The burden of the alarms that were raised within a span.

    Example: two patients watched for a day each, three medium alarms, one of them dismissed: 1.5 paging alarms for each
    patient and day, 1/48 false alarms for each patient and hour; with a budget of 2 it burns at 0.75.

    Args:
        events: Of the span, and after it as far as they are known (an answer may come later). Any order of alarms,
            those of one alarm in theirs.
        from_ns: First instant.
        to_ns: First instant after it.
        watched: When each patient was watched; what lies outside of the span does not count.
        budget: What a ward has decided to bear; None takes `Budget`'s own numbers.

    Raises:
        ValueError: If the span ends before it begins.
    """
    if to_ns <= from_ns:
        raise ValueError(f"the span ends at {to_ns}, at or before its beginning {from_ns}")
    budget = budget or Budget()
    lengths = {name: _within(times, from_ns, to_ns) for name, times in watched.items() if clinical(name)}
    there = [name for name, length in lengths.items() if length > 0]
    days = sum(lengths.values()) / DAY_NS
    mine = [course for course in courses(events) if from_ns <= course.raised_ns < to_ns]
    paging = [course for course in mine if course.paging]
    dismissed = sum(course.outcome == "dismissed" for course in mine)
    return Burden(
        from_ns=from_ns,
        to_ns=to_ns,
        patients=len(there),
        patient_days=days,
        alarms={p.value: sum(course.priority is p for course in mine) for p in reversed(Priority)},
        paging=len(paging),
        per_patient_day=_rate(len(paging), days),
        confirmed=sum(course.outcome == "confirmed" for course in mine),
        dismissed=dismissed,
        duplicate=sum(course.outcome == "duplicate" for course in mine),
        unjudged=sum(not course.outcome for course in paging),
        false_per_patient_hour=_rate(dismissed, 24 * days),
        answer=times(paging),
        rules=_rows(mine, lambda course: course.rule, days),
        people=_rows([course for course in mine if course.by], lambda course: course.by, None),
        worst=_worst(mine, there, days),
        budget=budget,
        burn=tuple(_burn(paging, hours, to_ns, watched, budget) for hours in _spans(from_ns, to_ns)),
    )


def times(found: Sequence[Course]) -> Times:
    """How long some alarms waited for an answer."""
    took = sorted((c.answered_ns - c.raised_ns) / SECOND_NS for c in found if c.answered_ns is not None)
    if not took:
        return Times(answered=0, unanswered=len(found))
    return Times(
        answered=len(took),
        unanswered=len(found) - len(took),
        p50_s=percentile(took, 50),
        p90_s=percentile(took, 90),
        longest_s=took[-1],
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that `percent` of the values do not pass (as `vitals.hops.Histogram`); they come in order."""
    return ordered[max(math.ceil(round(percent / 100 * len(ordered), 6)), 1) - 1]


def _rate(count: int, per: float) -> float | None:
    return count / per if per > 0 else None


def _rows(found: Sequence[Course], name: Callable[[Course], str], days: float | None) -> tuple[Row, ...]:
    groups: dict[str, list[Course]] = {}
    for course in found:
        groups.setdefault(name(course), []).append(course)
    rows = [_row(key, group, days) for key, group in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-row.paging, -row.alarms, row.name)))


def _row(name: str, group: Sequence[Course], days: float | None) -> Row:
    paging = [course for course in group if course.paging]
    return Row(
        name=name,
        alarms=len(group),
        paging=len(paging),
        per_patient_day=None if days is None else _rate(len(paging), days),
        confirmed=sum(course.outcome == "confirmed" for course in group),
        dismissed=sum(course.outcome == "dismissed" for course in group),
        answer=times(paging),
    )


def _worst(found: Sequence[Course], watched: Iterable[str], days: float) -> Worst:
    names = {*watched, *(course.patient for course in found)}
    count = math.ceil(len(names) / 10)
    rows = _rows([course for course in found if course.paging], lambda course: course.patient, days)[:count]
    total = sum(course.paging for course in found)
    return Worst(patients=count, share=_rate(sum(row.paging for row in rows), total), rows=rows)


def _spans(from_ns: int, to_ns: int) -> list[float]:
    """The spans that lie within the whole, and the whole where it is shorter than all."""
    whole = (to_ns - from_ns) / HOUR_NS
    return [hours for hours in SPANS_H if hours <= whole] or [whole]


def _burn(paging: Sequence[Course], hours: float, to_ns: int, watched: Watched, budget: Budget) -> Burn:
    since_ns = to_ns - round(hours * HOUR_NS)
    count = sum(course.raised_ns >= since_ns for course in paging)
    days = sum(_within(times, since_ns, to_ns) for name, times in watched.items() if clinical(name)) / DAY_NS
    rate = _rate(count, days)
    return Burn(
        span_h=hours,
        paging=count,
        per_patient_day=rate,
        rate=None if rate is None else rate / budget.per_patient_day,
    )


def _within(times: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> int:
    return sum(max(0, min(end, to_ns) - max(start, from_ns)) for start, end in times)
