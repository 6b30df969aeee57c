"""How far storing has read each partition, by a book of its own.

Partitions are given out anew whenever Kafka hears nothing from us for a session. Faust then drops what is on its way,
and what comes first afterwards need not be what comes next. So a record is taken only when it is the next one; what
comes twice is skipped, and over a gap we go back. The store says where we begin, not the offsets committed to Kafka: a
store that is new, or was put back from a copy, gets everything that Kafka still has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from faust.types import TP

log = logging.getLogger(__name__)

_SEEK_AGAIN_S: Final = 0.25


@dataclass(slots=True)
class _Place:
    """One partition: what is next, when we last went back, and what was next when we last looked."""

    next: int
    sought_s: float = -1e9
    looked: int = -1


class Places:
    """The partitions that are ours, and the next offset of each.

    Attributes:
        skipped: Records that came again, or too early.
        lost: Records that Kafka deleted before they were read.
    """

    def __init__(self, consumer: Callable[[], Any]) -> None:
        """Knows no partition before `begin`.

        Args:
            consumer: Faust's, once it runs.
        """
        self._consumer = consumer
        self._places: dict[TP, _Place] = {}
        self.skipped = 0
        self.lost = 0

    def forget(self) -> None:
        """The partitions are being given out anew."""
        self._places = {}

    def begin(self, settled: Mapping[TP, int | None], first: Mapping[TP, int], ends: Mapping[TP, int]) -> None:
        """Go on from what the store has settled.

        Args:
            settled: Partition -> offset before which the store has everything; None where it has nothing of it.
            first: Partition -> first offset that Kafka still has.
            ends: Partition -> offset behind its newest record.
        """
        self._places = {}
        for tp, offset in settled.items():
            known = 0 if offset is None or offset > ends[tp] else offset
            if 0 < known < first[tp]:
                self._note_lost(tp, first[tp] - known)
            self._places[tp] = _Place(max(known, first[tp]))

    async def is_next(self, tp: TP, offset: int) -> bool:
        """Whether this record is the next one to take; over a gap, go back."""
        place = self._places.get(tp)
        if place is None:  # of partitions that were ours
            return False
        if offset == place.next:
            return True
        self.skipped += 1
        if offset > place.next:
            await self.go_to(tp)
        return False

    def took(self, tp: TP, offset: int) -> None:
        """This record need not come again."""
        place = self._places.get(tp)
        if place is not None:
            place.next = offset + 1

    async def go_to(self, *partitions: TP) -> None:
        """Have these partitions, or all, read from what is next; again after a while, as long as it does not come.

        Messages that were on their way still come after a seek, and count as skipped.
        """
        now_s = time.monotonic()
        for tp in partitions or tuple(self._places):
            place = self._places.get(tp)
            if place is None or now_s - place.sought_s < _SEEK_AGAIN_S:
                continue
            place.sought_s = now_s
            try:
                first = (await self._consumer().earliest_offsets(tp))[tp]
                if first > place.next:
                    self._note_lost(tp, first - place.next)
                    place.next = first
                await self._consumer().seek(tp, place.next)
            except Exception as error:  # noqa: BLE001  # between two assignments; tried again
                log.warning("%s, partition %d: no way to offset %d yet: %s", *tp, place.next, error)

    async def look(self) -> None:
        """Go back where there is more, and nothing of it came since we last looked: ask this every few seconds."""
        try:
            ends = await self._consumer().highwaters(*self._places)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("Kafka does not say how far its topics go: %s", error)
            return
        behind = [
            tp for tp, place in self._places.items() if place.looked == place.next and place.next < (ends.get(tp) or 0)
        ]
        for place in self._places.values():
            place.looked = place.next
        if behind:
            await self.go_to(*behind)

    def _note_lost(self, tp: TP, count: int) -> None:
        self.lost += count
        log.error("%d records of %s, partition %d, were deleted before they were kept: keep the topic longer",
                  count, *tp)  # fmt: skip
