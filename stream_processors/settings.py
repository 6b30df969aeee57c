"""Settings of the two stream apps: where Kafka is, how often state is written down, how much may wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from transport.kafka import KafkaSettings
from vitals import topics

MODEL_DEADLINE_S: Final = 1.0
NEEDS_SOMEONE: Final = 78
"""Exit status (EX_CONFIG) of an app that would end in the same way if it was started again: somebody must decide."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What a Faust app needs to know.

    Attributes:
        kafka: How to reach Kafka.
        partitions: Of the input topic and of every topic that goes with it.
        group_prefix: Before the apps' names in consumer groups: two wards on one Kafka keep apart.
        instance: Id of a static member (quick restarts on a real Kafka); "" where the broker knows no such thing.
        session_s: After how long without a heartbeat a worker's partitions go to another.
        buffer: Records waiting inside Faust, over all partitions; blocks are large, so few are enough.
        snapshot_every_s: Shortest time between two snapshots of a partition; the effective one is longer where a
            snapshot takes long (a hundredth of the time goes into them, but none waits longer than 10 s).
        shard_bytes: Largest record of a snapshot, well under Kafka's limit.
        status_every_s: How often an app says how it is.
        model_deadline_s: Longest that a detector may take for one closed frame of one partition; below the ward's
            wait, so that the word that it is late stands in the log before the ward asks.
        other_snapshot: What to do with a snapshot that another version of the ward wrote: ``refuse`` ends the process
            with what to do; ``replay`` judges the log anew from its first kept record. Then what the rules of today
            say of the past is told as it comes, and all that is older than the log is forgotten.
    """

    kafka: KafkaSettings
    partitions: int = topics.PARTITIONS
    group_prefix: str = "teleward"
    instance: str = ""
    session_s: float = 6.0
    buffer: int = 256
    snapshot_every_s: float = 1.0
    shard_bytes: int = 900_000
    status_every_s: float = 2.0
    model_deadline_s: float = MODEL_DEADLINE_S
    other_snapshot: Literal["refuse", "replay"] = "refuse"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.partitions < 1:
            raise ValueError(f"partitions is {self.partitions}, must be at least 1")
        if self.shard_bytes > self.kafka.max_record_bytes:
            raise ValueError(
                f"shard_bytes is {self.shard_bytes}, must not be above max_record_bytes {self.kafka.max_record_bytes}"
            )


@dataclass(frozen=True, slots=True)
class StoringSettings:
    """What the storing app needs beside that.

    Attributes:
        stream: As for every app.
        batch_records: Records of Kafka written to the store at once, at most; also the bound of what waits.
        batch_readings: Readings in them, at most (and a block more): what bounds memory on a busy ward.
        frames_values: Values of closed frames that wait, at most (and a record more): they are written piece by piece,
            so that readings do not wait for those of a whole ward.
        write_every_s: Least seconds from the beginning of one write to that of the next, unless a batch is full. The
            first after a quiet while is made at once. A write costs much the same whatever is in it.
        commit_every_s: How often offsets of what the store has acknowledged are committed.
    """

    stream: StreamSettings
    batch_records: int = 512
    batch_readings: int = 50_000
    frames_values: int = 400_000
    write_every_s: float = 0.06
    commit_every_s: float = 1.0


__all__ = ["KafkaSettings", "StoringSettings", "StreamSettings"]
