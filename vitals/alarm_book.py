"""All alarms of one ward: which alarm an input is for, what falls due next, which commands were done already.

The book decides nothing about an alarm; `vitals.alarm.step` does. Its answers depend on what was said to it and on
nothing else: not on how often time was told, not on a snapshot in between, not on the order of a dict.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from vitals.alarm import refuse, step
from vitals.alarm_commands import GONE
from vitals.alarm_state import KEEP_CLOSED_NS, Alarm, Discharge, Due, Input, Signal, Value
from vitals.events import AlarmEvent
from vitals.log import Command
from vitals.rules import RULES, RULES_VERSION, Rule
from vitals.signs import Measure

Key: TypeAlias = tuple[str, str, str]
"""Patient, rule, device ("" unless the rule is per device): of these at most one alarm is open at a time."""

STATE_VERSION: Final = 1
KEEP_COMMANDS_NS: Final = KEEP_CLOSED_NS
"""How long the ids of commands are remembered, in ward time (site): longer than any page tries again."""


class BookError(ValueError):
    """A signal or a written state that makes no sense to this book."""


def key_of(alarm_id: str) -> Key | None:
    """The patient, rule and device in an alarm's name; None where it is not such a name."""
    patient, _, rest = alarm_id.partition(":")
    name, _, raised_ns = rest.rpartition(":")
    rule, _, device = name.partition("@")
    return (patient, rule, device) if patient and rule and raised_ns.isdecimal() else None


class Book:
    """All alarms of one ward; every method that changes something returns the events it made, in order.

    Attributes:
        watch_version: Changes whenever `watched` may have changed: compare it, and rebuild a mask only then.
    """

    def __init__(self, rules: Mapping[str, Rule] = RULES, *, version: str = RULES_VERSION) -> None:
        self.watch_version = 0
        self._rules = rules
        self._version = version
        self._alarms: dict[Key, Alarm] = {}
        self._of_patient: dict[str, set[Key]] = {}
        self._waiting: dict[tuple[str, Measure], set[Key]] = {}
        self._commands: dict[str, int] = {}  # id -> when it was done, oldest first
        # Next thing to fall due. Entries are never taken out of the middle: one that `_timer` disowns is skipped.
        self._heap: list[tuple[int, Key]] = []
        self._timer: dict[Key, int] = {}

    def signal(self, patient: str, rule: str, signal: Signal) -> list[AlarmEvent]:
        """A judge says something about a rule's condition for a patient.

        Raises:
            BookError: If there is no such rule, or the rule is per device and the signal names none.
        """
        row = self._rules.get(rule)
        if row is None:
            raise BookError(f"no rule {rule!r} in {self._version}")
        if row.per_device and not signal.device:
            raise BookError(f"{rule} is per device and the signal names none")
        return self._apply((patient, rule, signal.device if row.per_device else ""), signal)

    def value(self, patient: str, value: Value) -> list[AlarmEvent]:
        """A usable reading of a watched measure: goes to each alarm of the patient that waits for it."""
        keys = sorted(self._waiting.get((patient, value.measure), ()))
        return [event for key in keys for event in self._apply(key, value)]

    def command(self, command: Command, now_ns: int) -> list[AlarmEvent]:
        """A person says something; `now_ns` is the newest tick. The same command again does nothing."""
        self._forget_commands(now_ns)
        if command.command_id in self._commands:
            return []
        self._commands[command.command_id] = now_ns
        key = key_of(command.alarm_id)
        if key is None or key not in self._alarms or key[0] != command.patient:
            rule = self._rules.get(key[1]) if key else None
            return [refuse(command, now_ns, GONE, None, rule, self._version)]
        return self._apply(key, command, now_ns)

    def advance(self, now_ns: int) -> list[AlarmEvent]:
        """Time has come to `now_ns`: what fell due happens in time order, each at its own time."""
        events: list[AlarmEvent] = []
        while self._heap and self._heap[0][0] <= now_ns:
            due, key = heapq.heappop(self._heap)
            if self._timer.get(key) == due:
                del self._timer[key]
                events += self._apply(key, Due(at_ns=due))
        self._forget_commands(now_ns)
        return events

    def discharge(self, patient: str, by: str, now_ns: int) -> list[AlarmEvent]:
        """The patient is no longer watched: all its alarms close, in the name of who said so."""
        said = Discharge(at_ns=now_ns, by=by)
        return [event for key in sorted(self._of_patient.get(patient, ())) for event in self._apply(key, said)]

    def watching(self, patient: str, measure: Measure) -> bool:
        """Whether some alarm of the patient waits for readings of the measure."""
        return (patient, measure) in self._waiting

    def watched(self) -> list[tuple[str, Measure]]:
        """All pairs for which `watching` is true, sorted."""
        return sorted(self._waiting)

    def open_alarms(self, patient: str | None = None) -> list[Alarm]:
        """Alarms that are not closed, by patient, rule, device."""
        keys = self._alarms if patient is None else self._of_patient.get(patient, ())
        return [self._alarms[key] for key in sorted(keys) if not self._alarms[key].closed]

    def active(self, patient: str, rule: str, device: str = "") -> bool:
        """Whether an open alarm of the rule stands whose condition has not returned."""
        alarm = self._alarms.get((patient, rule, device))
        return alarm is not None and alarm.active and not alarm.closed

    def next_due_ns(self) -> int | None:
        """When `advance` next does something; None: never, as things are."""
        return min(self._timer.values(), default=None)

    def to_state(self) -> dict[str, Any]:
        """All of it as builtins (dict, list, str, int, float, bool, None), always in the same order."""
        return {
            "state_version": STATE_VERSION,
            "rules_version": self._version,
            "alarms": [msgspec.to_builtins(self._alarms[key]) for key in sorted(self._alarms)],
            "commands": [[name, at_ns] for name, at_ns in self._commands.items()],
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], rules: Mapping[str, Rule] = RULES, *, version: str = RULES_VERSION
    ) -> Book:
        """The book that `to_state` wrote down.

        Open alarms keep their names under a newer table of rules; their next events carry its version.

        Raises:
            BookError: If it was written in another form, or holds an alarm of a rule that is no more.
        """
        if state["state_version"] != STATE_VERSION:
            raise BookError(f"a book of form {state['state_version']}, this one reads form {STATE_VERSION}")
        book = cls(rules, version=version)
        for alarm in msgspec.convert(state["alarms"], list[Alarm]):
            if alarm.rule not in rules:
                raise BookError(f"{alarm.alarm_id}: no rule {alarm.rule!r} in {version}")
            book._put((alarm.patient, alarm.rule, alarm.device), alarm)
        book._commands = dict(state["commands"])
        return book

    def _apply(self, key: Key, said: Input, now_ns: int = 0) -> list[AlarmEvent]:
        before = self._alarms.get(key)
        rule = self._rules[key[1]]
        after, events = step(before, said, now_ns, rule, patient=key[0], version=self._version)
        if after is not before:
            self._put(key, after)
        return list(events)

    def _put(self, key: Key, alarm: Alarm | None) -> None:
        """Write an alarm down, and all that is looked up by."""
        if alarm is None:
            del self._alarms[key]
            self._timer.pop(key, None)
            of_patient = self._of_patient[key[0]]
            of_patient.discard(key)
            if not of_patient:
                del self._of_patient[key[0]]
            return  # it was closed: nothing waits for values
        self._alarms[key] = alarm
        self._of_patient.setdefault(key[0], set()).add(key)
        due = alarm.timer_ns()
        if due is None:
            self._timer.pop(key, None)
        elif self._timer.get(key) != due:
            self._timer[key] = due
            heapq.heappush(self._heap, (due, key))
        self._wait(key, alarm)

    def _wait(self, key: Key, alarm: Alarm) -> None:
        measure = self._rules[key[1]].measure
        if measure is None:
            return
        pair = (key[0], measure)
        keys = self._waiting.get(pair)
        if alarm.waits_for_values:
            if keys is None or key not in keys:
                self._waiting.setdefault(pair, set()).add(key)
                self.watch_version += 1
        elif keys is not None and key in keys:
            keys.discard(key)
            if not keys:
                del self._waiting[pair]
            self.watch_version += 1

    def _forget_commands(self, now_ns: int) -> None:
        while self._commands:
            oldest = next(iter(self._commands))
            if self._commands[oldest] + KEEP_COMMANDS_NS > now_ns:
                return
            del self._commands[oldest]
