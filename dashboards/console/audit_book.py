"""The newest facts of the audit, to search in, and one alarm's whole story.

The chain itself, its file and the check of its hashes are the pager's (`teleward audit`). Here is what the audit topic
said since this console started to read it, as far as it is kept in memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from dashboards.console import words
from dashboards.console.alarms import about
from dashboards.console.history import History, HistoryUnavailable
from dashboards.console.state import ConsoleState
from dashboards.console.views import Json, ms, step
from vitals import topics
from vitals.audit import Entry
from vitals.events import AlarmEvent

_KEPT: Final = 20_000
_STORE_S: Final = 5.0
MOST: Final = 200  # in one answer


class AuditBook:
    """Entries by id, in the order in which they came."""

    def __init__(self, keep: int = _KEPT) -> None:
        self._keep = keep
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def add(self, entry: Entry) -> bool:
        """Take an entry; False where it is known."""
        if entry.entry_id in self._entries:
            return False
        self._entries[entry.entry_id] = entry
        if len(self._entries) > self._keep:
            self._entries.popitem(last=False)
        return True

    def search(
        self,
        wanted: str = "",
        *,
        person: str = "",
        what: str = "",
        before_ns: int | None = None,
        most: int = MOST,
        tests: bool = True,
    ) -> list[Entry]:
        """Entries that hold all the words (in any field, in any case), newest first.

        Args:
            wanted: Words, parted by blanks; "" finds all.
            person: Of exactly this person; "" of everybody.
            what: Of exactly this kind; "" of every.
            before_ns: Only older ones: the next page of an answer.
            most: How many at most.
            tests: With what the test patient did, which is most of all on a quiet ward.
        """
        needles = wanted.lower().split()
        found = []
        for entry in sorted(self._entries.values(), key=lambda e: (-e.at_ns, e.entry_id)):
            if (person and entry.person != person) or (what and entry.what != what):
                continue
            if not tests and _of_test(entry):
                continue
            if before_ns is not None and entry.at_ns >= before_ns:
                continue
            if all(needle in _text(entry) for needle in needles):
                found.append(entry)
                if len(found) == most:
                    break
        return found

    def kinds(self) -> list[str]:
        """What kinds of facts there are."""
        return sorted({entry.what for entry in self._entries.values()})

    def of_alarm(self, alarm_id: str) -> list[Entry]:
        """Entries about an alarm, oldest first."""
        return sorted((e for e in self._entries.values() if alarm_id in e.alarms), key=lambda e: e.at_ns)


def shown(entry: Entry) -> Json:
    """An entry as a page receives it."""
    return {
        "id": entry.entry_id,
        "at": ms(entry.at_ns),
        "part": entry.part,
        "what": entry.what,
        "person": entry.person,
        "message": entry.message,
        "alarms": [{"id": alarm, "words": _alarm_words(alarm)} for alarm in entry.alarms],
        "text": entry.text,
    }


def story(events: Sequence[AlarmEvent], entries: Sequence[Entry]) -> list[Json]:
    """One alarm's whole story, oldest first: what the ward judged, and what people were told, said and did."""
    told: list[tuple[int, int, Json]] = [(e.at_ns, 0, {"kind": "event"} | _event(e)) for e in events]
    told += [(e.at_ns, 1, {"kind": "entry"} | shown(e)) for e in entries]
    return [one for _, _, one in sorted(told, key=lambda row: row[:2])]


def _event(event: AlarmEvent) -> dict[str, Any]:
    return step(event, []) | {"version": event.rule_version, "level": event.level, "rule": event.rule}


def _of_test(entry: Entry) -> bool:
    mine = f"{topics.SYNTHETIC}:"
    return entry.person == topics.SYNTHETIC or any(alarm.startswith(mine) for alarm in entry.alarms)


def _alarm_words(alarm_id: str) -> str:
    """``c-04: SpO₂ low``; an id that is none as it came."""
    patient, _, rest = alarm_id.partition(":")
    rule = rest.partition(":")[0].partition("@")[0]
    return f"{patient}: {words.rule_title(rule)}" if rule else alarm_id


def _text(entry: Entry) -> str:
    return " ".join((entry.what, entry.person, entry.text, entry.message, *entry.alarms)).lower()


async def events_of(state: ConsoleState, history: History, alarm_id: str) -> tuple[str, list[AlarmEvent]]:
    """All events about an alarm that the store or this console knows, oldest first, and a note where one is silent."""
    patient = alarm_id.split(":", maxsplit=1)[0]
    view = state.own if patient == topics.OWN else state.patients.get(patient)
    held = [event for alarm in (view.alarms.values() if view else ()) for event in alarm.events]
    note = ""
    try:
        async with asyncio.timeout(_STORE_S):
            held += await history.alarm_events(patient)
    except (HistoryUnavailable, TimeoutError) as error:
        note = f"The store does not answer ({error or 'too slow'}): only what this page has seen itself is shown."
    once = {event.event_id: event for event in held if about(event) == alarm_id}
    return note, sorted(once.values(), key=lambda e: (e.at_ns, e.n))
