"""What was written into a store, kept beside it, and what dashboards and rules should therefore say.

Nothing here asks InfluxDB and nothing knows how a question is worded: the numbers are computed from the batches that
the storing app handed over, by other means (NumPy), so that a wrong question or a wrong store shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from dashboards.grafana import boards
from dashboards.grafana.checking import Expectation, Told
from transport.stores.base import Batch, HopWindow, StoredEvent
from vitals import topics
from vitals.events import SCORES, Frames
from vitals.faults import Fault
from vitals.hops import HOPS, Hop, Stamp
from vitals.measurements import STATE_EVERY_NS
from vitals.patient_states import WATCHED, PatientState
from vitals.reading import USABLE_UP_TO
from vitals.signs import SECOND_NS, SOURCES, Measure, Sign

Labels: TypeAlias = frozenset[tuple[str, str]]
_CLOSE: Final = 1e-9


class Facts:
    """Everything that a store acknowledged, each thing once.

    Attributes:
        events: By id.
        states: By patient and instant; the last told stands.
        frames: By end.
        hops: By part, hop and instant.
        readings: (patient, device, sign, time) -> (value, quality); the first stands.
        bundles: Readings that the devices put into the bundles that came, by (device, boot, seq) and offset.
        parts: Parts that said how they are.
        numbers: What each part told last, by name.
    """

    def __init__(self) -> None:
        self.events: dict[str, StoredEvent] = {}
        self.states: dict[tuple[str, int], PatientState] = {}
        self.frames: dict[int, Frames] = {}
        self.hops: dict[tuple[str, str, int], HopWindow] = {}
        self.readings: dict[tuple[str, str, int, int], tuple[float, int]] = {}
        self.bundles: dict[tuple[str, str, int], int] = {}
        self.parts: set[str] = set()
        self.numbers: dict[str, tuple[int, Mapping[str, float]]] = {}

    def note(self, batch: Batch) -> None:
        """Take what a store has just acknowledged."""
        for stored in batch.events:
            self.events.setdefault(stored.event.event_id, stored)
        for state in batch.states:
            self.states[state.patient, state.at_ns] = state
        for frames in batch.frames:
            self.frames[frames.end_ns] = frames
        for window in batch.hops:
            self.hops[window.part, window.hop, window.at_ns] = window
        for health in batch.health:
            self.parts.add(health.part)
            if health.at_ns >= self.numbers.get(health.part, (0, {}))[0]:
                self.numbers[health.part] = (health.at_ns, health.numbers)
        for record in batch.blocks:
            self._note_block(record.block)

    def _note_block(self, block: Any) -> None:
        for bundle in range(block.bundles):
            patient, device = block.patients[block.patient[bundle]], block.devices[block.device[bundle]]
            self.bundles[patient, device, int(block.received_ns[bundle])] = int(block.n[bundle])
            for i in range(block.offsets[bundle], block.offsets[bundle + 1]):
                key = (patient, device, int(block.sign[i]), int(block.time_ns[i]))
                self.readings.setdefault(key, (float(block.value[i]), int(block.quality[i])))

    # -- what follows from it ------------------------------------------------------------------------------------------

    def span(self) -> tuple[int, int]:
        """First and last instant of which anything was told."""
        times = [when for _, when in self.states] + [one.event.at_ns for one in self.events.values()]
        times += [when for *_, when in self.readings] + [when for *_, when in self.hops]
        return min(times), max(times)

    def newest(self, at_ns: int) -> dict[str, PatientState]:
        """The state of every patient that stands at an instant."""
        found: dict[str, PatientState] = {}
        for (patient, when), state in self.states.items():
            if when <= at_ns and (patient not in found or found[patient].at_ns < when):
                found[patient] = state
        return found

    def raised(self, condition: Callable[[StoredEvent], bool] = lambda _: True) -> list[StoredEvent]:
        """Events of patients' alarms that were raised."""
        return [one for one in self.clinical() if one.event.event == "raised" and condition(one)]

    def clinical(self) -> list[StoredEvent]:
        """Events of patients' alarms: not about ourselves, not of the test patient."""
        return [one for one in self.events.values() if topics.clinical(one.event.patient)]

    def busiest(self) -> str:
        """The patient with most alarm events: for the dashboard *Patient*."""
        return Counter(one.event.patient for one in self.clinical()).most_common(1)[0][0]

    def fullest(self) -> str:
        """The patient of whom most kinds of signs were measured."""
        kinds: dict[str, set[int]] = defaultdict(set)
        for patient, _, sign, _ in self.readings:
            if topics.clinical(patient):
                kinds[patient].add(sign)
        return max(sorted(kinds), key=lambda patient: len(kinds[patient]))

    def expectations(self, patient: str, to_ns: int) -> dict[tuple[str, str], Expectation]:
        """What panels should say, by dashboard and title."""
        found: dict[tuple[str, str], Expectation] = {}
        found |= self._ward(to_ns)
        found |= {(boards.PATIENT, title): one for title, one in self._patient(patient).items()}
        found |= {(boards.LATENCY, title): one for title, one in self._latency().items()}
        found |= {(boards.BURDEN, title): one for title, one in self._burden().items()}
        found |= {(boards.PIPELINE, title): one for title, one in self._pipeline().items()}
        return found

    def _pipeline(self) -> dict[str, Expectation]:
        late = len(
            [one for one in self.events.values() if one.event.rule == "model-late" and one.event.event == "raised"]
        )
        states = Counter(str(state.partition) for state in self.states.values())
        return {
            "Readings of the bundles that came": lambda told: _same(
                "readings put in", sum(self.bundles.values()), _total(told, "A")
            ),
            "Risk scores late or missing": lambda told: _same("raised", late, _total(told, "A") or 0),
            "Alarm states written, by partition": lambda told: _same(
                "states",
                dict(states),
                {tags["partition"]: sum(row[1] for row in rows) for _, tags, _, rows in told.only.series},
            ),
            "Refused since the bridge's start, by reason": self._refused,
            "What the parts say of themselves": lambda told: _same(
                "parts", self.parts, {tags["part"] for _, tags, _, _ in told.only.series}
            ),
        }

    def _refused(self, told: Told) -> str:
        """What the bridge refused, by reason, as it told last: it only counts upwards."""
        numbers = self.numbers["bridge"][1]
        wanted = [numbers[f"faults_{fault.value}"] for fault in Fault]
        found = [
            max(row[1] for row in answer.series[0][3]) if answer.series else None for answer in told.answers.values()
        ]
        return _same("refused by reason", wanted, found) or ("" if any(wanted) else "nothing was refused in this run")

    def _ward(self, to_ns: int) -> dict[tuple[str, str], Expectation]:
        ward = [state for state in self.newest(to_ns).values() if topics.clinical(state.patient)]
        watched = [state for state in ward if state.watch == WATCHED]

        def number(title: str, holds: Callable[[PatientState], bool]) -> Expectation:
            def judge(told: Told) -> str:
                return _same(title, sum(map(holds, watched)), _total(told, "A"))

            return judge

        numbers: dict[str, Callable[[PatientState], bool]] = {
            "Watched": lambda state: True,  # noqa: ARG005 - all of them
            "High alarm open": lambda state: state.priority == 3,
            "Nobody has answered": lambda state: state.unattended > 0,
            "Overdue": lambda state: state.overdue_s > 0,
            "Data stopped under an alarm": lambda state: state.unobserved > 0,
        }
        found = {(boards.WARD, title): number(title, holds) for title, holds in numbers.items()}
        wanted = {
            state.patient: (state.priority, state.open, state.worst.rule if state.worst else None) for state in ward
        }

        def needs(told: Told) -> str:
            rows = {
                tags["patient"]: tuple(values[0][columns.index(name)] for name in ("priority", "open", "worst_rule"))
                for _, tags, columns, values in told.only.series
            }
            return _same("state of each patient", wanted, rows)

        found[boards.WARD, "Who needs someone now"] = needs
        return found

    def _patient(self, patient: str) -> dict[str, Expectation]:
        def readings(signs: Iterable[Sign]) -> Expectation:
            return lambda told: _buckets(told, "sign", self._means(patient, signs, told))

        def bounds(index: int) -> Expectation:
            return lambda told: self._bounds(patient, index, told)

        def standing(sign: Sign) -> Expectation:
            return lambda told: _buckets(told, "", self._framed(patient, told, lambda f, i: f.value[i, sign]))

        found: dict[str, Expectation] = {}
        for measure, signs in SOURCES.items():
            observed = measure in {Measure.CONSCIOUSNESS, Measure.OXYGEN}
            found[measure.label.capitalize()] = standing(signs[0]) if observed else readings(signs)
        for index, score in enumerate(SCORES):
            found[score.upper()] = bounds(index)
        found["Learned detectors"] = lambda told: self._detectors(patient, told)
        mine = sum(one.event.patient == patient for one in self.events.values())
        found["Alarm events"] = lambda told: _same("events", min(mine, 200), told.rows)
        return found

    def _means(self, patient: str, signs: Iterable[Sign], told: Told) -> dict[tuple[str, int], float]:
        """Mean of the usable readings of each sign and bucket of time."""
        kept: dict[tuple[str, int], list[float]] = defaultdict(list)
        for (who, _, sign, time_ns), (value, quality) in self.readings.items():
            inside = told.window.from_ns <= time_ns <= told.window.to_ns // 1_000_000 * 1_000_000
            if who == patient and sign in set(signs) and quality <= USABLE_UP_TO and inside and np.isfinite(value):
                kept[Sign(sign).column, time_ns // (told.interval_s * SECOND_NS)].append(value)
        return {key: float(np.mean(values)) for key, values in kept.items()}

    def _framed(self, patient: str, told: Told, of: Callable[[Frames, int], Any]) -> dict[tuple[str, int], float]:
        """The last known value in each bucket of time of something that frames hold (given a frame and its row)."""
        found: dict[tuple[str, int], float] = {}
        for end_ns in sorted(self.frames):
            frames = self.frames[end_ns]
            if patient in frames.patients and told.window.from_ns <= end_ns <= told.window.to_ns:
                value = float(of(frames, frames.patients.index(patient)))
                if np.isfinite(value):
                    found["", end_ns // (told.interval_s * SECOND_NS)] = value
        return found

    def _bounds(self, patient: str, index: int, told: Told) -> str:
        """The last bounds of a score in each bucket of time."""
        low = _buckets(told, "", self._framed(patient, told, lambda f, i: f.low[i, index]), "A")
        return low or _buckets(told, "", self._framed(patient, told, lambda f, i: f.high[i, index]), "B")

    def _detectors(self, patient: str, told: Told) -> str:
        """The last score of each detector in each bucket of time."""
        wanted: dict[tuple[str, int], float] = {}
        for end_ns in sorted(self.frames):
            frames = self.frames[end_ns]
            if patient not in frames.patients or not told.window.from_ns <= end_ns <= told.window.to_ns:
                continue
            for name, value in zip(frames.detectors, frames.detector[frames.patients.index(patient)], strict=True):
                if np.isfinite(value):
                    wanted[name, end_ns // (told.interval_s * SECOND_NS)] = float(value)
        return _buckets(told, "score", wanted)

    def _latency(self) -> dict[str, Expectation]:
        newest: dict[tuple[str, str], HopWindow] = {}
        for (part, hop, at_ns), window in sorted(self.hops.items(), key=lambda one: one[0][2]):
            if window.histogram.count:
                newest[part, hop] = window
            del at_ns

        def hops(told: Told) -> str:
            rows = {
                (tags["part"], tags["hop"]): dict(zip(columns, values[0], strict=True))
                for _, tags, columns, values in told.only.series
            }
            for key, window in newest.items():
                row = rows.get(key, {})
                for percent, name in ((50, "p50"), (95, "p95"), (99, "p99"), (99.9, "p99.9")):
                    wanted = window.histogram.percentile(percent)
                    if problem := _same(f"{name} of {key}", wanted, row.get(name)):
                        return problem
            return "" if newest else "no hop was measured"

        def by(tag: Callable[[StoredEvent], str], name: str) -> Expectation:
            times: dict[str, list[float]] = defaultdict(list)
            for one in self.events.values():
                if Stamp.MEASURED in one.stamps and Stamp.SCORED in one.stamps:
                    took_s = (one.stamps[Stamp.SCORED] - one.stamps[Stamp.MEASURED]) / SECOND_NS
                    times[tag(one)].append(took_s)

            def judge(told: Told) -> str:
                rows = {
                    tags[name]: dict(zip(columns, values[0], strict=True))
                    for _, tags, columns, values in told.only.series
                }
                for key, values in times.items():
                    row = rows.get(key, {})
                    if problem := _same(f"count of {key}", len(values), row.get("count")):
                        return problem
                    least, most = min(values), max(values)
                    if not least - _CLOSE <= row["p50"] <= row["p99"] <= most + _CLOSE:
                        return f"percentiles of {key} lie outside of {least}..{most}: {row}"
                return "" if times else "no event tells its stamps"

            return judge

        measured = {hop for _, hop in newest}

        def curve(hop: Hop) -> Expectation:
            # A part measures some hops; one that nobody measures has no curve.
            return lambda told: _same(f"whether {hop} was measured", hop.value in measured, told.rows > 0)

        return {
            **{f"{hop.value}: {row.start.value} → {row.end.value}": curve(hop) for hop, row in HOPS.items()},
            "Every hop, as last told": hops,
            "Measured to alarm, by partition": by(lambda one: str(one.partition), "partition"),
            "Measured to alarm, by rule": by(lambda one: one.event.rule, "rule"),
        }

    def _burden(self) -> dict[str, Expectation]:
        days = sum(sum(map(topics.clinical, frames.patients)) for frames in self.frames.values()) / 1440
        expired = sum(one.event.event == "acknowledgement_expired" for one in self.clinical())

        def rate(condition: Callable[[StoredEvent], bool]) -> Expectation:
            wanted = len(self.raised(condition)) / days if days else float("nan")
            return lambda told: _same("raised a patient-day", wanted, told.numbers["E"].get(frozenset()))

        def counts(tag: str) -> Expectation:
            wanted = Counter(str(getattr(one.event, tag)) for one in self.raised())
            return lambda told: _same(f"raised by {tag}", dict(wanted), _by_tag(told, tag))

        answered: dict[str, list[float]] = defaultdict(list)
        for one in self.clinical():
            if one.event.event == "acknowledged":
                raised_ns = int(one.event.alarm_id.rsplit(":", 1)[1])
                answered[one.event.priority].append((one.event.at_ns - raised_ns) / SECOND_NS)

        def acknowledged(told: Told) -> str:
            rows = {
                tags["priority"]: dict(zip(columns, values[0], strict=True))
                for _, tags, columns, values in told.only.series
            }
            longest = {priority: row["longest"] for priority, row in rows.items()}
            return _same("longest time to acknowledge", {key: max(values) for key, values in answered.items()}, longest)

        return {
            "All alarms: raised a patient-day": rate(lambda _: True),
            "About the patient: raised a patient-day": rate(lambda one: one.event.kind == "physiological"),
            "About equipment: raised a patient-day": rate(lambda one: one.event.kind == "technical"),
            "Alarms raised, by rule": counts("rule"),
            "Alarms raised, by patient": counts("patient"),
            "Time to acknowledge, by priority": acknowledged,
            "Acknowledgements that ran out": lambda told: _same("ran out", expired, _total(told, "A") or 0),
        }

    # -- rules ---------------------------------------------------------------------------------------------------------

    def moments(self, uid: str, to_ns: int, count: int = 12) -> list[tuple[int, set[Labels] | None]]:
        """Instants at which a rule about patients is asked, and who should fire then.

        The instants lie half-way between two points, from the first state to the last.
        """
        rank = {"teleward-low": 1, "teleward-medium": 2, "teleward-high": 3}
        tests: dict[str, Callable[[PatientState], bool]] = {
            "teleward-overdue": lambda state: state.overdue_s > 0,
            "teleward-unobserved": lambda state: state.unobserved > 0,
        }
        if uid in rank:
            tests[uid] = lambda state: state.priority == rank[uid]
        holds = tests[uid]
        first = min(when for _, when in self.states)
        found: list[tuple[int, set[Labels] | None]] = []
        for instant in np.linspace(first, to_ns, count).astype(int):
            now_ns = int(instant) // STATE_EVERY_NS * STATE_EVERY_NS + STATE_EVERY_NS // 2
            states = self.newest(now_ns).values()
            fire = {frozenset({("patient", s.patient)}) for s in states if topics.clinical(s.patient) and holds(s)}
            found.append((now_ns, fire))
        return found

    def stopped(self, to_ns: int) -> set[Labels]:
        """Partitions that somebody should be watching: they fire when states stop."""
        return {
            frozenset({("partition", str(state.partition))}) for state in self.newest(to_ns).values() if state.watch > 0
        }


def _total(told: Told, letter: str) -> float | None:
    values = [value for one in told.answers[letter].as_series() for _, value in one.points if value is not None]
    return sum(values) if values else None


def _by_tag(told: Told, tag: str) -> dict[str, float | None]:
    return {tags[tag]: rows[0][1] for _, tags, _, rows in told.only.series}


def _buckets(told: Told, tag: str, wanted: Mapping[tuple[str, int], float], letter: str = "A") -> str:
    found = {
        (tags.get(tag, ""), row[0] // (told.interval_s * SECOND_NS)): row[1]
        for _, tags, _, rows in told.answers[letter].series
        for row in rows
        if row[1] is not None
    }
    return _same("values over time", dict(wanted), found)


def _same(what: str, wanted: Any, found: Any) -> str:
    """What differs, in words; numbers may differ by rounding."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        if wanted.keys() != found.keys():
            odd = sorted(map(str, wanted.keys() ^ found.keys()))
            return f"{what}: {len(odd)} are only on one side, such as {odd[0]}"
        return next(filter(None, (_same(f"{what}, {key}", wanted[key], found[key]) for key in wanted)), "")
    if isinstance(wanted, (int, float)) and isinstance(found, (int, float)):
        close = abs(wanted - found) <= _CLOSE * max(1.0, abs(wanted))
        return "" if close else f"{what} is {found}, should be {wanted}"
    return "" if wanted == found else f"{what} is {found}, should be {wanted}"
