"""Bindings, enrolments and limits: who wears what, and which ward is told."""

from __future__ import annotations

import pytest

from ingest.registry import Registry
from vitals import log
from vitals.log import Binding, Command, Enrolment, Limit, LogError
from vitals.topics import partition_of

PARTITIONS = 16
A, B = "p-1", "p-2"
HOME = {name: partition_of(name, PARTITIONS) for name in (A, B)}


def binding(patient: str, from_ns: int, to_ns: int | None = None) -> Binding:
    return Binding(device="dev-1", patient=patient, from_ns=from_ns, to_ns=to_ns)


def test_every_record_is_copied_to_the_ward_of_its_patient():
    assert HOME[A] != HOME[B], "the tests below need two partitions"
    registry = Registry(PARTITIONS)
    said = [
        binding(A, 0),
        Enrolment(patient=A, state="admitted", at_ns=1),
        Limit(patient=A, rule="spo2-low", threshold=88.0, at_ns=1, by="dr-1", reason="COPD"),
    ]
    assert [registry.apply(record) for record in said] == [[(HOME[A], record)] for record in said]
    assert registry.bindings.patient_at("dev-1", 5) == A


def test_a_device_that_moves_on_leaves_the_ward_it_was_in():
    registry = Registry(PARTITIONS)
    registry.apply(binding(A, 0))
    assert registry.apply(binding(B, 100)) == [(HOME[A], binding(A, 0, 100)), (HOME[B], binding(B, 100))]
    assert registry.bindings.patient_at("dev-1", 99) == A
    assert registry.bindings.patient_at("dev-1", 100) == B


def test_a_binding_that_had_ended_is_not_ended_again():
    registry = Registry(PARTITIONS)
    registry.apply(binding(A, 0, 50))
    assert registry.apply(binding(B, 100)) == [(HOME[B], binding(B, 100))]


def test_the_same_binding_again_is_copied_and_changes_nothing():
    registry = Registry(PARTITIONS)
    registry.apply(binding(A, 0))
    assert registry.apply(binding(A, 0)) == [(HOME[A], binding(A, 0))]
    assert registry.bindings.patient_at("dev-1", 5) == A


def test_an_older_binding_that_is_said_late_ends_nothing():
    registry = Registry(PARTITIONS)
    registry.apply(binding(B, 100))
    assert registry.apply(binding(A, 0)) == [(HOME[A], binding(A, 0))]
    assert registry.apply(binding(A, 200)) == [(HOME[B], binding(B, 100, 200)), (HOME[A], binding(A, 200))]


def test_what_has_no_place_in_the_registry_is_refused():
    registry = Registry(PARTITIONS)
    command = Command(command_id="c", patient=A, alarm_id="a", action="acknowledge", by="dr-1")
    with pytest.raises(LogError, match="Command"):
        registry.read(log.encode(command)[1])
    with pytest.raises(LogError):
        registry.read(b"{}")
    assert registry.read(None) is None
    assert registry.read(log.encode(binding(A, 0))[1]) == binding(A, 0)
