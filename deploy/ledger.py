"""``teleward ledger``: per device, where every reading went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.table import Table

from deploy.demo_summary import ledger_line
from transport.stores.sqlite import SqliteStore
from vitals.ledger import Account
from vitals.topics import SYNTHETIC_DEVICE

_SUMS = ("sent", "stored", "duplicate", "refused", "quarantined", "queued", "remainder", "missing")


def read_ledger(store_file: Path, truth_file: Path | None) -> dict[str, Any]:
    """The ledger of a store.

    Args:
        store_file: SQLite file.
        truth_file: Sidecar of a simulation: what the devices say of themselves. Without it the newest bundle of each
            device is taken as its last.

    Raises:
        FileNotFoundError: If there is no such store.
    """
    if not store_file.is_file():
        raise FileNotFoundError(f"there is no store at {store_file}; name the SQLite file that storing writes")
    store = SqliteStore(store_file)
    try:
        ledger = store.ledger()
    finally:
        store.close()
    for account in _accounts(truth_file):
        ledger.account(account)
    rows = [row for row in ledger.rows() if row.device != SYNTHETIC_DEVICE]
    return {
        "devices": [ledger_line(row) for row in rows],
        **{name: sum(getattr(row, name) for row in rows) for name in _SUMS},
        "open": [ledger_line(row) for row in rows if not row.closed],
    }


def _accounts(truth_file: Path | None) -> list[Account]:
    if truth_file is None:
        return []
    lines = [json.loads(line) for line in truth_file.read_text("utf-8").splitlines()]
    return [
        Account(device=line["device"], at_ns=line["now_ns"], sent=line["readings"])
        for line in lines
        if line.get("type") == "device"
    ]


def show_ledger(result: dict[str, Any]) -> None:
    """Print it as a table."""
    table = Table()
    table.add_column("device")
    for name in _SUMS:
        table.add_column(name, justify="right")
    for row in result["devices"]:
        style = "bold red" if row["remainder"] or row["missing"] else ""
        table.add_row(row["device"], *(str(row[name]) for name in _SUMS), style=style)
    table.add_section()
    table.add_row("all", *(str(result[name]) for name in _SUMS))
    Terminal(highlight=False).print(table)
