"""``teleward burden``: what alarms cost people, out of a store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console as Terminal
from rich.table import Table

from deploy.parts.environment import STORE, Environment
from transport.stores.base import Store
from vitals.burden import Budget, Burden, burden
from vitals.signs import HOUR_NS


class BurdenError(ValueError):
    """The burden cannot be told; the message says why and what to do."""


def read_burden(store_name: str, hours: float, per_patient_day: float) -> dict[str, Any]:
    """The burden of a store's newest hours.

    Args:
        store_name: A SQLite file, or what ``TELEWARD_STORE`` takes.
        hours: Before the newest frame.
        per_patient_day: The budget.

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
        found = burden_of(store, hours, Budget(per_patient_day=per_patient_day))
    finally:
        store.close()
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told


def burden_of(store: Store, hours: float, budget: Budget) -> Burden:
    """The burden of the newest hours that a store holds.

    A patient counts as watched for the frames that were closed for them.
    """
    newest = store.last().time_ns
    if not len(newest):
        raise BurdenError("the store holds no readings: nobody was watched")
    to_ns = int(newest.max()) + 1
    from_ns = to_ns - round(hours * HOUR_NS)
    watched = store.watched(from_ns, to_ns)
    events = [stored.event for stored in store.alarm_events(from_ns=from_ns)]
    return burden(events, from_ns=from_ns, to_ns=to_ns, watched=watched, budget=budget)


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
    for title, rows in (("rule", result["rules"]), ("first to answer", result["people"])):
        table = Table()
        table.add_column(title)
        for name in ("alarms", "for the phone", "confirmed", "dismissed", "p50 s", "p90 s"):
            table.add_column(name, justify="right")
        for row in rows:
            times = (_number(row["answer"][key], 0) for key in ("p50_s", "p90_s"))
            counts = (str(row[key]) for key in ("alarms", "paging", "confirmed", "dismissed"))
            table.add_row(row["name"], *counts, *times)
        if rows:
            out.print(table)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
