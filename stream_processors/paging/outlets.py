"""Where the pager writes in Kafka: commands for the ward, own events, what came of links, the audit, its health."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from transport.kafka import KafkaError, KafkaSettings, make_producer
from vitals import answers, audit, duty, topics
from vitals import log as records
from vitals.answers import Ask, Shown, Told
from vitals.audit import Entry
from vitals.duty import Board
from vitals.events import AlarmEvent, event_encoder
from vitals.log import Command

_json: Final = msgspec.json.Encoder()


class Outlets(Protocol):
    """Ways out to the other parts. Each returns when it is kept there; `KafkaError` or `OSError` where it is not."""

    async def order(self, command: Command) -> None:
        """A command for the ward."""
        ...

    async def publish(self, event: AlarmEvent) -> None:
        """An event of an own alarm."""
        ...

    async def tell(self, told: Told) -> None:
        """What came of a link."""
        ...

    async def ask(self, ask: Ask) -> None:
        """A link that the test patient uses."""
        ...

    async def show(self, shown: Shown) -> None:
        """A message for somebody who is signed in on the console."""
        ...

    async def record(self, entry: Entry) -> None:
        """A fact for the audit."""
        ...

    async def post(self, board: Board) -> None:
        """The duty board."""
        ...

    async def say(self, health: dict[str, Any]) -> None:
        """How the pager is."""
        ...


class KafkaOutlets:
    """The topics: ``await start()`` before, ``await stop()`` after."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected before `start`."""
        self._producer: Any = make_producer(settings)
        self._partitions = 1

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: If no broker answers, or the input topic is not there.
        """
        await self._producer.start()
        found = await self._producer.partitions_for(topics.INPUT.name)
        if not found:
            raise KafkaError(f"there is no topic {topics.INPUT.name}")
        self._partitions = len(found)

    async def stop(self) -> None:
        """Close. Safe after a failed start."""
        await self._producer.stop()

    async def order(self, command: Command) -> None:
        """See `Outlets`."""
        kind, value = records.encode(command)
        await self._producer.send_and_wait(
            topics.INPUT.name,
            value,
            key=command.patient.encode(),
            partition=topics.partition_of(command.patient, self._partitions),
            headers=[(records.HEADER, kind)],
        )

    async def publish(self, event: AlarmEvent) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(
            topics.ALARMS.name,
            event_encoder.encode(event),
            key=event.patient.encode(),
            partition=topics.partition_of(event.patient, self._partitions),
        )

    async def tell(self, told: Told) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.ANSWERS.name, answers.encoder.encode(told), partition=0)

    async def ask(self, ask: Ask) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.ANSWERS.name, answers.encoder.encode(ask), partition=0)

    async def show(self, shown: Shown) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.ANSWERS.name, answers.encoder.encode(shown), partition=0)

    async def record(self, entry: Entry) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.AUDIT.name, audit.entry_encoder.encode(entry), partition=0)

    async def post(self, board: Board) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.DUTY.name, duty.encoder.encode(board), key=duty.KEY, partition=0)

    async def say(self, health: dict[str, Any]) -> None:
        """See `Outlets`."""
        await self._producer.send_and_wait(topics.HEALTH.name, _json.encode(health), key=b"pager")
