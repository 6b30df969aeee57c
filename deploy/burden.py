"""``teleward burden``: what alarms cost people, out of a store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console as Terminal
from rich.table import Table

from deploy.parts.environment import STORE, Environment
from transport.stores.base import Store
from vitals.burden import Budget, Burden, burden
from vitals.signs import HOUR_NS

_WEEK_NS: Final = 7 * 24 * HOUR_NS


class BurdenError(ValueError):
    """The burden cannot be told; the message says why and what to do."""


def read_burden(store_name: str, hours: float, per_patient_day: float, weeks: int = 0) -> dict[str, Any]:
    """The burden of a store's newest hours.

    Args:
        store_name: A SQLite file, or what ``TELEWARD_STORE`` takes.
        hours: Before the newest reading.
        per_patient_day: The budget.
        weeks: So many weeks before the newest reading are told besides, each by itself: ``weeks``, the oldest first.

    Raises:
        BurdenError: If there is no such store, or nobody was watched.
        SettingError: If the name is none.
    """
    if "://" not in store_name:
        path = Path(store_name)
        if not path.is_file():
            raise BurdenError(f"there is no store at {path}; name the SQLite file that storing writes with --store")
        store_name = f"sqlite:///{path.resolve()}"
    store = Environment({STORE: store_name}).store()
    try:
        budget, to_ns = Budget(per_patient_day=per_patient_day), _end_ns(store)
        found = burden_of(store, to_ns - round(hours * HOUR_NS), to_ns, budget)
        ends = [to_ns - n * _WEEK_NS for n in reversed(range(weeks))]
        by_week = [burden_of(store, end - _WEEK_NS, end, budget) for end in ends]
    finally:
        store.close()
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"weeks": msgspec.to_builtins(by_week)}


def burden_of(store: Store, from_ns: int, to_ns: int, budget: Budget) -> Burden:
    """The burden of a span; a patient counts as watched for the frames that were closed for them."""
    events = [stored.event for stored in store.alarm_events(from_ns=from_ns)]
    return burden(events, from_ns=from_ns, to_ns=to_ns, watched=store.watched(from_ns, to_ns + 1), budget=budget)


def _end_ns(store: Store) -> int:
    newest = store.last().time_ns
    if not len(newest):
        raise BurdenError("the store holds no readings: nobody was watched")
    return int(newest.max()) + 1


def show_burden(result: dict[str, Any]) -> None:
    """Print it for people."""
    out = Terminal(highlight=False)
    began, ended = (datetime.fromtimestamp(result[key] / 1e9, UTC).strftime("%F %H:%M") for key in ("from_ns", "to_ns"))
    out.print(f"{began} to {ended} UTC: {result['patients']} patients, {result['patient_days']:.2f} patient-days")
    out.print(
        f"{result['paging']} alarms for the phone, {_number(result['per_patient_day'])} for each patient and day; "
        f"{result['confirmed']} confirmed, {result['dismissed']} dismissed, {result['unjudged']} that nobody judged"
    )
    out.print(f"false alarms for each patient and hour: {_number(result['false_per_patient_hour'], 4)}, at least")
    answer = result["answer"]
    out.print(
        f"time to answer: p50 {_number(answer['p50_s'], 0)} s, p90 {_number(answer['p90_s'], 0)} s "
        f"of {answer['answered']} answered; {answer['unanswered']} not answered"
    )
    worst = result["worst"]
    names = ", ".join(f"{row['name']} ({row['paging']})" for row in worst["rows"])
    if names:
        out.print(f"the tenth of the patients that make most: {names}: {100 * worst['share']:.0f} %")
    for burn in result["burn"]:
        out.print(
            f"budget of {result['budget']['per_patient_day']:g}: burnt {_number(burn['rate'])} times as fast as "
            f"it lasts, over {burn['span_h']:g} h"
        )
    _show_weeks(out, result["weeks"])
    for title, rows in (("rule", result["rules"]), ("first to answer", result["people"])):
        table = Table()
        table.add_column(title, no_wrap=True)
        for name in ("alarms", "phone", "confirmed", "dismissed", "p50 s", "p90 s"):
            table.add_column(name, justify="right")
        for row in rows:
            times = (_number(row["answer"][key], 0) for key in ("p50_s", "p90_s"))
            counts = (str(row[key]) for key in ("alarms", "paging", "confirmed", "dismissed"))
            table.add_row(row["name"], *counts, *times)
        if rows:
            out.print(table)


def _show_weeks(out: Terminal, weeks: list[dict[str, Any]]) -> None:
    if not weeks:
        return
    table = Table()
    table.add_column("week from", no_wrap=True)
    for name in ("days", "phone", "a day", "false/h", "p50 s", "p90 s", "open", "burn"):
        table.add_column(name, justify="right")
    for week in weeks:
        answer = week["answer"]
        table.add_row(
            datetime.fromtimestamp(week["from_ns"] / 1e9, UTC).strftime("%F"),
            _number(week["patient_days"], 1),
            str(week["paging"]),
            _number(week["per_patient_day"]),
            _number(week["false_per_patient_hour"], 4),
            *(_number(answer[key], 0) for key in ("p50_s", "p90_s")),
            str(answer["unanswered"]),
            _number(week["burn"][-1]["rate"]),
        )
    out.print(table)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
