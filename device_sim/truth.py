"""What really happened: stories, onsets, faults and what devices made. Goes to a sidecar, never onto the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from device_sim.device import Counts
from device_sim.faults import Fault

Write = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Onset:
    """One story that was told.

    Attributes:
        patient: Whose.
        story: Its name.
        begins_ns: When its course leaves the usual.
        onset_ns: When a clinician would call it begun.
        expects_alarm: Whether an alarm is due.
        due_ns: By when; None where none is expected.
        families: Beginnings of the ids of rules that may answer it.
    """

    patient: str
    story: str
    begins_ns: int
    onset_ns: int
    expects_alarm: bool
    due_ns: int | None
    families: tuple[str, ...]

    def answered_by(self, rule: str) -> bool:
        """Whether an alarm of this rule answers the story: ``news2-single`` belongs to the family ``news2``."""
        return rule.split("-", 1)[0] in self.families


class Raised(NamedTuple):
    """A physiological alarm that was raised, as an onset is compared with."""

    patient: str
    rule: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Onsets against alarms.

    Attributes:
        began: Onsets that expect an alarm and have begun.
        alarmed: Of those, the ones with an alarm of their families, no later than due.
        late: Of those, the ones whose alarm came after it was due.
        missed: Of those, the ones whose alarm is overdue and not there.
        pending: Of those, the ones whose alarm is not due yet and not there.
        false_alarms: Alarms of patients in whose story none was expected at that time.
    """

    began: tuple[Onset, ...]
    alarmed: tuple[Onset, ...]
    late: tuple[Onset, ...]
    missed: tuple[Onset, ...]
    pending: tuple[Onset, ...]
    false_alarms: tuple[Raised, ...]


@dataclass(slots=True)
class Truth:
    """The truth about one run.

    Attributes:
        onsets: Every story, harmless ones too, in order of onset.
        faults: Every planned fault.
        counts: Per device, what it made and what the broker has.
        hits: Per device, how often each fault did something.
        write: Where lines for the sidecar go; None for nowhere.
    """

    onsets: tuple[Onset, ...]
    faults: tuple[Fault, ...]
    counts: dict[str, Counts]
    hits: dict[str, dict[str, int]]
    write: Write | None = field(default=None, repr=False)

    def begin(self, head: Mapping[str, Any]) -> None:
        """Write what is planned: the scenario, the onsets, the faults."""
        if self.write is None:
            return
        self.write({"type": "scenario", **head})
        for onset in self.onsets:
            self.write({"type": "onset", **asdict(onset)})
        for fault in self.faults:
            self.write({"type": "fault", **asdict(fault)})

    def bundles(self, device: str, made: Iterable[tuple[int, int, int, int]]) -> None:
        """Write a line for each bundle that a device made: boot, sequence number, readings, instant."""
        if self.write is None:
            return
        for boot, seq, n, time_ns in made:
            self.write({"type": "bundle", "device": device, "boot": boot, "seq": seq, "n": n, "time_ns": time_ns})

    def end(self, now_ns: int) -> None:
        """Write a line for each device: what it made, what the broker has, what faults did."""
        if self.write is None:
            return
        for device, counts in self.counts.items():
            hits = self.hits.get(device, {})
            queued = {"queued": counts.queued, "queued_bundles": counts.queued_bundles}
            self.write({"type": "device", "device": device, "now_ns": now_ns, **asdict(counts), **queued, "hits": hits})

    def judge(self, raised: Iterable[Raised], now_ns: int) -> Verdict:
        """Compare the alarms that were raised with the onsets that began.

        An alarm between the beginning of a story and its onset counts: it is early, not wrong.

        Args:
            raised: Physiological alarms of the priorities that matter.
            now_ns: How far the run has come.
        """
        raised = list(raised)
        began = tuple(o for o in self.onsets if o.due_ns is not None and o.onset_ns <= now_ns)
        first = {o: _first_answer(o, raised) for o in began}
        false_alarms = tuple(alarm for alarm in raised if not self._ill(alarm))

        def those(which: Callable[[int | None, int], bool]) -> tuple[Onset, ...]:
            return tuple(o for o, at_ns in first.items() if o.due_ns is not None and which(at_ns, o.due_ns))

        return Verdict(
            began=began,
            alarmed=those(lambda at_ns, due_ns: at_ns is not None and at_ns <= due_ns),
            late=those(lambda at_ns, due_ns: at_ns is not None and at_ns > due_ns),
            missed=those(lambda at_ns, due_ns: at_ns is None and due_ns <= now_ns),
            pending=those(lambda at_ns, due_ns: at_ns is None and due_ns > now_ns),
            false_alarms=false_alarms,
        )

    def _ill(self, alarm: Raised) -> bool:
        return any(o.expects_alarm and o.patient == alarm.patient and o.begins_ns <= alarm.at_ns for o in self.onsets)


def _first_answer(onset: Onset, raised: Iterable[Raised]) -> int | None:
    times = [
        alarm.at_ns
        for alarm in raised
        if alarm.patient == onset.patient and alarm.at_ns >= onset.begins_ns and onset.answered_by(alarm.rule)
    ]
    return min(times, default=None)
