"""Ward state <-> snapshot topic: shards, then a manifest that makes them count.

A snapshot is compressed, cut into shards well under Kafka's message limit, and written to the ward's partition of the
snapshot topic; its manifest comes last and says where the first shard stands, how many there are, their checksum, and
the offset of the input topic that the state includes (`next`: the first record it has not seen). A snapshot whose
manifest is missing never happened.
"""

from __future__ import annotations

import logging
import zlib
from typing import Any, Final

import msgspec
import pyarrow as pa

from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import topics

log = logging.getLogger(__name__)

MANIFEST_KEY: Final = b"manifest"
_CODEC: Final = "zstd"
_LOOK_BACK: Final = 4


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a snapshot whole.

    Attributes:
        next_offset: First offset of the input partition that the state has not seen.
        first_shard: Offset of the first shard in the snapshot topic.
        shards: How many there are; they follow each other.
        size: Bytes of the state before compression.
        crc: CRC-32 of the compressed bytes.
        generation: Rises by one with every snapshot of the partition.
    """

    next_offset: int
    first_shard: int
    shards: int
    size: int
    crc: int
    generation: int


class Restored(msgspec.Struct, frozen=True):
    """A snapshot read back."""

    manifest: Manifest
    state: bytes


class SnapshotDamagedError(RuntimeError):
    """A manifest's shards are not what it says; the message says which partition and what differs."""


def cut(state: bytes, shard_bytes: int) -> list[bytes]:
    """Compress a state and cut it into shards."""
    packed: bytes = pa.compress(state, codec=_CODEC, asbytes=True)
    return [packed[low : low + shard_bytes] for low in range(0, len(packed), shard_bytes)]


async def write(
    producer: Any, partition: int, shards: list[bytes], *, size: int, next_offset: int, generation: int
) -> None:
    """Write a snapshot; returns once Kafka has acknowledged the manifest.

    Args:
        producer: A started producer of `transport.kafka`.
        partition: Of the ward.
        shards: What `cut` made of the state.
        size: Of the state, in bytes.
        next_offset: First input offset that the state has not seen.
        generation: One more than the last one's.
    """
    name = topics.SNAPSHOTS.name
    waits = [
        await producer.send(name, shard, key=f"shard-{generation % 2}-{i}".encode(), partition=partition)
        for i, shard in enumerate(shards)
    ]
    done = [await wait for wait in waits]
    manifest = Manifest(
        next_offset=next_offset,
        first_shard=done[0].offset,
        shards=len(shards),
        size=size,
        crc=zlib.crc32(b"".join(shards)),
        generation=generation,
    )
    await producer.send_and_wait(name, msgspec.json.encode(manifest), key=MANIFEST_KEY, partition=partition)


async def read_newest(settings: KafkaSettings, partition: int) -> Restored | None:
    """The newest whole snapshot of a partition; None where there is none.

    Raises:
        SnapshotDamagedError: If the shards are not what their manifest says.
    """
    name, back = topics.SNAPSHOTS.name, _LOOK_BACK
    while True:
        # From the end backwards, further each time: a half-written snapshot may stand behind the last whole one.
        async with TopicReader(
            settings, (name,), offsets={(name, partition): -back}, partitions=(partition,), compacted=True
        ) as reader:
            start = reader.positions[name, partition]
            records = await reader.read_to_end()
        manifests = [record for record in records if record.key == MANIFEST_KEY and record.value]
        if manifests:
            values = {record.offset: record.value or b"" for record in records}
            found = _newest_whole(manifests, values, partition, start)
            if isinstance(found, Restored):
                return found
            back += start - found
            continue
        if not records or records[0].offset < back or len(records) < back:
            return None
        back *= 4


def _newest_whole(manifests: list[Record], values: dict[int, bytes], partition: int, start: int) -> Restored | int:
    """The newest snapshot that is what its manifest says; or how far back the records must go to know.

    A damaged one is passed over with an older one's offset: what was judged since is judged again, exactly.
    """
    damage: SnapshotDamagedError | None = None
    for record in reversed(manifests):
        manifest = msgspec.json.decode(record.value or b"", type=Manifest)
        if manifest.first_shard < start and damage is None:
            return manifest.first_shard
        try:
            return _whole(manifest, values, partition)
        except SnapshotDamagedError as error:
            damage = damage or error
            log.error("%s; trying the one before", error)  # noqa: TRY400  # the reason says it all
    raise damage or SnapshotDamagedError(f"partition {partition}: no snapshot is whole")


def _whole(manifest: Manifest, values: dict[int, bytes], partition: int) -> Restored:
    wanted = range(manifest.first_shard, manifest.first_shard + manifest.shards)
    missing = [offset for offset in wanted if offset not in values]
    if missing:
        raise SnapshotDamagedError(f"partition {partition}: shard at offset {missing[0]} of the snapshot is gone")
    packed = b"".join(values[offset] for offset in wanted)
    if zlib.crc32(packed) != manifest.crc:
        raise SnapshotDamagedError(f"partition {partition}: the snapshot's checksum differs from its manifest's")
    state: bytes = pa.decompress(packed, decompressed_size=manifest.size, codec=_CODEC, asbytes=True)
    return Restored(manifest, state)
