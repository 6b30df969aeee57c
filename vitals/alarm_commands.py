"""What people may say about an alarm, and when they are told no."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from vitals.alarm_machine import Machine
from vitals.alarm_state import Alarm, Attention, Expectation, Facts, Shelf
from vitals.events import AlarmEvent, Kind, Priority
from vitals.log import Command
from vitals.rules import RULES_VERSION, Rule
from vitals.signs import HOUR_NS, MINUTE_NS

_replace = msgspec.structs.replace

GONE: Final = "no open alarm of this name: it has closed, or there never was one"


def refuse(
    command: Command, now_ns: int, reason: str, alarm: Alarm | None, rule: Rule | None, version: str = RULES_VERSION
) -> AlarmEvent:
    """The answer to a command that can't be done: an event of its own, so that the person is told."""
    alarm_id = f"{command.patient}:command:{command.command_id}"
    state: Facts = {"alarm_id": command.alarm_id, "action": command.action}
    priority = Priority.LOW
    if alarm is not None and rule is not None and alarm.alarm_id == command.alarm_id:
        state |= {"n": alarm.n} | alarm.facts()
        priority = rule.priority(alarm.peak)
    return AlarmEvent(
        event_id=f"{alarm_id}:1",
        alarm_id=alarm_id,
        n=1,
        patient=command.patient,
        rule=rule.id if rule else "",
        rule_version=version,
        kind=rule.kind if rule else Kind.TECHNICAL,
        priority=priority,
        event="command_refused",
        at_ns=now_ns,
        cause=reason,
        by=command.by,
        command_id=command.command_id,
        state=state,
    )


def obey(machine: Machine, command: Command, now_ns: int) -> None:
    """Do what a command says, or say why not."""
    alarm = machine.alarm
    if alarm is None or alarm.alarm_id != command.alarm_id or alarm.patient != command.patient:
        _no(machine, command, now_ns, GONE)
        return
    reason = _why_not(alarm, machine.rule, command, now_ns)
    if reason:
        _no(machine, command, now_ns, reason)
        return
    match command.action:
        case "acknowledge":
            _acknowledge(machine, alarm, command, now_ns)
        case "shelve":
            _shelve(machine, alarm, command, now_ns)
        case "unshelve":
            cause = f"unshelved by {command.by}"
            machine.unshelve(alarm, now_ns, cause, command=command)
        case "expect":
            _expect(machine, alarm, command, now_ns)
        case "resolve":
            cause = f"{command.outcome} by {command.by}"
            machine.close(alarm, now_ns, cause, command.outcome or "", command=command)
        case _:
            assert_never(command.action)


def _no(machine: Machine, command: Command, now_ns: int, reason: str) -> None:
    machine.events.append(refuse(command, now_ns, reason, machine.alarm, machine.rule, machine.version))


def _why_not(alarm: Alarm, rule: Rule, command: Command, now_ns: int) -> str:
    """Why a command about an alarm can't be done; "" where it can."""
    if alarm.closed:
        return f"closed by {alarm.closed_by}" if alarm.closed_by else "it has closed"
    # Bringing an alarm back to the phone is never the wrong answer to something worse.
    if command.action != "unshelve" and command.seen is not None and command.seen < alarm.told_worse_n:
        return "it has become worse since it was seen: look again"
    match command.action:
        case "acknowledge":
            return ""
        case "shelve":
            return _why_no_shelf(alarm, rule, command, now_ns)
        case "unshelve":
            return "" if alarm.shelf else "it is not shelved"
        case "expect":
            return _why_no_expectation(alarm, rule, command)
        case "resolve":
            return "" if command.outcome else "an outcome is needed: confirmed, dismissed or duplicate"
        case _:
            assert_never(command.action)


def _why_no_bound(rule: Rule, command: Command) -> str:
    if (command.bound is None) != (command.direction is None):
        return "a bound and its direction go together"
    if command.bound is not None and rule.measure is None:
        return f"{rule.id} is about no single measure: a bound means nothing here"
    return ""


def _why_no_shelf(alarm: Alarm, rule: Rule, command: Command, now_ns: int) -> str:
    if not rule.shelvable:
        return f"{rule.id} cannot be shelved"
    if rule.on_floor_list and rule.priority(alarm.peak) is Priority.HIGH:
        return f"{rule.id} cannot be shelved at high priority"
    if not command.reason.strip():
        return "a shelf needs a reason"
    if command.until_ns is None or command.until_ns <= now_ns:
        return "a shelf needs an end that lies ahead"
    return _why_no_bound(rule, command)


def _why_no_expectation(alarm: Alarm, rule: Rule, command: Command) -> str:
    if rule.momentary:
        return f"{rule.id} is about what is over: nothing can be expected of it"
    if command.within_ns is None or command.within_ns <= 0:
        return "an expectation needs a time within which it is to be met"
    if command.bound is None and not alarm.active:
        return "it has returned already"
    return _why_no_bound(rule, command)


def _span(length_ns: int) -> str:
    """A length of time in words: ``90 min``, ``2 h``."""
    if length_ns >= 2 * HOUR_NS and length_ns % HOUR_NS == 0:
        return f"{length_ns // HOUR_NS} h"
    if length_ns >= MINUTE_NS:
        return f"{length_ns // MINUTE_NS} min"
    return f"{length_ns / 1e9:g} s"


def _acknowledge(machine: Machine, alarm: Alarm, command: Command, now_ns: int) -> None:
    until = now_ns + machine.rule.ack_ns[machine.rule.priority(alarm.peak)]
    if alarm.expectation:
        # Whoever expects something has it in hand until then; an acknowledgement must not end earlier.
        until = max(until, alarm.expectation.until_ns)
    given = Attention(by=command.by, at_ns=now_ns, until_ns=until, level=alarm.standing)
    cause = f"acknowledged by {command.by} for {_span(until - now_ns)}"
    alarm = machine.tell(_replace(alarm, attention=given), "acknowledged", now_ns, cause, command=command)
    machine.settle(alarm, now_ns, command=command)


def _shelve(machine: Machine, alarm: Alarm, command: Command, now_ns: int) -> None:
    asked = command.until_ns or now_ns
    until = min(asked, now_ns + machine.rule.shelf_max_ns)
    shelf = Shelf(
        by=command.by,
        reason=command.reason,
        at_ns=now_ns,
        until_ns=until,
        level=alarm.standing,
        bound=command.bound,
        direction=command.direction,
    )
    capped = ", the longest this rule allows" if until < asked else ""
    cause = f"shelved by {command.by} for {_span(until - now_ns)}{capped}: {command.reason}"
    machine.tell(_replace(alarm, shelf=shelf), "shelved", now_ns, cause, command=command)


def _expect(machine: Machine, alarm: Alarm, command: Command, now_ns: int) -> None:
    asked = command.within_ns or 0
    within = min(asked, machine.rule.expect_max_ns[machine.rule.priority(alarm.peak)])
    expected = Expectation(
        by=command.by,
        reason=command.reason,
        at_ns=now_ns,
        until_ns=now_ns + within,
        level=alarm.standing,
        bound=command.bound,
        direction=command.direction,
    )
    # Whoever says what is to come has looked: the same claim as an acknowledgement, until it is met or missed.
    given = Attention(by=command.by, at_ns=now_ns, until_ns=expected.until_ns, level=alarm.standing)
    what = "a return to normal"
    if command.bound is not None and machine.rule.measure is not None:
        side = "at least" if command.direction == "above" else "at most"
        what = f"{machine.rule.measure.label} {side} {command.bound:g}"
    capped = ", the longest this rule allows" if within < asked else ""
    why = f": {command.reason}" if command.reason else ""
    cause = f"{command.by} expects {what} within {_span(within)}{capped}{why}"
    alarm = _replace(alarm, expectation=expected, attention=given)
    machine.tell(alarm, "expecting", now_ns, cause, command=command)
