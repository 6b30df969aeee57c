"""What the pager sees of the ward beside its alarms: whether time goes on, how many are watched, how old readings are.

Read from what the parts say of themselves, from closed frames and from the registry; the pager needs none of it to
page. Silence is judged by the wall, for a ward whose time stands still has no other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from stream_processors.paging import own
from stream_processors.paging.state import Found
from stream_processors.paging.watch import WardView
from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import frames_codec, topics
from vitals import log as records
from vitals.frames_codec import FramesError
from vitals.log import Enrolment, LogError

_READ: Final = (topics.HEALTH.name, topics.FRAMES.name, topics.REGISTRY.name)
_GONE_S: Final = 8.0  # a worker that has not spoken for so long has gone: what it did is another's, if there is one

# What shows that ward time goes on: of whom it is asked (one bridge that ticks is enough, every worker of monitoring
# must go on, for each has partitions of its own), and what it means when it stops.
_SIGNS_OF_LIFE: Final = {
    "tick_ns": (min, "no tick for {:.0f} s: no bridge appends one"),
    "judged_ns": (max, "ticks were not judged for {:.0f} s: monitoring stands"),
}


class WardFollower:
    """Follows health, frames and registry.

    Args:
        kafka: Where.
        silence_s: Seconds of the wall without ward time going on, before that is found.
        monotonic_s: A clock that only rises.
        me: Which pager this is.
    """

    def __init__(
        self, kafka: KafkaSettings, silence_s: float, monotonic_s: Callable[[], float] = time.monotonic, me: str = ""
    ) -> None:
        self._kafka = kafka
        self._silence_s = silence_s
        self._monotonic_s = monotonic_s
        # what -> part -> (how far it came, when it last went on, when it last spoke)
        self._progress: dict[str, dict[str, tuple[int, float, float]]] = {what: {} for what in _SIGNS_OF_LIFE}
        self._enrolled: dict[str, str] = {}
        self._newest: dict[str, int] = {}  # patient -> end of the newest value that stands
        self._ends: dict[str, int] = {}
        self._me = me
        self._others: dict[str, float] = {}  # another pager -> when it last spoke

    async def follow(self, came_round: Callable[[], None]) -> None:
        """Read until cancelled, or until Kafka fails."""
        begin = {(topics.REGISTRY.name, 0): 0}
        async with TopicReader(self._kafka, _READ, offsets=begin, begin="latest", compacted=True) as reader:
            while True:
                found = await reader.read(timeout_s=5.0)
                came_round()  # that nothing comes is judged by `standstill`
                for record in found:
                    self.take(record)

    def take(self, record: Record) -> None:
        """A record of registry, frames or health; what cannot be read is left alone."""
        with contextlib.suppress(FramesError, LogError, msgspec.DecodeError, ValueError, TypeError):
            if record.topic == topics.REGISTRY.name:
                self._on_registry(record.value)
            elif record.topic == topics.FRAMES.name:
                self._on_frames(record.value or b"")
            else:
                self.on_health(msgspec.json.decode(record.value or b"", type=dict[str, Any]))

    def _on_registry(self, value: bytes | None) -> None:
        said = records.decode(value or b"null")
        if isinstance(said, Enrolment) and topics.clinical(said.patient):
            self._enrolled[said.patient] = said.state

    def on_health(self, told: dict[str, Any]) -> None:
        """A part speaks of itself."""
        now_s, part = self._monotonic_s(), str(told.get("part", ""))
        if part == "pager" and told.get("pager", self._me) != self._me:
            self._others[str(told["pager"])] = now_s
        for what, parts in self._progress.items():
            at_ns = told.get(what)
            if isinstance(at_ns, int) and not isinstance(at_ns, bool) and at_ns >= 0:
                before = parts.get(part)
                went_on = before is None or at_ns > before[0]
                parts[part] = (at_ns, now_s if went_on or before is None else before[1], now_s)

    def _on_frames(self, data: bytes) -> None:
        frames = frames_codec.decode(data)
        stands = ~np.isnan(frames.value)
        age_ns = np.where(stands & (frames.age_ns >= 0), frames.age_ns, np.iinfo(np.int64).max).min(axis=1)
        for row, patient in enumerate(frames.patients):
            if frames.end_ns < self._ends.get(patient, 0) or not topics.clinical(patient):
                continue
            self._ends[patient] = frames.end_ns
            if stands[row].any():
                self._newest[patient] = frames.end_ns - int(age_ns[row])
            else:
                self._newest.pop(patient, None)

    def view(self) -> WardView | None:
        """For quiet-shift messages; None before the first enrolment was read."""
        admitted = [patient for patient, state in self._enrolled.items() if state == "admitted"]
        if not admitted:
            return None
        newest = [self._newest[patient] for patient in admitted if patient in self._newest]
        return WardView(patients=len(admitted), watched=len(newest), oldest_ns=min(newest, default=None))

    def standstill(self) -> Found:
        """Whether ward time stands still: no tick, or none that was judged."""
        now_s = self._monotonic_s()
        causes = []
        for what, parts in self._progress.items():
            alive = [seen for seen in parts.values() if now_s - seen[2] < _GONE_S] or list(parts.values())
            worst, words = _SIGNS_OF_LIFE[what]
            silent_s = worst((now_s - went_on for _, went_on, _ in alive), default=0.0)
            if silent_s >= self._silence_s:
                causes.append(words.format(silent_s))
        return Found(rule=own.PIPELINE, cause="; ".join(causes) or None)

    def twice(self) -> Found:
        """Whether another pager pages for this ward as well."""
        now_s = self._monotonic_s()
        others = sorted(name for name, at in self._others.items() if now_s - at < _GONE_S)
        cause = f"another pager ({', '.join(others)}) pages for this ward as well" if others else None
        return Found(rule=own.TWICE, cause=cause)
