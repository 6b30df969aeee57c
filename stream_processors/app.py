"""Builds the Faust apps, and mends what Faust fixes too tightly.

Both apps use no tables, acknowledge nothing by themselves (`noack`), and keep their own books of offsets: see
`stream_processors.monitoring`. What is set here and why stands in docs/decisions.md ("Faust").
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import faust
import mode.threads
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream_processors.settings import NEEDS_SOMEONE, StreamSettings
from transport.kafka import LOG_APPEND_TIME
from vitals.hops import appended_at

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.005
FATAL: Final = 70  # EX_SOFTWARE: a supervisor starts us again


class NeedsSomeoneError(RuntimeError):
    """It cannot go on until somebody decides something; the message says what."""


class Clock(Protocol):
    """Ward time."""

    @property
    def speed(self) -> float:
        """Seconds of ward time in a second of the wall."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        ...


Fatal = Callable[[str, BaseException], None]


def appended_ns(message: Any, clock: Clock) -> int | None:
    """Ward time at which Kafka appended a message of Faust's; None where its topic does not keep that."""
    if message.timestamp_type != LOG_APPEND_TIME:
        return None
    return appended_at(round(message.timestamp * 1000), time.time_ns(), clock.now_ns(), clock.speed)


def end_process(part: str, error: BaseException) -> None:
    """End the process at once: whatever was not written down is read again by the next one."""
    log.critical("%s cannot go on: %s: %s", part, type(error).__name__, error)
    os._exit(NEEDS_SOMEONE if isinstance(error, NeedsSomeoneError) else FATAL)


class _Thread(mode.threads.WorkerThread):  # type: ignore[misc]  # mode, too, is untyped to us
    """One that does not keep a process whose other threads have ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust's drivers are untyped to us
    """Faust's consumer with a shorter wait at the broker: its fixed 1.5 s makes single blocks wait.

    While it ends our loop goes on. Faust's own waits for the thread with the loop held, and for ever where the thread
    itself waits for an answer of that loop.
    """

    fetch_max_wait_ms = 100
    Worker = _Thread

    async def stop(self) -> None:
        if self._started.is_set():
            await mode.Service.stop(self)
            while self._thread is not None and self._thread.is_alive():  # noqa: ASYNC110  # its end sets no event
                await asyncio.sleep(_LOOK_S)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads it when the consumer starts; a test holds that the name still exists.
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms  # noqa: SLF001
        return consumer


class _NothingRead(dict[TP, int | None]):
    """Stands for Faust's note of what it has handed on, by which it drops what is older, without a word.

    After a seek that is wrong: a message on its way writes its offset after the seek did. Both apps keep their own
    books, and skip what comes twice.
    """

    def __getitem__(self, tp: TP) -> None:
        return None


def _transport(fetch_max_wait_ms: int) -> type[Any]:
    thread = type("ConsumerThread", (_ConsumerThread,), {"fetch_max_wait_ms": fetch_max_wait_ms})

    class Consumer(driver.Consumer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._read_offset = _NothingRead()  # a test holds that the name still exists

        def _new_consumer_thread(self) -> Any:
            return thread(self, loop=self.loop, beacon=self.beacon)

    return type("Transport", (driver.Transport,), {"Consumer": Consumer})


class _App(faust.App):  # type: ignore[misc]
    """Faust's app without folders: with no tables on disk it would leave empty ones wherever it is started."""

    def _create_directories(self) -> None:
        """None is used. A read-only file system has no room for them."""


def build_app(name: str, settings: StreamSettings, loop: asyncio.AbstractEventLoop) -> Any:
    """A Faust app on the given loop. Start it with `start`, end it with `stop`.

    Args:
        name: Of the app; with the prefix, the consumer group.
        settings: Where and how.
        loop: The running loop.
    """
    urls = [f"kafka://{server}" for server in settings.kafka.bootstrap.split(",")]
    app = _App(
        f"{settings.group_prefix}-{name}",
        broker=";".join(urls),
        loop=loop,
        store="memory://",
        web_enabled=False,  # its pages would show patient data
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        stream_wait_empty=False,  # with noack a stop would wait for ever
        stream_buffer_maxsize=settings.buffer,
        broker_commit_interval=1e6,  # offsets are ours to commit
        broker_session_timeout=settings.session_s,
        broker_heartbeat_interval=min(3.0, settings.session_s / 3),
        broker_request_timeout=max(90.0, 3 * settings.session_s),
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 * settings.kafka.max_record_bytes,
        consumer_group_instance_id=settings.instance or None,
        value_serializer="raw",
        key_serializer="raw",
    )
    kind = _transport(settings.kafka.fetch_max_wait_ms)
    app.transport = kind(app.conf.broker_consumer, app)
    return app


async def start(app: Any) -> None:
    """Start an app; returns when it is running (its partitions may come a moment later)."""
    app.finalize()
    await app.start()
    # Faust's worker sets the root logger to DEBUG for its spinner; an app started like this must not.
    if logging.getLogger().level == logging.DEBUG and not log.isEnabledFor(logging.DEBUG):
        logging.getLogger().setLevel(logging.WARNING)


async def commit(app: Any, offsets: dict[TP, int]) -> bool:
    """Commit offsets now; false where the partitions are no longer ours.

    Faust has no public way to commit an offset of one's own choosing; a test holds this one.
    """
    done: bool = await app.consumer._commit_offsets(offsets)  # noqa: SLF001
    return done


Send = Callable[[str, int, bytes | None, bytes, list[tuple[str, bytes]]], Awaitable["asyncio.Future[Any]"]]
