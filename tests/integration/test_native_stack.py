"""The real servers: they start and come back, take what they should, and refuse who has no business with them."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import natives
import pytest
from aiokafka import AIOKafkaConsumer
from natives import connected, refusal, signed_in, trusting

from deploy import kafka_topics
from deploy.brokers import certificates
from deploy.brokers.mosquitto import Role, Tls
from deploy.kafka_topics import TopicsError, check, ensure, plan
from deploy.native.servers import Mosquitto, NativeSettings, NativeStack, ServerError
from ingest.horizon import EVERYTHING
from transport.kafka import KafkaSettings, make_producer, read_all
from transport.mqtt import MqttSettings, PublishRefusedError
from vitals import clocks, topics
from vitals.topics import MQTT_CLOCK, KafkaTopic, bundle_topic, mark_topic

pytestmark = pytest.mark.integration

NOT_AUTHORISED = 0x87


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """All three servers, for all tests of this module: each test uses names of its own."""
    with natives.running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def broker(stack: NativeStack) -> Mosquitto:
    return stack.mqtt


class TestServers:
    async def test_what_kafka_acknowledged_outlives_it(self, stack):
        name = topics.QUARANTINE.name
        producer = make_producer(KafkaSettings(stack.bootstrap))
        await producer.start()
        try:
            await producer.send_and_wait(name, b"before", partition=0)
            await stack.kafka.kill()
            assert stack.kafka.pid == 0
            await stack.kafka.start()
            await producer.send_and_wait(name, b"after", partition=0)
        finally:
            await producer.stop()
        values = [record.value for record in await read_all(KafkaSettings(stack.bootstrap), name)]
        assert values == [b"before", b"after"]

    async def test_what_influx_acknowledged_outlives_it_and_is_asked_in_both_languages(self, stack):
        await asyncio.to_thread(_write_points, stack.influx_url, b"m,p=1 v=7i 1700000000000000000\n")
        await stack.influx.kill()
        await stack.influx.start()
        told = await stack.influx.query('SELECT v FROM "m"', db="teleward", epoch="ns")
        assert told["results"][0]["series"][0]["values"] == [[1_700_000_000_000_000_000, 7]]
        assert b",7," in await asyncio.to_thread(_ask_in_flux, stack.influx_url)

    async def test_a_dead_worker_may_be_missed_after_a_second(self, stack):
        consumer = AIOKafkaConsumer(
            topics.ALARMS.name, bootstrap_servers=stack.bootstrap, group_id="quick", session_timeout_ms=1000,
            heartbeat_interval_ms=300,
        )  # fmt: skip
        await consumer.start()  # a broker with the usual minimum of 6 s would refuse it
        await consumer.stop()

    async def test_a_port_that_is_taken_is_said(self, broker, tmp_path):
        second = Mosquitto(tmp_path, natives.installed().mosquitto, broker.port)
        with pytest.raises(ServerError, match=f"{broker.port} is in use"):
            await second.start()

    async def test_who_watches_a_server_hears_of_its_end(self, tmp_path):
        broker = Mosquitto(tmp_path, natives.installed().mosquitto)
        async with broker:
            watching = asyncio.create_task(broker.died())
            await asyncio.sleep(0)
            assert not watching.done()
            await broker.kill()
            assert await watching == -signal.SIGKILL

    def test_a_machine_without_the_servers_is_told_what_is_missing(self, tmp_path):
        from deploy.native.installed import look

        with pytest.raises(ServerError, match="make stack"):
            NativeStack(NativeSettings(tmp_path), look(tmp_path))

    @pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that isn't ours: Linux only")
    def test_a_server_ends_with_its_parent(self, tmp_path):
        command = [sys.executable, "-c", _PARENT, str(tmp_path), str(natives.installed().mosquitto)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as parent:
            child = os.pidfd_open(int(parent.stdout.readline()))
            try:
                parent.send_signal(signal.SIGKILL)
                readable, _, _ = select.select([child], [], [], 10)
                assert readable, "the server outlived its parent"
            finally:
                os.close(child)


class TestTopics:
    async def test_all_are_there_and_nothing_is_left_to_do(self, stack):
        wanted = plan(partitions=natives.PARTITIONS)
        assert await check(stack.bootstrap, wanted) == ()
        assert await ensure(stack.bootstrap, wanted) == ()

    async def test_a_topic_that_differs_is_named_with_the_difference(self, stack):
        before, after = KafkaTopic("t.differs", True, False, 24, ""), KafkaTopic("t.differs", True, True, 0, "")
        await ensure(stack.bootstrap, plan(partitions=2, wanted=(before,)))
        with pytest.raises(TopicsError) as raised:
            await ensure(stack.bootstrap, plan(partitions=5, wanted=(after,)))
        assert str(raised.value).splitlines() == [
            "t.differs: partitions is 2, should be 5",
            "t.differs: cleanup.policy is delete, should be compact",
            "t.differs: min.cleanable.dirty.ratio is 0.5, should be 0.1",
            "t.differs: retention.ms is 86400000, should be -1",
            "t.differs: segment.ms is 604800000, should be 3600000",
        ]

    async def test_the_missing_are_made_before_the_different_are_told(self, stack):
        old, new = KafkaTopic("t.old", False, False, 24, ""), KafkaTopic("t.new", False, False, 24, "")
        await ensure(stack.bootstrap, plan(wanted=(old,)))
        shorter = KafkaTopic("t.old", False, False, 1, "")
        with pytest.raises(TopicsError, match=r"t\.old: retention\.ms is 86400000, should be 3600000"):
            await ensure(stack.bootstrap, plan(wanted=(shorter, new)))
        assert await check(stack.bootstrap, plan(wanted=(old, new))) == ()

    async def test_more_copies_than_brokers_is_refused_in_kafkas_words(self, stack):
        one = KafkaTopic("t.copies", False, False, 24, "")
        with pytest.raises(TopicsError, match=r"t\.copies was not created"):
            await ensure(stack.bootstrap, plan(replication=3, wanted=(one,)))
        (difference,) = await check(stack.bootstrap, plan(wanted=(one,)))
        assert str(difference) == "t.copies does not exist"

    def test_from_the_command_line(self, stack, capsys):
        arguments = ["--bootstrap", stack.bootstrap, "--partitions"]
        assert kafka_topics.main([*arguments, str(natives.PARTITIONS)]) == 0
        assert kafka_topics.main([*arguments, "9"]) == 1
        assert "teleward.input: partitions is 3, should be 9" in capsys.readouterr().err


class TestWhoComesIn:
    async def test_nobody_without_a_name_or_with_a_wrong_password(self, broker):
        known = signed_in(broker, "dev-known")
        for settings in (
            MqttSettings("dev-known", port=broker.port),
            MqttSettings("dev-known", port=broker.port, username="dev-known"),
            MqttSettings("dev-known", port=broker.port, username="dev-known", password="guess"),
            MqttSettings("stranger", port=broker.port, username="stranger", password=known.password),
        ):
            assert "Not authorized" in await refusal(settings)

    async def test_a_device_publishes_under_its_own_name_only(self, broker):
        async with connected(signed_in(broker, "bridge", Role.BRIDGE), EVERYTHING) as bridge:
            async with connected(signed_in(broker, "dev-a")) as device:
                for topic in (bundle_topic("dev-b"), mark_topic("dev-a"), mark_topic("player"), "teleward/v1/dev-a/x",
                              "teleward/v1/bridge/probe", MQTT_CLOCK, "$SYS/broker/uptime", "elsewhere"):  # fmt: skip
                    with pytest.raises(PublishRefusedError) as refused:
                        await device.publish(topic, b"not mine")
                    assert refused.value.reason_code == NOT_AUTHORISED, topic
                await device.publish(bundle_topic("dev-a"), b"mine")
            (message,) = await bridge.receive()
            bridge.ack(message)
            assert (message.topic, message.payload) == (bundle_topic("dev-a"), b"mine")

    async def test_a_device_hears_what_time_it_is(self, broker):
        async with (
            connected(signed_in(broker, "bridge", Role.BRIDGE)) as bridge,
            connected(signed_in(broker, "dev-a"), MQTT_CLOCK) as device,
        ):
            await bridge.publish(MQTT_CLOCK, clocks.say(12), qos=0)
            (message,) = await device.receive()
            assert clocks.heard(message.payload) == 12

    async def test_a_device_hears_nobody(self, broker):
        async with (
            connected(signed_in(broker, "bridge", Role.BRIDGE), EVERYTHING) as bridge,
            connected(signed_in(broker, "dev-nosy"), "#", EVERYTHING, "$SYS/#") as nosy,
            connected(signed_in(broker, "dev-a")) as device,
        ):
            await device.publish(bundle_topic("dev-a"), b"private")
            # Mosquitto writes to a client in order: what was for it would have come before this acknowledgement.
            await nosy.publish(bundle_topic("dev-nosy"), b"own")
            assert nosy.take() == []
            await _acknowledge(bridge, 2)

    async def test_a_bridge_cannot_speak_for_a_device(self, broker):
        async with connected(signed_in(broker, "bridge", Role.BRIDGE)) as bridge:
            with pytest.raises(PublishRefusedError):
                await bridge.publish(bundle_topic("dev-a"), b"made up")

    async def test_a_player_speaks_for_any_device_and_marks_time_as_itself(self, broker):
        async with (
            connected(signed_in(broker, "bridge", Role.BRIDGE), EVERYTHING) as bridge,
            connected(signed_in(broker, "player", Role.PLAYER)) as player,
        ):
            await player.publish(bundle_topic("dev-recorded"), b"1")
            await player.publish(mark_topic("player"), b"2")
            with pytest.raises(PublishRefusedError):
                await player.publish(mark_topic("other"), b"3")
            await _acknowledge(bridge, 2)

    async def test_the_bridges_client_id_in_a_devices_hands_opens_nothing(self, broker):
        settings = signed_in(broker, "bridge", Role.BRIDGE)
        async with connected(settings, EVERYTHING):
            pass
        async with connected(signed_in(broker, "dev-thief", client_id="bridge"), EVERYTHING) as thief:
            await thief.publish(bundle_topic("dev-thief"), b"for the bridge alone")
            assert thief.take() == []
        async with connected(settings, EVERYTHING) as bridge:
            (message,) = await bridge.receive()
            bridge.ack(message)
            assert message.payload == b"for the bridge alone"

    async def test_who_is_taken_away_is_cut_at_once(self, broker):
        async with connected(signed_in(broker, "dev-lost")) as device:
            broker.accounts.remove("dev-lost")
            assert broker.reload()
            await device.until_disconnected()
            assert device.connections == 1


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
class TestTls:
    @pytest.fixture(autouse=True)
    def _collected_here(self) -> Iterator[None]:
        yield
        gc.collect()

    async def test_passwords_go_in_the_clear_to_nobody_and_only_the_ward_is_believed(self, tmp_path):
        tls, authority = _server_files(tmp_path)
        async with Mosquitto(tmp_path / "m", natives.installed().mosquitto, tls=tls) as broker:
            context = trusting(authority)
            async with (
                connected(signed_in(broker, "bridge", Role.BRIDGE), EVERYTHING) as bridge,
                connected(signed_in(broker, "dev-1", host="localhost", port=broker.tls_port, tls=context)) as device,
            ):
                await device.publish(bundle_topic("dev-1"), b"sealed")
                await _acknowledge(bridge, 1)
            stranger = trusting(certificates.authority(tmp_path / "strangers").certificate)
            for wrong in ({"tls": stranger, "host": "localhost"}, {"tls": context, "host": "127.0.0.1"}):
                said = await refusal(signed_in(broker, "dev-1", port=broker.tls_port, **wrong))
                assert "certificate verify failed" in said
            in_the_clear = await refusal(signed_in(broker, "dev-1", port=broker.tls_port, connect_timeout_s=2.0))
            assert in_the_clear
            nobody = MqttSettings("x", host="localhost", port=broker.tls_port, tls=context)
            assert "Not authorized" in await refusal(nobody)

    async def test_a_certificate_of_ours_is_a_name_and_another_ones_is_none(self, tmp_path):
        tls, authority = _server_files(tmp_path, client_certificates=True)
        async with Mosquitto(tmp_path / "m", natives.installed().mosquitto, tls=tls) as broker:
            ours = certificates.client(tmp_path / "ours", "dev-1")
            theirs = certificates.client(tmp_path / "strangers", "dev-1")
            async with (
                connected(signed_in(broker, "bridge", Role.BRIDGE), EVERYTHING) as bridge,
                connected(
                    MqttSettings(
                        "any",
                        host="localhost",
                        port=broker.tls_port,
                        tls=trusting(authority, ours.certificate, ours.key),
                    )
                ) as device,
            ):
                await device.publish(bundle_topic("dev-1"), b"signed")
                with pytest.raises(PublishRefusedError):
                    await device.publish(bundle_topic("dev-2"), b"not mine")
                await _acknowledge(bridge, 1)
            for context in (trusting(authority), trusting(authority, theirs.certificate, theirs.key)):
                assert await refusal(MqttSettings("any", host="localhost", port=broker.tls_port, tls=context))


class TestSessions:
    async def test_what_waits_for_a_bridge_outlives_an_orderly_end(self, tmp_path):
        async with Mosquitto(tmp_path, natives.installed().mosquitto) as broker:
            settings = signed_in(broker, "bridge", Role.BRIDGE)
            async with connected(settings, EVERYTHING):
                pass
            device_settings = signed_in(broker, "dev-1")
            sent = [b"%04d" % number for number in range(1500)]  # Mosquitto's own bound is 1000
            async with connected(device_settings) as device:
                await asyncio.gather(*(device.publish(bundle_topic("dev-1"), text) for text in sent))
            await broker.restart()
            async with connected(settings, EVERYTHING) as bridge:
                assert await _acknowledge(bridge, len(sent)) == sent


async def _acknowledge(client, count: int) -> list[bytes]:
    got: list[bytes] = []
    while len(got) < count:
        for message in await client.receive():
            got.append(message.payload)
            client.ack(message)
    assert len(got) == count
    return got


def _server_files(folder: Path, *, client_certificates: bool = False) -> tuple[Tls, Path]:
    made = certificates.server(folder / "ours", ("localhost",))
    authority = certificates.authority(folder / "ours").certificate
    return Tls(str(authority), str(made.certificate), str(made.key), client_certificates=client_certificates), authority


def _write_points(url: str, lines: bytes) -> None:
    assert _post(f"{url}/api/v2/write?bucket=teleward/autogen&org=-", lines) == b""


def _ask_in_flux(url: str) -> bytes:
    query = b'from(bucket: "teleward/autogen") |> range(start: 2023-11-14T00:00:00Z, stop: 2023-11-16T00:00:00Z)'
    return _post(f"{url}/api/v2/query", query, **{"Content-Type": "application/vnd.flux", "Accept": "application/csv"})


def _post(url: str, body: bytes, **headers: str) -> bytes:
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own server on loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return answer.read()


_PARENT = """
import asyncio, sys
from pathlib import Path
from deploy.native.servers import Mosquitto

async def main():
    broker = Mosquitto(Path(sys.argv[1]), Path(sys.argv[2]))
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
