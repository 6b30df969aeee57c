"""Faust as its tutorial has it: a model, a table, an agent, and a send for each message."""

from __future__ import annotations

from typing import Any

import faust
from plain import Work

work = Work.told()
spec = work.spec


class Bundle(faust.Record, serializer="json"):  # type: ignore[misc, call-arg]
    """What a device says."""

    patient: str
    seq: int
    sent_ns: int
    hr: float
    spo2: float
    resp: float
    temp_c: float
    sbp: float


app = faust.App(
    spec["group"],
    broker=f"kafka://{spec['bootstrap']}",
    store="memory://",
    topic_partitions=1,
    topic_replication_factor=1,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    datadir=spec["folder"],
)
bundles = app.topic(spec["input"], value_type=Bundle)
results = app.topic(spec["output"], value_serializer="json")
means = app.Table("means", default=dict)


@app.agent(bundles)  # type: ignore[untyped-decorator]
async def judge(stream: Any) -> None:
    """One bundle after another."""
    async for bundle in stream:
        mine = means[bundle.patient]
        result = work.step(bundle.asdict(), mine)
        means[bundle.patient] = mine
        await results.send(key=bundle.patient, value=result)


if __name__ == "__main__":
    faust.Worker(app, loglevel="INFO").execute_from_commandline()
