"""The order of a device's bundles, as tables: what came, what is judged now, what waits.

`came` is boot.seq of one device (or `d2:boot.seq` of another); `release` lets tick time pass to the row's second.
"""

from __future__ import annotations

import numpy as np
import pytest

from vitals.sequence import MAX_GAPS, Bundles, Sequence
from vitals.signs import SECOND_NS
from vitals.tables import pack, unpack

LATENESS_S = 10


def bundles(*rows: tuple[int, int, int]) -> Bundles:
    """Bundles of (device, boot, seq), each with one reading whose value is the sequence number."""
    device, boot, seq = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    n = len(rows)
    zeros = np.zeros(n, dtype=np.int64)
    return Bundles(
        patient=zeros, device=device, boot=boot, seq=seq, sent_ns=zeros, received_ns=zeros,
        n=np.ones(n, dtype=np.int64), battery_pct=np.full(n, -1.0), queued=zeros, offsets=np.arange(n + 1),
        sign=zeros, quality=zeros, value=seq.astype(float), time_ns=zeros,
    )  # fmt: skip


def names(found: Bundles | None) -> str:
    """``1.0 1.1 d2:1.0``: what was judged, and that each brought its own reading along."""
    if found is None:
        return "-"
    assert found.value.tolist() == found.seq.astype(float).tolist()
    assert found.offsets.tolist() == list(range(len(found) + 1))
    rows = zip(found.device.tolist(), found.boot.tolist(), found.seq.tolist(), strict=True)
    return " ".join(f"{f'd{d + 1}:' if d else ''}{b}.{s}" for d, b, s in rows)


def parse(word: str) -> tuple[int, int, int]:
    device, _, number = word.rpartition(":")
    boot, seq = number.split(".")
    return (int(device[1:]) - 1 if device else 0, int(boot), int(seq))


def play(table: str, *, restart: bool = False) -> Sequence:
    header, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    assert header == ["second", "came", "judged"]
    sequence = Sequence(LATENESS_S * SECOND_NS)
    for second, came, judged in rows:
        now = int(second) * SECOND_NS
        if restart:
            fresh = Sequence(LATENESS_S * SECOND_NS)
            fresh.load(unpack(pack(sequence.state())))
            sequence = fresh
        if came == "release":
            found = sequence.release(now)
        else:
            _, found = sequence.accept(bundles(*(parse(word) for word in came.split())), now)
        assert names(found) == judged, (second, came)
    return sequence


TABLES = {
    "in order goes straight through": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 1.1 1.2     | 1.1 1.2
        2      | 1.3         | 1.3
    """,
    "what was judged already is a duplicate": """
        second | came        | judged
        0      | 1.0 1.1     | 1.0 1.1
        1      | 1.1         | -
        2      | 1.0 1.2     | 1.2
    """,
    "the same bundle twice in one block counts once": """
        second | came        | judged
        0      | 1.0 1.0     | 1.0
        1      | 1.1 1.1 1.2 | 1.1 1.2
    """,
    "what comes too early waits for the missing one": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 1.2         | -
        2      | 1.3         | -
        3      | 1.1         | 1.1 1.2 1.3
        4      | 1.4         | 1.4
    """,
    "shuffled within one block comes out in order": """
        second | came            | judged
        0      | 1.2 1.0 1.1 1.3 | 1.0 1.1 1.2 1.3
    """,
    "a gap is given up when the allowed lateness is over": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 1.2         | -
        10     | release     | -
        11     | release     | 1.2
        12     | 1.3         | 1.3
    """,
    "what fills a recorded gap is judged, once": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 1.3         | -
        11     | release     | 1.3
        12     | 1.1         | 1.1
        13     | 1.1         | -
        14     | 1.2         | 1.2
        15     | 1.3         | -
        16     | 1.4         | 1.4
    """,
    "a device that starts again begins a new boot at once": """
        second | came        | judged
        0      | 1.0 1.1     | 1.0 1.1
        1      | 2.0         | 2.0
        2      | 2.1         | 2.1
    """,
    "what still comes of the old boot is judged, once": """
        second | came        | judged
        0      | 1.0 1.1     | 1.0 1.1
        1      | 2.0         | 2.0
        2      | 1.2         | 1.2
        3      | 1.2         | -
        4      | 1.1         | -
        5      | 2.1         | 2.1
    """,
    "a new boot that lacks its beginning waits for it, and no longer": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 2.1         | -
        2      | 2.0         | 2.0 2.1
        3      | 2.2         | 2.2
    """,
    "while something of the old boot waits, a new boot does too": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 1.2         | -
        2      | 2.0         | -
        3      | 1.1         | 1.1 1.2
        11     | release     | 2.0
        12     | 2.1         | 2.1
    """,
    "two new boots at once come in their order": """
        second | came        | judged
        0      | 1.0         | 1.0
        1      | 3.1         | -
        2      | 2.0         | 2.0
        11     | release     | 3.1
        12     | 3.2         | 3.2
    """,
    "a boot number may leap": """
        second | came          | judged
        0      | 7.0           | 7.0
        1      | 1700000000.0  | 1700000000.0
        2      | 1700000000.1  | 1700000000.1
    """,
    "another device is not held up": """
        second | came             | judged
        0      | 1.0 d2:1.0       | 1.0 d2:1.0
        1      | 1.2 d2:1.1       | d2:1.1
        2      | d2:1.2           | d2:1.2
        11     | release          | 1.2
    """,
    "two devices that wait are let go by device": """
        second | came             | judged
        0      | 1.0 d2:1.0       | 1.0 d2:1.0
        1      | d2:1.2           | -
        2      | 1.2              | -
        12     | release          | 1.2 d2:1.2
    """,
    "the first bundle ever may be any: the gap before it is waited for": """
        second | came        | judged
        0      | 1.5         | -
        10     | release     | 1.5
        11     | 1.4         | 1.4
        12     | 1.6         | 1.6
    """,
}


@pytest.mark.parametrize("restart", [False, True], ids=["straight", "restarted"])
@pytest.mark.parametrize("name", TABLES)
def test_order(name: str, *, restart: bool):
    play(TABLES[name], restart=restart)


def test_everything_is_counted_in_bundles():
    counts = play("""
        second | came        | judged
        0      | 1.0 1.0     | 1.0
        1      | 1.4         | -
        2      | 1.4         | -
        11     | release     | 1.4
        12     | 1.2         | 1.2
    """).counts
    assert (counts.judged, counts.duplicate, counts.waited, counts.gaps, counts.missing) == (3, 2, 1, 1, 3)


def test_the_next_wait_to_end_is_told():
    sequence = Sequence(LATENESS_S * SECOND_NS)
    assert sequence.due_ns() is None
    sequence.accept(bundles((0, 1, 0), (1, 1, 0)), 0)
    sequence.accept(bundles((0, 1, 2)), 3 * SECOND_NS)
    sequence.accept(bundles((1, 1, 2)), 1 * SECOND_NS)
    assert sequence.due_ns() == 11 * SECOND_NS
    assert sequence.release(10 * SECOND_NS) is None
    sequence.release(11 * SECOND_NS)
    assert sequence.due_ns() == 13 * SECOND_NS


def test_a_duplicate_is_not_among_the_fresh():
    sequence = Sequence(LATENESS_S * SECOND_NS)
    sequence.accept(bundles((0, 1, 0)), 0)
    fresh, _ = sequence.accept(bundles((0, 1, 0), (0, 1, 1), (0, 1, 3)), 0)
    assert names(fresh) == "1.1 1.3"  # what waits has been heard all the same
    fresh, ready = sequence.accept(bundles((0, 1, 1)), 0)
    assert (len(fresh), ready) == (0, None)


def test_only_so_many_gaps_of_a_device_are_remembered():
    sequence = Sequence(0)
    for number in range(MAX_GAPS + 5):
        sequence.accept(bundles((0, 1, 2 * number + 1)), number)
        sequence.release(number)
    _, forgotten = sequence.accept(bundles((0, 1, 0)), 1000)
    _, kept = sequence.accept(bundles((0, 1, 2 * (MAX_GAPS + 4))), 1000)
    assert forgotten is None
    assert names(kept) == f"1.{2 * (MAX_GAPS + 4)}"


def test_what_is_taken_keeps_its_readings():
    whole = bundles((0, 1, 0), (0, 1, 1), (0, 1, 2))
    whole.offsets = np.array([0, 2, 2, 5])
    whole.value = np.arange(5.0)
    for name in ("sign", "quality", "time_ns"):
        setattr(whole, name, np.zeros(5, dtype=np.int64))
    some = whole.take(np.array([2, 0]))
    assert some.value.tolist() == [2.0, 3.0, 4.0, 0.0, 1.0]
    assert some.offsets.tolist() == [0, 3, 5]
    joined = Bundles.joined([some, whole.take(np.array([1]))])
    assert joined.offsets.tolist() == [0, 3, 5, 5]
    assert joined.seq.tolist() == [2, 0, 1]
