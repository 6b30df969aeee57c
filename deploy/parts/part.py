"""``teleward run PART``: one part of a ward in this process, until it is told to stop or can't go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Self

from deploy.parts.environment import PULSE, Environment
from deploy.parts.pulse import Pulse
from transport.kafka import quiet_aiokafka

log = logging.getLogger(__name__)

PARTS: Final = ("bridge", "monitoring", "storing", "console", "pager")

How = Callable[[], tuple[str, str]]


class PartFailedError(RuntimeError):
    """The part can't go on; whoever watches it starts it again."""


class Running:
    """A part while it runs.

    Attributes:
        name: Which.
        environment: What it was told.
        failed: Set to what ended it.
        how: What it says of itself: ok, slow or down, and words.
    """

    def __init__(self, name: str, environment: Environment) -> None:
        self.name, self.environment = name, environment
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.how: How = lambda: ("slow", "it is starting")
        self._exit = AsyncExitStack()

    def fail(self, part: str, error: BaseException) -> None:
        """It cannot go on."""
        if not self.failed.done():
            failure = PartFailedError(f"{part} cannot go on: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self.failed.set_exception(failure)

    async def __aenter__(self) -> Self:
        try:
            starts = {
                "bridge": self._bridge,
                "monitoring": self._monitoring,
                "storing": self._storing,
                "console": self._console,
                "pager": self._pager,
            }
            await starts[self.name]()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.failed.cancel()
        await self._exit.aclose()

    async def _bridge(self) -> None:
        from ingest.bridge import Bridge

        bridge = Bridge(self.environment.bridge(), self.environment.clock())
        self._exit.push_async_callback(bridge.stop)
        self.how = bridge.how
        await bridge.start()
        self._watch(bridge.wait())

    async def _monitoring(self) -> None:
        from deploy.detectors import wards_with
        from stream_processors.monitoring import Monitoring

        environment = self.environment
        make_ward = wards_with(environment.shadow())
        part = Monitoring(environment.stream("monitoring"), environment.clock(), ward=make_ward)
        self._exit.push_async_callback(part.stop)
        self.how = part.how
        await part.start()

    async def _storing(self) -> None:
        from stream_processors.storing import Storing

        environment = self.environment
        store = await asyncio.to_thread(environment.store)
        self._exit.push_async_callback(asyncio.to_thread, store.close)
        part = Storing(environment.storing(), environment.clock(), store)
        self._exit.push_async_callback(part.stop)
        self.how = part.how
        await part.start()

    async def _console(self) -> None:
        from deploy.page import Page

        environment = self.environment
        store = await asyncio.to_thread(environment.store, read_only=True)
        self._exit.push_async_callback(asyncio.to_thread, store.close)
        page = Page(
            environment.kafka("console"), environment.partitions(), store, environment.clock(), environment.console()
        )
        await self._exit.enter_async_context(page)
        self.how = lambda: ("ok", f"the page is at {page.address}")
        self._watch(page.wait())

    async def _pager(self) -> None:
        from deploy.pager_environment import paging
        from deploy.paging import PagerPart
        from deploy.registry import enrol_test_patient
        from transport.mqtt import MqttClient

        settings, clock = paging(self.environment), self.environment.clock()
        device = self.environment.test_device()
        part = PagerPart(settings, clock)
        if device is not None and settings.probe is not None:
            await enrol_test_patient(settings.pager.kafka, clock.now_ns(), settings.probe)
            client = await self._exit.enter_async_context(MqttClient(device))
            await self._exit.enter_async_context(part)
            part.start_probe(client.publish)
        else:
            await self._exit.enter_async_context(part)
        self.how = part.how
        self._watch(part.wait())

    def _watch(self, waiting: Any) -> None:
        async def watch() -> None:
            try:
                await waiting
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it was ends the part, with its reason
                self.fail(self.name, error)
            else:
                self.fail(self.name, RuntimeError("it ended by itself"))

        task = asyncio.create_task(watch(), name=f"watch {self.name}")

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._exit.push_async_callback(end)


async def run_part(name: str, variables: Mapping[str, str]) -> None:
    """Run a part until SIGTERM or SIGINT, then stop it in order.

    Args:
        name: One of `PARTS`.
        variables: Its environment.

    Raises:
        PartFailedError: If it can't go on.
        SettingError: If a variable cannot be read.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    quiet_aiokafka()
    environment = Environment(variables)
    async with Running(name, environment) as running, Pulse(environment.text(PULSE), running.how):
        log.info("%s is up, process %d", name, os.getpid())
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait((waiting, running.failed), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.failed.done():
            running.failed.result()
        log.info("%s stops", name)


def quick_loops() -> None:
    """Have uvloop make the loops of this process, those of Faust's own threads too, where it can be had.

    A policy, because Faust makes the loops of its threads itself.
    """
    if sys.platform != "win32":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def speak() -> None:
    """Log to standard error, a line each, without values or names of patients."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for noisy in ("faust", "mode", "aiokafka", "uvicorn.access", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
