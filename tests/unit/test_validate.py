import math

import msgspec
import pytest

from vitals import wire
from vitals.faults import Fault
from vitals.log import Binding
from vitals.reading import Quality, Reading
from vitals.signs import SECOND_NS, SIGNS, UNITS, Consciousness, Sign
from vitals.validate import Bindings, Checked, CheckSettings, check
from vitals.wire import Incoming, SentBundle, SentReading

T = 1_700_000_000_000_000_000
NUMBERS = [sign for sign in Sign if sign not in {Sign.CONSCIOUSNESS, Sign.OXYGEN}]


def worn(*spans, device="dev-1"):
    bindings = Bindings()
    for patient, from_ns, to_ns in spans or [("p-1", 0, None)]:
        bindings.apply(Binding(device=device, patient=patient, from_ns=from_ns, to_ns=to_ns))
    return bindings


def reading(sign="hr", value=72.0, **changes):
    return SentReading(**({"sign": sign, "value": value, "time_ns": T} | changes))


def judge(*readings, bindings=None, topic="dev-1", received_ns=T, settings=None, **header):
    fields = {"device": "dev-1", "boot": 3, "seq": 7, "sent_ns": T, "n": len(readings), "n_before": 35}
    bundle = SentBundle(**(fields | header), readings=list(readings))
    incoming = wire.decode(wire.encode(bundle, "msgpack"))
    assert isinstance(incoming, Incoming), incoming
    return check(incoming, topic, received_ns, bindings or worn(), settings or CheckSettings())


def alone(sent, **how):
    """The fault of a reading that stands between two good ones, which are kept; None where it is kept too."""
    got = judge(reading(), sent, reading("pulse"), **how)
    assert isinstance(got, Checked), got
    assert got.accepted.n == 3
    assert got.accepted.refused == len(got.refused)
    signs = list(got.accepted.sign)
    assert signs[0] == Sign.HR
    assert signs[-1] == Sign.PULSE
    assert len(signs) == 3 - len(got.refused)
    assert [refused.index for refused in got.refused] in ([], [1])
    for refused in got.refused:
        assert msgspec.msgpack.decode(refused.raw)["sign"] == sent.sign
    return got.refused[0].fault if got.refused else None


def kept(sent, **how):
    got = judge(sent, **how)
    assert got.refused == []
    return got.accepted.bundle().readings[0]


def test_a_good_bundle_becomes_a_row_with_all_its_readings():
    got = judge(reading(), reading("spo2", 97.0, unit="%"), battery_pct=80.0, queued=4, received_ns=T + 9)
    accepted = got.accepted
    assert got.refused == []
    assert (accepted.patient, accepted.device, accepted.boot, accepted.seq) == ("p-1", "dev-1", 3, 7)
    assert (accepted.sent_ns, accepted.received_ns, accepted.n, accepted.n_before) == (T, T + 9, 2, 35)
    assert (accepted.refused, accepted.battery_pct, accepted.queued) == (0, 80.0, 4)
    assert accepted.bundle().readings == (Reading(Sign.HR, 72.0, T), Reading(Sign.SPO2, 97.0, T))


def test_a_bundle_without_readings_is_a_row_too():
    got = judge()
    assert (got.accepted.n, got.accepted.sign, got.accepted.patient) == (0, [], "p-1")


def test_a_bundle_of_which_all_is_refused_keeps_its_row_for_the_ledger():
    got = judge(reading("glucose"), reading(value=900.0))
    assert (got.accepted.n, got.accepted.refused, got.accepted.sign) == (2, 2, [])
    assert [refused.fault for refused in got.refused] == [Fault.UNKNOWN_SIGN, Fault.IMPOSSIBLE]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (reading("glucose"), Fault.UNKNOWN_SIGN),
        (reading("HR"), Fault.UNKNOWN_SIGN),
        (reading(unit="mm[Hg]"), Fault.WRONG_UNIT),
        (reading(unit=""), Fault.WRONG_UNIT),
        (reading(value=math.nan), Fault.NOT_FINITE),
        (reading(value=math.inf), Fault.NOT_FINITE),
        (reading(value=-math.inf), Fault.NOT_FINITE),
        (reading("temp_c", math.nan, unit="[degF]"), Fault.NOT_FINITE),
        (reading("temp_c", math.inf, unit="[degF]"), Fault.NOT_FINITE),
        (reading(value=350.5), Fault.IMPOSSIBLE),
        (reading(value=-1.0), Fault.IMPOSSIBLE),
        (reading("spo2", 100.5), Fault.IMPOSSIBLE),
        (reading("spo2", 97.0, unit="1"), Fault.IMPOSSIBLE),
        (reading("hr", 8388607.0), Fault.IMPOSSIBLE),
        (reading(value=None), Fault.WRONG_TYPE),
        (reading(value=None, quality="poor"), Fault.WRONG_TYPE),
        (reading(value="72"), Fault.WRONG_TYPE),
        (reading(value=True), Fault.WRONG_TYPE),
        (reading("consciousness", 0.0), Fault.WRONG_TYPE),
        (reading("consciousness", True), Fault.WRONG_TYPE),
        (reading("consciousness", "X"), Fault.IMPOSSIBLE),
        (reading("consciousness", "a"), Fault.IMPOSSIBLE),
        (reading("oxygen", 1.0), Fault.WRONG_TYPE),
        (reading("oxygen", "true"), Fault.WRONG_TYPE),
        (reading("oxygen", None), Fault.WRONG_TYPE),
        (reading(time_ns=T + 5 * SECOND_NS + 1), Fault.FUTURE),
        (reading(time_ns=2**63 - 1), Fault.FUTURE),
    ],
)
def test_each_fault_costs_the_one_reading_that_has_it(sent, fault):
    assert alone(sent) is fault


def test_a_reading_that_could_not_be_read_keeps_the_fault_it_has():
    good = {"sign": "hr", "value": 72, "time_ns": T}
    fields = {"v": 1, "device": "dev-1", "boot": 1, "seq": 0, "sent_ns": T, "n": 2, "n_before": 0}
    data = msgspec.json.encode(fields | {"readings": [good, good | {"time_ns": "now"}]})
    got = check(wire.decode(data), "dev-1", T, worn())
    assert [(r.index, r.fault) for r in got.refused] == [(1, Fault.WRONG_TYPE)]
    assert msgspec.json.decode(got.refused[0].raw)["time_ns"] == "now"
    assert "time_ns" in got.refused[0].why


def test_a_refused_reading_of_nan_text_is_kept_as_text():
    header = b'{"v":1,"device":"dev-1","boot":1,"seq":0,"sent_ns":1,"n":1,"n_before":0,'
    data = header + b'"readings":[{"sign":"hr","value":NaN,"time_ns":1}]}'
    got = check(wire.decode(data), "dev-1", T, worn())
    assert [(r.fault, r.raw) for r in got.refused] == [
        (Fault.NOT_FINITE, b'{"sign": "hr", "value": NaN, "time_ns": 1}')
    ]


@pytest.mark.parametrize("sign", NUMBERS)
def test_the_ends_of_the_possible_range_are_possible_and_what_lies_beyond_is_not(sign):
    low, high = SIGNS[sign].possible
    assert alone(reading(sign.column, float(low))) is None
    assert alone(reading(sign.column, float(high))) is None
    assert alone(reading(sign.column, math.nextafter(low, -math.inf))) is Fault.IMPOSSIBLE
    assert alone(reading(sign.column, math.nextafter(high, math.inf))) is Fault.IMPOSSIBLE


@pytest.mark.parametrize("sign", NUMBERS)
def test_what_is_possible_but_not_plausible_is_kept_and_marked_doubtful(sign):
    low, high = (float(end) for end in SIGNS[sign].plausible)
    lowest, highest = SIGNS[sign].possible
    assert kept(reading(sign.column, low)).quality is Quality.GOOD
    assert kept(reading(sign.column, high)).quality is Quality.GOOD
    if lowest < low:
        assert kept(reading(sign.column, math.nextafter(low, -math.inf))).quality is Quality.DOUBTFUL
        assert kept(reading(sign.column, float(lowest), quality="poor")).quality is Quality.POOR
    if highest > high:
        assert kept(reading(sign.column, math.nextafter(high, math.inf))).quality is Quality.DOUBTFUL


def test_a_saturation_of_45_is_a_fact():
    assert kept(reading("spo2", 45.0)) == Reading(Sign.SPO2, 45.0, T, Quality.DOUBTFUL)


@pytest.mark.parametrize(
    ("sign", "value", "unit", "canonical"),
    [
        ("hr", 1.5, "Hz", 90.0),
        ("hr", 90.0, "bpm", 90.0),
        ("resp", 14.0, "{breaths}/min", 14.0),
        ("temp_c", 98.6, "[degF]", 37.0),
        ("temp_c", 100.4, "[degF]", 38.0),
        ("temp_c", 310.15, "K", 37.0),
        ("sbp", 16.0, "kPa", 120.009869),
        ("sbp", 120.0, "mmHg", 120.0),
        ("spo2", 0.97, "1", 97.0),
    ],
)
def test_units_of_devices_become_the_canonical_unit(sign, value, unit, canonical):
    assert kept(reading(sign, value, unit=unit)).value == canonical


@pytest.mark.parametrize("sign", list(Sign))
def test_every_unit_of_the_table_is_taken_for_its_sign_and_its_canonical_one_may_be_left_out(sign):
    row = SIGNS[sign]
    special = {Sign.CONSCIOUSNESS: "A", Sign.OXYGEN: False}
    plausible = sum(row.plausible) / 2
    for unit, (factor, offset) in UNITS[sign].items():
        value = special.get(sign, (plausible - offset) / factor)
        assert alone(reading(sign.column, value, unit=unit)) is None
    assert alone(reading(sign.column, special.get(sign, plausible))) is None


def test_letters_and_truth_values_become_their_numbers():
    for code in Consciousness:
        assert kept(reading("consciousness", code.name)).value == code.value
    assert kept(reading("oxygen", True)).value == 1.0
    assert kept(reading("oxygen", False)).value == 0.0


@pytest.mark.parametrize("value", [None, 8388607.0, -1.0, math.nan, math.inf])
def test_lost_contact_is_kept_whatever_filler_came_with_it(value):
    got = kept(reading("spo2", value, quality="no_contact"))
    assert got.quality is Quality.NO_CONTACT
    assert math.isnan(got.value)


def test_lost_contact_keeps_a_value_that_could_be_one():
    assert kept(reading("spo2", 45.0, quality="no_contact")) == Reading(Sign.SPO2, 45.0, T, Quality.NO_CONTACT)


def test_the_future_begins_after_the_tolerance_of_the_settings():
    strict = CheckSettings(future_tolerance_ns=0)
    assert alone(reading(time_ns=T + 5 * SECOND_NS)) is None
    assert alone(reading(time_ns=T), settings=strict) is None
    assert alone(reading(time_ns=T + 1), settings=strict) is Fault.FUTURE
    with pytest.raises(ValueError, match="-1"):
        CheckSettings(future_tolerance_ns=-1)


def test_a_device_that_speaks_for_another_is_refused_whole():
    assert judge(reading(), topic="dev-2", bindings=worn(device="dev-2")).fault is Fault.DEVICE_MISMATCH


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_bundle_that_miscounts_its_readings_is_refused_whole(n):
    assert judge(reading(), reading(), n=n).fault is Fault.WRONG_COUNT


def test_readings_that_could_not_be_read_count():
    fields = {"v": 1, "device": "dev-1", "boot": 1, "seq": 0, "sent_ns": T, "n": 2, "n_before": 0}
    got = check(wire.decode(msgspec.json.encode(fields | {"readings": [1, 2]})), "dev-1", T, worn())
    assert (got.accepted.n, got.accepted.refused) == (2, 2)


@pytest.mark.parametrize("battery", [-1.0, 255.0, math.nan])
def test_a_charge_that_is_none_is_taken_as_not_told_and_costs_no_reading(battery):
    assert judge(reading(), battery_pct=battery).accepted.battery_pct == -1.0
    assert judge(reading()).accepted.battery_pct == -1.0


# Who wore it


def test_a_device_that_nobody_ever_wore_is_unbound():
    assert judge(reading(), bindings=Bindings()).fault is Fault.UNBOUND
    assert judge(reading(), bindings=worn(device="dev-2")).fault is Fault.UNBOUND


@pytest.mark.parametrize("span", [("p-1", T + 1, None), ("p-1", T - 9, T), ("p-1", T, T)])
def test_a_bundle_wholly_outside_of_every_binding_is_unbound(span):
    assert judge(reading(), bindings=worn(span)).fault is Fault.UNBOUND


def test_readings_from_before_the_binding_are_refused_and_the_later_kept():
    got = judge(reading(time_ns=T - 2), reading(time_ns=T - 1), reading(time_ns=T), bindings=worn(("p-1", T - 1, None)))
    assert [(r.index, r.fault) for r in got.refused] == [(0, Fault.BEFORE_BINDING)]
    assert got.accepted.time_ns == [T - 1, T]


def test_readings_from_after_the_binding_are_refused_and_the_earlier_kept():
    got = judge(reading(time_ns=T - 2), reading(time_ns=T), bindings=worn(("p-1", 0, T)))
    assert got.accepted.patient == "p-1"
    assert [(r.index, r.fault) for r in got.refused] == [(1, Fault.BEFORE_BINDING)]


def test_a_bundle_that_spans_two_wearers_belongs_to_the_later_and_never_becomes_two_rows():
    bindings = worn(("p-1", 0, None), ("p-2", T - 5, None))
    got = judge(reading(time_ns=T), reading(time_ns=T - 6), reading(time_ns=T - 5), bindings=bindings)
    assert got.accepted.patient == "p-2"
    assert got.accepted.time_ns == [T, T - 5]
    assert [(r.index, r.fault) for r in got.refused] == [(1, Fault.BEFORE_BINDING)]


def test_a_bundle_of_the_earlier_wearer_alone_is_the_earlier_ones_even_when_it_comes_late():
    bindings = worn(("p-1", 0, None), ("p-2", T - 5, None))
    got = judge(reading(time_ns=T - 7), reading(time_ns=T - 6), bindings=bindings)
    assert (got.accepted.patient, got.refused) == ("p-1", [])


def test_a_time_from_the_future_does_not_decide_whose_bundle_it_is():
    bindings = worn(("p-1", 0, None), ("p-2", T + 60 * SECOND_NS, None))
    got = judge(reading(time_ns=T), reading(time_ns=T + 90 * SECOND_NS), bindings=bindings)
    assert got.accepted.patient == "p-1"
    assert [r.fault for r in got.refused] == [Fault.FUTURE]


def test_where_no_good_reading_decides_the_time_of_sending_does():
    bindings = worn(("p-1", T - 5, None))
    got = judge(reading(time_ns=T - 9), bindings=bindings)
    assert (got.accepted.patient, [r.fault for r in got.refused]) == ("p-1", [Fault.BEFORE_BINDING])
    got = judge(bindings=worn(("p-1", 0, None), ("p-2", T + 5, None)), sent_ns=T + 9, received_ns=T)
    assert got.accepted.patient == "p-1"  # a clock that is ahead cannot send it to the next wearer


def test_faults_are_told_in_the_order_of_the_readings():
    got = judge(reading(time_ns=0), reading("x"), reading(), reading("y"), bindings=worn(("p-1", 5, None)))
    assert [(r.index, r.fault.value) for r in got.refused] == [
        (0, "before-binding"),
        (1, "unknown-sign"),
        (3, "unknown-sign"),
    ]


def test_bindings_tell_who_wore_what_when():
    bindings = worn(("p-1", 10, 20), ("p-2", 30, None), ("p-3", 40, None))
    said = {t: bindings.patient_at("dev-1", t) for t in (9, 10, 19, 20, 29, 30, 39, 40, 10**18)}
    assert said == {9: None, 10: "p-1", 19: "p-1", 20: None, 29: None, 30: "p-2", 39: "p-2", 40: "p-3", 10**18: "p-3"}
    assert bindings.patient_at("dev-2", 10) is None
    assert bindings.knows("dev-1")
    assert not bindings.knows("dev-2")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2, 1, 0)])
def test_bindings_may_be_said_in_any_order_and_again(order):
    spans = [("p-1", 10, None), ("p-2", 30, None), ("p-3", 40, 50)]
    bindings = worn(*(spans[i] for i in order))
    said = [bindings.patient_at("dev-1", t) for t in (10, 29, 30, 39, 40, 50)]
    assert said == ["p-1", "p-1", "p-2", "p-2", "p-3", None]


def test_a_binding_said_again_with_the_same_start_is_replaced_and_can_be_taken_back():
    bindings = worn(("p-1", 10, None), ("p-2", 30, None), ("p-3", 30, None))
    assert bindings.patient_at("dev-1", 31) == "p-3"
    bindings.apply(Binding(device="dev-1", patient="p-3", from_ns=30, to_ns=30))
    assert bindings.patient_at("dev-1", 31) == "p-1"
