"""Many patients at once: ``step(record) -> outcome``, ``snapshot()``, ``restore()``. It reads no clock.

A ward is one partition of the log. Its time is the newest tick; all that can change its mind is in the records it is
given, so the same records give the same events wherever, whenever and however fast they are played. Between two
ticks, and before anything a tick brings about, everything that fell due happens in the order of its own time; so how
often ticks come changes nothing either.

The hot path (a block) works on arrays with a row for each patient or device. Python objects are made only for what is
rare: a condition that changed, an alarm, a person's command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, assert_never

import numpy as np

from vitals.alarm_book import Book
from vitals.align import Grid, Samples
from vitals.asking import Answer, Batch, Service
from vitals.detector import State
from vitals.events import AlarmEvent
from vitals.frame_rules import FrameRules
from vitals.limit_rules import RULE_INDEX
from vitals.limits import Limits, Readings
from vitals.log import Binding, Command, Enrolment, Limit, Outage, Record, Tick, time_of
from vitals.reading import USABLE_UP_TO, Block, BoolArray
from vitals.roster import DISCHARGED, NOBODY, Roster
from vitals.rules import RULES_VERSION
from vitals.screening import Screen
from vitals.sequence import Bundles, Sequence
from vitals.standing import Standing
from vitals.tables import SnapshotError, pack, unpack
from vitals.ward_asking import Open, ask, opened
from vitals.ward_closing import close_frame, plugged_rules
from vitals.ward_parts import Outcome, Plugged, Plugs, WardCounts, WardSettings, default_detectors
from vitals.ward_telling import Teller

__all__ = ["Outcome", "Plugged", "Plugs", "Ward", "WardCounts", "WardSettings", "default_detectors"]

SNAPSHOT_VERSION: Final = 3


class Ward:
    """The patients of one partition."""

    def __init__(self, settings: WardSettings | None = None, detectors: Plugs | None = None) -> None:
        """An empty ward with some detectors; by default the EWMA control."""
        self.settings = settings or WardSettings()
        self.plugs = default_detectors() if detectors is None else detectors
        self.now_ns = -1
        self.counts = WardCounts()
        self._bridges: dict[str, int] = {}
        self.roster = Roster()
        self.sequence = Sequence(self.settings.align.lateness_ns)
        self.grid = Grid(self.settings.align)
        self.standing = Standing(self.settings.align.slow_factor)
        self.screen = Screen()
        self.limits = Limits(self.settings.align.slow_factor)
        self.late = Limits(self.settings.align.slow_factor)
        patient_rules, device_rules, grids = plugged_rules([(p.detector, p.rule) for p in self.plugs])
        self.patient_rules = FrameRules(patient_rules, grids)
        self.device_rules = FrameRules(device_rules, {})
        self.book = Book()
        self.detector_state: list[State] = [plug.detector.start(16) for plug in self.plugs]
        self.service = Service([plug.detector for plug in self.plugs])
        self.solve: Callable[[Batch], Answer] = Batch.run  # a host that computes ahead puts its own here
        self.unasked: tuple[int, int] | None = None  # frame whose detectors have not been asked: end, and its tick
        self.open_frame: Open | None = None  # what was worked out about it; made anew where it is missing
        self.idle_frames = 0  # closed frames in a row without a reading or a valid value of anybody
        self._teller = Teller(self)

    def step(self, record: Record) -> Outcome:
        """Take one record of the log.

        Args:
            record: A block or a small record (`vitals.log`).

        Returns:
            What followed from it.
        """
        out = Outcome()
        match record:
            case Block():
                self._block(record, out)
            case Tick():
                self._tick(record, out)
            case Command():
                self._say(self.book.command(record, self.now_ns), out)
            case Binding():
                self._bind(record, out)
            case Enrolment():
                self._enrol(record, out)
            case Limit():
                self._limit(record)
            case Outage():
                self._outage(record)
            case _:
                assert_never(record)
        return out

    # -- blocks ------------------------------------------------------------------------------------------------------

    def _block(self, block: Block, out: Outcome) -> None:
        patients, devices = self.roster.rows_of(block.patients, block.devices, self.now_ns)
        self._reach()
        bundles = Bundles(
            patient=patients[block.patient] if len(patients) else block.patient,
            device=devices[block.device] if len(devices) else block.device,
            boot=block.boot,
            seq=block.seq,
            sent_ns=block.sent_ns,
            received_ns=block.received_ns,
            n=block.n,
            battery_pct=block.battery_pct,
            queued=block.queued,
            offsets=block.offsets,
            sign=block.sign.astype(np.int64),
            quality=block.quality.astype(np.int64),
            value=block.value,
            time_ns=block.time_ns,
        )
        if not len(bundles):
            return
        fresh, ready = self.sequence.accept(bundles, self.now_ns)
        # A message that a broker delivers again says nothing about whether its device still lives.
        self._teller.heard(fresh, out)
        self.roster.hear(fresh)
        self._judge(ready, out)

    def _judge(self, bundles: Bundles | None, out: Outcome) -> None:
        """Bundles in the order of their devices: into the frames, past the limits, or down the late lane."""
        if bundles is None or not len(bundles.sign):
            return
        count = np.diff(bundles.offsets)
        sent = np.repeat(bundles.sent_ns, count)
        lateness = self.settings.align.lateness_ns
        late = sent - bundles.time_ns > lateness
        delayed = np.repeat(bundles.received_ns - bundles.sent_ns > lateness, count)
        usable: BoolArray = bundles.quality <= USABLE_UP_TO
        device, patient = np.repeat(bundles.device, count), np.repeat(bundles.patient, count)
        readings = Readings(
            patient=patient,
            sign=bundles.sign,
            device=device,
            value=bundles.value,
            time_ns=bundles.time_ns,
            delayed=delayed,
            period_ns=self.roster.devices["period_ns"][device],
        )
        watched: BoolArray = self.roster.patients["state"][patient] != DISCHARGED
        self.counts.unusable += int(np.count_nonzero(~usable))
        if late.any():
            self._late(readings.take(late & usable & watched), out)
            self.counts.late += int(np.count_nonzero(late))
            readings, usable, watched = readings.take(~late), usable[~late], watched[~late]
            if not len(usable):
                return
        self.counts.judged += len(usable)
        self.counts.delayed += int(np.count_nonzero(readings.delayed))
        self.grid.add(
            Samples(readings.patient, readings.sign, readings.device, readings.value, readings.time_ns, usable)
        )
        if not (usable.all() and watched.all()):
            readings = readings.take(usable & watched)
        changes, values = self.limits.judge(readings)
        self._teller.limit_changes(changes, out)
        self._teller.values(values, out)

    def _late(self, readings: Readings, out: Outcome) -> None:
        if len(readings.sign):
            changes, _ = self.late.judge(readings)
            self._teller.missed(changes, out)

    # -- time --------------------------------------------------------------------------------------------------------

    def _tick(self, tick: Tick, out: Outcome) -> None:
        self._bridges[tick.bridge] = max(tick.now_ns, self._bridges.get(tick.bridge, tick.now_ns))
        now = time_of(self._bridges, self.settings.bridge_behind_ns)
        if now <= self.now_ns:
            return
        if self.now_ns < 0:
            self.roster.begin(now)
            self.grid.begin(now)
        self._settle(out)
        while (due := self._next_due()) is not None and due <= now:
            self.now_ns = max(self.now_ns, due)
            self._say(self.book.advance(due), out)
            self._happen(due, out)
        self.now_ns = now
        self._say(self.book.advance(now), out)

    def _next_due(self) -> int | None:
        """The next instant at which something happens by itself, in tick time."""
        lateness = self.settings.align.lateness_ns
        silence, still = self.limits.silence_due_ns(), self.limits.unchallenged_due_ns()
        late = self.late.unchallenged_due_ns()
        dues = (
            self.sequence.due_ns(),
            self.grid.due_ns(),
            None if silence is None else silence + lateness,
            None if still is None else still + lateness,
            None if late is None else late + lateness,
            self._teller.device_silence_due_ns(),
            self._asking_due_ns(),
        )
        return min((due for due in dues if due is not None), default=None)

    def _happen(self, due: int, out: Outcome) -> None:
        """All that is due at one instant, always in this order."""
        until = due - self.settings.align.lateness_ns
        if (released := self.sequence.release(due)) is not None:
            self._judge(released, out)
            self._settle(out)
        self._teller.limit_changes(self.limits.unchallenged(until), out)
        self._teller.missed(self.late.unchallenged(until), out)
        self._teller.limit_silences(self.limits.silent(until), out)
        self._teller.device_silences(due, out)
        if self.grid.due_ns() == due:
            close_frame(self, due, self._teller, out)
        if self._asking_due_ns() == due:
            ask(self, self._teller, out)

    def _asking_due_ns(self) -> int | None:
        if self.unasked is None:
            return None
        return self.unasked[0] + self.settings.align.lateness_ns + self.settings.detectors_after_ns

    def batches(self) -> list[tuple[Batch, bool]]:
        """What the detectors will be asked about the frame that has just closed; computing ahead changes nothing.

        Returns:
            Batches, and for each whether it is but a trial: of a detector that is withdrawn, whose answer nobody takes.
        """
        if self.unasked is None:
            return []
        frame = opened(self)
        asked = [(batch, False) for batch in frame.batches if batch is not None]
        return asked + [(frame.batch(i), True) for i in range(len(self.plugs)) if self.service.out(i) is not None]

    def _settle(self, out: Outcome) -> None:
        """Choose owners of fresh measures, and judge what waited for that."""
        rank = self.roster.device_rank()
        changes, values = self.limits.settle(rank)
        self._teller.limit_changes(changes, out)
        self._teller.values(values, out)
        missed, _ = self.late.settle(rank)
        self._teller.missed(missed, out)

    # -- people ------------------------------------------------------------------------------------------------------

    def _bind(self, said: Binding, out: Outcome) -> None:
        row = self.roster.devices.row(said.device)
        before = int(self.roster.devices["patient"][row])
        if before != NOBODY and self.roster.takes(said) and self.roster.patients.names[before] != said.patient:
            # What is wrong with it is no longer its last wearer's: their alarms about it return before it goes over.
            self._teller.taken_off(row, self.now_ns, out)
        if self.roster.bind(said, self.now_ns) is not None:
            self._reach()
        self.open_frame = None

    def _enrol(self, said: Enrolment, out: Outcome) -> None:
        row = self.roster.enrol(said, self.now_ns)
        self._reach()
        self.open_frame = None
        if said.state == "discharged":
            self._say(self.book.discharge(said.patient, said.by, self.now_ns), out)
            # What is pending is forgotten too: nobody who was discharged raises anything.
            for judge in (self.limits, self.late, self.patient_rules):
                judge.leave(row)

    def _outage(self, said: Outage) -> None:
        for index in self.service.take(said):
            rows = len(next(iter(self.detector_state[index].values())))
            self.detector_state[index] = self.plugs[index].detector.start(rows)
        self.open_frame = None

    def _limit(self, said: Limit) -> None:
        if said.rule not in RULE_INDEX:  # nothing to set; whoever hosts the ward has put it aside with the reason
            return
        row = self.roster.patients.row(said.patient)
        self._reach()
        self.limits.override(row, said.rule, said.threshold)
        self.late.override(row, said.rule, said.threshold)

    def _say(self, events: list[AlarmEvent], out: Outcome) -> None:
        """Let events out, and let the judges know what people closed."""
        self._teller.say(events, out)

    def _reach(self) -> None:
        """Make room for all patients and devices known."""
        patients, devices = len(self.roster.patients), len(self.roster.devices)
        self.standing.reach(patients)
        self.screen.reach(patients)
        self.service.reach(patients)
        self.limits.reach(patients)
        self.late.reach(patients)
        self.patient_rules.reach(patients)
        self.device_rules.reach(devices)
        for plug, state in zip(self.plugs, self.detector_state, strict=True):
            rows = len(next(iter(state.values()), np.zeros(0)))
            if state and patients > rows:
                more = plug.detector.start(max(patients, 2 * rows) - rows)
                for name in state:
                    state[name] = np.concatenate((state[name], more[name]))

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything it knows, so that a ward restored from it goes on as this one would."""
        return pack(
            {
                "version": SNAPSHOT_VERSION,
                "rules": RULES_VERSION,
                "detectors": [[plug.detector.name, plug.detector.version] for plug in self.plugs],
                "now": self.now_ns,
                "bridges": sorted(self._bridges.items()),
                "idle_frames": self.idle_frames,
                "counts": [getattr(self.counts, name) for name in WardCounts.__dataclass_fields__],
                "roster": self.roster.state(),
                "sequence": self.sequence.state(),
                "grid": self.grid.state(),
                "standing": self.standing.state(),
                "screen": self.screen.state(),
                "service": self.service.state(),
                "unasked": self.unasked,
                "limits": self.limits.state(),
                "late": self.late.state(),
                "patient_rules": self.patient_rules.state(),
                "device_rules": self.device_rules.state(),
                "book": self.book.to_state(),
                "detector_state": self.detector_state,
            }
        )

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` wrote down.

        Raises:
            SnapshotError: If it was made by another version, with other rules or other detectors; the message says
                what differs.
        """
        state: dict[str, Any] = unpack(data)
        mine = {
            "version": SNAPSHOT_VERSION,
            "rules": RULES_VERSION,
            "detectors": [[plug.detector.name, plug.detector.version] for plug in self.plugs],
        }
        for key, value in mine.items():
            if state.get(key) != value:
                raise SnapshotError(f"the snapshot's {key} is {state.get(key)!r}, this ward's {value!r}")
        self.now_ns = state["now"]
        self._bridges = dict(state["bridges"])
        self.idle_frames = state["idle_frames"]
        self.counts = WardCounts(*state["counts"])
        self.roster.load(state["roster"])
        self.sequence.load(state["sequence"])
        self.grid.load(state["grid"])
        self.standing.load(state["standing"])
        self.screen.load(state["screen"])
        self.service.load(state["service"])
        self.unasked = None if state["unasked"] is None else (int(state["unasked"][0]), int(state["unasked"][1]))
        self.open_frame = None
        self.limits.load(state["limits"])
        self.late.load(state["late"])
        self.patient_rules.load(state["patient_rules"])
        self.device_rules.load(state["device_rules"])
        self.book = Book.from_state(state["book"])
        self.detector_state = state["detector_state"]
        self._teller.forget_watches()
