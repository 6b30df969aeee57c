import json
import math

import msgspec
import pytest

from vitals import wire
from vitals.faults import Fault
from vitals.reading import Bundle, DeviceId, Quality, Reading
from vitals.signs import Sign
from vitals.wire import Incoming, Refused, SentBundle, SentReading, Unreadable

T = 1_700_000_000_000_000_000
GOOD = {"sign": "hr", "value": 72.0, "unit": "/min", "time_ns": T}
BOTH = pytest.mark.parametrize("encoding", ["json", "msgpack"])


def whole(**changes):
    fields = {"v": 1, "device": "dev-1", "boot": 3, "seq": 7, "sent_ns": T, "n": 1, "n_before": 35, "readings": [GOOD]}
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def packed(fields, encoding):
    return json.dumps(fields).encode() if encoding == "json" else msgspec.msgpack.encode(fields)


def incoming(data):
    got = wire.decode(data)
    assert isinstance(got, Incoming), got
    return got


def refused(data):
    got = wire.decode(data)
    assert isinstance(got, Refused), got
    return got.fault


@BOTH
def test_a_bundle_that_was_written_is_read_back(encoding):
    bundle = SentBundle(
        device="dev-1",
        boot=3,
        seq=7,
        sent_ns=T,
        n=3,
        n_before=35,
        battery_pct=81.5,
        queued=2,
        clock=(T - 5, T + 2_000_000_000),
        readings=[
            SentReading(sign="spo2", value=0.97, unit="1", time_ns=T, quality="poor"),
            SentReading(sign="consciousness", value="A", time_ns=T),
            SentReading(sign="oxygen", value=True, time_ns=T),
        ],
    )
    got = incoming(wire.encode(bundle, encoding))
    assert msgspec.structs.asdict(got.header) == msgspec.structs.asdict(bundle)
    assert got.readings == bundle.readings


@BOTH
def test_fields_are_written_in_the_order_of_the_contract_and_defaults_left_out(encoding):
    bundle = SentBundle(
        device="d", boot=0, seq=0, sent_ns=T, n=1, n_before=0, readings=[SentReading(sign="hr", value=1.0, time_ns=T)]
    )
    decode = json.loads if encoding == "json" else msgspec.msgpack.decode
    fields = decode(wire.encode(bundle, encoding))
    assert list(fields) == ["v", "device", "boot", "seq", "sent_ns", "n", "n_before", "readings"]
    assert list(fields["readings"][0]) == ["sign", "value", "time_ns"]
    full = msgspec.structs.replace(bundle, battery_pct=5.0, queued=1, clock=(1, 2))
    assert list(decode(wire.encode(full, encoding)))[7:] == ["battery_pct", "queued", "clock", "readings"]


@BOTH
@pytest.mark.parametrize("clock", [[], [1], [1, 2, 3], [1, -2], [1.0, 2.0], ["1", "2"], 7, {"told": 1}, [1, 2**63]])
def test_an_echo_of_our_time_is_two_whole_numbers(encoding, clock):
    assert refused(packed(whole(clock=clock), encoding)) == Fault.WRONG_TYPE


@BOTH
def test_a_whole_number_is_a_value_like_any_other(encoding):
    assert incoming(packed(whole(readings=[GOOD | {"value": 72}]), encoding)).readings[0].value == 72.0


@BOTH
@pytest.mark.parametrize("name", ["device", "boot", "seq", "sent_ns", "n", "n_before", "readings", "v"])
def test_a_bundle_without_a_field_of_its_header_is_refused_whole(encoding, name):
    assert refused(packed(whole(**{name: ...}), encoding)) is Fault.WRONG_TYPE


@BOTH
@pytest.mark.parametrize(
    "changes",
    [
        {"device": 1},
        {"boot": "3"},
        {"boot": -1},
        {"seq": 1.5},
        {"seq": None},
        {"sent_ns": 2**63},
        {"n": True},
        {"battery_pct": "full"},
        {"readings": {}},
        {"readings": None},
        {"v": "1"},
        {"reading": []},
    ],
)
def test_a_header_with_a_wrong_type_is_refused_whole(encoding, changes):
    assert refused(packed(whole(**changes), encoding)) is Fault.WRONG_TYPE


@BOTH
@pytest.mark.parametrize("changes", [{"v": 2}, {"v": 0}, {"v": 2, "boot": "new", "more": 1}])
def test_another_version_is_named_before_anything_else_is_looked_at(encoding, changes):
    assert refused(packed(whole(**changes), encoding)) is Fault.WRONG_VERSION


@BOTH
@pytest.mark.parametrize(
    "bad",
    [
        {"sign": 1, "value": 1.0, "time_ns": T},
        {"value": 1.0, "time_ns": T},
        {"sign": "hr", "value": 1.0},
        {"sign": "hr", "value": [72], "time_ns": T},
        {"sign": "hr", "value": 1.0, "time_ns": float(T)},
        {"sign": "hr", "value": 1.0, "time_ns": "now"},
        {"sign": "hr", "value": 1.0, "time_ns": -1},
        {"sign": "hr", "value": 1.0, "time_ns": T, "quality": "fine"},
        {"sign": "hr", "value": 1.0, "time_ns": T, "qualty": "poor"},
        {"sign": "hr", "value": 1.0, "time_ns": T, "unit": 3},
        "hr",
        None,
        [],
    ],
)
def test_a_reading_with_a_wrong_type_is_refused_alone_and_its_bytes_are_kept(encoding, bad):
    got = incoming(packed(whole(n=3, readings=[GOOD, bad, GOOD]), encoding))
    assert isinstance(got.readings[1], Unreadable)
    assert got.readings[1].fault is Fault.WRONG_TYPE
    assert got.readings[0] == got.readings[2] == SentReading(**GOOD)
    decode = json.loads if encoding == "json" else msgspec.msgpack.decode
    assert decode(wire.raw_readings(got)[1]) == bad


def test_bytes_of_good_readings_are_cut_out_as_they_were_sent():
    odd = b'{"sign":"hr"  ,"time_ns":1}'
    data = packed(whole(), "json").replace(json.dumps(GOOD).encode(), odd)
    assert wire.raw_readings(incoming(data)) == [odd]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_text_with_a_constant_that_json_lacks_costs_one_reading_not_the_bundle(constant):
    data = json.dumps(whole(n=2, readings=[GOOD, GOOD | {"value": float(constant.replace("inity", ""))}])).encode()
    assert constant.encode() in data
    got = incoming(data)
    assert got.readings[0] == SentReading(**GOOD)
    assert not math.isfinite(got.readings[1].value)
    assert constant.encode() in wire.raw_readings(got)[1]


def test_text_with_a_constant_is_judged_as_strictly_as_any_other():
    nan = GOOD | {"value": math.nan}
    assert refused(json.dumps(whole(boot="1", readings=[nan])).encode()) is Fault.WRONG_TYPE
    assert refused(json.dumps(whole(readings=math.nan)).encode()) is Fault.WRONG_TYPE
    assert refused(json.dumps(whole(readings=[nan])).encode()[:-1]) is Fault.UNDECODABLE
    got = incoming(json.dumps(whole(n=2, readings=[nan, 5])).encode())
    assert got.readings[1].fault is Fault.WRONG_TYPE


def test_a_number_too_large_to_be_one_is_impossible():
    data = json.dumps(whole()).encode().replace(b"72.0", b"1e400")
    assert incoming(data).readings[0].fault is Fault.IMPOSSIBLE


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"hello", b"null", b'"text"', b"\x00\x01", b"{", b"\x81", b"\xc1", b"\xff\xfe{"]
)
def test_bytes_that_are_neither_of_both_formats_are_undecodable(data):
    assert refused(data) is Fault.UNDECODABLE


@BOTH
def test_a_bundle_cut_anywhere_is_undecodable(encoding):
    data = packed(whole(), encoding)
    assert {refused(data[:length]) for length in range(len(data))} == {Fault.UNDECODABLE}


@BOTH
def test_bytes_after_the_end_are_undecodable(encoding):
    assert refused(packed(whole(), encoding) + b"\x01") is Fault.UNDECODABLE


@pytest.mark.parametrize(
    "data", [b'{"v":' + b"[" * 30_000, b"\x81\xa1v" + b"\x91" * 30_000, b'{"v":1,"device":"\xff"}']
)
def test_nesting_without_end_and_text_that_is_none_are_refused_and_not_raised(data):
    assert refused(data) in {Fault.UNDECODABLE, Fault.WRONG_TYPE}


def test_nesting_without_end_in_a_reading_costs_that_reading_at_most():
    deep = b"[" * 20_000 + b"]" * 20_000
    data = json.dumps(whole(n=2, readings=[GOOD, 7])).encode().replace(b", 7]", b", " + deep + b"]")
    got = wire.decode(data)
    assert isinstance(got, Refused) or isinstance(got.readings[1], Unreadable)


@BOTH
def test_a_message_that_is_too_long_is_refused_unread(encoding):
    assert refused(packed(whole(), encoding).ljust(wire.MAX_BYTES + 1)) is Fault.OVERSIZED


@BOTH
def test_a_bundle_holds_so_many_readings_and_no_more(encoding):
    tiny = {"sign": "hr", "value": 72, "time_ns": T}
    assert len(incoming(packed(whole(readings=[tiny] * wire.MAX_READINGS), encoding)).readings) == wire.MAX_READINGS
    assert refused(packed(whole(readings=[tiny] * (wire.MAX_READINGS + 1)), encoding)) is Fault.OVERSIZED


@BOTH
def test_the_largest_bundle_of_full_readings_fits_the_bytes(encoding):
    full = {"sign": "consciousness", "value": "A", "unit": "{ACVPU}", "time_ns": T, "quality": "no_contact"}
    assert len(packed(whole(readings=[full] * wire.MAX_READINGS), encoding)) < wire.MAX_BYTES


@BOTH
def test_the_header_of_a_cut_bundle_is_salvaged_as_far_as_it_stands(encoding):
    data = packed(whole(), encoding)
    full = wire.salvage_header(data[:-5])
    assert full == wire.Salvaged(device="dev-1", boot=3, seq=7, n=1, n_before=35)
    assert wire.salvage_header(data[:3]) is None
    for length in range(len(data)):
        part = wire.salvage_header(data[:length]) or wire.Salvaged()
        for name in wire.Salvaged.__struct_fields__:
            assert getattr(part, name) in {None, getattr(full, name)}


def test_a_number_cut_in_the_middle_is_not_salvaged():
    assert wire.salvage_header(b'{"v":1,"device":"dev-1","boot":3,"seq":12').seq is None
    assert wire.salvage_header(b'{"v":1,"device":"dev-1","boot":3,"seq":12,').seq == 12


@BOTH
@pytest.mark.parametrize("seq", [-1, 2**63, "7", 1.5, True])
def test_a_number_that_could_not_be_one_is_not_salvaged(encoding, seq):
    assert wire.salvage_header(packed(whole(seq=seq), encoding)).seq is None


def test_what_stands_in_a_reading_is_no_header():
    data = b'{"device":"dev-1","readings":[{"n":5,"boot":9},'
    assert wire.salvage_header(data) == wire.Salvaged(device="dev-1")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\x80", b"garbage", b"\x85\xa4boot\xd9", b"\x82\xa4boot\xa1x\xa3seq\xcb@"]
)
def test_nothing_is_salvaged_from_nothing(data):
    assert wire.salvage_header(data) is None


@BOTH
def test_a_bundle_of_the_domain_goes_out_as_its_device_would_write_it(encoding):
    bundle = Bundle(
        device=DeviceId("dev-1"),
        boot=1,
        seq=2,
        sent_ns=T,
        n=4,
        n_before=8,
        readings=(
            Reading(Sign.CONSCIOUSNESS, 2.0, T),
            Reading(Sign.OXYGEN, 1.0, T, Quality.POOR),
            Reading(Sign.SPO2, 45.0, T, Quality.DOUBTFUL),
            Reading(Sign.HR, math.nan, T, Quality.NO_CONTACT),
        ),
    )
    got = incoming(wire.encode(wire.sent(bundle), encoding))
    assert got.header.battery_pct is None
    assert [(r.sign, r.value, r.quality) for r in got.readings] == [
        ("consciousness", "V", "good"),
        ("oxygen", True, "poor"),
        ("spo2", 45.0, "good"),
        ("hr", None, "no_contact"),
    ]
