"""Sets of whole numbers that mostly come one after the other, kept as a few spans; for `vitals.ledger`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec


class Numbers(msgspec.Struct):
    """A set of numbers: ``first[i]..last[i]`` for each span i, rising and never touching."""

    first: list[int] = msgspec.field(default_factory=list)
    last: list[int] = msgspec.field(default_factory=list)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.first, number) - 1
        return at >= 0 and number <= self.last[at]

    def add(self, number: int) -> bool:
        """Add one; False where it was there already."""
        if self.last and number == self.last[-1] + 1:  # the way of almost every record
            self.last[-1] = number
            return True
        at = bisect_right(self.first, number)
        if at and number <= self.last[at - 1]:
            return False
        left = at > 0 and self.last[at - 1] == number - 1
        right = at < len(self.first) and self.first[at] == number + 1
        if left and right:
            self.last[at - 1] = self.last.pop(at)
            self.first.pop(at)
        elif left:
            self.last[at - 1] = number
        elif right:
            self.first[at] = number
        else:
            self.first.insert(at, number)
            self.last.insert(at, number)
        return True

    def settle(self, end: int) -> None:
        """Add every number from 0 to end - 1."""
        if end <= 0:
            return
        while self.first and self.first[0] <= end:
            self.first.pop(0)
            end = max(end, self.last.pop(0) + 1)
        self.first.insert(0, 0)
        self.last.insert(0, end - 1)


class Spans(msgspec.Struct):
    """Bundles of one boot by number, and the count of readings before and after each span of them.

    Attributes:
        first: First bundle of each span, rising.
        last: Last bundle of each span; spans never touch.
        begins: Readings in all bundles before the span's first, as that one says.
        ends: Readings in all bundles up to the span's last, as that one says.
    """

    first: list[int] = msgspec.field(default_factory=list)
    last: list[int] = msgspec.field(default_factory=list)
    begins: list[int] = msgspec.field(default_factory=list)
    ends: list[int] = msgspec.field(default_factory=list)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self.first, seq) - 1
        return at >= 0 and seq <= self.last[at]

    def __iter__(self) -> Iterator[tuple[int, int, int, int]]:
        return zip(self.first, self.last, self.begins, self.ends, strict=True)

    def add(self, seq: int, n_before: int, n: int) -> bool:
        """Add a bundle of n readings that had n_before before it; False where it was there already."""
        if self.last and seq == self.last[-1] + 1:
            self.last[-1], self.ends[-1] = seq, n_before + n
            return True
        at = bisect_right(self.first, seq)
        if at and seq <= self.last[at - 1]:
            return False
        left = at > 0 and self.last[at - 1] == seq - 1
        right = at < len(self.first) and self.first[at] == seq + 1
        if left and right:
            self.last[at - 1], self.ends[at - 1] = self.last.pop(at), self.ends.pop(at)
            self.first.pop(at)
            self.begins.pop(at)
        elif left:
            self.last[at - 1], self.ends[at - 1] = seq, n_before + n
        elif right:
            self.first[at], self.begins[at] = seq, n_before
        else:
            for column, value in (
                (self.first, seq),
                (self.last, seq),
                (self.begins, n_before),
                (self.ends, n_before + n),
            ):
                column.insert(at, value)
        return True
