"""The words of our MQTT: settings, a message, what can go wrong. `transport.mqtt` is the door to them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass


class MqttError(Exception):
    """Something did not work; the text says what."""


class MqttDisconnectedError(MqttError):
    """There is no connection, or it broke before the broker's answer came: whether it was taken is not known."""


class PublishRefusedError(MqttError):
    """The broker answered that it did not take a message.

    Attributes:
        reason_code: MQTT 5 reason code; 0x87 not authorised, 0x95 too large, 0x97 quota exceeded.
    """

    def __init__(self, text: str, reason_code: int) -> None:
        super().__init__(text)
        self.reason_code = reason_code


class NobodyListeningError(PublishRefusedError):
    """The broker threw the message away since nobody had subscribed to its topic (reason code 0x10)."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """How to reach a broker, and how much may be under way.

    Attributes:
        client_id: Names the session: the same id comes back to what waited for it.
        host: The broker.
        port: Its MQTT 5 port.
        username: None connects without one.
        password: None sends none. Never logged.
        tls: Set to speak TLS with this context.
        keepalive_s: A ping goes out when nothing else did for so long; without an answer the connection is given up.
        session_expiry_s: How long the broker keeps our session (and queues for it) while we are away; 0 starts clean
            every time. 86,400 carries a bridge over a day's outage.
        receive_maximum: Messages the broker may send us before our first acknowledgement. This bounds the memory of
            a subscriber that can't pass on what it got: 200 bundles of 2 kB are 400 kB.
        max_in_flight: Our publishes that may wait for the broker's acknowledgement; a further one waits for its turn.
        connect_timeout_s: For the connection, and again for the broker's answer to CONNECT and to SUBSCRIBE.
        reconnect_min_s: Pause before the second try to connect; each further one doubles it.
        reconnect_max_s: Longest pause. Each is shortened by up to half at random, so that a thousand devices do not
            come back in the same instant.
    """

    client_id: str
    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 86_400
    receive_maximum: int = 200
    max_in_flight: int = 20
    connect_timeout_s: float = 5.0
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what MQTT or a broker would refuse later, with a worse message."""
        if not self.client_id:
            raise ValueError("client_id is empty: a session needs a name to come back to")
        for name, low, high in (
            ("port", 1, 65_535),
            ("keepalive_s", 1, 65_535),
            ("session_expiry_s", 0, 0xFFFF_FFFF),
            ("receive_maximum", 1, 65_535),
            ("max_in_flight", 1, 65_535),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, not {low}..{high}")
        if not 0 < self.reconnect_min_s <= self.reconnect_max_s:
            raise ValueError(f"reconnect_min_s {self.reconnect_min_s} is not in 0..{self.reconnect_max_s}")


@dataclass(slots=True, eq=False)
class Message:
    """A message that a broker sent.

    Attributes:
        topic: Where it was published.
        payload: The bytes.
        received_ns: When it came off the socket, by the clock handed to the client.
        generation: Which of our connections it came by; only there it can be acknowledged.
        qos: 0 or 1; 0 needs no acknowledgement.
        retain: True if the broker had kept it from before we subscribed.
        mid: Packet id within its connection, 0 for qos 0.
        acknowledged: Whether its acknowledgement was asked for; it goes out when those before it have gone.
    """

    topic: str
    payload: bytes
    received_ns: int
    generation: int
    qos: int = 1
    retain: bool = False
    mid: int = 0
    acknowledged: bool = False


def backoff(settings: MqttSettings, tries: int, random: Callable[[], float]) -> float:
    """The pause before the next try to connect, in seconds.

    Args:
        settings: Bounds of the pause.
        tries: Tries that failed since the last good connection, from 1.
        random: Gives 0..1.

    Returns:
        With the defaults and `random` at 0: 0.1, 0.2, 0.4 ... 30; at 1 half of each.
    """
    longest = min(settings.reconnect_max_s, settings.reconnect_min_s * 2.0 ** min(tries - 1, 32))
    return longest * (1.0 - 0.5 * random())
