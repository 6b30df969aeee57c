"""What differs between what we generate and what a server has, in words: path of the field, ours, theirs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = "absent"
_LONGEST: Final = 160  # characters of a value that are shown


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs.

    Attributes:
        what: The thing it belongs to: ``dashboard teleward-ward``.
        path: Where in it: ``panels[3].targets[0].query``; "" where the whole thing is missing.
        ours: What we generate, as JSON; `ABSENT` where we have nothing there.
        theirs: What the server has, as JSON; `ABSENT` where it has nothing there.
    """

    what: str
    path: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        """In words."""
        if not self.path:
            return (
                f"{self.what} is not on the server" if self.theirs == ABSENT else f"{self.what} is only on the server"
            )
        return f"{self.what}: {self.path} is {self.theirs} on the server and {self.ours} in the code"


def differences(
    what: str, ours: Any, theirs: Any, *, ignore: Collection[str] = (), loose: bool = False
) -> list[Difference]:
    """All fields that differ, in the order of ours, then those that only they have.

    Example: ours ``{"a": 1}`` and theirs ``{"a": 2, "b": 3}`` differ in ``a`` (1, 2) and in ``b`` (absent, 3).

    Args:
        what: The thing, for the words.
        ours: JSON values.
        theirs: JSON values.
        ignore: Keys that are the server's own, at any depth.
        loose: True where a server writes out what we left out: then absent, null, false, 0, "", "0s" and empty lists
            and maps are one and the same.
    """
    return [
        Difference(what, path, _shown(a), _shown(b)) for path, a, b in _walk(ours, theirs, "", frozenset(ignore), loose)
    ]


_NOTHING: Final = object()


def _walk(ours: Any, theirs: Any, path: str, ignore: frozenset[str], loose: bool) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if key not in ignore:
                inner = f"{path}.{key}" if path else str(key)
                yield from _walk(ours.get(key, _NOTHING), theirs.get(key, _NOTHING), inner, ignore, loose)
        return
    if isinstance(ours, list) and isinstance(theirs, list):
        for index in range(max(len(ours), len(theirs))):
            a = ours[index] if index < len(ours) else _NOTHING
            b = theirs[index] if index < len(theirs) else _NOTHING
            yield from _walk(a, b, f"{path}[{index}]", ignore, loose)
        return
    if not (_same(ours, theirs) or (loose and _empty(ours) and _empty(theirs))):
        yield path or "(all of it)", ours, theirs


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, bool) != isinstance(theirs, bool):
        return False  # Python takes True for 1
    return bool(ours == theirs)


def _empty(value: Any) -> bool:
    return value is _NOTHING or not value or value == "0s"


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return ABSENT
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
