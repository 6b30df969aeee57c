"""YAML with line numbers: every complaint names file and line and says what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS

T = TypeVar("T")

_UNITS: Final = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": 24 * HOUR_NS}
_SPAN: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([smhd])")
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class ScenarioError(ValueError):
    """A scenario file that cannot be played: a line ``FILE:LINE: what is wrong; what to do`` for each thing."""


@dataclass(slots=True)
class Complaints:
    """Everything that is wrong with a file: all of it is told at once.

    Attributes:
        file: Its name, as the user gave it.
        lines: What is wrong, a line each.
    """

    file: str
    lines: list[str] = field(default_factory=list)

    def add(self, node: Node, text: str) -> None:
        """Something is wrong at a node."""
        self.lines.append(f"{self.file}:{node.start_mark.line + 1}: {text}")

    def raise_if_any(self) -> None:
        """Give up where anything is wrong.

        Raises:
            ScenarioError: With all of it.
        """
        if self.lines:
            raise ScenarioError("\n".join(self.lines))


class Table:
    """A YAML mapping whose fields are asked for by name; what nobody asked for is complained about.

    Args:
        node: The mapping.
        what: What it is called in complaints.
        complaints: Where they go.
    """

    def __init__(self, node: Node, what: str, complaints: Complaints) -> None:
        self.node = node
        self.what = what
        self.complaints = complaints
        self._fields: dict[str, Node] = {}
        self._asked: set[str] = set()
        if not isinstance(node, MappingNode):
            complaints.add(node, f"{what} is not a mapping; write fields as `name: value`")
            return
        for key, value in node.value:
            if key.value in self._fields:
                complaints.add(key, f"{what} has {key.value!r} twice; keep one")
            self._fields[key.value] = value

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        self._asked.add(name)
        return name in self._fields

    def node_of(self, name: str) -> Node:
        """The field's node, or the mapping's own where it is not there."""
        self._asked.add(name)
        return self._fields.get(name, self.node)

    def read(self, name: str, parse: Callable[[str], T], default: T | None = None) -> T | None:
        """A scalar field.

        Args:
            name: Of the field.
            parse: Text -> value; a ValueError's text says what to write instead.
            default: Where the field is not there; None: it must be there.

        Returns:
            The value; None where there is none, which has then been complained about.
        """
        if not self.has(name):
            if default is None:
                self.complaints.add(self.node, f"{self.what} has no {name!r}; add it")
            return default
        node = self._fields[name]
        if not isinstance(node, ScalarNode):
            self.complaints.add(node, f"{name} of {self.what} is not a single value; write `{name}: value`")
            return None
        try:
            return parse(node.value)
        except ValueError as error:
            self.complaints.add(node, f"{name} of {self.what} is {node.value!r}; {error}")
            return None

    def items(self, name: str) -> list[Node]:
        """The elements of a list; empty where there is none."""
        if not self.has(name):
            return []
        node = self._fields[name]
        if not isinstance(node, SequenceNode):
            self.complaints.add(node, f"{name} of {self.what} is not a list; write `{name}: [a, b]` or lines with `- `")
            return []
        return list(node.value)

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

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """All fields, each counted as asked for."""
        self._asked.update(self._fields)
        return iter(self._fields.items())

    def finish(self) -> None:
        """Complain about fields that nobody asked for: a misspelt field must not be passed over."""
        for name, node in self._fields.items():
            if name not in self._asked:
                known = ", ".join(sorted(self._asked))
                self.complaints.add(node, f"{self.what} has an unknown field {name!r}; known are {known}")


def compose(text: str, complaints: Complaints) -> Node:
    """The root of a YAML text.

    Raises:
        ScenarioError: If it is no YAML, or empty.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ScenarioError(f"{complaints.file}:{line}: not YAML: {error.problem}; mend the syntax") from error
    if root is None:
        raise ScenarioError(f"{complaints.file}:1: the file is empty; begin with `name:` and `patients:`")
    return root


def span(text: str) -> int:
    """``90s``, ``30m``, ``1.5h``, ``2d`` -> nanoseconds."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError("write a time span like 90s, 30m, 1.5h or 2d")
    return round(float(found[1]) * _UNITS[found[2]])


def positive_span(text: str) -> int:
    """A time span above zero."""
    value = span(text)
    if value <= 0:
        raise ValueError("write a time span above zero")
    return value


def start_span(text: str) -> int:
    """A time span from the start of the scenario: zero or more."""
    value = 0 if text.strip() == "0" else span(text)
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


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number between two bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return parse


def word(allowed: Mapping[str, object] | Sequence[str]) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"use one of {', '.join(allowed)}")
        return text

    return parse
