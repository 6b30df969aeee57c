"""The native stack for tests: started once for a module, with accounts and topics as a ward has them.

Where it is not built a test is skipped and says what is missing; in CI that is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.brokers.mosquitto import Role
from deploy.kafka_topics import check, ensure, plan
from deploy.native.installed import Installed, look
from deploy.native.servers import QUICK_START, Influx, Mosquitto, NativeSettings, NativeStack
from transport.mqtt import MqttClient, MqttSettings

PARTITIONS = 3
T = TypeVar("T")


def installed() -> Installed:
    """The parts of the stack, or the end of the test."""
    there = look()
    missing = there.missing()
    if missing:
        said = "; ".join(str(one) for one in missing)
        if os.environ.get("CI") == "true":
            pytest.fail(f"the native stack is not there: {said}")
        pytest.skip(said)
    return there


def done(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of its own, and leave no trace of it: for fixtures that outlive a test's loop."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextmanager
def influx(folder: Path) -> Iterator[Influx]:
    """InfluxDB alone, empty. It needs neither Java nor Mosquitto."""
    program = look().influxd
    if not program.is_file():
        said = f"no InfluxDB at {program}: make stack"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    server = Influx(folder, program, database="")
    try:
        done(server.start())
        yield server
    finally:
        done(server.stop())


@contextmanager
def running(folder: Path) -> Iterator[NativeStack]:
    """The whole stack with the topics of the house."""
    stack = NativeStack(NativeSettings(folder, jvm=QUICK_START), installed())

    async def begin() -> None:
        await stack.start()
        await ensure(stack.bootstrap, plan(partitions=PARTITIONS))

    try:
        done(begin())
        yield stack
    finally:
        done(stack.stop())


def signed_in(broker: Mosquitto, user: str, role: Role = Role.DEVICE, **settings: Any) -> MqttSettings:
    """Settings of a user that is made where it does not exist, impatient."""
    broker.accounts.own(user, role)
    broker.reload()
    return account(broker, user, role, **settings)


def account(broker: Mosquitto, user: str, role: Role = Role.DEVICE, **settings: Any) -> MqttSettings:
    """Settings of a user that exists."""
    password = broker.accounts.own(user, role)
    quick = {"client_id": user, "port": broker.port, "reconnect_min_s": 0.01, "reconnect_max_s": 0.05, **settings}
    return MqttSettings(username=user, password=password, **quick)


@asynccontextmanager
async def connected(settings: MqttSettings, *subscriptions: str) -> AsyncIterator[MqttClient]:
    """A client that has its connection."""
    async with MqttClient(settings, subscriptions) as client:
        await client.until_connected()
        yield client


async def fresh_topics(bootstrap: str) -> None:
    """All topics of the house, empty: for tests that count offsets."""
    wanted = plan(partitions=PARTITIONS)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([one.name for one in wanted])
    finally:
        await admin.close()
    gone = False
    while not gone:  # asked again: the broker hears of it from its controller, and may not know even itself yet
        with contextlib.suppress(KafkaError):
            gone = {one.what for one in await check(bootstrap, wanted)} == {"existence"}
    await ensure(bootstrap, wanted)


async def refusal(settings: MqttSettings, *subscriptions: str) -> str:
    """Why a connection was refused; fails if it was not."""
    refused = asyncio.get_running_loop().create_future()

    async def first_failure(_: float) -> None:
        if not refused.done():
            refused.set_result(client.last_error)
        await asyncio.Event().wait()

    async with MqttClient(settings, subscriptions, sleep=first_failure) as client:
        connecting = asyncio.ensure_future(client.until_connected())
        await asyncio.wait((refused, connecting), return_when=asyncio.FIRST_COMPLETED)
        connecting.cancel()
        assert refused.done(), "it was let in"
        return refused.result()


def trusting(authority: Path, *own: Path) -> ssl.SSLContext:
    """A context that believes one authority, and shows a certificate of its own if it has one."""
    context = ssl.create_default_context(cafile=authority)
    if own:
        context.load_cert_chain(*own)
    return context
