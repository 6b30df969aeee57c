"""What the pager must not forget: state, positions, outbox, receipts and journal, in one SQLite file (WAL).

A step is one transaction: what it was told (the position in the topic), what it knows now, and what is to be sent.
Sending is three: the *intent* is written, the channel is asked, the outcome is written. A kill -9 between the first
and the last leaves a message *in doubt*: it is sent again under the same id, and says so.

Calls block. One thread at a time, whichever: the host sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from stream_processors.paging.state import (
    STATE_VERSION,
    Decision,
    HoldBack,
    Note,
    Order,
    PagerState,
    Publish,
    Send,
)
from stream_processors.paging.store_rows import TABLES, UNWRITTEN, Queued, Receipt, entry_of
from transport.sqlite_file import Connection, open_sqlite, transaction
from vitals.answers import Told
from vitals.audit import Entry
from vitals.duty import ReceiptName
from vitals.events import AlarmEvent, event_decoder, event_encoder
from vitals.log import Command

_PARTS: Final = tuple(field.name for field in msgspec.structs.fields(PagerState))
_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(PagerState)}
_RANK: Final = {"high": 0, "medium": 1, "low": 2}
_encode: Final = msgspec.json.encode
Positions: TypeAlias = Mapping[tuple[str, int], int]


class StoreMismatch(Exception):  # noqa: N818  # says what it is
    """The file was written by another version of the pager's state."""


class PagerStore:
    """The file.

    Args:
        path: Where; its folder must exist.
        durable: False leaves the flushing to the system: a kill -9 loses nothing then either, a power cut may.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._db = open_sqlite(path, durable=durable)
        self._db.executescript(TABLES)
        self._db.execute("INSERT OR IGNORE INTO about VALUES ('id', lower(hex(randomblob(4))))")
        self.id = str(self._db.execute("SELECT value FROM about WHERE name = 'id'").fetchone()[0])
        """Of this file: what it numbers is not taken for what another one numbered."""
        row = self._db.execute("SELECT value FROM about WHERE name = 'state_version'").fetchone()
        if row is None:
            self._db.execute("INSERT INTO about VALUES ('state_version', ?)", (str(STATE_VERSION),))
        elif row[0] != str(STATE_VERSION):
            raise StoreMismatch(f"{path.name} holds state version {row[0]}, this pager writes {STATE_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with transaction(self._db) as db:
            yield db

    def load(self) -> PagerState:
        """The state as the last step left it; an empty one in a new file."""
        parts: dict[str, dict[str, bytes]] = {part: {} for part in _PARTS}
        for part, name, body in self._db.execute("SELECT part, name, body FROM state"):
            if part in parts:
                parts[part][name] = body
        made: dict[str, Any] = {}
        for part, rows in parts.items():
            data = b"{" + b",".join(_encode(name) + b":" + body for name, body in rows.items()) + b"}"
            made[part] = msgspec.json.decode(data, type=_TYPES[part])
        return PagerState(**made)

    def positions(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset of the first record not taken in yet."""
        rows = self._db.execute("SELECT topic, partition, next FROM position")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def commit(
        self,
        before: PagerState,
        after: PagerState,
        decisions: Iterable[Decision],
        now_ns: int,
        positions: Positions | None = None,
    ) -> None:
        """Write a step down: all of it or nothing.

        Args:
            before: The state that the file holds.
            after: The state that it is to hold.
            decisions: What is to be done.
            now_ns: When it was decided.
            positions: How far the topic has been taken in by it.
        """
        with self._transaction() as db:
            for part in _PARTS:
                self._write_part(part, getattr(before, part), getattr(after, part))
            for decision in decisions:
                self._decided(db, decision, now_ns)
            _put_positions(db, positions or {})

    def _write_part(self, part: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        if old is new:
            return
        changed = [(part, name, _encode(value)) for name, value in new.items() if old.get(name) != value]
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", changed)
        gone = [(part, name) for name in old if name not in new]
        self._db.executemany("DELETE FROM state WHERE part = ? AND name = ?", gone)

    def _decided(self, db: Connection, decision: Decision, now_ns: int) -> None:
        match decision:
            case Send():
                self._enqueue(db, decision)
            case HoldBack():
                self._receipt(decision.item.message_id, decision.person, "held-back", now_ns, "")
            case Order():
                row = (_name(decision.command), _encode(decision.command))
                db.execute("INSERT OR IGNORE INTO passing VALUES (?, 'command', ?)", row)
            case Publish():
                row = (_name(decision.event), event_encoder.encode(decision.event))
                db.execute("INSERT OR IGNORE INTO passing VALUES (?, 'event', ?)", row)
            case Note():
                self._note(now_ns, decision.what, decision.person, decision.alarm_id, decision.text)

    def _enqueue(self, db: Connection, send: Send) -> None:
        # The same id again is the same message: it is never put in twice.
        row = (send.message_id, send.person, _RANK[send.priority], send.at_ns, send.at_ns, _encode(send))
        done = db.execute("INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, 'queued', 0, 0, ?, ?, ?)", row)
        if done.rowcount:
            self._receipt(send.message_id, send.person, "queued", send.at_ns, send.kind)
            db.executemany(
                "INSERT OR IGNORE INTO told VALUES (?, ?)", [(alarm_id, send.message_id) for alarm_id in send.alarm_ids]
            )

    def _receipt(self, message_id: str, person: str, what: ReceiptName, at_ns: int, detail: str) -> None:
        self._db.execute(
            "INSERT INTO receipt (message_id, person, what, at_ns, detail) VALUES (?, ?, ?, ?, ?)",
            (message_id, person, what, at_ns, detail),
        )

    def _note(self, at_ns: int, what: str, person: str, alarm_id: str, text: str) -> None:
        self._db.execute(
            "INSERT INTO journal (at_ns, what, person, alarm_id, text) VALUES (?, ?, ?, ?, ?)",
            (at_ns, what, person, alarm_id, text),
        )

    # What is to be sent.

    def enqueue(self, sends: Iterable[Send]) -> None:
        """Put messages into the outbox that no step decided: tests, hand-overs, quiet-shift messages."""
        with self._transaction() as db:
            for send in sends:
                self._enqueue(db, send)

    def due(self, now_ns: int, at_most: int = 500) -> list[Queued]:
        """Messages that are due, the most urgent first, then the oldest."""
        rows = self._db.execute(
            "SELECT body, channel, tries, due_ns, status FROM outbox"
            " WHERE status IN ('queued', 'trying') AND due_ns <= ? ORDER BY rank, at_ns, message_id LIMIT ?",
            (now_ns, at_most),
        )
        return [
            Queued(
                send=msgspec.json.decode(body, type=Send),
                channel=channel,
                tries=tries,
                due_ns=due_ns,
                in_doubt=status == "trying",
            )
            for body, channel, tries, due_ns, status in rows
        ]

    def next_due_ns(self, after_ns: int = -1) -> int | None:
        """When the next message falls due after an instant."""
        row = self._db.execute(
            "SELECT MIN(due_ns) FROM outbox WHERE status IN ('queued', 'trying') AND due_ns > ?", (after_ns,)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def intend(self, queued: Queued, now_ns: int) -> None:
        """Before a channel is asked: from here on the message is in doubt until its outcome is written."""
        with self._transaction() as db:
            if queued.in_doubt:
                self._receipt(
                    queued.send.message_id, queued.send.person, "in-doubt", now_ns, f"channel {queued.channel}"
                )
            db.execute("UPDATE outbox SET status = 'trying' WHERE message_id = ?", (queued.send.message_id,))

    def mark(self, queued: Queued, what: Literal["sent", "failed", "withdrawn"], now_ns: int, detail: str = "") -> None:
        """A message is done."""
        send = queued.send
        with self._transaction() as db:
            db.execute("UPDATE outbox SET status = ? WHERE message_id = ?", (what, send.message_id))
            self._receipt(send.message_id, send.person, what, now_ns, detail)

    def try_again(self, queued: Queued, channel: int, tries: int, due_ns: int) -> None:
        """A message is tried again later."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET status = 'queued', channel = ?, tries = ?, due_ns = ? WHERE message_id = ?",
                (channel, tries, due_ns, queued.send.message_id),
            )

    def message(self, message_id: str) -> Send | None:
        """A message by its id, whatever became of it."""
        row = self._db.execute("SELECT body FROM outbox WHERE message_id = ?", (message_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Send)

    # What passes through to the ward and to the topic: idempotent by id at the other end, so sent at least once.

    def commands(self) -> list[Command]:
        """Commands for the ward that are not acknowledged yet."""
        rows = self._db.execute("SELECT body FROM passing WHERE kind = 'command' ORDER BY name")
        return [msgspec.json.decode(body, type=Command) for (body,) in rows]

    def events(self) -> list[AlarmEvent]:
        """Events of own alarms that are not published yet."""
        rows = self._db.execute("SELECT body FROM passing WHERE kind = 'event' ORDER BY name")
        return sorted((event_decoder.decode(body) for (body,) in rows), key=lambda e: (e.alarm_id, e.n))

    def told(self) -> list[Told]:
        """Answers to asks that are not written yet."""
        rows = self._db.execute("SELECT body FROM passing WHERE kind = 'told' ORDER BY name")
        return [msgspec.json.decode(body, type=Told) for (body,) in rows]

    def answer(self, told: Iterable[Told], positions: Positions) -> None:
        """Asks were judged: what came of them is to be told, and they are not read again."""
        with self._transaction() as db:
            for one in told:
                db.execute("INSERT OR IGNORE INTO passing VALUES (?, 'told', ?)", (_name(one), _encode(one)))
            _put_positions(db, positions)

    def entries(self, at_most: int = 200) -> list[tuple[int, str, Entry]]:
        """Receipts and lines of the journal that are not written to the audit yet: number, table, entry."""
        found: list[tuple[int, str, Entry]] = []
        for table, query in UNWRITTEN.items():
            for seq, *row in self._db.execute(query, (f"written_{table}", at_most)):
                found.append((seq, table, entry_of(f"{self.id}.{table[0]}{seq}", *row)))
        return sorted(found, key=lambda f: (f[2].at_ns, f[1], f[0]))

    def written(self, table: str, seq: int) -> None:
        """The audit has all of a table up to a number."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (f"written_{table}", str(seq)))

    def passed(self, passing: Command | AlarmEvent | Told) -> None:
        """The other end has it."""
        name = _name(passing)
        with self._transaction() as db:
            db.execute("DELETE FROM passing WHERE name = ?", (name,))

    # What came back.

    def receipt(self, message_id: str, person: str, what: ReceiptName, at_ns: int, detail: str = "") -> None:
        """Something became of a message."""
        with self._transaction():
            self._receipt(message_id, person, what, at_ns, detail)

    def receipts(self, message_id: str) -> list[Receipt]:
        """All that became of a message, in order."""
        rows = self._db.execute(
            "SELECT message_id, person, what, at_ns, detail FROM receipt WHERE message_id = ? ORDER BY seq",
            (message_id,),
        )
        return [Receipt(message_id=m, person=p, what=w, at_ns=a, detail=d) for m, p, w, a, d in rows]

    def receipts_of_alarm(self, alarm_id: str) -> list[Receipt]:
        """All that became of an alarm's messages, in order: one alarm's story as far as people are in it."""
        rows = self._db.execute(
            "SELECT r.message_id, r.person, r.what, r.at_ns, r.detail FROM receipt r JOIN told USING (message_id)"
            " WHERE told.alarm_id = ? ORDER BY r.seq",
            (alarm_id,),
        )
        return [Receipt(message_id=m, person=p, what=w, at_ns=a, detail=d) for m, p, w, a, d in rows]

    def newest(self, at_most: int, *, but_not: str = "") -> list[tuple[Send, list[Receipt]]]:
        """The newest messages, those to one person left out, with all that became of them; newest first."""
        query = "SELECT body FROM outbox WHERE person <> ? ORDER BY at_ns DESC, message_id LIMIT ?"
        rows = self._db.execute(query, (but_not, at_most))
        sends = [msgspec.json.decode(body, type=Send) for (body,) in rows]
        return [(send, self.receipts(send.message_id)) for send in sends]

    def newest_message(self, alarm_id: str, person: str) -> str | None:
        """The newest message that told a person of an alarm."""
        row = self._db.execute(
            "SELECT message_id FROM told JOIN outbox USING (message_id) WHERE alarm_id = ? AND person = ?"
            " ORDER BY at_ns DESC, message_id LIMIT 1",
            (alarm_id, person),
        ).fetchone()
        return None if row is None else str(row[0])

    def use_link(self, link_id: str, at_ns: int, ask_id: str = "") -> bool:
        """Use a link; False where it was used before."""
        with self._transaction() as db:
            done = db.execute("INSERT OR IGNORE INTO link_used VALUES (?, ?, ?)", (link_id, at_ns, ask_id))
            return done.rowcount == 1

    def link_was_used(self, link_id: str, ask_id: str = "") -> bool:
        """Whether a link was used, by another ask than this one (the same again is answered the same)."""
        row = self._db.execute("SELECT ask_id FROM link_used WHERE link_id = ?", (link_id,)).fetchone()
        return row is not None and (not ask_id or row[0] != ask_id)

    def note(self, at_ns: int, what: str, text: str, *, person: str = "", alarm_id: str = "") -> None:
        """A line of the journal."""
        with self._transaction():
            self._note(at_ns, what, person, alarm_id, text)

    def journal(self, since_ns: int = 0) -> list[tuple[int, str, str, str, str]]:
        """(when, what, person, alarm, text), in order."""
        rows = self._db.execute(
            "SELECT at_ns, what, person, alarm_id, text FROM journal WHERE at_ns >= ? ORDER BY seq", (since_ns,)
        )
        return list(rows)

    def prune(self, before_ns: int) -> int:
        """Forget messages that were done before an instant, with their receipts, links and journal lines.

        Returns:
            How many messages.
        """
        done = "SELECT message_id FROM outbox WHERE at_ns < ? AND status NOT IN ('queued', 'trying')"
        with self._transaction() as db:
            for table in ("receipt", "told"):
                db.execute(f"DELETE FROM {table} WHERE message_id IN ({done})", (before_ns,))  # noqa: S608  # our words
            gone = db.execute(
                "DELETE FROM outbox WHERE at_ns < ? AND status NOT IN ('queued', 'trying')", (before_ns,)
            ).rowcount
            db.execute("DELETE FROM link_used WHERE at_ns < ?", (before_ns,))
            db.execute("DELETE FROM journal WHERE at_ns < ?", (before_ns,))
        return gone

    def keep(self, name: str, value: object) -> None:
        """Keep a small value beside the state."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO state VALUES ('kept', ?, ?)", (name, _encode(value)))

    def kept(self, name: str) -> bytes | None:
        """A value that was kept, as JSON."""
        row = self._db.execute("SELECT body FROM state WHERE part = 'kept' AND name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def forget(self, name: str) -> None:
        """Forget a value that was kept."""
        with self._transaction() as db:
            db.execute("DELETE FROM state WHERE part = 'kept' AND name = ?", (name,))


def _name(passing: Command | AlarmEvent | Told) -> str:
    match passing:
        case Command():
            return f"command:{passing.command_id}"
        case AlarmEvent():
            return f"event:{passing.event_id}"
        case Told():
            return f"told:{passing.ask_id}"


def _put_positions(db: Connection, positions: Positions) -> None:
    rows = [(topic, partition, offset) for (topic, partition), offset in positions.items()]
    db.executemany("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", rows)
