"""Teleward's way with the same work: blocks through its own Faust app and block codec, judged as arrays."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench.peers.columns import Columns, Means
from deploy.parts.part import quick_loops
from stream_processors.app import build_app, start
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings, make_producer
from vitals import block
from vitals.reading import Block
from vitals.signs import Sign


def columns_of(block_: Block, signs: tuple[str, ...]) -> Columns:
    """A block's bundles with a column for each sign."""
    value = np.full((block_.bundles, len(signs)), np.nan)
    place = np.full(len(Sign), -1)
    for column, name in enumerate(signs):
        place[Sign[name.upper()]] = column
    bundle = np.repeat(np.arange(block_.bundles), np.diff(block_.offsets))
    value[bundle, place[block_.sign]] = block_.value
    return Columns([block_.patients[i] for i in block_.patient.tolist()], block_.seq, block_.sent_ns, value)


async def serve(spec: dict[str, Any]) -> None:
    """Run until killed."""
    kafka = KafkaSettings(spec["bootstrap"], client_id="bench")
    producer = make_producer(kafka)
    await producer.start()
    app = build_app(
        "blocks", StreamSettings(kafka, partitions=1, group_prefix=spec["group"]), asyncio.get_running_loop()
    )
    means, signs = Means(spec), tuple(spec["signs"])

    @app.agent(app.topic(spec["input"], value_serializer="raw", key_serializer="raw"))  # type: ignore[untyped-decorator]
    async def judge(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            if (b := dict(message.headers).get("type")) != b"block":
                raise ValueError(f"a record of type {b!r} among the blocks")
            result = means.judge(columns_of(block.decode(message.value), signs))
            await producer.send(spec["output"], result, partition=0)

    await start(app)
    await asyncio.Event().wait()


if __name__ == "__main__":
    quick_loops()
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
