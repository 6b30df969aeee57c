"""MQTT -> validate -> Kafka -> only then the MQTT acknowledgement.

```
  broker --receive--> judge --> block of the patient's partition --+
     ^                  |   --> quarantine                         +--> Kafka, a group at a time for each partition
     |                  |   <-- bindings <-- registry              |
     +---- acknowledge, in the order of receipt <-- appended ------+
```

What the bridge holds is bounded by the Receive Maximum: the broker sends no more before an acknowledgement, and none
goes out before Kafka's. So when Kafka is slow the bridge stops taking, and says so. A bridge that dies forgets all it
held: the broker sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from ingest.appender import Appender
from ingest.clocks import Clocks
from ingest.counts import BridgeCounts
from ingest.horizon import EVERYTHING
from ingest.intake import Arrivals, Intake, Mark, Probe, Taken, where
from ingest.lane import NEVER, Entry, Lane, LaneSettings, Receipt
from ingest.pace import Pace
from ingest.registry import Registry
from ingest.settings import BridgeSettings, Clock
from ingest.timekeeper import TimeKeeper, newest_ticks
from transport.kafka import TopicReader
from transport.mqtt import Message, MqttClient, MqttError
from vitals import block, quarantine, topics, wire
from vitals.block import BlockBuilder
from vitals.faults import Fault
from vitals.hops import Histogram, Hop
from vitals.log import LogError
from vitals.quarantine import Quarantined
from vitals.topics import partition_of

log = logging.getLogger(__name__)

Status: TypeAlias = Literal["ok", "slow", "down"]

_INPUT: Final = topics.INPUT.name
_LOOK_S: Final = 0.25
_APPEND: Final = "append"
_json = msgspec.json.Encoder()


class Bridge:
    """The bridge: ``async with Bridge(settings, clock) as bridge: await bridge.wait()``."""

    def __init__(self, settings: BridgeSettings, clock: Clock) -> None:
        """Nothing is connected before `start`.

        Args:
            settings: Where and how.
            clock: Ward time, possibly faster than the wall.
        """
        self._settings = settings
        self._clock = clock
        self.counts = BridgeCounts()
        self.faults: Counter[str] = Counter()  # what was refused, messages and readings, by reason
        self.ingest = Histogram()
        """The hop `Hop.INGEST`, a sample for each bundle; ward time."""
        self.status: Status = "down"
        self.text = "not started"
        self._appender: Appender | None = None
        self._reader: TopicReader | None = None
        self._client = MqttClient(settings.mqtt, (EVERYTHING,), now_ns=clock.now_ns)
        self._time = TimeKeeper(
            settings, clock, self._client, holding=lambda: self._held > 0, goes_on=self._time_goes_on
        )
        self._clocks = Clocks(settings, clock, self._client)
        self._intake: Intake
        self._registry: Registry
        self._sizes = LaneSettings(
            bridge=settings.bridge,
            block_bundles=settings.block_bundles,
            block_bytes=settings.block_bytes,
            group_bytes=settings.kafka.max_record_bytes * 8 // 10,
        )
        self._lanes: list[Lane] = []  # of the input topic, by partition
        # A replay is as quick as it can be: the rate of its bundles says nothing about a ward.
        self._pace = Pace(settings.gather_s if settings.ticks == "clock" else 0.0, settings.busy_per_s)
        self._quarantine = Lane(topics.QUARANTINE.name, 0, self._sizes)
        self._health = Lane(topics.HEALTH.name, 0, self._sizes)
        self._mark_ns = NEVER  # a player's newest mark; none on a ward
        self._arrivals: dict[int, deque[int]] = {}  # fingerprint -> when received, as a player announced it
        self._in_hand: deque[tuple[Receipt, float]] = deque()  # oldest first; done ones leave when they are first
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._appended: deque[tuple[int, int, int]] = deque(maxlen=4096)  # partition, offset, stamp: for the hop LOG
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle, self._said = asyncio.Condition(), asyncio.Condition()
        self._running = False
        self._ended: asyncio.Future[None] | None = None
        self._told: tuple[Status, float] = ("down", 0.0)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the registry, then begin to take messages; the broker is looked for in the background.

        Raises:
            KafkaError: If Kafka does not answer.
        """
        self._ended = asyncio.get_running_loop().create_future()
        self._appender = Appender(self._settings.kafka)
        await self._appender.start()
        await self._make_lanes(await self._appender.partitions_of(_INPUT))
        self._reader = TopicReader(self._settings.kafka, (topics.REGISTRY.name,), compacted=True)
        await self._reader.start()
        block.encode(BlockBuilder().take())  # Arrow loads half of itself at its first use: 0.4 s, not of a patient's
        self._running = True
        self._copy(await self._reader.read_to_end())
        await self._client.start()
        self._spawn(self._take_messages())
        self._spawn(self._follow_registry(self._reader))
        self._spawn(self._keep_telling())
        if self._settings.ticks == "clock":
            self._spawn(self._time.run())
            self._spawn(self._clocks.run())

    async def until_ready(self) -> None:
        """Wait for the first connection to the broker."""
        await self._client.until_connected()

    @property
    def held(self) -> int:
        """Messages taken and not yet acknowledged."""
        return self._held

    @property
    def connections(self) -> int:
        """Good connections to the broker so far."""
        return self._client.connections

    async def until(self, status: Status) -> str:
        """Wait until the bridge says of itself that it is so; what it says in words.

        Raises:
            Exception: As `wait`, if it ends before.
        """
        ended = self._ended
        async with self._said:
            await self._said.wait_for(lambda: self.status == status or (ended is not None and ended.done()))
        if self.status != status:
            await self.wait()
        return self.text

    async def wait(self) -> None:
        """Until the bridge is stopped, or cannot go on.

        Raises:
            Exception: Why it cannot go on. Nothing is lost: what it held was not acknowledged.
        """
        if self._ended is None:
            raise RuntimeError("the bridge was not started")
        await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Take nothing more, append what is held, acknowledge it, close. Safe to call twice."""
        for task in self._tasks:
            if task.get_name() != _APPEND:
                task.cancel()
        if self._running and self._ended is not None and not self._ended.done():
            self.status, self.text = "down", "stopped"
            self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self._until_idle()
            self._ended.set_result(None)
        self._running = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.stop()
        if self._reader is not None:
            await self._reader.stop()
        if self._appender is not None:
            await self._appender.stop(self._settings.stop_timeout_s)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _make_lanes(self, partitions: int) -> None:
        settings = self._settings
        ticked = await newest_ticks(settings.kafka, partitions, settings.bridge)
        self._lanes = [Lane(_INPUT, p, self._sizes, ticked_ns=ticked[p]) for p in range(partitions)]
        self._mark_ns = min(ticked) if settings.ticks == "marks" else NEVER
        self._registry = Registry(partitions)
        self._intake = Intake(self._registry.bindings, bridge=settings.bridge, check_settings=settings.check)
        ahead_ns = max(ticked) - self._clock.now_ns()
        if settings.ticks == "clock" and ahead_ns > settings.tick_ns:
            log.warning("the newest tick is %.0f s ahead of the clock: time stands until then", ahead_ns / 1e9)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def _take_messages(self) -> None:
        while True:
            await self._room.wait()
            for message in (messages := await self._client.receive()):
                self._take(message)
            self._pace.came(len(messages), time.monotonic())
            # All that waited is in its block: those whose lane is free go now.
            self._send_waiting((*self._lanes, self._quarantine))

    def _take(self, message: Message) -> None:
        self.counts.messages += 1
        self._time.horizon.heard()
        receipt = Receipt(message)
        self._in_hand.append((receipt, time.monotonic()))
        self._held += 1
        if self._held >= self._settings.mqtt.receive_maximum:
            self._room.clear()
        received_ns = message.received_ns if self._settings.ticks == "clock" else self._played_ns(message)
        match self._intake.judge(message.topic, message.payload, received_ns):
            case Taken(accepted=accepted, refused=refused):
                self.counts.bundles += 1
                self.counts.readings += len(accepted.sign)
                self.counts.refused += accepted.refused
                lane = self._lanes[partition_of(accepted.patient, len(self._lanes))]
                lane.add(accepted, receipt, message.received_ns, self._clocks.saw(accepted))
                if refused is not None:
                    self._keep(refused, receipt)
            case Quarantined() as refused:
                self.counts.quarantined += 1
                self._keep(refused, receipt)
            case Mark(now_ns=now_ns):
                self._mark(now_ns, receipt)
            case Arrivals(times=times):
                self._announced(times)
            case Probe(payload=payload):
                self._time.returned(payload)
        if not receipt.owed:
            self._done(receipt)

    def _keep(self, refused: Quarantined, receipt: Receipt) -> None:
        self.faults.update(reading.fault.value for reading in refused.readings)
        if refused.fault is not None:
            self.faults[refused.fault.value] += 1
        value = quarantine.encode(refused)
        self._quarantine.put(Entry(value, key=refused.device.encode() or None, receipts=[receipt]))

    def _done(self, receipt: Receipt) -> None:
        """All that was made of a message is appended."""
        message = receipt.message
        assert isinstance(message, Message)  # noqa: S101 - the lanes do not care what a receipt is for
        self._held -= 1
        if self._held < self._settings.mqtt.receive_maximum:
            self._room.set()
        while self._in_hand and not self._in_hand[0][0].owed:
            self._in_hand.popleft()
        self._client.ack(message)
        player = topics.device_of(message.topic)
        if player is not None and message.topic == topics.mark_topic(player):
            self._spawn(self._publish(f"{topics.MQTT_ROOT}/{player}/{topics.MARK_ACK_SUFFIX}", message.payload))

    # -- time --------------------------------------------------------------------------------------------------------

    async def _publish(self, topic: str, payload: bytes) -> None:
        with contextlib.suppress(MqttError):  # a player that misses it asks Kafka
            await self._client.publish(topic, payload)

    def _time_goes_on(self, now_ns: int) -> None:
        self.counts.ticks += 1
        for lane in self._lanes:
            lane.time_is(now_ns)
        self._send_waiting(self._lanes)

    def _mark(self, now_ns: int, receipt: Receipt) -> None:
        if self._settings.ticks != "marks":
            return  # time is the clock's here: acknowledged and left alone
        self._mark_ns = max(self._mark_ns, now_ns)
        self.counts.ticks += 1
        for lane in self._lanes:
            lane.mark(now_ns, receipt)

    def _announced(self, times: Iterable[tuple[int, int]]) -> None:
        """What was announced before has come by now: a player lets nothing be under way at an announcement."""
        self.counts.announced += 1
        self._arrivals = {}
        for fingerprint, received_ns in times:
            self._arrivals.setdefault(fingerprint, deque()).append(received_ns)

    def _played_ns(self, message: Message) -> int:
        """In a replay a bundle is received when its player says so, on whatever day and at whatever speed."""
        if self._arrivals and (times := self._arrivals.get(wire.fingerprint(message.payload))):
            return times.popleft() if len(times) > 1 else times[0]  # what is delivered again came when it first did
        return message.received_ns if self._mark_ns == NEVER else self._mark_ns

    # -- registry ----------------------------------------------------------------------------------------------------

    async def _follow_registry(self, reader: TopicReader) -> None:
        while True:
            self._copy(await reader.read())

    def _copy(self, said: Iterable[Any]) -> None:
        for record in said:
            try:
                known = self._registry.read(record.value)
            except LogError as error:
                self.counts.unreadable += 1
                log.error("%s, offset %d is no record: %s", topics.REGISTRY.name, record.offset, error)  # noqa: TRY400
                continue
            if known is not None:
                self.counts.registry += 1
                for partition, copy in self._registry.apply(known):
                    self._lanes[partition].put_record(copy)
        self._send_waiting(self._lanes)

    # -- Kafka -------------------------------------------------------------------------------------------------------

    def _send_waiting(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            if self._appender is not None and not lane.busy and lane.waiting:
                lane.busy = True
                self._spawn(self._send(self._appender, lane), _APPEND)

    async def _send(self, appender: Appender, lane: Lane) -> None:
        while lane.waiting:
            if not lane.full and (wait_s := lane.sent_s + self._pace.gap_s() - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            group = lane.next_group()
            lane.sent_s = time.monotonic()
            offset = await appender.append(lane.topic, lane.partition, group)
            self._settle(lane, group, offset)
        lane.busy = False
        async with self._idle:
            self._idle.notify_all()

    def _settle(self, lane: Lane, group: list[Entry], offset: int) -> None:
        """Kafka has a group: stamps, and the receipts of its messages."""
        appended_ns = self._clock.now_ns()
        for place, entry in enumerate(group):
            if lane.topic == _INPUT:
                self._appended.append((lane.partition, offset + place, appended_ns))
            if entry.received_ns.size:
                self.counts.blocks += 1
                self.ingest.record_many(appended_ns - entry.received_ns)
            for receipt in entry.receipts:
                receipt.owed -= 1
                if not receipt.owed:
                    self._done(receipt)

    async def _until_idle(self) -> None:
        lanes = (*self._lanes, self._quarantine, self._health)
        self._send_waiting(lanes)
        async with self._idle:
            await self._idle.wait_for(lambda: not any(lane.busy for lane in lanes))

    # -- what it says of itself --------------------------------------------------------------------------------------

    async def _keep_telling(self) -> None:
        while True:
            now_s = time.monotonic()
            self.status, self.text = self._how(now_s)
            told, at_s = self._told
            if self.status != told:
                log.log(logging.INFO if self.status == "ok" else logging.WARNING, "the bridge: %s", self.text)
            if self.status != told or now_s - at_s >= self._settings.status_every_s:
                self._told = (self.status, now_s)
                self._tell()
                await self._notify()
            await asyncio.sleep(_LOOK_S)

    async def _notify(self) -> None:
        async with self._said:
            self._said.notify_all()

    def _tell(self) -> None:
        if not self._health.busy:  # what Kafka does not take now would be old when it does
            self._health.replace(Entry(_json.encode(self.health()), key=b"bridge"))
            self._send_waiting((self._health,))

    def _how(self, now_s: float) -> tuple[Status, str]:
        oldest_s = now_s - self._in_hand[0][1] if self._in_hand else 0.0
        if oldest_s > self._settings.slow_after_s:
            stopped = "" if self._room.is_set() else ", takes no more"
            return "slow", f"Kafka is slow: {self._held} messages wait, the oldest for {oldest_s:.0f} s{stopped}"
        if not self._client.connected:
            return "down", f"no MQTT broker: {self._client.last_error}"
        if self._time.horizon.blind:
            return "down", "the MQTT broker delivers nothing, not even our own probe"
        return "ok", f"{self.counts.bundles} bundles, {self.counts.blocks} blocks"

    def how(self) -> tuple[Status, str]:
        """Status and words."""
        return self.status, self.text

    def health(self) -> dict[str, Any]:
        """How the bridge is, for the console and the store: status, counts, the hop, stamps of what was appended."""
        appended, self._appended = list(self._appended), deque(maxlen=4096)
        return {
            "part": "bridge",
            "status": self.status,
            "text": self.text,
            "at_ns": self._clock.now_ns(),
            "tick_ns": max((lane.ticked_ns for lane in self._lanes), default=NEVER),
            "counts": {
                **{name: getattr(self.counts, name) for name in BridgeCounts.__dataclass_fields__},
                "faults": {fault.value: self.faults[fault.value] for fault in Fault},
            },
            **self._clocks.numbers(),
            "hops": {Hop.INGEST.value: self.ingest.to_bytes().hex()},
            "appended": appended,
        }

    def _spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._ended is not None and not self._ended.done():
            log.critical("the bridge cannot go on: %s", where(error))
            self.status, self.text = "down", f"cannot go on: {where(error)}"
            self._ended.set_exception(error)
            self._spawn(self._notify())
            self._ended.exception()  # whoever waits is told; that nobody waits is no error of its own
