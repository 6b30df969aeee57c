"""What the ledger says of small histories that can be added up by hand."""

import numpy as np
import pytest

from deploy.ledger import read_ledger
from transport.stores.sqlite import SqliteStore
from vitals.ledger import Account, Facts, Ledger, LedgerError, Origin, Refusal, Row
from vitals.reading import Block

BLOCKS, REFUSED = "teleward.input", "teleward.quarantine"


def facts(*bundles, device="dev"):
    """Bundles as (boot, seq, n, n_before), perhaps with refused and equal behind."""
    rows = np.array([(*b, *(0,) * (6 - len(b))) for b in bundles], np.int64).reshape(-1, 6)
    boot, seq, n, n_before, refused, equal = rows.T
    return Facts([device], np.zeros(len(rows), np.int64), boot, seq, n, n_before, refused, n - refused, equal)


class Log:
    """A ledger fed record by record, each with an offset of its own."""

    def __init__(self):
        self.ledger = Ledger()
        self.offset = -1

    def block(self, *bundles, at=None):
        self.offset += 1
        return self.ledger.add_block(Origin(BLOCKS, 0, self.offset if at is None else at), facts(*bundles))

    def refuse(self, boot=0, seq=None, n=None, n_before=None, device="dev"):
        self.offset += 1
        refusal = Refusal(device=device, boot=boot, seq=seq, n=n, n_before=n_before)
        return self.ledger.add_refusal(Origin(REFUSED, 0, self.offset), refusal)

    @property
    def row(self):
        (row,) = self.ledger.rows()
        assert row.sent == (row.stored + row.duplicate + row.refused + row.quarantined + row.queued + row.remainder)
        return row


@pytest.fixture
def log():
    return Log()


def line(**numbers):
    """A row of the device with these numbers and nothing else."""
    zero = {"sent": 0, "stored": 0, "duplicate": 0, "refused": 0, "quarantined": 0, "queued": 0, "remainder": 0}
    return Row("dev", **(zero | numbers))


def test_an_empty_ledger_has_no_rows(log):
    assert log.ledger.rows() == []


def test_what_arrived_once_is_stored(log):
    log.block((0, 0, 5, 0), (0, 1, 4, 5))
    log.block((0, 2, 3, 9))
    assert log.row == line(sent=12, stored=12)
    assert log.row.closed


def test_refused_readings_are_refused_and_not_lost(log):
    log.block((0, 0, 5, 0, 2))
    assert log.row == line(sent=5, stored=3, refused=2)


def test_readings_that_another_bundle_brought_are_duplicates(log):
    log.block((0, 0, 5, 0), (0, 1, 5, 5, 0, 4))
    assert log.row == line(sent=10, stored=6, duplicate=4)


def test_the_same_bundle_in_another_record_is_a_repeated_delivery(log):
    log.block((0, 0, 5, 0))
    log.block((0, 0, 5, 0))
    assert log.row == line(sent=10, stored=5, duplicate=5)


def test_the_same_record_again_changes_nothing(log):
    assert log.block((0, 0, 5, 0))
    assert not log.block((0, 0, 5, 0), at=0)
    assert log.row == line(sent=5, stored=5)


def test_a_gap_is_counted_by_what_its_neighbours_say_and_named(log):
    log.block((0, 0, 5, 0), (0, 1, 4, 5), (0, 4, 3, 17))
    assert log.row == line(sent=20, stored=12, remainder=8, missing=2, first_missing=(0, 2))
    assert not log.row.closed
    log.block((0, 3, 6, 11))
    assert log.row == line(sent=20, stored=18, remainder=2, missing=1, first_missing=(0, 2))
    log.block((0, 2, 2, 9))
    assert log.row.closed


def test_what_came_before_the_first_bundle_is_missing_too(log):
    log.block((7, 2, 5, 30))
    assert log.row == line(sent=35, stored=5, remainder=30, missing=2, first_missing=(7, 0))


def test_each_boot_counts_from_zero_and_the_first_gap_is_named(log):
    log.block((1, 0, 5, 0), (2, 1, 3, 2), (3, 1, 1, 1))
    assert log.row == line(sent=12, stored=9, remainder=3, missing=2, first_missing=(2, 0))


def test_a_lost_bundle_without_readings_leaves_no_remainder_and_still_is_missing(log):
    log.block((0, 0, 5, 0), (0, 2, 4, 5))
    assert log.row == line(sent=9, stored=9, missing=1, first_missing=(0, 1))
    assert not log.row.closed


def test_a_message_refused_whole_is_quarantined(log):
    log.block((0, 0, 5, 0))
    log.refuse(seq=1, n=4, n_before=5)
    log.block((0, 2, 3, 9))
    assert log.row == line(sent=12, stored=8, quarantined=4)


def test_the_readings_of_an_unreadable_message_are_told_by_its_neighbours(log):
    log.block((0, 0, 5, 0))
    log.refuse(seq=1)
    log.block((0, 2, 3, 9))
    assert log.row == line(sent=12, stored=8, quarantined=4)


def test_beside_a_missing_bundle_an_unreadable_one_explains_nothing(log):
    log.block((0, 0, 5, 0))
    log.refuse(seq=1)
    log.block((0, 3, 3, 9))
    assert log.row == line(sent=12, stored=8, remainder=4, missing=1, first_missing=(0, 2))


def test_the_newest_message_being_quarantined_counts_as_sent(log):
    log.block((0, 0, 5, 0))
    log.refuse(seq=1, n=4)
    assert log.row == line(sent=9, stored=5, quarantined=4)


def test_a_device_that_nobody_wears_is_all_quarantined(log):
    log.refuse(seq=0, n=4, n_before=0)
    log.refuse(seq=1, n=4, n_before=4)
    assert log.row == line(sent=8, quarantined=8)


def test_a_quarantined_message_that_comes_again_is_a_repeated_delivery(log):
    log.refuse(seq=0, n=4, n_before=0)
    log.refuse(seq=0, n=4, n_before=0)
    assert log.row == line(sent=8, quarantined=4, duplicate=4)


@pytest.mark.parametrize("quarantine_first", [True, False])
def test_a_quarantined_bundle_that_is_taken_after_all_is_stored(log, quarantine_first):
    steps = [lambda: log.refuse(seq=0, n=4, n_before=0), lambda: log.block((0, 0, 4, 0))]
    for step in steps if quarantine_first else reversed(steps):
        step()
    assert log.row == line(sent=8, stored=4, duplicate=4)


def test_a_message_that_names_no_bundle_is_counted_beside_the_sums(log):
    log.block((0, 0, 5, 0), (0, 2, 3, 9))
    log.refuse(boot=None)
    assert log.row == line(sent=12, stored=8, remainder=4, missing=1, first_missing=(0, 1), unreadable=1)


def test_what_the_device_still_keeps_is_queued(log):
    log.block((0, 0, 5, 0))
    log.ledger.account(Account(device="dev", at_ns=1, sent=12, boots=((0, 3, 12),), queued=((0, 1, 4), (0, 2, 3))))
    assert log.row == line(sent=12, stored=5, queued=7)


def test_a_queued_bundle_that_has_arrived_is_stored(log):
    log.ledger.account(Account(device="dev", at_ns=1, queued=((0, 0, 5), (0, 1, 4))))
    assert log.row == line(sent=9, queued=9)
    log.block((0, 0, 5, 0))
    assert log.row == line(sent=9, stored=5, queued=4)


def test_queued_bundles_inside_a_gap_are_not_missing(log):
    log.block((0, 0, 5, 0), (0, 3, 3, 17))
    log.ledger.account(Account(device="dev", at_ns=1, queued=((0, 1, 8), (0, 2, 4))))
    assert log.row == line(sent=20, stored=8, queued=12)


def test_an_end_that_never_came_is_known_from_the_devices_own_count(log):
    log.block((0, 0, 5, 0))
    log.ledger.account(Account(device="dev", at_ns=1, boots=((0, 3, 12), (1, 1, 2))))
    assert log.row == line(sent=14, stored=5, remainder=9, missing=3, first_missing=(0, 1))


def test_a_device_that_counts_more_than_its_bundles_leaves_a_remainder(log):
    log.block((0, 0, 5, 0))
    log.ledger.account(Account(device="dev", at_ns=1, sent=6))
    assert log.row == line(sent=6, stored=5, remainder=1)


def test_a_device_that_counts_wrongly_shows(log):
    log.block((0, 0, 5, 0), (0, 1, 5, 2))
    assert log.row.remainder == -3
    assert not log.row.closed


def test_the_newest_account_counts(log):
    log.ledger.account(Account(device="dev", at_ns=2, queued=()))
    log.ledger.account(Account(device="dev", at_ns=1, queued=((0, 0, 5),)))
    assert log.row == line()


def test_readings_that_a_block_lost_on_the_way_are_a_remainder(log):
    lost = facts((0, 0, 5, 0))
    lost.accepted[0] = 3
    log.ledger.add_block(Origin(BLOCKS, 0, 0), lost)
    assert log.row == line(sent=5, stored=3, remainder=2)


def test_a_block_tells_its_facts():
    block = Block(
        ["p"], ["x", "dev"], *(np.array(column) for column in ([0, 0], [1, 1], [3, 3], [0, 1], [9, 9], [9, 9], [2, 1])),
        np.array([0, 2]), np.array([0, 1]), np.array([-1.0, -1.0]), np.array([0, 0]), np.array([0, 2, 2]),
        np.zeros(2, np.uint8), np.zeros(2, np.uint8), np.zeros(2), np.zeros(2, np.int64),
    )  # fmt: skip
    ledger = Ledger()
    ledger.add_block(Origin(BLOCKS, 0, 0), Facts.of(block, np.array([1, 0])))
    assert ledger.rows() == [line(sent=3, stored=1, duplicate=1, refused=1)]


def test_devices_stand_in_the_order_of_their_names(log):
    log.refuse(seq=0, n=1, device="b")
    log.refuse(seq=0, n=1, device="a")
    assert [row.device for row in log.ledger.rows()] == ["a", "b"]


def test_settled_offsets_need_no_memory_and_still_count_as_seen(log):
    for _ in range(50):
        log.offset += 1  # a tick in between, as on a quiet ward
        log.block((0, log.offset // 2, 1, log.offset // 2))
    before = len(log.ledger.to_bytes())
    log.ledger.settle(Origin(BLOCKS, 0, log.offset))
    assert len(log.ledger.to_bytes()) < before - 90  # a number for the start and the end of each block
    row = log.row
    assert not log.block((0, 0, 1, 0), at=1)
    assert log.row == row
    log.ledger.settle(Origin(BLOCKS, 0, 0))
    assert log.row == row


def test_a_ledger_travels(log):
    log.block((0, 0, 5, 0), (0, 3, 4, 9))
    log.refuse(seq=1)
    log.refuse(boot=None)
    log.ledger.account(Account(device="dev", at_ns=1, queued=((0, 2, 3),)))
    again = Ledger.from_bytes(log.ledger.to_bytes())
    assert again.rows() == log.ledger.rows()
    assert again.to_bytes() == log.ledger.to_bytes()
    assert not again.add_block(Origin(BLOCKS, 0, 0), facts((0, 0, 5, 0)))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x81\xa7version\x02"])
def test_bytes_that_are_no_ledger_are_refused(data):
    with pytest.raises(LedgerError):
        Ledger.from_bytes(data)


def test_the_command_wants_a_store_that_is_there(tmp_path):
    for wrong in (str(tmp_path / "none.sqlite"), f"sqlite:///{tmp_path}/none.sqlite"):
        with pytest.raises(FileNotFoundError, match=r"there is no store at /(?!/).*none\.sqlite"):
            read_ledger(wrong, None, {})
    SqliteStore(tmp_path / "store.sqlite").close()
    for right in (str(tmp_path / "store.sqlite"), f"sqlite:///{tmp_path}/store.sqlite"):
        assert read_ledger(right, None, {})["devices"] == []
