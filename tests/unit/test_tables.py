"""Growing tables and their bytes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vitals.tables import SnapshotError, Table, pack, unpack


def table() -> Table:
    return Table({"level": (np.int8, (), 0), "since": (np.int64, (2,), -1), "value": (np.float64, (), np.nan)})


def test_a_name_keeps_its_row_and_fresh_rows_are_filled():
    t = table()
    assert [t.row(name) for name in ("a", "b", "a")] == [0, 1, 0]
    assert t.get("b") == 1
    assert t.get("c") is None
    assert len(t) == 2
    assert t["since"].tolist() == [[-1, -1], [-1, -1]]
    assert np.isnan(t["value"]).all()


def test_it_grows_and_keeps_what_was_written():
    t = table()
    rows = t.rows([f"p-{i}" for i in range(100)])
    t["level"][rows] = np.arange(100)
    more = t.rows([f"p-{i}" for i in range(50, 1000)])
    assert more[:50].tolist() == rows[50:].tolist()
    assert t["level"][:100].tolist() == list(range(100))
    assert t["level"][100:].tolist() == [0] * 900


def test_a_name_twice_in_one_request_is_one_row():
    assert table().rows(["a", "b", "a"]).tolist() == [0, 1, 0]


@pytest.mark.parametrize("names", [0, 1, 16, 17, 40])
def test_set_down_and_read_back(names: int):
    t = table()
    rows = t.rows([f"p-{i}" for i in range(names)])
    t["value"][rows] = rows * 1.5
    again = table()
    again.load(unpack(pack(t.state())))
    assert again.names == t.names
    assert again["value"].tolist() == t["value"].tolist()
    assert again.row("new") == names
    assert again["since"][-1].tolist() == [-1, -1]


@pytest.mark.parametrize(
    "other",
    [
        {"level": (np.int8, (), 0), "since": (np.int64, (3,), -1), "value": (np.float64, (), 0.0)},
        {"level": (np.int16, (), 0), "since": (np.int64, (2,), -1), "value": (np.float64, (), 0.0)},
        {"level": (np.int8, (), 0), "since": (np.int64, (2,), -1)},
    ],
    ids=["shape", "type", "missing"],
)
def test_columns_of_another_version_are_refused(other):
    old = Table(other)
    old.row("p")
    with pytest.raises(SnapshotError, match="another version"):
        table().load(unpack(pack(old.state())))


def test_what_is_no_snapshot_says_so():
    for data in (b"", b"\xc1", b"hello", b"\xa1\xff", pack([1, 2])[:-1]):
        with pytest.raises(SnapshotError):
            unpack(data)


def test_an_unknown_extension_is_refused():
    with pytest.raises(SnapshotError, match="extension 7"):
        unpack(msgspec.msgpack.encode(msgspec.msgpack.Ext(7, b"x")))


def test_only_what_can_be_read_back_is_written():
    with pytest.raises(TypeError, match="cannot hold"):
        pack({"a": object()})


def test_arrays_come_back_writable():
    back = unpack(pack({"a": np.arange(3)}))["a"]
    back[0] = 7
    assert back.tolist() == [7, 1, 2]


def test_numbers_of_numpy_are_written_as_plain_ones():
    assert unpack(pack([np.int64(3), np.float64(0.5), np.bool_(1)])) == [3, 0.5, True]


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.int64, np.uint8, np.int32, np.float64, np.bool_]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    )
)
def test_any_array_survives(array):
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
