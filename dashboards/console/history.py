"""What the console asks a store for. It remembers nothing itself that a restart could lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vitals.events import AlarmEvent
from vitals.reading import FloatArray, IntArray


class HistoryUnavailable(Exception):  # noqa: N818  # an expected outcome with a name of its own, not an error of ours
    """The store does not answer; the message is for people. The page then shows what it has seen itself."""


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one sign, oldest first.

    Attributes:
        time_ns: Shape (n,).
        value: Shape (n,), canonical unit of the sign; no NaN: what was not measured is not there.
    """

    time_ns: IntArray
    value: FloatArray

    @classmethod
    def empty(cls) -> Series:
        """No readings."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float64))


class History(Protocol):
    """What a store answers."""

    async def series(self, patient: str, sign: str, from_ns: int, to_ns: int) -> Series:
        """Usable readings of a sign (by its column name: ``nibp_sbp``) with from_ns <= time_ns < to_ns.

        Raises:
            HistoryUnavailable: If the store does not answer.
        """
        ...

    async def alarm_events(self, patient: str) -> Sequence[AlarmEvent]:
        """All alarm events of a patient, oldest first.

        Raises:
            HistoryUnavailable: If the store does not answer.
        """
        ...


class NoHistory:
    """For a stack without a store: the page shows what it has seen since it started."""

    async def series(self, patient: str, sign: str, from_ns: int, to_ns: int) -> Series:  # noqa: ARG002
        """There is none.

        Raises:
            HistoryUnavailable: Always.
        """
        raise HistoryUnavailable("there is no store")

    async def alarm_events(self, patient: str) -> Sequence[AlarmEvent]:  # noqa: ARG002
        """There is none.

        Raises:
            HistoryUnavailable: Always.
        """
        raise HistoryUnavailable("there is no store")
