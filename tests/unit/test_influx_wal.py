"""Torn tails of InfluxDB's log files are cut off, and nothing else is."""

from __future__ import annotations

import struct

import pytest

from deploy.native import influx_wal


def entry(kind: int, body: bytes) -> bytes:
    return struct.pack(">BI", kind, len(body)) + body


WHOLE = entry(1, b"points" * 40) + entry(3, b"range") + entry(1, b"more points" * 9)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "wal" / "teleward" / "raw" / "1" / "_00001.wal"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("torn", [b"\x01", b"\x01\x00\x00", entry(1, b"x" * 300)[:200], entry(2, b"y")[:5]])
def test_half_an_entry_at_the_end_goes_and_all_before_it_stays(file, tmp_path, torn):
    file.write_bytes(WHOLE + torn)
    assert influx_wal.mend(tmp_path) == {file: len(torn)}
    assert file.read_bytes() == WHOLE
    assert influx_wal.mend(tmp_path) == {}


def test_every_cut_of_a_file_leaves_its_whole_entries(file, tmp_path):
    first = len(entry(1, b"points" * 40))
    second = first + len(entry(3, b"range"))
    for size in range(len(WHOLE) + 1):
        file.write_bytes(WHOLE[:size])
        influx_wal.mend(tmp_path)
        kept = max(end for end in (0, first, second, len(WHOLE)) if end <= size)
        assert file.read_bytes() == WHOLE[:kept], size


def test_what_is_no_torn_tail_is_left_to_the_server(file, tmp_path):
    damaged = WHOLE + b"\x00" * 64 + WHOLE
    file.write_bytes(damaged)
    file.with_name("_00002.wal").write_bytes(b"")
    assert influx_wal.mend(tmp_path) == {}
    assert file.read_bytes() == damaged
