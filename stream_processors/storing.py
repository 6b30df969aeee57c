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
from collections.abc import Collection, Coroutine
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import msgspec
from faust.types import TP

from stream_processors.app import Clock, Fatal, appended_ns, build_app, commit, end_process, start
from stream_processors.places import Places
from stream_processors.settings import StoringSettings
from stream_processors.storing_intake import READ, STATES, Intake, Waiting
from transport.kafka import make_producer
from transport.stores.base import Store, StoreUnavailable
from vitals import topics
from vitals.block import BlockError
from vitals.frames_codec import FramesError
from vitals.hops import TO_STORED, Histogram, Hop, Stamp
from vitals.quarantine import QuarantineError
from vitals.signs import SECOND_NS

log = logging.getLogger(__name__)

_json = msgspec.json.Encoder()
_KAFKA_AGAIN_S: Final = 1.0
_ALONE_AGAIN_S: Final = 1.0
_LOOK_EVERY_S: Final = 5.0
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
        self._intake = Intake()
        self._places = Places(lambda: self._app.consumer)
        self._restored = False
        self._turn = 0  # how often partitions were given out; what waited before belongs to whoever has them now
        self._writing = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._full = asyncio.Event()
        self._written: dict[TP, int] = {}  # offsets the store has acknowledged, not yet committed
        self._committed_s = 0.0
        self._app: Any = None
        self._producer: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble = ""
        self._since_s = 0.0  # monotonic time at which the trouble began
        self.counts = StoringCounts()
        self.ready = asyncio.Event()
        self.hops = {Hop.STORE: Histogram(), Hop.LOG: self._intake.log_hop}
        self.ways = {TO_STORED: Histogram()}

    async def start(self) -> None:
        """Join the group; `ready` tells when partitions are ours."""
        self._producer = make_producer(self._settings.stream.kafka)
        await self._producer.start()
        app = build_app("storing", self._settings.stream, asyncio.get_running_loop())
        self._app = app
        topic = app.topic(*(t.name for t in READ), value_serializer="raw", key_serializer="raw")

        @app.agent(topic)  # type: ignore[untyped-decorator]
        async def keep(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._take(event.message)

        app.on_rebalance_complete.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_leaving)
        app.on_before_shutdown.connect(self._on_leaving)
        await start(app)
        tasks = (self._keep_writing(), self._keep_looking(), self._keep_saying())
        self._tasks = [asyncio.create_task(task) for task in tasks]

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
        self._turn += 1
        self._intake.forget()
        self._written, self._restored = {}, False
        self._places.forget()
        self._room.set()
        self._full.clear()
        if self._app.consumer.assignment():
            self.ready.set()

    async def _on_leaving(self, *_: Any, **__: Any) -> None:
        with contextlib.suppress(StoreUnavailable):
            while not self._intake.empty:
                await self._write_waiting()
        await self._commit()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _take(self, message: Any) -> None:
        turn = self._turn
        await self._room.wait()
        while not self._restored:
            await self._restore()
        tp = TP(message.topic, message.partition)
        # One that waited while partitions were given out anew comes again, in its turn.
        if turn != self._turn or not await self._places.is_next(tp, message.offset):
            return
        self.counts.records += 1
        try:
            emitted = appended_ns(message, self._clock) if message.topic == topics.ALARMS.name else None
            self._intake.take(message, emitted)
        except (*_UNREADABLE, msgspec.DecodeError) as error:
            # Monitoring puts unreadable input into the dead-letter topic; the store only counts it.
            self.counts.unreadable += 1
            # Not the error's own text: it may quote what the record holds.
            what = type(error).__name__
            log.warning("%s %d:%d not kept: %s", message.topic, message.partition, message.offset, what)
        self._intake.settle(message)
        self._places.took(tp, message.offset)
        if self._is_full():
            self._room.clear()
            self._full.set()
        self._arrived.set()

    def _is_full(self) -> bool:
        waiting = self._intake.waiting
        return (
            waiting.count >= self._settings.batch_records
            or waiting.readings >= self._settings.batch_readings
            or self._intake.frames_values >= self._settings.frames_values
        )

    async def _restore(self) -> None:
        """Go on from what the store keeps; returns with nothing done where it does not answer yet."""
        async with self._writing:  # a batch on its way may still change it
            if self._restored:
                return
            turn, mine = self._turn, sorted(self._app.consumer.assignment())
            try:
                self._check_alone(mine)
                await asyncio.to_thread(self._store.begin)
                books = await asyncio.to_thread(self._store.books, STATES)
                settled = await asyncio.to_thread(lambda: {tp: self._store.settled(*tp) for tp in mine})
            except StoreUnavailable as error:
                self._note_trouble(error)
                await asyncio.sleep(error.retry_after_s)
                return
            try:
                first = await self._app.consumer.earliest_offsets(*mine)
                ends = await self._app.consumer.highwaters(*mine)
            except Exception as error:  # noqa: BLE001  # Kafka is away, or between two assignments; tried again
                log.warning("Kafka does not say where its topics begin and end: %s", error)
                await asyncio.sleep(_KAFKA_AGAIN_S)
                return
            if turn != self._turn:
                return
            inputs = {tp.partition: ends[tp] for tp in mine if tp.topic == topics.INPUT.name}
            for partition in self._intake.restore(books, inputs):
                log.error(
                    "%s, partition %d, ends before what the store has of it: another Kafka? A database belongs to one",
                    topics.INPUT.name,
                    partition,
                )
            self._places.begin(settled, first, ends)
            self._restored = True
        await self._places.go_to()

    def _check_alone(self, mine: Collection[TP]) -> None:
        """Two that write would each go on from books of their own, and the ledger would be that of neither.

        Raises:
            StoreUnavailable: If a part of what is to be stored was given to another process.
        """
        elsewhere = sorted(
            tp
            for topic in READ
            for partition in range(self._settings.stream.partitions if topic.partitioned else 1)
            if (tp := TP(topic.name, partition)) not in mine
        )
        if elsewhere:
            raise StoreUnavailable(
                f"another storing process reads {len(elsewhere)} of the partitions ({elsewhere[0].topic}, partition "
                f"{elsewhere[0].partition}, is one), and one alone may write: end either",
                _ALONE_AGAIN_S,
            )

    async def _keep_looking(self) -> None:
        """Nothing may wait for a record that comes later: on a quiet topic that is a long time."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._room.is_set() and self._app.consumer.assignment():
                await (self._places.look() if self._restored else self._restore())

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _keep_writing(self) -> None:
        began_s = 0.0
        while True:
            await self._arrived.wait()
            await _reached(self._full, began_s + self._settings.write_every_s)
            self._arrived.clear()
            began_s = time.monotonic()
            try:
                await self._write_waiting()
                if self._restored:  # else nothing was there to write
                    self._trouble = ""
            except StoreUnavailable as error:
                self.counts.retries += 1
                self._note_trouble(error)
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

    def _note_trouble(self, error: StoreUnavailable) -> None:
        if not self._trouble:
            self._since_s = time.monotonic()
            log.warning("the store does not take anything: %s", error)
        self._trouble = str(error)

    async def _write_waiting(self) -> None:
        """Write all that waits as one batch; on failure it waits on."""
        async with self._writing:  # one batch at a time, or an offset could pass one that failed
            if self._intake.empty:
                return
            turn, waiting = self._turn, self._intake.take_all()
            try:
                # To its end, whoever stops us: a thread goes on writing what nobody waits for any more, and the same
                # records would be written beside it by whoever has the lock next.
                stopped = await to_its_end(asyncio.to_thread(self._store.write, waiting.batch()))
            except BaseException:
                if turn == self._turn:
                    waiting.join(self._intake.waiting)
                    self._intake.waiting = waiting
                raise
            if turn == self._turn:
                self._note_written(waiting)
            if stopped:
                raise asyncio.CancelledError

    def _note_written(self, waiting: Waiting) -> None:
        """The store has all of this."""
        stored_ns = self._clock.now_ns()
        for event in waiting.events:
            if Stamp.STORED not in event.stamps and Stamp.SCORED in event.stamps:
                began = event.stamps.get(Stamp.EMITTED, event.stamps[Stamp.SCORED])
                self.hops[Hop.STORE].record(max(0, stored_ns - began))
                # The last stamp of an event is known only now; it goes with the next batch, over the same point.
                self._intake.waiting.events.append(replace(event, stamps={**event.stamps, Stamp.STORED: stored_ns}))
        for record in waiting.blocks:
            self.ways[TO_STORED].record_many(stored_ns - record.block.sent_ns)
        self.counts.written += waiting.count
        self.counts.batches += 1
        for (topic, partition), offset in waiting.settled.items():
            self._written[TP(topic, partition)] = offset
        if not self._is_full():
            self._room.set()
            self._full.clear()
        if not self._intake.empty:  # frames go piece by piece
            self._arrived.set()

    async def _commit(self) -> None:
        written, self._written = self._written, {}
        self._committed_s = time.monotonic()
        if written and self._app is not None:
            await commit(self._app, written)

    def settled(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> first offset that the store has not acknowledged, as far as this process knows."""
        return {
            (topic.name, partition): found
            for topic in READ
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
        now_ns, rejected = self._clock.now_ns(), self._store.rejected()
        away_s = time.monotonic() - self._since_s if self._trouble else 0.0
        parts = [f"{self.counts.written} kept"]
        if self._trouble:
            parts = [f"the store has taken nothing for {away_s:.0f} s ({self._trouble}); Kafka keeps what waits"]
        parts += [f"{count} points rejected: {why}" for why, count in sorted(rejected.items())]
        return {
            "part": "storing",
            "status": "slow" if self._trouble else "ok",
            "text": "; ".join(parts),
            "at_ns": now_ns,
            "waiting": self._intake.records,
            "away_s": away_s,
            **({"behind_s": (now_ns - self._intake.now_ns) / SECOND_NS} if self._intake.now_ns >= 0 else {}),
            "counts": asdict(self.counts)
            | {"skipped": self._places.skipped, "lost": self._places.lost}
            | {"rejected": sum(rejected.values())},
            "hops": {hop.value: histogram.to_bytes().hex() for hop, histogram in self.hops.items()},
            "ways": {way: histogram.to_bytes().hex() for way, histogram in self.ways.items()},
        }


async def to_its_end(work: Coroutine[Any, Any, object]) -> bool:
    """Wait for work that cannot be taken back, though we are told to stop in between.

    Returns:
        Whether we were told to stop.

    Raises:
        CancelledError: If we were told to stop and the work failed.
    """
    task, stopped = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            stopped = True
    if stopped and not task.cancelled() and (error := task.exception()) is not None:
        raise asyncio.CancelledError from error
    task.result()
    return stopped


async def _reached(event: asyncio.Event, until_s: float) -> None:
    """Wait for the event, or until the monotonic time if that comes first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(until_s - time.monotonic()):
            await event.wait()
