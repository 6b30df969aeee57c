"""When a block closes, what goes together, and in which order: the decisions of one partition's lane."""

from __future__ import annotations

import itertools
import random

from ingest.lane import Entry, Lane, LaneSettings, Receipt
from vitals import block, log
from vitals.log import Binding, Tick
from vitals.reading import DeviceId, PatientId
from vitals.validate import Accepted

SIZES = LaneSettings(bridge="bridge", block_bundles=5, block_bytes=100_000, group_bytes=200_000)


def bundle(seq: int, readings: int = 1) -> Accepted:
    return Accepted(
        PatientId("p-1"), DeviceId("dev-1"), 1, seq, 1_000 + seq, 2_000 + seq, readings, seq, 0, -1.0, 0,
        [0] * readings, [0] * readings, [70.0] * readings, [1_000 + seq] * readings,
    )  # fmt: skip


def lane(**changes: int) -> Lane:
    settings = {name: getattr(SIZES, name) for name in LaneSettings.__dataclass_fields__}
    return Lane("teleward.input", 0, LaneSettings(**{**settings, **changes}))


def add(lane: Lane, *seqs: int) -> list[Receipt]:
    receipts = [Receipt(seq) for seq in seqs]
    for seq, receipt in zip(seqs, receipts, strict=True):
        lane.add(bundle(seq), receipt, 5_000 + seq)
    return receipts


def said(group: list[Entry]) -> list[object]:
    """A group in short: sequence numbers of a block, the time of a tick, the name of anything else."""
    out: list[object] = []
    for entry in group:
        if entry.kind == log.BLOCK:
            out.append(block.decode(entry.value).seq.tolist())
        elif entry.kind == b"tick":
            tick = log.decode(entry.value)
            assert isinstance(tick, Tick)
            assert tick.bridge == "bridge"
            out.append(tick.now_ns)
        else:
            out.append(entry.kind.decode() if entry.kind else entry.value)
    return out


BINDING = Binding(device="dev-1", patient="p-1", from_ns=0)


def test_a_bundle_alone_goes_at_once():
    quiet = lane()
    assert not quiet.waiting
    (receipt,) = add(quiet, 1)
    assert quiet.waiting
    (entry,) = quiet.next_group()
    assert said([entry]) == [[1]]
    assert (entry.receipts, entry.received_ns.tolist(), receipt.owed) == ([receipt], [5_001], 1)
    assert not quiet.waiting
    assert quiet.next_group() == []


def test_what_comes_while_a_send_is_under_way_goes_together():
    busy = lane()
    add(busy, 1)
    busy.next_group()
    add(busy, 2)
    add(busy, 3)
    assert said(busy.next_group()) == [[2, 3]]


def test_a_block_grows_only_up_to_its_bundles():
    busy = lane()
    add(busy, *range(12))
    assert said(busy.next_group()) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_a_block_grows_only_up_to_its_bytes():
    busy = lane(block_bytes=4_000, block_bundles=1_000)
    add(busy, *range(100))
    group = busy.next_group()
    assert len(group) > 2
    assert all(len(entry.value) < 4_500 for entry in group)
    assert list(itertools.chain.from_iterable(said(group))) == list(range(100))


def test_a_group_takes_no_more_than_its_bytes_and_leaves_the_rest_for_the_next():
    busy = lane(group_bytes=8_000)
    add(busy, *range(25))
    groups = []
    while busy.waiting:
        groups.append(said(busy.next_group()))
    assert len(groups) > 1
    assert list(itertools.chain.from_iterable(itertools.chain.from_iterable(groups))) == list(range(25))


def test_one_record_may_be_larger_than_a_group():
    full = lane(group_bytes=1_000)
    full.put(Entry(bytes(5_000)))
    full.put(Entry(b"small"))
    assert [len(entry.value) for entry in full.next_group()] == [5_000]
    assert said(full.next_group()) == [b"small"]


def test_a_binding_stands_between_what_came_before_it_and_what_depends_on_it():
    mixed = lane()
    add(mixed, 1, 2)
    mixed.put_record(BINDING)
    add(mixed, 3)
    assert said(mixed.next_group()) == [[1, 2], "binding", [3]]


def test_a_tick_goes_behind_all_that_waits():
    busy = lane()
    add(busy, 1)
    busy.time_is(100)
    add(busy, 2)
    assert said(busy.next_group()) == [[1, 2], 100]
    assert busy.ticked_ns == 100


def test_ticks_do_not_pile_up_while_a_send_is_under_way():
    stalled = lane()
    for now_ns in range(100, 200):
        stalled.time_is(now_ns)
    assert said(stalled.next_group()) == [199]
    assert not stalled.waiting


def test_a_tick_waits_until_the_last_of_what_came_before_it_fits():
    busy = lane(group_bytes=3_000)
    add(busy, *range(10))
    busy.time_is(100)
    groups = []
    while busy.waiting:
        groups.append(said(busy.next_group()))
    assert groups == [[[0, 1, 2, 3, 4]], [[5, 6, 7, 8, 9], 100]]


def test_time_never_runs_backwards():
    again = Lane("teleward.input", 0, SIZES, ticked_ns=500)
    again.time_is(400)
    assert not again.waiting
    again.mark(500, Receipt("m"))
    assert not again.waiting
    again.mark(501, Receipt("m"))
    assert said(again.next_group()) == [501]


def test_a_mark_waits_for_every_bundle_before_it_and_holds_those_after_it():
    replay = lane()
    add(replay, 1)
    receipt = Receipt("mark")
    replay.mark(100, receipt)
    add(replay, 2)
    assert receipt.owed == 1
    assert said(replay.next_group()) == [[1], 100, [2]]


def test_only_the_newest_of_what_replaces_itself_goes():
    health = lane()
    health.replace(Entry(b"old"))
    health.replace(Entry(b"new"))
    assert said(health.next_group()) == [b"new"]


def test_whatever_comes_in_whatever_order_leaves_once_and_in_that_order():
    rng = random.Random(7)
    for _ in range(50):
        mixed = lane(group_bytes=rng.choice([2_000, 20_000]), block_bundles=rng.choice([1, 3, 100]))
        came: list[object] = []
        went: list[object] = []
        receipts: list[Receipt] = []
        for number in range(rng.randrange(60)):
            match rng.randrange(5):
                case 0:
                    mixed.put(Entry(b"%d" % number))
                    came.append(b"%d" % number)
                case 1:
                    for entry in said(mixed.next_group()):
                        went.extend(entry if isinstance(entry, list) else [entry])
                case _:
                    receipts += add(mixed, number)
                    came.append(number)
        while mixed.waiting:
            for entry in said(mixed.next_group()):
                went.extend(entry if isinstance(entry, list) else [entry])
        assert went == came
        assert all(receipt.owed == 1 for receipt in receipts)
