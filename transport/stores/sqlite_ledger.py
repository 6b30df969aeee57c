"""The ledger of the SQLite store: what was added up before, and the facts that stand one by one since."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
import numpy as np

from transport.stores import sqlite_schema as sql
from vitals.ledger import Facts, Ledger, Origin, Refusal

_refusals: Final[msgspec.msgpack.Decoder[Refusal]] = msgspec.msgpack.Decoder(Refusal)


def load_ledger(db: sqlite3.Connection) -> Ledger:
    """The ledger of everything written, as one transaction sees it."""
    kept = db.execute("SELECT body FROM ledger").fetchone()
    ledger = Ledger.from_bytes(kept[0]) if kept else Ledger()
    names = dict(db.execute("SELECT id, text FROM name").fetchall())
    rows = np.array(db.execute(sql.GET_DELIVERIES).fetchall(), np.int64).reshape(-1, 12)
    if len(rows):
        numbers, device = np.unique(rows[:, 4], return_inverse=True)
        devices = [names[int(number)] for number in numbers]
        starts = np.flatnonzero(np.r_[True, (rows[1:, :3] != rows[:-1, :3]).any(axis=1)])
        for first, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            topic, partition, offset = (int(number) for number in rows[first, :3])
            facts = Facts(devices, device[first:end], *rows[first:end, 5:].T)
            ledger.add_block(Origin(names[topic], partition, offset), facts)
    for topic, partition, offset, body in db.execute("SELECT * FROM refusal ORDER BY topic, part, place"):
        ledger.add_refusal(Origin(names[topic], partition, offset), _refusals.decode(body))
    for topic, partition, offset in db.execute("SELECT * FROM settled"):
        ledger.settle(Origin(names[topic], partition, offset))
    return ledger
