"""The limit in Python: confluent-kafka in large batches, each batch judged as arrays, one record out for each.

No recovery of any kind: what a pipeline would reach that did nothing but this work.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from deploy.bench.peers.columns import Columns, Means


class _Bundle(msgspec.Struct):
    patient: str
    seq: int
    sent_ns: int
    hr: float
    spo2: float
    resp: float
    temp_c: float
    sbp: float


_BATCH = 2000


def _consumer(spec: dict[str, Any]) -> Consumer:
    # By default librdkafka stops fetching at 100,000 messages in its queue and looks again after a second: the reader
    # would stand still for most of it.
    return Consumer(
        {"bootstrap.servers": spec["bootstrap"], "group.id": spec["group"], "enable.auto.commit": False,
         "queued.min.messages": 1_000_000, "fetch.queue.backoff.ms": 5}
    )  # fmt: skip


def main() -> None:
    """Run until all is done."""
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    consumer = _consumer(spec)
    consumer.assign([TopicPartition(spec["input"], 0, OFFSET_BEGINNING)])
    producer = Producer({"bootstrap.servers": spec["bootstrap"], "message.max.bytes": 4_000_000, "linger.ms": 0})
    means = Means(spec)
    decoder = msgspec.json.Decoder(_Bundle)
    signs = tuple(spec["signs"])
    left = spec["count"]
    while left:
        messages = consumer.consume(min(_BATCH, left), 0.1)
        if not messages:
            continue
        left -= len(messages)
        bundles = [decoder.decode(message.value()) for message in messages]
        columns = Columns.of(
            [bundle.patient for bundle in bundles],
            [bundle.seq for bundle in bundles],
            [bundle.sent_ns for bundle in bundles],
            [[getattr(bundle, sign) for sign in signs] for bundle in bundles],
        )
        producer.produce(spec["output"], means.judge(columns), partition=0)
        producer.poll(0)
    producer.flush()


def count(kind: str) -> None:
    """Read and parse, nothing else: prints how it went when all is read."""
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    wanted, warm = spec["count"], spec["warm"]
    decoder = msgspec.json.Decoder(_Bundle)
    read = 0
    began = (0.0, 0.0, 0)
    for values in _confluent(spec) if kind == "confluent" else _aiokafka(spec):
        for value in values:
            decoder.decode(value)
        read += len(values)
        if read >= warm and not began[2]:
            began = (time.monotonic(), time.process_time(), read)
        if read >= wanted:
            break
    wall_s, cpu_s = time.monotonic() - began[0], time.process_time() - began[1]
    print(json.dumps({"bundles": read - began[2], "wall_s": wall_s, "cpu_s": cpu_s}), flush=True)


def _confluent(spec: dict[str, Any]) -> Any:
    consumer = _consumer(spec)
    consumer.assign([TopicPartition(spec["input"], 0, OFFSET_BEGINNING)])
    while True:
        yield [message.value() for message in consumer.consume(_BATCH, 0.1)]


def _aiokafka(spec: dict[str, Any]) -> Any:
    import asyncio

    from aiokafka import AIOKafkaConsumer, TopicPartition

    loop = asyncio.new_event_loop()

    async def begin() -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(bootstrap_servers=spec["bootstrap"], auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(spec["input"], 0)])
        return consumer

    consumer = loop.run_until_complete(begin())
    while True:
        found = loop.run_until_complete(consumer.getmany(timeout_ms=100, max_records=_BATCH))
        yield [record.value for batch in found.values() for record in batch]


if __name__ == "__main__":
    count(sys.argv[2]) if len(sys.argv) > 2 else main()
