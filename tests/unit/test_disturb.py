"""Faults of the way and copies of patients: decided by seed and bundle alone."""

from __future__ import annotations

import pytest

from device_sim import ScenarioError
from device_sim.disturb import Disturbance, Disturbances, Restart, disturbed, load_disturbances
from device_sim.multiply import multiplied, new_name
from device_sim.recorded import Outgoing
from device_sim.turns import Turn
from vitals import wire
from vitals.log import Binding, Command, Tick
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.wire import SentBundle, SentReading


def bundle(device: str, seq: int, at_s: int) -> Outgoing:
    readings = [SentReading(sign="hr", value=70.0, time_ns=at_s * SECOND_NS)]
    told = SentBundle(device=device, boot=0, seq=seq, sent_ns=at_s * SECOND_NS, n=1, n_before=seq, readings=readings)
    return Outgoing(device, wire.encode(told, "msgpack"), 1)


def turns(devices: tuple[str, ...] = ("a", "b"), seconds: int = 200) -> list[Turn]:
    out: list[Turn] = []
    for at_s in range(0, seconds, 10):
        out.append(Tick(now_ns=at_s * SECOND_NS))
        out += [bundle(device, at_s // 10, at_s) for device in devices]
    return out


def hit(*faults: Disturbance, seed: int = 1, what: list[Turn] | None = None) -> list:
    return list(disturbed(turns() if what is None else what, Disturbances(seed, faults)))


def names(played: list) -> list[tuple[str, int]]:
    return [(t.device, wire.decode(t.payload).header.seq) for t in played if isinstance(t, Outgoing)]


def test_nothing_wrong_changes_nothing():
    assert hit() == turns()


def test_what_is_lost_does_not_depend_on_who_else_is_played():
    fault = Disturbance("lost", rate=0.5)
    alone = names(hit(fault, what=turns(("a",))))
    assert 3 < len(alone) < 17
    assert [name for name in names(hit(fault)) if name[0] == "a"] == alone
    assert names(hit(fault, seed=2, what=turns(("a",)))) != alone


def test_a_time_and_a_device_bound_a_fault():
    played = names(hit(Disturbance("lost", "a", 50 * SECOND_NS, 100 * SECOND_NS)))
    assert [seq for device, seq in played if device == "a"] == [*range(5), *range(10, 20)]
    assert len([1 for device, _ in played if device == "b"]) == 20


def test_what_is_delayed_comes_at_an_instant_of_its_own_and_time_goes_there_first():
    played = hit(Disturbance("delayed", "a", by_ns=25 * SECOND_NS), what=turns(("a",)))
    now = -1
    for turn in played:
        if isinstance(turn, Tick):
            assert turn.now_ns > now
            now = turn.now_ns
        else:
            sent = wire.decode(turn.payload).header.sent_ns
            assert turn.received_ns == now
            assert 0 < now - sent <= 25 * SECOND_NS + 1
    assert sorted(names(played)) == [("a", seq) for seq in range(20)]


def test_twice_and_reordered():
    assert len(names(hit(Disturbance("twice", by_ns=SECOND_NS)))) == 80
    late = names(hit(Disturbance("reordered", "a", rate=0.3, by_ns=15 * SECOND_NS), what=turns(("a",))))
    assert sorted(late) == names(turns(("a",)))
    assert late != names(turns(("a",)))


def test_a_clock_that_is_wrong_moves_what_the_device_says_not_when_it_comes():
    fault = Disturbance("clock", "a", offset_ns=20 * SECOND_NS, drift_ppm=1000)
    played = [t for t in hit(fault, what=turns(("a",))) if isinstance(t, Outgoing)]
    header = wire.decode(played[10].payload).header
    assert header.sent_ns == 100 * SECOND_NS + 20 * SECOND_NS + SECOND_NS // 10
    assert played[10].received_ns is None


def test_a_restart_comes_at_its_time():
    played = hit(Disturbance("restart", from_ns=45 * SECOND_NS, broker="kafka"))
    place = played.index(Restart("kafka"))
    assert played[place + 1] == Tick(now_ns=50 * SECOND_NS)


def test_a_file_is_read_and_its_mistakes_are_told_by_line(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text("seed: 4\nfaults:\n  - {fault: delayed, rate: 0.5, by: 30s, at: 1m, for: 2m}\n")
    told = load_disturbances(file)
    assert told.seed == 4
    (fault,) = told.faults
    assert (fault.kind, fault.rate, fault.by_ns, fault.from_ns) == ("delayed", 0.5, 30 * SECOND_NS, MINUTE_NS)
    assert fault.to_ns == 3 * MINUTE_NS
    file.write_text("faults:\n  - {fault: lost, rate: 2}\n  - {fault: eaten}\n  - {fault: restart}\n")
    with pytest.raises(ScenarioError) as failed:
        load_disturbances(file)
    assert [line.split(":")[1] for line in str(failed.value).splitlines()] == ["2", "3", "4"]


def test_copies_have_names_of_their_own_and_come_later():
    said = Binding(device="a", patient="p-1", from_ns=0)
    played = list(multiplied([lambda: [said, *turns(("a",))]] * 3, seed=9))
    devices = {t.device for t in played if isinstance(t, Outgoing)}
    assert devices == {"a", new_name("d", "a", 1, 9), new_name("d", "a", 2, 9)}
    patients = [t.patient for t in played if isinstance(t, Binding)]
    assert patients == ["p-1", new_name("p", "p-1", 1, 9), new_name("p", "p-1", 2, 9)]
    ticks = [t.now_ns for t in played if isinstance(t, Tick)]
    assert ticks == sorted(set(ticks))
    assert played == list(multiplied([lambda: [said, *turns(("a",))]] * 3, seed=9))
    first = {t.device: wire.decode(t.payload).header for t in reversed(played) if isinstance(t, Outgoing)}
    assert all(header.device == device for device, header in first.items())
    assert len({header.sent_ns for header in first.values()}) > 1


def test_a_copy_of_a_command_is_about_the_copy_of_the_alarm():
    said = Command(command_id="c", patient="p-1", alarm_id="p-1:battery-low@a:60", action="acknowledge", by="dr")
    _, copy = [t for t in multiplied([lambda: [said]] * 2, seed=9, commands=True) if isinstance(t, Command)]
    patient, rule, at = copy.alarm_id.split(":")
    assert (patient, rule) == (new_name("p", "p-1", 1, 9), f"battery-low@{new_name('d', 'a', 1, 9)}")
    assert (int(at) - 60) % MINUTE_NS == 0
    assert copy.command_id != "c"
