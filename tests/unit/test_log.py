"""The small records of the log: what is written is read, what is none is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitals import log
from vitals.log import Binding, Command, Enrolment, Limit, LogError, Tick

RECORDS = [
    Tick(now_ns=1, bridge="b-2"),
    Binding(device="d-1", patient="p-1", from_ns=5),
    Binding(device="d-1", patient="p-1", from_ns=5, to_ns=9, period_ns=10),
    Enrolment(patient="p-1", state="admitted", at_ns=1, age=71.5, sex="f", spo2_scale=2),
    Enrolment(patient="p-1", state="paused", at_ns=1, by="ann", reason="scan", until_ns=9),
    Limit(patient="p-1", rule="spo2-low", threshold=84.0, at_ns=1, by="ann", reason="COPD"),
    Limit(patient="p-1", rule="spo2-low", threshold=None, at_ns=1, by="ann", reason="over"),
    Command(command_id="c-1", patient="p-1", alarm_id="p-1:news2:7", action="acknowledge", by="ann", seen=3),
    Command(command_id="c-2", patient="p-1", alarm_id="p-1:news2:7", action="resolve", by="ann", outcome="confirmed"),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_what_is_written_is_read(record: log.Small):
    kind, data = log.encode(record)
    assert kind == type(record).__name__.lower().encode()
    assert log.decode(data) == record


NO_RECORDS = {
    "nothing": b"",
    "no JSON": b"\x93\x01",
    "half of one": b'{"type":"tick","now_ns":1',
    "a list": b"[]",
    "no type": b'{"now_ns":1}',
    "an unknown type": b'{"type":"block","now_ns":1}',
    "a time that is text": b'{"type":"tick","now_ns":"1"}',
    "a time that is no integer": b'{"type":"tick","now_ns":1.5}',
    "a time that no clock tells": b'{"type":"tick","now_ns":9223372036854775808}',
    "a time of a hundred digits": b'{"type":"tick","now_ns":' + b"9" * 100 + b"}",
    "a period of nothing": b'{"type":"binding","device":"d","patient":"p","from_ns":1,"period_ns":0}',
    "a period that goes back": b'{"type":"binding","device":"d","patient":"p","from_ns":1,"period_ns":-5}',
    "a missing field": b'{"type":"binding","device":"d","from_ns":1}',
    "an unknown state": b'{"type":"enrolment","patient":"p","state":"asleep","at_ns":1}',
    "a third scale": b'{"type":"enrolment","patient":"p","state":"admitted","at_ns":1,"spo2_scale":3}',
    "an unknown action": b'{"type":"command","command_id":"c","patient":"p","alarm_id":"a","action":"hush","by":"x"}',
    "a limit that is no number": b'{"type":"limit","patient":"p","rule":"r","threshold":NaN,"at_ns":1,"by":""}',
    "a limit beyond all numbers": b'{"type":"limit","patient":"p","rule":"r","threshold":1e999,"by":""}',
    "bytes that are no text": b'{"type":"tick","now_ns":1,"bridge":"\xff"}',
    "nested beyond all depth": b'{"type":"tick","now_ns":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "half a character": b'{"type":"tick","now_ns":1,"bridge":"\\ud800"}',
}  # fmt: skip


@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_record_is_refused_with_a_reason(name: str):
    with pytest.raises(LogError, match=r"not a record of the log: \S+"):
        log.decode(NO_RECORDS[name])


def test_what_a_newer_version_adds_is_ignored():
    assert log.decode(b'{"type":"tick","now_ns":1,"colour":"blue"}') == Tick(now_ns=1)


def is_told(data: bytes) -> bool:
    """Whether bytes are a record, or are refused in words; anything else raises."""
    try:
        return isinstance(log.decode(data), log.Small)
    except LogError as error:
        return len(str(error)) > 20


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_a_log_error(data: bytes):
    assert is_told(data)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(RECORDS))
def test_a_record_with_one_byte_changed_is_a_record_or_a_log_error(place: int, byte: int, record: log.Small):
    data = bytearray(log.encode(record)[1])
    data[place % len(data)] = byte
    assert is_told(bytes(data))
