"""One MQTT connection: a paho client that lives as long as its socket, driven by the event loop.

paho carries state from one connection to the next (unacknowledged publishes that it sends again by itself, packets
half written). Whoever publishes here keeps its own queue and must decide itself what goes again, so every connection
gets a fresh paho client, and nothing can leak from a dead connection into a living one.

`transport.mqtt` is the door to this; nobody else should need a link.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from transport.mqtt_types import (
    Message,
    MqttDisconnectedError,
    MqttError,
    MqttSettings,
    NobodyListeningError,
    PublishRefusedError,
)

log = logging.getLogger(__name__)

_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_SESSION_TAKEN_OVER: Final = 0x8E
_PUBLISH_OVERHEAD: Final = 16  # bytes of a PUBLISH beside topic and payload: header, length, ids; we send no properties
_READS_A_WAKE: Final = 64  # packets taken from the socket before others get their turn
_CLOSE_TIMEOUT_S: Final = 2.0


class Link:
    """One connection to a broker, from CONNECT to its end. Call everything in the event loop's thread.

    Attributes:
        generation: Its number within the session.
        lost: Done when the connection is gone, with the reason as its result.
        taken_over: True if it went because somebody connected under the same client id.
    """

    def __init__(
        self,
        settings: MqttSettings,
        generation: int,
        *,
        now_ns: Callable[[], int],
        on_session: Callable[[], None],
        on_message: Callable[[Message], None],
    ) -> None:
        self._settings = settings
        self.generation = generation
        self._now_ns = now_ns
        self._on_session = on_session
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self.taken_over = False
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._connack: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._suback: dict[int | None, asyncio.Future[list[ReasonCode]]] = {}
        self._in_flight: dict[int, asyncio.Future[ReasonCode]] = {}
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._max_packet: int | None = None
        self._unacknowledged: deque[Message] = deque()
        self._handled = 0
        self._fd = -1
        self._reading = self._writing = self._paused = False
        self._misc: asyncio.TimerHandle | None = None
        self._client = self._make_client()

    # opening and closing ---------------------------------------------------------------------------------------

    async def open(self, subscriptions: Sequence[str]) -> None:
        """Connect, and subscribe; messages of an earlier session may come before this returns.

        Raises:
            MqttError: If the broker can't be reached or refuses.
        """
        await self._connect()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                reason = await self._or_lost(self._connack)
        except TimeoutError:
            raise MqttDisconnectedError("the broker did not answer CONNECT") from None
        if reason.is_failure:
            raise MqttError(f"the broker refused the connection: {reason}")
        if subscriptions:
            await self._subscribe(subscriptions)

    async def close(self) -> None:
        """Send what is still to be written and a DISCONNECT, then close. The session stays at the broker."""
        if not self.lost.done():
            self._client.disconnect()
            await asyncio.wait((self.lost,), timeout=_CLOSE_TIMEOUT_S)
        self.abort("closed")

    def abort(self, reason: str) -> None:
        """Close the socket at once. Safe to call at any time, and twice."""
        client = self._client
        client.on_disconnect = None
        sock = client.socket()
        if sock is not None:
            self._stop_watching()
            client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
            sock.close()
        self._end(reason)

    # publishing -------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Send and wait for the broker's acknowledgement, or (qos 0) until it is written.

        Raises:
            MqttDisconnectedError: If the connection is gone, or goes before the answer.
            PublishRefusedError: If the broker does not take it.
        """
        size = len(topic) + len(payload) + _PUBLISH_OVERHEAD
        if self._max_packet is not None and size > self._max_packet:
            raise PublishRefusedError(f"{size} bytes are more than the broker's limit of {self._max_packet}", 0x95)
        await self._slots.acquire()
        if self.lost.done():
            self._slots.release()
            raise MqttDisconnectedError(f"no connection to the broker: {self.lost.result()}")
        answer: asyncio.Future[ReasonCode] = self._loop.create_future()
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc:
            self._slots.release()
            raise MqttDisconnectedError(f"not sent: {paho.error_string(info.rc)}")
        self._in_flight[info.mid] = answer  # paho answers from the loop, so never before this line
        reason = await answer
        if reason.value == _NO_MATCHING_SUBSCRIBERS and not retain:
            raise NobodyListeningError("nobody has subscribed to the topic; the broker kept nothing", reason.value)
        if reason.is_failure:
            raise PublishRefusedError(f"the broker refused the message: {reason}", reason.value)

    # receiving --------------------------------------------------------------------------------------------------

    def ack(self, message: Message) -> None:
        """Acknowledge in the order of receipt: it goes out when all before it have been asked for too."""
        message.acknowledged = True
        waiting = self._unacknowledged
        while waiting and waiting[0].acknowledged and not self.lost.done():
            self._client.ack(waiting.popleft().mid, 1)

    def pause_reading(self) -> None:
        """Take nothing more from the socket until `resume_reading`; the broker feels it through TCP."""
        self._paused = True
        if self._reading:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def resume_reading(self) -> None:
        """Take from the socket again."""
        self._paused = False
        if not self._reading and self._client.socket() is not None and self._fd >= 0:
            self._loop.add_reader(self._fd, self._readable)
            self._reading = True

    # the paho client --------------------------------------------------------------------------------------------

    def _make_client(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages = 0  # bounded by _slots; paho's own bound searches all messages at each answer
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_publish_received
        client.on_publish = self._on_answer
        client.on_subscribe = self._on_subscribe
        return client

    async def _connect(self) -> None:
        # paho connects with blocking calls (name, TCP, TLS): the one thing done in a thread. The socket callbacks
        # are set only afterwards, so that nothing of the loop is touched from there.
        opening = self._loop.run_in_executor(None, self._connect_blocking)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._close_late)
            raise
        except (OSError, ValueError) as error:  # ValueError: a host or certificate that can't be
            raise MqttDisconnectedError(f"no connection to the broker: {error}") from error
        sock = self._client.socket()
        if sock is None:
            raise MqttDisconnectedError("the connection broke at once")
        self._fd = sock.fileno()
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_want_write
        self._client.on_socket_unregister_write = self._on_no_more_to_write
        if not self._paused:
            self.resume_reading()
        if self._client.want_write():
            self._on_want_write()
        self._tick()

    def _close_late(self, opening: asyncio.Future[None]) -> None:
        if not opening.cancelled():
            opening.exception()  # whatever it was, nobody waits for it any more
        self.abort("cancelled")

    def _connect_blocking(self) -> None:
        settings = self._settings
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.receive_maximum
        self._client.connect(
            settings.host,
            settings.port,
            keepalive=settings.keepalive_s,
            clean_start=settings.session_expiry_s == 0,
            properties=properties,
        )

    async def _subscribe(self, subscriptions: Sequence[str]) -> None:
        # Subscribed again on each connection: a broker may have lost its sessions, and a newer version of us may ask
        # for more. Retained messages come only where the subscription is new.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        answer: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        _, mid = self._client.subscribe([(topic, options) for topic in subscriptions])
        self._suback[mid] = answer
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                reasons = await self._or_lost(answer)
        except TimeoutError:
            raise MqttDisconnectedError("the broker did not answer SUBSCRIBE") from None
        for topic, reason in zip(subscriptions, reasons, strict=True):
            if reason.is_failure:
                raise MqttError(f"the broker refused the subscription to {topic!r}: {reason}")

    async def _or_lost(self, answer: asyncio.Future[Any]) -> Any:
        await asyncio.wait((answer, self.lost), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise MqttDisconnectedError(f"the connection broke: {self.lost.result()}")
        return answer.result()

    # paho's callbacks: never close a socket in one of them, paho holds a lock that closing wants ----------------

    def _on_connect(self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if not reason.is_failure:
            limit = getattr(properties, "ReceiveMaximum", None)
            if limit is not None and limit < self._settings.max_in_flight:
                self._slots = asyncio.Semaphore(limit)
            self._max_packet = getattr(properties, "MaximumPacketSize", None)
            self._on_session()
        if not self._connack.done():
            self._connack.set_result(reason)

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        self.taken_over = reason.value == _SESSION_TAKEN_OVER
        self._end(str(reason))

    def _on_publish_received(self, _c: Any, _u: Any, packet: paho.MQTTMessage) -> None:
        self._handled += 1
        try:
            topic = packet.topic
        except UnicodeDecodeError as error:
            topic = error.object.decode("utf-8", "replace")
        message = Message(
            topic=topic,
            payload=bytes(packet.payload),
            received_ns=self._now_ns(),
            generation=self.generation,
            qos=packet.qos,
            retain=packet.retain,
            mid=packet.mid,
        )
        if packet.qos:
            self._unacknowledged.append(message)
        self._on_message(message)

    def _on_answer(self, _c: Any, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._handled += 1
        answer = self._in_flight.pop(mid, None)
        if answer is not None:
            self._slots.release()  # here and not in publish(): a caller that was cancelled has not freed its place
            if not answer.done():
                answer.set_result(reason)

    def _on_subscribe(self, _c: Any, _u: Any, mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        answer = self._suback.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _on_socket_close(self, _c: Any, _u: Any, _sock: Any) -> None:
        self._stop_watching()

    def _on_want_write(self, *_: Any) -> None:
        # On the next turn of the loop, so that what is said in one breath is written in one go.
        self._loop.call_soon(self._writable)

    def _on_no_more_to_write(self, *_: Any) -> None:
        if self._writing:
            self._loop.remove_writer(self._fd)
            self._writing = False

    # driven by the loop -----------------------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(_READS_A_WAKE):
            before = self._handled
            self._guarded(self._client.loop_read)
            sock = self._client.socket()
            if sock is None or self._paused:
                return
            # paho takes one packet a call and does not say whether more wait; and TLS may hold some back unseen.
            if self._handled == before and not (hasattr(sock, "pending") and sock.pending()):
                return

    def _writable(self) -> None:
        if self._client.socket() is None:
            return
        self._guarded(self._client.loop_write)
        if self._client.socket() is not None and self._client.want_write() and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
            self._writing = True

    def _tick(self) -> None:
        self._guarded(self._client.loop_misc)
        if not self.lost.done():
            self._misc = self._loop.call_later(self._client.keepalive / 4, self._tick)

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a broken packet must cost its connection, not the loop
            log.warning("%s: an MQTT packet could not be handled (%s)", self._settings.client_id, type(error).__name__)
            self._loop.call_soon(self.abort, f"{type(error).__name__} while reading")

    def _stop_watching(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._fd)
        if self._writing:
            self._loop.remove_writer(self._fd)
        self._reading = self._writing = False
        self._fd = -1

    def _end(self, reason: str) -> None:
        if self._misc is not None:
            self._misc.cancel()
        if not self.lost.done():
            self.lost.set_result(reason)
        for answer in self._in_flight.values():
            if not answer.done():
                answer.set_exception(MqttDisconnectedError(f"the connection broke before the answer: {reason}"))
                answer.exception()  # a publisher that was cancelled meanwhile never asks
            self._slots.release()
        self._in_flight.clear()
        # Those who wait for a place find `lost` done, one after the other.
        self._unacknowledged.clear()
