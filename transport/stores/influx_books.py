"""What a store has to remember beside its points: offsets, facts for the ledger, where the alarms stand.

All that a batch changes of it goes in one request, and all of it stands at times near 0 of a policy that keeps for
ever: so in one shard, and there in one entry of the write-ahead log, which survives a crash whole or not at all. It is
written last. Whatever was written of a batch before it, and then again, is the same points again.

Facts stand in a ring for each partition of Kafka, one place for each offset; before it comes round they are added up
into the ledger's own book. So nothing is ever deleted and nothing grows.
"""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from transport.stores.base import Batch, StoreUnavailable
from transport.stores.influx_http import InfluxHttp, Rows, quoted
from transport.stores.influx_lines import joined, keys, lines
from vitals.alarm_fold import Fold
from vitals.ledger import Facts, Ledger, Origin, Refusal
from vitals.measurements import BOOK, FACTS
from vitals.reading import IntArray

_PIECE: Final = 45_000  # bytes; as base64 below the 64 KB that a text may have
_PIECES: Final = 64  # of one record, at most
_LEDGER: Final = "ledger"
_SETTLED: Final = "settled"
_ALARMS: Final = "alarms"
_HOST: Final = "host"
_LOOKS: Final = 5  # at a book that is being written
_TORN_S: Final = 0.2


class _Fact(msgspec.Struct):
    """What one record says for the ledger: of a block its columns, or a refusal."""

    devices: list[str] = []
    columns: list[list[int]] = []
    refusal: Refusal | None = None


_facts: Final[msgspec.msgpack.Decoder[_Fact]] = msgspec.msgpack.Decoder(_Fact)
_encode: Final = msgspec.msgpack.Encoder().encode


class Books:
    """What the writer remembers, in step with the store's books.

    Attributes:
        ledger: The ledger of everything written.
        settled: Topic and partition -> offset.
        host: What the storing host keeps here, by name.
        folds: Patient -> where that patient's alarms stand.
    """

    def __init__(self, fold_at: int) -> None:
        """Knows nothing: `load` it before it is asked.

        Args:
            fold_at: Places of the ring of each partition.
        """
        self.ledger = Ledger()
        self.settled: dict[tuple[str, int], int] = {}
        self.host: dict[str, bytes] = {}
        self.folds: dict[str, Fold] = {}
        self._ring = fold_at
        self._first: dict[tuple[str, int], int] = {}  # first offset of a partition that is not added up

    def load(self, http: InfluxHttp) -> None:
        """Ask the store for all of it."""
        # Facts first: they may be added up in between, and then the ledger, asked for later, has them.
        facts = read_facts(http)
        for name, body in read_books(http).items():
            kind, _, rest = name.partition(":")
            if kind == _LEDGER:
                self.ledger = Ledger.from_bytes(body)
            elif kind == _SETTLED:
                topic, _, partition = rest.rpartition(":")
                self.settled[topic, int(partition)] = int(body)
            elif kind == _ALARMS:
                self.folds[rest] = Fold.from_bytes(body)
            elif kind == _HOST:
                self.host[rest] = body
        for origin, fact in facts:
            if _add(self.ledger, origin, fact):
                place = origin.topic, origin.partition
                self._first[place] = min(self._first.get(place, origin.offset), origin.offset)
        for place, offset in self.settled.items():
            self.ledger.settle(Origin(*place, offset))

    def turn(self, batch: Batch, equal: Sequence[IntArray]) -> Turn:
        """What a batch changes; nothing has changed yet.

        Args:
            batch: What will have been written.
            equal: For each of its blocks, how many readings of each bundle others had brought.
        """
        facts = [
            (record.origin, _fact(record.block, told)) for record, told in zip(batch.blocks, equal, strict=True)
        ] + [(record.origin, _Fact(refusal=record.refusal)) for record in batch.refusals]
        facts = [(origin, fact) for origin, fact in facts if not self.ledger.knows(origin)]
        settled: dict[tuple[str, int], int] = {}
        for origin in batch.settled:
            place = origin.topic, origin.partition
            if origin.offset > max(settled.get(place, -1), self.settled.get(place, -1)):
                settled[place] = origin.offset
        folds: dict[str, Fold] = {}
        for stored in batch.events:
            patient = stored.event.patient
            if patient not in folds:
                known = self.folds.get(patient)
                folds[patient] = Fold() if known is None else Fold.from_bytes(known.to_bytes())
            folds[patient].apply(stored.event)
        host = {name: body for name, body in batch.books.items() if self.host.get(name) != body}
        return Turn(self, facts, settled, folds, host)

    def _rings(self, facts: Sequence[tuple[Origin, _Fact]]) -> dict[tuple[str, int], int] | None:
        """First offsets not added up after these facts; None where they do not fit into the rings."""
        first = dict(self._first)
        for origin, _ in facts:
            begin = first.setdefault((origin.topic, origin.partition), origin.offset)
            if not begin <= origin.offset < begin + self._ring:
                return None
        return first


class Turn:
    """One change of the books: its lines, and, once they are acknowledged, the change itself."""

    def __init__(
        self,
        books: Books,
        facts: Sequence[tuple[Origin, _Fact]],
        settled: Mapping[tuple[str, int], int],
        folds: Mapping[str, Fold],
        host: Mapping[str, bytes],
    ) -> None:
        """Made by `Books.turn`."""
        self._books, self._facts, self._settled, self._folds, self._host = books, facts, settled, folds, host
        self._first = books._rings(facts)  # noqa: SLF001  # the other half of one thing

    def body(self) -> bytes:
        """The lines, for one request; b"" where nothing changes."""
        told = {f"{_SETTLED}:{topic}:{p}": str(offset).encode() for (topic, p), offset in self._settled.items()}
        told |= {f"{_ALARMS}:{patient}": fold.to_bytes() for patient, fold in self._folds.items()}
        told |= {f"{_HOST}:{name}": body for name, body in self._host.items()}
        if self._first is None:
            ledger = Ledger.from_bytes(self._books.ledger.to_bytes())
            self._change(ledger)
            told[_LEDGER] = ledger.to_bytes()
            return _book_lines(told)
        return _book_lines(told) + _fact_lines(self._facts, self._books._ring)  # noqa: SLF001  # as above

    def done(self) -> None:
        """It stands: the books have changed."""
        books = self._books
        self._change(books.ledger)
        books.settled |= self._settled
        books.folds |= self._folds
        books.host |= self._host
        books._first = {} if self._first is None else self._first  # noqa: SLF001  # as above

    def _change(self, ledger: Ledger) -> None:
        for origin, fact in self._facts:
            _add(ledger, origin, fact)
        for (topic, partition), offset in self._settled.items():
            ledger.settle(Origin(topic, partition, offset))


def read_ledger(http: InfluxHttp) -> Ledger:
    """The ledger as the store has it."""
    books = Books(1)
    books.load(http)
    return books.ledger


def read_books(http: InfluxHttp, name: str | None = None, kind: str | None = None) -> dict[str, bytes]:
    """Books by name: all, one, or those whose names begin so (a regular expression)."""
    where = ""
    if name is not None:
        where = f' WHERE "name" = {quoted(name)}'
    elif kind is not None:
        where = f' WHERE "name" =~ /^{kind}/'
    statement = f'SELECT "pieces", "body" FROM {BOOK.source}{where} GROUP BY "name"'
    for _ in range(_LOOKS):
        with contextlib.suppress(_TornError):
            return {rows.tags["name"]: _whole(rows) for rows in http.ask([statement])[0]}
    raise StoreUnavailable("a book in InfluxDB cannot be read whole: it is being written, or damaged", _TORN_S)


def read_alarms(http: InfluxHttp, patient: str | None = None) -> Fold:
    """Where the alarms of a patient, or of all, stand."""
    fold = Fold()
    name = None if patient is None else f"{_ALARMS}:{patient}"
    for body in read_books(http, name, f"{_ALARMS}:").values():
        fold.join(Fold.from_bytes(body))
    return fold


def read_settled(http: InfluxHttp, topic: str, partition: int) -> int | None:
    """Which offset a partition settled."""
    name = f"{_SETTLED}:{topic}:{partition}"
    found = read_books(http, name)
    return int(found[name]) if found else None


def read_host(http: InfluxHttp, prefix: str) -> dict[str, bytes]:
    """What the storing host keeps under names that begin so."""
    found = read_books(http, kind=f"{_HOST}:{re.escape(prefix)}")
    return {name.removeprefix(f"{_HOST}:"): body for name, body in found.items()}


def read_facts(http: InfluxHttp) -> list[tuple[Origin, _Fact]]:
    """Facts in the rings, by place in Kafka; some of them may be added up already."""
    (found,) = http.ask([f'SELECT "offset", "pieces", "body" FROM {FACTS.source} GROUP BY "topic", "partition"'])
    out: list[tuple[Origin, _Fact]] = []
    for rows in (rows.whole("offset", "pieces", "body") for rows in found):
        at = np.array(rows.columns["time"], np.int64)
        offsets = rows.columns["offset"]
        for i in np.flatnonzero(at % _PIECES == 0).tolist():
            pieces = rows.columns["pieces"][i]
            body = rows.columns["body"][i : i + pieces]
            if len(body) == pieces and set(offsets[i : i + pieces]) == {offsets[i]}:
                origin = Origin(rows.tags["topic"], int(rows.tags["partition"]), offsets[i])
                out.append((origin, _facts.decode(zlib.decompress(base64.b64decode("".join(body))))))
    return sorted(out, key=lambda one: (one[0].topic, one[0].partition, one[0].offset))


class _TornError(Exception):
    """Some of it is older than the rest: it is being written."""


def _whole(rows: Rows) -> bytes:
    """A book of its pieces.

    Raises:
        _TornError: If they do not belong together.
    """
    pieces, body = rows.columns["pieces"], rows.columns["body"]
    try:
        return zlib.decompress(base64.b64decode("".join(body[: pieces[0]])))
    except (TypeError, ValueError, zlib.error) as error:
        raise _TornError from error


def _cut(body: bytes) -> list[str]:
    """A text for each piece; together they are the base64 of the compressed bytes."""
    text = base64.b64encode(zlib.compress(body, 1)).decode()
    step = _PIECE // 3 * 4
    return [text[i : i + step] for i in range(0, len(text), step)]


def _book_lines(books: Mapping[str, bytes]) -> bytes:
    rows = [
        (name, i, len(pieces), piece)
        for name, pieces in ((name, _cut(body)) for name, body in books.items())
        for i, piece in enumerate(pieces)
    ]
    if not rows:
        return b""
    names, place, count, bodies = zip(*rows, strict=True)
    fields: dict[str, Any] = {"pieces": np.array(count), "body": bodies}
    return joined(lines(BOOK, keys(BOOK, {"name": names}), fields, np.array(place)))


def _fact_lines(facts: Sequence[tuple[Origin, _Fact]], ring: int) -> bytes:
    rows: list[Any] = []
    for origin, fact in facts:
        pieces = _cut(_encode(fact))
        if len(pieces) > _PIECES:
            raise ValueError(f"a record with {len(fact.columns[0])} bundles is too large for the ledger")
        at = (origin.offset % ring) * _PIECES
        rows += [
            (origin.topic, str(origin.partition), origin.offset, len(pieces), piece, at + i)
            for i, piece in enumerate(pieces)
        ]
    if not rows:
        return b""
    topic, partition, offset, count, body, time_ns = zip(*rows, strict=True)
    fields: dict[str, Any] = {"offset": np.array(offset), "pieces": np.array(count), "body": body}
    return joined(lines(FACTS, keys(FACTS, {"topic": topic, "partition": partition}), fields, np.array(time_ns)))


def _fact(block: Any, equal: IntArray) -> _Fact:
    if len(equal) != block.bundles:  # it would be kept, and no reader could add it up
        raise ValueError(f"{len(equal)} counts of equal readings for {block.bundles} bundles")
    told = Facts.of(block, equal)
    columns = (told.device, told.boot, told.seq, told.n, told.n_before, told.refused, told.accepted, told.equal)
    return _Fact(told.devices, [column.tolist() for column in columns])


def _add(ledger: Ledger, origin: Origin, fact: _Fact) -> bool:
    if fact.refusal is not None:
        return ledger.add_refusal(origin, fact.refusal)
    return ledger.add_block(origin, Facts(fact.devices, *(np.array(column, np.int64) for column in fact.columns)))
