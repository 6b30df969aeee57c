"""The closing summary of a run, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console as Terminal
from rich.table import Table


def show_summary(result: dict[str, Any]) -> None:
    """Print it as tables."""
    out = Terminal(highlight=False)
    onsets, ledger = result["onsets"], result["ledger"]
    raised = ", ".join(f"{count} {name}" for name, count in reversed(result["alarms_by_priority"].items()))
    out.print(f"\n{result['alarms']} alarms raised ({raised}), {result['events']} alarm events")
    out.print(f"onsets: {onsets['began']} began, {onsets['alarmed']} had their alarm in time")
    for word in ("late", "missed", "pending"):
        if onsets.get(word):
            out.print(f"  {word}: {', '.join(onsets[word])}")
    sums = " + ".join(f"{ledger[name]} {name}" for name in ("stored", "duplicate", "refused", "quarantined", "queued"))
    out.print(f"ledger of {ledger['devices']} devices: {ledger['sent']} sent = {sums}, remainder {ledger['remainder']}")
    table = Table(title="time of each hop, milliseconds of the wall", title_justify="left")
    for name in ("hop", "count", "mean", "p50", "p95", "p99", "max"):
        table.add_column(name, justify="left" if name == "hop" else "right")
    for hop, row in result["latency"].items():
        figures = (f"{row[f'{name}_ms']:.2f}" for name in ("mean", "p50", "p95", "p99", "max"))
        table.add_row(hop, f"{row['count']:.0f}", *figures)
    out.print(table)
    out.print(f"memory {result['memory_mb']['process']:.0f} MB, broker {result['memory_mb']['broker']:.0f} MB")
    if result["promise"]:
        out.print(f"NOT KEPT: {result['promise']}", style="bold red")
