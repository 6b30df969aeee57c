"""How long every hop took, up to a person's screen.

Two stamps are made here. *pushed*: our server handed the event to the stream of a page. *shown*: the page said that
it has drawn it. The page's clock is never compared with ours: it says how long ago by its own stopwatch it drew, and
we count back from when its word arrived. So *shown* is late by the way of that word and never early: an upper bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from vitals.hops import HOPS, Histogram, HistogramError, Hop, Stamp, differences, spread

ARRIVED: Final = "arrived"
PUSHED: Final = "pushed"
_KEPT: Final = 20_000
_CROSSING: Final = frozenset(hop.value for hop, row in HOPS.items() if row.crosses_clocks)
_SHOWING: Final = frozenset({Hop.SHOW, Hop.TO_SHOWN})


class _Own(NamedTuple):
    """A hop that only the console can see.

    Attributes:
        name: Names it on the page.
        start: Stamp at its start.
        end: Stamp at its end.
        contains: What the time goes into.
        unless: Left out where this stamp is known, for then a finer hop tells it.
    """

    name: str
    start: str
    end: str
    contains: str
    unless: str = ""


OWN: Final = (
    _Own("carry", "received", "fetched", "the bridge's block, Kafka's log, the consumer's queue", Stamp.APPENDED),
    _Own("show:read", "scored", ARRIVED, "Kafka's acknowledgement of the event, and the console's consumer"),
    _Own("show:push", ARRIVED, PUSHED, "waiting for the page's next change, at most five a second"),
    _Own("show:draw", PUSHED, "shown", "network, drawing, and the way of the page's word that it is drawn"),
    _Own("show:all", "scored", "shown", "from the ward's judgement to the page", Stamp.EMITTED),
)


@dataclass(slots=True)
class _Way:
    stamps: dict[str, int]
    counted: bool
    pages: set[str] = field(default_factory=set)


class HopTimes:
    """Stamps of events and a histogram for each hop.

    Args:
        started_ns: Ward time at which the console began to follow. Events judged earlier are read back from the log:
            they have their stamps, and are not counted, or a restart would look like a slow page.
        speed: How fast ward time runs; a difference of stamps divided by it is time of the wall.
    """

    def __init__(self, started_ns: int, speed: float = 1.0) -> None:
        self._started_ns = started_ns
        self._speed = speed
        self._ways: OrderedDict[str, _Way] = OrderedDict()
        self._histograms: dict[str, Histogram] = {}
        self._disagreed: dict[str, int] = {}
        self._parts: dict[tuple[str, str], Histogram] = {}

    def on_event(self, event_id: str, stamps: Mapping[str, int], arrived_ns: int) -> bool:
        """Take the stamps that came with an event.

        Returns:
            Whether it is live: counted, and to be reported by the page once drawn.
        """
        counted = stamps.get(Stamp.SCORED, self._started_ns - 1) >= self._started_ns
        way = _Way({**stamps, ARRIVED: arrived_ns}, counted)
        self._ways[event_id] = way
        if len(self._ways) > _KEPT:
            self._ways.popitem(last=False)
        if counted:
            for hop, duration in differences(way.stamps).items():
                if hop not in _SHOWING:
                    self._record(hop.value, duration)
            self._own(way.stamps, ARRIVED, "fetched")
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
                self._own(way.stamps, PUSHED)

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
                self._own(way.stamps, Stamp.SHOWN)
        return True

    def on_part(self, part: str, told: Mapping[str, Any]) -> None:
        """Take the hop times that a part has of all its traffic, in words of health: hop -> histogram in hex."""
        for hop, data in told.items():
            try:
                histogram = Histogram.from_bytes(bytes.fromhex(data))
            except (HistogramError, ValueError, TypeError):
                continue  # of another version: its part goes on, this table does without
            if histogram.count:
                self._parts[hop, part] = histogram

    def of(self, event_id: str, people: Mapping[str, int] = MappingProxyType({})) -> list[dict[str, Any]]:
        """The hops of one event in the order of its way, for a waterfall; wall time in milliseconds.

        Args:
            event_id: Of the event.
            people: What became of it at people, by `vitals.hops.Stamp`: the pager tells it, not the event.

        Returns:
            A row for each hop that is known: how long (`ms`), from when after the first stamp (`start`), and whether
            it `crosses_clocks`: then it holds the error of the device's clock and may be negative; what it was at least
            and at most stands beside it (`least`, `most`) where both directions between the clocks are known.
        """
        way = self._ways.get(event_id)
        if way is None:
            return []
        stamps = {**way.stamps, **people}
        spans = {hop.value: (stamps[HOPS[hop].start], ns) for hop, ns in differences(stamps).items()}
        spans |= {
            own.name: (stamps[own.start], stamps[own.end] - stamps[own.start]) for own in OWN if _known(own, stamps)
        }
        first = min((start for start, _ in spans.values()), default=0)
        return [
            {
                "hop": name,
                "ms": self._wall_ms(spans[name][1]),
                "start": self._wall_ms(spans[name][0] - first),
                "contains": contains,
                "crosses_clocks": crosses,
                **self._spread(name, stamps),
            }
            for name, contains, crosses in _rows()
            if name in spans
        ]

    def _spread(self, name: str, stamps: Mapping[str, int]) -> dict[str, float]:
        """Between what a hop lies that crosses clocks, where the bounds of the device's clock are known."""
        found = spread(Hop(name), stamps) if name in _CROSSING else None
        return {} if found is None else {"least": self._wall_ms(found[0]), "most": self._wall_ms(found[1])}

    def _wall_ms(self, ns: int) -> float:
        return round(ns / self._speed / 1e6, 3)

    def table(self) -> list[dict[str, Any]]:
        """Alarm events as this console followed them: a row for each hop that has samples, in wall time."""
        rows = []
        for name, contains, crosses in _rows():
            histogram = self._histograms.get(name)
            if histogram is not None and histogram.count:
                row = {"hop": name, "contains": contains, "crosses_clocks": crosses, "negative": self._negative(name)}
                rows.append(row | _told(histogram, 1.0))
        return rows

    def parts(self) -> list[dict[str, Any]]:
        """All traffic as the parts time it: a row for each hop and part, in wall time."""
        rows = []
        for name, contains, crosses in _rows():
            for (hop, part), histogram in sorted(self._parts.items()):
                if hop == name:
                    row = {"hop": name, "contains": contains, "crosses_clocks": crosses, "part": part}
                    rows.append(row | _told(histogram, self._speed))
        return rows

    def _own(self, stamps: Mapping[str, int], *ends: str) -> None:
        for own in OWN:
            if own.end in ends and _known(own, stamps):
                self._record(own.name, stamps[own.end] - stamps[own.start])

    def _negative(self, name: str) -> int:
        return self._disagreed.get(name, 0)

    def _record(self, name: str, duration_ns: int) -> None:
        if duration_ns < 0:
            self._disagreed[name] = self._disagreed.get(name, 0) + 1
        self._histograms.setdefault(name, Histogram()).record(round(duration_ns / self._speed))


def _told(histogram: Histogram, speed: float) -> dict[str, Any]:
    """Milliseconds of the wall; counts and means exact, percentiles to 1 %."""
    p50, p95, p99 = histogram.percentiles(50, 95, 99)
    times = {"mean": histogram.mean_ns, "p50": p50, "p95": p95, "p99": p99, "max": histogram.max_ns}
    return {"count": histogram.count} | {key: round(ns / speed / 1e6, 3) for key, ns in times.items()}


def _known(own: _Own, stamps: Mapping[str, int]) -> bool:
    return own.start in stamps and own.end in stamps and own.unless not in stamps


def _rows() -> list[tuple[str, str, bool]]:
    """All hops in the order of the way: name, contents, whether it crosses clocks."""
    own = {hop.name: (hop.name, hop.contains, False) for hop in OWN}
    rows = []
    for hop, row in HOPS.items():
        if hop is Hop.LOG:
            rows.append(own["carry"])
        if hop is Hop.SHOW:
            rows += [own[name] for name in ("show:read", "show:push", "show:draw", "show:all")]
        rows.append((hop.value, row.contains, row.crosses_clocks))
    return rows
