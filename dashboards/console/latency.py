"""How long every hop took, up to a person's screen.

Two stamps are made here. *pushed*: our server handed the event to the stream of a page. *shown*: the page said that
it has drawn it. The page's clock is never compared with ours: it says how long ago by its own stopwatch it drew, and
we count back from when its word arrived. So *shown* is late by the way of that word and never early: an upper bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vitals.hops import HOPS, Histogram, Hop, Stamp, differences

ARRIVED: Final = "arrived"
PUSHED: Final = "pushed"
_KEPT: Final = 20_000
_SHOWING: Final = frozenset({Hop.SHOW, Hop.TO_SHOWN})

# Hops inside `show`, which only the console can see: name, first stamp, last stamp, what they contain.
INSIDE: Final = (
    ("show:read", Stamp.EMITTED.value, ARRIVED, "from Kafka's acknowledgement to the console's consumer"),
    ("show:push", ARRIVED, PUSHED, "waiting for the page's next change, at most five a second"),
    ("show:draw", PUSHED, Stamp.SHOWN.value, "network, drawing, and the way of the page's word that it is drawn"),
)


@dataclass(slots=True)
class _Way:
    stamps: dict[str, int]
    counted: bool
    pages: set[str] = field(default_factory=set)


class HopTimes:
    """Stamps of events and a histogram for each hop.

    Args:
        started_ns: Ward time at which the console began to follow. Events emitted earlier are read back from the log:
            they have their stamps, and are not counted, or a restart would look like a slow page.
        speed: How fast ward time runs; a difference of stamps divided by it is time of the wall.
    """

    def __init__(self, started_ns: int, speed: float = 1.0) -> None:
        self._started_ns = started_ns
        self._speed = speed
        self._ways: OrderedDict[str, _Way] = OrderedDict()
        self._histograms: dict[str, Histogram] = {}
        self._disagreed: dict[str, int] = {}

    def on_event(self, event_id: str, stamps: Mapping[str, int], arrived_ns: int) -> bool:
        """Take the stamps that came with an event.

        Returns:
            Whether it is live: counted, and to be reported by the page once drawn.
        """
        counted = stamps.get(Stamp.EMITTED, self._started_ns - 1) >= self._started_ns
        way = _Way({**stamps, ARRIVED: arrived_ns}, counted)
        self._ways[event_id] = way
        if len(self._ways) > _KEPT:
            self._ways.popitem(last=False)
        if counted:
            for hop, duration in differences(way.stamps).items():
                if hop not in _SHOWING:
                    self._record(hop.value, duration)
            self._inside(way.stamps, "show:read")
        return counted

    def on_pushed(self, event_id: str, page: str, at_ns: int) -> None:
        """The server handed an event to a page's stream; the first page counts."""
        way = self._ways.get(event_id)
        if way is None:
            return
        way.pages.add(page)
        if PUSHED not in way.stamps:
            way.stamps[PUSHED] = at_ns
            if way.counted:
                self._inside(way.stamps, "show:push")

    def on_shown(self, event_id: str, page: str, at_ns: int) -> bool:
        """A page says that it has drawn an event; the first page counts.

        Returns:
            False where we never gave that page this event: a page cannot make up times.
        """
        way = self._ways.get(event_id)
        if way is None or page not in way.pages:
            return False
        if Stamp.SHOWN not in way.stamps:
            # Our own push is certain: what a page says cannot lie before it.
            way.stamps[Stamp.SHOWN] = max(at_ns, way.stamps[PUSHED])
            if way.counted:
                for hop, duration in differences(way.stamps).items():
                    if hop in _SHOWING:
                        self._record(hop.value, duration)
                self._inside(way.stamps, "show:draw")
        return True

    def of(self, event_id: str) -> list[dict[str, Any]]:
        """The hops of one event in the order of its way, wall time in milliseconds."""
        way = self._ways.get(event_id)
        if way is None:
            return []
        told = {hop.value: ns for hop, ns in differences(way.stamps).items()}
        for name, first, last, _ in INSIDE:
            if first in way.stamps and last in way.stamps:
                told[name] = way.stamps[last] - way.stamps[first]
        return [
            {"hop": name, "ms": round(told[name] / self._speed / 1e6, 3), "contains": contains}
            for name, contains, _ in _rows()
            if name in told
        ]

    def table(self) -> list[dict[str, Any]]:
        """A row for each hop that has samples: wall time in milliseconds, to 1 %; counts and means exact."""
        rows = []
        for name, contains, crosses in _rows():
            histogram = self._histograms.get(name)
            if histogram is None or not histogram.count:
                continue
            p50, p95, p99 = histogram.percentiles(50, 95, 99)
            times = {"mean": histogram.mean_ns, "p50": p50, "p95": p95, "p99": p99, "max": histogram.max_ns}
            rows.append(
                {"hop": name, "contains": contains, "crosses_clocks": crosses, "count": histogram.count}
                | {key: round(ns / 1e6, 3) for key, ns in times.items()}
                | {"negative": self._disagreed.get(name, 0)}
            )
        return rows

    def _inside(self, stamps: Mapping[str, int], wanted: str) -> None:
        for name, first, last, _ in INSIDE:
            if name == wanted and first in stamps and last in stamps:
                self._record(name, stamps[last] - stamps[first])

    def _record(self, name: str, duration_ns: int) -> None:
        if duration_ns < 0:
            self._disagreed[name] = self._disagreed.get(name, 0) + 1
        self._histograms.setdefault(name, Histogram()).record(round(duration_ns / self._speed))


def _rows() -> list[tuple[str, str, bool]]:
    """All hops in the order of the way: name, contents, whether it crosses clocks."""
    rows = []
    for hop, row in HOPS.items():
        rows.append((hop.value, row.contains, row.crosses_clocks))
        if hop is Hop.SHOW:
            rows += [(name, contains, False) for name, _, _, contains in INSIDE]
    return rows
