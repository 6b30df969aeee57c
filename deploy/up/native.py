"""The native stack: real servers and the parts of a ward, as processes of this machine."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from dashboards.console import Account, Role, hash_password, write_accounts
from dashboards.console.accounts import generate_password
from deploy.brokers import certificates, values
from deploy.brokers.mosquitto import Role as MqttRole
from deploy.brokers.mosquitto import Tls
from deploy.kafka_topics import TopicPlan, ensure, plan
from deploy.native.process import free_port
from deploy.native.servers import NativeSettings, NativeStack
from deploy.parts import environment as env
from deploy.parts.on_servers import store_address, ward_parts, ward_variables
from deploy.parts.process import PartProcess
from deploy.parts.supervisor import Supervisor
from deploy.up.pager_files import pager_variables
from deploy.up.settings import StackState, UpSettings, read_state, runs, write_state
from transport.stores.influx_setup import set_up_influx
from transport.stores.opened import influx_settings
from vitals import topics

Say = Callable[[str], None]
_FIRST_USER: Final = "admin"


class UpError(RuntimeError):
    """The stack can't start; the message says why and what to do."""


@dataclass
class NativeWard:
    """The native stack while it runs: ``async with NativeWard(settings, say) as ward``.

    Attributes:
        settings: How it is started.
        say: Prints a line for people.
        servers: Mosquitto, Kafka, InfluxDB.
        supervisor: Looks after all.
        parts: The ward's own processes, in the order in which they stop.
        page: Where the console is.
    """

    settings: UpSettings
    say: Say
    servers: NativeStack = field(init=False)
    supervisor: Supervisor = field(init=False)
    parts: list[PartProcess] = field(default_factory=list)
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
        folder = self.settings.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # passwords and patients' data
        there = read_state(folder)
        if there is not None and runs(there):
            raise UpError(f"process {there.pid} runs the stack of {folder} already; name another folder with --folder")
        self.servers = NativeStack(self._native(folder))
        self.supervisor = Supervisor(self.say)
        self._exit.push_async_callback(self.supervisor.stop)
        await self.supervisor.start(self.servers.servers)
        for created in await ensure(self.servers.bootstrap, topic_plan(self.settings.partitions)):
            self.say(f"made the topic {created}")
        self.variables = self._variables(folder)
        await self._set_up_store()
        self.parts = ward_parts(folder, self.variables, self.settings.workers, "console", "pager")
        await self.supervisor.start(self.parts)
        if self.settings.simulate:
            await self.supervisor.start([self._simulator(folder)])
        self.page = f"http://127.0.0.1:{self.variables['TELEWARD_CONSOLE_PORT']}/"
        write_state(folder, self._state())
        self._exit.callback((folder / "stack.json").unlink, missing_ok=True)

    def _native(self, folder: Path) -> NativeSettings:
        settings = self.settings
        tls = None
        if settings.tls_host:
            made = certificates.server(folder / "certificates", (settings.tls_host,))
            authority = certificates.authority(folder / "certificates").certificate
            tls = Tls(str(authority), str(made.certificate), str(made.key))
        return NativeSettings(
            folder / "servers",
            mqtt_port=settings.mqtt_port,
            kafka_port=settings.kafka_port,
            influx_port=settings.influx_port,
            tls=tls,
            tls_host="0.0.0.0" if tls else "127.0.0.1",  # noqa: S104 - with TLS
            tls_port=settings.tls_port if tls else 0,
        )

    def _variables(self, folder: Path) -> dict[str, str]:
        """What all parts are told, beside the environment that we have ourselves."""
        self.servers.password(values.WATCHER_USER, MqttRole.WATCHER)
        self.servers.password(topics.SYNTHETIC_DEVICE, MqttRole.DEVICE)
        store = store_address(self.servers, self.settings.store, folder)
        told = ward_variables(self.servers, self.settings.partitions, store) | {
            env.TEST_PASSWORD_FILE: str(self.servers.mqtt.accounts.own_file(topics.SYNTHETIC_DEVICE)),
            env.CONSOLE_SECRET_FILE: str(_secret(folder / "console" / "secret")),
            "TELEWARD_CONSOLE_PORT": str(self.settings.port or free_port()),
            "TELEWARD_CONSOLE_SESSIONS_FILE": str(folder / "console" / "sessions.jsonl"),
            "TELEWARD_CONSOLE_ACCOUNTS_FILE": str(self._accounts(folder / "console" / "accounts.json")),
        }
        page = f"http://127.0.0.1:{told['TELEWARD_CONSOLE_PORT']}/"
        told |= pager_variables(folder / "pager", page, _FIRST_USER, _secret)
        if self.settings.speed != 1:
            told[env.CLOCK] = f"{self.settings.speed:g}@{time.time_ns()}"
        return told

    async def _set_up_store(self) -> None:
        """Retention and down-sampling, as they should be."""
        settings = influx_settings(self.variables[env.STORE])
        if settings is not None:
            for line in await asyncio.to_thread(set_up_influx, settings):
                self.say(f"InfluxDB: {line}")

    def _accounts(self, path: Path) -> Path:
        if not path.exists():
            password = generate_password()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_accounts(path, [Account(_FIRST_USER, Role.CLINICIAN, hash_password(password))])
            self.say(f"made the account {_FIRST_USER} of the page, password {password} (said once, kept as a hash)")
        return path

    def _simulator(self, folder: Path) -> PartProcess:
        """Devices that are played; they start last and stop first."""
        self.servers.password(values.PLAYER_USER, MqttRole.PLAYER)
        arguments = [
            "simulate", self.settings.simulate, "--user", values.PLAYER_USER,
            "--mqtt", f"127.0.0.1:{self.servers.mqtt_port}", "--kafka", self.servers.bootstrap,
            "--password-file", str(self.servers.mqtt.accounts.own_file(values.PLAYER_USER)),
            "--truth", str(folder / "truth.json"),
        ]  # fmt: skip
        return PartProcess("simulator", arguments, folder, {**os.environ, **self.variables}, may_end=True)

    def _state(self) -> StackState:
        return StackState(
            pid=os.getpid(),
            variables=self.variables,
            parts=tuple(part.name for part in self.parts),
            mqtt_port=self.servers.mqtt_port,
            tls_port=self.servers.mqtt.tls_port,
            influx=self.servers.influx_url,
            page=self.page,
            accounts=str(self.servers.mqtt.accounts.folder),
        )


def topic_plan(partitions: int) -> tuple[TopicPlan, ...]:
    """The topics of a stack of one machine."""
    return plan(partitions=partitions)


def _secret(path: Path) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - with this mode from the first byte on
            file.write(secrets.token_urlsafe(32))
    return path


async def run_native(settings: UpSettings, say: Say, stopped: asyncio.Event | None = None) -> dict[str, Any]:
    """Run the native stack until Ctrl-C, the end of its time, or `stopped`.

    Args:
        settings: How.
        say: Prints a line for people.
        stopped: Set to end it; None makes one.

    Returns:
        What was restarted, and the addresses it had.

    Raises:
        UpError, ServerError, TopicsError, PartStartError: If it does not come up.
    """
    over = stopped or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    began = time.monotonic()
    async with NativeWard(settings, say) as ward:
        _greet(ward, time.monotonic() - began, say)
        try:
            async with asyncio.timeout(None if settings.minutes is None else settings.minutes * 60):
                await over.wait()
        except TimeoutError:
            say("the time is over")
        say("stopping in order: bridge, monitoring, storing, console, pager, servers")
        care: Mapping[str, Any] = ward.supervisor.care
        return {
            "stack": "native",
            "folder": str(settings.folder.resolve()),
            "page": ward.page,
            "restarts": {name: one.restarts for name, one in care.items() if one.restarts},
            "why": {name: one.why for name, one in care.items() if one.why},
        }


def _greet(ward: NativeWard, took_s: float, say: Say) -> None:
    folder = ward.settings.folder
    say(
        f"the native stack is up in {took_s:.1f} s: Mosquitto, Kafka, InfluxDB; {', '.join(p.name for p in ward.parts)}"
    )
    say("research software, not a medical device\n")
    say(f"  page      {ward.page}")
    say(f"  MQTT      127.0.0.1:{ward.servers.mqtt_port} (this machine only)")
    if ward.servers.mqtt.tls_port:
        say(f"  MQTT+TLS  {ward.settings.tls_host}:{ward.servers.mqtt.tls_port}")
    say(f"  Kafka     {ward.servers.bootstrap}")
    say(f"  InfluxDB  {ward.servers.influx_url}")
    say(f"  logs      {folder / 'log'}\n")
    say(f"teleward device add ID --folder {folder}   makes a device's credentials")
    say(f"teleward doctor --folder {folder}          says how everything is")
    say("Ctrl-C stops it in order; what it holds is kept")
