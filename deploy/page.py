"""The console as a served page: what it reads from Kafka, what it asks of a store, and its HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import uvicorn

from dashboards.console import Clock, Console, ConsoleSettings
from dashboards.feed import CommandSender, ConsoleFeed
from deploy.history import StoreHistory
from transport.kafka import KafkaSettings
from transport.stores.base import Store


class PageError(RuntimeError):
    """The page could not be served; the message says where."""


class Page:
    """``async with Page(...) as page``: serves until it is left; `wait` ends when it can't go on.

    Attributes:
        console: The console.
        address: Where it is served.
    """

    def __init__(
        self, kafka: KafkaSettings, partitions: int, store: Store, clock: Clock, settings: ConsoleSettings
    ) -> None:
        """Nothing is served before `start`.

        Args:
            kafka: Where the topics are.
            partitions: Of the input topic.
            store: What remembers.
            clock: Ward time.
            settings: Of the page.
        """
        self._sender = CommandSender(kafka, partitions)
        self.console = Console(settings, StoreHistory(store), self._sender, clock, say=self._sender.say)
        self._feed = ConsoleFeed(kafka, self.console)
        self._exit = AsyncExitStack()
        self.address = ""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def wait(self) -> None:
        """Until reading fails.

        Raises:
            Exception: Why: the page must not go on looking well.
        """
        await self._feed.wait()

    async def _start(self) -> None:
        self._exit.push_async_callback(self._sender.stop)
        await self._sender.start()
        keeping = asyncio.create_task(self._sender.keep_audit(self.console.outbox), name="audit of the page")
        self._exit.push_async_callback(_ended, keeping)
        self._exit.push_async_callback(self._feed.stop)
        await self._feed.start()
        self.address = await self._exit.enter_async_context(serving(self.console))


@asynccontextmanager
async def serving(console: Console) -> AsyncIterator[str]:
    """Serve a console while this is open; its address.

    Raises:
        PageError: If it cannot be served there, or not with that certificate.
    """
    settings = console.settings
    check_tls(settings)
    server = _Server(
        uvicorn.Config(
            console.app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
        )
    )
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    if running.done():
        raise PageError(f"the page could not be served on {settings.host}:{settings.port}; is it taken?")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"{'https' if settings.tls else 'http'}://{settings.host}:{port}/"
    finally:
        console.stop()
        server.should_exit = True
        await running


def check_tls(settings: ConsoleSettings) -> None:
    """Whether certificate and key, where they are given, fit: uvicorn would only say that it ended.

    Raises:
        PageError: If they do not.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    try:
        # A key with a password would be asked for on a terminal that a service has not.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key, lambda: "")
    except OSError as error:
        what = f"{settings.tls_certificate} and {settings.tls_key}"
        raise PageError(f"{what} are no certificate and its key, PEM and without a password: {error}") from error


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _Server(uvicorn.Server):
    """Leaves signals to the process it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Nothing is captured."""
        yield
