"""Shared by the integration tests: the embedded brokers, clean for each test, and clients that are always closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from deploy.embedded import EmbeddedKafka, EmbeddedMqtt, EmbeddedSettings
from transport.kafka import KafkaSettings
from transport.mqtt import MqttClient, MqttSettings
from vitals import topics

PARTITIONS = 3

Connect = Callable[..., Awaitable[MqttClient]]


@pytest.fixture
def embedded_settings() -> EmbeddedSettings:
    """Every Kafka topic of the house, with 3 partitions where a patient has a number."""
    return EmbeddedSettings(topics={topic.name: PARTITIONS if topic.partitioned else 1 for topic in topics.ALL})


@pytest.fixture
async def mqtt_broker(embedded_settings: EmbeddedSettings) -> AsyncIterator[EmbeddedMqtt]:
    """A running MQTT broker that knows nobody."""
    broker = EmbeddedMqtt(embedded_settings)
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def kafka_cluster(embedded_settings: EmbeddedSettings) -> AsyncIterator[EmbeddedKafka]:
    """A running Kafka-protocol cluster with empty topics."""
    cluster = EmbeddedKafka(embedded_settings)
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
def kafka(kafka_cluster: EmbeddedKafka) -> KafkaSettings:
    """How to reach the cluster; fetches hardly wait."""
    return KafkaSettings(kafka_cluster.bootstrap, fetch_max_wait_ms=10)


@pytest.fixture
async def connect(mqtt_broker: EmbeddedMqtt) -> AsyncIterator[Connect]:
    """``await connect("client-id", ["filter"], receive_maximum=5)``: a connected client, closed with the test."""
    async with AsyncExitStack() as stack:

        async def make(client_id: str, subscriptions: tuple[str, ...] = (), **settings: object) -> MqttClient:
            quick = {"reconnect_min_s": 0.001, "reconnect_max_s": 0.02, **settings}
            client = MqttClient(MqttSettings(client_id, port=mqtt_broker.port, **quick), subscriptions)
            await stack.enter_async_context(client)
            await client.until_connected()
            return client

        yield make
