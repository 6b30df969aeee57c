"""Tables of the SQLite store, and its statements.

Names (patients, devices, topics, detectors) are kept once and counted into: a reading is 40 bytes and not 100. Tables
whose key is how they are read are kept in the order of that key (WITHOUT ROWID).

The order of a reading's key decides the cost of writing: a second of a ward of 1,000 patients with five signs touches
a page for each patient. With the sign before the time it was one for each patient and sign, 20 MB a second for 200 KB
of readings. So the newest of each sign, which would have to be searched for in this order, has a table of its own.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2

TABLES: Final = """
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE reading (
    patient INTEGER, time_ns INTEGER, sign INTEGER, device INTEGER,
    value REAL, quality INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    PRIMARY KEY (patient, time_ns, sign, device)
) WITHOUT ROWID;
CREATE TABLE latest (
    patient INTEGER, sign INTEGER, time_ns INTEGER NOT NULL, value REAL, quality INTEGER NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (patient, sign)
) WITHOUT ROWID;
CREATE TABLE frame (
    patient INTEGER, end_ns INTEGER, start_ns INTEGER NOT NULL,
    value BLOB NOT NULL, measured BLOB NOT NULL, age_ns BLOB NOT NULL,
    news2_low REAL, mews_low REAL, qsofa_low REAL, sirs_low REAL,
    news2_high REAL, mews_high REAL, qsofa_high REAL, sirs_high REAL,
    missing INTEGER NOT NULL,
    PRIMARY KEY (patient, end_ns)
) WITHOUT ROWID;
CREATE TABLE detector_score (
    patient INTEGER, end_ns INTEGER, detector INTEGER, score REAL,
    PRIMARY KEY (patient, end_ns, detector)
) WITHOUT ROWID;
CREATE TABLE alarm_event (
    event_id TEXT PRIMARY KEY, alarm_id TEXT NOT NULL, n INTEGER NOT NULL, patient INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, rule TEXT NOT NULL, kind TEXT NOT NULL, priority TEXT NOT NULL, event TEXT NOT NULL,
    body BLOB NOT NULL, stamps BLOB NOT NULL
);
CREATE INDEX alarm_event_by_time ON alarm_event (at_ns);
CREATE INDEX alarm_event_by_patient ON alarm_event (patient, at_ns);
CREATE INDEX alarm_event_by_alarm ON alarm_event (alarm_id, n);
CREATE TABLE alarm (alarm_id TEXT PRIMARY KEY, n INTEGER NOT NULL, patient INTEGER NOT NULL, closed INTEGER NOT NULL);
CREATE INDEX alarm_open ON alarm (patient) WHERE NOT closed;
CREATE TABLE hop (
    part TEXT, hop TEXT, at_ns INTEGER, count INTEGER NOT NULL, mean_ns REAL, p50_ns REAL, p95_ns REAL, p99_ns REAL,
    max_ns INTEGER NOT NULL, histogram BLOB NOT NULL,
    PRIMARY KEY (part, hop, at_ns)
) WITHOUT ROWID;
CREATE TABLE delivery (
    topic INTEGER, part INTEGER, place INTEGER, row INTEGER,
    device INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL, n_before INTEGER NOT NULL,
    refused INTEGER NOT NULL, accepted INTEGER NOT NULL, equal INTEGER NOT NULL,
    PRIMARY KEY (topic, part, place, row)
) WITHOUT ROWID;
CREATE TABLE refusal (
    topic INTEGER, part INTEGER, place INTEGER, body BLOB NOT NULL,
    PRIMARY KEY (topic, part, place)
) WITHOUT ROWID;
CREATE TABLE settled (
    topic INTEGER, part INTEGER, place INTEGER NOT NULL,
    PRIMARY KEY (topic, part)
) WITHOUT ROWID;
CREATE TABLE book (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 0), body BLOB NOT NULL);
"""
INCOMING: Final = """
CREATE TEMP TABLE incoming (row INTEGER PRIMARY KEY, patient INTEGER, time_ns INTEGER, sign INTEGER, device INTEGER)
"""

PUT_READING: Final = "INSERT OR IGNORE INTO reading VALUES (?,?,?,?,?,?,?,?,?)"
PUT_LATEST: Final = """
INSERT INTO latest VALUES (?,?,?,?,?,?) ON CONFLICT (patient, sign) DO UPDATE
SET time_ns = excluded.time_ns, value = excluded.value, quality = excluded.quality, device = excluded.device
WHERE excluded.time_ns > latest.time_ns
"""
PUT_FRAME: Final = "INSERT OR IGNORE INTO frame VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
PUT_DETECTOR: Final = "INSERT OR IGNORE INTO detector_score VALUES (?,?,?,?)"
# Told twice only with more stamps: when it was stored is known afterwards.
PUT_EVENT: Final = """
INSERT INTO alarm_event VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (event_id) DO UPDATE SET stamps = excluded.stamps
WHERE length(excluded.stamps) > length(stamps)
"""
PUT_ALARM: Final = """
INSERT INTO alarm VALUES (?,?,?,?) ON CONFLICT (alarm_id) DO UPDATE SET n = excluded.n, closed = excluded.closed
WHERE excluded.n > alarm.n
"""
PUT_HOP: Final = "INSERT OR REPLACE INTO hop VALUES (?,?,?,?,?,?,?,?,?,?)"
PUT_DELIVERY: Final = "INSERT OR IGNORE INTO delivery VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
PUT_REFUSAL: Final = "INSERT OR IGNORE INTO refusal VALUES (?,?,?,?)"
PUT_SETTLED: Final = """
INSERT INTO settled VALUES (?,?,?) ON CONFLICT (topic, part) DO UPDATE SET place = max(place, excluded.place)
"""
PUT_BOOK: Final = "INSERT OR REPLACE INTO book VALUES (?,?)"
PUT_LEDGER: Final = "INSERT OR REPLACE INTO ledger VALUES (0, ?)"

GET_STORED: Final = """
SELECT boot, seq FROM incoming JOIN reading USING (patient, time_ns, sign, device) ORDER BY row
"""
GET_SERIES: Final = """
SELECT sign, time_ns, value, quality, device, received_ns FROM reading
WHERE patient = ? AND time_ns >= ? AND time_ns < ? AND sign IN (SELECT value FROM json_each(?))
ORDER BY time_ns, sign, device
"""
GET_ENVELOPE: Final = """
SELECT sign, max(time_ns), avg(value), min(value), max(value) FROM reading
WHERE patient = ? AND time_ns >= ? AND time_ns < ? AND quality <= ? AND sign IN (SELECT value FROM json_each(?))
GROUP BY sign, (time_ns - ?) / ? ORDER BY sign, 2
"""
GET_LATEST: Final = "SELECT sign, time_ns, value, quality, device FROM latest WHERE patient = ? ORDER BY sign"
GET_WATCHED: Final = (
    "SELECT text, min(start_ns), sum(end_ns - start_ns) FROM frame JOIN name ON name.id = frame.patient"
    " WHERE end_ns >= ? AND end_ns < ? GROUP BY patient, end_ns / ? ORDER BY text, min(start_ns)"
)
GET_FRAMES: Final = "SELECT * FROM frame WHERE patient = ? AND end_ns >= ? AND end_ns < ? ORDER BY end_ns"
GET_DETECTORS: Final = """
SELECT end_ns, text, score FROM detector_score JOIN name ON name.id = detector
WHERE patient = ? AND end_ns >= ? AND end_ns < ? ORDER BY text, end_ns
"""
GET_EVENTS: Final = """
SELECT body, stamps FROM alarm_event
WHERE at_ns >= ? AND at_ns < ? ORDER BY at_ns, alarm_id, n
"""
GET_EVENTS_OF: Final = GET_EVENTS.replace("WHERE", "WHERE patient = ? AND")
GET_OPEN: Final = """
SELECT body FROM alarm_event JOIN alarm USING (alarm_id)
WHERE NOT closed ORDER BY alarm_id, alarm_event.n
"""
GET_OPEN_OF: Final = GET_OPEN.replace("WHERE", "WHERE alarm.patient = ? AND")
GET_HOPS: Final = "SELECT part, hop, at_ns, histogram FROM hop WHERE at_ns >= ? AND at_ns < ? ORDER BY at_ns, part, hop"
GET_BOOKS: Final = "SELECT name, body FROM book WHERE substr(name, 1, ?) = ?"
GET_DELIVERIES: Final = """
SELECT topic, part, place, row, device, boot, seq, n, n_before, refused, accepted, equal FROM delivery
ORDER BY topic, part, place, row
"""

# Behind "DELETE FROM": all events of an alarm or none, and none of an open one.
OLD_EVENTS: Final = """
alarm_event WHERE alarm_id IN (SELECT alarm_id FROM alarm_event GROUP BY alarm_id HAVING max(at_ns) < ?)
AND alarm_id NOT IN (SELECT alarm_id FROM alarm WHERE NOT closed)
"""
