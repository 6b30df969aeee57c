"""A TCP proxy that can be cut, or swallow everything, as a bad network does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

_CHUNK = 1 << 16


class Proxy:
    """``async with Proxy(target_port) as proxy``: whoever connects to `proxy.port` talks to the target."""

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self._target_port, self._host = target_port, host
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self._host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._break_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every connection breaks, new ones break at once."""
        self._refuses = True
        self._break_all()

    def swallow(self) -> None:
        """Nothing goes through any more, and nobody is told."""
        self._open.clear()

    def mend(self) -> None:
        """As before; what was swallowed breaks, as TCP does when it finds its peer gone."""
        self._refuses = False
        if not self._open.is_set():
            self._break_all()
            self._open.set()

    def _break_all(self) -> None:
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._streams.add(writer)
        try:
            if self._refuses:
                return
            with contextlib.suppress(OSError, asyncio.CancelledError):
                there, here = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._streams.add(here)
                try:
                    ways = [asyncio.ensure_future(self._pump(reader, here)),
                            asyncio.ensure_future(self._pump(there, writer))]  # fmt: skip
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
                finally:
                    self._streams.discard(here)
                    here.transport.abort()
        finally:
            self._streams.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
