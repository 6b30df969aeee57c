"""What a live stack received, in the order in which its wards took it: all that a replay needs to tell the same.

The log has partitions; a capture has one order. Between two ticks the records of different partitions touch different
patients, so any order of theirs tells the same; within a partition, and towards the ticks, the order is the log's.

```
  partition 0    tick 4   X   tick 5   Y   tick 6
  partition 1    tick 4   b            .   tick 6      (a busy partition skips ticks: only the newest counts)
  capture        tick 4   X  b   tick 5   Y   tick 6
```
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np

from vitals.log import Binding, Command, Enrolment, Limit, Outage, Small, Tick, time_of
from vitals.quarantine import Quarantined, RefusedBytes
from vitals.reading import Block, BoolArray, IntArray
from vitals.signs import SECOND_NS

Said: TypeAlias = Binding | Enrolment | Limit | Command | Outage
"""What was said: kept in the log as it came."""

_LAST: Final = 1 << 31  # behind the partitions
_BEHIND_NS: Final = 10 * SECOND_NS  # as the ward's own default: see `vitals.ward.WardSettings`
_PER_BUNDLE: Final = (
    "patient", "device", "boot", "seq", "sent_ns", "received_ns", "n", "n_before", "refused", "battery_pct", "queued",
)  # fmt: skip
_PER_READING: Final = ("sign", "quality", "value", "time_ns")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record of the input topic, decoded.

    Attributes:
        partition: Where it stands.
        offset: Where it stands.
        at_ms: Kafka's time stamp of it.
        record: What it is.
    """

    partition: int
    offset: int
    at_ms: int
    record: Block | Small


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record of the quarantine topic, decoded.

    Attributes:
        at_ms: Kafka's time stamp of it.
        record: What was refused.
    """

    at_ms: int
    record: Quarantined


@dataclass(frozen=True, slots=True)
class Capture:
    """What was received, in one order.

    Attributes:
        bundles: Every bundle that was taken, duplicates included, in the order of the capture.
        appended_ns: Shape (bundles,), Kafka's time stamp of the block that held it (to a millisecond).
        between: (number of bundles before it, what it is), in order: ticks, what was said, messages refused whole.
        refused: Bundle -> its refused readings as they came, where the quarantine still had them.
        whole: True where it begins where the log begins: nothing that came before can have a say.
        events: Digest of the alarm events that the live stack told of this time, "" where unknown.
    """

    bundles: Block
    appended_ns: IntArray
    between: tuple[tuple[int, Small | Quarantined], ...]
    refused: Mapping[int, tuple[RefusedBytes, ...]] = field(default_factory=dict)
    whole: bool = True
    events: str = ""

    @property
    def readings(self) -> int:
        """Readings that were taken."""
        return self.bundles.readings

    def select(self, patients: Collection[str]) -> Capture:
        """Some of its patients, with what was said of them; messages refused whole are left out."""
        block = self.bundles
        wanted = np.array([name in patients for name in block.patients] or [False])
        keep = wanted[block.patient]
        place = np.concatenate(([0], np.cumsum(keep)))
        between = tuple(
            (int(place[before]), record)
            for before, record in self.between
            if isinstance(record, Tick | Outage) or (not isinstance(record, Quarantined) and record.patient in patients)
        )
        refused = {int(place[i]): found for i, found in self.refused.items() if keep[i]}
        return Capture(_kept(block, keep), self.appended_ns[keep], between, refused, self.whole)

    @property
    def ticks(self) -> IntArray:
        """Shape (ticks,): how time went on."""
        return np.array([record.now_ns for _, record in self.between if isinstance(record, Tick)], dtype=np.int64)


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks as one, in order; names are kept once."""
    patients = {name: i for i, name in enumerate(dict.fromkeys(p for block in blocks for p in block.patients))}
    devices = {name: i for i, name in enumerate(dict.fromkeys(d for block in blocks for d in block.devices))}
    columns: dict[str, Any] = {}
    for name in _PER_BUNDLE:
        parts = [getattr(block, name) for block in blocks]
        if name == "patient":
            parts = [_renamed(block.patients, patients)[part] for block, part in zip(blocks, parts, strict=True)]
        elif name == "device":
            parts = [_renamed(block.devices, devices)[part] for block, part in zip(blocks, parts, strict=True)]
        columns[name] = np.concatenate(parts) if parts else np.empty(0, np.float64 if "pct" in name else np.int64)
    kinds = {"sign": np.uint8, "quality": np.uint8, "value": np.float64, "time_ns": np.int64}
    for name in _PER_READING:
        columns[name] = np.concatenate([np.empty(0, kinds[name]), *(getattr(block, name) for block in blocks)])
    counts = [np.empty(0, np.int64), *(np.diff(block.offsets) for block in blocks)]
    offsets = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
    return Block(patients=list(patients), devices=list(devices), offsets=offsets, **columns)


def _kept(block: Block, keep: BoolArray) -> Block:
    counts = np.diff(block.offsets)
    readings = np.repeat(keep, counts)
    columns: dict[str, Any] = {name: getattr(block, name)[keep] for name in _PER_BUNDLE}
    columns |= {name: getattr(block, name)[readings] for name in _PER_READING}
    offsets = np.concatenate(([0], np.cumsum(counts[keep])))
    whole = Block(patients=block.patients, devices=block.devices, offsets=offsets, **columns)
    return _only_used(whole)


def _only_used(block: Block) -> Block:
    """Without names that nobody points to."""
    changed: dict[str, Any] = {}
    for names, codes in (("patients", "patient"), ("devices", "device")):
        used, code = np.unique(getattr(block, codes), return_inverse=True)
        changed[names] = [getattr(block, names)[i] for i in used.tolist()]
        changed[codes] = code.astype(np.int64)
    return replace(block, **changed)


def _renamed(names: Sequence[str], places: Mapping[str, int]) -> IntArray:
    return np.array([places[name] for name in names] or [0], dtype=np.int64)


def assemble(
    log: Iterable[LogRecord],
    quarantined: Iterable[RefusedRecord] = (),
    standing: Iterable[Said] = (),
    *,
    whole: bool = True,
    events: str = "",
) -> Capture:
    """Put what stands in the partitions and in quarantine into one order.

    Args:
        log: Records of the input topic, in any order.
        quarantined: Records of the quarantine topic.
        standing: What held before the first of them: said first.
        whole: See `Capture`.
        events: See `Capture`.
    """
    placed, times = _by_time(sorted(log, key=lambda found: (found.partition, found.offset)))
    whole_messages: list[tuple[tuple[int, int, int, int], Quarantined]] = []
    parts: dict[tuple[str, int, int, int], tuple[RefusedBytes, ...]] = {}
    for found in quarantined:
        refused = found.record
        if refused.fault is None:
            parts[refused.device, refused.boot or 0, refused.seq or 0, refused.received_ns] = refused.readings
        else:
            epoch = max((tick for tick, at_ms in times.items() if at_ms <= found.at_ms), default=-1)
            whole_messages.append(((epoch, found.at_ms, _LAST, refused.received_ns), refused))
    ordered: list[tuple[tuple[int, int, int, int], Any, int]] = [
        *((key, found.record, found.at_ms) for key, found in placed),
        *((key, refused, key[1]) for key, refused in whole_messages),
        *(((tick, -1, -1, -1), Tick(now_ns=tick), at_ms) for tick, at_ms in times.items()),
    ]
    ordered.sort(key=lambda row: row[0])
    between: list[tuple[int, Small | Quarantined]] = [(0, said) for said in standing]
    blocks: list[Block] = []
    appended: list[IntArray] = [np.empty(0, np.int64)]
    count = 0
    for _, record, at_ms in ordered:
        if isinstance(record, Block):
            blocks.append(record)
            appended.append(np.full(record.bundles, at_ms * 1_000_000))
            count += record.bundles
        else:
            between.append((count, record))
    bundles = joined(blocks)
    outages = any(isinstance(found.record, Outage) for _, found in placed)
    if outages and len({found.partition for _, found in placed}) > 1:
        events = ""  # an outage is one worker's; played to all wards at once it may tell something else
    return Capture(bundles, np.concatenate(appended), tuple(between), _refused_of(bundles, parts), whole, events)


def _by_time(
    log: Sequence[LogRecord],
) -> tuple[list[tuple[tuple[int, int, int, int], LogRecord]], dict[int, int]]:
    """Where each record stands: newest tick of its partition before it, then Kafka's time, then its place.

    Also: every instant that ward time came to in any partition, with Kafka's time of its first tick.
    """
    placed: list[tuple[tuple[int, int, int, int], LogRecord]] = []
    times: dict[int, int] = {}
    partition, epoch, at_ms = -1, -1, -1
    bridges: dict[str, int] = {}
    for found in log:
        if found.partition != partition:
            partition, epoch, at_ms, bridges = found.partition, -1, -1, {}
        at_ms = max(at_ms, found.at_ms)  # clocks of several writers: within a partition the log's order is the order
        record = found.record
        if isinstance(record, Tick):
            bridges[record.bridge] = max(record.now_ns, bridges.get(record.bridge, record.now_ns))
            epoch = max(epoch, time_of(bridges, _BEHIND_NS))
            times[epoch] = min(at_ms, times.get(epoch, at_ms))
        else:
            placed.append(((epoch, at_ms, partition, found.offset), found))
    return placed, times


def _refused_of(
    bundles: Block, parts: Mapping[tuple[str, int, int, int], tuple[RefusedBytes, ...]]
) -> dict[int, tuple[RefusedBytes, ...]]:
    out: dict[int, tuple[RefusedBytes, ...]] = {}
    for i in np.flatnonzero(bundles.refused).tolist():
        key = (
            bundles.devices[int(bundles.device[i])], int(bundles.boot[i]), int(bundles.seq[i]),
            int(bundles.received_ns[i]),
        )  # fmt: skip
        if key in parts:
            out[i] = parts[key]
    return out
