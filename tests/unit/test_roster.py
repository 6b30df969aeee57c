"""Who is watched, who wears which device since when, and when each was last heard."""

from __future__ import annotations

import numpy as np
import pytest
from wards import SentBundle, block, ns

from vitals.log import Binding, Enrolment
from vitals.roster import DEFAULT_PERIOD_NS, NEVER, NOBODY, Roster
from vitals.sequence import Bundles
from vitals.signs import SECOND_NS
from vitals.tables import pack, unpack


def bound(device: str, patient: str, from_s: float, to_s: float | None = None, period_s: float = 10) -> Binding:
    return Binding(
        device=device,
        patient=patient,
        from_ns=ns(from_s),
        to_ns=None if to_s is None else ns(to_s),
        period_ns=round(period_s * SECOND_NS),
    )


def enrolled(patient: str, state: str, until_s: float | None = None, **more: object) -> Enrolment:
    return Enrolment(
        patient=patient, state=state, at_ns=ns(0), until_ns=None if until_s is None else ns(until_s), **more
    )


def heard(roster: Roster, *sent: SentBundle) -> None:
    rows = block(sent)
    patients, devices = roster.rows_of(rows.patients, rows.devices, ns(0))
    columns = {
        name: getattr(rows, name) for name in ("boot", "seq", "sent_ns", "received_ns", "n", "battery_pct", "queued")
    }
    roster.hear(
        Bundles(
            patient=patients[rows.patient], device=devices[rows.device], offsets=rows.offsets, sign=rows.sign,
            quality=rows.quality, value=rows.value, time_ns=rows.time_ns, **columns,
        )
    )  # fmt: skip


def wearer(roster: Roster, device: str, second: float) -> str:
    row = roster.devices.get(device)
    if not roster.bound(ns(second))[row]:
        return "-"
    return roster.patients.names[int(roster.devices["patient"][row])]


BINDINGS = [
    # said, in order                                                    second, wearer
    ([("d", "p-1", 0)], 5, "p-1"),
    ([("d", "p-1", 10)], 5, "-"),
    ([("d", "p-1", 10)], 10, "p-1"),
    ([("d", "p-1", 0, 20)], 19.9, "p-1"),
    ([("d", "p-1", 0, 20)], 20, "-"),
    ([("d", "p-1", 0), ("d", "p-2", 10)], 30, "p-2"),
    ([("d", "p-2", 10), ("d", "p-1", 0, 10)], 30, "p-2"),  # an older one says nothing about now
    ([("d", "p-1", 0), ("d", "p-1", 0)], 30, "p-1"),
    ([("d", "p-1", 0), ("d", "p-1", 0, 20)], 30, "-"),
]


@pytest.mark.parametrize("said, second, who", BINDINGS)
def test_who_wears_a_device(said, second, who):
    roster = Roster()
    for row in said:
        roster.bind(bound(*row), ns(0))
    assert wearer(roster, "d", second) == who


def test_the_same_binding_again_changes_nothing():
    roster = Roster()
    roster.bind(bound("d", "p-1", 0), ns(0))
    heard(roster, SentBundle("d", "p-1", 0, 33, []))
    before = pack(roster.state())
    roster.bind(bound("d", "p-1", 0), ns(50))
    assert pack(roster.state()) == before


def test_silence_is_counted_from_when_a_device_went_over():
    roster = Roster()
    roster.bind(bound("d", "p-1", 0), ns(0))
    heard(roster, SentBundle("d", "p-1", 0, 5, []))
    roster.bind(bound("d", "p-2", 100), ns(100))
    assert roster.devices["heard_ns"][0] == ns(100)
    roster.bind(bound("e", "p-2", 300), ns(100))
    assert roster.devices["heard_ns"][1] == ns(300), "worn from later on"


def test_before_the_first_tick_nothing_is_counted_and_then_from_it():
    roster = Roster()
    roster.bind(bound("d", "p-1", -1000), -1)
    roster.bind(bound("e", "p-1", 500), -1)
    assert roster.devices["heard_ns"].tolist() == [NEVER, NEVER]
    roster.begin(ns(10))
    assert roster.devices["heard_ns"].tolist() == [ns(10), ns(500)]
    assert roster.patients["since_ns"].tolist() == [ns(10)]


WATCHED = [
    # state, pause ends at, second: watched, silence excused
    ("admitted", None, 50, True, False),
    ("paused", None, 50, True, True),
    ("paused", 60, 59, True, True),
    ("paused", 60, 60, True, False),
    ("discharged", None, 50, False, True),
]


@pytest.mark.parametrize("state, until, second, watched, excused", WATCHED)
def test_who_is_watched_and_whose_silence_is_excused(state, until, second, watched, excused):
    roster = Roster()
    roster.enrol(enrolled("p-1", "admitted"), ns(0))
    roster.enrol(enrolled("p-1", state, until), ns(10))
    assert (len(roster.watched()) == 1) is watched
    assert bool(roster.may_be_silent(ns(second))[0]) is excused


def test_a_patient_known_from_a_bundle_only_is_watched():
    roster = Roster()
    heard(roster, SentBundle("d", "p-9", 0, 5, []))
    assert roster.watched().tolist() == [0]
    assert wearer(roster, "d", 5) == "p-9"
    assert roster.devices["period_ns"].tolist() == [DEFAULT_PERIOD_NS]


def test_age_sex_and_scale_are_kept_until_something_else_is_said():
    roster = Roster()
    roster.enrol(enrolled("p-1", "admitted", age=71.0, sex="m", spo2_scale=2), ns(0))
    roster.enrol(enrolled("p-1", "paused"), ns(0))
    patients = roster.patients
    assert (patients["age"][0], patients["sex"][0]) == (71.0, 1.0)
    assert patients["scale"][0] == 1, "the scale is said with each enrolment: 2 only on a documented decision"


def test_what_a_bundle_tells_of_its_device():
    roster = Roster()
    heard(
        roster,
        SentBundle("d", "p-1", 0, 5, [], received_s=7, battery=80),
        SentBundle("d", "p-1", 1, 15, [], received_s=16),
        SentBundle("d", "p-1", 2, 20, [], received_s=500, queued=3),
    )
    devices = roster.devices
    assert devices["battery"].tolist() == [80.0], "a bundle that does not tell leaves what was told"
    assert devices["offset_ns"].tolist() == [1 * SECOND_NS], "a queue says nothing about the clock"
    assert devices["heard_ns"].tolist() == [ns(500)]


def test_devices_rank_by_their_ids_however_they_came():
    roster = Roster()
    for device in ("c", "a", "b"):
        roster.bind(bound(device, "p-1", 0), ns(0))
    assert roster.device_rank().tolist() == [2, 0, 1]
    roster.bind(bound("a1", "p-1", 0), ns(0))
    assert roster.device_rank().tolist() == [3, 0, 2, 1]
    assert len(Roster().device_rank()) == 0


def test_the_least_over_worn_devices():
    roster = Roster()
    for device, patient in (("a", "p-1"), ("b", "p-1"), ("c", "p-2")):
        roster.bind(bound(device, patient, 0), ns(0))
    worn = np.array([True, True, False])
    assert roster.of_devices(np.array([5.0, 3.0, 1.0]), worn, 99.0).tolist() == [3.0, 99.0]


def test_it_survives_a_snapshot():
    roster = Roster()
    roster.enrol(enrolled("p-1", "paused", 60, age=50.0), ns(0))
    roster.bind(bound("d", "p-1", 0, 90), ns(0))
    again = Roster()
    again.load(unpack(pack(roster.state())))
    assert pack(again.state()) == pack(roster.state())
    assert wearer(again, "d", 89) == "p-1"
    assert NOBODY not in again.devices["patient"]
