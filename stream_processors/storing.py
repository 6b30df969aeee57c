"""Everything worth keeping -> the store. A separate app with its own consumer group: alarms do not wait for it.

Reads the input log (readings, and what they say for the ledger), closed frames, alarm events, the quarantine and what
the parts say of their hops. What waits is bounded: when the store is slow or away, reading stops, Kafka keeps the rest,
and the app says so. Offsets are committed only after the store has acknowledged; written twice changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from faust.types import TP

from stream_processors.app import Clock, Fatal, build_app, commit, end_process, start
from stream_processors.settings import StoringSettings
from transport.kafka import make_producer
from transport.stores.base import (
    Batch,
    BlockRecord,
    HopWindow,
    RefusalRecord,
    Store,
    StoredEvent,
    StoreUnavailable,
)
from vitals import block, frames_codec, quarantine, topics
from vitals import log as records
from vitals.block import BlockError
from vitals.events import Frames, event_decoder
from vitals.frames_codec import FramesError
from vitals.hops import Histogram, Hop, Stamp
from vitals.ledger import Origin, Refusal
from vitals.quarantine import QuarantineError

log = logging.getLogger(__name__)

_READ: Final = (topics.INPUT, topics.FRAMES, topics.ALARMS, topics.QUARANTINE, topics.HEALTH)
_json = msgspec.json.Encoder()
# Whatever a record may hold instead of what it should: it is counted, and the next one is kept.
_UNREADABLE: Final = (BlockError, FramesError, QuarantineError, ValueError, TypeError, KeyError, RecursionError)


@dataclass(slots=True)
class StoringCounts:
    """What the app has counted since it started."""

    records: int = 0
    written: int = 0
    batches: int = 0
    unreadable: int = 0
    retries: int = 0


@dataclass(slots=True)
class _Waiting:
    """Records read and not yet acknowledged by the store."""

    blocks: list[BlockRecord]
    refusals: list[RefusalRecord]
    frames: list[Frames]
    events: list[StoredEvent]
    hops: list[HopWindow]
    settled: dict[tuple[str, int], int]
    count: int = 0

    @classmethod
    def empty(cls) -> _Waiting:
        return cls([], [], [], [], [], {})

    def batch(self) -> Batch:
        return Batch(
            blocks=self.blocks,
            refusals=self.refusals,
            frames=self.frames,
            events=self.events,
            hops=self.hops,
            settled=[Origin(topic, partition, offset) for (topic, partition), offset in sorted(self.settled.items())],
        )


class Storing:
    """The Faust app ``storing``."""

    def __init__(self, settings: StoringSettings, clock: Clock, store: Store, *, fatal: Fatal = end_process) -> None:
        """Nothing is connected before `start`.

        Args:
            settings: Where and how.
            clock: Ward time, for stamps.
            store: Where things are kept; called in a thread.
            fatal: Called with what happened when the app cannot go on.
        """
        self._settings = settings
        self._clock = clock
        self._store = store
        self._fatal = fatal
        self._waiting = _Waiting.empty()
        self._writing = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._written: dict[TP, int] = {}  # offsets the store has acknowledged, not yet committed
        self._committed_s = 0.0
        self._app: Any = None
        self._producer: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble = ""
        self._appended: deque[tuple[int, int, int]] = deque(maxlen=4096)
        self._fetched: dict[tuple[int, int], int] = {}
        self.counts = StoringCounts()
        self.ready = asyncio.Event()
        self.hops = {hop: Histogram() for hop in (Hop.STORE, Hop.LOG)}

    async def start(self) -> None:
        """Join the group; `ready` tells when partitions are ours."""
        self._producer = make_producer(self._settings.stream.kafka)
        await self._producer.start()
        app = build_app("storing", self._settings.stream, asyncio.get_running_loop())
        self._app = app
        topic = app.topic(*(t.name for t in _READ), value_serializer="raw", key_serializer="raw")

        @app.agent(topic)  # type: ignore[untyped-decorator]
        async def keep(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._take(event.message)

        app.on_rebalance_complete.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_leaving)
        app.on_before_shutdown.connect(self._on_leaving)
        await start(app)
        self._tasks = [asyncio.create_task(self._keep_writing()), asyncio.create_task(self._keep_saying())]

    async def stop(self) -> None:
        """Write what waits, if the store answers, leave the group, close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._app is not None:
            await self._app.stop()
        if self._producer is not None:
            await self._producer.stop()

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        # What waits belongs to partitions that may be another's now; it is read again by whoever has them.
        self._waiting, self._written = _Waiting.empty(), {}
        if self._app.consumer.assignment():
            self.ready.set()

    async def _on_leaving(self, *_: Any, **__: Any) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._write_waiting()
        await self._commit()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _take(self, message: Any) -> None:
        await self._room.wait()
        waiting = self._waiting
        self.counts.records += 1
        try:
            self._decode(message, waiting)
        except (*_UNREADABLE, msgspec.DecodeError) as error:
            # Monitoring puts unreadable input into the dead-letter topic; the store only counts it.
            self.counts.unreadable += 1
            # Not the error's own text: it may quote what the record holds.
            what = type(error).__name__
            log.warning("%s %d:%d not kept: %s", message.topic, message.partition, message.offset, what)
        waiting.settled[message.topic, message.partition] = message.offset + 1
        waiting.count += 1
        if waiting.count >= self._settings.batch_records:
            self._room.clear()
        self._arrived.set()

    def _decode(self, message: Any, waiting: _Waiting) -> None:
        origin = Origin(message.topic, message.partition, message.offset)
        value = message.value or b""
        if message.topic == topics.INPUT.name:
            if dict(message.headers or {}).get(records.HEADER) == records.BLOCK:
                waiting.blocks.append(BlockRecord(origin, block.decode(value)))
        elif message.topic == topics.FRAMES.name:
            waiting.frames.append(frames_codec.decode(value))
        elif message.topic == topics.ALARMS.name:
            headers = dict(message.headers or {})
            stamps = msgspec.json.decode(headers.get("stamps") or b"{}", type=dict[str, int])
            waiting.events.append(StoredEvent(event_decoder.decode(value), stamps))
        elif message.topic == topics.QUARANTINE.name:
            told = quarantine.decode(value)
            if told.fault is not None:
                waiting.refusals.append(
                    RefusalRecord(
                        origin,
                        Refusal(device=told.device, boot=told.boot, seq=told.seq, n=told.n, n_before=told.n_before),
                    )
                )
        else:
            self._health(msgspec.json.decode(value, type=dict[str, Any]), waiting)

    def _health(self, told: dict[str, Any], waiting: _Waiting) -> None:
        """Hop times of the parts, and the two halves of the hop from Kafka's log to monitoring."""
        at_ns = int(told.get("at_ns", 0))
        for hop, data in (told.get("hops") or {}).items():
            histogram = Histogram.from_bytes(bytes.fromhex(data))
            if histogram.count:
                waiting.hops.append(HopWindow(str(told.get("part", "")), hop, at_ns, histogram))
        for partition, offset, stamp in told.get("fetched") or ():
            self._fetched[partition, offset] = stamp
        self._appended.extend((p, o, s) for p, o, s in told.get("appended") or ())
        for _ in range(len(self._appended)):
            partition, offset, stamp = self._appended.popleft()
            fetched = self._fetched.pop((partition, offset), None)
            if fetched is not None:
                self.hops[Hop.LOG].record(max(0, fetched - stamp))
            else:
                self._appended.append((partition, offset, stamp))
        while len(self._fetched) > 8192:  # halves that never met
            del self._fetched[next(iter(self._fetched))]

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _keep_writing(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                await self._write_waiting()
                self._trouble = ""
            except StoreUnavailable as error:
                self.counts.retries += 1
                if not self._trouble:
                    log.warning("the store does not take anything: %s", error)
                self._trouble = str(error)
                self._arrived.set()
                await asyncio.sleep(error.retry_after_s)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # what is not kept must be read again
                log.exception("the store failed")
                self._fatal("storing", error)
                return
            if time.monotonic() - self._committed_s >= self._settings.commit_every_s:
                await self._commit()

    async def _write_waiting(self) -> None:
        """Write all that waits as one batch; on failure it waits on."""
        async with self._writing:  # one batch at a time, or an offset could pass one that failed
            waiting = self._waiting
            if not waiting.count:
                return
            self._waiting = _Waiting.empty()
            try:
                await asyncio.to_thread(self._store.write, waiting.batch())
            except BaseException:
                self._waiting = _joined(waiting, self._waiting)
                raise
            stored_ns = self._clock.now_ns()
            for event in waiting.events:
                if Stamp.SCORED in event.stamps:
                    self.hops[Hop.STORE].record(max(0, stored_ns - event.stamps[Stamp.SCORED]))
            self.counts.written += waiting.count
            self.counts.batches += 1
            for (topic, partition), offset in waiting.settled.items():
                self._written[TP(topic, partition)] = offset
            if self._waiting.count < self._settings.batch_records:
                self._room.set()

    async def _commit(self) -> None:
        written, self._written = self._written, {}
        self._committed_s = time.monotonic()
        if written and self._app is not None:
            await commit(self._app, written)

    def settled(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> first offset that the store has not acknowledged, as far as this process knows."""
        return {
            (topic.name, partition): found
            for topic in _READ
            for partition in range(self._settings.stream.partitions if topic.partitioned else 1)
            if (found := self._store.settled(topic.name, partition)) is not None
        }

    # -- what it says of itself --------------------------------------------------------------------------------------

    async def _keep_saying(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stream.status_every_s)
            with contextlib.suppress(Exception):  # its health is told by silence too
                await self._producer.send(topics.HEALTH.name, _json.encode(self.health()), key=b"storing")

    def how(self) -> tuple[str, str]:
        """Status (ok, slow) and words."""
        if self._trouble:
            return "slow", f"the store does not take anything: {self._trouble}"
        return "ok", f"{self.counts.written} kept"

    def health(self) -> dict[str, Any]:
        """How the app is, for the console and the store."""
        status, text = self.how()
        return {
            "part": "storing",
            "status": status,
            "text": text,
            "at_ns": self._clock.now_ns(),
            "counts": {name: getattr(self.counts, name) for name in StoringCounts.__dataclass_fields__},
            "hops": {hop.value: histogram.to_bytes().hex() for hop, histogram in self.hops.items()},
        }


def _joined(first: _Waiting, then: _Waiting) -> _Waiting:
    return _Waiting(
        first.blocks + then.blocks,
        first.refusals + then.refusals,
        first.frames + then.frames,
        first.events + then.events,
        first.hops + then.hops,
        first.settled | then.settled,
        first.count + then.count,
    )
