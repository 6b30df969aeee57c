"""Devices: numbered without gaps, kept until acknowledged, the same bytes again; and each fault as it says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from sim_fakes import START_NS

from device_sim.device import Device, Sending
from device_sim.faults import BROKEN, Fault, Faults
from device_sim.kinds import KINDS, Kind
from device_sim.people import generator
from device_sim.queue import FileQueue, MemoryQueue, Queue
from vitals import wire
from vitals.faults import Fault as WireFault
from vitals.log import Binding
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Measure, Sign
from vitals.validate import Bindings, check
from vitals.wire import SentBundle

MINUTES = [START_NS + i * MINUTE_NS for i in range(24 * 60)]


def body(_t_ns: int) -> list[float]:
    values = [0.0] * len(Sign)
    for sign, value in ((Sign.HR, 71.0), (Sign.PULSE, 70.0), (Sign.SPO2, 97.0), (Sign.RESP, 15.0), (Sign.TEMP_C, 36.8)):
        values[sign] = value
    return values


def device(*faults: Fault, kind: str = "wrist", queue: Queue | None = None, start_ns: int = START_NS) -> Device:
    return Device(
        f"p-1-{kind}",
        KINDS[kind],
        body,
        Faults(faults, generator(1, "faults")),
        queue or MemoryQueue(),
        start_ns=start_ns,
        phase_ns=2 * SECOND_NS,
        battery_pct=90.0,
    )


def fault(kind: str, *, at: int = 0, until: int = 24 * 60, **more: float) -> Fault:
    return Fault("p-1-wrist", kind, MINUTES[at], MINUTES[until - 1], **more)  # type: ignore[arg-type]


def play(worn: Device, minutes: int, *, acknowledge: bool = True) -> Iterator[tuple[int, Sending]]:
    """What goes out and when."""
    end_ns = MINUTES[minutes]
    while worn.next_ns < end_ns:
        now_ns = worn.next_ns
        for sending in worn.advance(now_ns):
            yield now_ns, sending
            if acknowledge:
                worn.acknowledged(sending)


def read(payload: bytes) -> SentBundle:
    """A bundle that must be readable."""
    assert isinstance(wire.decode(payload), wire.Incoming)
    reader = msgspec.json if payload[:1] == b"{" else msgspec.msgpack
    return reader.decode(payload, type=SentBundle)


def bundles(worn: Device, minutes: int) -> list[tuple[int, SentBundle]]:
    return [(now_ns, read(sending.payload)) for now_ns, sending in play(worn, minutes)]


def test_bundles_are_numbered_without_gaps_and_count_what_went_before() -> None:
    sent = bundles(device(kind="chest"), 10)
    assert [b.seq for _, b in sent] == list(range(len(sent)))
    assert [b.n_before for _, b in sent] == [sum(b.n for _, b in sent[:i]) for i in range(len(sent))]
    assert all(b.n == len(b.readings) for _, b in sent)
    assert {b.boot for _, b in sent} == {START_NS // SECOND_NS}


def test_each_sign_is_measured_at_its_period() -> None:
    times: dict[str, list[int]] = {}
    for _, bundle in bundles(device(kind="chest"), 20):
        for reading in bundle.readings:
            times.setdefault(reading.sign, []).append(reading.time_ns)
    gaps = {sign: {b - a for a, b in pairwise(t)} for sign, t in times.items()}
    assert gaps == {"hr": {15 * SECOND_NS}, "resp": {15 * SECOND_NS}, "temp_c": {MINUTE_NS}}


def test_a_bundle_is_sent_before_its_oldest_reading_is_late() -> None:
    fast = Device(
        "d",
        KINDS["wrist"].every(SECOND_NS, 5 * SECOND_NS),
        body,
        Faults([], generator(1)),
        MemoryQueue(),
        start_ns=START_NS,
        phase_ns=0,
    )
    for now_ns, bundle in bundles(fast, 2):
        assert bundle.sent_ns == now_ns
        assert len(bundle.readings) == 10
        assert now_ns - min(r.time_ns for r in bundle.readings) < 10 * SECOND_NS


def test_what_is_not_acknowledged_stays_queued_and_what_is_does_not() -> None:
    worn = device()
    kept = [sending for _, sending in play(worn, 5, acknowledge=False)]
    assert worn.counts.queued_bundles == worn.counts.bundles == len(worn.queue.waiting()) == len(kept)
    worn.acknowledged(kept[0])
    worn.acknowledged(kept[0])
    assert worn.counts.acknowledged == 2
    assert len(worn.queue.waiting()) == len(kept) - 1


def test_a_queue_on_a_disk_outlives_the_device_and_sends_the_same_bytes_again(tmp_path: Path) -> None:
    first = device(queue=FileQueue(tmp_path / "queue"))
    lost = [sending.payload for _, sending in play(first, 3, acknowledge=False)]
    first.queue.close()

    second = device(queue=FileQueue(tmp_path / "queue"))
    again = list(play(second, 3))
    assert [s.payload for _, s in again][: len(lost)] == lost
    fresh = [read(s.payload) for _, s in again[len(lost) :]]
    assert [b.seq for b in fresh] == list(range(len(fresh)))
    assert {b.boot for b in fresh} == {START_NS // SECOND_NS + 1}, "a start of its own, though within the same second"
    assert second.counts.queued == 0
    assert second.counts.readings == 2 * (len(lost) + len(fresh))
    second.queue.close()


class Wall:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_acknowledged_goes_out_again_for_a_while_after_a_reconnect(tmp_path: Path, kind: str) -> None:
    wall = Wall()
    queue: Queue = MemoryQueue(now_s=wall) if kind == "memory" else FileQueue(tmp_path / "queue", now_s=wall)
    worn = device(queue=queue)
    early = [sending.payload for _, sending in play(worn, 3)]
    wall.s += wire.RESEND_S
    late = [sending.payload for _, sending in play(worn, 4)]
    again = worn.reconnected(MINUTES[4])
    assert [sending.payload for sending in again] == early + late
    before = worn.counts.acknowledged
    for sending in again:
        worn.acknowledged(sending)
    assert worn.counts.acknowledged == before == worn.counts.repeated
    wall.s += 1
    assert [sending.payload for sending in worn.reconnected(MINUTES[4])] == late
    wall.s += wire.RESEND_S
    assert worn.reconnected(MINUTES[4]) == []
    queue.close()


def test_what_was_acknowledged_just_before_a_restart_goes_out_again_too(tmp_path: Path) -> None:
    first = device(queue=FileQueue(tmp_path / "queue"))
    sent = [sending.payload for _, sending in play(first, 3)]
    first.queue.close()
    second = device(queue=FileQueue(tmp_path / "queue"))
    assert [sending.payload for sending in second.reconnected(START_NS)] == sent
    second.queue.close()


def test_without_a_radio_it_goes_out_again_when_that_is_back() -> None:
    worn = device(fault("offline", at=5, until=11))
    sent = [sending.payload for _, sending in play(worn, 5)]
    assert worn.reconnected(MINUTES[7]) == []
    back = [sending for _, sending in play(worn, 11)]
    again = [sending.payload for sending in back if sending.repeat]
    assert again == sent
    assert worn.reconnected(MINUTES[11])


def test_a_queue_for_a_broker_that_dies_with_the_devices_keeps_nothing() -> None:
    worn = device(queue=MemoryQueue(keep_s=0))
    assert list(play(worn, 3))
    assert worn.reconnected(MINUTES[3]) == []


def test_a_draft_on_a_disk_gets_its_send_time_when_it_is_sent_in_the_next_life(tmp_path: Path) -> None:
    first = device(fault("offline"), queue=FileQueue(tmp_path / "queue"))
    assert list(play(first, 3)) == []
    first.queue.close()
    later_ns = START_NS + HOUR_NS
    second = device(queue=FileQueue(tmp_path / "queue"), start_ns=later_ns)
    old = [read(s.payload) for s in second.advance(later_ns + SECOND_NS)]
    assert len(old) == 12
    assert all(b.sent_ns >= later_ns and b.readings[0].time_ns < later_ns for b in old)
    second.queue.close()


def test_an_hour_offline_comes_all_at_once_in_order_stamped_when_it_is_sent() -> None:
    worn = device(fault("offline", at=10, until=71))
    sent = bundles(worn, 80)
    silent = [b for now, b in sent if MINUTES[10] <= now < MINUTES[70]]
    backlog = [b for now, b in sent if MINUTES[70] <= now < MINUTES[70] + 6 * SECOND_NS]
    assert silent == []
    assert len(backlog) >= 240
    assert [b.seq for _, b in sent] == list(range(len(sent)))
    assert all(b.sent_ns >= MINUTES[70] for b in backlog)
    assert [b.queued for b in backlog[:100]] == list(range(239, 139, -1))
    assert backlog[-1].queued == 0


def test_lost_packets_are_sent_again_within_what_a_receiver_waits_for() -> None:
    worn = device(fault("lost", rate=0.5))
    sent = bundles(worn, 60)
    assert worn.faults.hits["lost"] > 50
    assert sorted(b.seq for _, b in sent) == list(range(len(sent)))
    assert all((now - b.sent_ns) % (4 * SECOND_NS) == 0 for now, b in sent)
    assert any(now > b.sent_ns for now, b in sent)


def test_a_packet_sent_twice_is_the_same_bytes_and_counts_once() -> None:
    worn = device(fault("twice", rate=0.5))
    sent = [s for _, s in play(worn, 60)]
    repeats = [s for s in sent if s.repeat]
    originals = [s for s in sent if not s.repeat]
    assert len(repeats) == pytest.approx(120, abs=30)
    assert {s.payload for s in repeats} <= {s.payload for s in originals}
    assert worn.counts.repeated == 2 * len(repeats)
    assert worn.counts.acknowledged == 2 * len(originals)


def test_reordered_packets_are_overtaken_by_later_ones_and_none_is_missing() -> None:
    sent = bundles(device(fault("reordered", rate=0.2)), 60)
    order = [b.seq for _, b in sent]
    assert order != sorted(order)
    assert sorted(order) == list(range(len(order)))


def test_a_wrong_clock_shows_in_every_time_of_the_bundle_and_drifts() -> None:
    wrong = fault("clock", at=10, until=31, offset_ns=-180 * SECOND_NS, drift_ppm=1000.0)
    for now_ns, bundle in bundles(device(wrong), 40):
        ahead_ns = bundle.sent_ns - now_ns
        if MINUTES[11] < now_ns < MINUTES[30]:
            since_ns = now_ns - MINUTES[10]
            assert ahead_ns == pytest.approx(-180 * SECOND_NS + since_ns // 1000, abs=1000)
            assert 0 <= bundle.sent_ns - bundle.readings[0].time_ns < SECOND_NS
        elif now_ns < MINUTES[10] or now_ns > MINUTES[31]:
            assert ahead_ns == 0


def test_a_sensor_that_is_off_says_so_and_gives_no_value() -> None:
    for _, bundle in bundles(device(fault("sensor-off", at=5, until=16)), 20):
        for reading in bundle.readings:
            off = MINUTES[5] <= reading.time_ns < MINUTES[15]
            assert (reading.quality == "no_contact") is off
            assert (reading.value is None) is off


def test_spikes_never_come_twice_in_a_row_so_that_a_minutes_median_stays() -> None:
    values = [b.readings[0].value for _, b in bundles(device(fault("motion", rate=0.5)), 120)]
    spiked = [isinstance(v, float) and v > 100 for v in values]
    assert sum(spiked) > 100
    assert not any(a and b for a, b in pairwise(spiked))


def test_a_dying_battery_is_low_first_then_silent_and_comes_back_as_a_new_boot() -> None:
    sent = bundles(device(fault("battery", at=60, until=91)), 120)
    low = [b.battery_pct for now, b in sent if MINUTES[30] <= now < MINUTES[60]]
    assert all(pct is not None and pct < 15 for pct in low)
    assert low == sorted(low, reverse=True)
    assert not [b for now, b in sent if MINUTES[60] <= now < MINUTES[90]]
    after = [b for now, b in sent if now >= MINUTES[90]]
    assert {b.boot for b in after} == {MINUTES[90] // SECOND_NS}
    assert after[0].seq == after[0].n_before == 0
    assert after[0].battery_pct == pytest.approx(100, abs=1)


def test_a_battery_that_dies_offline_loses_nothing_that_was_made() -> None:
    worn = device(fault("offline", at=50, until=101), fault("battery", at=60, until=91))
    boots: dict[int, list[int]] = {}
    for _, bundle in bundles(worn, 120):
        boots.setdefault(bundle.boot, []).append(bundle.seq)
    assert all(seqs == list(range(len(seqs))) for seqs in boots.values())
    assert len(boots) == 2
    assert worn.counts.queued == 0


def test_a_reboot_does_not_send_again_what_is_still_on_its_way_to_the_broker() -> None:
    worn = device(fault("battery", at=10, until=21))
    sent = [s.payload for _, s in play(worn, 30, acknowledge=False)]
    assert len(sent) == len(set(sent))


def test_broken_firmware_spoils_each_thing_a_receiver_must_refuse() -> None:
    bindings = Bindings()
    bindings.apply(Binding(device="p-1-chest", patient="p-1", from_ns=START_NS))
    worn = device(Fault("p-1-chest", "malformed", START_NS, rate=0.5), kind="chest")
    found: dict[str, int] = {}
    garbage = truncated = 0
    for now_ns, sending in play(worn, 12 * 60):
        incoming = wire.decode(sending.payload)
        if isinstance(incoming, wire.Incoming):
            checked = check(incoming, "p-1-chest", now_ns, bindings)
            assert not isinstance(checked, wire.Refused)
            assert checked.accepted.n == sending.n == len(checked.accepted.sign) + checked.accepted.refused
            for refused in checked.refused:
                found[refused.fault] = found.get(refused.fault, 0) + 1
        elif sending.key is None:
            garbage += 1
            found[incoming.fault] = found.get(incoming.fault, 0) + 1
        else:
            truncated += sending.n
            salvaged = wire.salvage_header(sending.payload)
            assert salvaged is not None
            assert salvaged.n == sending.n, "a bundle that was cut short can still be counted"
    expected = {
        WireFault.UNKNOWN_SIGN,
        WireFault.WRONG_UNIT,
        WireFault.IMPOSSIBLE,
        WireFault.NOT_FINITE,
        WireFault.FUTURE,
        WireFault.WRONG_TYPE,
        WireFault.UNDECODABLE,
        WireFault.OVERSIZED,
        WireFault.WRONG_VERSION,
    }
    assert set(found) == expected
    assert sum(found.values()) == worn.counts.broken + garbage
    assert (garbage, truncated) == (worn.counts.garbage, worn.counts.truncated)
    assert worn.faults.hits["malformed"] > len(BROKEN)


def test_kinds_whose_readings_would_be_late_before_they_are_sent_are_refused() -> None:
    with pytest.raises(ValueError, match="send at least every 10 s"):
        KINDS["wrist"].every(SECOND_NS, 30 * SECOND_NS)
    with pytest.raises(ValueError, match="not a multiple"):
        KINDS["wrist"].every(2 * SECOND_NS, 5 * SECOND_NS)
    with pytest.raises(ValueError, match="whole seconds"):
        Kind("x", "x", (Sign.HR,), SECOND_NS // 2, SECOND_NS, "json")


def test_a_kind_knows_how_often_it_tells_each_measure() -> None:
    chest = KINDS["chest"]
    assert chest.period_of(Measure.RATE) == 15 * SECOND_NS
    assert chest.period_of(Measure.TEMP_C) == MINUTE_NS
    assert chest.period_of(Measure.SBP) is None
    assert chest.every(40 * SECOND_NS).slow_ns == 80 * SECOND_NS
