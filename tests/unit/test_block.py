import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest

from transport.kafka import KafkaSettings
from vitals import block, frames_codec
from vitals.block import BlockBuilder, BlockError
from vitals.events import SCORES, Frames
from vitals.frames_codec import FramesError
from vitals.reading import DeviceId, PatientId, Quality
from vitals.signs import N_SIGNS, Sign
from vitals.validate import Accepted

T = 1_700_000_000_000_000_000


def accepted(seq=0, patient="p-1", device="dev-1", readings=2, **changes):
    fields = {
        "patient": PatientId(patient),
        "device": DeviceId(device),
        "boot": 1,
        "seq": seq,
        "sent_ns": T + seq,
        "received_ns": T + seq + 5,
        "n": readings + 1,
        "n_before": 3 * seq,
        "refused": 1,
        "battery_pct": 50.0,
        "queued": 2,
        "sign": [int(Sign.SPO2)] * readings,
        "quality": [int(Quality.GOOD)] * readings,
        "value": [90.0 + i for i in range(readings)],
        "time_ns": [T - i for i in range(readings)],
    }
    return Accepted(**(fields | changes))


def built(*bundles):
    builder = BlockBuilder()
    for bundle in bundles:
        builder.append(bundle)
    return builder.take()


def same(one, other):
    for field in dataclasses.fields(one):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


def test_a_builder_counts_names_once_and_keeps_the_order():
    got = built(
        accepted(0), accepted(0, "p-2", "dev-2", readings=0), accepted(1, readings=3), accepted(0, "p-2", "dev-3")
    )
    assert (got.patients, got.devices) == (["p-1", "p-2"], ["dev-1", "dev-2", "dev-3"])
    assert got.patient.tolist() == [0, 1, 0, 1]
    assert got.device.tolist() == [0, 1, 0, 2]
    assert got.seq.tolist() == [0, 0, 1, 0]
    assert got.offsets.tolist() == [0, 2, 2, 5, 7]
    assert got.value.tolist() == [90, 91, 90, 91, 92, 90, 91]
    assert got.time_ns.tolist() == [T, T - 1, T, T - 1, T - 2, T, T - 1]
    assert (got.bundles, got.readings) == (4, 7)
    for name in ("sent_ns", "received_ns", "n", "n_before", "refused", "queued", "boot", "battery_pct"):
        assert getattr(got, name)[2] == getattr(accepted(1, readings=3), name)


def test_a_builder_is_empty_after_it_gave_its_block():
    builder = BlockBuilder()
    builder.append(accepted())
    assert (len(builder), builder.readings) == (1, 2)
    first = builder.take()
    assert (len(builder), builder.readings, builder.take().bundles) == (0, 0, 0)
    assert first.bundles == 1


@pytest.mark.parametrize("bundles", [0, 1, 2, 300])
def test_a_block_that_was_written_is_read_back_alike(bundles):
    one = built(*(accepted(seq, f"p-{seq % 7}", f"dev-{seq}", seq % 5) for seq in range(bundles)))
    same(one, block.decode(block.encode(one)))


def test_a_missing_value_stays_missing():
    one = built(accepted(readings=1, value=[math.nan], quality=[int(Quality.NO_CONTACT)], battery_pct=-1.0))
    same(one, block.decode(block.encode(one)))


def test_names_may_be_any_text():
    one = built(accepted(patient='p "ü" \\', device="gerät"))
    same(one, block.decode(block.encode(one)))


def test_a_block_is_read_without_copying_and_cannot_be_written_to():
    got = block.decode(block.encode(built(accepted())))
    for name in ("patient", "sent_ns", "offsets", "value", "sign", "time_ns", "battery_pct"):
        array = getattr(got, name)
        assert not array.flags.owndata, name
        assert not array.flags.writeable, name


@pytest.mark.parametrize("bundles", [0, 1, 50, 500])
def test_the_size_is_told_before_writing(bundles):
    builder = BlockBuilder()
    for seq in range(bundles):
        builder.append(accepted(seq, f"p-{seq}", f"dev-{seq}", 5))
    told = builder.size_bytes
    wrote = len(block.encode(builder.take()))
    assert wrote <= told <= wrote * 1.15 + 400


def test_a_block_of_another_version_is_refused_and_says_which():
    data = block.encode(built(accepted())).replace(b"\x01\x00\x00\x001\x00", b"\x01\x00\x00\x002\x00")
    with pytest.raises(BlockError, match="version is 2, this reader knows 1"):
        block.decode(data)


def rewritten(one, schema, columns=lambda batch: batch.columns):
    """A block's bytes with another schema or other columns, as some other program might write them."""
    batch = pa.ipc.open_stream(block.encode(one)).read_next_batch()
    changed = schema(batch.schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, changed) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns(batch), schema=changed))
    return bytes(sink.getvalue())


def test_a_block_with_other_fields_is_refused_and_says_which():
    data = rewritten(
        built(accepted()),
        lambda schema: schema.remove(0),
        lambda batch: batch.columns[1:],
    )
    with pytest.raises(BlockError, match="fields of the block are"):
        block.decode(data)


def test_a_stream_of_something_else_is_no_block():
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"x": [1]})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(BlockError, match="version is none"):
        block.decode(bytes(sink.getvalue()))


def test_a_block_without_its_names_is_refused():
    data = rewritten(built(accepted()), lambda schema: schema.with_metadata({"teleward.block": "1"}))
    with pytest.raises(BlockError, match="patients"):
        block.decode(data)


def test_a_block_cut_anywhere_is_refused_or_whole():
    one = built(accepted(), accepted(1))
    data = block.encode(one)
    for length in range(len(data)):
        try:
            got = block.decode(data[:length])
        except BlockError:
            continue
        same(one, got)  # only the mark at the end of the stream is missing


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patient": np.array([1])}, "patient points outside of its 1 names"),
        ({"device": np.array([-1])}, "device points outside of its 1 names"),
        ({"sign": np.array([0, N_SIGNS], np.uint8)}, f"sign {N_SIGNS} is not one of"),
        ({"quality": np.array([0, 9], np.uint8)}, "quality 9 is not one of"),
        ({"offsets": np.array([0, 1])}, "offsets do not divide 2 readings among 1 bundles"),
        ({"offsets": np.array([1, 2])}, "offsets do not divide"),
    ],
)
def test_a_block_that_points_outside_of_itself_is_refused(changes, said):
    with pytest.raises(BlockError, match=said):
        block.encode(dataclasses.replace(built(accepted()), **changes))


def test_a_block_written_by_somebody_else_is_checked_as_well():
    data = rewritten(
        built(accepted()), lambda schema: schema, lambda batch: [pa.array(np.array([7])), *batch.columns[1:]]
    )
    with pytest.raises(BlockError, match="patient points outside of its 1 names"):
        block.decode(data)


def frames(rows, detectors):
    rng = np.random.default_rng(rows)
    value = rng.random((rows, N_SIGNS))
    value[value < 0.3] = np.nan
    return Frames(
        start_ns=T,
        end_ns=T + 60,
        patients=[f"p-{i}" for i in range(rows)],
        value=value,
        measured=rng.random((rows, N_SIGNS)) < 0.5,
        age_ns=rng.integers(-1, 10**12, (rows, N_SIGNS)),
        low=rng.random((rows, len(SCORES))),
        high=rng.random((rows, len(SCORES))),
        missing=rng.integers(0, 512, rows),
        detector=rng.random((rows, len(detectors))),
        detectors=detectors,
        closed_by_ns=T + 75,
    )


@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("detectors", [(), ("ewma",), ("ewma", "sepsis")])
def test_frames_that_were_written_are_read_back_alike(rows, detectors):
    one = frames(rows, detectors)
    same(one, frames_codec.decode(frames_codec.encode(one)))


def test_frames_of_some_rows_and_of_reordered_arrays_are_written_all_the_same():
    one = frames(6, ("ewma",))
    some = dataclasses.replace(one, value=np.asfortranarray(one.value), measured=np.asfortranarray(one.measured))
    same(one, frames_codec.decode(frames_codec.encode(some)))


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 1_001, 10_000])
def test_frames_of_many_patients_go_as_records_of_bounded_size(rows):
    one = frames(rows, ("ewma", "anomaly", "sepsis"))
    one.patients = [f"{i:064d}" for i in range(rows)]
    found = [frames_codec.encode(part) for part in frames_codec.parts(one)]
    assert max(map(len, found)) < 0.7 * KafkaSettings("nowhere:1").max_record_bytes
    assert len(found) == max(1, -(-rows // frames_codec.ROWS))
    read = [frames_codec.decode(data) for data in found]
    assert {(part.start_ns, part.end_ns, part.closed_by_ns, part.detectors) for part in read} == {
        (one.start_ns, one.end_ns, one.closed_by_ns, one.detectors)
    }
    arrays = [f.name for f in dataclasses.fields(one) if isinstance(getattr(one, f.name), np.ndarray)]
    joined = {name: np.concatenate([getattr(part, name) for part in read]) for name in arrays}
    same(one, dataclasses.replace(one, patients=[p for part in read for p in part.patients], **joined))


def test_frames_of_another_version_and_bytes_that_are_none_are_refused():
    data = frames_codec.encode(frames(2, ()))
    with pytest.raises(FramesError, match="version is 1, this reader knows 2"):
        frames_codec.decode(data.replace(b"\x01\x00\x00\x002\x00", b"\x01\x00\x00\x001\x00"))
    with pytest.raises(FramesError, match="not frames"):
        frames_codec.decode(b"hello")
    with pytest.raises(FramesError, match="version is none"):
        frames_codec.decode(block.encode(built(accepted())))
    with pytest.raises(FramesError, match="2 rows for 1 patients"):
        frames_codec.decode(frames_codec.encode(dataclasses.replace(frames(2, ()), patients=["p"])))


def test_frames_whose_truth_values_are_none_are_refused():
    one = frames(2, ())
    odd = one.measured.view(np.uint8).copy()
    odd[0, 0] = 2
    with pytest.raises(FramesError, match="measured"):
        frames_codec.decode(frames_codec.encode(dataclasses.replace(one, measured=odd)))


def test_bounds_of_clocks_travel_with_their_devices_and_cost_nothing_where_there_are_none():
    builder = BlockBuilder()
    builder.append(accepted(0), (-5, 7))
    builder.append(accepted(0, "p-2", "dev-2"))
    builder.append(accepted(1), (-4, 7))
    size = builder.size_bytes
    got = builder.take()
    assert got.clocks == {0: (-4, 7)}
    data = block.encode(got)
    same(block.decode(data), got)
    assert len(data) <= size * 1.02
    plain = built(accepted(0), accepted(0, "p-2", "dev-2"), accepted(1))
    assert b"clocks" not in block.encode(plain)
    assert builder.take().clocks == {}


@pytest.mark.parametrize("at", [1, -1])
def test_a_clock_of_no_device_is_refused(at):
    with pytest.raises(BlockError, match="a clock points outside of 1 devices"):
        block.encode(dataclasses.replace(built(accepted(0)), clocks={at: (0, 1)}))
