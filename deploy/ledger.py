"""``teleward ledger``: per device, where every reading went."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.table import Table

from deploy.demo_summary import ledger_line
from deploy.parts.environment import INFLUX_TOKEN_FILE, Environment
from transport.stores.opened import open_store
from vitals.ledger import Account
from vitals.topics import SYNTHETIC_DEVICE

_SUMS = ("sent", "stored", "duplicate", "refused", "quarantined", "queued", "remainder", "missing")


def read_ledger(address: str, truth_file: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The ledger of a store.

    Args:
        address: Of the store (`transport.stores.opened`), or a SQLite file.
        truth_file: Sidecar of a simulation: what the devices say of themselves. Without it the newest bundle of each
            device is taken as its last.
        environ: The environment; names the file of InfluxDB's token.

    Raises:
        FileNotFoundError: If there is no such store.
        StoreUnavailable: If it does not answer.
        SettingError: If the token cannot be read.
        StoreAddressError: If the address is none.
    """
    if not address.startswith(("influx:", "sqlite:")):
        address = f"sqlite://{Path(address).absolute()}"  # which begins with the third stroke
    file = Path("/" + address.removeprefix("sqlite:").lstrip("/"))  # as `open_store` takes it
    if address.startswith("sqlite:") and not file.is_file():
        raise FileNotFoundError(f"there is no store at {file}; name the store that storing writes")
    token = Environment(environ).secret("", INFLUX_TOKEN_FILE) or ""
    store = open_store(address, token, read_only=True)
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
