"""The console's history, answered by a store: each question in a thread, so that the page's loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dashboards.console import HistoryUnavailable
from dashboards.console.history import Series
from transport.stores.base import Store, StoreUnavailable
from vitals.events import AlarmEvent
from vitals.reading import USABLE_UP_TO
from vitals.signs import BY_COLUMN


class StoreHistory:
    """Keeps `dashboards.console.History`."""

    def __init__(self, store: Store) -> None:
        """Answers from this store."""
        self._store = store

    async def series(self, patient: str, sign: str, from_ns: int, to_ns: int) -> Series:
        """Usable readings of a sign, oldest first."""
        which = BY_COLUMN[sign]
        try:
            found = await asyncio.to_thread(self._store.series, patient, (which,), from_ns, to_ns)
        except StoreUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        series = found[which]
        usable = series.quality <= USABLE_UP_TO
        return Series(series.time_ns[usable], series.value[usable])

    async def alarm_events(self, patient: str) -> Sequence[AlarmEvent]:
        """All alarm events of a patient, oldest first."""
        try:
            found = await asyncio.to_thread(self._store.alarm_events, patient)
        except StoreUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        return [stored.event for stored in found]
