"""``teleward bind | admit | pause | discharge``: what people say about patients and devices, into the registry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Literal, cast

import msgspec

from deploy.ward_process import RegistryRecord, say
from stream_processors.paging.probe import ProbeSettings, bindings
from transport.kafka import KafkaSettings, make_producer, read_all
from vitals import log as records
from vitals import topics
from vitals.log import Binding, Enrolment
from vitals.signs import HOUR_NS, SECOND_NS


class RegistryError(ValueError):
    """What was said makes no sense; the message says what to do."""


def bind_device(kafka: str, device: str, patient: str, period_s: float, *, end: bool) -> dict[str, Any]:
    """Bind a device to a patient from now on; with `end`, nobody wears it from now on.

    Raises:
        RegistryError: If a name cannot be one, or the device is not worn by this patient and should be taken off.
    """
    _checked(device, "device")
    _checked(patient, "patient")
    if not period_s > 0:
        raise RegistryError(f"--period is {period_s:g}; it is how many seconds lie between two bundles, above 0")
    now = time.time_ns()
    from_ns, to_ns = now, None
    if end:
        worn = [b for b in asyncio.run(_bindings(kafka)) if b.device == device and b.to_ns is None]
        if not worn or worn[-1].patient != patient:
            raise RegistryError(f"{patient} does not wear {device} now; nothing was changed")
        from_ns, to_ns = worn[-1].from_ns, now
    return _say(
        kafka,
        Binding(device=device, patient=patient, from_ns=from_ns, to_ns=to_ns, period_ns=int(period_s * SECOND_NS)),
    )


def enrol(
    kafka: str, patient: str, state: str, *, by: str, reason: str, hours: float | None, scale: int
) -> dict[str, Any]:
    """Admit, pause or discharge a patient.

    Raises:
        RegistryError: If the name cannot be one, nobody says it, or a pause has no reason.
    """
    _checked(patient, "patient")
    if not by:
        raise RegistryError("who says so? give --by NAME: it stands beside every pause and discharge")
    if state == "paused" and not reason:
        raise RegistryError("a pause needs a reason: --reason TEXT; it is shown on the page")
    if scale not in {1, 2}:
        raise RegistryError(f"--scale is {scale}; it is 1, or 2 on a clinician's documented decision")
    now = time.time_ns()
    return _say(
        kafka,
        Enrolment(
            patient=patient,
            state=cast("Literal['admitted', 'paused', 'discharged']", state),
            at_ns=now,
            by=by,
            reason=reason,
            until_ns=None if hours is None else now + int(hours * HOUR_NS),
            spo2_scale=2 if scale == 2 else 1,
        ),
    )


async def enrol_test_patient(kafka: KafkaSettings, now_ns: int, settings: ProbeSettings) -> None:
    """Have the registry know the test patient and its device; what it knows already is not said again.

    Args:
        kafka: Where the registry is.
        now_ns: Ward time.
        settings: How it behaves.

    Raises:
        KafkaError: If the registry cannot be reached.
    """
    found = await read_all(kafka, topics.REGISTRY.name, compacted=True)
    said = [records.decode(record.value) for record in found if record.value]
    states = [s.state for s in said if isinstance(s, Enrolment) and s.patient == topics.SYNTHETIC]
    worn = [s for s in said if isinstance(s, Binding) and s.device == topics.SYNTHETIC_DEVICE and s.to_ns is None]
    enrolment, binding = bindings(now_ns, settings)
    missing: list[RegistryRecord] = [] if states[-1:] == ["admitted"] else [enrolment]
    if not any((b.patient, b.period_ns) == (binding.patient, binding.period_ns) for b in worn[-1:]):
        missing.append(binding)
    await _write(kafka, missing)


def _checked(name: str, what: str) -> None:
    if not topics.PATIENT_ID.fullmatch(name):
        raise RegistryError(f"{name!r} cannot be a {what}: letters, digits, '.', '_' and '-', at most 64 of them")


async def _bindings(kafka: str) -> list[Binding]:
    found = await read_all(KafkaSettings(kafka), topics.REGISTRY.name, compacted=True)
    said = [records.decode(record.value) for record in found if record.value]
    return sorted((b for b in said if isinstance(b, Binding)), key=lambda b: b.from_ns)


def _say(kafka: str, record: RegistryRecord) -> dict[str, Any]:
    asyncio.run(_write(KafkaSettings(kafka), [record]))
    told: dict[str, Any] = msgspec.to_builtins(record)
    return told


async def _write(kafka: KafkaSettings, said: Iterable[RegistryRecord]) -> None:
    producer = make_producer(kafka)
    await producer.start()
    try:
        for record in said:
            await say(producer, record)
    finally:
        await producer.stop()
