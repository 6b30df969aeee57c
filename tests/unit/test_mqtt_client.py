"""The MQTT client against a scripted peer: what it writes, and what it makes of answers a real broker rarely gives."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator

import pytest

from transport.kafka import quiet_aiokafka
from transport.mqtt import (
    MqttClient,
    MqttDisconnectedError,
    MqttError,
    MqttSettings,
    NobodyListeningError,
    PublishRefusedError,
)
from transport.mqtt_types import backoff

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14


class Peer:
    """A listener that keeps what it gets and answers only as it is told."""

    def __init__(self) -> None:
        self.connack = b"\x20\x03\x00\x00\x00"
        self.puback_reason: int | None = 0  # None: no answer
        self.packets: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                kind = (await reader.readexactly(1))[0] >> 4
                size, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    size |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body = await reader.readexactly(size)
                self.packets.put_nowait((kind, body))
                if kind == CONNECT:
                    writer.write(self.connack)
                elif kind == SUBSCRIBE:
                    writer.write(b"\x90\x04" + body[:2] + b"\x00\x01")
                elif kind == PUBLISH and self.puback_reason is not None:
                    (length,) = struct.unpack_from("!H", body)
                    mid = body[2 + length : 4 + length]
                    writer.write(b"\x40\x04" + mid + bytes([self.puback_reason, 0]))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def next(self, kind: int) -> bytes:
        while True:
            got, body = await self.packets.get()
            if got == kind:
                return body


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    yield peer
    server.close()
    await server.wait_closed()


def settings(peer: Peer, **more: object) -> MqttSettings:
    return MqttSettings("dev-1", port=peer.port, reconnect_min_s=0.001, reconnect_max_s=0.001, **more)


async def nothing_but_an_acknowledgement(client: MqttClient, peer: Peer) -> None:
    """The client wrote nothing more: what it is made to write now comes next."""
    peer.writer.write(b"\x32\x08\x00\x01t\x00\x07\x00hi")
    for message in await client.receive():
        client.ack(message)
    assert (await peer.packets.get())[0] == PUBACK


async def test_connect_asks_for_mqtt_5_a_lasting_session_and_a_receive_maximum(peer):
    async with MqttClient(settings(peer, receive_maximum=300, session_expiry_s=600, keepalive_s=7)) as client:
        await client.until_connected()
        body = await peer.next(CONNECT)
    assert body[:6] == b"\x00\x04MQTT"
    assert body[6] == 5
    assert not body[7] & 0x02, "clean start"
    assert struct.unpack_from("!H", body, 8) == (7,)
    assert b"\x11" + struct.pack("!I", 600) in body
    assert b"\x21" + struct.pack("!H", 300) in body


async def test_a_session_that_is_not_kept_starts_clean(peer):
    async with MqttClient(settings(peer, session_expiry_s=0)) as client:
        await client.until_connected()
        assert (await peer.next(CONNECT))[7] & 0x02


async def test_who_we_are_goes_into_connect(peer):
    async with MqttClient(settings(peer, username="dev-1", password="open sesame")) as client:
        await client.until_connected()
        body = await peer.next(CONNECT)
    assert body.endswith(b"\x00\x05dev-1\x00\x0bopen sesame")


async def test_no_more_than_the_bound_are_under_way(peer):
    peer.puback_reason = None
    async with MqttClient(settings(peer, max_in_flight=2)) as client:
        await client.until_connected()
        waiting = [asyncio.create_task(client.publish("t", b"%d" % number)) for number in range(4)]
        first, second = await peer.next(PUBLISH), await peer.next(PUBLISH)
        assert (first[-1:], second[-1:]) == (b"0", b"1")
        await nothing_but_an_acknowledgement(client, peer)
        peer.writer.write(b"\x40\x04" + first[3:5] + b"\x00\x00")
        assert (await peer.next(PUBLISH))[-1:] == b"2"
        assert [task.done() for task in waiting] == [True, False, False, False]
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [
        type(None),
        MqttDisconnectedError,
        MqttDisconnectedError,
        MqttDisconnectedError,
    ]


async def test_the_brokers_own_receive_maximum_counts_too(peer):
    peer.puback_reason = None
    peer.connack = b"\x20\x06\x00\x00\x03\x21\x00\x01"
    async with MqttClient(settings(peer, max_in_flight=20)) as client:
        await client.until_connected()
        waiting = [asyncio.create_task(client.publish("t", b"%d" % number)) for number in range(2)]
        first = await peer.next(PUBLISH)
        await nothing_but_an_acknowledgement(client, peer)
        peer.writer.write(b"\x40\x04" + first[3:5] + b"\x00\x00")
        assert (await peer.next(PUBLISH))[-1:] == b"1"
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        (0x87, PublishRefusedError, "Not authorized"),
        (0x97, PublishRefusedError, "Quota exceeded"),
        (0x10, NobodyListeningError, "nobody has subscribed"),
    ],
)
async def test_a_message_that_was_not_taken_raises(peer, reason, error, text):
    peer.puback_reason = reason
    async with MqttClient(settings(peer)) as client:
        await client.until_connected()
        with pytest.raises(error, match=text) as caught:
            await client.publish("t", b"x")
    assert caught.value.reason_code == reason


async def test_what_the_broker_keeps_needs_no_listener(peer):
    peer.puback_reason = 0x10
    async with MqttClient(settings(peer)) as client:
        await client.until_connected()
        await client.publish("t", b"x", retain=True)


async def test_more_than_the_broker_takes_is_refused_here(peer):
    peer.connack = b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x64"  # Maximum Packet Size 100
    async with MqttClient(settings(peer)) as client:
        await client.until_connected()
        with pytest.raises(PublishRefusedError, match="limit of 100"):
            await client.publish("t", bytes(100))


async def test_a_refused_connection_is_said_and_tried_again(peer):
    peer.connack = b"\x20\x03\x00\x87\x00"
    pauses: asyncio.Queue[float] = asyncio.Queue()

    async def sleep(pause_s: float) -> None:
        pauses.put_nowait(pause_s)
        await asyncio.Event().wait()

    async with MqttClient(settings(peer), sleep=sleep) as client:
        await pauses.get()
        assert not client.connected
        assert "Not authorized" in client.last_error
        with pytest.raises(MqttError, match="Not authorized"):
            await client.publish("t", b"x")


async def test_pauses_between_tries_grow_up_to_their_bound():
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 6:
            enough.set()
            await asyncio.Event().wait()

    nobody = MqttSettings("dev-1", port=1, reconnect_min_s=0.1, reconnect_max_s=1.0)
    async with MqttClient(nobody, sleep=sleep, jitter=lambda: 0.0):
        await enough.wait()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_shortens_a_pause_by_up_to_half():
    bounds = MqttSettings("dev-1", reconnect_min_s=0.1, reconnect_max_s=1.0)
    assert backoff(bounds, 2, lambda: 1.0) == pytest.approx(0.1)
    assert backoff(bounds, 10_000, lambda: 0.5) == pytest.approx(0.75)


@pytest.mark.parametrize("rubbish", [b"\x30\x02\xff\xff", b"\x00\x00", b"\x40\x01\x00", b"\x30\xff\xff\xff\xff\xff"])
async def test_a_broken_packet_costs_its_connection_and_nothing_else(peer, rubbish):
    async with MqttClient(settings(peer)) as client:
        first = await client.until_connected()
        peer.writer.write(rubbish)
        await client.until_connected(after=first)
        await client.publish("t", b"still here")


async def test_messages_carry_when_they_came_by_the_clock_handed_in(peer):
    async with MqttClient(settings(peer), ["t"], now_ns=lambda: 1_700_000_000_000_000_123) as client:
        await client.until_connected()
        peer.writer.write(b"\x32\x08\x00\x01t\x00\x07\x00hi")
        (message,) = await client.receive()
        assert (message.topic, message.payload, message.received_ns) == ("t", b"hi", 1_700_000_000_000_000_123)
        assert (client.waiting, client.oldest_ns) == (0, None)
        client.ack(message)
        assert (await peer.next(PUBACK))[:2] == b"\x00\x07"


async def test_a_flood_without_acknowledgements_is_held_back_by_tcp(peer):
    async with MqttClient(settings(peer, receive_maximum=5), ["t"]) as client:
        await client.until_connected()
        peer.writer.write(b"\x30\x05\x00\x01t\x00x" * 100)
        got = 0
        while got < 100:
            await client.until_waiting()
            assert client.waiting <= 10
            got += len(client.take())


async def test_stop_says_goodbye(peer):
    client = MqttClient(settings(peer))
    await client.start()
    await client.until_connected()
    await client.stop()
    await peer.next(DISCONNECT)
    with pytest.raises(MqttDisconnectedError):
        await client.publish("t", b"x")


async def test_stop_in_the_middle_of_connecting_leaves_nothing_behind(peer):
    client = MqttClient(settings(peer))
    await client.start()
    await asyncio.sleep(0)
    await client.stop()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"client_id": ""}, "client_id"),
        ({"port": 0}, "port is 0"),
        ({"receive_maximum": 0}, "receive_maximum is 0"),
        ({"keepalive_s": 0}, "keepalive_s is 0"),
        ({"reconnect_min_s": 2.0, "reconnect_max_s": 1.0}, "reconnect_min_s 2.0"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_value(wrong, text):
    with pytest.raises(ValueError, match=text):
        MqttSettings(**{"client_id": "dev-1", **wrong})


def test_a_repeated_log_line_is_held_back_and_counted(caplog):
    now = [0.0]
    logger = logging.getLogger("chatty.part")
    quiet_aiokafka(10.0, clock=lambda: now[0], under="chatty")
    for second in range(25):
        now[0] = float(second)
        logger.warning("no broker, try %d", second)
    assert caplog.messages == [
        "no broker, try 0",
        "no broker, try 10 (and 9 more like it)",
        "no broker, try 20 (and 9 more like it)",
    ]
