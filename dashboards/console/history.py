"""What the console asks a store for. It remembers nothing itself that a restart could lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vitals.envelope import Envelope
from vitals.events import AlarmEvent


class HistoryUnavailable(Exception):  # noqa: N818  # an expected outcome with a name of its own, not an error of ours
    """The store does not answer; the message is for people. The page then shows what it has seen itself."""


class History(Protocol):
    """What a store answers."""

    async def envelopes(
        self, patient: str, signs: Sequence[str], from_ns: int, to_ns: int, width_ns: int
    ) -> Mapping[str, Envelope]:
        """Usable readings with from_ns <= time_ns < to_ns, a point for each `width_ns` that holds one.

        Args:
            patient: Whose.
            signs: By their column names: ``nibp_sbp``.
            from_ns: Start.
            to_ns: First instant after the end.
            width_ns: How long a stretch is.

        Returns:
            An entry for each sign asked for, perhaps empty.

        Raises:
            HistoryUnavailable: If the store does not answer.
        """
        ...

    async def watched(self, from_ns: int, to_ns: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """When each patient was watched between two instants: first instants and first instants after.

        Raises:
            HistoryUnavailable: If the store does not answer.
        """
        ...

    async def alarm_events(
        self, patient: str | None, from_ns: int | None = None, to_ns: int | None = None
    ) -> Sequence[AlarmEvent]:
        """Alarm events with from_ns <= at_ns < to_ns of a patient, or of all (None), oldest first.

        Raises:
            HistoryUnavailable: If the store does not answer.
        """
        ...


class NoHistory:
    """For a stack without a store: the page shows what it has seen since it started."""

    async def envelopes(
        self,
        patient: str,  # noqa: ARG002
        signs: Sequence[str],  # noqa: ARG002
        from_ns: int,  # noqa: ARG002
        to_ns: int,  # noqa: ARG002
        width_ns: int,  # noqa: ARG002
    ) -> Mapping[str, Envelope]:
        """There is none.

        Raises:
            HistoryUnavailable: Always.
        """
        raise HistoryUnavailable("there is no store")

    async def watched(
        self,
        from_ns: int,  # noqa: ARG002
        to_ns: int,  # noqa: ARG002
    ) -> Mapping[str, Sequence[tuple[int, int]]]:
        """There is none.

        Raises:
            HistoryUnavailable: Always.
        """
        raise HistoryUnavailable("there is no store")

    async def alarm_events(
        self,
        patient: str | None,  # noqa: ARG002
        from_ns: int | None = None,  # noqa: ARG002
        to_ns: int | None = None,  # noqa: ARG002
    ) -> Sequence[AlarmEvent]:
        """There is none.

        Raises:
            HistoryUnavailable: Always.
        """
        raise HistoryUnavailable("there is no store")
