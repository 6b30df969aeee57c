"""Keeps a player and a ward together: the bridge within some instants, the judges and the store within some bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from dashboards.feed import CommandSender
from deploy.ward_process import Senders, WardProcess, say
from device_sim import Echoes, Player
from device_sim.disturb import Restart
from transport.kafka import KafkaSettings, make_producer
from transport.mqtt import MqttClient, MqttSettings
from vitals import log as records
from vitals import topics
from vitals.capture import Said
from vitals.log import Command, Outage

OnProgress = Callable[[int, int], None]

# The embedded cluster keeps 5 MB a partition: everything is judged and kept before more than this is on its way.
_UNREAD_BYTES: Final = 500_000
_UNREAD_NS: Final = 2 * 3600 * 1_000_000_000  # of ward time: frames are on their way too
_LOOK_S: Final = 0.005


class RestartError(RuntimeError):
    """A scenario asks for a restart that this stack cannot make; the text says which stack can."""


class Keeper:
    """Keeps the player near, and puts between its bundles what is not a bundle."""

    def __init__(
        self,
        ward: WardProcess,
        senders: Senders,
        echoes: Echoes,
        on_progress: OnProgress,
        readings: int,
    ) -> None:
        self._ward, self._senders, self._echoes = ward, senders, echoes
        self._on_progress, self._readings = on_progress, readings
        self._bytes = 0
        self._since_ns = -1
        self.player: Player

    async def settled(self, now_ns: int) -> int:
        """An instant is with the broker; the newest instant that is safe with the bridge."""
        self._on_progress(self.player.played.readings, self._readings)
        safe_ns = await self._echoes.settled(now_ns)
        if self._since_ns < 0:
            self._since_ns = now_ns
        if self._senders.sent_bytes - self._bytes > _UNREAD_BYTES or now_ns - self._since_ns >= _UNREAD_NS:
            await self.drained()
            self._bytes, self._since_ns = self._senders.sent_bytes, now_ns
        return safe_ns

    async def drained(self) -> None:
        """All that was published is appended, judged and kept."""
        await self._ward.drained(self._senders.published)

    async def say(self, turn: Said | Restart) -> None:
        """Somebody says something, or a server is restarted: behind all that was published, before all to come."""
        ward = self._ward
        kafka = KafkaSettings(ward.stack.bootstrap)
        await self._appended()
        if isinstance(turn, Restart):
            await self._restart(turn)
        elif isinstance(turn, Command):
            sender = CommandSender(kafka, ward.settings.partitions)
            await sender.start()
            try:
                await sender(turn)
            finally:
                await sender.stop()
        else:
            seen = ward.bridge.counts.registry
            producer = make_producer(kafka)
            await producer.start()
            try:
                if isinstance(turn, Outage):
                    await self._outage(producer, turn)
                    return
                await say(producer, turn)
            finally:
                await producer.stop()
            while ward.bridge.counts.registry == seen:
                await self._look()

    async def _outage(self, producer: Any, turn: Outage) -> None:
        """A detector's silence is said by whoever hosts a ward; played, it is said to all of them."""
        kind, value = records.encode(turn)
        for partition in range(self._ward.settings.partitions):
            headers = [(records.HEADER, kind)]
            await producer.send_and_wait(topics.INPUT.name, value, partition=partition, headers=headers)

    async def _appended(self) -> None:
        """The bridge has taken all that was published, and Kafka has all of it."""
        while self._ward.taken < self._senders.published or self._ward.bridge.held:
            await self._look()

    async def _restart(self, turn: Restart) -> None:
        if turn.broker != "mqtt":
            raise RestartError(
                f"the embedded stack keeps nothing over a restart of {turn.broker}; "
                "leave it out of the scenario, or play through real servers (`teleward bench faults`)"
            )
        await self.drained()  # the embedded broker forgets what it holds; nothing may be with it
        seen = self._ward.bridge.connections
        await self._ward.stack.mqtt.restart()
        while self._ward.bridge.connections == seen:
            await self._look()

    async def _look(self) -> None:
        if self._ward.failed.done():
            await self._ward.failed
        await asyncio.sleep(_LOOK_S)


class echo_client:  # noqa: N801  # used as a context manager only
    """Hears the bridge say which marks are safe."""

    def __init__(self, ward: WardProcess, echoes: Echoes) -> None:
        topic = f"{topics.MQTT_ROOT}/player/{topics.MARK_ACK_SUFFIX}"
        self._client = MqttClient(MqttSettings("replay-echo", port=ward.stack.mqtt_port, session_expiry_s=0), (topic,))
        self._echoes = echoes

    async def __aenter__(self) -> None:
        await self._client.start()
        await self._client.until_connected()
        self._task = asyncio.create_task(self._hear())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.stop()

    async def _hear(self) -> None:
        while True:
            for message in await self._client.receive():
                self._client.ack(message)
                self._echoes.heard(message.payload)
