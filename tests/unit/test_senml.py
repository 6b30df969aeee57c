import json

import pytest

from vitals import senml, wire
from vitals.faults import Fault
from vitals.log import Binding
from vitals.reading import Reading
from vitals.signs import Sign
from vitals.validate import Bindings, receive
from vitals.wire import Incoming, SentReading

S = 1_767_268_800
T = S * 10**9
FIRST = {
    "bn": "dev-17:",
    "bt": S,
    "n": "hr",
    "u": "beat/min",
    "v": 72,
    "teleward:boot": 4,
    "teleward:seq": 12,
    "teleward:sent_ns": T + 2,
    "teleward:n": 1,
    "teleward:n_before": 48,
}


def pack(*records, **changes):
    first = {
        name: value for name, value in (FIRST | {"teleward:n": 1 + len(records)} | changes).items() if value is not ...
    }
    return json.dumps([first, *records]).encode()


def read(*records, **changes):
    got = senml.decode(pack(*records, **changes))
    assert isinstance(got, Incoming), got
    return got


def alone(record):
    """The second reading of a pack of three, of which the others are kept."""
    got = read(record, {"n": "pulse", "v": 70, "u": "/min"})
    assert got.readings[0] == SentReading(sign="hr", value=72.0, unit="/min", time_ns=T)
    assert got.readings[2] == SentReading(sign="pulse", value=70.0, unit="/min", time_ns=T)
    return got.readings[1]


def test_the_pack_of_the_docstring_becomes_a_bundle():
    text = senml.__doc__.split("```")[1].encode().strip()
    bindings = Bindings()
    bindings.apply(Binding(device="dev-17", patient="p-1", from_ns=0))
    checked = receive(text, "dev-17", T + 10**10, bindings)
    assert checked.refused == []
    bundle = checked.accepted.bundle()
    assert (bundle.device, bundle.boot, bundle.seq, bundle.n, bundle.n_before) == ("dev-17", 4, 12, 2, 48)
    assert bundle.readings == (Reading(Sign.HR, 72.0, T), Reading(Sign.SPO2, 97.0, T + 10**9))


@pytest.mark.parametrize(
    ("record", "value", "unit", "quality"),
    [
        ({"n": "spo2", "v": 0.97, "u": "/"}, 0.97, "1", "good"),
        ({"n": "consciousness", "vs": "A", "u": "{ACVPU}"}, "A", "{ACVPU}", "good"),
        ({"n": "oxygen", "vb": True, "u": "{bool}", "note": "left alone"}, True, "{bool}", "good"),
        ({"n": "spo2", "u": "%", "teleward:quality": "no_contact"}, None, "%", "no_contact"),
    ],
)
def test_each_kind_of_value_is_taken(record, value, unit, quality):
    assert alone(record) == SentReading(sign=record["n"], value=value, unit=unit, time_ns=T, quality=quality)


def test_times_add_to_the_base_and_keep_microseconds():
    assert alone({"n": "hr", "v": 1, "t": -0.25}).time_ns == T - 250_000_000
    assert alone({"n": "hr", "v": 1, "t": 0.000001}).time_ns == T + 1000


def test_a_base_unit_holds_until_another_is_named():
    got = read({"n": "temp_c", "v": 37, "bu": "Cel"}, {"n": "temp_c", "v": 36}, {"n": "hr", "v": 60, "u": "/min"})
    assert [reading.unit for reading in got.readings] == ["/min", "Cel", "Cel", "/min"]


@pytest.mark.parametrize(
    "record",
    [
        7,
        {"v": 1},
        {"n": "hr", "v": "72"},
        {"n": "hr", "v": 72, "vs": "72"},
        {"n": "hr", "v": 72, "s": 5},
        {"n": "hr", "v": 72, "bs": 5},
        {"n": "hr", "v": 72, "must_": 5},
        {"n": "hr", "v": 72, "bn": "dev-18:"},
        {"n": "hr", "v": 72, "t": -S},
        {"n": "hr", "v": 72, "t": 1e300},
        {"n": "hr", "v": 72, "teleward:quality": "fine"},
    ],
)
def test_a_record_that_cannot_be_taken_is_refused_alone(record):
    assert alone(record).fault is Fault.WRONG_TYPE


def test_refused_records_are_kept_as_sent():
    got = read({"n": "hr", "v": "72"})
    assert json.loads(wire.raw_readings(got)[1]) == {"n": "hr", "v": "72"}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"[", Fault.UNDECODABLE),
        (b"{}", Fault.UNDECODABLE),
        (b"[" * 30_000, Fault.UNDECODABLE),
        (b"[]", Fault.WRONG_TYPE),
        (b"[1]", Fault.WRONG_TYPE),
        (pack(**{"teleward:boot": ...}), Fault.WRONG_TYPE),
        (pack(**{"teleward:seq": 1.5}), Fault.WRONG_TYPE),
        (pack(bn=...), Fault.WRONG_TYPE),
        (pack(bver=11), Fault.WRONG_VERSION),
        (pack().ljust(wire.MAX_BYTES + 1), Fault.OVERSIZED),
        (pack(*[{"n": "hr", "v": 1}] * wire.MAX_READINGS), Fault.OVERSIZED),
    ],
)
def test_a_pack_without_its_numbers_is_refused_whole(data, fault):
    assert senml.decode(data).fault is fault


def test_one_door_takes_all_formats_and_names_what_it_cannot_take():
    bindings = Bindings()
    bindings.apply(Binding(device="dev-17", patient="p-1", from_ns=0))
    bundle = wire.SentBundle(device="dev-17", boot=4, seq=12, sent_ns=T + 2, n=1, n_before=48, readings=read().readings)
    came = [pack(), wire.encode(bundle, "json"), wire.encode(bundle, "msgpack")]
    assert len({str(receive(data, "dev-17", T, bindings)) for data in came}) == 1
    assert receive(b"[", "dev-17", T, bindings).fault is Fault.UNDECODABLE
    assert receive(b"?", "dev-17", T, bindings).fault is Fault.UNDECODABLE


def test_what_a_device_heard_of_our_time_is_read():
    assert read(**{"teleward:clock": [T, T + 5]}).header.clock == (T, T + 5)
    assert read().header.clock is None
