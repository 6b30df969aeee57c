"""The order of a device's bundles: duplicates dropped, gaps waited for, then recorded.

Bundles of a device are judged in the order (boot, sequence number), however they arrive. A bundle that comes too
early waits for the missing one for the allowed lateness of tick time; then the gap is recorded and what waited is
judged. A bundle that fills a recorded gap later is judged all the same: it was delayed, not doubled.

Nearly every block is in order, so that case costs a few array operations and no loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vitals.reading import BoolArray, FloatArray, IntArray

MAX_GAPS: Final = 64  # recorded gaps remembered for each device; the oldest is forgotten beyond
_OPEN_END: Final = 1 << 62


@dataclass(slots=True)
class Bundles:
    """Bundles of known patients and devices as columns: a block whose names have become rows.

    Bundle ``i`` owns the reading rows ``offsets[i]:offsets[i + 1]``. Shapes as in `vitals.reading.Block`.
    """

    patient: IntArray
    device: IntArray
    boot: IntArray
    seq: IntArray
    sent_ns: IntArray
    received_ns: IntArray
    n: IntArray
    battery_pct: FloatArray
    queued: IntArray
    offsets: IntArray
    sign: IntArray
    quality: IntArray
    value: FloatArray
    time_ns: IntArray

    _PER_BUNDLE = ("patient", "device", "boot", "seq", "sent_ns", "received_ns", "n", "battery_pct", "queued")
    _PER_READING = ("sign", "quality", "value", "time_ns")

    def __len__(self) -> int:
        return len(self.seq)

    def take(self, order: IntArray) -> Bundles:
        """Some of its bundles, in the order given."""
        counts = np.diff(self.offsets)[order]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[order] - offsets[:-1], counts)
        columns: dict[str, Any] = {name: getattr(self, name)[order] for name in self._PER_BUNDLE}
        columns |= {name: getattr(self, name)[rows] for name in self._PER_READING}
        return Bundles(**columns, offsets=offsets)

    @staticmethod
    def joined(parts: list[Bundles]) -> Bundles:
        """Bundles of several parts, one after another."""
        if len(parts) == 1:
            return parts[0]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in (*Bundles._PER_BUNDLE, *Bundles._PER_READING)
        }
        starts = np.concatenate([np.diff(part.offsets) for part in parts])
        return Bundles(**columns, offsets=np.concatenate(([0], np.cumsum(starts))))

    def state(self) -> dict[str, Any]:
        """Its columns, for a snapshot."""
        return {name: getattr(self, name) for name in (*self._PER_BUNDLE, "offsets", *self._PER_READING)}


@dataclass(slots=True)
class Counts:
    """What was counted on the way into the ward, in bundles."""

    judged: int = 0
    duplicate: int = 0
    waited: int = 0
    gaps: int = 0
    missing: int = 0


@dataclass(slots=True)
class _Held:
    """Bundles of one device that wait for a missing one."""

    deadline_ns: int
    waiting: dict[tuple[int, int], Bundles] = field(default_factory=dict)


class Sequence:
    """Keeps the devices' bundles in order. Devices are rows (small integers) of the ward's table of devices."""

    def __init__(self, lateness_ns: int) -> None:
        """`lateness_ns` is how long, in tick time, later bundles wait for a missing one."""
        self._lateness_ns = lateness_ns
        self._boot = np.full(16, -1, dtype=np.int64)
        self._next = np.zeros(16, dtype=np.int64)
        self._busy = np.zeros(16, dtype=bool)  # devices with something held
        self._held: dict[int, _Held] = {}
        self._gaps: dict[int, list[tuple[int, int, int]]] = {}  # device -> (boot, first missing, first not missing)
        self.counts = Counts()

    def accept(self, bundles: Bundles, now_ns: int) -> tuple[Bundles, Bundles | None]:
        """Let a block's bundles in.

        Args:
            bundles: As they came; at least one.
            now_ns: The newest tick.

        Returns:
            The bundles never seen before, as they came; and those to be judged now, in order for each device, None
            where there is none.
        """
        device = bundles.device
        self._reach(int(device.max()))
        order = np.argsort(device, kind="stable")
        grouped = device[order]
        first = np.concatenate(([True], grouped[1:] != grouped[:-1]))
        start = np.flatnonzero(first)
        rank = np.arange(len(grouped)) - np.repeat(start, np.diff(np.append(start, len(grouped))))
        expected = (
            (bundles.boot[order] == self._boot[grouped])
            & (bundles.seq[order] == self._next[grouped] + rank)
            & ~self._busy[grouped]
        )
        if expected.all():
            np.maximum.at(self._next, grouped, bundles.seq[order] + 1)
            self.counts.judged += len(device)
            return bundles, bundles
        return self._sort_out(bundles, order, expected, now_ns)

    def _sort_out(
        self, bundles: Bundles, order: IntArray, expected: BoolArray, now_ns: int
    ) -> tuple[Bundles, Bundles | None]:
        """The same where at least one device is out of order: those devices bundle by bundle, the others at once."""
        device = bundles.device
        odd = np.unique(device[order][~expected])
        is_odd = np.isin(device, odd)
        parts: list[Bundles] = []
        plain = np.flatnonzero(~is_odd)
        if len(plain):
            np.maximum.at(self._next, device[plain], bundles.seq[plain] + 1)
            self.counts.judged += len(plain)
            parts.append(bundles.take(plain))
        fresh = ~is_odd
        for index in np.flatnonzero(is_odd):
            doubled = self.counts.duplicate
            parts.extend(self._one(bundles.take(np.array([index])), now_ns))
            fresh[index] = self.counts.duplicate == doubled
        return bundles.take(np.flatnonzero(fresh)), (Bundles.joined(parts) if parts else None)

    def _one(self, bundle: Bundles, now_ns: int) -> list[Bundles]:
        device, boot, seq = int(bundle.device[0]), int(bundle.boot[0]), int(bundle.seq[0])
        current = int(self._boot[device])
        if boot > current and seq == 0 and self._nothing_older_waits(device, boot):
            self._start_boot(device, boot)
            current = boot
        if boot == current and seq == self._next[device]:
            self._next[device] += 1
            self.counts.judged += 1
            return [bundle, *self._follow(device)]
        if boot > current or (boot == current and seq > self._next[device]):
            return self._hold(bundle, device, boot, seq, now_ns)
        if self._fills_gap(device, boot, seq):
            self.counts.judged += 1
            return [bundle]
        self.counts.duplicate += 1
        return []

    def _nothing_older_waits(self, device: int, boot: int) -> bool:
        held = self._held.get(device)
        return held is None or all(waiting >= boot for waiting, _ in held.waiting)

    def _hold(self, bundle: Bundles, device: int, boot: int, seq: int, now_ns: int) -> list[Bundles]:
        held = self._held.setdefault(device, _Held(now_ns + self._lateness_ns))
        if (boot, seq) in held.waiting:
            self.counts.duplicate += 1
        else:
            held.waiting[boot, seq] = bundle
            self.counts.waited += 1
        self._busy[device] = True
        return []

    def _follow(self, device: int) -> list[Bundles]:
        """What waited for the bundle that has just come."""
        held = self._held.get(device)
        freed: list[Bundles] = []
        while held and (bundle := held.waiting.pop((int(self._boot[device]), int(self._next[device])), None)):
            freed.append(bundle)
            self._next[device] += 1
        if held and not held.waiting:
            del self._held[device]
            self._busy[device] = False
        self.counts.judged += len(freed)
        return freed

    def due_ns(self) -> int | None:
        """When the next wait ends; None where nothing waits."""
        return min((held.deadline_ns for held in self._held.values()), default=None)

    def release(self, now_ns: int) -> Bundles | None:
        """Give up waiting where the time is over: record the gaps and let go what waited, in order."""
        parts: list[Bundles] = []
        for device in sorted(d for d, held in self._held.items() if held.deadline_ns <= now_ns):
            held = self._held.pop(device)
            for (boot, seq), bundle in sorted(held.waiting.items()):
                if boot != self._boot[device]:
                    self._start_boot(device, boot)
                if seq > self._next[device]:
                    self._record_gap(device, boot, int(self._next[device]), seq)
                self._next[device] = seq + 1
                parts.append(bundle)
            self._busy[device] = False
        if not parts:
            return None
        self.counts.judged += len(parts)
        return Bundles.joined(parts)

    def _record_gap(self, device: int, boot: int, low: int, high: int) -> None:
        gaps = self._gaps.setdefault(device, [])
        gaps.append((boot, low, high))
        del gaps[:-MAX_GAPS]
        self.counts.gaps += 1
        self.counts.missing += high - low

    def _fills_gap(self, device: int, boot: int, seq: int) -> bool:
        gaps = self._gaps.get(device, [])
        for i, (gap_boot, low, high) in enumerate(gaps):
            if gap_boot == boot and low <= seq < high:
                gaps[i : i + 1] = [(boot, a, b) for a, b in ((low, seq), (seq + 1, high)) if a < b]
                if not gaps:
                    del self._gaps[device]
                return True
        return False

    def _start_boot(self, device: int, boot: int) -> None:
        """Go over to a new boot. The last one's end is unknown, so whatever still comes of it fills an open gap."""
        if self._boot[device] >= 0:
            self._gaps.setdefault(device, []).append((int(self._boot[device]), int(self._next[device]), _OPEN_END))
            del self._gaps[device][:-MAX_GAPS]
        self._boot[device], self._next[device] = boot, 0

    def _reach(self, device: int) -> None:
        while device >= len(self._boot):
            size = len(self._boot)
            self._boot = np.concatenate((self._boot, np.full(size, -1, dtype=np.int64)))
            self._next = np.concatenate((self._next, np.zeros(size, dtype=np.int64)))
            self._busy = np.concatenate((self._busy, np.zeros(size, dtype=bool)))

    def state(self) -> dict[str, Any]:
        """Everything it holds, for a snapshot."""
        return {
            "boot": self._boot,
            "next": self._next,
            "busy": self._busy,
            "gaps": [[device, [list(gap) for gap in gaps]] for device, gaps in sorted(self._gaps.items())],
            "held": [
                [device, held.deadline_ns, [bundle.state() for _, bundle in sorted(held.waiting.items())]]
                for device, held in sorted(self._held.items())
            ],
            "counts": [getattr(self.counts, name) for name in Counts.__dataclass_fields__],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Set down what `state` gave."""
        self._boot, self._next, self._busy = state["boot"], state["next"], state["busy"]
        self._gaps = {device: [(b, low, high) for b, low, high in gaps] for device, gaps in state["gaps"]}
        self._held = {}
        for device, deadline, waiting in state["held"]:
            bundles = [Bundles(**columns) for columns in waiting]
            self._held[device] = _Held(deadline, {(int(b.boot[0]), int(b.seq[0])): b for b in bundles})
        self.counts = Counts(*state["counts"])
