"""Speed of the InfluxDB store: lines, writes, and the time from a block to its points being there.

    python tests/benchmarks/influx_store.py            all of it, on the servers under .stack/

Readings carry five signs of 1,000 patients. `lines` compares making line protocol from columns with the client's own
`Point` objects, in CPU time of this process, outputs as long. `write` writes blocks of 250 bundles as fast as the store
takes them. `way` appends 100 blocks of 10 bundles a second to Kafka and notes for each when the store had acknowledged
it; a sample is asked for at once, and must be there.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from influxdb_client import Point

from deploy.clock import WardClock
from deploy.kafka_topics import ensure, plan
from deploy.native.servers import NativeSettings, NativeStack
from stream_processors.settings import StoringSettings, StreamSettings
from stream_processors.storing import Storing
from transport.kafka import KafkaSettings, make_producer
from transport.stores.base import Batch, BlockRecord
from transport.stores.influx import InfluxStore
from transport.stores.influx_columns import vitals
from transport.stores.influx_first import Newest
from transport.stores.influx_http import InfluxSettings
from transport.stores.influx_lines import joined
from transport.stores.influx_setup import set_up_influx
from vitals import block as blocks
from vitals import log, topics
from vitals.ledger import Origin
from vitals.reading import Block
from vitals.signs import Sign

PATIENTS = 1_000
SIGNS = (Sign.HR, Sign.SPO2, Sign.RESP, Sign.SBP, Sign.TEMP_C)
NAMES = [f"p-{i:04d}" for i in range(PATIENTS)]
DEVICES = [f"dev-{i:04d}" for i in range(PATIENTS)]


def made(first: int, bundles: int, now_ns: int) -> Block:
    """A block of bundles `first` and following: one patient after the other, five readings each."""
    number = np.arange(first, first + bundles)
    who, seq = number % PATIENTS, number // PATIENTS
    names, index = np.unique(who, return_inverse=True)
    n, k = bundles, len(SIGNS)
    zeros = np.zeros(n, np.int64)
    rng = np.random.default_rng(first)
    return Block(
        patients=[NAMES[i] for i in names], devices=[DEVICES[i] for i in names], patient=index, device=index,
        boot=zeros + 1, seq=seq, sent_ns=zeros + now_ns, received_ns=zeros + now_ns, n=zeros + k, n_before=seq * k,
        refused=zeros, battery_pct=np.full(n, 80.0), queued=zeros, offsets=np.arange(n + 1) * k,
        sign=np.tile(np.array(SIGNS, np.uint8), n), quality=np.zeros(n * k, np.uint8),
        value=np.round(rng.normal(80, 10, n * k), 1), time_ns=np.repeat(zeros + now_ns + seq, k),
    )  # fmt: skip


def lines() -> None:
    """Columns against points."""
    told = made(0, 1_000, time.time_ns())
    newest = Newest()
    record = BlockRecord(Origin("t", 0, 0), told)

    def ours() -> bytes:
        return joined(vitals(newest.sift([record], None), newest))  # type: ignore[arg-type]  # nothing is looked up

    def theirs() -> bytes:
        of = np.repeat(np.arange(told.bundles), np.diff(told.offsets))
        rows = zip(
            (told.patients[i] for i in told.patient[of]), (told.devices[i] for i in told.device[of]),
            told.sign.tolist(), told.quality.tolist(), told.value.tolist(), told.boot[of].tolist(),
            told.seq[of].tolist(), told.received_ns[of].tolist(), told.time_ns.tolist(), strict=True,
        )  # fmt: skip
        return b"".join(
            (
                Point("vitals").tag("device", d).tag("patient", p).tag("sign", Sign(s).column).field("quality", q)
                .field("value", v).field("boot", b).field("seq", n).field("received_ns", r).time(t).to_line_protocol()
                + "\n"
            ).encode()
            for p, d, s, q, v, b, n, r, t in rows
        )  # fmt: skip

    speed = {}
    for name, make in (("columns", ours), ("Point", theirs)):
        runs = []
        for _ in range(5):
            begin = time.process_time()
            size = len(make())
            runs.append(told.readings / (time.process_time() - begin))
        speed[name] = statistics.median(runs)
        print(f"lines   {name:8} {speed[name]:>10,.0f} points/s of CPU, {size / told.readings:.0f} bytes each")
    print(f"lines   ratio {speed['columns'] / speed['Point']:.1f}")


def write(url: str) -> None:
    """As fast as it goes."""
    settings = InfluxSettings(url, database="bench")
    set_up_influx(settings)
    with InfluxStore(settings) as store:
        now, bundles = time.time_ns(), 250
        batches = [
            Batch(
                blocks=[BlockRecord(Origin("t", 0, 8 * i + j), made(250 * (8 * i + j), bundles, now)) for j in range(8)]
            )
            for i in range(50)
        ]
        points = sum(record.block.readings + record.block.bundles for b in batches for record in b.blocks)
        begin, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            store.write(batch)
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        readings = store.counts().readings
    print(f"write   {points / took:,.0f} points/s ({readings / took:,.0f} readings/s), {cpu / took:.2f} of a core here")


class Noting(InfluxStore):
    """Notes when each block was acknowledged, and asks for one now and then."""

    def __init__(self, settings: InfluxSettings) -> None:
        super().__init__(settings)
        self.waits: list[float] = []
        self.missing = self.asked = 0

    def write(self, batch: Batch) -> None:
        """As `InfluxStore`, and the note."""
        super().write(batch)
        now = time.time_ns()
        for record in batch.blocks:
            self.waits.append((now - int(record.block.received_ns[0])) / 1e6)
            if len(self.waits) % 100 == 0:
                block = record.block
                at = int(block.time_ns[0])
                found = self.series(block.patients[block.patient[0]], [Sign.HR], at, at + 1)[Sign.HR]
                self.asked += 1
                self.missing += len(found.value) != 1


async def way(stack: NativeStack, seconds: int) -> None:
    """From a block to its points."""
    kafka = KafkaSettings(stack.bootstrap)
    settings = InfluxSettings(stack.influx_url, database="way")
    set_up_influx(settings)
    store = Noting(settings)
    app = Storing(StoringSettings(StreamSettings(kafka, partitions=1)), WardClock(), store)
    await app.start()
    await app.ready.wait()
    producer = make_producer(kafka)
    await producer.start()
    begin, cpu = time.perf_counter(), time.process_time()
    for i in range(100 * seconds):
        await asyncio.sleep(max(0.0, begin + i / 100 - time.perf_counter()))
        data = blocks.encode(made(10 * i, 10, time.time_ns()))
        await producer.send(topics.INPUT.name, data, partition=0, headers=[(log.HEADER, log.BLOCK)])
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    while len(store.waits) < 100 * seconds:
        await asyncio.sleep(0.01)
    await producer.stop()
    await app.stop()
    store.close()
    waits = np.array(store.waits[500:])  # five seconds to warm up
    told = ", ".join(f"p{p:g} {np.percentile(waits, p):.1f}" for p in (50, 95, 99, 99.9))
    print(
        f"way     1,000 bundles/s for {took:.0f} s: {told}, max {waits.max():.1f} ms; {cpu / took:.2f} of a core here"
    )
    print(f"way     {store.asked} asked for at once, {store.missing} not there; {app.counts.batches} batches")


async def main() -> None:
    """All of it."""
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    lines()
    with tempfile.TemporaryDirectory() as folder:
        async with NativeStack(NativeSettings(Path(folder))) as stack:
            await ensure(stack.bootstrap, plan(partitions=1))
            await asyncio.to_thread(write, stack.influx_url)
            await way(stack, 60)
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main())
