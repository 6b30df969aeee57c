"""A capture: one order for several partitions, a file that keeps all of it, bundles as they were sent."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from device_sim.recorded import Outgoing
from device_sim.turns import bundle_bytes, turns_of_capture
from transport.captures import is_capture, open_capture, write_capture
from transport.recordings import open_recording
from vitals import wire
from vitals.block import BlockBuilder
from vitals.capture import LogRecord, RefusedRecord, assemble
from vitals.faults import Fault
from vitals.log import Binding, Command, Enrolment, Tick
from vitals.quarantine import Quarantined, RefusedBytes
from vitals.reading import Block, Quality
from vitals.recording import RecordingError
from vitals.signs import SECOND_NS, Sign
from vitals.validate import Bindings, Checked, check
from vitals.wire import Incoming, SentBundle, SentReading

NAN = float("nan")
BINDINGS = Bindings()
BINDINGS.apply(Binding(device="d-1", patient="p-1", from_ns=0))
BINDINGS.apply(Binding(device="d-2", patient="p-2", from_ns=0))


def sent(device: str, seq: int, readings: list[SentReading], at_s: int = 100) -> bytes:
    bundle = SentBundle(
        device=device, boot=1, seq=seq, sent_ns=at_s * SECOND_NS, n=len(readings), n_before=3 * seq, readings=readings
    )
    return wire.encode(bundle, "json")


def reading(sign: str, value: object, at_s: int = 99, quality: str = "good") -> SentReading:
    return SentReading(sign=sign, value=value, time_ns=at_s * SECOND_NS, quality=quality)


def block(*payloads: bytes, received_s: int = 101) -> Block:
    builder = BlockBuilder()
    for payload in payloads:
        incoming = wire.decode(payload)
        assert isinstance(incoming, Incoming)
        checked = check(incoming, incoming.header.device, received_s * SECOND_NS, BINDINGS)
        assert isinstance(checked, Checked)
        builder.append(checked.accepted)
    return builder.take()


ODD = [
    reading("spo2", 97.0), reading("hr", 71.0), reading("hr", 72.0, 98), reading("resp", None, quality="no_contact"),
    reading("temp_c", 36.6, quality="poor"), reading("consciousness", "V"), reading("oxygen", True),
    reading("hr", 300.0), reading("hr", 300.0),
]  # fmt: skip


def equal(one: Block, other: Block) -> None:
    for name in Block.__dataclass_fields__:
        a, b = getattr(one, name), getattr(other, name)
        assert a == b if isinstance(a, list | dict) else np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name


def capture(tick_s: int = 90):
    log = [
        LogRecord(0, 0, 1000, Tick(now_ns=tick_s * SECOND_NS)),
        LogRecord(0, 1, 1001, block(sent("d-1", 0, ODD), sent("d-1", 1, []))),
        LogRecord(0, 2, 1002, Tick(now_ns=(tick_s + 20) * SECOND_NS)),
        LogRecord(1, 0, 1000, Tick(now_ns=tick_s * SECOND_NS)),
        LogRecord(1, 1, 1005, block(sent("d-2", 0, ODD[:2]))),
        LogRecord(1, 2, 1006, Command(command_id="c", patient="p-2", alarm_id="a", action="acknowledge", by="dr")),
    ]
    return assemble(log, [RefusedRecord(1001, REFUSED)], [Enrolment(patient="p-1", state="admitted", at_ns=0)])


REFUSED = Quarantined(
    device="d-9", topic="teleward/v1/d-9/bundle", bridge="b", received_ns=5, fault=Fault.UNBOUND, size=2, raw=b"{}"
)


def test_between_two_ticks_the_partitions_are_laid_side_by_side():
    told = capture()
    kinds = [(before, type(record).__name__) for before, record in told.between]
    # The command came before the second tick of its own partition, of which there is none: so before that tick.
    assert kinds == [(0, "Enrolment"), (0, "Tick"), (2, "Quarantined"), (3, "Command"), (3, "Tick")]
    assert told.bundles.devices == ["d-1", "d-2"]
    assert told.appended_ns.tolist() == [1001 * 10**6, 1001 * 10**6, 1005 * 10**6]


def test_a_file_keeps_all_of_it(tmp_path):
    told = capture()
    file = tmp_path / "night.parquet"
    write_capture(file, told)
    assert is_capture(file)
    read = open_capture(file)
    equal(read.bundles, told.bundles)
    assert read.between == told.between
    assert read.appended_ns.tolist() == told.appended_ns.tolist()
    assert (read.whole, read.events) == (told.whole, told.events)


def test_it_is_a_recording_to_everybody_else(tmp_path):
    file = tmp_path / "night.parquet"
    write_capture(file, capture())
    recording = open_recording(file)
    assert recording.patients == ("p-1", "p-2")
    assert recording.of("p-2").signs[Sign.SPO2].tolist().count(97.0) == 1


def test_only_parquet_holds_it(tmp_path):
    with pytest.raises(RecordingError, match="parquet"):
        write_capture(tmp_path / "night.csv", capture())
    other = tmp_path / "x.parquet"
    other.write_bytes(b"PAR1")
    assert not is_capture(other)
    with pytest.raises(RecordingError, match="not a whole capture"):
        open_capture(other)


def test_a_bundle_made_again_is_judged_as_it_was():
    told = block(sent("d-1", 7, ODD))
    again = block(bundle_bytes(told, 0))
    equal(again, told)
    assert set(told.quality.tolist()) >= {Quality.GOOD, Quality.DOUBTFUL, Quality.POOR, Quality.NO_CONTACT}


@pytest.mark.parametrize("known", [True, False])
def test_refused_readings_are_refused_again(known):
    payload = sent("d-1", 3, [reading("glucos", 5.0), reading("hr", 70.0), reading("hr", -4000.0)])
    told = block(payload)
    assert (told.n[0], told.refused[0]) == (3, 2)
    raws = wire.raw_readings(wire.decode(payload))
    refused = (RefusedBytes(index=0, fault=Fault.UNKNOWN_SIGN, raw=raws[0]),) if known else ()
    equal(block(bundle_bytes(told, 0, refused)), told)


def test_turns_are_in_the_order_of_the_capture():
    turns = list(turns_of_capture(capture()))
    told = [turn.device if isinstance(turn, Outgoing) else type(turn).__name__ for turn in turns]
    assert told == ["Enrolment", "Tick", "d-1", "d-1", "d-9", "d-2", "Command", "Tick"]
    assert msgspec.json.decode(b"{}") == msgspec.json.decode(turns[4].payload)


def test_some_patients_of_it():
    told = capture().select(["p-2"])
    assert told.bundles.devices == ["d-2"]
    assert [type(r).__name__ for _, r in told.between] == ["Tick", "Command", "Tick"]
    assert [before for before, _ in told.between] == [0, 1, 1]
