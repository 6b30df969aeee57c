"""A ward's state on Kafka: written down with the offset it includes, restored from there. See `monitoring`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from faust.types import TP

from stream_processors import snapshots
from stream_processors.app import NeedsSomeoneError, commit
from stream_processors.lanes import Lane, MonitoringCounts
from stream_processors.settings import StreamSettings
from vitals import topics
from vitals.tables import SnapshotError
from vitals.ward import Ward

log = logging.getLogger(__name__)

_INPUT: Final = topics.INPUT.name
_SHARE: Final = 100  # one part in so many of the time goes into making snapshots ...
_LONGEST_S: Final = 10.0  # ... unless so much log would have to be judged again


class Keeper:
    """Writes down the wards of one process, and reads them back.

    Attributes:
        app: The Faust app, once it is made.
        producer: Of everything that monitoring sends, once it is started.
    """

    def __init__(self, settings: StreamSettings, counts: MonitoringCounts, make_ward: Callable[[], Ward]) -> None:
        self._settings = settings
        self._counts = counts
        self._make_ward = make_ward
        self.app: Any = None
        self.producer: Any = None

    async def restore(self, partition: int) -> Lane:
        """A partition as its newest snapshot has it; an empty ward where there is none.

        Raises:
            NeedsSomeoneError: If another version wrote the snapshot, and nobody has said what to do with it.
            SnapshotDamagedError: If no snapshot is whole.
        """
        found = await snapshots.read_newest(self._settings.kafka, partition)
        ward, replays = self._make_ward(), False
        if found is not None:
            try:
                ward.restore(found.state)
            except SnapshotError as error:
                self._check_replay(partition, error)
                ward, replays = self._make_ward(), True
        if found is None or replays:
            first = await self.beginning(partition)
            if first:
                self.note_lost(partition, first)
            return Lane(ward, first, generation=found.manifest.generation if found else 0, written=first)
        next_offset = found.manifest.next_offset
        first = await self.beginning(partition)
        if first > next_offset:
            self.note_lost(partition, first - next_offset)
            next_offset = first
        log.info("partition %d: restored up to offset %d", partition, next_offset)
        return Lane(ward, next_offset, generation=found.manifest.generation, written=next_offset)

    def _check_replay(self, partition: int, error: SnapshotError) -> None:
        if self._settings.other_snapshot != "replay":
            raise NeedsSomeoneError(
                f"partition {partition}: {error}. Start the version that wrote it, or set "
                "TELEWARD_OTHER_SNAPSHOT=replay to judge the kept log anew: what is older than it is then forgotten"
            ) from error
        log.warning("partition %d: %s; judging the kept log anew", partition, error)

    async def beginning(self, partition: int) -> int:
        """The first offset of the input that Kafka still has."""
        tp = TP(_INPUT, partition)
        found: dict[TP, int] = await self.app.consumer.earliest_offsets(tp)
        return found[tp]

    def note_lost(self, partition: int, count: int) -> None:
        """Records are gone that nobody judged."""
        self._counts.lost += count
        log.error(
            "%d records of %s, partition %d, were deleted before they were judged: keep the topic longer",
            count,
            _INPUT,
            partition,
        )

    async def write(self, partition: int, lane: Lane) -> None:
        """Snapshot, effects acknowledged, snapshot acknowledged, and only then the offset."""
        async with lane.writing:
            if lane.next_offset <= lane.written:  # somebody else has just written it
                return
            async with lane.lock:
                began = time.monotonic()
                state, next_offset = lane.ward.snapshot(), lane.next_offset
                effects = len(lane.pending)
                lane.generation += 1
                generation = lane.generation
            shards = snapshots.cut(state, self._settings.shard_bytes)
            # Its own work alone sets the pace: after ten minutes without Kafka the next one is due at once.
            rest_s = max(self._settings.snapshot_every_s, min(_SHARE * (time.monotonic() - began), _LONGEST_S))
            # They stay pending until all are acknowledged: whoever is cancelled here leaves them to the next snapshot.
            for sent in lane.pending[:effects]:
                await asyncio.shield(sent)  # or it would be cancelled with us, and count as one that failed
            del lane.pending[:effects]
            await snapshots.write(
                self.producer, partition, shards, size=len(state), next_offset=next_offset, generation=generation
            )
            lane.written = next_offset
            self._counts.snapshots += 1
            lane.due_s = time.monotonic() + rest_s
            await commit(self.app, {TP(_INPUT, partition): next_offset})
