"""Shared by the integration tests: the embedded brokers, clean for each test, and clients that are always closed."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from deploy.embedded import EmbeddedKafka, EmbeddedMqtt, EmbeddedSettings, _let_the_cluster_settle
from transport.kafka import KafkaSettings
from transport.mqtt import MqttClient, MqttSettings
from vitals import topics

PARTITIONS = 3
TEST_TIMEOUT_S = 240.0

Connect = Callable[..., Awaitable[MqttClient]]


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that waits for what never comes fails instead of hanging."""
    test = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def in_time(*args: object, **kwargs: object) -> None:
            async with asyncio.timeout(TEST_TIMEOUT_S):
                await test(*args, **kwargs)

        item.obj = in_time


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


class HandClock:
    """Ward time that stands until a test moves it."""

    speed = 1.0

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._moved = asyncio.Condition()

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, t_ns: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._now_ns >= t_ns)

    async def go_on(self, seconds: float) -> None:
        async with self._moved:
            self._now_ns += round(seconds * 1e9)
            self._moved.notify_all()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Trouble:
    """What a real Kafka does on bad days, asked of the embedded cluster."""

    def __init__(self, cluster: EmbeddedKafka) -> None:
        self._library = cluster._library
        self._cluster = ctypes.c_void_p(cluster._cluster)

    async def slow(self, milliseconds: int) -> None:
        """Every answer takes so long; 0 is as quick as can be."""
        await self._ask("rd_kafka_mock_broker_set_rtt", 1, milliseconds)

    async def down(self) -> None:
        """No connection is taken, those that are there break."""
        await self._ask("rd_kafka_mock_broker_set_down", 1)

    async def up(self) -> None:
        await self._ask("rd_kafka_mock_broker_set_up", 1)

    async def refuse_produce(self, error: int) -> None:
        """Answer the next produce request with an error code of Kafka's."""
        errors = (ctypes.c_int * 1)(error)
        await self._ask("rd_kafka_mock_push_request_errors_array", ctypes.c_int16(0), ctypes.c_size_t(1), errors)

    async def _ask(self, name: str, *arguments: object) -> None:
        def call() -> None:
            _let_the_cluster_settle()
            getattr(self._library, name)(self._cluster, *arguments)

        await asyncio.to_thread(call)


@pytest.fixture
def trouble(kafka_cluster: EmbeddedKafka) -> Trouble:
    return Trouble(kafka_cluster)
