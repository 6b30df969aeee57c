"""What the InfluxDB store answers. Everything is asked in InfluxQL, which 1.8 and 2.x both answer."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from transport.stores.base import Counts, FrameSeries, HopWindow, Last, Series, StoredEvent
from transport.stores.influx_books import read_alarms, read_host, read_ledger, read_settled
from transport.stores.influx_first import SIGN_NAMES
from transport.stores.influx_http import InfluxHttp, Rows, quoted
from vitals import measurements as m
from vitals.alarm_fold import OpenAlarm
from vitals.envelope import Envelope
from vitals.events import SCORES, event_decoder
from vitals.hops import Histogram
from vitals.ledger import Ledger
from vitals.reading import USABLE_UP_TO, FloatArray, IntArray
from vitals.signs import N_SIGNS, Sign

SLOTS: Final = 1_000
"""Nanoseconds after its time within which an alarm event may stand (see `influx.InfluxStore`)."""

_EDGE: Final = 1 << 62  # InfluxDB's own time ends a little later
_BITS: Final = 1 << np.arange(N_SIGNS)
_stamps: Final[msgspec.json.Decoder[dict[str, int]]] = msgspec.json.Decoder(dict[str, int])


def _span(from_ns: int | None, to_ns: int | None) -> str:
    first = -_EDGE if from_ns is None else max(from_ns, -_EDGE)
    end = _EDGE if to_ns is None else min(to_ns, _EDGE)
    return f"time >= {first} AND time < {end}"


def _any_of(tag: str, values: Collection[str]) -> str:
    return "(" + " OR ".join(f'"{tag}" = {quoted(value)}' for value in values) + ")"


def _floats(values: Sequence[Any]) -> FloatArray:
    """Numbers; NaN where a field is missing."""
    return np.array(values, np.float64)


class InfluxReads:
    """The answering half of `transport.stores.influx.InfluxStore`.

    Args:
        http: The server.
    """

    def __init__(self, http: InfluxHttp) -> None:
        self._http = http

    def _one(self, statement: str) -> list[Rows]:
        return self._http.ask([statement])[0]

    def patients(self) -> list[str]:
        """See `Store`."""
        found = self._http.ask(
            [f'SHOW TAG VALUES FROM "{name}" WITH KEY = "patient"' for name in (m.VITALS.name, m.FRAMES.name)]
        )
        return sorted({name for answer in found for rows in answer for name in rows.columns["value"]})

    def last(self, patients: Collection[str] | None = None) -> Last:
        """See `Store`."""
        where = ""
        if patients is not None:
            if not patients:
                return _last([])
            where = f"WHERE {_any_of('patient', sorted(set(patients)))} "
        found = self._one(
            f'SELECT last("quality") AS "quality", "value" FROM {m.VITALS.source} {where}'
            'GROUP BY "patient", "sign", "device"'
        )
        # Of devices that measured at the same instant the first by name: an order that does not change.
        newest: dict[tuple[str, int], tuple[int, str, Any, Any]] = {}
        for rows in (rows.whole("quality") for rows in found):
            if not len(rows):
                continue
            key = rows.tags["patient"], SIGN_NAMES.index(rows.tags["sign"])
            at, device = rows.columns["time"][0], rows.tags["device"]
            known = newest.get(key)
            if known is None or (-at, device) < (-known[0], known[1]):
                newest[key] = at, device, rows.columns["value"][0], rows.columns["quality"][0]
        return _last([(*key, *row) for key, row in sorted(newest.items())])

    def series(self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int) -> dict[Sign, Series]:
        """See `Store`."""
        if not signs:
            return {}
        found = self._one(
            f'SELECT "quality", "value", "received_ns" FROM {m.VITALS.source} WHERE "patient" = {quoted(patient)} '
            f"AND {_any_of('sign', [sign.column for sign in signs])} AND {_span(from_ns, to_ns)} "
            'GROUP BY "sign", "device"'
        )
        return {sign: _series([rows for rows in found if rows.tags["sign"] == sign.column]) for sign in signs}

    def envelope(
        self, patient: str, signs: Collection[Sign], from_ns: int, to_ns: int, width_ns: int
    ) -> dict[Sign, Envelope]:
        """See `Store`."""
        if not signs:
            return {}

        def ask(what: str, first: int, end: int, by: str) -> str:
            return (
                f'SELECT {what} FROM {m.VITALS.source} WHERE "patient" = {quoted(patient)} '
                f"AND {_any_of('sign', [sign.column for sign in signs])} AND {_span(first, end)} "
                f'AND "quality" <= {int(USABLE_UP_TO)} GROUP BY "sign"{by}'
            )

        told = 'mean("value") AS "mean", min("value") AS "min", max("value") AS "max"'
        steps = f", time({width_ns}ns, {from_ns % width_ns}ns) fill(none)"
        bounds = {rows.tags["sign"]: rows.columns for rows in self._one(ask(told, from_ns, to_ns, steps))}
        # Grouped by time, InfluxQL tells where a window begins and not when its newest reading was.
        windows = sorted({start for columns in bounds.values() for start in columns["time"]})
        newest = self._http.ask([ask('last("value")', t, min(t + width_ns, to_ns), "") for t in windows])
        last = {
            (rows.tags["sign"], start): rows.columns["time"][0]
            for start, answer in zip(windows, newest, strict=True)
            for rows in answer
        }
        return {sign: _envelope(sign.column, bounds.get(sign.column), last) for sign in signs}

    def frames(self, patient: str, from_ns: int, to_ns: int) -> FrameSeries:
        """See `Store`."""
        where = f'WHERE "patient" = {quoted(patient)} AND {_span(from_ns, to_ns)}'
        plain, scores = self._http.ask(
            [
                f"SELECT * FROM {m.FRAMES.source} {where}",
                f'SELECT "assessable", "low", "high" FROM {m.SCORES.source} {where} GROUP BY "score"',
            ]
        )
        columns = plain[0].columns if plain else {}
        n = len(columns.get("time", ()))

        def column(name: str, missing: float | None) -> Any:
            values = columns.get(name, (None,) * n)
            return _floats(values) if missing is None else np.array([missing if v is None else v for v in values], int)

        end_ns = column("time", 0)
        bounds = {rows.tags["score"]: _at(rows, end_ns) for rows in scores}
        nothing = np.full((2, n), np.nan)
        return FrameSeries(
            start_ns=column("start_ns", 0),
            end_ns=end_ns,
            value=np.array([column(name, None) for name in SIGN_NAMES]).T.reshape(n, N_SIGNS),
            measured=(column("measured", 0)[:, None] & _BITS) > 0,
            age_ns=np.array([column(f"{name}_age_ns", -1) for name in SIGN_NAMES]).T.reshape(n, N_SIGNS),
            low=np.array([bounds.get(name, nothing)[0] for name in SCORES]).T,
            high=np.array([bounds.get(name, nothing)[1] for name in SCORES]).T,
            missing=column("missing", 0),
            detectors={name: both[0] for name, both in bounds.items() if name not in SCORES},
        )

    def watched(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        """See `Store`."""
        where = f'FROM {m.FRAMES.source} WHERE {_span(from_ns, to_ns)} GROUP BY "patient"'
        by_hour, newest = self._http.ask(
            [
                f'SELECT count("start_ns") AS "frames", min("start_ns") AS "first" {where}, time(1h) fill(none)',
                f'SELECT last("start_ns") AS "start" {where}',
            ]
        )
        # A point stands at its frame's end: so long is a frame of that patient.
        long_ns = {rows.tags["patient"]: rows.columns["time"][0] - rows.columns["start"][0] for rows in newest}
        return {
            (patient := rows.tags["patient"]): [
                (first, first + frames * long_ns[patient])
                for first, frames in zip(rows.columns["first"], rows.columns["frames"], strict=True)
            ]
            for rows in by_hour
        }

    def alarm_events(
        self, patient: str | None = None, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[StoredEvent]:
        """See `Store`."""
        late = None if to_ns is None else to_ns + SLOTS
        where = "" if patient is None else f'"patient" = {quoted(patient)} AND '
        found = self._one(f'SELECT "body", "stamps" FROM {m.ALARM_EVENTS.source} WHERE {where}{_span(from_ns, late)}')
        events = [
            StoredEvent(event_decoder.decode(body), _stamps.decode(stamps))
            for rows in (rows.whole("body", "stamps") for rows in found)
            for body, stamps in zip(rows.columns["body"], rows.columns["stamps"], strict=True)
        ]
        events = [e for e in events if to_ns is None or e.event.at_ns < to_ns]
        events = [e for e in events if from_ns is None or e.event.at_ns >= from_ns]
        return sorted(events, key=lambda e: (e.event.at_ns, e.event.alarm_id, e.event.n))

    def open_alarms(self, patient: str | None = None) -> list[OpenAlarm]:
        """See `Store`."""
        alarms = read_alarms(self._http, patient).open.values()
        return sorted(alarms, key=lambda alarm: (alarm.raised_ns, alarm.alarm_id))

    def hops(self, from_ns: int, to_ns: int) -> list[HopWindow]:
        """See `Store`."""
        found = self._one(
            f'SELECT "histogram" FROM {m.HOPS.source} WHERE {_span(from_ns, to_ns)} GROUP BY "part", "hop"'
        )
        windows = [
            HopWindow(
                rows.tags["part"],
                rows.tags["hop"],
                at_ns,
                Histogram.from_bytes(zlib.decompress(base64.b64decode(histogram))),
            )
            for rows in found
            for at_ns, histogram in zip(rows.columns["time"], rows.columns["histogram"], strict=True)
        ]
        return sorted(windows, key=lambda w: (w.at_ns, w.part, w.hop))

    def ledger(self) -> Ledger:
        """See `Store`."""
        return read_ledger(self._http)

    def settled(self, topic: str, partition: int) -> int | None:
        """See `Store`."""
        return read_settled(self._http, topic, partition)

    def books(self, prefix: str) -> dict[str, bytes]:
        """See `Store`."""
        return read_host(self._http, prefix)

    def counts(self) -> Counts:
        """See `Store`."""
        asked = ((m.VITALS, "quality"), (m.FRAMES, "start_ns"), (m.ALARM_EVENTS, "event_id"), (m.HOPS, "count"))
        found = self._http.ask([f'SELECT count("{field}") FROM {what.source}' for what, field in asked])
        return Counts(*(rows[0].columns["count"][0] if rows else 0 for rows in found))


def _last(rows: list[tuple[str, int, int, str, Any, Any]]) -> Last:
    patient, sign, time_ns, device, value, quality = zip(*rows, strict=True) if rows else ((),) * 6
    return Last(
        list(patient),
        np.array(sign, np.uint8),
        np.array(time_ns, np.int64),
        _floats(value),
        np.array(quality, np.uint8),
        list(device),
    )


def _series(found: list[Rows]) -> Series:
    found = [rows.whole("quality", "received_ns") for rows in found]  # a reading may have no value
    found = sorted((rows for rows in found if len(rows)), key=lambda rows: rows.tags["device"])
    columns = {
        name: [value for rows in found for value in rows.columns[name]]
        for name in ("time", "value", "quality", "received_ns")
    }
    device = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    time_ns = np.array(columns["time"], np.int64)
    order = np.argsort(time_ns, kind="stable")
    return Series(
        time_ns[order],
        _floats(columns["value"])[order],
        np.array(columns["quality"], np.uint8)[order],
        device[order],
        np.array(columns["received_ns"], np.int64)[order],
        tuple(rows.tags["device"] for rows in found),
    )


def _envelope(sign: str, told: dict[str, tuple[Any, ...]] | None, newest: dict[tuple[str, int], int]) -> Envelope:
    if told is None:
        return Envelope(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))
    # A reading that came between the two questions may be the newest of a window that had none: the window's begin.
    time_ns = np.array([newest.get((sign, start), start) for start in told["time"]], np.int64)
    return Envelope(time_ns, _floats(told["mean"]), _floats(told["min"]), _floats(told["max"]))


def _at(rows: Rows, end_ns: IntArray) -> FloatArray:
    """Both bounds of a score at some instants; shape (2, n), NaN where it has none."""
    out = np.full((2, len(end_ns)), np.nan)
    told = np.array(rows.columns["time"], np.int64)
    known = np.isin(told, end_ns)  # a frame may have come between the two questions
    place = np.searchsorted(end_ns, told[known])
    for i, name in enumerate(("low", "high")):
        out[i, place] = _floats(rows.columns[name])[known]
    return out
