"""Mosquitto, Apache Kafka and InfluxDB as processes of this machine, loopback only unless TLS is asked for.

``async with NativeStack(settings) as stack:`` gives the same two addresses as `deploy.embedded.EmbeddedStack`, and the
store's. What they keep outlives them: the same folder starts with the same sessions, records and points.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deploy.brokers import values
from deploy.brokers.mosquitto import BrokerFiles, Listener, Role, Tls, configuration
from deploy.devices import Accounts, tell_broker
from deploy.native import influx_wal
from deploy.native.installed import Installed, look
from deploy.native.kafka import QUICK_START, Kafka
from deploy.native.process import LOOPBACK, Server, ServerError, free_port

__all__ = ["QUICK_START", "Influx", "Kafka", "Mosquitto", "NativeSettings", "NativeStack", "Server", "ServerError"]

_ASK_S: Final = 2.0
_DISK_S: Final = 0.5  # between two looks at how full a disk is
_FULL: Final = 1 << 20  # bytes left
_ROOM: Final = 8 << 20
# CONNECT of MQTT 5 without a name: an answer of any kind, a refusal above all, says that the broker is up.
_CONNECT: Final = bytes((0x10, 13, 0, 4)) + b"MQTT" + bytes((5, 2, 0, 10, 0, 0, 0))
_CONNACK: Final = 0x20


class Mosquitto(Server):
    """The MQTT broker. Nobody comes in without an account of `accounts`.

    Attributes:
        accounts: Its users; after a change call `reload`.
    """

    name = "mosquitto"

    def __init__(
        self, folder: Path, program: Path, port: int = 0, *, tls: Tls | None = None, tls_host: str = LOOPBACK,
        tls_port: int = 0,
    ) -> None:  # fmt: skip
        """Nothing is written before `start`.

        Args:
            folder: Its data, its users, its log.
            program: The command.
            port: Of the listener on loopback; 0 takes a free one.
            tls: Files of a second listener, with TLS; None has none.
            tls_host: Address of that listener.
            tls_port: Its port; 0 takes a free one.
        """
        super().__init__(folder, port)
        self._program = program
        self._tls, self._tls_host, self._tls_port = tls, tls_host, tls_port
        self.accounts = Accounts(folder / "users")

    @property
    def tls_port(self) -> int:
        """Port of the TLS listener; 0 where there is none, or before the first start."""
        return self._tls_port if self._tls is not None else 0

    @property
    def _pid_file(self) -> Path:
        return self.folder / "mosquitto.pid"

    def reload(self) -> bool:
        """Have it read its users again; False if it does not run."""
        return tell_broker(self._pid_file)

    async def _prepare(self, port: int) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        self.accounts.prepare()
        files = BrokerFiles(str(data), str(self.accounts.passwords), str(self.accounts.rules))
        listeners = [Listener(LOOPBACK, port)]
        if self._tls is not None:
            self._tls_port = self._tls_port or free_port()
            listeners.append(Listener(self._tls_host, self._tls_port, self._tls))
        # Started by root it would become a user that may not read the files above.
        text = configuration(files, tuple(listeners), user=getpass.getuser(), pid_file=str(self._pid_file))
        config = self.folder / "mosquitto.conf"
        config.write_text(text, encoding="utf-8")
        return [str(self._program), "-c", str(config)]

    async def _answers(self, port: int) -> bool:
        try:
            async with asyncio.timeout(_ASK_S):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                try:
                    writer.write(_CONNECT)
                    return (await reader.read(1))[:1] == bytes((_CONNACK,))
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError:
            return False


class Influx(Server):
    """InfluxDB 1.8 with the write API of version 2 and Flux."""

    name = "influxd"

    def __init__(self, folder: Path, program: Path, port: int = 0, *, database: str = values.INFLUX_DATABASE) -> None:
        """Nothing is written before `start`.

        Args:
            folder: Its data and its log.
            program: The command.
            port: Of its HTTP interface on loopback; 0 takes a free one.
            database: Made at each start if it is not there; "" makes none.
        """
        super().__init__(folder, port)
        self._program = program
        self._database = database

    @property
    def url(self) -> str:
        """Of its HTTP interface; "" before the first start."""
        return f"http://{LOOPBACK}:{self.port}" if self.port else ""

    async def start(self) -> None:
        """Start it; returns when it answers and its database is there."""
        await asyncio.to_thread(influx_wal.mend, self.folder)
        await super().start()
        if self._database:
            await self.query(f'CREATE DATABASE "{self._database}"')

    async def died(self) -> int:
        """Wait until it ends; one whose disk was full is ended once there is room, so that it is started again.

        Its log keeps the first error of a write (a buffered writer) and refuses all that follows, room or not.
        """
        task = asyncio.create_task(self._end_after_a_full_disk(), name="the disk of InfluxDB")
        try:
            return await super().died()
        finally:
            task.cancel()

    async def _end_after_a_full_disk(self) -> None:
        was_full = False
        while True:
            free = shutil.disk_usage(self.folder).free
            if was_full and free >= _ROOM:
                await self.kill()  # what it acknowledged is on the disk; it could not write anything more in order
                return
            was_full = was_full or free < _FULL
            await asyncio.sleep(_DISK_S)

    async def query(self, influxql: str, **parameters: str) -> dict[str, Any]:
        """Ask in InfluxQL; its whole answer.

        Raises:
            ServerError: If it refuses; the message is its own.
        """
        body = urllib.parse.urlencode({"q": influxql, **parameters}).encode()
        try:
            answer = await asyncio.to_thread(_http, f"{self.url}/query", body)
        except urllib.error.HTTPError as error:
            raise ServerError(f"InfluxDB refused a query: {error.read().decode(errors='replace')}") from error
        told: dict[str, Any] = json.loads(answer)
        return told

    def _environment(self) -> Mapping[str, str]:
        return {"GOMAXPROCS": "2"}  # it is a guest beside the ward; by default it takes every core while it compacts

    async def _prepare(self, port: int) -> list[str]:
        config = self.folder / "influxdb.conf"
        config.write_text(_influx_toml(self.folder, port), encoding="utf-8")
        return [str(self._program), "run", "-config", str(config)]

    async def _answers(self, port: int) -> bool:
        await asyncio.to_thread(_http, f"http://{LOOPBACK}:{port}/ping", None)
        return True


@dataclass(frozen=True, slots=True)
class NativeSettings:
    """Where the native stack lives on this machine.

    Attributes:
        folder: Data, settings and logs, a folder for each server. What is in it is kept.
        mqtt_port: On loopback; 0 takes a free one.
        kafka_port: On loopback; 0 takes a free one.
        influx_port: On loopback; 0 takes a free one.
        tls: Files of a second MQTT listener; None has none.
        tls_host: Address of that one.
        tls_port: Its port; 0 takes a free one.
        heap_mb: Of Kafka.
        jvm: Further options of its Java; tests that start it often take `QUICK_START`.
        kafka: Settings of Kafka's broker beside the shared ones.
    """

    folder: Path
    mqtt_port: int = 0
    kafka_port: int = 0
    influx_port: int = 0
    tls: Tls | None = None
    tls_host: str = LOOPBACK
    tls_port: int = 0
    heap_mb: int = 384
    jvm: tuple[str, ...] = ()
    kafka: Mapping[str, str] = field(default_factory=dict)


class NativeStack:
    """The three servers, started together: ``async with NativeStack(settings) as stack``."""

    def __init__(self, settings: NativeSettings, installed: Installed | None = None) -> None:
        """Nothing is started before `start`.

        Args:
            settings: Where.
            installed: What to start; looked for if it is None.

        Raises:
            ServerError: If something is missing; the message says what, and the way to get it.
        """
        there = installed or look()
        missing = there.missing()
        if missing or there.java is None or there.mosquitto is None:
            raise ServerError("\n".join(str(one) for one in missing))
        folder = settings.folder.resolve()
        self.mqtt = Mosquitto(
            folder / "mosquitto", there.mosquitto, settings.mqtt_port,
            tls=settings.tls, tls_host=settings.tls_host, tls_port=settings.tls_port,
        )  # fmt: skip
        self.kafka = Kafka(
            folder / "kafka", there.java, there.kafka_libs, settings.kafka_port,
            heap_mb=settings.heap_mb, jvm=settings.jvm, config=settings.kafka,
        )  # fmt: skip
        self.influx = Influx(folder / "influxdb", there.influxd, settings.influx_port)

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them, in the order in which a ward needs them."""
        return (self.kafka, self.mqtt, self.influx)

    @property
    def mqtt_port(self) -> int:
        """Port of the MQTT listener on loopback."""
        return self.mqtt.port

    @property
    def bootstrap(self) -> str:
        """``host:port`` of Kafka."""
        return self.kafka.bootstrap

    @property
    def influx_url(self) -> str:
        """Of InfluxDB's HTTP interface."""
        return self.influx.url

    def password(self, user: str = values.BRIDGE_USER, role: Role = Role.BRIDGE) -> str:
        """The MQTT password of one of our own parts; a running broker is told of a new one."""
        password = self.mqtt.accounts.own(user, role)
        self.mqtt.reload()
        return password

    async def start(self) -> None:
        """Start all, beside each other.

        Raises:
            ServerError: If one does not come up; the others are stopped again.
        """
        began = await asyncio.gather(*(server.start() for server in self.servers), return_exceptions=True)
        failed = [one for one in began if isinstance(one, BaseException)]
        if failed:
            await self.stop()
            raise failed[0]

    async def stop(self) -> None:
        """Stop all, beside each other; call it when every client is closed."""
        await asyncio.gather(*(server.stop() for server in self.servers))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _http(url: str, body: bytes | None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=_ASK_S) as answer:  # noqa: S310 - our own server on loopback
        told: bytes = answer.read()
        return told


def _influx_toml(folder: Path, port: int) -> str:
    return f"""\
reporting-disabled = true
bind-address = "{LOOPBACK}:0"
[meta]
dir = "{folder / "meta"}"
[data]
dir = "{folder / "data"}"
wal-dir = "{folder / "wal"}"
wal-fsync-delay = "0s"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "{LOOPBACK}:{port}"
flux-enabled = true
log-enabled = false
[logging]
level = "warn"
suppress-logo = true
"""
