"""A batch on its way when storing is stopped, or when its partitions go to another: written once, whole, as it was."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from test_storing_intake import input_of
from wards import SentBundle, block

from deploy.clock import WardClock
from stream_processors.settings import StoringSettings, StreamSettings
from stream_processors.storing import Storing
from transport.kafka import KafkaSettings
from transport.stores.base import Batch, StoreUnavailable


class Slow:
    """A store whose thread writes until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.fails = False
        self.at_once = self.most_at_once = 0
        self.written: list[int] = []

    def write(self, batch: Batch) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        before = len(batch.blocks)
        self.begun.set()
        self.go.wait()
        self.at_once -= 1
        assert len(batch.blocks) == before, "changed while it was written"
        if self.fails:
            raise StoreUnavailable("it is away", 0.0)
        self.written += [record.origin.offset for record in batch.blocks]


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture
def app(store: Slow) -> Storing:
    stream = StreamSettings(KafkaSettings("127.0.0.1:1"), partitions=1)
    app = Storing(StoringSettings(stream), WardClock(), store, fatal=lambda _, error: pytest.fail(str(error)))
    app._intake.restore({}, {0: 1 << 40})
    return app


def take(app: Storing, offset: int) -> None:
    record = block([SentBundle("d-1", "p-1", offset, offset * 10, [("spo2", 97, offset * 10)])])
    message = input_of(record, offset)
    app._intake.take(message)
    app._intake.settle(message)


async def begun(store: Slow) -> None:
    assert await asyncio.to_thread(store.begun.wait, 30)


async def test_a_stop_waits_for_the_batch_on_its_way_and_what_came_meanwhile_is_another_batch(app, store):
    take(app, 0)
    writing = asyncio.create_task(app._write_waiting())
    await begun(store)
    writing.cancel()
    take(app, 1)
    leaving = asyncio.create_task(app._write_waiting())
    await asyncio.sleep(0)
    store.go.set()
    await leaving
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert store.written == [0, 1]
    assert store.most_at_once == 1
    assert app.counts.batches == 2


async def test_a_batch_that_fails_while_we_are_stopped_waits_on_and_we_stop(app, store):
    take(app, 0)
    store.fails = True
    writing = asyncio.create_task(app._write_waiting())
    await begun(store)
    writing.cancel()
    await asyncio.sleep(0)
    take(app, 1)
    store.go.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    store.fails = False
    await app._write_waiting()
    assert store.written == [0, 1]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_batch_of_partitions_that_went_to_another_is_not_ours_any_more(app, store, fails):
    take(app, 0)
    store.fails = fails
    app._app = Nobody()
    writing = asyncio.create_task(app._write_waiting())
    await begun(store)
    await app._on_assigned()
    store.go.set()
    (error,) = await asyncio.gather(writing, return_exceptions=True)
    assert isinstance(error, StoreUnavailable) is fails
    assert app._intake.waiting.count == 0, "it is read again by whoever has them"
    assert app._written == {}, "nor is it committed"


class Nobody:
    """An app that was given no partition."""

    class consumer:  # noqa: N801  # as Faust names it
        @staticmethod
        def assignment() -> set[Any]:
            return set()
