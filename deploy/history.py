"""The console's history, answered by a store: each question in a thread, so that the page's loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from dashboards.console import HistoryUnavailable
from transport.stores.base import Store, StoreUnavailable
from vitals.envelope import Envelope
from vitals.events import AlarmEvent
from vitals.signs import BY_COLUMN


class StoreHistory:
    """Keeps `dashboards.console.History`."""

    def __init__(self, store: Store) -> None:
        """Answers from this store."""
        self._store = store

    async def envelopes(
        self, patient: str, signs: Sequence[str], from_ns: int, to_ns: int, width_ns: int
    ) -> Mapping[str, Envelope]:
        """Usable readings, a point for each stretch: the store thins, so that two days are some hundred rows."""
        which = [BY_COLUMN[sign] for sign in signs]
        try:
            found = await asyncio.to_thread(self._store.envelope, patient, which, from_ns, to_ns, width_ns)
        except StoreUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        return {sign.column: drawn for sign, drawn in found.items()}

    async def watched(self, from_ns: int, to_ns: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """When patients were watched, by their frames."""
        try:
            return await asyncio.to_thread(self._store.watched, from_ns, to_ns)
        except StoreUnavailable as error:
            raise HistoryUnavailable(str(error)) from error

    async def alarm_events(
        self, patient: str | None, from_ns: int | None = None, to_ns: int | None = None
    ) -> Sequence[AlarmEvent]:
        """Alarm events of a patient, or of all, oldest first."""
        try:
            found = await asyncio.to_thread(self._store.alarm_events, patient, from_ns, to_ns)
        except StoreUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        return [stored.event for stored in found]
