"""Whatever arrives, the door stays: round trips, broken bytes, and one fault at a time among good readings."""

import json
import math

import msgspec
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from vitals import block, wire
from vitals.faults import EXPLAINED, Fault
from vitals.log import Binding
from vitals.reading import Quality
from vitals.signs import SIGNS, UNITS, Consciousness, Sign
from vitals.validate import Bindings, Checked, check
from vitals.wire import Incoming, Refused, Salvaged, SentBundle, SentReading, Unreadable

calm = settings(deadline=None)  # how long one takes depends on who else uses the machine
T = 1_700_000_000_000_000_000
NATURAL = st.integers(0, 2**63 - 1)
ENCODINGS = st.sampled_from(["json", "msgpack"])
WHOLE_MESSAGE = {
    Fault.OVERSIZED,
    Fault.UNDECODABLE,
    Fault.WRONG_VERSION,
    Fault.WRONG_TYPE,
    Fault.WRONG_COUNT,
    Fault.DEVICE_MISMATCH,
    Fault.UNBOUND,
}

EVERYBODY = Bindings()
EVERYBODY.apply(Binding(device="dev-1", patient="p-1", from_ns=0))


@st.composite
def good_readings(draw):
    sign = draw(st.sampled_from(list(Sign)))
    quality = draw(st.sampled_from(["good", "poor", "no_contact"]))
    unit = draw(st.sampled_from([None, *UNITS[sign]]))
    if sign is Sign.CONSCIOUSNESS:
        value = draw(st.sampled_from([code.name for code in Consciousness]))
    elif sign is Sign.OXYGEN:
        value = draw(st.booleans())
    else:
        low, high = SIGNS[sign].possible
        factor, offset = UNITS[sign][unit or SIGNS[sign].unit]
        # A little inside, so that rounding of a conversion cannot carry it over the edge.
        value = (draw(st.floats(low + 0.01, high - 0.01)) - offset) / factor
    if quality == "no_contact" and draw(st.booleans()):
        value = None
    return SentReading(sign=sign.column, value=value, unit=unit, time_ns=draw(st.integers(0, T)), quality=quality)


@st.composite
def bundles(draw, readings=good_readings()):  # noqa: B008 - strategies are values
    sent = draw(st.lists(readings, max_size=8))
    return SentBundle(
        device="dev-1",
        boot=draw(NATURAL),
        seq=draw(NATURAL),
        sent_ns=draw(NATURAL),
        n=len(sent),
        n_before=draw(NATURAL),
        battery_pct=draw(st.none() | st.floats(0, 100)),
        queued=draw(NATURAL),
        clock=draw(st.none() | st.tuples(NATURAL, NATURAL)),
        readings=sent,
    )


def received(data):
    """Everything the bridge does with bytes; asks only that each step gives what it promises."""
    salvaged = wire.salvage_header(data)
    assert salvaged is None or isinstance(salvaged, Salvaged)
    got = wire.decode(data)
    if isinstance(got, Refused):
        assert got.fault in WHOLE_MESSAGE
        return got
    assert len(wire.raw_readings(got)) == len(got.readings)
    checked = check(got, "dev-1", T, EVERYBODY)
    if isinstance(checked, Refused):
        assert checked.fault in WHOLE_MESSAGE
        return checked
    accepted = checked.accepted
    assert accepted.n == len(accepted.sign) + len(checked.refused) == len(accepted.sign) + accepted.refused
    assert all(
        math.isfinite(v) or q == Quality.NO_CONTACT for v, q in zip(accepted.value, accepted.quality, strict=True)
    )
    return checked


@calm
@given(bundles(), ENCODINGS)
def test_what_a_device_wrote_is_what_is_read(bundle, encoding):
    got = wire.decode(wire.encode(bundle, encoding))
    assert isinstance(got, Incoming)
    assert msgspec.structs.asdict(got.header) == msgspec.structs.asdict(bundle)
    assert got.readings == bundle.readings
    assert isinstance(received(wire.encode(bundle, encoding)), Checked)


@calm
@given(bundles())
def test_both_encodings_and_the_cut_bytes_say_the_same(bundle):
    read = {name: wire.decode(wire.encode(bundle, name)) for name in ("json", "msgpack")}
    assert read["json"].readings == read["msgpack"].readings
    assert [msgspec.json.decode(raw, type=SentReading) for raw in wire.raw_readings(read["json"])] == bundle.readings
    assert [
        msgspec.msgpack.decode(raw, type=SentReading) for raw in wire.raw_readings(read["msgpack"])
    ] == bundle.readings


@calm
@given(bundles(), ENCODINGS)
def test_good_readings_are_all_accepted_and_come_through_a_block(bundle, encoding):
    checked = received(wire.encode(bundle, encoding))
    assert isinstance(checked, Checked)
    assert checked.refused == []
    builder = block.BlockBuilder()
    builder.append(checked.accepted)
    got = block.decode(block.encode(builder.take()))
    assert (got.boot[0], got.seq[0], got.sent_ns[0]) == (bundle.boot, bundle.seq, bundle.sent_ns)
    assert got.sign.tolist() == checked.accepted.sign
    assert got.time_ns.tolist() == [reading.time_ns for reading in bundle.readings]
    for ours, theirs in zip(got.value.tolist(), checked.accepted.value, strict=True):
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))


@calm
@given(st.binary(max_size=200))
@example(b"")
@example(b"{}")
@example(b"\x80")
@example(b"\xde\x00")
@example(b'{"v":1,"readings":[NaN],"device":"\\ud800"}')
def test_bytes_of_chance_are_answered_and_never_raise(data):
    for first in (b"", b"{", b"\x81", b"\xdf"):
        received(first + data)


@calm
@given(bundles(), ENCODINGS, st.data())
def test_a_bundle_with_bytes_flipped_cut_or_put_in_is_answered_and_never_raises(bundle, encoding, data):
    sent = bytearray(wire.encode(bundle, encoding))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        assume(sent)
    received(bytes(sent[: data.draw(st.integers(0, len(sent)))]))
    received(bytes(sent))


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@calm
@given(bundles(), st.sampled_from(["v", *SentBundle.__struct_fields__]), anything, ENCODINGS)
def test_a_field_of_the_header_may_hold_anything(bundle, name, value, encoding):
    fields = msgspec.json.decode(wire.encode(bundle, "json")) | {name: value}
    received(json.dumps(fields).encode() if encoding == "json" else msgspec.msgpack.encode(fields))


@calm
@given(
    st.lists(anything | st.dictionaries(st.sampled_from(SentReading.__struct_fields__), anything), max_size=4),
    ENCODINGS,
)
def test_a_reading_may_be_anything(readings, encoding):
    fields = {"v": 1, "device": "dev-1", "boot": 0, "seq": 0, "sent_ns": T, "n": len(readings), "n_before": 0}
    fields["readings"] = readings
    received(json.dumps(fields).encode() if encoding == "json" else msgspec.msgpack.encode(fields))


# Each makes one fault, and that alone, of a plain reading.
SPOILT = {
    Fault.WRONG_TYPE: st.sampled_from(
        [{"value": "72"}, {"value": None}, {"value": True}, {"time_ns": "0"}, {"quality": "?"}]
    ),
    Fault.UNKNOWN_SIGN: st.text(max_size=9)
    .filter(lambda text: text not in {s.column for s in Sign})
    .map(lambda s: {"sign": s}),
    Fault.WRONG_UNIT: st.text(max_size=9).filter(lambda text: text not in UNITS[Sign.HR]).map(lambda u: {"unit": u}),
    Fault.NOT_FINITE: st.sampled_from([math.nan, math.inf, -math.inf]).map(lambda value: {"value": value}),
    Fault.IMPOSSIBLE: (st.floats(350.1, 1e300) | st.floats(-1e300, -0.1)).map(lambda value: {"value": value}),
    Fault.FUTURE: st.integers(T + 5_000_000_001, 2**63 - 1).map(lambda time_ns: {"time_ns": time_ns}),
    Fault.BEFORE_BINDING: st.integers(0, T - 1001).map(lambda time_ns: {"time_ns": time_ns}),
}
recent = good_readings().map(lambda reading: msgspec.structs.replace(reading, time_ns=T - 7))


@calm
@given(st.lists(recent, max_size=5), st.integers(0, 5), st.sampled_from(list(SPOILT)), st.data(), ENCODINGS)
def test_each_fault_alone_costs_its_own_reading_and_no_other(others, place, fault, data, encoding):
    plain = {"sign": "hr", "value": 72.0, "time_ns": T - 7}
    spoilt = plain | data.draw(SPOILT[fault])
    place = min(place, len(others))
    readings = [msgspec.to_builtins(reading) for reading in others]
    readings.insert(place, spoilt)
    fields = {"v": 1, "device": "dev-1", "boot": 1, "seq": 2, "sent_ns": T, "n": len(readings), "n_before": 0}
    fields["readings"] = readings
    got = wire.decode(json.dumps(fields).encode() if encoding == "json" else msgspec.msgpack.encode(fields))
    assert isinstance(got, Incoming)
    bindings = Bindings()
    bindings.apply(Binding(device="dev-1", patient="p-1", from_ns=T - 1000))
    checked = check(got, "dev-1", T, bindings)
    assert isinstance(checked, Checked)
    assert [(refused.index, refused.fault) for refused in checked.refused] == [(place, fault)]
    raw = checked.refused[0].raw
    back = json.loads(raw) if encoding == "json" else msgspec.msgpack.decode(raw)
    assert str(back) == str(spoilt)  # as text: NaN is not equal to itself
    alone = check(wire.decode(wire.encode(bundle_of(others), encoding)), "dev-1", T, bindings)
    if others:
        assert checked.accepted.sign == alone.accepted.sign
        assert str(checked.accepted.value) == str(alone.accepted.value)


def bundle_of(readings):
    return SentBundle(device="dev-1", boot=1, seq=2, sent_ns=T, n=len(readings), n_before=0, readings=readings)


@calm
@given(bundles(), ENCODINGS, st.data())
def test_a_cut_bundle_is_undecodable_and_what_is_salvaged_of_it_is_true(bundle, encoding, data):
    sent = wire.encode(bundle, encoding)
    part = sent[: data.draw(st.integers(0, len(sent) - 1))]
    assert wire.decode(part) == Refused(Fault.UNDECODABLE, wire.decode(part).why)
    salvaged = wire.salvage_header(part)
    for name in Salvaged.__struct_fields__ if salvaged else ():
        assert getattr(salvaged, name) in {None, getattr(bundle, name)}
    if bundle.readings:
        header_ends = sent.index(b"readings") + len("readings") + 1
        assert wire.salvage_header(sent[:header_ends]) == Salvaged(
            device="dev-1", boot=bundle.boot, seq=bundle.seq, n=bundle.n, n_before=bundle.n_before
        )


spans = st.lists(
    st.tuples(st.sampled_from(["p-1", "p-2", "p-3"]), st.integers(0, 30), st.none() | st.integers(0, 30)),
    max_size=5,
    unique_by=lambda span: span[1],
)


@calm
@given(spans, st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_order_and_number_of_times_in_which_bindings_are_said_does_not_matter(said, random, time_ns):
    records = [Binding(device="d", patient=p, from_ns=start, to_ns=end) for p, start, end in said]
    one, other = Bindings(), Bindings()
    for record in records:
        one.apply(record)
    again = records * 2
    random.shuffle(again)
    for record in again:
        other.apply(record)
    assert one.patient_at("d", time_ns) == other.patient_at("d", time_ns)
    # The plain way: the newest start that counts decides, if its own end allows.
    started = [r for r in records if r.from_ns <= time_ns and (r.to_ns is None or r.to_ns > r.from_ns)]
    newest = max(started, key=lambda r: r.from_ns, default=None)
    lasting = newest is not None and (newest.to_ns is None or time_ns < newest.to_ns)
    assert one.patient_at("d", time_ns) == (newest.patient if newest is not None and lasting else None)


@calm
@given(spans, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_a_bundle_goes_to_one_patient_and_only_with_readings_of_that_patients_time(said, times):
    bindings = Bindings()
    for patient, start, end in said:
        bindings.apply(Binding(device="dev-1", patient=patient, from_ns=start, to_ns=end))
    sent = bundle_of([SentReading(sign="hr", value=72.0, time_ns=time_ns) for time_ns in times])
    checked = check(wire.decode(wire.encode(sent, "json")), "dev-1", 40, bindings)
    wearers = {time_ns: bindings.patient_at("dev-1", time_ns) for time_ns in [*times, 40]}
    if isinstance(checked, Refused):
        assert checked.fault is Fault.UNBOUND
        assert set(wearers.values()) == {None}
        return
    worn_at = [time_ns for time_ns in times if wearers[time_ns] is not None]
    assert checked.accepted.patient == wearers[max(worn_at, default=40)]
    assert all(wearers[time_ns] == checked.accepted.patient for time_ns in checked.accepted.time_ns)
    assert {refused.fault for refused in checked.refused} <= {Fault.BEFORE_BINDING}


def test_every_fault_is_explained_and_stands_for_a_message_or_a_reading():
    assert set(EXPLAINED) == set(Fault) == WHOLE_MESSAGE | set(SPOILT)
    assert Unreadable(Fault.WRONG_TYPE, "").fault in SPOILT
