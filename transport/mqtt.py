"""MQTT 5 for the event loop: a thin face on paho-mqtt that never lies about what was taken.

One client serves both ends of the way::

    device:  await client.publish(topic, payload)      returns with the broker's PUBACK, or raises
    bridge:  messages = await client.receive()         all that wait, at least one
             client.ack(message)                       in the order of receipt, on the connection it came by

It connects in the background and, when a connection breaks, again and again with growing pauses. Every publish that
was under way then fails: the caller keeps what it wanted to send, and sends it again. Every message that was not
acknowledged comes again from the broker; an acknowledgement that is asked for too late is dropped without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from transport.mqtt_link import Link
from transport.mqtt_types import (
    Message,
    MqttDisconnectedError,
    MqttError,
    MqttSettings,
    NobodyListeningError,
    PublishRefusedError,
    backoff,
)

__all__ = [
    "Message",
    "MqttClient",
    "MqttDisconnectedError",
    "MqttError",
    "MqttSettings",
    "NobodyListeningError",
    "PublishRefusedError",
]

log = logging.getLogger(__name__)

_INBOX_PER_RECEIVE_MAXIMUM: Final = 2


class MqttClient:
    """A session with a broker that outlives its connections: ``async with MqttClient(settings) as client``.

    Attributes:
        connections: Good connections so far; the second is the first reconnect.
        last_error: Why there is no connection, or why the last one ended; "" before that.
    """

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Sequence[str] = (),
        *,
        now_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            settings: Where to, as whom.
            subscriptions: Topic filters, subscribed at QoS 1 on every connection.
            now_ns: The clock of `Message.received_ns`.
            sleep: Waits between two tries to connect; a test hands in its own.
            jitter: Gives 0..1, see `backoff`.
        """
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._now_ns = now_ns
        self._sleep = sleep
        self._jitter = jitter
        self._inbox: deque[Message] = deque()
        self._comes_again: dict[tuple[str, bytes], list[int]] = {}  # of an older connection -> its places in the inbox
        self._inbox_bound = _INBOX_PER_RECEIVE_MAXIMUM * settings.receive_maximum
        self._arrived = asyncio.Event()
        self._changed = asyncio.Condition()
        self._link: Link | None = None
        self._generation = 0
        self._ready = self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.connections = 0
        self.last_error = ""

    # life -------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection now, with every subscription granted."""
        return self._ready

    @property
    def generation(self) -> int:
        """Number of the newest connection that was tried; messages carry theirs."""
        return self._generation

    async def start(self) -> None:
        """Begin to connect, in the background. `until_connected` waits for it."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.create_task(self._run(), name=f"mqtt {self._settings.client_id}")

    async def stop(self) -> None:
        """Send what is to be sent, disconnect and end. The session waits at the broker. Safe to call twice."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        link = self._link
        if link is not None and self._ready:
            await link.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def until_connected(self, *, after: int = 0) -> int:
        """Wait for a connection.

        Args:
            after: Only a connection with a greater generation counts: a test that cuts one waits for the next.

        Returns:
            Its generation.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready and self._generation > after)
            return self._generation

    async def until_reconnected(self, after: int) -> int:
        """Wait until there is a connection and `connections` is more than `after`; how many there are then."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready and self.connections > after)
            return self.connections

    async def until_disconnected(self) -> str:
        """Wait until there is no connection; why there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._ready)
            return self.last_error

    def cut(self) -> None:
        """Close the socket under the session without a goodbye, as a bad network does; it reconnects by itself."""
        if self._link is not None:
            self._link.abort("cut")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # receiving --------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Messages that arrived and were not yet taken with `receive`."""
        return len(self._inbox)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest of the waiting messages arrived; None if none waits."""
        return self._inbox[0].received_ns if self._inbox else None

    async def until_waiting(self) -> None:
        """Wait until a message waits, and leave it."""
        await self._arrived.wait()

    async def receive(self) -> list[Message]:
        """All messages that wait, oldest first; waits for the first one."""
        await self._arrived.wait()
        return self.take()

    def take(self) -> list[Message]:
        """All messages that wait, oldest first; maybe none. Does not wait."""
        messages = list(self._inbox)
        self._inbox.clear()
        self._comes_again.clear()
        self._arrived.clear()
        if self._link is not None and len(messages) >= self._inbox_bound:
            self._link.resume_reading()
        return messages

    def ack(self, message: Message) -> None:
        """Say that a message is safe with us.

        The PUBACK goes out when those of all messages before it have been asked for too (MQTT-4.6.0-2), and only on
        the connection that the message came by: on another one the broker sends the message again anyway, and its
        packet id may mean another message there.
        """
        if self._link is not None and message.qos and message.generation == self._link.generation:
            self._link.ack(message)

    # publishing -------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish, and return when the broker has acknowledged (qos 1) or the bytes are written (qos 0).

        At most `max_in_flight` are under way, further calls wait for their turn; their order is the order of calls.

        Raises:
            MqttDisconnectedError: If there is no connection or it breaks. The broker may have the message or not.
            PublishRefusedError: If the broker answers that it does not take it.
            NobodyListeningError: If the broker took it and threw it away, since nobody has subscribed.
        """
        link = self._link
        if link is None or not self._ready:
            raise MqttDisconnectedError(f"no connection to the broker: {self.last_error or 'not yet'}")
        await link.publish(topic, payload, qos, retain=retain)

    # the connection ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while True:
            self._generation += 1
            self._link = link = Link(
                self._settings,
                self._generation,
                now_ns=self._now_ns,
                on_session=self._expect_again,
                on_message=self._take_in,
            )
            try:
                await link.open(self._subscriptions)
                await self._set_ready(ready=True)
                log.info("%s: connected to the MQTT broker", self._settings.client_id)
                self.last_error = await link.lost
                # Two clients with one id throw each other out for ever: at least let them do it ever more slowly.
                failures = failures if link.taken_over else 0
            except MqttError as error:
                self.last_error = str(error)
            finally:
                link.abort("stopped")
                self._ready = False
            await self._set_ready(ready=False)
            if self._stopping:
                return
            failures += 1
            pause = backoff(self._settings, failures, self._jitter)
            log.warning(
                "%s: no MQTT connection (%s); next try in %.1f s", self._settings.client_id, self.last_error, pause
            )
            await self._sleep(pause)

    async def _set_ready(self, *, ready: bool) -> None:
        async with self._changed:
            self._ready = ready
            self.connections += ready
            self._changed.notify_all()

    def _take_in(self, message: Message) -> None:
        places = self._comes_again.get((message.topic, message.payload))
        if places and message.qos:
            # In the place of its older copy: what came behind that (a probe, a mark) must not get before it.
            place = places.pop(0)
            message.received_ns = self._inbox[place].received_ns
            self._inbox[place] = message
            return
        self._inbox.append(message)
        self._arrived.set()
        if len(self._inbox) >= self._inbox_bound and self._link is not None:
            # A broker that ignores the Receive Maximum, or a flood at QoS 0: let TCP hold it back.
            self._link.pause_reading()

    def _expect_again(self) -> None:
        """On a new connection, before its first message.

        A broker sends again whatever was not acknowledged on the old one: what still waits here would then be here
        twice, and pile up with each reconnect while nobody takes it. But a broker that was killed has its session only
        as it was last saved, present or not, and knows nothing of what came since; its senders were told that is safe.
        So all is kept, and what does come again replaces its copy.
        """
        self._comes_again = {}
        for place, message in enumerate(self._inbox):
            if message.qos:
                self._comes_again.setdefault((message.topic, message.payload), []).append(place)
