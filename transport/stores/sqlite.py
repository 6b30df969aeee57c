"""The store of the embedded stack: one SQLite file.

Write-ahead log, so that pages read while storing writes; one transaction for each batch; every commit reaches the disk
before `write` returns. What makes it fast is that a batch arrives as columns, is sorted by the tables' keys, and goes
in by one prepared statement for each table.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import numpy as np

from transport.stores import sqlite_schema as sql
from transport.stores.base import Batch, BlockRecord, Counts, HopWindow, Readiness, StoredEvent, StoreUnavailable
from transport.stores.sqlite_errors import FULL_S, available
from transport.stores.sqlite_ledger import load_ledger
from transport.stores.sqlite_reads import SqliteReads
from vitals.events import Frames, event_encoder
from vitals.reading import FloatArray, IntArray

_BUNDLE: Final = ("patient", "device", "boot", "seq", "received_ns", "accepted")


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """How the file is used.

    Attributes:
        busy_s: How long a write waits for another process's lock before it says that the store is unavailable.
        cache_mb: Pages kept in memory, for each of the two connections.
        durable: True: a written batch survives a power cut. False: only a crash of the process.
        fold_at: How many facts for the ledger may stand one by one before they are added up.
        max_pages: The file may not grow beyond so many pages of 4 KiB; 0 without limit.
    """

    busy_s: float = 5.0
    cache_mb: int = 32
    durable: bool = True
    fold_at: int = 200_000
    max_pages: int = 0

    def __post_init__(self) -> None:
        if self.busy_s < 0 or self.cache_mb < 1 or self.fold_at < 1 or self.max_pages < 0:
            raise ValueError(f"settings of the SQLite store out of range: {self}")


class SqliteStore(SqliteReads):
    """A store in one SQLite file; see `transport.stores.base.Store` for what each method promises.

    Args:
        path: The file; made where there is none.
        settings: How it is used.
        read_only: For pages and commands beside the process that writes: never makes or changes anything.

    Raises:
        StoreUnavailable: If the file cannot be opened.
        ValueError: If the file is of another version of this program.
    """

    def __init__(self, path: str | Path, settings: SqliteSettings | None = None, *, read_only: bool = False) -> None:
        self._path = Path(path)
        self._settings = settings or SqliteSettings()
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._deliveries = 0
        self._writer: sqlite3.Connection | None = None
        with available():
            if not read_only:
                self._writer = self._open_writer()
            super().__init__(self._connect("ro"))
        try:
            self._check_version()
        except BaseException:
            self.close()
            raise

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        # Used by one thread at a time, under a lock, though not always the one that opened it.
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._settings.busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"PRAGMA cache_size = {-1024 * self._settings.cache_mb}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        db = self._connect("rwc")
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if self._settings.durable else 'NORMAL'}")
            db.execute("PRAGMA wal_autocheckpoint = 4000")
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute(sql.INCOMING)
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                for statement in sql.TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {sql.VERSION}")
            db.execute("COMMIT")
            if self._settings.max_pages:
                db.execute(f"PRAGMA max_page_count = {self._settings.max_pages}")
            (self._deliveries,) = db.execute("SELECT count(*) FROM delivery").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _check_version(self) -> None:
        (version,) = self._ask("PRAGMA user_version")[0]
        if version != sql.VERSION:
            raise ValueError(f"{self._path}: a store of version {version}, this program knows {sql.VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """See `Store`."""
        super().close()
        if self._writer is not None:
            self._writer.close()

    def ready(self) -> Readiness:
        """See `Store`."""
        try:
            self._ask("SELECT 1 FROM name LIMIT 1")
            if self._writer is not None and not self._lock.locked():  # locked: it is writing just now
                with self._transaction():
                    pass
        except (StoreUnavailable, sqlite3.Error) as error:
            return Readiness(ready=False, why=str(error))
        return Readiness(ready=True)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing."""
        if self._writer is None:
            raise StoreUnavailable("this store was opened for reading only", FULL_S)
        with self._lock, available():
            self._writer.execute("BEGIN IMMEDIATE")
            deliveries = self._deliveries
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # Numbers given to names in this transaction are gone with it.
                self._ids.clear()
                self._deliveries = deliveries
                if self._writer.in_transaction:  # a full disk has rolled back already
                    self._writer.execute("ROLLBACK")
                raise

    def begin(self) -> None:
        """See `Store`. Nothing that may change is remembered."""

    def write(self, batch: Batch) -> None:
        """See `Store`."""
        with self._transaction() as db:
            if batch.blocks:
                self._put_blocks(db, batch.blocks)
            rows = [(*self._place(db, r.origin), msgspec.msgpack.encode(r.refusal)) for r in batch.refusals]
            db.executemany(sql.PUT_REFUSAL, rows)
            for frames in batch.frames:
                self._put_frames(db, frames)
            self._put_events(db, batch.events)
            db.executemany(sql.PUT_HOP, [_hop_row(window) for window in batch.hops])
            db.executemany(sql.PUT_BOOK, batch.books.items())
            db.executemany(sql.PUT_SETTLED, [self._place(db, origin) for origin in batch.settled])
            if self._deliveries >= self._settings.fold_at:
                self._fold(db)

    def _id(self, db: sqlite3.Connection, name: str) -> int:
        """The number of a name; a fresh one at first sight."""
        known = self._ids.get(name)
        if known is None:
            db.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (name,))
            known = self._ids[name] = int(db.execute("SELECT id FROM name WHERE text = ?", (name,)).fetchone()[0])
        return known

    def _numbered(self, db: sqlite3.Connection, names: Sequence[str]) -> IntArray:
        return np.array([self._id(db, name) for name in names], np.int64)

    def _place(self, db: sqlite3.Connection, origin: Any) -> tuple[int, int, int]:
        return self._id(db, origin.topic), origin.partition, origin.offset

    def _put_blocks(self, db: sqlite3.Connection, records: Sequence[BlockRecord]) -> None:
        """Readings, and the facts of their bundles for the ledger."""
        columns: dict[str, list[IntArray]] = {name: [] for name in _BUNDLE}
        bundles = 0
        for record in records:
            block = record.block
            n = block.offsets[1:] - block.offsets[:-1]
            numbers = self._numbered(db, block.patients)[block.patient], self._numbered(db, block.devices)[block.device]
            told = (*numbers, block.boot, block.seq, block.received_ns, n)
            for name, column in zip(_BUNDLE, told, strict=True):
                columns[name].append(column)
            bundles += block.bundles
        bundle = {name: np.concatenate(parts) for name, parts in columns.items()}
        of = np.repeat(np.arange(bundles), bundle["accepted"])
        rows = [
            bundle["patient"][of],
            np.concatenate([record.block.time_ns for record in records]),
            np.concatenate([record.block.sign for record in records]).astype(np.int64),
            bundle["device"][of],
            np.concatenate([record.block.value for record in records]),
            np.concatenate([record.block.quality for record in records]),
            *(bundle[name][of] for name in ("boot", "seq", "received_ns")),
        ]
        # In the order of the key, pages fill one after the other; stable, so that the first of equals stays first.
        order = np.lexsort(rows[3::-1])
        ordered = [column[order].tolist() for column in rows]
        before = db.total_changes
        db.executemany(sql.PUT_READING, zip(*ordered, strict=True))  # NaN goes in as NULL
        equal = np.zeros(bundles, np.int64)
        if db.total_changes - before < len(order):
            equal = _equal(db, ordered, of[order], bundles)
        db.executemany(sql.PUT_LATEST, _latest(*rows[:6]))
        self._put_facts(db, records, bundle["device"], np.stack([bundle["accepted"], equal]))

    def _put_facts(
        self, db: sqlite3.Connection, records: Sequence[BlockRecord], device: IntArray, accepted_equal: IntArray
    ) -> None:
        rows: list[tuple[int, ...]] = []
        first = 0
        for record in records:
            block, place = record.block, self._place(db, record.origin)
            own = slice(first, first + block.bundles)
            first += block.bundles
            facts = (block.boot, block.seq, block.n, block.n_before, block.refused, *accepted_equal[:, own])
            values = zip(device[own].tolist(), *(column.tolist() for column in facts), strict=True)
            rows += [(*place, row, *value) for row, value in enumerate(values)]
        before = db.total_changes
        db.executemany(sql.PUT_DELIVERY, rows)
        self._deliveries += db.total_changes - before

    def _put_frames(self, db: sqlite3.Connection, frames: Frames) -> None:
        who = self._numbered(db, frames.patients).tolist()
        # Explicit byte order: the file may move to another machine.
        arrays = (frames.value.astype("<f8"), frames.measured.astype(np.uint8), frames.age_ns.astype("<i8"))
        scores = np.concatenate([frames.low, frames.high], axis=1).tolist()
        rows = [
            (patient, frames.end_ns, frames.start_ns, *(a[i].tobytes() for a in arrays), *scores[i], missing)
            for i, (patient, missing) in enumerate(zip(who, frames.missing.tolist(), strict=True))
        ]
        db.executemany(sql.PUT_FRAME, rows)
        for j, name in enumerate(frames.detectors):
            detector, score = self._id(db, name), frames.detector[:, j].tolist()
            db.executemany(sql.PUT_DETECTOR, [(p, frames.end_ns, detector, s) for p, s in zip(who, score, strict=True)])

    def _put_events(self, db: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
        for stored in events:
            e = stored.event
            patient, stamps = self._id(db, e.patient), msgspec.json.encode(dict(stored.stamps))
            row = (e.event_id, e.alarm_id, e.n, patient, e.at_ns, e.rule, e.kind, e.priority, e.event)
            db.execute(sql.PUT_EVENT, (*row, event_encoder.encode(e), stamps))
            if e.event != "command_refused":  # says nothing about the alarm, which perhaps never was
                db.execute(sql.PUT_ALARM, (e.alarm_id, e.n, patient, e.event == "closed"))

    def _fold(self, db: sqlite3.Connection) -> None:
        """Add up the facts that stand one by one; the ledger remembers which records it saw."""
        db.execute(sql.PUT_LEDGER, (load_ledger(db).to_bytes(),))
        db.execute("DELETE FROM delivery")
        db.execute("DELETE FROM refusal")
        self._deliveries = 0

    def forget(self, *, readings_before_ns: int | None = None, events_before_ns: int | None = None) -> Counts:
        """See `Store`. A transaction for each patient: writers wait for milliseconds, not for all of it."""
        readings = frames = hops = events = 0
        if readings_before_ns is not None:
            before = readings_before_ns
            for (patient,) in self._ask("SELECT DISTINCT patient FROM latest"):
                readings += self._take("reading WHERE patient = ? AND time_ns < ?", patient, before)
                self._take("latest WHERE patient = ? AND time_ns < ?", patient, before)
            for (patient,) in self._ask("SELECT DISTINCT patient FROM frame"):
                self._take("detector_score WHERE patient = ? AND end_ns < ?", patient, before)
                frames += self._take("frame WHERE patient = ? AND end_ns < ?", patient, before)
            hops = self._take("hop WHERE at_ns < ?", before)
        if events_before_ns is not None:
            events = self._take(sql.OLD_EVENTS, events_before_ns)
            self._take("alarm WHERE alarm_id NOT IN (SELECT alarm_id FROM alarm_event)")
        return Counts(readings, frames, events, hops)

    def _take(self, what: str, *values: int) -> int:
        with self._transaction() as db:
            return db.execute(f"DELETE FROM {what}", values).rowcount  # noqa: S608  # `what` is text of this module


def _equal(db: sqlite3.Connection, ordered: list[list[Any]], of: IntArray, bundles: int) -> IntArray:
    """For each bundle, how many of its readings are not the stored ones: another bundle brought them, or it itself.

    A reading remembers which bundle brought it, so that the same batch again gives the same answer.
    """
    db.execute("DELETE FROM incoming")
    db.executemany("INSERT INTO incoming VALUES (?,?,?,?,?)", zip(range(len(of)), *ordered[:4], strict=True))
    stored = np.array(db.execute(sql.GET_STORED).fetchall(), np.int64).reshape(-1, 2)
    db.execute("DELETE FROM incoming")
    mine = (stored[:, 0] == ordered[6]) & (stored[:, 1] == ordered[7])
    keys = np.array([*ordered[:4], of], np.int64)
    again = np.zeros(len(of), bool)
    again[1:] = (keys[:, 1:] == keys[:, :-1]).all(axis=0)  # the same reading twice in one bundle
    return np.bincount(of[~mine | again], minlength=bundles)


def _latest(
    patient: IntArray, time_ns: IntArray, sign: IntArray, device: IntArray, value: FloatArray, quality: IntArray
) -> Iterator[tuple[Any, ...]]:
    """The newest reading of each patient and sign, as rows of their table; of equal times the first given."""
    order = np.lexsort((-np.arange(len(time_ns)), time_ns, sign, patient))
    group = np.stack([patient[order], sign[order]])
    last = order[np.r_[(group[:, 1:] != group[:, :-1]).any(axis=0), np.ones(min(len(order), 1), bool)]]
    return zip(*(column[last].tolist() for column in (patient, sign, time_ns, value, quality, device)), strict=True)


def _hop_row(window: HopWindow) -> tuple[str | int | float | bytes, ...]:
    told = window.histogram
    middle = (told.count, told.mean_ns, *told.percentiles(50, 95, 99), told.max_ns)
    return (window.part, window.hop, window.at_ns, *middle, told.to_bytes())
