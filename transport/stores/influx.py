"""The store of the real stack: InfluxDB 1.8 or 2.x, by its write API of version 2 and by InfluxQL.

A batch is points of several measurements and one change of the books (`influx_books`), which is written last and is
whole or not there. Until it stands the batch does not count; by then a part of its points may stand, and the same
points written again change nothing. Two kinds of points would not be the same again, and are looked up first: a
reading whose equal another bundle had brought (`influx_first`), and an alarm event at an instant where the patient has
another one: it stands at the next free nanosecond, and its exact time is a field.

One process writes to a database at a time, and `begin`s where another may have written before it; any number reads.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from influxdb_client.rest import ApiException

from transport.stores import influx_columns as columns
from transport.stores.base import Batch, Counts, Readiness, StoredEvent, StoreUnavailable
from transport.stores.influx_books import Books
from transport.stores.influx_first import Newest
from transport.stores.influx_http import InfluxHttp, InfluxSettings, QueryError, later, quoted
from transport.stores.influx_reads import SLOTS, InfluxReads
from vitals import measurements as m
from vitals.hops import Stamp
from vitals.measurements import Policy
from vitals.reading import IntArray

_READ_ONLY_S: Final = 30.0


class InfluxStore(InfluxReads):
    """A store in one database of InfluxDB; see `transport.stores.base.Store` for what each method promises.

    The database, its retention policies or buckets must be there (`deploy.influx_setup`).

    Args:
        settings: Which server, and how it is written.
        read_only: For pages and commands beside the process that writes.
    """

    def __init__(self, settings: InfluxSettings, *, read_only: bool = False) -> None:
        super().__init__(InfluxHttp(settings))
        self._settings = settings
        self._read_only = read_only
        self._lock = threading.Lock()
        self._newest: Newest | None = None  # None: what the store holds was not asked yet, or is in doubt
        self._books: Books | None = None
        self._told: dict[str, tuple[int, ...]] = {}  # device -> sums of the ledger told last
        self._rejected: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Store`."""
        self._http.close()

    def ready(self) -> Readiness:
        """See `Store`."""
        try:
            (found,) = self._http.ask([f"SHOW RETENTION POLICIES ON {_identifier(self._settings.database)}"])
        except (StoreUnavailable, QueryError) as error:
            return Readiness(ready=False, why=str(error))
        there = set(found[0].columns["name"]) if found else set()
        missing = [policy for policy in Policy if policy not in there]
        why = f"InfluxDB lacks the retention policies {', '.join(missing)}: set it up first" if missing else ""
        return Readiness(ready=not missing, why=why)

    def rejected(self) -> dict[str, int]:
        """See `Store`."""
        return dict(self._rejected)

    def begin(self) -> None:
        """See `Store`."""
        with self._lock:
            self._newest = self._books = None

    def write(self, batch: Batch) -> None:
        """See `Store`."""
        if self._read_only:
            raise StoreUnavailable("this store was opened for reading only", _READ_ONLY_S)
        with self._lock:
            newest, books = self._known()
            rejected: Counter[str] = Counter()
            sifted = newest.sift(batch.blocks, self._http) if batch.blocks else None
            equal: Sequence[IntArray] = ()
            if sifted is not None:
                ends = np.cumsum([record.block.bundles for record in batch.blocks])
                equal = np.split(sifted.equal, ends[:-1])
            turn = books.turn(batch, equal)
            # Everything is made before anything is sent: what cannot be said leaves nothing behind.
            raw = [columns.vitals(sifted, newest), *columns.bundles(batch.blocks)] if sifted is not None else []
            raw += columns.health(batch.health)
            raw += [columns.states(batch.states)] if batch.states else []
            raw += [columns.hops(batch.hops)] if batch.hops else []
            long = [rows for frames in batch.frames for rows in columns.frames(frames)]
            events = self._placed(batch.events)
            long += [columns.events(events)] if events else []
            body = turn.body()
            for policy, parts in ((Policy.RAW, raw), (Policy.LONG, long)):
                if parts:
                    self._http.write(policy, pa.concat_arrays(parts), rejected)
            if sifted is not None:  # before all of it stands, too: what may stand is asked for
                newest.note(sifted)
            self._post_books(body)
            turn.done()
            self._rejected += rejected
            if batch.ledger_at_ns is not None:
                self._tell_ledger(books, batch.ledger_at_ns)

    def _known(self) -> tuple[Newest, Books]:
        """What the store holds, asked for once, and again when an answer was lost."""
        if self._newest is None:
            newest = Newest()
            newest.load(self._http)
            self._newest = newest
        if self._books is None:
            books = Books(self._settings.fold_at)
            books.load(self._http)
            self._books = books
        return self._newest, self._books

    def _post_books(self, body: bytes) -> None:
        if not body:
            return
        try:
            self._http.post(Policy.BOOKS, body)
        except (ApiException, StoreUnavailable) as error:
            # It may stand all the same, and need not come again: the store has settled it. Whoever went on from the
            # books as they were would write what follows over it.
            self._books = None
            raise (later(error) if isinstance(error, ApiException) else error) from None

    def _placed(self, events: Sequence[StoredEvent]) -> list[tuple[StoredEvent, int]]:
        """Events that do not stand in the store yet, and the instant at which each will.

        One that comes again with the stamp of when it was stored goes over its own point.
        """
        if not events:
            return []
        times: dict[str, list[int]] = {}
        for stored in events:
            times.setdefault(stored.event.patient, []).append(stored.event.at_ns)
        found = self._http.ask(
            [
                f'SELECT "event_id" FROM {m.ALARM_EVENTS.source} WHERE "patient" = {quoted(patient)} '
                f"AND time >= {min(at)} AND time < {max(at) + SLOTS}"
                for patient, at in times.items()
            ]
        )
        there: dict[str, int] = {}
        taken: set[tuple[str, int]] = set()
        for patient, answer in zip(times, found, strict=True):
            for rows in answer:
                there.update(zip(rows.columns["event_id"], rows.columns["time"], strict=True))
                taken.update((patient, at) for at in rows.columns["time"])
        placed = []
        for stored in events:
            event = stored.event
            if event.event_id in there:
                if Stamp.STORED in stored.stamps:
                    placed.append((stored, there[event.event_id]))
                continue
            at = event.at_ns
            while (event.patient, at) in taken:
                at += 1
            there[event.event_id] = at
            taken.add((event.patient, at))
            placed.append((stored, at))
        return placed

    def _tell_ledger(self, books: Books, at_ns: int) -> None:
        """Sums of the devices of which something came since they were told last. For people: no offset waits for it."""
        rows = {row.device: row for row in books.ledger.rows()}
        told = {d: tuple(getattr(row, name) for name in m.LEDGER.fields) for d, row in rows.items()}
        changed = [rows[device] for device, sums in told.items() if self._told.get(device) != sums]
        if changed:
            self._http.write(Policy.LONG, columns.ledger(changed, at_ns), self._rejected)
            self._told = told

    def forget(self, *, readings_before_ns: int | None = None, events_before_ns: int | None = None) -> Counts:
        """See `Store`. Retention policies do this by themselves; here it is asked for."""
        readings = frames = events = hops = 0
        with self._lock:
            if readings_before_ns is not None:
                before = self.counts()
                for what in (m.VITALS, m.BUNDLES, m.FRAMES, m.SCORES, m.HOPS):
                    self._http.delete(what, readings_before_ns)
                after = self.counts()
                readings, frames = before.readings - after.readings, before.frames - after.frames
                hops = before.hops - after.hops
                self._newest = None
            if events_before_ns is not None:
                events = self._forget_events(events_before_ns)
        return Counts(readings, frames, events, hops)

    def _forget_events(self, before_ns: int) -> int:
        """Take away events of alarms that are closed and have none since."""
        still = {alarm.alarm_id for alarm in self.open_alarms()}
        (found,) = self._http.ask([f'SELECT "alarm_id", "at_ns", "patient"::tag FROM {m.ALARM_EVENTS.source}'])
        rows: list[tuple[Any, ...]] = []
        for one in found:
            rows += zip(*(one.columns[name] for name in ("alarm_id", "at_ns", "patient", "time")), strict=True)
        newest: dict[str, int] = {}
        for alarm_id, at_ns, _, _ in rows:
            newest[alarm_id] = max(at_ns, newest.get(alarm_id, at_ns))
        old = [row for row in rows if row[0] not in still and newest[row[0]] < before_ns]
        for _, _, patient, at in old:
            self._http.delete(m.ALARM_EVENTS, at + 1, from_ns=at, patient=patient)
        return len(old)


def _identifier(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
