"""From Kafka to alarm events as Faust's tutorial has it: models, a table, an agent, an event for each breach."""

from __future__ import annotations

from typing import Any

import faust
from plain import Work

work = Work.told()
spec = work.spec


class Reading(faust.Record, serializer="json"):  # type: ignore[misc, call-arg]
    """One value of one sign."""

    sign: str
    value: float
    time_ns: int


class Bundle(faust.Record, serializer="json"):  # type: ignore[misc, call-arg]
    """What a device says."""

    device: str
    boot: int
    seq: int
    sent_ns: int
    readings: list[Reading]


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
alarms = app.topic(spec["output"], value_serializer="json")
means = app.Table("means", default=dict)


@app.agent(bundles)  # type: ignore[untyped-decorator]
async def judge(stream: Any) -> None:
    """One bundle after another."""
    async for bundle in stream:
        said = {reading.sign: reading.value for reading in bundle.readings}
        mine = means[bundle.device]
        result = work.step({"patient": bundle.device, "seq": bundle.seq, "sent_ns": bundle.sent_ns, **said}, mine)
        means[bundle.device] = mine
        breached = work.breached(said)
        if breached:
            event = {
                "event_id": f"{bundle.device}:{bundle.boot}:{bundle.seq}",
                "patient": bundle.device,
                "sent_ns": bundle.sent_ns,
                "breached": breached,
                "news2": result["news2"],
                "means": {name: result[name] for name in said},
            }
            await alarms.send(key=bundle.device, value=event)


if __name__ == "__main__":
    faust.Worker(app, loglevel="INFO").execute_from_commandline()
