"""``teleward replay --diff OTHER.jsonl``: what another run told otherwise, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.replay_source import Source
from device_sim.recorded import Outgoing
from vitals import wire
from vitals.alarm_diff import Reading, compare, decode_events, wanted_readings
from vitals.events import AlarmEvent
from vitals.recording import RecordingError
from vitals.wire import Incoming, SentReading


def differences_from(path: Path, events: list[AlarmEvent], source: Source) -> dict[str, Any]:
    """Compare with the events of another run.

    Args:
        path: Its events as JSON Lines: the old run.
        events: Of the new run.
        source: What the new run was given: says which evidence it had.

    Raises:
        RecordingError: If the file holds something else.
    """
    try:
        old = decode_events(path.read_bytes().splitlines())
    except ValueError as error:
        raise RecordingError(f"{path}: {error}; write it with `teleward replay --alarms`") from error
    played = _played(source, wanted_readings([*old, *events]))
    same, changes = compare(old, events, played)
    counts = {word: sum(c.change == word for c in changes) for word in ("came", "went", "moved", "changed")}
    return {"same": same, **counts, "changes": [change.as_dict() for change in changes]}


def _played(source: Source, wanted: set[Reading]) -> dict[Reading, float | None]:
    """Which of some readings the recording holds, as it is played, with their values."""
    found: dict[Reading, float | None] = {}
    devices = {device for device, _, _ in wanted}
    for turn in source.turns():
        if not isinstance(turn, Outgoing) or turn.device not in devices:
            continue
        read = wire.decode(turn.payload)
        if not isinstance(read, Incoming):
            continue
        for reading in read.readings:
            if isinstance(reading, SentReading) and (turn.device, reading.sign, reading.time_ns) in wanted:
                value = float(reading.value) if isinstance(reading.value, int | float) else None
                found[turn.device, reading.sign, reading.time_ns] = value
    return found
