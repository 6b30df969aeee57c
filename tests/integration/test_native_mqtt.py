"""The MQTT client and the devices' second telling against a real Mosquitto that is killed.

Mosquitto acknowledges before it saves: killed, it comes back with its sessions as they were last saved, and packet ids
that meant other messages.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import natives
import pytest
from natives import connected, signed_in

from deploy.brokers.mosquitto import Role
from deploy.clock import WardClock
from deploy.native.servers import Mosquitto
from device_sim import Simulation, plan
from device_sim.scenario_file import parse
from ingest.horizon import EVERYTHING
from transport.mqtt import Message, MqttClient
from vitals import topics, wire
from vitals.signs import MINUTE_NS

pytestmark = pytest.mark.integration

TOPIC = topics.bundle_topic("dev-1")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A broker of its own for each test: they look at what it saved and what it did not."""
    program = natives.installed().mosquitto
    assert program is not None
    async with Mosquitto(tmp_path / "mosquitto", program) as broker:
        yield broker


async def save(broker: Mosquitto) -> None:
    """Have it write its sessions down now (SIGUSR1), and wait until it has."""
    kept = broker.folder / "data" / "mosquitto.db"
    before = kept.stat().st_mtime_ns if kept.exists() else -1
    os.kill(broker.pid, signal.SIGUSR1)
    while not kept.exists() or kept.stat().st_mtime_ns == before:
        await asyncio.sleep(0.005)


async def killed(broker: Mosquitto, *clients: MqttClient) -> None:
    """Kill it, start it, and wait until all are connected again."""
    before = [client.generation for client in clients]
    await broker.kill()
    await broker.start()
    for client, generation in zip(clients, before, strict=True):
        await client.until_connected(after=generation)


async def received(client: MqttClient, count: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < count:
        messages += await client.receive()
    return messages


def texts(messages: list[Message]) -> list[bytes]:
    return [message.payload for message in messages]


async def test_what_a_killed_broker_had_not_saved_and_we_hold_is_kept(broker):
    bridge_of, device_of = signed_in(broker, "bridge", Role.BRIDGE), signed_in(broker, "dev-1")
    async with connected(bridge_of, EVERYTHING) as bridge, connected(device_of) as device:
        await save(broker)
        for text in (b"1", b"2"):
            await device.publish(TOPIC, text)
        while bridge.waiting < 2:
            await asyncio.sleep(0)
        await killed(broker, bridge, device)
        # The session is there, without them; the device was told that they are safe.
        await device.publish(TOPIC, b"3")
        assert texts(await received(bridge, 3)) == [b"1", b"2", b"3"]


async def test_what_comes_again_stands_in_its_old_place_and_only_once(broker):
    bridge_of, device_of = signed_in(broker, "bridge", Role.BRIDGE), signed_in(broker, "dev-1")
    async with connected(bridge_of, EVERYTHING) as bridge, connected(device_of) as device:
        for text in (b"1", b"2"):
            await device.publish(TOPIC, text)
        while bridge.waiting < 2:
            await asyncio.sleep(0)
        await save(broker)
        await device.publish(TOPIC, b"3")
        while bridge.waiting < 3:
            await asyncio.sleep(0)
        first_ns = bridge.oldest_ns
        await killed(broker, bridge, device)
        await device.publish(TOPIC, b"4")  # behind all that the broker sends again
        while bridge.waiting < 4:
            await asyncio.sleep(0)
        assert bridge.oldest_ns == first_ns, "received when it came for the first time"
        messages = await received(bridge, 4)
        assert texts(messages) == [b"1", b"2", b"3", b"4"]
        newest = bridge.generation
        assert [message.generation == newest for message in messages] == [True, True, False, True]
        for message in messages:
            bridge.ack(message)
        await device.publish(TOPIC, b"5")
        assert texts(await received(bridge, 1)) == [b"5"], "acknowledged in the order of receipt: the way is free"


@pytest.mark.parametrize("saved", [True, False])
async def test_an_acknowledgement_from_before_the_crash_takes_no_other_message_away(broker, saved):
    """The broker numbers anew: message 3 may have the packet id that 1 had."""
    bridge_of, device_of = signed_in(broker, "bridge", Role.BRIDGE), signed_in(broker, "dev-1")
    async with connected(bridge_of, EVERYTHING) as bridge, connected(device_of) as device:
        if saved:
            await save(broker)
        for text in (b"1", b"2"):
            await device.publish(TOPIC, text)
        old = await received(bridge, 2)
        await killed(broker, bridge, device)
        for text in (b"3", b"4"):
            await device.publish(TOPIC, text)
        new = await received(bridge, 2)
        assert {message.mid for message in new} & {message.mid for message in old}, "the case that this is about"
        for message in old:
            bridge.ack(message)
        before = bridge.generation
        bridge.cut()
        await bridge.until_connected(after=before)
        assert texts(await received(bridge, 2)) == [b"3", b"4"]


SCENARIO = parse("""
name: short
seed: 5
duration: 60m
every: {wrist: {sample: 1s, bundle: 1s}}
patients:
  - {count: 3, prefix: p-, devices: [wrist]}
""")


async def test_simulated_devices_say_again_what_a_killed_broker_forgot(broker):
    """The bridge is away, so that all they say waits at the broker; nothing of it is saved but the session."""
    bridge_of = signed_in(broker, "bridge", Role.BRIDGE)
    async with connected(bridge_of, EVERYTHING):
        pass
    await save(broker)
    player = signed_in(broker, "player", Role.PLAYER, max_in_flight=100)
    clock = WardClock(60.0)
    async with connected(player) as publisher:
        simulation = Simulation(plan(replace(SCENARIO, duration_ns=10 * MINUTE_NS), clock.now_ns()), publisher, clock)
        running = asyncio.create_task(simulation.run())
        for enough in (300, 900):
            while simulation.progress.published < enough:
                await asyncio.sleep(0.01)
            await broker.kill()
            await broker.start()
        truth = await running
    made = {(device, seq) for device, count in truth.counts.items() for seq in range(count.acknowledged_bundles)}
    assert len(made) > 1500
    found: set[tuple[str, int]] = set()
    async with connected(bridge_of, EVERYTHING) as bridge:
        while made - found:
            for message in await bridge.receive():
                header = wire.salvage_header(message.payload)
                assert header is not None
                found.add((str(header.device), int(header.seq or 0)))
                bridge.ack(message)
    assert sum(count.repeated_bundles for count in truth.counts.values()) > 300
