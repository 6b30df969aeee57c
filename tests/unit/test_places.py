"""Storing's own book of offsets: what is next, what comes twice, and the way back over a gap."""

from __future__ import annotations

import pytest
from faust.types import TP

from stream_processors import places
from stream_processors.places import Places

A, B = TP("teleward.input", 0), TP("teleward.alarms", 0)


class Consumer:
    """What is asked of Faust's consumer."""

    def __init__(self) -> None:
        self.first = {A: 0, B: 0}
        self.ends = {A: 100, B: 10}
        self.sought: list[tuple[TP, int]] = []
        self.fails = False

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        if self.fails:
            raise RuntimeError("no assignment")
        return {tp: self.first[tp] for tp in partitions}

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        return {tp: self.ends[tp] for tp in partitions}

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought.append((tp, offset))


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    monkeypatch.setattr(places, "_SEEK_AGAIN_S", -1.0)
    return Consumer()


@pytest.fixture
def book(consumer: Consumer) -> Places:
    return Places(lambda: consumer)


def begin(book: Places, consumer: Consumer, settled: dict[TP, int | None]) -> None:
    book.begin(settled, consumer.first, consumer.ends)


async def test_what_is_next_is_taken_once_and_what_came_before_is_skipped(book, consumer):
    begin(book, consumer, {A: 7})
    assert [await book.is_next(A, offset) for offset in (5, 6, 7)] == [False, False, True]
    book.took(A, 7)
    assert [await book.is_next(A, offset) for offset in (7, 8)] == [False, True]
    assert book.skipped == 3
    assert consumer.sought == []


async def test_over_a_gap_it_goes_back_and_again_as_long_as_that_does_not_come(book, consumer):
    begin(book, consumer, {A: 7})
    assert not await book.is_next(A, 9)
    assert not await book.is_next(A, 10)
    assert consumer.sought == [(A, 7), (A, 7)]
    assert await book.is_next(A, 7)


async def test_it_does_not_seek_for_every_record_behind_a_gap(book, consumer, monkeypatch):
    monkeypatch.setattr(places, "_SEEK_AGAIN_S", 3600.0)
    begin(book, consumer, {A: 7})
    for offset in range(9, 60):
        assert not await book.is_next(A, offset)
    assert consumer.sought == [(A, 7)]


async def test_a_new_store_gets_everything_and_one_of_another_kafka_too(book, consumer):
    consumer.first[A] = 3
    begin(book, consumer, {A: None, B: 11})
    await book.go_to()
    assert consumer.sought == [(A, 3), (B, 0)]
    assert book.lost == 0


async def test_what_kafka_deleted_is_counted_and_passed_over(book, consumer, caplog):
    consumer.first[A] = 9
    begin(book, consumer, {A: 7})
    assert book.lost == 2
    assert await book.is_next(A, 9)
    consumer.first[A] = 20
    assert not await book.is_next(A, 21)
    assert book.lost == 2 + 11
    assert consumer.sought == [(A, 20)]
    assert "teleward.input" in caplog.text
    assert "keep the topic longer" in caplog.text


async def test_a_quiet_topic_is_read_to_its_end_though_nothing_comes_to_show_the_gap(book, consumer):
    begin(book, consumer, {A: 100, B: 4})
    await book.look()
    assert consumer.sought == [], "it may be on its way"
    await book.look()
    assert consumer.sought == [(B, 4)], "nothing came in between"
    book.took(B, 4)
    await book.look()
    assert consumer.sought == [(B, 4)], "something came"


async def test_partitions_that_were_ours_are_not_read(book, consumer):
    begin(book, consumer, {A: 7})
    book.forget()
    assert not await book.is_next(A, 7)
    book.took(A, 7)
    await book.look()
    await book.go_to()
    assert consumer.sought == []


async def test_a_seek_between_two_assignments_fails_without_harm(book, consumer, caplog):
    begin(book, consumer, {A: 7})
    consumer.fails = True
    assert not await book.is_next(A, 9)
    consumer.fails = False
    assert not await book.is_next(A, 9)
    assert consumer.sought == [(A, 7)]
    assert "no way to offset 7 yet" in caplog.text
