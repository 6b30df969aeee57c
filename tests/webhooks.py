"""A real receiver of webhooks on loopback."""

from __future__ import annotations

import asyncio
import json


class Webhook:
    """A receiver on loopback that takes, refuses, keeps one waiting, or is away."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[dict] = asyncio.Queue()
        self.headers: list[str] = []
        self.status = 200
        self.answer = asyncio.Event()
        self.answer.set()
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.port}/page"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(h.partition(":")[2]) for h in head.splitlines() if h.lower().startswith("content-length"))
            body = json.loads(await reader.readexactly(length))
            self.headers.append(head)
            if self.status == 200:
                self.got.put_nowait(body)
            await self.answer.wait()
            writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def next(self) -> dict:
        async with asyncio.timeout(15):
            return await self.got.get()
