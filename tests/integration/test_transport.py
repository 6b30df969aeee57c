"""The clients against real embedded brokers: nothing is lost, nothing is acknowledged early, failures are said."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from deploy.embedded import EmbeddedBrokerError, EmbeddedKafka, EmbeddedMqtt, EmbeddedSettings
from transport.kafka import KafkaSettings, TopicReader, make_producer, read_all, read_partition_tail
from transport.mqtt import Message, MqttClient, MqttDisconnectedError
from vitals import topics

pytestmark = pytest.mark.integration

ALL = ("t/#",)


async def receive(client: MqttClient, count: int) -> list[Message]:
    """Exactly `count` messages, in the order they came."""
    messages: list[Message] = []
    while len(messages) < count:
        messages += await client.receive()
    assert len(messages) == count
    return messages


def texts(messages: list[Message]) -> list[bytes]:
    return [message.payload for message in messages]


async def cut_after_flush(client: MqttClient) -> None:
    """Cut the connection when the broker has surely read all that was written on it."""
    await client.publish("elsewhere", b"")  # answered after everything before it on the same socket
    await cut(client)


async def cut(client: MqttClient) -> None:
    before = client.generation
    client.cut()
    await client.until_connected(after=before)


class TestReceiving:
    async def test_what_was_not_acknowledged_comes_again_after_a_reconnect(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        for text in (b"1", b"2", b"3"):
            await device.publish("t/x", text)
        bridge.ack((await receive(bridge, 3))[0])
        await cut_after_flush(bridge)
        again = await receive(bridge, 2)
        assert texts(again) == [b"2", b"3"]
        assert again[0].generation == bridge.generation

    async def test_an_early_acknowledgement_waits_for_those_before_it(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        for text in (b"1", b"2", b"3"):
            await device.publish("t/x", text)
        first, second, third = await receive(bridge, 3)
        bridge.ack(third)
        bridge.ack(second)
        # The embedded broker cuts whoever acknowledges out of order: a further message shows that we are still on.
        await device.publish("t/x", b"4")
        assert texts(await receive(bridge, 1)) == [b"4"]
        assert bridge.generation == first.generation
        await cut_after_flush(bridge)
        assert texts(await receive(bridge, 4)) == [b"1", b"2", b"3", b"4"]

    async def test_acknowledged_in_any_order_all_are_gone_for_good(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        for text in (b"1", b"2", b"3"):
            await device.publish("t/x", text)
        for message in reversed(await receive(bridge, 3)):
            bridge.ack(message)
        await cut_after_flush(bridge)
        await device.publish("t/x", b"new")
        assert texts(await receive(bridge, 1)) == [b"new"]

    async def test_an_acknowledgement_never_goes_by_another_connection(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        for text in (b"1", b"2"):
            await device.publish("t/x", text)
        old = await receive(bridge, 2)
        await cut(bridge)
        again = await receive(bridge, 2)
        for message in old:  # same packet ids as those that came again: they would acknowledge those
            bridge.ack(message)
        await cut_after_flush(bridge)
        assert texts(await receive(bridge, 2)) == texts(again) == [b"1", b"2"]

    async def test_what_nobody_took_is_not_there_twice_after_a_reconnect(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        await device.publish("t/x", b"1")
        await bridge.until_waiting()
        for _ in range(3):
            await cut(bridge)
        await device.publish("t/x", b"2")
        assert texts(await receive(bridge, 2)) == [b"1", b"2"]

    async def test_what_we_hold_survives_a_broker_that_forgets(self, connect, mqtt_broker):
        bridge, device = await connect("bridge", ALL), await connect("device")
        await device.publish("t/x", b"only we have it")
        await bridge.until_waiting()
        await mqtt_broker.restart()
        await bridge.until_connected(after=1)
        assert texts(await receive(bridge, 1)) == [b"only we have it"]

    async def test_a_session_waits_for_us_while_we_are_away(self, connect, mqtt_broker):
        bridge, device = await connect("bridge", ALL), await connect("device")
        await bridge.stop()
        await device.publish("t/x", b"meanwhile")
        back = await connect("bridge", ALL)
        assert texts(await receive(back, 1)) == [b"meanwhile"]

    async def test_more_than_fits_at_once_comes_in_the_order_it_was_sent(self, connect):
        bridge, device = await connect("bridge", ALL), await connect("device")
        sent = [b"%d" % number for number in range(500)]
        publishing = asyncio.gather(*(device.publish("t/x", text) for text in sent))
        got: list[bytes] = []
        while len(got) < len(sent):
            for message in await bridge.receive():
                got.append(message.payload)
                bridge.ack(message)
        await publishing
        assert got == sent


class TestPublishing:
    async def test_it_fails_clearly_while_the_broker_is_gone_and_works_when_it_is_back(self, connect, mqtt_broker):
        bridge, device = await connect("bridge", ALL), await connect("device")
        await mqtt_broker.stop()
        await device.until_disconnected()
        with pytest.raises(MqttDisconnectedError, match="no connection to the broker"):
            await device.publish("t/x", b"1")
        before = bridge.generation, device.generation
        await mqtt_broker.start()
        await bridge.until_connected(after=before[0])
        await device.until_connected(after=before[1])
        await device.publish("t/x", b"2")
        assert texts(await receive(bridge, 1)) == [b"2"]

    async def test_what_was_under_way_when_the_connection_broke_fails(self, connect):
        device = await connect("device", max_in_flight=2)
        under_way = [asyncio.create_task(device.publish("t/x", b"%d" % number)) for number in range(5)]
        await asyncio.sleep(0)
        device.cut()
        outcomes = await asyncio.gather(*under_way, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [MqttDisconnectedError] * 5

    async def test_a_cancelled_publish_gives_its_place_back(self, connect):
        device = await connect("device", max_in_flight=1)
        for _ in range(3):
            under_way = asyncio.create_task(device.publish("t/x", b"never mind"))
            await asyncio.sleep(0)
            under_way.cancel()
        await device.publish("t/x", b"gets its turn")

    async def test_a_message_that_the_broker_kept_is_marked(self, connect):
        device = await connect("device")
        await device.publish("t/kept", b"newest", retain=True)
        late = await connect("late", ALL)
        (message,) = await receive(late, 1)
        assert (message.payload, message.retain) == (b"newest", True)


class TestKafka:
    async def test_what_was_produced_is_read_back_with_headers_and_offsets(self, kafka: KafkaSettings):
        producer = make_producer(kafka)
        await producer.start()
        try:
            for number in range(7):
                await producer.send_and_wait(
                    topics.INPUT.name, b"%d" % number, key=b"k", partition=number % 3, headers=[("type", b"tick")]
                )
        finally:
            await producer.stop()
        records = await read_all(kafka, topics.INPUT.name)
        by_place = {(record.partition, record.offset): record for record in records}
        assert sorted(by_place) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]
        record = by_place[1, 1]
        assert (record.value, record.key, record.header("type"), record.header("other")) == (b"4", b"k", b"tick", None)

    async def test_a_tail_is_the_last_records_of_one_partition(self, kafka: KafkaSettings):
        producer = make_producer(kafka)
        await producer.start()
        try:
            for number in range(10):
                await producer.send_and_wait(topics.SNAPSHOTS.name, b"%d" % number, partition=number % 2)
        finally:
            await producer.stop()
        name = topics.SNAPSHOTS.name
        assert [r.value for r in await read_partition_tail(kafka, name, 1, 2)] == [b"7", b"9"]
        assert [r.offset for r in await read_partition_tail(kafka, name, 0, 100)] == [0, 1, 2, 3, 4]
        assert await read_partition_tail(kafka, name, 2, 3) == []

    async def test_a_reader_begins_where_it_is_told_and_follows(self, kafka: KafkaSettings):
        name = topics.INPUT.name
        producer = make_producer(kafka)
        await producer.start()
        try:
            for number in range(4):
                await producer.send_and_wait(name, b"%d" % number, partition=0)
            async with TopicReader(kafka, (name,), offsets={(name, 0): 2}, begin="latest") as reader:
                assert [record.offset for record in await reader.read_to_end()] == [2, 3]
                await producer.send_and_wait(name, b"new", partition=1)
                (record,) = await reader.read()
                assert (record.partition, record.offset, record.value) == (1, 0, b"new")
                assert reader.positions == {(name, 0): 4, (name, 1): 1, (name, 2): 0}
                assert await reader.read(timeout_s=0) == []
        finally:
            await producer.stop()

    async def test_what_was_dropped_before_it_was_read_is_counted_and_said(self, kafka: KafkaSettings, caplog):
        name = topics.QUARANTINE.name
        producer = make_producer(kafka)
        await producer.start()
        try:
            for _ in range(15):
                await producer.send_and_wait(name, bytes(500_000), partition=0)
        finally:
            await producer.stop()
        async with TopicReader(kafka, (name,), offsets={(name, 0): 0}) as reader:
            kept = await reader.read_to_end()
        assert reader.lost[name, 0] == 15 - len(kept) > 0
        assert f"{15 - len(kept)} records of {name}" in caplog.text

    async def test_an_empty_topic_reads_as_nothing(self, kafka: KafkaSettings):
        assert await read_all(kafka, topics.REGISTRY.name, compacted=True) == []


class TestEmbedded:
    async def test_a_port_that_is_taken_is_said(self, mqtt_broker: EmbeddedMqtt):
        second = EmbeddedMqtt(EmbeddedSettings(mqtt_port=mqtt_broker.port))
        with pytest.raises(EmbeddedBrokerError, match=r"in use|cannot listen"):
            await second.start()

    async def test_a_topic_is_made_once(self, kafka_cluster: EmbeddedKafka):
        with pytest.raises(EmbeddedBrokerError, match=topics.INPUT.name):
            await kafka_cluster.create_topic(topics.INPUT.name, 3)

    async def test_who_watches_the_broker_hears_of_its_end(self, mqtt_broker: EmbeddedMqtt):
        watching = asyncio.create_task(mqtt_broker.died())
        await asyncio.sleep(0)
        assert not watching.done()
        await mqtt_broker.stop()
        assert await watching != 0

    @pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that isn't ours: Linux only")
    def test_the_broker_dies_with_its_parent(self):
        parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        with parent:
            child = os.pidfd_open(int(parent.stdout.readline()))
            try:
                parent.send_signal(signal.SIGKILL)
                readable, _, _ = select.select([child], [], [], 10)
                assert readable, "the broker outlived its parent"
            finally:
                os.close(child)


_PARENT = """
import asyncio, sys
from deploy.embedded import EmbeddedMqtt, EmbeddedSettings

async def main():
    broker = EmbeddedMqtt(EmbeddedSettings())
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
