"""All alarms of one ward. Signatures; the code follows within the half hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitals.alarm_state import Alarm, Signal, Value
from vitals.events import AlarmEvent
from vitals.log import Command
from vitals.rules import RULES, RULES_VERSION, Rule
from vitals.signs import Measure


class Book:
    """All alarms of one ward; every method returns the events it made, in order."""

    watch_version: int
    """Changes whenever `watched` may have changed: compare it, and rebuild a mask only then."""

    def __init__(self, rules: Mapping[str, Rule] = RULES, *, version: str = RULES_VERSION) -> None:
        raise NotImplementedError

    def signal(self, patient: str, rule: str, signal: Signal) -> list[AlarmEvent]:
        """A judge says something about a rule's condition for a patient."""
        raise NotImplementedError

    def value(self, patient: str, value: Value) -> list[AlarmEvent]:
        """A usable reading of a watched measure: goes to each alarm of the patient that waits for it."""
        raise NotImplementedError

    def command(self, command: Command, now_ns: int) -> list[AlarmEvent]:
        """A person says something; `now_ns` is the newest tick."""
        raise NotImplementedError

    def advance(self, now_ns: int) -> list[AlarmEvent]:
        """Time has come to `now_ns`: what fell due happens, each at its own time."""
        raise NotImplementedError

    def discharge(self, patient: str, by: str, now_ns: int) -> list[AlarmEvent]:
        """The patient is no longer watched: all its alarms close, by name."""
        raise NotImplementedError

    def watching(self, patient: str, measure: Measure) -> bool:
        """Whether some alarm of the patient waits for readings of the measure."""
        raise NotImplementedError

    def watched(self) -> list[tuple[str, Measure]]:
        """All pairs for which `watching` is true, sorted."""
        raise NotImplementedError

    def open_alarms(self, patient: str | None = None) -> list[Alarm]:
        """Alarms that are not closed, by patient, rule, device."""
        raise NotImplementedError

    def active(self, patient: str, rule: str, device: str = "") -> bool:
        """Whether an open alarm of the rule stands whose condition has not returned."""
        raise NotImplementedError

    def to_state(self) -> dict[str, Any]:
        """All of it as builtins (dict, list, str, int, float, None), in one order."""
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: Mapping[str, Any], rules: Mapping[str, Rule] = RULES) -> Book:
        """The book that `to_state` wrote down."""
        raise NotImplementedError
