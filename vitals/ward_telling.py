"""From what the judges found to alarm events: signals with cause and evidence, said to the ward's book of alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vitals.alarm_state import Heard, Level, Raise, Return, Signal, Silent, Value
from vitals.conditions import HEARD, RAISED, RETURNED, WORSE
from vitals.events import AlarmEvent, Evidence, ScoreEvidence
from vitals.frame_rules import FrameChange, FrameSilence
from vitals.limit_rules import LIMIT_RULES, RULE_INDEX
from vitals.limits import LimitChange
from vitals.roster import FOREVER, NEVER, NOBODY
from vitals.rules import RULES, Rule, missed_id
from vitals.sequence import Bundles
from vitals.signs import SIGNS, Measure, Sign

if TYPE_CHECKING:
    from vitals.ward import Outcome, Ward

_SILENT: Final = RULES["device-silent"]
_LONGEST_NS: Final = float(1 << 61)  # 73 years: a due time that still fits beside the time of day


def printed(sign: Sign, value: float) -> str:
    """A value as people write it: ``84 %``, ``38.4 Cel``."""
    row = SIGNS[sign]
    return f"{value:.{1 if row.resolution < 1 else 0}f} {row.unit}"


class Teller:
    """Speaks for a ward's judges to its book."""

    def __init__(self, ward: Ward) -> None:
        """For one ward."""
        self._ward = ward
        self._watch_version: int | None = None

    def say(self, events: list[AlarmEvent], out: Outcome) -> None:
        """Let events out."""
        out.events.extend(events)
        for event in events:
            if event.event == "closed" and event.state.get("outcome") == "discharged":
                self._forget(event)
        if self._watch_version != self._ward.book.watch_version:
            self._watch()

    def forget_watches(self) -> None:
        """After a restore: ask the book again."""
        self._watch_version = None

    def _forget(self, event: AlarmEvent) -> None:
        """After a discharge the judges start anew. Any other closing is the book's: they go on saying what is true."""
        ward, rule = self._ward, event.rule
        patient = ward.roster.patients.get(event.patient)
        device = ward.roster.devices.get(event.device) if event.device else None
        if patient is None:
            return
        if rule in RULE_INDEX:
            ward.limits.forget(patient, RULE_INDEX[rule])
        elif rule == _SILENT.id and device is not None:
            ward.roster.devices["silent"][device] = 0
        elif ward.patient_rules.knows(rule):
            ward.patient_rules.forget(patient, rule)
        elif device is not None and ward.device_rules.knows(rule):
            ward.device_rules.forget(device, rule)

    def _watch(self) -> None:
        ward = self._ward
        self._watch_version = ward.book.watch_version
        ward.limits.watched[:] = False
        for patient, measure in ward.book.watched():
            row = ward.roster.patients.get(patient)
            if row is not None:
                ward.limits.watched[row, measure] = True

    def _signal(self, patient: int, rule: str, signal: Signal, out: Outcome) -> None:
        self.say(self._ward.book.signal(self._ward.roster.patients.names[patient], rule, signal), out)

    # -- limits ------------------------------------------------------------------------------------------------------

    def limit_changes(self, changes: list[LimitChange], out: Outcome) -> None:
        """Tell what changed about limits."""
        for change in changes:
            self._signal(change.patient, LIMIT_RULES[change.rule].id, self._limit_signal(change), out)

    def _limit_signal(self, change: LimitChange) -> Signal:
        rule, sign = LIMIT_RULES[change.rule], Sign(change.sign)
        device = self._ward.roster.devices.names[change.device]
        evidence = (
            Evidence(
                sign=sign.column, value=change.value, time_ns=change.time_ns, device=device, limit=change.threshold
            ),
        )
        at, delayed = change.at_ns, change.delayed
        if change.what == HEARD:
            return Heard(at_ns=at, evidence=evidence)
        if change.what == RETURNED:
            back = f"{SIGNS[sign].label} {printed(sign, change.value)}, back for {_held(rule.hysteresis_ns)}"
            return Return(at_ns=at, cause=back, evidence=evidence, delayed=delayed)
        cause = self._limit_cause(rule, change, sign)
        if change.what == WORSE:
            return Level(at_ns=at, level=change.level, cause=cause, evidence=evidence, delayed=delayed)
        return Raise(at_ns=at, level=change.level, cause=cause, evidence=evidence, delayed=delayed)

    @staticmethod
    def _limit_cause(rule: Rule, change: LimitChange, sign: Sign) -> str:
        side = "at or above" if rule.direction == "above" else "at or below"
        return (
            f"{SIGNS[sign].label} {printed(sign, change.value)}, {side} {printed(sign, change.threshold)} "
            f"for {_held(rule.delay_ns)}"
        )

    def limit_silences(self, silences: list[tuple[int, int, int, int]], out: Outcome) -> None:
        """Tell which raised limits nobody observes any more."""
        for patient, rule, since, at in silences:
            self._signal(patient, LIMIT_RULES[rule].id, Silent(since_ns=since, at_ns=at), out)

    def missed(self, changes: list[LimitChange], out: Outcome) -> None:
        """Tell what late readings would have raised: a missed event, for review."""
        for change in changes:
            if change.what != RAISED:
                continue
            rule, sign = LIMIT_RULES[change.rule], Sign(change.sign)
            signal = self._limit_signal(change)
            if isinstance(signal, Raise):
                cause = f"sent late: {self._limit_cause(rule, change, sign)}"
                told = Raise(at_ns=signal.at_ns, cause=cause, evidence=signal.evidence)
                self._signal(change.patient, missed_id(rule.id), told, out)

    def values(self, values: list[tuple[int, int, float, int, int]], out: Outcome) -> None:
        """Hand on the values that somebody waits for."""
        ward = self._ward
        for patient, measure, value, time_ns, device in values:
            found = Value(
                measure=Measure(measure), value=value, time_ns=time_ns, device=ward.roster.devices.names[device]
            )
            self.say(ward.book.value(ward.roster.patients.names[patient], found), out)

    # -- frames ------------------------------------------------------------------------------------------------------

    def frame_change(
        self,
        change: FrameChange,
        at_ns: int,
        out: Outcome,
        *,
        cause: str,
        evidence: tuple[Evidence, ...] = (),
        score: ScoreEvidence | None = None,
    ) -> None:
        """Tell what changed about a rule of a patient that a frame decided."""
        self._signal(change.row, change.rule, _frame_signal(change, at_ns, cause, evidence, score, ""), out)

    def device_change(self, change: FrameChange, at_ns: int, out: Outcome, *, cause: str) -> None:
        """Tell what changed about a rule of a device that a frame decided."""
        roster = self._ward.roster
        patient = int(roster.devices["patient"][change.row])
        if patient != NOBODY:
            signal = _frame_signal(change, at_ns, cause, (), None, roster.devices.names[change.row])
            self._signal(patient, change.rule, signal, out)

    def frame_silence(self, silence: FrameSilence, at_ns: int, out: Outcome) -> None:
        """Tell that nobody can tell any more."""
        self._signal(silence.row, silence.rule, Silent(since_ns=silence.since_ns, at_ns=at_ns), out)

    # -- devices that say nothing ------------------------------------------------------------------------------------

    def heard(self, bundles: Bundles, out: Outcome) -> None:
        """Devices that were silent and have been heard: their alarm returns."""
        devices = self._ward.roster.devices
        sender = bundles.device
        again = np.flatnonzero((devices["silent"][sender] > 0) & (bundles.received_ns > devices["heard_ns"][sender]))
        for index in again.tolist():
            row, at = int(bundles.device[index]), int(bundles.received_ns[index])
            if devices["silent"][row]:
                devices["silent"][row] = 0
                told = Return(at_ns=at, cause="heard again", device=devices.names[row])
                self._signal(int(devices["patient"][row]), _SILENT.id, told, out)

    def _silence(self) -> tuple[np.ndarray, np.ndarray]:
        """Worn devices of patients who are watched, and when each passes its next band of silence."""
        roster = self._ward.roster
        devices = roster.devices
        now = self._ward.now_ns
        level = devices["silent"]
        worn = roster.bound(now) & (devices["heard_ns"] != NEVER) & (level < len(_SILENT.bands))
        patient = devices["patient"][worn]
        # A pause that has an end only puts it off until then; an open one and a discharge excuse it.
        worn[worn] = ~roster.may_be_silent(FOREVER - 1)[patient]
        row = np.flatnonzero(worn)
        periods = np.array([band.threshold for band in _SILENT.bands])[level[row]]
        wait = np.minimum(periods * devices["period_ns"][row], _LONGEST_NS).astype(np.int64)
        due = np.maximum(devices["heard_ns"][row] + wait, roster.paused_until_ns()[devices["patient"][row]])
        return row, due

    def device_silence_due_ns(self) -> int | None:
        """When the next device will have been silent for too long."""
        _, due = self._silence()
        return int(due.min()) if len(due) else None

    def device_silences(self, until_ns: int, out: Outcome) -> None:
        """Tell which devices have been silent for too long, by time and then by row; and those nobody wears now."""
        devices = self._ward.roster.devices
        rows, due = self._silence()
        found = due <= until_ns
        for at, row in sorted(zip(due[found].tolist(), rows[found].tolist(), strict=True)):
            level = int(devices["silent"][row]) + 1
            devices["silent"][row] = level
            name, since = devices.names[row], int(devices["heard_ns"][row])
            cause = f"nothing heard for {_held(at - since)}, due every {_held(int(devices['period_ns'][row]))}"
            patient = int(devices["patient"][row])
            if level == 1:
                self._signal(patient, _SILENT.id, Raise(at_ns=at, cause=cause, device=name), out)
            else:
                self._signal(patient, _SILENT.id, Level(at_ns=at, level=level, cause=cause, device=name), out)

    def excused(self, at_ns: int, out: Outcome) -> None:
        """Devices whose silence no longer matters (taken off, patient paused): their alarm returns."""
        roster = self._ward.roster
        devices = roster.devices
        free = ~roster.bound(at_ns) | roster.may_be_silent(at_ns)[devices["patient"]]
        for row in np.flatnonzero((devices["silent"] > 0) & free).tolist():
            devices["silent"][row] = 0
            told = Return(at_ns=at_ns, cause="not worn, or the patient is paused", device=devices.names[row])
            self._signal(int(devices["patient"][row]), _SILENT.id, told, out)
        unworn = ~roster.bound(at_ns)
        for row in self._ward.device_rules.raised_rows().tolist():
            if unworn[row]:
                self.taken_off(row, at_ns, out)

    def taken_off(self, row: int, at_ns: int, out: Outcome) -> None:
        """A device goes from its wearer: what is wrong with it is no longer this patient's."""
        ward, devices = self._ward, self._ward.roster.devices
        patient, name = int(devices["patient"][row]), devices.names[row]
        raised = ward.device_rules.raised(row)
        if devices["silent"][row]:
            devices["silent"][row] = 0
            raised.append(_SILENT.id)
        ward.device_rules.leave(row)
        for rule in raised:
            self._signal(patient, rule, Return(at_ns=at_ns, cause="no longer worn", device=name), out)


def _frame_signal(
    change: FrameChange,
    at_ns: int,
    cause: str,
    evidence: tuple[Evidence, ...],
    score: ScoreEvidence | None,
    device: str,
) -> Signal:
    match change.what:
        case _ if change.what == HEARD:
            return Heard(at_ns=at_ns, evidence=evidence, device=device)
        case _ if change.what == RETURNED:
            return Return(at_ns=at_ns, cause=cause, evidence=evidence, score=score, device=device)
        case _ if change.what == WORSE:
            return Level(at_ns=at_ns, level=change.level, cause=cause, evidence=evidence, score=score, device=device)
        case _:
            return Raise(at_ns=at_ns, level=change.level, cause=cause, evidence=evidence, score=score, device=device)


def _held(time_ns: int) -> str:
    """A length of time in words: ``30 s``, ``5 min``, ``2 h``."""
    seconds = time_ns / 1e9
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
