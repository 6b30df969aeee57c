"""What stands in the pager's file: its tables, and its rows as messages, receipts and entries of the audit."""

from __future__ import annotations

from typing import Final

import msgspec

from stream_processors.paging.state import Send
from vitals.audit import Entry
from vitals.duty import ReceiptName

TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    part TEXT, name TEXT, body BLOB NOT NULL, PRIMARY KEY (part, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (
    topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    message_id TEXT PRIMARY KEY, person TEXT NOT NULL, rank INTEGER NOT NULL, status TEXT NOT NULL,
    channel INTEGER NOT NULL, tries INTEGER NOT NULL, due_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (due_ns) WHERE status IN ('queued', 'trying');
CREATE TABLE IF NOT EXISTS told (alarm_id TEXT, message_id TEXT, PRIMARY KEY (alarm_id, message_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipt (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, person TEXT NOT NULL, what TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS receipt_of ON receipt (message_id);
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, what TEXT NOT NULL, person TEXT NOT NULL,
    alarm_id TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS link_used (
    link_id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, ask_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passing (name TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
"""

UNWRITTEN: Final = {
    "receipt": (
        "SELECT seq, receipt.at_ns, 'page-' || what, receipt.person, message_id, detail, outbox.body"
        " FROM receipt LEFT JOIN outbox USING (message_id)"
        " WHERE seq > (SELECT coalesce(max(cast(value AS INTEGER)), 0) FROM about WHERE name = ?) ORDER BY seq LIMIT ?"
    ),
    "journal": (
        "SELECT seq, at_ns, what, person, '', text, alarm_id FROM journal"
        " WHERE seq > (SELECT coalesce(max(cast(value AS INTEGER)), 0) FROM about WHERE name = ?) ORDER BY seq LIMIT ?"
    ),
}
"""Rows of a table that the audit does not have yet, oldest first."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the outbox that is not done.

    Attributes:
        send: What is to be sent.
        channel: Index of the person's channel to try next.
        tries: How often that one has failed.
        due_ns: When.
        in_doubt: True where a try was begun and its outcome is not known.
    """

    send: Send
    channel: int
    tries: int
    due_ns: int
    in_doubt: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message, with its time."""

    message_id: str
    person: str
    what: ReceiptName
    at_ns: int
    detail: str = ""


def entry_of(
    entry_id: str, at_ns: int, what: str, person: str, message_id: str, text: str, about: bytes | str | None
) -> Entry:
    """A row as the audit has it: a receipt with its message's body, or a line of the journal with its alarm."""
    alarms: tuple[str, ...] = ()
    if isinstance(about, bytes):
        send = msgspec.json.decode(about, type=Send)
        alarms = send.alarm_ids or tuple(alarm.alarm_id for alarm in send.alarms)
        if what == "page-queued" and send.because:
            text = f"{text}: {send.because}"
    elif about:
        alarms = (about,)
    return Entry(
        entry_id=entry_id,
        at_ns=at_ns,
        part="pager",
        what=what,
        person=person,
        message=message_id,
        alarms=alarms,
        text=text,
    )
