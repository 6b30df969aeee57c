"""What goes wrong on the way, on top of a recording: by a scenario file, the same at any speed and on either way. Pure.

```yaml
seed: 7
faults:
  - {fault: lost, device: "*-wrist", rate: 0.02, at: 5m, for: 10m}   # never arrives
  - {fault: delayed, rate: 0.05, by: 30s}                            # arrives up to so much later
  - {fault: twice, rate: 0.1, by: 5s}                                # and again, up to so much later
  - {fault: reordered, rate: 0.05, by: 12s}                          # overtaken: arrives just so much later
  - {fault: clock, device: w-1, offset: 20s, drift_ppm: 50}          # its clock is ahead, and drifts
  - {fault: restart, broker: mqtt, at: 10m}                          # through the stream: mqtt, kafka or store
```

Times count from the first instant. Chance is drawn from each bundle's own bytes: which bundles are hit does not depend
on what else is played.
"""

from __future__ import annotations

import fnmatch
import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from device_sim.multiply import moved
from device_sim.recorded import Outgoing
from device_sim.turns import Turn
from device_sim.yaml_nodes import Complaints, Table, compose, number, positive_span, span, start_span, whole, word
from vitals.log import Tick
from vitals.signs import SECOND_NS

Broker: TypeAlias = Literal["mqtt", "kafka", "store"]
BROKERS: Final[tuple[Broker, ...]] = ("mqtt", "kafka", "store")
_KINDS: Final = ("lost", "delayed", "twice", "reordered", "clock", "restart")
_FOREVER_NS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One planned fault of the way.

    Attributes:
        kind: lost, delayed, twice, reordered, clock or restart.
        device: Which devices, as a pattern of file names is written.
        from_ns: When it begins, from the first instant.
        to_ns: When it ends.
        rate: Share of the bundles that it hits.
        by_ns: Longest delay; of a reordered bundle the delay itself.
        offset_ns: Clock: ahead (positive) or behind.
        drift_ppm: Clock: runs fast by so many microseconds a second.
        broker: Restart: which server.
    """

    kind: str
    device: str = "*"
    from_ns: int = 0
    to_ns: int = _FOREVER_NS
    rate: float = 1.0
    by_ns: int = 0
    offset_ns: int = 0
    drift_ppm: float = 0.0
    broker: Broker = "mqtt"


@dataclass(frozen=True, slots=True)
class Restart:
    """A server is to be restarted here."""

    broker: Broker


@dataclass(frozen=True, slots=True)
class Disturbances:
    """A scenario of faults.

    Attributes:
        seed: Of all chance.
        faults: In the order of the file.
    """

    seed: int
    faults: tuple[Disturbance, ...]


def load_disturbances(path: Path) -> Disturbances:
    """Read a scenario file.

    Raises:
        ScenarioError: With everything that is wrong with it, by line.
        OSError: If it cannot be read.
    """
    complaints = Complaints(str(path))
    root = Table(compose(path.read_text(encoding="utf-8"), complaints), "the scenario", complaints)
    seed = root.read("seed", whole(0, 2**31), 0) or 0
    faults = [_fault(Table(node, "a fault", complaints)) for node in root.items("faults")]
    root.finish()
    complaints.raise_if_any()
    return Disturbances(seed, tuple(fault for fault in faults if fault is not None))


def _fault(table: Table) -> Disturbance | None:
    kind = table.find("fault", word(_KINDS))
    from_ns = table.read("at", start_span, 0) or 0
    if kind == "restart":
        broker = table.find("broker", word(BROKERS))
        table.finish()
        return Disturbance(kind, from_ns=from_ns, broker=_broker(broker)) if broker else None
    lasts_ns = table.read("for", positive_span, _FOREVER_NS) or _FOREVER_NS
    device = table.read("device", str, "*") or "*"
    found = {"device": device, "from_ns": from_ns, "to_ns": min(_FOREVER_NS, from_ns + lasts_ns)}
    if kind == "clock":
        offset_ns = table.read("offset", span, 0) or 0
        drift = table.read("drift_ppm", number(-1e5, 1e5), 0.0) or 0.0
        table.finish()
        return Disturbance(kind, offset_ns=offset_ns, drift_ppm=drift, **found)  # type: ignore[arg-type]
    rate = table.read("rate", number(0, 1), 1.0)
    by_ns = 0 if kind == "lost" else (table.read("by", positive_span, 5 * SECOND_NS) or 0)
    table.finish()
    return None if kind is None else Disturbance(kind, rate=rate or 0.0, by_ns=by_ns, **found)  # type: ignore[arg-type]


def _broker(name: str) -> Broker:
    return next(broker for broker in BROKERS if broker == name)


def disturbed(turns: Iterable[Turn], what: Disturbances) -> Iterator[Turn | Restart]:
    """Turns with what goes wrong on top of them.

    Args:
        turns: As `device_sim.turns` gives them.
        what: The faults.

    Yields:
        Turns, and where a server is restarted. What arrives later than it would have brings its own instant along.
    """
    restarts = sorted((f.from_ns, i, f.broker) for i, f in enumerate(what.faults) if f.kind == "restart")
    faults = [(i, f) for i, f in enumerate(what.faults) if f.kind != "restart"]
    waiting: list[tuple[int, int, Outgoing]] = []
    first_ns: int | None = None
    newest = -1
    count = 0
    for turn in turns:
        at_ns = newest
        if isinstance(turn, Tick):
            at_ns = turn.now_ns
        elif isinstance(turn, Outgoing) and turn.received_ns is not None:
            at_ns = turn.received_ns
        while waiting and waiting[0][0] < at_ns:
            due_ns, _, late = heapq.heappop(waiting)
            if due_ns > newest:
                newest = due_ns
                yield Tick(now_ns=due_ns)
            yield late
        if isinstance(turn, Tick):
            first_ns = turn.now_ns if first_ns is None else first_ns
            while restarts and first_ns + restarts[0][0] <= turn.now_ns:
                yield Restart(restarts.pop(0)[2])
            if turn.now_ns > newest:
                newest = turn.now_ns
                yield turn
        elif isinstance(turn, Outgoing):
            since_ns = max(at_ns, newest) - (first_ns or 0)
            for arrival_ns, bundle in _arrivals(turn, max(at_ns, newest), since_ns, faults, what.seed):
                if arrival_ns is None:
                    yield bundle
                else:
                    count += 1
                    heapq.heappush(waiting, (arrival_ns, count, bundle))
        else:
            yield turn
    for due_ns, _, late in sorted(waiting, key=lambda row: row[:2]):
        if due_ns > newest:
            newest = due_ns
            yield Tick(now_ns=due_ns)
        yield late


def _arrivals(
    bundle: Outgoing, at_ns: int, since_ns: int, faults: list[tuple[int, Disturbance]], seed: int
) -> Iterator[tuple[int | None, Outgoing]]:
    """When a bundle arrives, once, twice or never; None: as it would have."""
    later_ns, again_ns = 0, None
    for i, fault in faults:
        if not (fault.from_ns <= since_ns < fault.to_ns and fnmatch.fnmatchcase(bundle.device, fault.device)):
            continue
        if fault.kind == "clock":
            ahead = fault.offset_ns + int((since_ns - fault.from_ns) * fault.drift_ppm * 1e-6)
            payload = moved(bundle.payload, bundle.device, 0, skew_ns=ahead)
            bundle = Outgoing(bundle.device, payload, bundle.n, bundle.received_ns)
            continue
        hit, how = _chances(seed, i, bundle)
        if hit >= fault.rate:
            continue
        if fault.kind == "lost":
            return
        if fault.kind == "twice":
            again_ns = at_ns + 1 + int(how * fault.by_ns)
        else:
            later_ns += fault.by_ns if fault.kind == "reordered" else 1 + int(how * fault.by_ns)
    if later_ns:
        yield at_ns + later_ns, _received(bundle, at_ns + later_ns)
    else:
        yield None, bundle
    if again_ns is not None:
        yield again_ns + later_ns, _received(bundle, again_ns + later_ns)


def _received(bundle: Outgoing, at_ns: int) -> Outgoing:
    return Outgoing(bundle.device, bundle.payload, bundle.n, at_ns)


def _chances(seed: int, fault: int, bundle: Outgoing) -> tuple[float, float]:
    """Two numbers in 0..1 that are this bundle's and this fault's alone."""
    told = hashlib.blake2b(f"{seed}:{fault}:{bundle.device}:".encode() + bundle.payload, digest_size=16).digest()
    return int.from_bytes(told[:8]) / 2**64, int.from_bytes(told[8:]) / 2**64
