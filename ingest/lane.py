"""One partition's way into Kafka: the open block, and what stands in line before it. Pure: the bridge sends.

Order is everything here. The records of a partition go out in the order in which the bridge decided on them, one
group at a time, each group one Kafka batch: all of it is appended, or nothing. A block closes as soon as its lane has
nothing under way; while it has, the block grows, up to its size. At hundreds of bundles a second whoever sends leaves
some milliseconds between two groups (`ingest.pace`)::

    quiet ward    bundle -> block of 1 -> Kafka            at once, nothing waits
    busy ward     200 bundles come during one send  ->     one block of 200 with the next
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from vitals import block, log
from vitals.block import BlockBuilder
from vitals.log import Small, Tick
from vitals.reading import IntArray
from vitals.validate import Accepted

NEVER: Final = -1
_RECORD_OVERHEAD: Final = 100  # bytes of a record beside key and value: lengths, times, one short header
_NOTHING_RECEIVED: Final[IntArray] = np.empty(0, np.int64)


class Receipt:
    """What is owed for one message: its acknowledgement, once all that was made of it is appended."""

    __slots__ = ("message", "owed")

    def __init__(self, message: object) -> None:
        self.message = message
        self.owed = 0


@dataclass(slots=True)
class Entry:
    """A record that is ready to be sent.

    Attributes:
        value: Its bytes.
        kind: Its header ``type``; None for records outside of the one log.
        key: Its key.
        receipts: Messages that wait for it.
        received_ns: Shape (bundles,), when the bundles of a block were received; empty for other records.
    """

    value: bytes
    kind: bytes | None = None
    key: bytes | None = None
    receipts: list[Receipt] = field(default_factory=list)
    received_ns: IntArray = field(default_factory=lambda: _NOTHING_RECEIVED)

    @property
    def size_bytes(self) -> int:
        """About how many bytes it takes in a batch."""
        return len(self.value) + len(self.key or b"") + _RECORD_OVERHEAD


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """Sizes of a lane.

    Attributes:
        bridge: Whose ticks these are.
        block_bundles: A block is closed when it holds so many bundles,
        block_bytes: or about so many bytes.
        group_bytes: A group takes no further record beyond this; one record may be larger by itself.
    """

    bridge: str
    block_bundles: int
    block_bytes: int
    group_bytes: int


class Lane:
    """What waits for one partition.

    Attributes:
        topic: Which topic.
        partition: Which partition of it.
        busy: True while a group is under way; set by who sends.
        ticked_ns: The newest tick that went out, -1 before the first (a recording's time begins at 0).
        sent_s: Monotonic time at which the last group was taken; set by who sends.
    """

    def __init__(self, topic: str, partition: int, settings: LaneSettings, *, ticked_ns: int = NEVER) -> None:
        self.topic = topic
        self.partition = partition
        self.busy = False
        self.sent_s = 0.0
        self.ticked_ns = ticked_ns
        self._settings = settings
        self._builder = BlockBuilder()
        self._receipts: list[Receipt] = []
        self._received: list[int] = []
        self._line: deque[Entry] = deque()
        self._due_ns = NEVER

    @property
    def full(self) -> bool:
        """Whether a record is complete and can only wait: a block that grows no more, or what is no block."""
        return bool(self._line)

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._line) or len(self._builder) > 0 or self._due_ns > self.ticked_ns

    def add(self, accepted: Accepted, receipt: Receipt, received_ns: int, clock: tuple[int, int] | None = None) -> None:
        """Put a bundle in the open block; a full block joins the line at once.

        Args:
            accepted: The bundle's row.
            receipt: Of its message.
            received_ns: When it came, for the hop.
            clock: Bounds of its device's clock, where they are known.
        """
        receipt.owed += 1
        self._builder.append(accepted, clock)
        self._receipts.append(receipt)
        self._received.append(received_ns)
        full = len(self._builder) >= self._settings.block_bundles
        if full or self._builder.size_bytes >= self._settings.block_bytes:
            self._close_block()

    def put(self, entry: Entry) -> None:
        """Put a record in line, behind all that came before it."""
        self._close_block()
        for receipt in entry.receipts:
            receipt.owed += 1
        self._line.append(entry)

    def put_record(self, record: Small, receipt: Receipt | None = None) -> None:
        """Put a small record of the one log in line."""
        kind, value = log.encode(record)
        self.put(Entry(value, kind, receipts=[] if receipt is None else [receipt]))

    def mark(self, now_ns: int, receipt: Receipt) -> None:
        """Put a player's mark in line, as a tick; one that is not newer than the last one changes nothing."""
        if now_ns > self.ticked_ns:
            self.ticked_ns = now_ns
            self.put_record(Tick(now_ns=now_ns, bridge=self._settings.bridge), receipt)

    def time_is(self, now_ns: int) -> None:
        """Time may go on to here; the tick goes out behind all that waits now.

        While a group is under way ticks do not pile up: the newest of them is enough.
        """
        self._due_ns = max(self._due_ns, now_ns)

    def replace(self, entry: Entry) -> None:
        """Put a record in the place of all that waits; for what only its newest counts."""
        self._line.clear()
        self._line.append(entry)

    def next_group(self) -> list[Entry]:
        """Take the next records to be sent together, in order; empty if nothing waits. Not while `busy`."""
        group: list[Entry] = []
        size = 0
        while True:
            if not self._line:
                self._close_block()
            if not self._line:
                break
            if group and size + self._line[0].size_bytes > self._settings.group_bytes:
                return group
            group.append(self._line.popleft())
            size += group[-1].size_bytes
        if self._due_ns > self.ticked_ns:
            self.ticked_ns = self._due_ns
            kind, value = log.encode(Tick(now_ns=self._due_ns, bridge=self._settings.bridge))
            group.append(Entry(value, kind))
        return group

    def _close_block(self) -> None:
        if not len(self._builder):
            return
        value = block.encode(self._builder.take())
        received_ns = np.array(self._received, dtype=np.int64)
        self._line.append(Entry(value, log.BLOCK, None, self._receipts, received_ns))
        self._receipts, self._received = [], []
