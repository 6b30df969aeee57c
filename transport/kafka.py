"""Kafka for the event loop: a producer that keeps the promise of DESIGN.md, readers without a group, quiet logs.

Only what is common to the real Kafka and to the embedded cluster is used, and the traps of both stand here once:
`seek_to_beginning` races with the reset of a fresh assignment, a waiting fetch of the embedded cluster sleeps its
whole `fetch_max_wait_ms`, and the timestamp in its produce acknowledgements means nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

__all__ = [
    "KafkaError",
    "KafkaSettings",
    "Record",
    "TopicReader",
    "make_producer",
    "quiet_aiokafka",
    "read_all",
    "read_partition_tail",
]

log = logging.getLogger(__name__)

_TOPIC_WAIT_S: Final = 1.0
_READ_MORE: Final = 500


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach Kafka.

    Attributes:
        bootstrap: ``host:port`` of one broker or more, with commas.
        client_id: Seen in the broker's logs.
        compression: Of produced records; None leaves them as they are (blocks are small and close quickly).
        max_record_bytes: Largest record. Kafka's own default limit is 1,048,588 bytes for a batch; the embedded
            cluster acknowledges larger ones and cannot return them.
        request_timeout_ms: How long a record may wait for its acknowledgement. aiokafka's default of 40 s fails
            records in an outage that 180 s survive.
        fetch_max_wait_ms: How long an empty fetch may wait at the broker. The embedded cluster sleeps all of it, so
            that this is its latency: 10 costs 6 % of a core for each idle consumer, 50 costs 3 %.
    """

    bootstrap: str
    client_id: str = "teleward"
    compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = None
    max_record_bytes: int = 1_000_000
    request_timeout_ms: int = 180_000
    fetch_max_wait_ms: int = 100


LOG_APPEND_TIME: Final = 1
"""Type of a time stamp that the broker gave."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands in Kafka.

    Attributes:
        topic: Its topic.
        partition: Its partition.
        offset: Its place there.
        key: None if it has none.
        value: None for a tombstone (the key is taken back).
        headers: Name and bytes, in order; a name may repeat.
        timestamp_ms: The producer's or the broker's clock, as the topic is set up.
        by_broker: Whether it is the broker's, of when it appended the record.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    by_broker: bool = False

    def header(self, name: str) -> bytes | None:
        """The first header of this name; None if there is none."""
        return next((value for key, value in self.headers if key == name), None)


def make_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer whose acknowledgement means: on all in-sync replicas, once, in the order sent. Not yet started.

    Nothing lingers: a record goes out at once if no other of its partition is under way, and with all that came
    meanwhile if one is.
    """
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        client_id=settings.client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        compression_type=settings.compression,
        max_batch_size=settings.max_record_bytes,
        max_request_size=settings.max_record_bytes,
        request_timeout_ms=settings.request_timeout_ms,
    )


class TopicReader:
    """All partitions of some topics, read without a group: ``async with TopicReader(...) as reader``.

    Attributes:
        lost: (topic, partition) -> records that were gone before they were read: the broker keeps only so much.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Iterable[str],
        *,
        offsets: Mapping[tuple[str, int], int] | None = None,
        begin: Literal["earliest", "latest"] = "earliest",
        partitions: Iterable[int] | None = None,
        compacted: bool = False,
    ) -> None:
        """Nothing is read before `start`.

        Args:
            settings: Where.
            topics: Which.
            offsets: (topic, partition) -> first offset to read, where it is known; a negative one counts back from
                the end as in a slice (-3: the last three).
            begin: Where the other partitions begin.
            partitions: Only these; None reads all there are.
            compacted: True for compacted topics, whose offsets have holes that are no loss.
        """
        self._topics = tuple(topics)
        self._offsets = dict(offsets or {})
        self._begin = begin
        self._compacted = compacted
        self._next: dict[tuple[str, int], int] = {}
        self.lost: dict[tuple[str, int], int] = {}
        self._consumer: Any = AIOKafkaConsumer(
            *(self._topics if partitions is None else ()),
            bootstrap_servers=settings.bootstrap,
            client_id=settings.client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_partition_fetch_bytes=2 * settings.max_record_bytes,
        )
        if partitions is not None:
            self._consumer.assign([TopicPartition(topic, number) for number in partitions for topic in self._topics])

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset of the next record to come."""
        return dict(self._next)

    async def start(self) -> None:
        """Connect and go to where reading begins.

        Raises:
            KafkaError: If no broker answers or a topic does not exist.
        """
        await self._consumer.start()
        partitions = list(self._consumer.assignment())
        first = await self._consumer.beginning_offsets(partitions)
        end = await self._consumer.end_offsets(partitions)
        for at in partitions:
            place = (at.topic, at.partition)
            wanted = self._offsets.get(place, end[at] if self._begin == "latest" else first[at])
            if wanted < 0:
                wanted = max(first[at], end[at] + wanted)
            if wanted < first[at]:
                self._note_lost(place, first[at] - wanted)
            self._next[place] = max(wanted, first[at])
            self._consumer.seek(at, self._next[place])

    async def stop(self) -> None:
        """Close. Safe to call twice, and after a failed start."""
        await self._consumer.stop()

    async def read(self, *, timeout_s: float | None = None, at_most: int = _READ_MORE) -> list[Record]:
        """The next records, in order within each partition; waits for the first.

        Args:
            timeout_s: How long to wait; None for ever.
            at_most: Leave the rest for the next call.

        Returns:
            At least one, or none when the time ran out.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            wait_s = _TOPIC_WAIT_S if until is None else min(_TOPIC_WAIT_S, max(0.0, until - time.monotonic()))
            batches = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=at_most)
            records = [_record(raw) for batch in batches.values() for raw in batch]
            for record in records:
                self._follow(record)
            if records or (until is not None and time.monotonic() >= until):
                return records

    async def end_offsets(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset that the next record written there will get, as the broker says now."""
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return {(at.topic, at.partition): offset for at, offset in ends.items()}

    async def read_to_end(self) -> list[Record]:
        """All records from here up to what is the end now."""
        end = await self.end_offsets()
        records: list[Record] = []
        while any(self._next[place] < offset for place, offset in end.items()):
            records += await self.read(timeout_s=_TOPIC_WAIT_S)
            # Behind the last record of a compacted or transactional topic there may be offsets that hold none.
            for place in self._next:
                position = await self._consumer.position(TopicPartition(*place))
                self._next[place] = max(self._next[place], position)
        return [record for record in records if record.offset < end[record.topic, record.partition]]

    def __aiter__(self) -> AsyncIterator[Record]:
        return self._records()

    async def _records(self) -> AsyncIterator[Record]:
        while True:
            for record in await self.read():
                yield record

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _follow(self, record: Record) -> None:
        place = (record.topic, record.partition)
        if record.offset > self._next[place] and not self._compacted:
            self._note_lost(place, record.offset - self._next[place])
        self._next[place] = record.offset + 1

    def _note_lost(self, place: tuple[str, int], count: int) -> None:
        self.lost[place] = self.lost.get(place, 0) + count
        log.error("%d records of %s, partition %d, were gone before they were read", count, *place)


async def read_all(settings: KafkaSettings, topic: str, *, compacted: bool = False) -> list[Record]:
    """All records of a topic, from the beginning to what is its end at the call."""
    async with TopicReader(settings, (topic,), compacted=compacted) as reader:
        return await reader.read_to_end()


async def read_partition_tail(settings: KafkaSettings, topic: str, partition: int, count: int) -> list[Record]:
    """The last records of one partition, oldest first.

    Args:
        settings: Where.
        topic: Which.
        partition: Which of its partitions.
        count: How many offsets to go back from the end; fewer records come where there are fewer.
    """
    back = {(topic, partition): -count}
    async with TopicReader(settings, (topic,), offsets=back, partitions=(partition,), compacted=True) as reader:
        return await reader.read_to_end()


def quiet_aiokafka(
    every_s: float = 10.0, *, clock: Callable[[], float] = time.monotonic, under: str = "aiokafka"
) -> None:
    """Let each line of aiokafka's code log once in `every_s`, with how many were held back meanwhile.

    In an outage it writes about 100 lines a second. Call this once, when everything is imported: a filter holds for
    the logger it is put on, not for those below.
    """
    names = [under, *(name for name in logging.root.manager.loggerDict if name.startswith(f"{under}."))]
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(old, _OnceInAWhile) for old in logger.filters):
            logger.addFilter(_OnceInAWhile(every_s, clock))


class _OnceInAWhile(logging.Filter):
    """Passes a place in the code once in a while, and then says how often it would have spoken meanwhile."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}  # place -> (when it last passed, held back since)

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        now = self._clock()
        last, held = self._seen.get(place, (None, 0))
        if last is not None and now - last < self._every_s:
            self._seen[place] = (last, held + 1)
            return False
        self._seen[place] = (now, 0)
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} more like it)", ()
        return True


def _record(raw: Any) -> Record:
    return Record(
        raw.topic,
        raw.partition,
        raw.offset,
        raw.key,
        raw.value,
        tuple(raw.headers),
        raw.timestamp,
        raw.timestamp_type == LOG_APPEND_TIME,
    )
