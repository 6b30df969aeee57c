"""What must outlive the page about who is let in: sessions that were ended early, and links made for carers.

A file of JSON lines. Each is on the disk before whoever asked is answered, so that a restart, however sudden, neither
lets a signed-out session in again nor a link work twice. What is over is left out when the file is read at a start.
Without a file all is kept in memory, and a link or a carer's session of an earlier process opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec


class SessionBookError(ValueError):
    """The file cannot be read or written; the message says where and why."""


class Ended(msgspec.Struct, frozen=True, tag_field="what", tag="ended"):
    """A session opens nothing any more.

    Attributes:
        session: Names it.
        ends_s: When its cookie would have ended by itself, seconds of the wall.
    """

    session: str
    ends_s: float


class Pass(msgspec.Struct, frozen=True, tag_field="what", tag="pass", omit_defaults=True, kw_only=True):
    """A link to one patient's own page, and what became of it; a newer line of the same id takes its place.

    Attributes:
        id: Names it, and never opens anything.
        patient: Whom it shows.
        by: Who made it.
        made_s: When, seconds of the wall.
        ends_s: Until when it may be used; once used, until when it lets in.
        used_s: When somebody came in by it; None: nobody has.
        taken_back_by: Who took it back; "": nobody has.
    """

    id: str
    patient: str
    by: str
    made_s: float
    ends_s: float
    used_s: float | None = None
    taken_back_by: str = ""


_Line: TypeAlias = Ended | Pass
_decoder = msgspec.json.Decoder(_Line)


class SessionBook:
    """Ended sessions and passes.

    Args:
        file: Where they are kept; None: in memory alone.
        now_s: The wall clock, in seconds.

    Raises:
        SessionBookError: If the file cannot be read or written.
    """

    def __init__(self, file: Path | None, now_s: Callable[[], float]) -> None:
        self._file = file
        self._now_s = now_s
        self._ended: dict[str, float] = {}
        self._passes: dict[str, Pass] = {}
        if file is not None:
            self._read(file)

    def end(self, session: str, ends_s: float) -> None:
        """A session opens nothing any more.

        Raises:
            SessionBookError: If that could not be written down.
        """
        self._forget()
        self._ended[session] = ends_s
        self._keep(Ended(session, ends_s))

    def ended(self, session: str) -> bool:
        """Whether a session was ended."""
        return session in self._ended

    def put(self, made: Pass) -> None:
        """A pass was made, used or taken back.

        Raises:
            SessionBookError: If that could not be written down; then it did not happen.
        """
        self._forget()
        self._keep(made)
        self._passes[made.id] = made

    def get(self, name: str) -> Pass | None:
        """A pass that is not over; None where there is none."""
        held = self._passes.get(name)
        return held if held is not None and held.ends_s > self._now_s() else None

    def of(self, patient: str) -> list[Pass]:
        """The passes of a patient that still open something, newest first."""
        now = self._now_s()
        mine = (p for p in self._passes.values() if p.patient == patient and p.ends_s > now and not p.taken_back_by)
        return sorted(mine, key=lambda p: -p.made_s)

    def _forget(self) -> None:
        now = self._now_s()
        self._ended = {name: ends for name, ends in self._ended.items() if ends > now}
        self._passes = {name: held for name, held in self._passes.items() if held.ends_s > now}

    def _keep(self, line: _Line) -> None:
        if self._file is None:
            return
        try:
            self._append(self._file, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise SessionBookError(f"{self._file}: {error.strerror}") from error

    @staticmethod
    def _append(file: Path, data: bytes) -> None:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(opened, data)
            os.fsync(opened)
        finally:
            os.close(opened)

    def _read(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_bytes() if file.exists() else b""
            for number, line in enumerate(text.splitlines(), 1):
                self._take(line, f"{file}, line {number}", whole=number < text.count(b"\n") + 1)
            self._forget()
            lines = [Ended(name, ends) for name, ends in self._ended.items()] + list(self._passes.values())
            fresh = file.with_suffix(file.suffix + ".new")
            fresh.unlink(missing_ok=True)
            self._append(fresh, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            fresh.replace(file)
        except OSError as error:
            raise SessionBookError(f"{file}: {error.strerror}") from error

    def _take(self, line: bytes, where: str, *, whole: bool) -> None:
        try:
            told = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError) as error:
            if not whole:  # a power cut in the middle of writing: nobody was answered for it
                return
            raise SessionBookError(f"{where}: {error}") from error
        if isinstance(told, Ended):
            self._ended[told.session] = told.ends_s
        else:
            self._passes[told.id] = told
