"""What a ward is made of and what it gives: its detectors, settings, outcome and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from vitals.align import AlignSettings
from vitals.detector import Detector
from vitals.events import AlarmEvent, Frames
from vitals.ewma import Ewma
from vitals.signs import SECOND_NS


class Plugged(NamedTuple):
    """A detector and the rule that judges it; no rule: it runs in shadow, scored and stored, never alarmed."""

    detector: Detector
    rule: str | None
    name: str = ""

    @property
    def label(self) -> str:
        """The name its scores are stored under: its detector's, or its own where a second version runs in shadow."""
        return self.name or self.detector.name


Plugs: TypeAlias = tuple[Plugged, ...]


def default_detectors() -> Plugs:
    """The EWMA control under the anomaly rule."""
    return (Plugged(Ewma(), "anomaly"),)


DETECTORS_AFTER_NS: Final = 2 * SECOND_NS
"""How long a host computes beside the stream before a ward asks its detectors, where it does."""


@dataclass(frozen=True, slots=True)
class WardSettings:
    """How a ward behaves.

    Attributes:
        align: Grid, allowed lateness, and how long slow devices' values stay valid.
        bridge_behind_ns: A bridge whose newest tick is this much behind the others' no longer holds time back.
        detectors_after_ns: How long after a frame has closed its detectors are asked: the time a host has to compute
            beside the limits, and to say in the log that one is late. Below the grid's length.
    """

    align: AlignSettings = field(default_factory=AlignSettings)
    bridge_behind_ns: int = 10 * SECOND_NS
    detectors_after_ns: int = 0

    def __post_init__(self) -> None:
        """Refuse a wait that would reach into the next frame."""
        if not 0 <= self.detectors_after_ns < self.align.grid_ns:
            raise ValueError(f"detectors_after_ns is {self.detectors_after_ns}; it takes 0 to below a frame")


@dataclass(slots=True)
class Outcome:
    """What a step brought about, in order.

    Attributes:
        events: Alarm events.
        frames: Frames that closed, with their scores.
    """

    events: list[AlarmEvent] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)


@dataclass(slots=True)
class WardCounts:
    """What a ward has counted, in readings (bundles are counted by `vitals.sequence.Counts`).

    Attributes:
        judged: Readings judged as live, delayed ones included.
        delayed: Of these, the ones sent in time and received late.
        late: Readings sent late by their device: down the late lane.
        unusable: Readings of poor signal or without contact.
    """

    judged: int = 0
    delayed: int = 0
    late: int = 0
    unusable: int = 0
