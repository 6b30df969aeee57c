"""Simulated devices and the player through a real broker: what they say they sent is what a subscriber gets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from device_sim import Player, load, simulate
from transport.mqtt import MqttClient
from vitals import topics, wire
from vitals.recording import Recording
from vitals.signs import MINUTE_NS, SECOND_NS, Sign

pytestmark = pytest.mark.integration


class FastClock:
    """Ward time as fast as the machine goes."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep_until(self, t_ns: int) -> None:
        self._now_ns = max(self._now_ns, t_ns)
        await asyncio.sleep(0)


class Heard:
    """What a subscriber got."""

    def __init__(self, client: MqttClient) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._client = client

    async def until(self, expected: int) -> list[tuple[str, bytes]]:
        """Listen until so many have come."""
        async with asyncio.timeout(20):
            while len(self.messages) < expected:
                for message in await self._client.receive():
                    self.messages.append((message.topic, message.payload))
                    self._client.ack(message)
        return self.messages


async def test_every_bundle_of_a_ward_with_all_faults_arrives_and_the_counts_agree(connect):
    subscriber = Heard(await connect("subscriber", (topics.MQTT_BUNDLES,)))
    publisher = await connect("devices")
    scenario = replace(load("ward-faults"), duration_ns=3 * MINUTE_NS)
    start_ns = 1_750_000_000 * SECOND_NS
    truth = await simulate(scenario, publisher, FastClock(start_ns), start_ns=start_ns)
    counts = truth.counts.values()
    repeats = sum(c.repeated_bundles for c in counts)
    garbage = sum(c.garbage for c in counts)
    handed_over = sum(c.acknowledged_bundles for c in counts) + garbage + repeats
    heard = await subscriber.until(handed_over)

    arrived: dict[str, dict[tuple[int, int], int]] = {}
    for topic, payload in heard:
        salvaged = wire.salvage_header(payload)
        if salvaged is not None and salvaged.n is not None and salvaged.boot is not None and salvaged.seq is not None:
            device = topics.device_of(topic)
            assert device == salvaged.device
            arrived.setdefault(device, {})[salvaged.boot, salvaged.seq] = salvaged.n
    for device, count in truth.counts.items():
        assert sum(arrived.get(device, {}).values()) == count.acknowledged
    assert len(heard) == handed_over


async def test_a_player_is_heard_in_the_order_of_time(connect):
    # One filter for both: within a subscription the embedded broker keeps the order, across two it does not.
    subscriber = Heard(await connect("subscriber", (f"{topics.MQTT_ROOT}/+/+",)))
    publisher = await connect("player")
    rows, patients = 30, 5
    recording = Recording(
        patients=tuple(f"p-{i}" for i in range(patients)),
        offsets=np.arange(patients + 1) * rows,
        time_ns=np.tile(np.arange(rows) * MINUTE_NS, patients),
        signs={Sign.HR: np.full(rows * patients, 70.0)},
        labs={},
        age=np.full(patients, np.nan),
        sex=np.full(patients, np.nan),
        devices=(),
        device=np.full(rows * patients, -1),
        received_ns=None,
        row=np.arange(rows * patients),
    )
    played = await Player(recording, publisher).run()
    heard = await subscriber.until(rows * patients + rows + 1)

    assert played.readings == rows * patients
    now_ns, in_order = -1, 0
    for topic, payload in heard:
        if topic.endswith("/mark"):
            now_ns = int(payload.split(b":")[1].rstrip(b"}"))
            continue
        incoming = wire.decode(payload)
        assert isinstance(incoming, wire.Incoming)
        assert incoming.header.sent_ns == now_ns, "a bundle comes after the mark of its instant, before the next"
        in_order += 1
    assert in_order == rows * patients
