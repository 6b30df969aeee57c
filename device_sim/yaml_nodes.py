"""What scenario files need beside `transport.yaml_lines`: fields that must be there, closed lists, signed times."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from yaml.nodes import Node

from transport import yaml_lines
from transport.yaml_lines import FileError, positive_span, whole, word

__all__ = [
    "Complaints",
    "ScenarioError",
    "Table",
    "compose",
    "number",
    "positive_span",
    "span",
    "start_span",
    "time_of_day",
    "whole",
    "word",
]

T = TypeVar("T")

_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class ScenarioError(FileError):
    """A scenario file that cannot be played: a line ``FILE:LINE: what is wrong; what to do`` for each thing."""


class Complaints(yaml_lines.Complaints):
    """Everything that is wrong with a scenario file."""

    def __init__(self, file: str) -> None:
        super().__init__(file, error=ScenarioError)


class Table(yaml_lines.Table):
    """A mapping of a scenario."""

    def find(self, name: str, parse: Callable[[str], T]) -> T | None:
        """A scalar field that must be there; None where it is not or is wrong, which has then been complained about."""
        found: list[T] = []

        def note(text: str) -> None:
            found.append(parse(text))

        self.need(name, note, None)
        return found[0] if found else None

    def words(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """A list of words of a closed set, each once, at least one."""
        out: list[str] = []
        nodes = self.items(name)
        for node in nodes:
            word = str(node.value)
            if word not in allowed:
                self.complaints.add(node, f"{name} of {self.what} has {word!r}; use {', '.join(allowed)}")
            elif word in out:
                self.complaints.add(node, f"{name} of {self.what} has {word!r} twice; keep one")
            else:
                out.append(word)
        if not nodes:
            self.complaints.add(self.node, f"{self.what} has no {name}; name at least one of {', '.join(allowed)}")
        return tuple(out)


def compose(text: str, complaints: Complaints) -> Node:
    """The root of a scenario.

    Raises:
        ScenarioError: If it is no YAML, or empty.
    """
    return yaml_lines.compose(text, complaints, "`name:` and `patients:`")


def span(text: str) -> int:
    """``90s``, ``30m``, ``1.5h``, ``2d`` -> nanoseconds; ``-30s`` is before."""
    text = text.strip()
    return -yaml_lines.span(text[1:]) if text.startswith("-") else yaml_lines.span(text)


def start_span(text: str) -> int:
    """A time span from the start of the scenario: zero or more."""
    value = span(text)
    if value < 0:
        raise ValueError("times count from the start of the scenario; write zero or more")
    return value


def time_of_day(text: str) -> float:
    """``07:30`` -> 7.5 hours."""
    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None:
        raise ValueError("write a time of day like 07:30")
    return int(found[1]) + int(found[2]) / 60


def number(low: float, high: float) -> Callable[[str], float]:
    """A number between two bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"write a number from {low:g} to {high:g}")
        return value

    return parse
