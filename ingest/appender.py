"""Sends groups of records to Kafka, and again until Kafka has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ingest.lane import Entry
from transport.kafka import KafkaError, KafkaSettings, make_producer
from vitals import log as records

log = logging.getLogger(__name__)

_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Appender:
    """One producer, shared by all lanes.

    Attributes:
        failures: Tries that failed since the bridge started.
    """

    def __init__(self, settings: KafkaSettings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._producer: Any = make_producer(settings)
        self._sleep = sleep
        self.failures = 0

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: If no broker answers.
        """
        await self._producer.start()

    async def stop(self, timeout_s: float) -> None:
        """Close; what Kafka does not take in time is given up, and comes again from the MQTT broker."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._producer.stop()
        except TimeoutError:
            await self._producer.client.close()

    async def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(await self._producer.partitions_for(topic))

    async def append(self, topic: str, partition: int, group: Sequence[Entry]) -> int:
        """Append a group as one batch.

        A try that timed out may have been appended all the same: then the group stands there twice, and every reader
        drops repeats. What must not be is that a later group overtakes it, so nothing else of the partition goes
        meanwhile.

        Returns:
            The offset of its first record.

        Raises:
            KafkaError: If trying again cannot help: too large, not authorised, this producer fenced off.
        """
        tries = 0
        while True:
            try:
                return await self._try(topic, partition, group)
            except KafkaError as error:
                if not error.retriable:
                    raise
                self.failures += 1
                log.warning("%s, partition %d: %s; trying again", topic, partition, type(error).__name__)
            await self._sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    async def _try(self, topic: str, partition: int, group: Sequence[Entry]) -> int:
        batch = self._producer.create_batch()
        for entry in group:
            headers = [] if entry.kind is None else [(records.HEADER, entry.kind)]
            if batch.append(timestamp=None, key=entry.key, value=entry.value, headers=headers) is None:
                raise AssertionError(f"a group of {len(group)} records does not fit into one batch")
        batch.close()  # aiokafka would let others in until it is sent, and they would share its fate
        appended = await self._producer.send_batch(batch, topic, partition=partition)
        offset: int = (await appended).offset
        return offset
