"""What a ward's snapshot waits for, with a Kafka that answers when it is told to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from stream_processors.keeping import Keeper
from stream_processors.lanes import Lane, MonitoringCounts
from stream_processors.settings import StreamSettings
from transport.kafka import KafkaSettings
from vitals.ward import Ward


class Producer:
    """Acknowledges at once, and keeps what it was sent."""

    def __init__(self):
        self.sent = []

    async def send(self, topic, value, **_):
        self.sent.append((topic, value))
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=len(self.sent) - 1))
        return done

    async def send_and_wait(self, topic, value, **more):
        return await (await self.send(topic, value, **more))


class Consumer:
    def __init__(self):
        self.committed = []

    async def _commit_offsets(self, offsets):
        self.committed.append(dict(offsets))
        return True


@pytest.fixture
def keeper():
    made = Keeper(StreamSettings(KafkaSettings("127.0.0.1:1")), MonitoringCounts(), Ward)
    made.producer, made.app = Producer(), SimpleNamespace(consumer=Consumer())
    return made


async def test_a_snapshot_that_is_stopped_while_alarms_are_on_their_way_leaves_them_to_the_next_one(keeper):
    effect = asyncio.get_running_loop().create_future()
    lane = Lane(Ward(), next_offset=5, pending=[effect], written=0)
    first = asyncio.create_task(keeper.write(0, lane))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (lane.pending, lane.written, effect.cancelled()) == ([effect], 0, False)

    second = asyncio.create_task(keeper.write(0, lane))
    for _ in range(10):
        await asyncio.sleep(0)
    assert keeper.producer.sent == keeper.app.consumer.committed == [], "not before the alarm is acknowledged"
    effect.set_result(None)
    await second
    assert (lane.pending, lane.written) == ([], 5)
    assert list(keeper.app.consumer.committed[0].values()) == [5]


async def test_an_alarm_that_cannot_be_sent_fails_the_snapshot(keeper):
    effect = asyncio.get_running_loop().create_future()
    effect.set_exception(ConnectionError("Kafka does not take it"))
    lane = Lane(Ward(), next_offset=5, pending=[effect], written=0)
    with pytest.raises(ConnectionError):
        await keeper.write(0, lane)
    assert (keeper.producer.sent, keeper.app.consumer.committed, lane.written) == ([], [], 0)
