"""Keeps the audit: everything people were told, said and did, and every alarm event, as one chain in one file.

Facts come from Kafka (`topics.AUDIT`, `topics.ALARMS`, `topics.REGISTRY`), whoever wrote them there. The file is only
ever added to. Where a line stood in Kafka is part of it, so that nothing is written twice after a kill; a last line
that was cut off is taken away and read again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import topics
from vitals.audit import FIRST, Checked, Line, encode, follow, hash_of

log = logging.getLogger(__name__)

_WHAT: Final = {topics.AUDIT.name: "entry", topics.ALARMS.name: "event", topics.REGISTRY.name: "registry"}
_WAIT_S: Final = 10.0
_NO_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")


class ChainBroken(Exception):  # noqa: N818  # says what it is
    """The file's chain does not hold; the text names the first line and says what to do."""


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, without newlines; what a kill cut off at the end is none."""
    with path.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                yield raw[:-1]


class AuditFile:
    """The file, opened for adding to it.

    Args:
        path: Where.
        noted: A head that was noted elsewhere; the chain must come by it.

    Attributes:
        path: Where.
        checked: How far it holds: all of it.
        positions: (topic, partition) -> offset of the first record that does not stand in it.
    """

    def __init__(self, path: Path, noted: str = "") -> None:
        self.path = path
        self._noted = noted
        self.checked = Checked(0, FIRST)
        self.positions: dict[tuple[str, int], int] = {}

    def open(self) -> None:
        """Check what is there.

        Raises:
            ChainBroken: If it does not hold.
            OSError: If it cannot be read.
        """
        self.path.touch()
        self._mend()
        seen = not self._noted or self._noted == FIRST
        for line, checked in follow(lines_of(self.path)):
            self.checked = checked
            if (broken := checked.broken) is not None:
                raise ChainBroken(
                    f"line {broken.line} of {self.path.name} {broken.why}. Move the file away, keep it, and start again"
                )
            self.positions[line.topic, line.partition] = line.offset + 1
            seen = seen or checked.head == self._noted
        if not seen:
            raise ChainBroken(
                f"{self.path.name} ends before the line that was noted last, or was written anew. "
                "Move the file away, keep it, and start again"
            )

    def _mend(self) -> None:
        data = self.path.stat().st_size
        with self.path.open("r+b") as file:
            keep = data
            while keep:
                file.seek(keep - 1)
                if file.read(1) == b"\n":
                    break
                keep -= 1
            file.truncate(keep)

    def add(self, records: Iterable[Record]) -> int:
        """Add facts and flush them to the disk.

        Returns:
            How many were new.
        """
        out: list[bytes] = []
        positions = dict(self.positions)
        at = self.checked
        for record in records:
            place = (record.topic, record.partition)
            if record.offset < positions.get(place, 0):
                continue
            positions[place] = record.offset + 1
            raw = encode(
                Line(
                    seq=at.lines + 1,
                    prev=at.head,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    what=_WHAT[record.topic],
                    body=_body(record.value),
                )
            )
            out.append(raw)
            at = Checked(at.lines + 1, hash_of(raw))
        if out:
            self._write(b"\n".join(out) + b"\n")
        self.checked, self.positions = at, positions
        return len(out)

    def _write(self, data: bytes) -> None:
        """All of it or nothing: a full disk leaves half a line, which what comes next must not be added to."""
        with self.path.open("ab") as file:
            ended = file.tell()
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), ended)
                raise

    def begin_anew(self, ends: Mapping[tuple[str, int], int]) -> list[str]:
        """Read from its beginning what ends before it was read to: that Kafka is another one.

        Args:
            ends: (topic, partition) -> offset of the next record that will come there.

        Returns:
            The topics.
        """
        anew = [place for place, end in ends.items() if end < self.positions.get(place, 0)]
        self.positions |= dict.fromkeys(anew, 0)
        return sorted({topic for topic, _ in anew})


def _body(value: bytes | None) -> msgspec.Raw:
    """A record's JSON as it stands, in one line; what is none is kept in hexadecimal: nothing is left out."""
    if value is not None:
        with suppress(msgspec.DecodeError):
            msgspec.json.decode(value)
            # Within a string JSON has no bare line break: all that are here stand between its words.
            return msgspec.Raw(value.translate(_NO_BREAKS).strip())
    return msgspec.Raw(msgspec.json.encode(None if value is None else value.hex()))


class Keeper:
    """Follows the topics into the file.

    Attributes:
        file: The file.
    """

    def __init__(self, kafka: KafkaSettings, file: AuditFile) -> None:
        """Nothing is read before `follow`; the file is open."""
        self._kafka = kafka
        self.file = file

    async def follow(self, came_round: Callable[[], None] = lambda: None) -> None:
        """Keep until cancelled, or until Kafka or the disk fails.

        Args:
            came_round: Called while it goes on.
        """
        async with TopicReader(self._kafka, tuple(_WHAT), begin="latest") as reader:
            anew = self.file.begin_anew(await reader.end_offsets())
        if anew:
            log.error("Kafka was made anew: %s are kept from their beginning, behind what is there", ", ".join(anew))
        async with TopicReader(self._kafka, tuple(_WHAT), offsets=self.file.positions, compacted=True) as reader:
            while True:
                found = await reader.read(timeout_s=_WAIT_S / 2)
                if found:
                    await asyncio.to_thread(self.file.add, found)
                else:
                    # An unreachable broker is silent as a quiet ward is; this asks which of the two it is.
                    async with asyncio.timeout(_WAIT_S):
                        await reader.end_offsets()
                came_round()

    async def behind(self) -> bool:
        """Whether Kafka holds more than the file does."""
        async with TopicReader(self._kafka, tuple(_WHAT), begin="latest") as reader:
            end = await reader.end_offsets()
        return any(offset > self.file.positions.get(place, 0) for place, offset in end.items())
