"""``teleward replay --limits FILE``: what would have been with other limits.

```yaml
limits:
  - {patient: p-7, rule: spo2-low, threshold: 88}   # one patient
  - {rule: hr-high, threshold: 125}                 # everybody
```

The recording is played as it was, and again with the limits said before its first reading. People's commands count
the first time only: they tell which alarms were confirmed; an answer to an alarm that would not have been is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.replay import through_ward
from deploy.replay_source import Source
from transport.yaml_lines import Complaints, Table, compose
from vitals.events import AlarmEvent, Kind
from vitals.limit_rules import RULE_INDEX
from vitals.log import Limit, Tick
from vitals.signs import HOUR_NS

_DAY_NS: Final = 24 * HOUR_NS
_EVERYBODY: Final = ""


def read_limits(path: Path, patients: Sequence[str]) -> tuple[Limit, ...]:
    """Limits of a file.

    Args:
        path: YAML as above.
        patients: Whom a limit of everybody is for.

    Raises:
        FileError: With all that is wrong, by line.
    """
    complaints = Complaints(str(path))
    root = Table(compose(path.read_text(encoding="utf-8"), complaints, "limits:"), "the file", complaints)

    def rule(text: str) -> str:
        if text not in RULE_INDEX:
            raise ValueError(f"no rule with a limit is called so; use one of {', '.join(sorted(RULE_INDEX))}")
        return text

    def who(text: str) -> str:
        if text not in patients:
            raise ValueError("no patient of the recording is called so")
        return text

    out: list[Limit] = []
    for node in root.items("limits"):
        row = Table(node, "a limit", complaints)
        name, threshold = row.need("rule", rule, ""), row.need("threshold", _number, 0.0)
        patient = row.read("patient", who, _EVERYBODY)
        row.finish()
        out += [
            Limit(patient=whose, rule=name, threshold=threshold, at_ns=0, by="what-if", reason="what if")
            for whose in ([patient] if patient else patients)
        ]
    root.finish()
    complaints.raise_if_any()
    return tuple(out)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("write a number in the unit of the rule's sign") from None


def what_if(
    source: Source, limits: tuple[Limit, ...], on_progress: Callable[[int, int], None]
) -> tuple[list[AlarmEvent], dict[str, Any]]:
    """Play a recording with and without some limits.

    Returns:
        The events with the limits; and what they change: alarms a day by rule, confirmed alarms that would not have
        been raised, and how much later the others would have been.
    """
    first_ns, last_ns = _span(source)
    days = max(last_ns - first_ns, HOUR_NS) / _DAY_NS
    as_it_was = through_ward(source, None, on_progress).events
    before = through_ward(source, None, on_progress, commands=False).events
    after = through_ward(source, None, on_progress, limits=limits, commands=False).events
    confirmed = {e.alarm_id for e in as_it_was if e.event == "closed" and e.state.get("outcome") == "confirmed"}
    late: list[float] = []
    missed: list[dict[str, Any]] = []
    for old in _raised(as_it_was):
        if old.alarm_id not in confirmed:
            continue
        end_ns = max(e.at_ns for e in as_it_was if e.alarm_id == old.alarm_id)
        found = [
            e.at_ns for e in _raised(after)
            if (e.patient, e.rule) == (old.patient, old.rule) and e.at_ns <= end_ns and e.at_ns >= old.at_ns - HOUR_NS
        ]  # fmt: skip
        if found:
            late.append((min(found, key=lambda at_ns: abs(at_ns - old.at_ns)) - old.at_ns) / 1e9)
        else:
            missed.append({"patient": old.patient, "rule": old.rule, "at_ns": old.at_ns})
    return after, {
        "days": round(days, 3),
        "limits": len(limits),
        "alarms_a_day": {"before": _a_day(before, days), "after": _a_day(after, days)},
        "by_rule": _by_rule(before, after, days),
        "confirmed": len(late) + len(missed),
        "missed_confirmed": missed,
        "added_delay_s": {
            "mean": round(sum(late) / len(late), 3) if late else None,
            "greatest": round(max(late), 3) if late else None,
        },
    }


def _span(source: Source) -> tuple[int, int]:
    times = [turn.now_ns for turn in source.turns() if isinstance(turn, Tick)]
    return (times[0], times[-1]) if times else (0, 0)


def _raised(events: Sequence[AlarmEvent]) -> list[AlarmEvent]:
    return [e for e in events if e.event == "raised" and e.kind is Kind.PHYSIOLOGICAL]


def _a_day(events: Sequence[AlarmEvent], days: float) -> float:
    return round(len(_raised(events)) / days, 2)


def _by_rule(before: Sequence[AlarmEvent], after: Sequence[AlarmEvent], days: float) -> dict[str, dict[str, float]]:
    old, new = (Counter(e.rule for e in _raised(events)) for events in (before, after))
    return {
        rule: {"before": round(old[rule] / days, 2), "after": round(new[rule] / days, 2)}
        for rule in sorted({*old, *new})
    }
