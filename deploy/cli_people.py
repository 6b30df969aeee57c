"""The commands about people: audit, burden."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli_common import Json, PromiseBrokenError, end

AuditFile = Annotated[Path, typer.Option("--file", envvar="TELEWARD_AUDIT", help="The audit that the pager writes.")]


def audit(
    alarm: Annotated[str, typer.Argument(help="PATIENT:RULE:RAISED, or its beginning.")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Check the chain, and name the first broken link.")] = False,
    head: Annotated[str, typer.Option(help="A head noted elsewhere: the chain must come by it.")] = "",
    file: AuditFile = Path("audit.jsonl"),
    as_json: Json = False,
) -> None:
    """One alarm's whole story: readings, versions, limits, people, receipts. Or whether the chain holds."""
    from deploy.audit import tell_story, verify_audit
    from deploy.audit_words import show_story, show_verified

    if bool(alarm) == verify:
        raise typer.BadParameter("name an alarm, or write --verify")
    if verify:
        result = verify_audit(file, head)
        end(result, as_json=as_json, show=show_verified)
    else:
        result = tell_story(file, alarm)
        end(result, as_json=as_json, show=show_story)
    if result["broken"]:
        raise PromiseBrokenError(
            f"the chain of {file} is broken at line {result['broken']['line']}: it {result['broken']['why']}"
        )


def burden(
    store: Annotated[str, typer.Option(envvar="TELEWARD_STORE", help="The store's SQLite file, or its address.")],
    hours: Annotated[float, typer.Option(min=0.01, help="Before the newest reading.")] = 168.0,
    budget: Annotated[float, typer.Option(min=0.001, help="Alarms for the phone, for each patient and day.")] = 2.0,
    weeks: Annotated[int, typer.Option(min=0, help="So many weeks besides, each by itself.")] = 0,
    as_json: Json = False,
) -> None:
    """What alarms cost people: how many, how many false, how long until somebody answered, against a budget."""
    from deploy.burden import read_burden, show_burden

    end(read_burden(store, hours, budget, weeks), as_json=as_json, show=show_burden)


def register(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command()(audit)
    app.command()(burden)
