"""One suite for both broker pairs: what the clients promise on the embedded brokers, they promise on the real ones.

The suite is `integration/test_transport.py`, which runs on the embedded pair; here the same tests run with fixtures of
the same names that hand out Mosquitto and Apache Kafka. A new test there is a new test here. What only one pair can do
is said below, each with its reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import natives
import pytest

from deploy.brokers.mosquitto import Role
from deploy.native.kafka import QUICK_START
from deploy.native.servers import Kafka, Mosquitto
from transport.kafka import KafkaSettings
from transport.mqtt import MqttClient

pytest.register_assert_rewrite("integration.test_transport")
from integration import test_transport as suite  # noqa: E402 - after the line above, so that its asserts speak

pytestmark = pytest.mark.integration

LISTENER = "listener"
CLIENTS = ("bridge", "device", "late", LISTENER)


@pytest.fixture
async def mqtt_broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A Mosquitto that knows the suite's clients, and lets them use the suite's topics."""
    broker = Mosquitto(tmp_path, natives.installed().mosquitto)
    for name in CLIENTS:
        broker.accounts.own(name, Role.DEVICE)
    with broker.accounts.rules.open("a", encoding="utf-8") as rules:
        rules.write("pattern readwrite t/#\npattern readwrite elsewhere\n")
    written = broker.accounts.rules.read_text(encoding="utf-8")
    broker.accounts.prepare = lambda: broker.accounts.rules.write_text(written, encoding="utf-8")
    async with broker:
        yield broker


@pytest.fixture
async def connect(mqtt_broker: Mosquitto) -> AsyncIterator[object]:
    """As the suite's: a connected client under its own name, closed with the test."""
    async with AsyncExitStack() as stack:

        async def make(client_id: str, subscriptions: tuple[str, ...] = (), **settings: object) -> MqttClient:
            quick = {"reconnect_min_s": 0.001, "reconnect_max_s": 0.02, **settings}
            account = natives.account(mqtt_broker, client_id, **quick)
            client = await stack.enter_async_context(MqttClient(account, subscriptions))
            await client.until_connected()
            return client

        # Mosquitto says when a message went to nobody; the embedded broker doesn't, so that the suite publishes such.
        await make(LISTENER, ("t/#", "elsewhere"), session_expiry_s=0)
        yield make


@pytest.fixture(scope="module")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    there = natives.installed()
    server = Kafka(tmp_path_factory.mktemp("kafka"), there.java, there.kafka_libs, jvm=QUICK_START)
    natives.done(server.start())
    yield server
    natives.done(server.stop())


@pytest.fixture
async def kafka(real_kafka: Kafka) -> KafkaSettings:
    """How to reach Apache Kafka; every topic is empty."""
    await natives.fresh_topics(real_kafka.bootstrap)
    return KafkaSettings(real_kafka.bootstrap)


class TestReceiving(suite.TestReceiving):
    """All of it; Mosquitto forgets less than the embedded broker, which changes no answer."""


class TestPublishing(suite.TestPublishing):
    """All of it."""


class TestKafka(suite.TestKafka):
    """All but one."""

    # The embedded cluster keeps 5 MB of a partition; Kafka keeps what the topic says, and deletes it minutes later.
    test_what_was_dropped_before_it_was_read_is_counted_and_said = None
