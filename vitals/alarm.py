"""The machine of one alarm: a state and what is said to it give the next state and the events. A pure function.

```
   judges -- Raise Level Return Silent Heard Value --+
   people -- Command -------------------------------+--> step --> the next Alarm, and AlarmEvents
   time   -- Due -----------------------------------+
```

Four facts move independently (condition, observation, attention, shelf); an expectation is a promise beside them.
What fell due before the instant of an input happens first, each at its own time: so the events do not depend on how
often the time was told. A signal may be a little older than a command before it (readings come late within the
allowed lateness); its events carry its own time, and `n` says the order in which the machine decided.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from vitals.alarm_commands import obey, refuse
from vitals.alarm_machine import Machine, passes
from vitals.alarm_state import (
    KEEP_CLOSED_NS,
    Alarm,
    Attention,
    Discharge,
    Due,
    Expectation,
    Heard,
    Input,
    Level,
    Raise,
    Return,
    Shelf,
    Signal,
    Silent,
    Value,
)
from vitals.events import AlarmEvent, Evidence
from vitals.log import Command
from vitals.rules import RULES_VERSION, Rule

__all__ = [
    "KEEP_CLOSED_NS",
    "Alarm",
    "Attention",
    "Discharge",
    "Due",
    "Expectation",
    "Heard",
    "Input",
    "Level",
    "Raise",
    "Return",
    "Shelf",
    "Signal",
    "Silent",
    "Value",
    "event_time",
    "refuse",
    "step",
]

_replace = msgspec.structs.replace


def step(
    alarm: Alarm | None, said: Input, now_ns: int, rule: Rule, *, patient: str = "", version: str = RULES_VERSION
) -> tuple[Alarm | None, tuple[AlarmEvent, ...]]:
    """What one input does to one alarm.

    Example: an alarm of `spo2-low` is acknowledged at 12:00 at medium priority, so until 12:30. A `Due` of 12:40 gives
    `acknowledgement_expired` at 12:30, as a `Due` of 12:30 and one of 12:40 would.

    Args:
        alarm: The newest alarm of this rule and patient (and device), closed or not; None where there is none.
        said: A signal, a command, a discharge, or that time has come to an instant.
        now_ns: Ward time, for commands; everything else carries its own time.
        rule: The rule of the alarm.
        patient: Whose alarm it is; needed where `alarm` is None.
        version: Of the table the rule stands in.

    Returns:
        The alarm afterwards, None where nothing need be remembered; and the events in order.
    """
    machine = Machine(alarm, rule, patient, version)
    at_ns = now_ns if isinstance(said, Command) else event_time(said)
    machine.expire(at_ns)
    match said:
        case Raise() | Level():
            _condition_true(machine, said, at_ns)
        case Return():
            _condition_false(machine, said, at_ns)
        case Silent():
            _silent(machine, said)
        case Heard():
            _heard(machine, at_ns, said.evidence)
        case Value():
            _value(machine, said)
        case Command():
            obey(machine, said, now_ns)
        case Discharge():
            _discharge(machine, said)
        case Due():
            pass
        case _:
            assert_never(said)
    return machine.alarm, tuple(machine.events)


def event_time(said: Signal | Due | Discharge) -> int:
    """The instant of an input: its own, and never before the evidence it names."""
    if isinstance(said, Value):
        return said.time_ns
    if isinstance(said, (Raise, Level, Return, Heard)) and said.evidence:
        return max(said.at_ns, *(e.time_ns for e in said.evidence))
    return said.at_ns


def _hear(machine: Machine, alarm: Alarm, at_ns: int, evidence: tuple[Evidence, ...]) -> Alarm:
    """Readings are back, whether a judge said so or only sent what it made of them."""
    if alarm.observed:
        return alarm
    alarm = _replace(alarm, observed=True, unobserved_since_ns=None)
    return machine.tell(alarm, "observed", at_ns, "readings are back", evidence=evidence)


def _condition_true(machine: Machine, said: Raise | Level, at_ns: int) -> None:
    """The condition is true: a new alarm, a recurrence, something worse, or nothing new."""
    alarm = machine.alarm
    if alarm is None or (alarm.closed and alarm.refractory_until_ns is None):
        machine.begin(said, at_ns)
        return
    level = min(max(said.level, 1), len(machine.rule.bands))
    if alarm.closed:
        # Somebody closed it in sight of its level: only something worse may raise before the refractory time.
        if level > alarm.closed_level:
            machine.begin(said, at_ns)
        else:
            machine.alarm = _replace(
                alarm, level=level, evidence=said.evidence, score=said.score, observed=True, unobserved_since_ns=None
            )
        return
    alarm = _hear(machine, alarm, at_ns, said.evidence)
    given = (alarm.attention, alarm.shelf, alarm.expectation)
    broken = any(g is not None and level > g.level for g in given)
    returned = not alarm.active
    if not returned and not broken and level <= alarm.peak:
        machine.alarm = _replace(alarm, level=level, evidence=said.evidence, score=said.score)
        return
    unattended = not any(given)
    alarm = _replace(
        alarm,
        active=not machine.rule.momentary,
        level=level,
        peak=max(level, alarm.peak),
        attention=alarm.attention if alarm.attention and level <= alarm.attention.level else None,
        shelf=alarm.shelf if alarm.shelf and level <= alarm.shelf.level else None,
        expectation=alarm.expectation if alarm.expectation and level <= alarm.expectation.level else None,
        told_worse_n=alarm.n + 1,
        evidence=said.evidence,
        score=said.score,
    )
    alarm = _replace(alarm, answer_due_ns=machine.answer_due(alarm, at_ns, anew=not unattended))
    machine.tell(alarm, "recurred" if returned else "worsened", at_ns, said.cause or machine.rule.words, said=said)


def _condition_false(machine: Machine, said: Return, at_ns: int) -> None:
    """The condition is false on fresh readings; what is owed to nobody any more closes."""
    alarm = machine.alarm
    if alarm is None:
        return
    if alarm.closed:
        machine.alarm = _replace(alarm, active=False, refractory_until_ns=None, evidence=(), score=None)
        return
    alarm = _hear(machine, alarm, at_ns, said.evidence)
    if not alarm.active:
        return
    alarm = _replace(alarm, active=False, evidence=said.evidence, score=said.score)
    alarm = machine.tell(alarm, "returned", at_ns, said.cause or "back to normal on fresh readings", said=said)
    expected = alarm.expectation
    if expected is not None and expected.bound is None:
        machine.close(alarm, at_ns, f"returned, as {expected.by} expected", "expectation-met", evidence=said.evidence)
    else:
        machine.settle(alarm, at_ns, evidence=said.evidence)


def _silent(machine: Machine, said: Silent) -> None:
    """Absence changes the observation and nothing else."""
    alarm = machine.alarm
    if alarm is None or not alarm.observed:
        return
    alarm = _replace(alarm, observed=False, unobserved_since_ns=said.since_ns)
    if alarm.closed:
        machine.alarm = alarm
    else:
        machine.tell(alarm, "unobserved", said.at_ns, said.cause or "its readings have stopped or lost their quality")


def _heard(machine: Machine, at_ns: int, evidence: tuple[Evidence, ...]) -> None:
    """Readings are back; what they say comes as a signal of its own."""
    alarm = machine.alarm
    if alarm is None or alarm.observed:
        return
    if not alarm.closed:
        _hear(machine, alarm, at_ns, evidence)
        return
    # The condition is judged anew before it may raise again: through its delay, as at first.
    until = alarm.refractory_until_ns
    until = None if until is None else max(until, at_ns + machine.rule.delay_ns)
    machine.alarm = _replace(alarm, observed=True, unobserved_since_ns=None, refractory_until_ns=until)


def _value(machine: Machine, said: Value) -> None:
    """A reading that somebody waits for: it may meet an expectation, or break a shelf."""
    alarm = machine.alarm
    if alarm is None or said.measure != machine.rule.measure or not alarm.waits_for_values:
        return
    evidence = (
        Evidence(
            sign=said.sign or said.measure.name.lower(), value=said.value, time_ns=said.time_ns, device=said.device
        ),
    )
    expected = alarm.expectation
    if expected and said.time_ns > expected.at_ns and passes(said.value, expected.bound, expected.direction):
        alarm = _hear(machine, alarm, said.time_ns, evidence)
        cause = f"{said.measure.label} {said.value:g}, as {expected.by} expected"
        machine.close(alarm, said.time_ns, cause, "expectation-met", evidence=evidence)
        return
    shelf = alarm.shelf
    if shelf and passes(said.value, shelf.bound, shelf.direction):
        alarm = _hear(machine, alarm, said.time_ns, evidence)
        side = "at or above" if shelf.direction == "above" else "at or below"
        cause = f"{said.measure.label} {said.value:g} {side} the bound {shelf.bound:g} of {shelf.by}'s shelf"
        machine.unshelve(alarm, said.time_ns, cause, evidence=evidence)


def _discharge(machine: Machine, said: Discharge) -> None:
    """The patient is no longer watched: named, and not a claim of health."""
    alarm = machine.alarm
    if alarm is None:
        return
    if alarm.closed:
        machine.alarm = _replace(alarm, refractory_until_ns=None, evidence=(), score=None)
        return
    machine.close(alarm, said.at_ns, f"discharged by {said.by}", "discharged", by=said.by, gone=True)
