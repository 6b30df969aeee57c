"""YAML files that people write: read with line numbers, so that every complaint says where, what, and what to do.

All that is wrong with a file is told at once. Shells that read such files (scenarios, rotas, paging policies) share it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS

T = TypeVar("T")

_UNITS: Final = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": 24 * HOUR_NS}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class FileError(ValueError):
    """A file that cannot be used: a line ``FILE:LINE: what is wrong; what to do`` for each thing."""


@dataclass(slots=True)
class Complaints:
    """Everything that is wrong with a file.

    Attributes:
        file: Its name, as the user gave it.
        lines: What is wrong, a line each.
        error: What is raised.
    """

    file: str
    lines: list[str] = field(default_factory=list)
    error: type[FileError] = FileError

    def add(self, node: Node, text: str) -> None:
        """Something is wrong at a node."""
        self.lines.append(f"{self.file}:{node.start_mark.line + 1}: {text}")

    def raise_if_any(self) -> None:
        """Give up where anything is wrong.

        Raises:
            FileError: With all of it.
        """
        if self.lines:
            raise self.error("\n".join(self.lines))


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
            if str(key.value) in self._fields:
                complaints.add(key, f"{what} has {key.value!r} twice; keep one")
            self._fields[str(key.value)] = value

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        self._asked.add(name)
        return name in self._fields

    def node_of(self, name: str) -> Node:
        """The field's node, or the mapping's own where it is not there."""
        self._asked.add(name)
        return self._fields.get(name, self.node)

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """A scalar field that may be left out.

        Args:
            name: Of the field.
            parse: Text -> value; a ValueError's text says what to write instead.
            default: Where the field is not there, or is wrong (which has then been complained about).
        """
        if not self.has(name):
            return default
        node = self._fields[name]
        if not isinstance(node, ScalarNode):
            self.complaints.add(node, f"{name} of {self.what} is not a single value; write `{name}: value`")
            return default
        try:
            return parse(node.value)
        except ValueError as error:
            self.complaints.add(node, f"{name} of {self.what} is {node.value!r}; {error}")
            return default

    def need(self, name: str, parse: Callable[[str], T], instead: T) -> T:
        """A scalar field that must be there; `instead` lets reading go on after a complaint."""
        if not self.has(name):
            self.complaints.add(self.node, f"{self.what} has no {name!r}; add it")
            return instead
        return self.read(name, parse, instead)

    def items(self, name: str) -> list[Node]:
        """The elements of a list; a single value counts as a list of one; empty where there is none."""
        if not self.has(name):
            return []
        node = self._fields[name]
        if isinstance(node, ScalarNode):
            return [node]
        if not isinstance(node, SequenceNode):
            self.complaints.add(node, f"{name} of {self.what} is not a list; write `{name}: [a, b]` or lines with `- `")
            return []
        return list(node.value)

    def each(self, name: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """A list of scalars, each read by `parse`; what is wrong is complained about and left out."""
        out: list[T] = []
        for node in self.items(name):
            if not isinstance(node, ScalarNode):
                self.complaints.add(node, f"{name} of {self.what} has a group in it; write single values")
                continue
            try:
                out.append(parse(node.value))
            except ValueError as error:
                self.complaints.add(node, f"{name} of {self.what} has {node.value!r}; {error}")
        return tuple(out)

    def pairs(self, name: str) -> Iterator[tuple[str, Node]]:
        """Names and nodes of a mapping below this one; none where it is not there."""
        if self.has(name):
            yield from Table(self._fields[name], name, self.complaints).fields()

    def fields(self) -> Iterator[tuple[str, Node]]:
        """All fields of this mapping, each counted as asked for."""
        self._asked.update(self._fields)
        return iter(self._fields.items())

    def finish(self) -> None:
        """Complain about fields that nobody asked for: a misspelt field must not be passed over."""
        for name, node in self._fields.items():
            if name not in self._asked:
                known = ", ".join(sorted(self._asked))
                self.complaints.add(node, f"{self.what} has an unknown field {name!r}; known are {known}")


def compose(text: str, complaints: Complaints, begin_with: str) -> Node:
    """The root of a YAML text.

    Args:
        text: The file.
        complaints: For its name.
        begin_with: What to write where the file is empty.

    Raises:
        FileError: If it is no YAML, or empty.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise complaints.error(f"{complaints.file}:{line}: not YAML: {error.problem}; mend the syntax") from error
    except yaml.YAMLError as error:
        raise complaints.error(f"{complaints.file}:1: not YAML: {error}; mend the syntax") from error
    if root is None:
        raise complaints.error(f"{complaints.file}:1: the file is empty; begin with {begin_with}")
    return root


def span(text: str) -> int:
    """``90s``, ``30m``, ``1.5h``, ``2d`` -> nanoseconds; ``0`` is zero."""
    if text.strip() == "0":
        return 0
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


def minute_of_day(text: str) -> int:
    """``07:30`` -> 450."""
    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None:
        raise ValueError('write a time of day like "07:30", in quotes')
    return int(found[1]) * 60 + int(found[2])


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number between two bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return parse


def word(allowed: Sequence[str]) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"use one of {', '.join(allowed)}")
        return text

    return parse
