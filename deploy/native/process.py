"""A server in a process of its own: started, waited for by asking it, stopped, killed, started again on its port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOOPBACK: Final = "127.0.0.1"

LEASH: Final = Path(__file__).with_name("leash.py")
_LOOK_S: Final = 0.02
_PORT_TRIES: Final = 5
_LAST_WORDS: Final = 1500


class ServerError(Exception):
    """A server did not start; the message holds the last lines that it wrote."""


class Server(ABC):
    """One server. Its port stays the same from the first start on, so that clients find it again.

    Call `start` and `restart` from a thread that lives as long as the server may: Linux ends a child with the *thread*
    that started it.
    """

    name: str = "server"

    def __init__(
        self, folder: Path, port: int = 0, *, start_timeout_s: float = 90.0, stop_timeout_s: float = 15.0
    ) -> None:
        """Nothing is written or started before `start`.

        Args:
            folder: Its data, its configuration and its log.
            port: On loopback; 0 takes a free one at the first start.
            start_timeout_s: How long it may take to answer.
            stop_timeout_s: How long it may take to end in order before it is killed.
        """
        self.folder = folder
        self._port = port
        self._given = port != 0
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self.started_in_s = 0.0

    @property
    def port(self) -> int:
        """Its port on loopback; 0 before the first start."""
        return self._port

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    @property
    def log(self) -> Path:
        """What it writes; each start adds to it."""
        return self.folder / f"{self.name}.log"

    async def start(self) -> None:
        """Start it; returns when it answers. Does nothing while it runs.

        Raises:
            ServerError: If it ends or is silent instead.
        """
        if self.pid:
            return
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        # A free port can be taken before the server has it; one that is ours by name is tried once.
        for left in reversed(range(1 if self._given else _PORT_TRIES)):
            port = self._port or free_port()
            try:
                await self._start_on(port)
            except ServerError:
                if not left or not _taken(port):
                    raise
                self._port = 0
                continue
            self._port, self._given = port, True
            break
        self.started_in_s = time.monotonic() - began

    async def stop(self) -> None:
        """End it in order, and by force if that takes too long. Safe to call twice."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)  # does nothing if it has ended
        try:
            async with asyncio.timeout(self._stop_timeout_s):
                await until_ended(process)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it as a crash does (SIGKILL), and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            await until_ended(self._process)

    async def restart(self) -> None:
        """`stop`, then `start`: same port, same data. After a `kill` just `start` it."""
        await self.stop()
        await self.start()

    async def died(self) -> int:
        """Wait until it ends, by whatever; its exit status. For whoever watches it."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return await until_ended(self._process)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @abstractmethod
    async def _prepare(self, port: int) -> list[str]:
        """Write down its settings for this port; the command that starts it, its program as a whole path."""

    @abstractmethod
    async def _answers(self, port: int) -> bool:
        """Whether it is up: asked of the server itself. Errors of a connection count as no."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    async def _start_on(self, port: int) -> None:
        if _taken(port):  # else whoever has it would answer in our place
            raise ServerError(f"{self.name} can't start: {LOOPBACK}:{port} is in use")
        command = await self._prepare(port)
        log_begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 - a fork takes a millisecond, and see the class
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                env={**os.environ, **self._environment()},
                start_new_session=True,  # Ctrl-C is for the ward, which stops its servers last
            )  # fmt: skip
        try:
            async with asyncio.timeout(self._start_timeout_s):
                while process.poll() is None:
                    if await self._up(port):
                        return
                    await asyncio.sleep(_LOOK_S)
            words = f"ended with status {process.returncode}"
        except TimeoutError:
            words = f"did not answer within {self._start_timeout_s:g} s"
        except BaseException:
            process.kill()
            raise
        process.kill()
        await until_ended(process)
        raise ServerError(f"{self.name} {words} on {LOOPBACK}:{port}: {last_words(self.log, log_begins)}")

    async def _up(self, port: int) -> bool:
        try:
            return await self._answers(port)
        except OSError:
            return False


async def until_ended(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process has ended; its exit status."""
    # Looked for, not waited for in a thread: such a thread can't be called off, and the process would wait for it.
    pause_s = _LOOK_S / 4
    while (status := process.poll()) is None:
        await asyncio.sleep(pause_s)
        pause_s = min(10 * _LOOK_S, 1.5 * pause_s)
    return status


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def last_words(log: Path, begins: int) -> str:
    """The end of what a log holds from a byte on."""
    with log.open("rb") as file:
        file.seek(begins)
        text = file.read().decode(errors="replace").strip()
    return text[-_LAST_WORDS:] or "it said nothing"
