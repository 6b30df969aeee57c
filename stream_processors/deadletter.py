"""What cannot be judged -> the dead-letter topic, with the reason, so that it never stops or skips the others."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

from vitals import block, topics
from vitals import log as records
from vitals.block import BlockError
from vitals.limit_rules import RULE_INDEX

UNREADABLE: Final = (BlockError, records.LogError)


def read(message: Any) -> records.Record:
    """A record of the one log, from its bytes.

    Raises:
        BlockError, LogError: If it is none, or one that the ward can't take.
    """
    if kind_of(message) == records.BLOCK:
        return block.decode(message.value)
    record = records.decode(message.value or b"")
    if isinstance(record, records.Limit) and record.rule not in RULE_INDEX:
        raise records.LogError(f"{record.rule!r} is no rule with a limit of its own")
    return record


def kind_of(message: Any) -> bytes | None:
    """Its header ``type``; None where it has none."""
    kind: bytes | None = dict(message.headers or {}).get(records.HEADER)
    return kind


def where(error: BaseException) -> str:
    """An error for a log: its kind and place, never its text, which may quote what a patient's record holds."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


async def put(producer: Any, message: Any, reason: str) -> None:
    """Write a record down with why it was not judged; returns when Kafka has it.

    Args:
        producer: A started producer of `transport.kafka`.
        message: As it came from the input topic.
        reason: In words; may quote the record, beside which it stands.
    """
    headers = [
        ("reason", reason.encode()),
        ("origin", f"{message.topic}:{message.partition}:{message.offset}".encode()),
        (records.HEADER, kind_of(message) or b""),
    ]
    await producer.send_and_wait(topics.DEADLETTER.name, message.value or b"", headers=headers)
