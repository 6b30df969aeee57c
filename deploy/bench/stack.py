"""The stack that is measured: Mosquitto, Kafka, the store, and each part of the ward as a process of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from dashboards.console import Account, Role, hash_password, write_accounts
from deploy.bench.load import say_once
from deploy.brokers import values
from deploy.brokers.mosquitto import Role as MqttRole
from deploy.kafka_topics import ensure, plan
from deploy.native.process import free_port
from deploy.native.servers import NativeSettings, NativeStack
from deploy.parts import environment as env
from deploy.parts.on_servers import store_address, ward_parts, ward_variables
from deploy.parts.process import PartProcess
from deploy.ward_process import say
from transport.kafka import KafkaSettings, TopicReader, make_producer
from transport.stores.influx_setup import set_up_influx
from transport.stores.opened import influx_settings
from vitals import topics
from vitals.log import Binding, Enrolment

PASSWORD: Final = secrets.token_urlsafe(12)
USER: Final = "bench"
_AHEAD: Final = 2000  # records under way while a ward is registered


@dataclass
class BenchStack:
    """A stack of its own, gone with the benchmark: ``async with BenchStack(folder) as stack``.

    Attributes:
        folder: Data and logs.
        workers: Monitoring processes.
        partitions: Of the input topic.
        store: influx or sqlite.
        console: Whether the page is served.
        ward: Whether its parts are started with the servers; else by `start_ward`.
        clock: Of all parts, as `TELEWARD_CLOCK` has it; "" is the wall's.
        parts: What runs of the ward, by name.
    """

    folder: Path
    workers: int = 1
    partitions: int = topics.PARTITIONS
    store: Literal["influx", "sqlite"] = "influx"
    console: bool = True
    ward: bool = True
    clock: str = ""
    servers: NativeStack = field(init=False)
    parts: dict[str, PartProcess] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    page: str = ""
    _exit: AsyncExitStack = field(init=False)

    async def __aenter__(self) -> Self:
        self._exit = AsyncExitStack()
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        self.servers = NativeStack(NativeSettings(self.folder / "servers"))
        self._exit.push_async_callback(self.servers.stop)
        await self.servers.start()
        await ensure(self.servers.bootstrap, plan(partitions=self.partitions))
        self.servers.password(values.PLAYER_USER, MqttRole.PLAYER)
        self.variables = self._variables()
        settings = influx_settings(self.variables[env.STORE])
        if settings is not None:
            await asyncio.to_thread(set_up_influx, settings)
        if self.ward:
            await self.start_ward()

    async def start_ward(self) -> None:
        """Start the parts of the ward."""
        for part in ward_parts(self.folder, self.variables, self.workers, *(("console",) if self.console else ())):
            self.parts[part.name] = part
            self._exit.push_async_callback(part.stop)
        if self.console:
            self.page = f"http://127.0.0.1:{self.variables['TELEWARD_CONSOLE_PORT']}"
        await asyncio.gather(*(part.start() for part in self.parts.values()))

    async def stop_ward(self) -> None:
        """Stop the parts of the ward, for good: what is published from now on waits for nobody."""
        for part in self.parts.values():
            await part.stop()
        self.parts.clear()
        password = self.servers.password(values.BRIDGE_USER)
        # The bridge's session would gather all that comes, on a broker that others are measured on.
        await asyncio.to_thread(say_once, self.servers.mqtt_port, values.BRIDGE_USER, password)

    def _variables(self) -> dict[str, str]:
        accounts = self.folder / "console-accounts.json"
        write_accounts(accounts, [Account(USER, Role.VIEWER, hash_password(PASSWORD))])
        store = store_address(self.servers, self.store, self.folder)
        return ward_variables(self.servers, self.partitions, store) | {
            "TELEWARD_CONSOLE_PORT": str(free_port()),
            "TELEWARD_CONSOLE_ACCOUNTS_FILE": str(accounts),
            **({env.CLOCK: self.clock} if self.clock else {}),
        }

    @property
    def player_password_file(self) -> str:
        """Of the account that may publish for every device."""
        return str(self.servers.mqtt.accounts.own_file(values.PLAYER_USER))

    @property
    def pids(self) -> dict[str, int]:
        """Every process of the stack by name."""
        found = {name: part.pid for name, part in self.parts.items()}
        return found | {server.name: server.pid for server in self.servers.servers}

    async def register(self, records: Iterable[Enrolment | Binding]) -> int:
        """Say who is watched and wears what; returns when the ward's log holds all of it.

        Returns:
            How many records.
        """
        producer = make_producer(KafkaSettings(self.servers.bootstrap, client_id="bench"))
        await producer.start()
        try:
            waits: list[asyncio.Task[Any]] = []
            count = 0
            for record in records:
                count += 1
                waits.append(asyncio.create_task(say(producer, record)))
                if len(waits) >= _AHEAD:
                    await asyncio.gather(*waits)
                    waits = []
            await asyncio.gather(*waits)
        finally:
            await producer.stop()
        return count

    async def copied(self, count: int) -> None:
        """Wait until the bridge has copied so many records of the registry into the log."""
        kafka = KafkaSettings(self.servers.bootstrap, client_id="bench")
        found = 0
        async with TopicReader(kafka, (topics.INPUT.name,)) as reader:
            while found < count:
                for record in await reader.read(timeout_s=5.0):
                    found += record.header("type") in {b"enrolment", b"binding"}
