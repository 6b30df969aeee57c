"""What monitoring keeps of each partition, and what it counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from vitals.ward import Ward


@dataclass(slots=True)
class Lane:
    """One partition: its ward and its book of offsets."""

    ward: Ward
    next_offset: int
    generation: int = 0
    pending: list[asyncio.Future[Any]] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one snapshot at a time: shards must not mix
    written: int = -1  # next_offset of the newest snapshot
    seeking: bool = False
    sought_s: float = 0.0  # monotonic time of the newest seek
    due_s: float = 0.0  # monotonic time of the next snapshot


@dataclass(slots=True)
class MonitoringCounts:
    """What the app has counted since it started."""

    records: int = 0
    bundles: int = 0
    readings: int = 0
    events: int = 0
    frames: int = 0
    skipped: int = 0
    dead: int = 0
    lost: int = 0
    snapshots: int = 0
