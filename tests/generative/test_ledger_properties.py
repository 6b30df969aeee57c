"""The ledger against plain counting, on histories in any order, with repeats of every kind."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vitals.ledger import Account, Facts, Ledger, Origin, Refusal
from vitals.ledger_spans import Numbers


@dataclass
class Bundle:
    """What became of one bundle; the truth."""

    boot: int
    seq: int
    n: int
    n_before: int
    taken: int
    """Deliveries that were taken into a block."""
    whole: int
    """Deliveries that were refused whole."""
    readable: bool
    """Whether the refused ones say how many readings they hold."""
    refused: int
    equal: int
    queued: bool

    @property
    def seen(self):
        return self.taken + self.whole > 0


@st.composite
def histories(draw, *, lost=True):
    """All bundles of one device."""
    bundles = []
    for boot in draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)):
        before = 0
        for seq in range(draw(st.integers(0, 6))):
            n = draw(st.integers(0, 9))
            refused = draw(st.integers(0, n))
            taken, whole = draw(st.integers(0, 2)), draw(st.integers(0, 2))
            queued = draw(st.booleans())
            if not lost and taken + whole == 0:
                queued = True
            equal = draw(st.integers(0, n - refused))
            readable = draw(st.booleans())
            bundles.append(Bundle(boot, seq, n, before, taken, whole, readable, refused, equal, queued))
            before += n
    return bundles


def as_facts(some):
    columns = ("boot", "seq", "n", "n_before", "refused", "equal")
    boot, seq, n, n_before, refused, equal = (np.array([getattr(b, name) for b in some], np.int64) for name in columns)
    return Facts(["dev"], np.zeros(len(some), np.int64), boot, seq, n, n_before, refused, n - refused, equal)


@st.composite
def logs(draw, bundles):
    """Records that tell the history: (origin, what), in some order, some of them told twice."""
    taken = [b for b in bundles for _ in range(b.taken)]
    records = []
    for offset, b in enumerate(draw(st.permutations(taken))):
        records.append((Origin("input", offset % 2, offset), as_facts([b])))
    whole = [b for b in bundles for _ in range(b.whole)]
    for offset, b in enumerate(whole):
        known = {"n": b.n, "n_before": b.n_before} if b.readable else {}
        records.append((Origin("quarantine", 0, offset), Refusal(device="dev", boot=b.boot, seq=b.seq, **known)))
    again = draw(st.lists(st.sampled_from(records), max_size=5)) if records else []
    return draw(st.permutations(records + again))


def account(bundles):
    boots = {}
    for b in bundles:
        count, readings = boots.get(b.boot, (0, 0))
        boots[b.boot] = (count + 1, readings + b.n)
    return Account(
        device="dev",
        at_ns=1,
        sent=sum(b.n for b in bundles),
        boots=tuple((boot, *counts) for boot, counts in boots.items()),
        queued=tuple((b.boot, b.seq, b.n) for b in bundles if b.queued),
    )


def told(records, *accounts, cut=None):
    """The ledger of these records; `cut` sends it through its bytes in the middle."""
    ledger = Ledger()
    for said in accounts:
        ledger.account(said)
    for i, (origin, what) in enumerate(records):
        if i == cut:
            ledger = Ledger.from_bytes(ledger.to_bytes())
        (ledger.add_block if isinstance(what, Facts) else ledger.add_refusal)(origin, what)
    return ledger


def balanced(row):
    return row.sent == row.stored + row.duplicate + row.refused + row.quarantined + row.queued + row.remainder


@given(st.data())
def test_a_device_that_tells_all_is_accounted_for_to_the_last_reading(data):
    bundles = data.draw(histories(lost=False))
    (row,) = told(data.draw(logs(bundles)), account(bundles)).rows()
    repeated = sum(b.n * (b.taken - 1 if b.taken else 0) for b in bundles)
    repeated += sum(b.n * (b.whole - (0 if b.taken else 1)) for b in bundles if b.whole and b.readable)
    assert row.stored == sum(b.n - b.refused - b.equal for b in bundles if b.taken)
    assert row.refused == sum(b.refused for b in bundles if b.taken)
    assert row.duplicate == repeated + sum(b.equal for b in bundles if b.taken)
    assert row.queued == sum(b.n for b in bundles if b.queued and not b.seen)
    assert row.quarantined == sum(b.n for b in bundles if b.whole and not b.taken)
    assert row.sent == sum(b.n for b in bundles) + repeated
    assert row.closed
    assert balanced(row)


@given(st.data())
def test_lost_bundles_are_counted_and_the_first_is_named(data):
    bundles = data.draw(histories())
    (row,) = told(data.draw(logs(bundles)), account(bundles)).rows()
    lost = [b for b in bundles if not b.seen and not b.queued]
    assert row.missing == len(lost)
    assert row.first_missing == min(((b.boot, b.seq) for b in lost), default=None)
    assert balanced(row)
    unreadable = sum(b.n for b in bundles if b.whole and not b.taken and not b.readable)
    explained = sum(b.n for b in lost)
    # Beside a lost bundle an unreadable one cannot be told from it; never is more explained than is true.
    assert explained <= row.remainder <= explained + unreadable
    assert row.closed == (not lost)


@given(st.data())
def test_order_and_repeats_of_facts_change_nothing(data):
    bundles = data.draw(histories())
    records = data.draw(logs(bundles))
    rows = told(records).rows()
    assert all(balanced(row) for row in rows)
    assert told(data.draw(st.permutations(records))).rows() == rows
    assert told(records + records).rows() == rows


@given(st.data())
def test_a_ledger_set_down_anywhere_goes_on_as_before(data):
    bundles = data.draw(histories())
    records = data.draw(logs(bundles))
    cut = data.draw(st.integers(0, len(records)))
    assert told(records, account(bundles), cut=cut).to_bytes() == told(records, account(bundles)).to_bytes()


@given(st.data())
@settings(max_examples=50)
def test_without_the_devices_word_what_follows_the_last_bundle_is_unknown_and_nothing_else(data):
    bundles = data.draw(histories())
    records = data.draw(logs(bundles))
    for row in told(records).rows():
        newest = {b.boot: max(o.seq for o in bundles if o.boot == b.boot and o.seen) for b in bundles if b.seen}
        lost = [b for b in bundles if not b.seen and b.seq < newest.get(b.boot, 0)]
        assert row.missing == len(lost)
        assert row.first_missing == min(((b.boot, b.seq) for b in lost), default=None)


@given(st.lists(st.integers(0, 20)), st.integers(0, 20))
def test_numbers_are_a_set(numbers, end):
    kept, plain = Numbers(), set()
    for number in numbers:
        assert kept.add(number) == (number not in plain)
        plain.add(number)
        assert [n for n in range(22) if n in kept] == sorted(plain)
    assert all(last + 1 < first for last, first in zip(kept.last, kept.first[1:], strict=False))
    kept.settle(end)
    assert {n for n in range(22) if n in kept} == plain | set(range(end))
    assert all(last + 1 < first for last, first in zip(kept.last, kept.first[1:], strict=False))
