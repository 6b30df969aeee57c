"""How long alarms took until a person answered: the hops that begin where the ward's end.

The stamps of an alarm that calls are kept from its raising to the ward's word that somebody has it in hand. They are
measurements: a kill between two of them may lose one, and never a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from stream_processors.paging.state import Send
from stream_processors.paging.store import PagerStore
from vitals.burden import ANSWERS, OUTCOMES
from vitals.events import AlarmEvent
from vitals.hops import Histogram, Hop, Stamp, differences
from vitals.signs import SECOND_NS
from vitals.topics import clinical

HERE: Final = (Hop.NOTICE, Hop.SEND, Hop.ANSWER, Hop.CONFIRM, Hop.TO_ANSWERED)
"""The hops that are counted here; those before them are counted by the parts that make them."""


class Ways:
    """Stamps of the alarms under way, and a histogram for each hop.

    Attributes:
        hops: Since the start; ward time. A sample for each alarm that was raised or became worse and then answered: of
            its first page since then and its first answer.
    """

    def __init__(self, store: PagerStore) -> None:
        self._store = store
        self.hops: dict[Hop, Histogram] = {hop: Histogram() for hop in HERE}

    def on_event(self, event: AlarmEvent, stamps: Mapping[str, int], now_ns: int, *, calls: bool) -> None:
        """An event of the alarm topic.

        Args:
            event: The event.
            stamps: When it passed each hop, as its record says.
            now_ns: When it was read here.
            calls: Whether an alarm of its priority and rule pages anybody.
        """
        if not clinical(event.patient):
            return
        if event.event in ("raised", "worsened") and calls:
            if self._known(event.alarm_id) is None:
                self._store.keep(_name(event.alarm_id), dict(stamps))
        elif event.by and (event.event in ANSWERS or event.state.get("outcome") in OUTCOMES):
            # Said on the console it has no stamp of ours: the ward's fetching of the command stands for it.
            self._stamp(event.alarm_id, {Stamp.ANSWERED: stamps.get(Stamp.FETCHED, event.at_ns)})
            self._done(event.alarm_id, now_ns)
        elif event.event == "closed":
            self._store.forget(_name(event.alarm_id))

    def on_sent(self, send: Send, now_ns: int) -> None:
        """A channel took a message."""
        if send.kind in ("page", "digest"):
            for alarm_id in send.alarm_ids:
                self._stamp(alarm_id, {Stamp.QUEUED: send.at_ns, Stamp.SENT: now_ns})

    def on_answered(self, alarm_ids: Iterable[str], at_ns: int) -> None:
        """A person answered by a link."""
        for alarm_id in alarm_ids:
            self._stamp(alarm_id, {Stamp.ANSWERED: at_ns})

    def _stamp(self, alarm_id: str, stamps: Mapping[Stamp, int]) -> None:
        """The first of each counts."""
        before = self._known(alarm_id)
        fresh = {stamp.value: at_ns for stamp, at_ns in stamps.items() if before is not None and stamp not in before}
        if fresh:
            self._store.keep(_name(alarm_id), (before or {}) | fresh)

    def _done(self, alarm_id: str, now_ns: int) -> None:
        stamps = self._known(alarm_id)
        if stamps is None:
            return
        took = differences(stamps | {Stamp.ACKNOWLEDGED.value: now_ns})
        for hop in HERE:
            if hop in took:
                self.hops[hop].record(took[hop])
        self._store.note(now_ns, "hops", words(took), alarm_id=alarm_id)
        self._store.forget(_name(alarm_id))

    def _known(self, alarm_id: str) -> dict[str, int] | None:
        kept = self._store.kept(_name(alarm_id))
        return None if kept is None else msgspec.json.decode(kept, type=dict[str, int])


def words(took: Mapping[Hop, int]) -> str:
    """Hops in the order of the table, seconds of ward time: ``judge 0.3 s, notice 0.1 s, ... to_answered 42.0 s``."""
    return ", ".join(f"{hop.value} {ns / SECOND_NS:.1f} s" for hop, ns in took.items())


def _name(alarm_id: str) -> str:
    return f"way:{alarm_id}"
