"""Records of the one log -> ward -> scores and alarms. Hosts one ward for each partition; does almost nothing else.

Exactly once, by the pattern that held under kill -9 (docs/decisions.md, "Faust"): the ward's state goes to a snapshot
topic with the offset it includes; an offset is committed only after its snapshot; after a restart, records below the
snapshot's offset are skipped and a gap is sought back to. Effects may then be sent twice, with the same ids, and every
reader drops repeats. Whatever cannot be sent or written down ends the process, and a supervisor starts it again.

A record that cannot be read goes to the dead-letter topic. One on which the ward itself fails is tried twice, each time
by a ward restored from the last snapshot (it may have been half judged); then it goes there too, and its partition goes
on without it. A snapshot of another version of the ward is not guessed at: see `StreamSettings.other_snapshot`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from faust.types import TP

from stream_processors import deadletter
from stream_processors.ahead import Ahead, Word
from stream_processors.app import Clock, Fatal, appended_ns, build_app, end_process, start
from stream_processors.keeping import Keeper
from stream_processors.lanes import Lane, MonitoringCounts
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaError, make_producer
from vitals import frames_codec, topics
from vitals import log as records
from vitals.events import event_encoder
from vitals.hops import CLOCK_LEAST, CLOCK_MOST, TO_SCORED, Histogram, Hop, Stamp
from vitals.reading import Block
from vitals.ward import Outcome, Ward

log = logging.getLogger(__name__)

_INPUT: Final = topics.INPUT.name
_SEEK_AGAIN_S: Final = 0.25
_TRIES: Final = 2  # of a record on which the ward fails: memory may have run out, and not for its sake
_json = msgspec.json.Encoder()


class Monitoring:
    """The Faust app ``monitoring``."""

    def __init__(
        self,
        settings: StreamSettings,
        clock: Clock,
        *,
        ward: Callable[[], Ward] = Ward,
        fatal: Fatal = end_process,
    ) -> None:
        """Nothing is connected before `start`.

        Args:
            settings: Where and how.
            clock: Ward time, for stamps only; nothing is decided by it.
            ward: Makes an empty ward.
            fatal: Called with what happened when the app cannot go on; in a process of its own it must not return.
        """
        self._settings = settings
        self._clock = clock
        self._fatal = fatal
        self._ahead = Ahead(settings.model_deadline_s)
        self._lanes: dict[int, Lane] = {}
        self._producer: Any = None
        self._app: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self.counts = MonitoringCounts()
        self._keeper = Keeper(settings, self.counts, lambda: self._ahead.host(ward()))
        self.ready = asyncio.Event()  # partitions are ours and restored
        self.hops = {hop: Histogram() for hop in (Hop.RADIO, Hop.JUDGE, Hop.EMIT, Hop.TO_ALARM)}
        self.ways = {TO_SCORED: Histogram()}
        self._fetched: deque[tuple[int, int, int]] = deque(maxlen=4096)  # partition, offset, stamp: for the hop LOG
        self._clocks = PatientClocks()
        self._bad: dict[tuple[int, int], list[str]] = {}  # partition, offset -> each failure of the ward on it

    async def start(self) -> None:
        """Join the group; wait for `ready` to know that the partitions are restored."""
        self._producer = make_producer(self._settings.kafka)
        await self._producer.start()
        self._keeper.producer = self._producer
        app = build_app("monitoring", self._settings, asyncio.get_running_loop())
        self._app = self._keeper.app = app
        topic = app.topic(_INPUT, value_serializer="raw", key_serializer="raw")

        @app.agent(topic)  # type: ignore[untyped-decorator]
        async def judge(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._take(event.message)

        app.on_rebalance_complete.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_before_shutdown.connect(self._on_shutdown)
        await start(app)
        keep = (self._keep_snapshots(), self._keep_saying(), self._ahead.keep(self._say_outage))
        self._tasks = [asyncio.create_task(each) for each in keep]

    async def stop(self) -> None:
        """Write everything down, leave the group, close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._app is not None:
            await self._app.stop()
        if self._producer is not None:
            await self._producer.stop()

    # -- partitions come and go --------------------------------------------------------------------------------------

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        """Before Faust seeks and resumes: forget all wards, restore those of the partitions that are ours now."""
        self._lanes = {}
        self._ahead.forget()
        try:
            mine = sorted(tp.partition for tp in self._app.consumer.assignment() if tp.topic == _INPUT)
            for partition in mine:
                self._lanes[partition] = await self._keeper.restore(partition)
        except Exception as error:  # noqa: BLE001  # without its state a ward must not go on
            self._fatal("monitoring", error)
            return
        if self._lanes:
            self.ready.set()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        await self._write_all()

    async def _on_shutdown(self, *_: Any, **__: Any) -> None:
        await self._write_all()

    # -- records -----------------------------------------------------------------------------------------------------

    async def _take(self, message: Any) -> None:
        """One record: skip what the state includes, seek back over a gap, judge what is next."""
        fetched_ns = self._clock.now_ns()
        lane = self._lanes.get(message.partition)
        if lane is None:
            return
        async with lane.lock:
            if message.offset < lane.next_offset:
                self.counts.skipped += 1
                return
            if message.offset > lane.next_offset:
                await self._seek_back(message.partition, lane)
                return
            lane.seeking = False
            try:
                await self._apply(message, lane, fetched_ns)
            except Exception as error:  # nothing may be skipped: end, and be started again
                log.exception("partition %d, offset %d cannot be judged", message.partition, message.offset)
                self._fatal("monitoring", error)

    async def _seek_back(self, partition: int, lane: Lane) -> None:
        """Go back to what is next; again after a while, as long as it does not come.

        Faust notes the offset of what it is just handing on after our seek and then drops all that is older, without
        a word: one seek may be undone.
        """
        if lane.seeking and time.monotonic() - lane.sought_s < _SEEK_AGAIN_S:
            self.counts.skipped += 1
            return
        lane.seeking, lane.sought_s = True, time.monotonic()
        try:
            first = await self._keeper.beginning(partition)
            if first > lane.next_offset:
                self._keeper.note_lost(partition, first - lane.next_offset)
                lane.next_offset = first
            await self._app.consumer.seek(TP(_INPUT, partition), lane.next_offset)
        except Exception as error:  # noqa: BLE001  # between two assignments; tried again
            log.warning("partition %d: no way back to offset %d yet: %s", partition, lane.next_offset, error)

    async def _apply(self, message: Any, lane: Lane, fetched_ns: int) -> None:
        partition, offset = message.partition, message.offset
        record = await self._readable(message)
        if record is not None:
            try:
                out = lane.ward.step(record)
            except Exception as error:  # noqa: BLE001  # whatever it was, the ward may have been half through
                await self._judge_again(partition, lane, offset, error)
                return
            scored_ns = self._clock.now_ns()
            self._ahead.begin(partition, lane.ward)
            self._count(record, out, fetched_ns, scored_ns)
            self._clocks.note(record)
            self._fetched.append((partition, offset, fetched_ns))
            appended = appended_ns(message, self._clock) if out.events else None
            for event in out.events:
                stamps = {
                    **_published(record, event.patient),
                    **self._clocks.of(event.patient),
                    **({} if appended is None else {Stamp.APPENDED: min(appended, fetched_ns)}),
                    Stamp.FETCHED: fetched_ns,
                    Stamp.SCORED: scored_ns,
                }
                if event.evidence:
                    stamps[Stamp.MEASURED] = max(evidence.time_ns for evidence in event.evidence)
                headers = [("stamps", _json.encode(stamps)), ("cause", f"{partition}:{offset}".encode())]
                await self._send(
                    lane,
                    topics.ALARMS.name,
                    partition,
                    event.patient.encode(),
                    event_encoder.encode(event),
                    headers,
                    emitted=(scored_ns, stamps.get(Stamp.MEASURED)),
                )
            for frames in (part for whole in out.frames for part in frames_codec.parts(whole)):
                headers = [("end_ns", str(frames.end_ns).encode())]
                await self._send(lane, topics.FRAMES.name, partition, None, frames_codec.encode(frames), headers)
        lane.next_offset = offset + 1

    async def _readable(self, message: Any) -> records.Record | None:
        """What a record says; None for what goes to the dead letters and is passed over."""
        why = self._bad.get((message.partition, message.offset), [])
        if len(why) < _TRIES:
            try:
                return deadletter.read(message)
            except deadletter.UNREADABLE as error:
                # The reason may quote what a record holds: it stands with the record, never in the logs.
                reason, kind = str(error), type(error).__name__
        else:
            reason, kind = f"the ward failed on it: {', then '.join(why)}", why[-1]
        self.counts.dead += 1
        log.error(
            "partition %d, offset %d is not judged (%s): see %s",
            *(message.partition, message.offset, kind, topics.DEADLETTER.name),
        )
        await deadletter.put(self._producer, message, reason)
        return None

    async def _judge_again(self, partition: int, lane: Lane, offset: int, error: Exception) -> None:
        """The ward failed on a record: go back to what was last written down, and come here again."""
        why = self._bad.setdefault((partition, offset), [])
        why.append(deadletter.where(error))
        log.error("partition %d, offset %d: the ward failed on it (%s); once more from the last snapshot",
                  partition, offset, why[-1])  # fmt: skip
        back = await self._keeper.restore(partition)
        lane.ward, lane.next_offset, lane.written = back.ward, back.next_offset, back.written
        await self._seek_back(partition, lane)

    async def _send(
        self,
        lane: Lane,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: list[tuple[str, bytes]],
        *,
        emitted: tuple[int, int | None] | None = None,
    ) -> None:
        sent = await self._producer.send(topic, value, key=key, partition=partition, headers=headers)
        lane.pending.append(sent)
        if emitted is not None:
            sent.add_done_callback(lambda _: self._note_emitted(*emitted))

    def _note_emitted(self, scored_ns: int, measured_ns: int | None) -> None:
        now = self._clock.now_ns()
        self.hops[Hop.EMIT].record(max(0, now - scored_ns))
        if measured_ns is not None:
            self.hops[Hop.TO_ALARM].record(max(0, now - measured_ns))

    def _count(self, record: records.Record, out: Outcome, fetched_ns: int, scored_ns: int) -> None:
        self.counts.records += 1
        self.counts.events += len(out.events)
        self.counts.frames += len(out.frames)
        self.hops[Hop.JUDGE].record(max(0, scored_ns - fetched_ns))
        if isinstance(record, Block):
            self.counts.bundles += record.bundles
            self.counts.readings += record.readings
            self.hops[Hop.RADIO].record_many((record.received_ns - record.sent_ns).clip(0))
            self.ways[TO_SCORED].record_many(scored_ns - record.sent_ns)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(min(self._settings.snapshot_every_s / 4, _SEEK_AGAIN_S))
            for partition, lane in list(self._lanes.items()):
                if lane.seeking:
                    async with lane.lock:
                        await self._seek_back(partition, lane)
                if lane.next_offset > lane.written and time.monotonic() >= lane.due_s:
                    await self._write_guarded(partition, lane)

    async def _write_all(self) -> None:
        for partition, lane in list(self._lanes.items()):
            if lane.next_offset > lane.written:
                await self._write_guarded(partition, lane)

    async def _write_guarded(self, partition: int, lane: Lane) -> None:
        try:
            await self._keeper.write(partition, lane)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # what is not written down must be read again
            self._fatal("monitoring", error)

    @property
    def positions(self) -> dict[int, int]:
        """Partition -> first offset of the input that is not judged yet."""
        return {partition: lane.next_offset for partition, lane in self._lanes.items()}

    def now_ns(self) -> int:
        """How far ward time has come in all of its partitions; -1 where there is none yet."""
        return min((lane.ward.now_ns for lane in self._lanes.values()), default=-1)

    async def _say_outage(self, word: Word) -> None:
        """Into the log, and only then into the ward: what is not said would be judged otherwise by the next one."""
        log.warning("partition %d: model %s: %s, %s", word.partition, word.detector, word.state, word.reason)
        said = records.Outage(
            detector=word.detector,
            version=word.version,
            state=word.state,
            at_ns=self._clock.now_ns(),
            reason=word.reason,
        )
        kind, value = records.encode(said)
        headers = [(records.HEADER, kind)]
        try:
            await self._producer.send_and_wait(_INPUT, value, partition=word.partition, headers=headers)
        except KafkaError as error:
            self._fatal("monitoring", error)

    # -- what it says of itself --------------------------------------------------------------------------------------

    async def _keep_saying(self) -> None:
        while True:
            await asyncio.sleep(self._settings.status_every_s)
            with contextlib.suppress(Exception):  # its health is told by silence too
                await self._producer.send(topics.HEALTH.name, _json.encode(self.health()), key=b"monitoring")

    def how(self) -> tuple[str, str]:
        """Status (ok, slow, down) and words."""
        lost = f"; {self.counts.lost} records were deleted before they were judged" if self.counts.lost else ""
        dead = f"; {self.counts.dead} records could not be read" if self.counts.dead else ""
        out = "".join(f"; model {name} {state}" for name, state in sorted(self._ahead.out().items()))
        status = "down" if not self._lanes else ("slow" if lost or dead or out else "ok")
        return status, f"{len(self._lanes)} partitions, {self.counts.records} records{lost}{dead}{out}"

    def health(self) -> dict[str, Any]:
        """How the app is, for the console and the store: status, counts, hops, stamps of what was fetched."""
        fetched, self._fetched = list(self._fetched), deque(maxlen=4096)
        status, text = self.how()
        return {
            "part": "monitoring",
            "instance": self._settings.instance,
            "status": status,
            "text": text,
            "at_ns": self._clock.now_ns(),
            "judged_ns": self.now_ns(),
            "counts": {name: getattr(self.counts, name) for name in MonitoringCounts.__dataclass_fields__},
            "hops": {hop.value: histogram.to_bytes().hex() for hop, histogram in self.hops.items()},
            "ways": {way: histogram.to_bytes().hex() for way, histogram in self.ways.items()},
            "fetched": fetched,
        }


class PatientClocks:
    """Bounds of the clock of the device that each patient's newest bundle came from, where they are known."""

    def __init__(self) -> None:
        """None is known. A restart forgets them, and hears them again within seconds."""
        self._bounds: dict[str, tuple[int, int]] = {}

    def note(self, record: records.Record) -> None:
        """Take what a block says of clocks."""
        if isinstance(record, Block) and (record.clocks or self._bounds):
            for patient, device in zip(record.patient.tolist(), record.device.tolist(), strict=True):
                bounds = record.clocks.get(device)
                if bounds is not None:
                    self._bounds[record.patients[patient]] = bounds
                else:  # its echoes have stopped, or it is another device: what was known holds no longer
                    self._bounds.pop(record.patients[patient], None)

    def of(self, patient: str) -> dict[str, int]:
        """Beside the stamps of a patient's event; nothing where it is not known."""
        bounds = self._bounds.get(patient)
        return {} if bounds is None else {CLOCK_LEAST: bounds[0], CLOCK_MOST: bounds[1]}


def _published(record: records.Record, patient: str) -> dict[str, int]:
    """When the newest bundle of a patient in a block was published and received; nothing for other records."""
    if not isinstance(record, Block) or patient not in record.patients:
        return {}
    mine = (record.patient == record.patients.index(patient)).nonzero()[0]
    if not len(mine):
        return {}
    last = int(mine[-1])
    return {Stamp.PUBLISHED: int(record.sent_ns[last]), Stamp.RECEIVED: int(record.received_ns[last])}
