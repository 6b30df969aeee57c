"""One step being taken: the state as it becomes, and what was decided so far. Lives within one call of `core.step`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from stream_processors.paging import own
from stream_processors.paging.policy import TEST, Policies, Policy, calls
from stream_processors.paging.rota import Rota, local, next_minute
from stream_processors.paging.state import Decision, Digest, Member, Note, Page, PagerState
from vitals.alarm_fold import OpenAlarm
from vitals.alarm_state import Alarm
from vitals.events import AlarmEvent
from vitals.topics import SYNTHETIC

replace: Final = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site has decided: who is there, and how they are called.

    Attributes:
        rota: Who.
        policies: How.
    """

    rota: Rota
    policies: Policies


class Turn:
    """The working copy of a step.

    Attributes:
        plan: What holds.
        now_ns: The time of the step.
        decisions: So far, in order.
        touched: Alarms whose standing may have changed -> the event that did it, None where none of its own did.
    """

    def __init__(self, plan: Plan, state: PagerState, now_ns: int) -> None:
        self.plan = plan
        self.now_ns = now_ns
        self.alarms: dict[str, OpenAlarm] = dict(state.alarms)
        self.seen: dict[str, tuple[int, int]] = dict(state.seen)
        self.pages: dict[str, Page] = dict(state.pages)
        self.own: dict[str, Alarm] = dict(state.own)
        self.answered: dict[str, str] = dict(state.answered)
        self.sent: dict[str, tuple[int, ...]] = dict(state.sent)
        self.digests: dict[str, Digest] = dict(state.digests)
        self.decisions: list[Decision] = []
        self.touched: dict[str, AlarmEvent | None] = {}

    def done(self) -> PagerState:
        """The state after the step."""
        return PagerState(
            alarms=self.alarms,
            seen=self.seen,
            pages=self.pages,
            own=self.own,
            answered=self.answered,
            sent=self.sent,
            digests=self.digests,
        )

    def note(self, what: str, text: str, *, person: str = "", alarm_id: str = "") -> None:
        """Something for the journal."""
        self.decisions.append(Note(what=what, text=text, person=person, alarm_id=alarm_id))

    def member(self, alarm_id: str) -> Member | None:
        """The member of an alarm that calls."""
        alarm = self.alarms.get(alarm_id)
        page = self.pages.get(alarm.patient) if alarm else None
        return page.members.get(alarm_id) if page else None

    def put(self, patient: str, member: Member) -> None:
        """A member as it now is; opens a page where there is none."""
        page = self.pages.get(patient) or Page(key=patient, opened_ns=self.now_ns)
        self.pages[patient] = replace(page, members={**page.members, member.alarm_id: member})

    def drop(self, patient: str, alarm_id: str) -> None:
        """An alarm calls no more; a page that nothing calls for ends."""
        page = self.pages.get(patient)
        if page is None or alarm_id not in page.members:
            return
        members = {name: member for name, member in page.members.items() if name != alarm_id}
        if members:
            self.pages[patient] = replace(page, members=members)
        else:
            del self.pages[patient]

    def weak(self) -> frozenset[str]:
        """People who are not proven reachable: no channel of theirs works, or a test went unanswered."""
        return frozenset(
            alarm.device
            for alarm in self.own.values()
            if alarm.rule in (own.CHANNEL, own.UNPROVEN) and alarm.active and not alarm.closed and alarm.level >= 2
        )

    def group(self) -> Alarm | None:
        """The alarm of a failing gateway while it is open."""
        alarm = self.own.get(own.GATEWAY)
        return None if alarm is None or alarm.closed else alarm

    def policy(self, alarm: OpenAlarm) -> Policy | None:
        """By what an alarm calls now; None where it calls nobody: attended, part of a group, or not for the phone."""
        state = alarm.state
        attended = (
            state.get("attention") == "acknowledged"
            or state.get("shelf") == "shelved"
            or state.get("expecting_until_ns") is not None
        )
        if attended:
            return None
        if alarm.patient == SYNTHETIC:
            return TEST if calls(alarm.rule, alarm.priority) else None
        if alarm.rule in self.plan.policies.gateway.rules and self.group() is not None:
            return None
        return self.plan.policies.of(alarm.rule, alarm.priority)

    def start_ns(self, policy: Policy) -> int:
        """When a round that is asked for now begins: what waits for the morning begins then."""
        zone = self.plan.rota.zone
        here = local(zone, self.now_ns)
        if policy.quiet is None or here.hour * 60 + here.minute not in policy.quiet:
            return self.now_ns
        return next_minute(zone, self.now_ns, policy.quiet.to_minute)
