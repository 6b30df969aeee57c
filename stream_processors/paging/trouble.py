"""A work of the pager that stands still is said: in the log as it begins, as an alarm when it lasts, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from stream_processors.paging import own
from stream_processors.paging.state import Found, PagerState

log = logging.getLogger(__name__)

PATIENCE_S: Final = 30.0
"""Seconds of the wall: a broker that is started again is away for less, and one that is gone is found before."""


class Trouble:
    """What became of one work.

    Args:
        about: Which, as it stands in the alarm: ``answers``, ``audit``, ``commands``, ``auditor``.
        state: The pager's, as it is now.
        found: Takes what was found.
        monotonic_s: A clock that only rises.
    """

    def __init__(
        self,
        about: str,
        state: Callable[[], PagerState],
        found: Callable[[Found], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._about = about
        self._state = state
        self._found = found
        self._monotonic_s = monotonic_s
        self._since_s: float | None = None

    def failed(self, error: BaseException) -> None:
        """It could not be done; it is tried again."""
        now_s = self._monotonic_s()
        if self._since_s is None:
            self._since_s = now_s
            log.warning("%s stand still: %s; tried again", self._about, type(error).__name__)
        blind = self._state().own.get(own.BLIND)
        # Kafka as a whole is away: one alarm says so.
        whole = blind is not None and blind.active and not blind.closed
        if now_s - self._since_s >= PATIENCE_S and not whole and not self._stands():
            cause = f"{self._about} stand still for {now_s - self._since_s:.0f} s: {type(error).__name__}"
            self._found(Found(rule=own.CUT_OFF, about=self._about, cause=cause))

    def well(self) -> None:
        """It was done."""
        if self._since_s is not None:
            log.info("%s go on", self._about)
            self._since_s = None
        if self._stands():  # it may be older than this process
            self._found(Found(rule=own.CUT_OFF, about=self._about))

    def _stands(self) -> bool:
        alarm = self._state().own.get(own.key(own.CUT_OFF, self._about))
        return alarm is not None and alarm.active and not alarm.closed
