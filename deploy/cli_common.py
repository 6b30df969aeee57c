"""What all commands share: how they end, and how they speak meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

err = Terminal(stderr=True, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on the last line.")]


class PromiseBrokenError(Exception):
    """A command did all its work, and what it promises does not hold; the text says what."""


def quietly(line: str) -> None:
    """A line for people, beside the result."""
    err.print(line, markup=False, soft_wrap=True)


def end(result: dict[str, Any], *, as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print a result for people or for programs."""
    if as_json:
        print(json.dumps(result, separators=(",", ":")))
    else:
        show(result)


def progress_bar() -> Progress:
    """How far a command has come, on standard error."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=err, transient=True,
    )  # fmt: skip


def positive(text: str, name: str) -> float:
    """A number above 0 of an option."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise typer.BadParameter(f"{name} is {text!r}; it takes a number above 0, or max")
    return value
