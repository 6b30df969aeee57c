"""The duty board as this pager knows it: pure but for the messages, which its file holds."""

from __future__ import annotations

import datetime as dt

from stream_processors.paging import own
from stream_processors.paging.owners import owners
from stream_processors.paging.policy import Target
from stream_processors.paging.rota import Rota, duties, gaps, instant, local, without_channel
from stream_processors.paging.state import PagerState
from stream_processors.paging.store import PagerStore
from stream_processors.paging.text import Setting, words
from stream_processors.paging.turn import Plan
from stream_processors.paging.watch import WatchState
from vitals import duty
from vitals.duty import Board
from vitals.topics import SYNTHETIC

MESSAGES = 150
"""How many of the newest messages it holds."""


def board(plan: Plan, written: Rota, watched: WatchState, state: PagerState, store: PagerStore, now_ns: int) -> Board:
    """The board at an instant.

    Args:
        plan: As it holds, with whoever keeps the pager because nobody took over.
        written: The rota as it was written.
        watched: Tests and hand-overs.
        state: For channels that do not work.
        store: For messages and their receipts.
        now_ns: Ward time.
    """
    zone = written.zone
    day = local(zone, now_ns).date()
    from_ns = instant(zone, day - dt.timedelta(days=day.weekday()), 0)
    until_ns = now_ns + plan.policies.look_ahead_ns
    coming = [d for d in duties(written, from_ns, until_ns) if d.to_ns > from_ns]
    broken = _broken(state)
    without = frozenset(person for person, level in broken.items() if level >= 2)
    return Board(
        at_ns=now_ns,
        zone=zone,
        people=tuple(_member(written, person, broken.get(person, 0), watched) for person in written.people),
        holders=tuple(_holders(plan, written, state, now_ns)),
        duties=tuple(_duty(d) for d in coming),
        gaps=tuple(
            duty.Gap(team=g.team, line=g.line, from_ns=g.from_ns, to_ns=g.to_ns)
            for g in gaps(written, now_ns, until_ns)
        ),
        unreachable=tuple(_duty(d) for d in without_channel(written, without, now_ns, until_ns)),
        tests=tuple(
            duty.Test(message_id=name, person=t.person, from_ns=t.from_ns, sent_ns=t.sent_ns, answered_ns=t.answered_ns)
            for name, t in watched.tests.items()
        ),
        hand_overs=tuple(_hand_over(name, watched, store) for name in watched.hand_overs),
        messages=_messages(written, store),
    )


def _duty(found: object) -> duty.Duty:
    return duty.Duty(**{name: getattr(found, name) for name in duty.Duty.__struct_fields__})


def _broken(state: PagerState) -> dict[str, int]:
    """Person -> how bad it is: 1 a channel was passed over, 2 none works."""
    alarms = (a for a in state.own.values() if a.rule == own.CHANNEL and a.active and not a.closed)
    return {alarm.device: alarm.level for alarm in alarms}


def _member(rota: Rota, person: str, level: int, watched: WatchState) -> duty.Member:
    channels = len(rota.people[person].channels)
    proven = (t.answered_ns for t in watched.tests.values() if t.person == person and t.answered_ns is not None)
    return duty.Member(
        person=person,
        teams=tuple(team.id for team in rota.teams.values() if person in team.members),
        leads=tuple(team.id for team in rota.teams.values() if person in team.leads),
        channels=channels,
        broken=channels if level >= 2 else min(level, channels),
        proven_ns=max(proven, default=None),
    )


def _holders(plan: Plan, written: Rota, state: PagerState, now_ns: int) -> list[duty.Holder]:
    weak = frozenset(
        a.device
        for a in state.own.values()
        if a.rule in (own.CHANNEL, own.UNPROVEN) and a.active and not a.closed and a.level >= 2
    )
    found = []
    for team in plan.rota.teams.values():
        for line in team.lines:
            held = owners(plan.rota, team, Target("line", line), now_ns, weak=weak)
            running = [
                d
                for d in duties(written, now_ns, now_ns + 1)
                if (d.team, d.line) == (team.id, line) and d.to_ns > now_ns
            ]
            why = held.because
            shift = {d.person for d in running}
            if not why and shift and not shift & set(held.people):
                why = f"{', '.join(sorted(shift))} has not taken over"
            until_ns = min((d.to_ns for d in running), default=None)
            found.append(duty.Holder(team=team.id, line=line, people=held.people, until_ns=until_ns, why=why))
    return found


def _hand_over(name: str, watched: WatchState, store: PagerStore) -> duty.HandOver:
    found, send = watched.hand_overs[name], store.message(name)
    return duty.HandOver(
        message_id=name,
        team=found.team,
        line=found.line,
        out=found.out,
        into=found.into,
        from_ns=found.from_ns,
        accepted_ns=found.accepted_ns,
        digest="" if send is None else send.note,
    )


def _messages(rota: Rota, store: PagerStore) -> tuple[duty.Message, ...]:
    return tuple(
        duty.Message(
            message_id=send.message_id,
            person=send.person,
            kind=send.kind,
            priority=send.priority,
            at_ns=send.at_ns,
            title=words(send, Setting(rota)).title,
            because=send.because,
            alarms=send.alarm_ids,
            receipts=tuple(duty.Receipt(r.what, r.at_ns, r.detail) for r in receipts),
        )
        for send, receipts in store.newest(MESSAGES, but_not=SYNTHETIC)
    )
