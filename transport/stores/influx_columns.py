"""A batch as lines, measurement by measurement; names and types are those of `vitals.measurements`."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transport.stores.base import BlockRecord, HopWindow, PartHealth, StoredEvent
from transport.stores.influx_first import SIGN_NAMES, Newest, Sifted
from transport.stores.influx_lines import Known, keys, lines
from vitals import measurements as m
from vitals.alarm_fold import OpenAlarm, split_id
from vitals.events import SCORES, AlarmEvent, Frames, event_encoder
from vitals.hops import CLOCK_LEAST, CLOCK_MOST, Stamp
from vitals.ledger import Row
from vitals.patient_states import PatientState
from vitals.reading import USABLE_UP_TO, FloatArray, IntArray, Quality
from vitals.rules import RULES
from vitals.signs import N_SIGNS, SECOND_NS

_BITS: Final = 1 << np.arange(N_SIGNS)
_SIGNS: Final = pa.array(SIGN_NAMES, pa.string())
_json: Final = msgspec.json.Encoder()


def vitals(sifted: Sifted, newest: Newest) -> Any:
    """Readings that are first of their equals."""
    rows = np.flatnonzero(sifted.fresh)
    pair, index = np.unique(sifted.pair[rows], return_inverse=True)
    heads = pa.array([newest.heads[i] for i in pair.tolist()], pa.string())
    # Tags in the order of their names, as the server keeps them: device and patient stand in the head.
    key = pc.binary_join_element_wise(
        pc.take(heads, pa.array(index)), pc.take(_SIGNS, pa.array(sifted.sign[rows])), ",sign="
    )
    fields: dict[str, Any] = {
        "quality": sifted.quality[rows],
        "value": sifted.value[rows],
        "boot": sifted.boot[rows],
        "seq": sifted.seq[rows],
        "received_ns": sifted.received_ns[rows],
    }
    return lines(m.VITALS, key, fields, sifted.time_ns[rows])


def bundles(records: Sequence[BlockRecord]) -> Iterable[Any]:
    """Quality of the data: a line for each bundle. All blocks at once: on a quiet ward each holds one bundle."""
    blocks = [record.block for record in records if record.block.bundles]
    if not blocks:
        return

    def joined(name: str) -> Any:
        return np.concatenate([getattr(block, name) for block in blocks])

    count = np.concatenate([block.offsets[1:] - block.offsets[:-1] for block in blocks])
    of, quality, battery_pct = np.repeat(np.arange(len(count)), count), joined("quality"), joined("battery_pct")
    key = keys(
        m.BUNDLES,
        {
            "patient": [block.patients[i] for block in blocks for i in block.patient.tolist()],
            "device": [block.devices[i] for block in blocks for i in block.device.tolist()],
        },
    )
    fields: dict[str, Any] = {
        "n": joined("n"),
        "boot": joined("boot"),
        "seq": joined("seq"),
        "refused": joined("refused"),
        "doubtful": np.bincount(of[quality == Quality.DOUBTFUL], minlength=len(count)),
        "unusable": np.bincount(of[quality > USABLE_UP_TO], minlength=len(count)),
        "delay_s": (joined("received_ns") - joined("sent_ns")) / SECOND_NS,
        "queued": joined("queued"),
        "battery_pct": Known(battery_pct, battery_pct >= 0),
    }
    yield lines(m.BUNDLES, key, fields, joined("received_ns"))


def frames(told: Frames) -> Iterable[Any]:
    """Closed frames, and their scores."""
    n = len(told.patients)
    shapes = {(n, N_SIGNS): (told.value, told.measured, told.age_ns), (n, len(SCORES)): (told.low, told.high)}
    for shape, arrays in shapes.items():
        for array in arrays:
            if array.shape != shape:
                raise ValueError(f"frames of {n} patients: an array of shape {array.shape} should have {shape}")
    if not n:
        return
    end_ns = np.full(n, told.end_ns)
    fields: dict[str, Any] = {
        "start_ns": np.full(n, told.start_ns),
        "measured": (told.measured * _BITS).sum(axis=1),
        "missing": told.missing,
    }
    for i, name in enumerate(SIGN_NAMES):
        fields[name] = told.value[:, i]
        fields[f"{name}_age_ns"] = Known(told.age_ns[:, i], told.age_ns[:, i] >= 0)
    yield lines(m.FRAMES, keys(m.FRAMES, {"patient": told.patients}), fields, end_ns)
    for i, name in enumerate(SCORES):
        yield _scores(told.patients, name, told.low[:, i], told.high[:, i], end_ns)
    for i, name in enumerate(told.detectors):
        yield _scores(told.patients, name, told.detector[:, i], told.detector[:, i], end_ns)


def _scores(patients: list[str], name: str, low: FloatArray, high: FloatArray, end_ns: IntArray) -> Any:
    key = keys(m.SCORES, {"patient": patients, "score": [name] * len(patients)})
    assessable = ~(np.isnan(low) & np.isnan(high))
    return lines(m.SCORES, key, {"assessable": assessable, "low": low, "high": high}, end_ns)


def events(told: Sequence[tuple[StoredEvent, int]]) -> Any:
    """Alarm events, each with the time it stands at."""
    es = [stored.event for stored, _ in told]
    key = keys(
        m.ALARM_EVENTS,
        {
            "patient": [e.patient for e in es],
            "rule": [e.rule for e in es],
            "kind": [e.kind for e in es],
            "priority": [e.priority for e in es],
            "event": [e.event for e in es],
            "partition": [str(stored.partition) for stored, _ in told],
        },
    )
    to_alarm = [_to_alarm_s(stored) for stored, _ in told]
    due = np.array([-1 if e.due_ns is None else e.due_ns for e in es])
    fields: dict[str, Any] = {
        "event_id": [e.event_id for e in es],
        "alarm_id": [e.alarm_id for e in es],
        "n": np.array([e.n for e in es]),
        "at_ns": np.array([e.at_ns for e in es]),
        "level": np.array([e.level for e in es]),
        "cause": [e.cause for e in es],
        "by": [e.by or None for e in es],
        "device": [e.device or None for e in es],
        "due_ns": Known(due, np.array([e.due_ns is not None for e in es])),
        "delayed": np.array([e.delayed for e in es]),
        "since_raised_s": np.array([_since_raised_s(e) for e in es]),
        "to_alarm_s": np.array(to_alarm),
        "to_alarm_least_s": np.array([_to_alarm_s(stored, CLOCK_LEAST) for stored, _ in told]),
        "to_alarm_most_s": np.array([_to_alarm_s(stored, CLOCK_MOST) for stored, _ in told]),
        "body": [event_encoder.encode(e).decode() for e in es],
        "stamps": [_json.encode(dict(stored.stamps)).decode() for stored, _ in told],
    }
    return lines(m.ALARM_EVENTS, key, fields, np.array([at for _, at in told]))


def _since_raised_s(event: AlarmEvent) -> float:
    """Age of its alarm; NaN for a refused command, which is about none."""
    if event.event == "command_refused":
        return float("nan")
    return (event.at_ns - split_id(event.alarm_id)[1]) / SECOND_NS


def _to_alarm_s(stored: StoredEvent, clock: str = "") -> float:
    """From the measurement until it was scored; NaN where a stamp is missing, or the bound of the clock asked for."""
    stamps = stored.stamps
    if Stamp.MEASURED not in stamps or Stamp.SCORED not in stamps or (clock and clock not in stamps):
        return float("nan")
    told_ns = stamps[Stamp.SCORED] - stamps[Stamp.MEASURED]
    return max(0, told_ns + stamps[clock]) / SECOND_NS if clock else told_ns / SECOND_NS


def states(told: Sequence[PatientState]) -> Any:
    """How things stand; of equal patients and instants the last given."""
    rows = list({(s.patient, s.at_ns): s for s in told}.values())
    key = keys(m.ALARM_STATE, {"patient": [s.patient for s in rows], "partition": [str(s.partition) for s in rows]})
    measure = np.array([_measure(s.worst) for s in rows])
    fields: dict[str, Any] = {
        name: np.array([getattr(s, name) for s in rows])
        for name in m.ALARM_STATE.fields
        if not name.startswith("worst_")
    }
    fields |= {
        "worst_alarm_id": [s.worst and s.worst.alarm_id for s in rows],
        "worst_rule": [s.worst and s.worst.rule for s in rows],
        "worst_why": [s.worst and s.worst.why for s in rows],
        "worst_measure": Known(measure, measure >= 0),
        "worst_value": np.array([_number(s.worst, "value") for s in rows]),
        "worst_limit": np.array([_number(s.worst, "limit") for s in rows]),
    }
    return lines(m.ALARM_STATE, key, fields, np.array([s.at_ns for s in rows]))


def _measure(alarm: OpenAlarm | None) -> int:
    """The measure that an alarm is about; -1 where there is none."""
    rule = RULES.get(alarm.rule) if alarm is not None else None
    return -1 if rule is None or rule.measure is None else int(rule.measure)


def _number(alarm: OpenAlarm | None, what: Literal["value", "limit"]) -> float:
    """The value or score that an alarm rests on, or the limit that it passed; NaN where it tells none."""
    if alarm is None:
        return float("nan")
    told = [getattr(evidence, what) for evidence in alarm.evidence]
    if not told and what == "value" and alarm.score is not None:
        return alarm.score.low
    return float("nan") if not told or told[-1] is None else float(told[-1])


def hops(told: Sequence[HopWindow]) -> Any:
    """Hop times."""
    middle = np.array([(w.histogram.mean_ns, *w.histogram.percentiles(50, 95, 99, 99.9)) for w in told]).T
    fields: dict[str, Any] = {
        "count": np.array([w.histogram.count for w in told]),
        "mean_ns": middle[0],
        "p50_ns": middle[1],
        "p95_ns": middle[2],
        "p99_ns": middle[3],
        "p999_ns": middle[4],
        "max_ns": np.array([w.histogram.max_ns for w in told]),
        "histogram": [base64.b64encode(zlib.compress(w.histogram.to_bytes(), 1)).decode() for w in told],
    }
    key = keys(m.HOPS, {"part": [w.part for w in told], "hop": [w.hop for w in told]})
    return lines(m.HOPS, key, fields, np.array([w.at_ns for w in told]))


def health(told: Sequence[PartHealth]) -> Iterable[Any]:
    """What parts said of themselves."""
    for one in told:
        fields: dict[str, Any] = {"status": np.array([one.status]), "text": [one.text]}
        fields |= {name: np.array([number]) for name, number in one.numbers.items() if name not in fields}
        yield lines(m.PIPELINE, keys(m.PIPELINE, {"part": [one.part]}), fields, np.array([one.at_ns]))


def ledger(rows: Sequence[Row], at_ns: int) -> Any:
    """Sums of the ledger."""
    fields: dict[str, Any] = {name: np.array([getattr(row, name) for row in rows]) for name in m.LEDGER.fields}
    return lines(m.LEDGER, keys(m.LEDGER, {"device": [row.device for row in rows]}), fields, np.full(len(rows), at_ns))
