"""What a message is and where it goes; nothing that a device sends vanishes, and nothing makes the bridge fail."""

from __future__ import annotations

import logging

import pytest

from ingest.intake import Intake, Mark, Probe, Taken
from ingest.quarantine import KEPT_BYTES
from vitals import quarantine, topics, wire
from vitals.faults import Fault
from vitals.log import Binding
from vitals.quarantine import Quarantined
from vitals.validate import Bindings, CheckSettings
from vitals.wire import SentBundle, SentReading

NOW = 1_700_000_000_000_000_000
TOPIC = topics.bundle_topic("dev-1")


@pytest.fixture
def intake() -> Intake:
    bindings = Bindings()
    bindings.apply(Binding(device="dev-1", patient="p-1", from_ns=0))
    return Intake(bindings, bridge="bridge", check_settings=CheckSettings())


def reading(sign: str = "hr", value: float = 70.0) -> SentReading:
    return SentReading(sign=sign, value=value, time_ns=NOW - 1)


def sent(*readings: SentReading, device: str = "dev-1", n: int | None = None) -> bytes:
    bundle = SentBundle(
        device=device, boot=3, seq=7, sent_ns=NOW, n=len(readings) if n is None else n, n_before=20,
        readings=list(readings),
    )  # fmt: skip
    return wire.encode(bundle, "json")


def test_a_good_bundle_is_taken(intake):
    decision = intake.judge(TOPIC, sent(reading(), reading("spo2", 97.0)), NOW)
    assert isinstance(decision, Taken)
    assert decision.refused is None
    assert (decision.accepted.patient, decision.accepted.seq, decision.accepted.value) == ("p-1", 7, [70.0, 97.0])
    assert decision.accepted.received_ns == NOW


def test_refused_readings_of_a_good_bundle_are_kept_with_reason_and_origin(intake):
    decision = intake.judge(TOPIC, sent(reading(), reading("heart", 1.0), reading("spo2", 170.0)), NOW)
    assert isinstance(decision, Taken)
    assert (decision.accepted.value, decision.accepted.n, decision.accepted.refused) == ([70.0], 3, 2)
    kept = decision.refused
    assert kept is not None
    assert (kept.device, kept.boot, kept.seq, kept.n, kept.topic, kept.bridge) == ("dev-1", 3, 7, 2, TOPIC, "bridge")
    assert (kept.fault, kept.raw) == (None, b"")
    assert [(one.index, one.fault) for one in kept.readings] == [(1, Fault.UNKNOWN_SIGN), (2, Fault.IMPOSSIBLE)]
    assert b"170" in kept.readings[1].raw
    assert quarantine.decode(quarantine.encode(kept)) == kept


def test_a_bundle_of_which_all_is_refused_keeps_its_place_in_the_sequence(intake):
    decision = intake.judge(TOPIC, sent(reading("heart", 1.0)), NOW)
    assert isinstance(decision, Taken)
    assert (decision.accepted.value, decision.accepted.n, decision.accepted.refused) == ([], 1, 1)


@pytest.mark.parametrize(
    ("topic", "payload", "fault", "place"),
    [
        (TOPIC, b"\xff\xff", Fault.UNDECODABLE, (None, None, None)),
        (TOPIC, sent(reading())[:-10], Fault.UNDECODABLE, (3, 7, 1)),
        (TOPIC, sent(reading(), n=2), Fault.WRONG_COUNT, (3, 7, 2)),
        (TOPIC, sent(reading()) + b" " * wire.MAX_BYTES, Fault.OVERSIZED, (3, 7, 1)),
        (TOPIC, sent(reading(), device="dev-2"), Fault.DEVICE_MISMATCH, (None, None, None)),
        (topics.bundle_topic("dev-9"), sent(reading(), device="dev-9"), Fault.UNBOUND, (3, 7, 1)),
        (f"{topics.MQTT_ROOT}/dev-1/other", b"?", Fault.UNDECODABLE, (None, None, None)),
        (f"{topics.MQTT_ROOT}/-not a device-/bundle", b"?", Fault.DEVICE_MISMATCH, (None, None, None)),
        (topics.mark_topic("player"), b'{"now_ns":"noon"}', Fault.UNDECODABLE, (None, None, None)),
    ],
)
def test_a_message_that_is_refused_whole_is_kept_whole(intake, topic, payload, fault, place):
    kept = intake.judge(topic, payload, NOW)
    assert isinstance(kept, Quarantined)
    assert (kept.fault, kept.raw, kept.size, kept.topic, kept.received_ns) == (fault, payload, len(payload), topic, NOW)
    assert (kept.boot, kept.seq, kept.n) == place
    assert quarantine.decode(quarantine.encode(kept)) == kept


def test_of_a_message_that_no_record_can_hold_the_first_part_is_kept(intake):
    kept = intake.judge(TOPIC, bytes(KEPT_BYTES + 5), NOW)
    assert isinstance(kept, Quarantined)
    assert (len(kept.raw), kept.size) == (KEPT_BYTES, KEPT_BYTES + 5)


def test_marks_and_our_own_probes_are_told_apart(intake):
    assert intake.judge(topics.mark_topic("player"), b'{"now_ns":5}', NOW) == Mark("player", 5)
    assert intake.judge(f"{topics.MQTT_ROOT}/bridge/probe", b"x", NOW) == Probe(b"x")
    other = intake.judge(f"{topics.MQTT_ROOT}/dev-1/probe", b"x", NOW)
    assert isinstance(other, Quarantined), "a device cannot move our time"


def test_whatever_goes_wrong_inside_is_a_refusal_and_says_no_value(intake, monkeypatch, caplog):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ingest.intake.check", broken)
    with caplog.at_level(logging.DEBUG):
        kept = intake.judge(TOPIC, sent(reading(value=71.25)), NOW)
    assert isinstance(kept, Quarantined)
    assert (kept.fault, kept.why) == (Fault.UNDECODABLE, "the receiver failed on it: ZeroDivisionError")
    assert "could not be judged" in caplog.text
    assert "71.25" not in caplog.text
    assert "p-1" not in caplog.text
