"""What every step of an alarm is made of: telling an event, closing, and what falls due by itself.

Used by `vitals.alarm` and `vitals.alarm_commands` alone.
"""

from __future__ import annotations

import msgspec

from vitals.alarm_state import Alarm, Direction, Expectation, Facts, Level, Raise, Return
from vitals.events import AlarmEvent, EventName, Evidence, ScoreEvidence
from vitals.log import Command
from vitals.rules import Rule
from vitals.signs import MINUTE_NS

_replace = msgspec.structs.replace


def passes(value: float, bound: float | None, direction: Direction | None) -> bool:
    """Whether a value lies on the named side of a bound; the bound itself does."""
    if bound is None or direction is None:
        return False
    return value >= bound if direction == "above" else value <= bound


class Machine:
    """One step being taken: the alarm so far and the events so far."""

    def __init__(self, alarm: Alarm | None, rule: Rule, patient: str, version: str) -> None:
        self.alarm = alarm
        self.rule = rule
        self.patient = alarm.patient if alarm else patient
        self.version = version
        self.events: list[AlarmEvent] = []

    def tell(
        self,
        alarm: Alarm,
        event: EventName,
        at_ns: int,
        cause: str,
        *,
        said: Raise | Level | Return | None = None,
        command: Command | None = None,
        by: str = "",
        evidence: tuple[Evidence, ...] = (),
        score: ScoreEvidence | None = None,
        also: Facts | None = None,
    ) -> Alarm:
        """Make the next event of an alarm, whose state is already what it is after the event."""
        alarm = _replace(alarm, n=alarm.n + 1)
        self.alarm = alarm
        self.events.append(
            AlarmEvent(
                event_id=f"{alarm.alarm_id}:{alarm.n}",
                alarm_id=alarm.alarm_id,
                n=alarm.n,
                patient=alarm.patient,
                rule=alarm.rule,
                rule_version=self.version,
                kind=self.rule.kind,
                priority=self.rule.priority(alarm.peak),
                event=event,
                at_ns=at_ns,
                cause=cause,
                by=by or (command.by if command else ""),
                command_id=command.command_id if command else "",
                level=alarm.level,
                evidence=said.evidence if said else evidence,
                score=said.score if said else score,
                device=alarm.device or (said.device if said else ""),
                delayed=said.delayed if said else False,
                due_ns=alarm.due_ns(),
                state=alarm.facts() | (also or {}),
            )
        )
        return alarm

    def close(
        self,
        alarm: Alarm,
        at_ns: int,
        cause: str,
        outcome: str,
        *,
        command: Command | None = None,
        by: str = "",
        evidence: tuple[Evidence, ...] = (),
        gone: bool = False,
    ) -> None:
        """Close it; what closes while its condition holds may raise again, but not at once."""
        also: Facts = {"outcome": outcome}
        if command and command.note:
            also["note"] = command.note
        holds = alarm.active and not gone
        alarm = _replace(
            alarm,
            closed=True,
            closed_ns=at_ns,
            closed_by=by or (command.by if command else ""),
            closed_level=alarm.standing,
            refractory_until_ns=at_ns + self.rule.refractory_ns if holds else None,
        )
        alarm = self.tell(alarm, "closed", at_ns, cause, command=command, by=by, evidence=evidence, also=also)
        self.alarm = _replace(
            alarm,
            attention=None,
            shelf=None,
            expectation=None,
            evidence=alarm.evidence if holds else (),
            score=alarm.score if holds else None,
        )

    def settle(
        self, alarm: Alarm, at_ns: int, *, command: Command | None = None, evidence: tuple[Evidence, ...] = ()
    ) -> None:
        """Close it where nothing more is owed: returned, nothing expected, and acknowledged if it must be."""
        if alarm.active or alarm.expectation:
            return
        if not alarm.latched:
            self.close(alarm, at_ns, "returned", "returned", command=command, evidence=evidence)
        elif alarm.attention:
            cause = f"returned, and acknowledged by {alarm.attention.by}"
            by = alarm.attention.by
            self.close(alarm, at_ns, cause, "returned", command=command, by=by, evidence=evidence)

    def answer_due(self, alarm: Alarm, at_ns: int, *, anew: bool) -> int:
        """By when somebody must look. An answer that is owed already is never put off."""
        due = at_ns + self.rule.answer_within_ns[self.rule.priority(alarm.peak)]
        return due if anew else min(due, alarm.answer_due_ns)

    def expire(self, now_ns: int) -> None:
        """Let happen what fell due up to now, in time order."""
        while self.alarm is not None:
            due = self.alarm.timer_ns()
            if due is None or due > now_ns:
                return
            self.fall_due(self.alarm, due)

    def fall_due(self, alarm: Alarm, at_ns: int) -> None:
        """The one thing that falls due at an instant; of several at one instant the one that asks for most."""
        if alarm.closed:
            if alarm.refractory_until_ns is None:
                self.alarm = None
            else:
                minutes = (at_ns - alarm.closed_ns) // MINUTE_NS
                whom = f"{alarm.closed_by} closed it" if alarm.closed_by else "it was closed"
                known = tuple(e for e in alarm.evidence if e.time_ns <= at_ns)
                cause = f"still so {minutes} min after {whom}"
                again = Raise(
                    at_ns=at_ns,
                    cause=cause,
                    level=alarm.level,
                    evidence=known,
                    score=alarm.score,
                    device=alarm.device,
                )
                self.begin(again, at_ns)
        elif alarm.expectation and alarm.expectation.until_ns == at_ns:
            self.expectation_missed(alarm, alarm.expectation, at_ns)
        elif alarm.attention and alarm.attention.until_ns == at_ns:
            cause = f"the acknowledgement by {alarm.attention.by} has run out"
            due = self.answer_due(alarm, at_ns, anew=True)
            self.tell(_replace(alarm, attention=None, answer_due_ns=due), "acknowledgement_expired", at_ns, cause)
        elif alarm.shelf:
            self.unshelve(alarm, at_ns, f"the shelf of {alarm.shelf.by} has ended")

    def expectation_missed(self, alarm: Alarm, expected: Expectation, at_ns: int) -> None:
        """Raise it again, whatever was acknowledged or shelved meanwhile, and hold it until somebody looks."""
        what = f"expected by {expected.by}"
        if expected.bound is not None and self.rule.measure is not None:
            side = "at least" if expected.direction == "above" else "at most"
            what = f"{self.rule.measure.label} {side} {expected.bound:g}, {what}"
        else:
            what = f"a return to normal, {what}"
        nothing = "" if alarm.observed else "; nothing was observed"
        alarm = _replace(
            alarm,
            attention=None,
            shelf=None,
            expectation=None,
            latched=True,
            told_worse_n=alarm.n + 1,
            answer_due_ns=self.answer_due(alarm, at_ns, anew=True),
        )
        known = tuple(e for e in alarm.evidence if e.time_ns <= at_ns)
        self.tell(alarm, "raised", at_ns, f"not met in time: {what}{nothing}", evidence=known)

    def unshelve(
        self,
        alarm: Alarm,
        at_ns: int,
        cause: str,
        *,
        command: Command | None = None,
        evidence: tuple[Evidence, ...] = (),
    ) -> Alarm:
        """Bring it back to the phone, unless somebody has acknowledged it."""
        due = self.answer_due(alarm, at_ns, anew=True)
        alarm = _replace(alarm, shelf=None, answer_due_ns=due)
        return self.tell(alarm, "unshelved", at_ns, cause, command=command, evidence=evidence)

    def begin(self, said: Raise | Level, at_ns: int) -> None:
        """A new alarm, named by the instant it was raised; never by the name of the one before it."""
        before = self.alarm
        raised_ns = at_ns if before is None else max(at_ns, before.raised_ns + 1)
        level = min(max(said.level, 1), len(self.rule.bands))
        alarm = Alarm(
            patient=self.patient,
            rule=self.rule.id,
            device=said.device if self.rule.per_device else "",
            raised_ns=raised_ns,
            answer_due_ns=at_ns + self.rule.answer_within_ns[self.rule.priority(level)],
            active=not self.rule.momentary,
            level=level,
            peak=level,
            latched=self.rule.latched,
            evidence=said.evidence,
            score=said.score,
        )
        self.tell(alarm, "raised", at_ns, said.cause or self.rule.words, said=said)
