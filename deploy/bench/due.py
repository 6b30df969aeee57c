"""What must come of a workload, computed apart from all who are measured: every pipeline's alarms are held against it.

The two pipelines tell different things. The ward raises one alarm for a patient once a limit was passed for its whole
delay; the tutorial's sends an event for each bundle in which a limit is passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from deploy.bench.peers.work import ALPHA, FloatArray, signs
from deploy.bench.workload import SIGNS, Ward, course, patient
from vitals.align import VALID_NS
from vitals.limit_rules import LIMIT_RULES
from vitals.rules import RULES
from vitals.signs import MEASURE_OF, Sign

_OXYGEN: Final = RULES["spo2-low"]
_GAP_NS: Final = int(VALID_NS[Sign.SPO2])


def raised(ward: Ward, start_ns: int, seconds: float) -> set[str]:
    """Alarms that the ward must raise in a run: ``PATIENT:RULE``.

    Args:
        ward: Whose.
        start_ns: When the first bundle is sent, by the wall.
        seconds: How long is sent.

    Returns:
        Of everybody whose oxygen was low for the rule's whole delay, with no gap in which the value would not stand.
    """
    if seconds * ward.speed * 1e9 < _OXYGEN.delay_ns:
        return set()
    run = course(ward, start_ns, seconds)
    found = set()
    for who in np.unique(run.who[run.low]).tolist():
        mine = np.flatnonzero(run.who == who)
        said, low = run.said[mine], run.low[mine]
        # A stretch begins where the oxygen becomes low, and anew behind a gap.
        begins = low & ~(np.concatenate(([False], low[:-1])) & (np.diff(said, prepend=said[0]) <= _GAP_NS))
        since = np.maximum.accumulate(np.where(begins, said, 0))
        if (low & (said - since >= _OXYGEN.delay_ns)).any():
            found.add(f"{patient(who)}:{_OXYGEN.id}")
    return found


def came_of(event_id: str) -> str:
    """What `raised` calls the alarm whose first event this is; "" for any later event."""
    who, rule, _, n = event_id.rsplit(":", 3)
    return f"{who}:{rule}" if n == "1" else ""


def limits() -> dict[str, tuple[float | None, float | None]]:
    """Of each sign of a bundle, where the first bands of its limits lie: below and above; None where there is none."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for name in SIGNS:
        mine = [rule for rule in LIMIT_RULES if rule.measure == MEASURE_OF[Sign[name.upper()]]]
        first = {rule.direction: rule.bands[0].threshold for rule in mine}
        found[name] = (first.get("below"), first.get("above"))
    return found


class _Reading(msgspec.Struct):
    sign: str
    value: float


class _Bundle(msgspec.Struct):
    device: str
    boot: int
    seq: int
    sent_ns: int
    readings: list[_Reading]


_decoder = msgspec.json.Decoder(_Bundle)


@dataclass
class Judged:
    """What the tutorial's pipeline must say of all bundles that it has had, one run after another.

    Attributes:
        means: Of each device its moving means so far.
    """

    means: dict[str, FloatArray] = field(default_factory=dict)

    def breaches(self, bodies: Iterable[bytes]) -> dict[str, dict[str, Any]]:
        """The alarm events that the next bundles must bring about, by id; none other may come."""
        table = {name: (np.array(sign["cuts"]), sign["points"]) for name, sign in signs().items()}
        bounds = limits()
        found = {}
        for body in bodies:
            bundle = _decoder.decode(body)
            said = {reading.sign: reading.value for reading in bundle.readings}
            value = np.array([said[name] for name in SIGNS])
            mean = self.means.get(bundle.device)
            self.means[bundle.device] = mean = value if mean is None else mean + ALPHA * (value - mean)
            breached = [name for name in SIGNS if _passed(said[name], *bounds[name])]
            if breached:
                event_id = f"{bundle.device}:{bundle.boot}:{bundle.seq}"
                found[event_id] = {
                    "event_id": event_id, "patient": bundle.device, "sent_ns": bundle.sent_ns, "breached": breached,
                    "news2": sum(points[int(np.digitize(said[name], cuts))] for name, (cuts, points) in table.items()),
                    "means": dict(zip(SIGNS, mean.tolist(), strict=True)),
                }  # fmt: skip
        return found


def _passed(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value <= low) or (high is not None and value >= high)


def wrong_in(events: Iterable[Mapping[str, Any]], due: Mapping[str, Mapping[str, Any]]) -> str:
    """What is wrong with some events, in words: strange ones, one twice, another content. "" where nothing is.

    That some are missing is not told here: they may still come.
    """
    seen = set()
    for event in events:
        name = str(event.get("event_id"))
        if name not in due:
            return f"an event of {name}, which passed no limit"
        if name in seen:
            return f"two events of {name}"
        seen.add(name)
        if event != due[name]:
            return f"the event of {name} is {event}, not {due[name]}"
    return ""
