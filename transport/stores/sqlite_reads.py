"""What the SQLite store answers: one connection that only reads, beside the one that writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import numpy as np

from transport.stores import sqlite_schema as sql
from transport.stores.base import Counts, FrameSeries, HopWindow, Last, Series, StoredEvent
from transport.stores.sqlite_errors import available
from transport.stores.sqlite_ledger import load_ledger
from vitals.alarm_fold import Fold, OpenAlarm
from vitals.envelope import Envelope
from vitals.events import SCORES, event_decoder
from vitals.hops import Histogram
from vitals.ledger import Ledger
from vitals.reading import USABLE_UP_TO, ByteArray, FloatArray, IntArray
from vitals.signs import HOUR_NS, N_SIGNS, Sign

_FOREVER = 2**63 - 1
_stamps: msgspec.json.Decoder[dict[str, int]] = msgspec.json.Decoder(dict[str, int])


def _columns(rows: list[tuple[Any, ...]], *kinds: type[np.generic]) -> list[Any]:
    """Rows as arrays; NULL becomes NaN in columns of floats."""
    if not rows:
        return [np.empty(0, kind) for kind in kinds]
    return [np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]


class SqliteReads:
    """The answering half of `transport.stores.sqlite.SqliteStore`.

    Args:
        reader: A connection of its own: a long answer never holds up a write.
    """

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._reading = threading.Lock()

    def close(self) -> None:
        """See `Store`."""
        self._reader.close()

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._reading, available():
            return self._reader.execute(statement, values).fetchall()

    def _number(self, name: str) -> int:
        """The number of a name; -1, which is nobody's, where it was never seen."""
        found = self._ask("SELECT id FROM name WHERE text = ?", (name,))
        return int(found[0][0]) if found else -1

    def _names(self, numbers: Iterable[int]) -> dict[int, str]:
        return {n: str(self._ask("SELECT text FROM name WHERE id = ?", (n,))[0][0]) for n in sorted(set(numbers))}

    def patients(self) -> list[str]:
        """See `Store`."""
        numbers = self._ask("SELECT patient FROM latest UNION SELECT DISTINCT patient FROM frame")
        return sorted(self._names(number for (number,) in numbers).values())

    def last(self, patients: Collection[str] | None = None) -> Last:
        """See `Store`."""
        names = sorted(self.patients() if patients is None else set(patients))
        rows = [(name, *row) for name in names for row in self._ask(sql.GET_LATEST, (self._number(name),))]
        devices = self._names(row[5] for row in rows)
        sign, time_ns, value, quality = _columns(
            [(row[1], row[2], row[3], row[4]) for row in rows], np.uint8, np.int64, np.float64, np.uint8
        )
        return Last([row[0] for row in rows], sign, time_ns, value, quality, [devices[row[5]] for row in rows])

    def series(self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int) -> dict[Sign, Series]:
        """See `Store`."""
        wanted = msgspec.json.encode([int(sign) for sign in signs]).decode()
        rows = self._ask(sql.GET_SERIES, (self._number(patient), from_ns, to_ns, wanted))
        sign, *columns = _columns(rows, np.uint8, np.int64, np.float64, np.uint8, np.int64, np.int64)
        return {s: self._series(*(column[sign == s] for column in columns)) for s in signs}

    def envelope(
        self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int, width_ns: int
    ) -> dict[Sign, Envelope]:
        """See `Store`."""
        wanted = msgspec.json.encode([int(sign) for sign in signs]).decode()
        asked = (self._number(patient), from_ns, to_ns, int(USABLE_UP_TO), wanted, from_ns, width_ns)
        sign, *columns = _columns(
            self._ask(sql.GET_ENVELOPE, asked), np.uint8, np.int64, np.float64, np.float64, np.float64
        )
        return {s: Envelope(*(column[sign == s] for column in columns)) for s in signs}

    def _series(
        self, time_ns: IntArray, value: FloatArray, quality: ByteArray, device: IntArray, received_ns: IntArray
    ) -> Series:
        numbers, index = np.unique(device, return_inverse=True)
        names = self._names(numbers.tolist())
        return Series(time_ns, value, quality, index.astype(np.int64), received_ns, tuple(names.values()))

    def frames(self, patient: str, from_ns: int, to_ns: int) -> FrameSeries:
        """See `Store`."""
        number = self._number(patient)
        rows = self._ask(sql.GET_FRAMES, (number, from_ns, to_ns))
        end_ns, start_ns = _columns([(row[1], row[2]) for row in rows], np.int64, np.int64)
        scores = np.array([row[6:-1] for row in rows], np.float64).reshape(-1, 2 * len(SCORES))
        detectors: dict[str, FloatArray] = {}
        for end, name, score in self._ask(sql.GET_DETECTORS, (number, from_ns, to_ns)):
            column = detectors.setdefault(name, np.full(len(rows), np.nan))
            column[np.searchsorted(end_ns, end)] = np.nan if score is None else score
        return FrameSeries(
            start_ns,
            end_ns,
            value=np.frombuffer(b"".join(row[3] for row in rows), "<f8").reshape(-1, N_SIGNS),
            measured=np.frombuffer(b"".join(row[4] for row in rows), np.bool_).reshape(-1, N_SIGNS),
            age_ns=np.frombuffer(b"".join(row[5] for row in rows), "<i8").reshape(-1, N_SIGNS),
            low=scores[:, : len(SCORES)],
            high=scores[:, len(SCORES) :],
            missing=np.array([row[-1] for row in rows], np.int64),
            detectors=detectors,
        )

    def watched(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """See `Store`."""
        found: dict[str, list[tuple[int, int]]] = {}
        for patient, start_ns, long_ns in self._ask(sql.GET_WATCHED, (from_ns, to_ns, HOUR_NS)):
            found.setdefault(patient, []).append((start_ns, start_ns + long_ns))
        return found

    def alarm_events(
        self, patient: str | None = None, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[StoredEvent]:
        """See `Store`."""
        span = (-_FOREVER if from_ns is None else from_ns, _FOREVER if to_ns is None else to_ns)
        if patient is None:
            rows = self._ask(sql.GET_EVENTS, span)
        else:
            rows = self._ask(sql.GET_EVENTS_OF, (self._number(patient), *span))
        return [StoredEvent(event_decoder.decode(body), _stamps.decode(stamps)) for body, stamps in rows]

    def open_alarms(self, patient: str | None = None) -> list[OpenAlarm]:
        """See `Store`."""
        rows = self._ask(sql.GET_OPEN) if patient is None else self._ask(sql.GET_OPEN_OF, (self._number(patient),))
        fold = Fold()
        for (body,) in rows:
            fold.apply(event_decoder.decode(body))
        return sorted(fold.open.values(), key=lambda alarm: (alarm.raised_ns, alarm.alarm_id))

    def hops(self, from_ns: int, to_ns: int) -> list[HopWindow]:
        """See `Store`."""
        rows = self._ask(sql.GET_HOPS, (from_ns, to_ns))
        return [HopWindow(part, hop, at_ns, Histogram.from_bytes(body)) for part, hop, at_ns, body in rows]

    def ledger(self) -> Ledger:
        """See `Store`."""
        with self._reading, available():
            self._reader.execute("BEGIN")  # a fold between two of its questions would count facts twice or not at all
            try:
                return load_ledger(self._reader)
            finally:
                self._reader.execute("COMMIT")

    def settled(self, topic: str, partition: int) -> int | None:
        """See `Store`."""
        found = self._ask("SELECT place FROM settled WHERE topic = ? AND part = ?", (self._number(topic), partition))
        return int(found[0][0]) if found else None

    def books(self, prefix: str) -> dict[str, bytes]:
        """See `Store`."""
        return dict(self._ask(sql.GET_BOOKS, (len(prefix), prefix)))

    def rejected(self) -> dict[str, int]:
        """See `Store`: there is nothing that it would not take."""
        return {}

    def counts(self) -> Counts:
        """See `Store`."""
        tables = ("reading", "frame", "alarm_event", "hop")
        return Counts(*(int(self._ask(f"SELECT count(*) FROM {table}")[0][0]) for table in tables))  # noqa: S608
