"""``teleward record``: what a live stack received, from Kafka, as a recording that replays to the same alarms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from transport.captures import write_capture
from transport.kafka import KafkaError, KafkaSettings, Record, TopicReader
from vitals import block, quarantine, topics
from vitals import log as records
from vitals.block import BlockError
from vitals.capture import Capture, LogRecord, RefusedRecord, Said, assemble
from vitals.digest import digest, ordered
from vitals.events import AlarmEvent, event_decoder, event_encoder
from vitals.log import Binding, Enrolment, Limit, LogError, Tick
from vitals.quarantine import QuarantineError
from vitals.reading import Block

OnProgress = Callable[[int, int], None]

_LOOK: Final = 200  # records read at a place to find a tick there: nearly every group ends in one
_CONNECT_S: Final = 15.0


class RecordError(RuntimeError):
    """Nothing could be recorded; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """What is recorded.

    Attributes:
        kafka: ``host:port``.
        out: File to write, ``.parquet``.
        from_ns: First ward time that counts; None: from the beginning of what Kafka keeps.
        to_ns: First ward time that does not count any more; None: up to now.
        alarms: File for the live alarm events as JSON Lines; None writes none.
    """

    kafka: str
    out: Path
    from_ns: int | None = None
    to_ns: int | None = None
    alarms: Path | None = None


def time_of(text: str) -> int:
    """A time as people write it (``2026-03-01T22:00``, with ``Z`` or an offset; local else), or nanoseconds.

    Raises:
        ValueError: If it is neither.
    """
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 2026-03-01T22:00, or nanoseconds UTC") from None
    whole = at.astimezone(UTC)
    return int(whole.timestamp()) * 1_000_000_000 + whole.microsecond * 1000


async def run_record(settings: RecordSettings, on_progress: OnProgress) -> dict[str, Any]:
    """Record, and give the summary.

    Raises:
        RecordError: If Kafka does not answer, or holds nothing of that time.
        RecordingError: If the file's name is wrong.
    """
    began = time.monotonic()
    kafka = KafkaSettings(settings.kafka, client_id="teleward-record")
    reader = TopicReader(kafka, (topics.INPUT.name,), compacted=True)
    try:
        async with asyncio.timeout(_CONNECT_S):
            await reader.start()
    except (KafkaError, TimeoutError) as error:
        await reader.stop()
        raise RecordError(
            f"no Kafka with a ward's topics at {settings.kafka} ({type(error).__name__}); is the stack up? "
            "Name it with --kafka HOST:PORT"
        ) from error
    try:
        capture, events = await _capture(kafka, reader, settings, on_progress)
    finally:
        await reader.stop()
    if not capture.bundles.bundles and not capture.between:
        raise RecordError("the log holds nothing of that time; ask `teleward doctor` what it holds")
    await asyncio.to_thread(write_capture, settings.out, capture)
    if settings.alarms is not None:
        lines = b"".join(event_encoder.encode(event) + b"\n" for event in ordered(events))
        settings.alarms.write_bytes(lines)
    ticks = capture.ticks
    return {
        "out": str(settings.out),
        "whole": capture.whole,
        "patients": len(capture.bundles.patients),
        "devices": len(capture.bundles.devices),
        "bundles": capture.bundles.bundles,
        "readings": capture.readings,
        "refused": int(capture.bundles.refused.sum()),
        "refused_whole": sum(isinstance(r, quarantine.Quarantined) for _, r in capture.between),
        "said": sum(isinstance(r, Said) for _, r in capture.between),
        "from_ns": int(ticks[0]) if len(ticks) else None,
        "to_ns": int(ticks[-1]) if len(ticks) else None,
        "events": len(events),
        "digest": capture.events,
        "wall_s": round(time.monotonic() - began, 2),
    }


async def _capture(
    kafka: KafkaSettings, reader: TopicReader, settings: RecordSettings, on_progress: OnProgress
) -> tuple[Capture, list[AlarmEvent]]:
    end = await reader.end_offsets()
    begin = dict(reader.positions)
    if settings.from_ns is not None:
        begin = {
            place: await _first_after(kafka, place, begin[place], offset, settings.from_ns)
            for place, offset in end.items()
        }
    first = dict(reader.positions)
    whole = all(begin[place] <= first[place] for place in end) and not any(first.values())
    log = await _log(kafka, begin, end, settings.to_ns, on_progress)
    at_ms = (min((r.at_ms for r in log), default=0), max((r.at_ms for r in log), default=0))
    quarantined = [
        found
        for found in map(_refused, await _all(kafka, topics.QUARANTINE.name))
        if found is not None and at_ms[0] - 1000 <= found.at_ms <= at_ms[1] + 1000
    ]
    standing = [] if whole else await _standing(kafka, settings.from_ns)
    ticks = [r.record.now_ns for r in log if isinstance(r.record, Tick)]
    told = await _events(kafka, log)
    capture = assemble(log, quarantined, standing, whole=whole, events=digest(told) if ticks else "")
    return capture, told


async def _first_after(kafka: KafkaSettings, place: tuple[str, int], low: int, high: int, time_ns: int) -> int:
    """The first offset behind which ward time is not before an instant: ticks only rise, so it is searched for."""
    end = high
    while high - low > _LOOK:
        middle = (low + high) // 2
        ticks = [r for r in await _some(kafka, place, middle, end) if r[1] is not None]
        if not ticks:  # no tick near: go back to where there is one
            high = middle
        elif (ticks[0][1] or 0) < time_ns:
            low = ticks[0][0]
        else:
            high = middle
    for offset, now_ns in await _some(kafka, place, low, end, 2 * _LOOK):
        if now_ns is not None and now_ns >= time_ns:
            return offset
    return high


async def _some(
    kafka: KafkaSettings, place: tuple[str, int], offset: int, end: int, count: int = _LOOK
) -> list[tuple[int, int | None]]:
    """Offsets from one on, each with the time of the tick that stands there, if one does."""
    if offset >= end:
        return []
    out: list[tuple[int, int | None]] = []
    async with TopicReader(
        kafka, (place[0],), offsets={place: offset}, partitions=(place[1],), compacted=True
    ) as reader:
        while len(out) < count and offset + len(out) < end:
            for record in await reader.read(timeout_s=1.0, at_most=count):
                tick = _decoded(record) if record.header(records.HEADER) == b"tick" else None
                out.append((record.offset, tick.now_ns if isinstance(tick, Tick) else None))
            if not out:
                return []
    return out


async def _log(
    kafka: KafkaSettings,
    begin: dict[tuple[str, int], int],
    end: dict[tuple[str, int], int],
    to_ns: int | None,
    on_progress: OnProgress,
) -> list[LogRecord]:
    out: list[LogRecord] = []
    over: set[int] = set()
    left = {place for place, offset in end.items() if begin[place] < offset}
    total = sum(end[place] - begin[place] for place in left)
    done = 0
    async with TopicReader(kafka, (topics.INPUT.name,), offsets=begin, compacted=True) as reader:
        while left:
            for record in await reader.read(timeout_s=1.0):
                place = (record.topic, record.partition)
                if place not in left:
                    continue
                done += 1
                if record.offset + 1 >= end[place]:
                    left.discard(place)
                found = _decoded(record)
                if isinstance(found, Tick) and to_ns is not None and found.now_ns >= to_ns:
                    over.add(record.partition)
                    left.discard(place)
                if found is not None and record.partition not in over:
                    out.append(LogRecord(record.partition, record.offset, record.timestamp_ms, found))
            on_progress(done, total)
    return out


def _decoded(record: Record) -> Block | records.Small | None:
    """What a record is; None for what monitoring put aside too."""
    try:
        if record.header(records.HEADER) == records.BLOCK:
            return block.decode(record.value or b"")
        return records.decode(record.value or b"")
    except (BlockError, LogError):
        return None


def _refused(record: Record) -> RefusedRecord | None:
    try:
        return RefusedRecord(record.timestamp_ms, quarantine.decode(record.value or b""))
    except QuarantineError:
        return None


async def _all(kafka: KafkaSettings, topic: str) -> list[Record]:
    async with TopicReader(kafka, (topic,), compacted=True) as reader:
        return await reader.read_to_end()


async def _standing(kafka: KafkaSettings, before_ns: int | None) -> list[Said]:
    """What the registry said before an instant: newest by key, in order."""
    newest: dict[bytes, Said] = {}
    for record in await _all(kafka, topics.REGISTRY.name):
        try:
            said = records.decode(record.value or b"")
        except LogError:
            continue
        key = record.key or b""
        if isinstance(said, Binding | Enrolment | Limit):
            at_ns = said.from_ns if isinstance(said, Binding) else said.at_ns
            if before_ns is None or at_ns < before_ns:
                newest.pop(key, None)
                newest[key] = said
    return list(newest.values())


async def _events(kafka: KafkaSettings, log: list[LogRecord]) -> list[AlarmEvent]:
    """The alarm events that the records brought about: each event names the record that caused it."""
    causes = {f"{r.partition}:{r.offset}".encode() for r in log}
    found = [r for r in await _all(kafka, topics.ALARMS.name) if r.header("cause") in causes]
    unique: dict[str, AlarmEvent] = {}
    for record in found:
        event = event_decoder.decode(record.value or b"")
        unique.setdefault(event.event_id, event)
    return list(unique.values())
