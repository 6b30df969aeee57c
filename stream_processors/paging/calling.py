"""Who is told now: due steps become messages, one for each person and page; limits turn them into digests."""

from __future__ import annotations

from stream_processors.paging.owners import owners
from stream_processors.paging.policy import TEST, Policy, Step
from stream_processors.paging.state import Digest, Heard, HeldBack, HoldBack, Member, Page, Send, message_id
from stream_processors.paging.turn import Turn, replace
from vitals.alarm_fold import OpenAlarm, worst_first
from vitals.events import PRIORITY_RANK, Priority
from vitals.signs import HOUR_NS
from vitals.topics import SYNTHETIC

_Asks = dict[str, tuple[str, str]]
"""person -> (what names the message, why them)."""


def call(turn: Turn) -> None:
    """Let every step happen that is due."""
    for key in list(turn.pages):
        asks: _Asks = {}
        for member in list(turn.pages[key].members.values()):
            if member.next_ns() <= turn.now_ns:
                _due(turn, key, member, asks)
        page = turn.pages.get(key)
        if page is not None and asks:
            _tell(turn, page, asks)


def _due(turn: Turn, key: str, member: Member, asks: _Asks) -> None:
    """One alarm's due steps: whom they ask, and when the next one is due."""
    alarm = turn.alarms[member.alarm_id]
    policy = TEST if alarm.patient == SYNTHETIC else turn.plan.policies.of(alarm.rule, alarm.priority)
    if policy is None:  # the site has changed its policies meanwhile
        turn.drop(key, member.alarm_id)
        turn.note("no-policy", "its policy is gone: it calls nobody any more", alarm_id=member.alarm_id)
        return
    if member.held_by:
        text = f"{member.held_by} answered, and the ward did not confirm it in time: calling goes on"
        turn.note("unconfirmed", text, person=member.held_by, alarm_id=member.alarm_id)
        member = replace(member, held_by="", held_until_ns=0)
    wanted: _Asks = {}
    while member.due_ns <= turn.now_ns:
        member = _step(turn, alarm, member, policy, wanted)
    for person, at_ns in member.later.items():
        if at_ns <= turn.now_ns:
            wanted.setdefault(person, (f"later{at_ns}", f"{policy.name}, held back for a moment"))
    later = {person: at_ns for person, at_ns in member.later.items() if at_ns > turn.now_ns}
    for person, (label, because) in wanted.items():
        heard = turn.pages[key].heard.get(person)
        soonest_ns = 0 if heard is None else heard.at_ns + policy.at_most_every_ns
        worse = heard is None or PRIORITY_RANK[member.priority] > PRIORITY_RANK[heard.priority]
        if worse or soonest_ns <= turn.now_ns:
            asks.setdefault(person, (f"{member.alarm_id}#{member.since}/{label}", because))
        else:
            later[person] = min(soonest_ns, later.get(person, soonest_ns))
    turn.put(key, replace(member, later=later))


def _step(turn: Turn, alarm: OpenAlarm, member: Member, policy: Policy, wanted: _Asks) -> Member:
    """Take one step of a policy: its people, less those who have heard or handed on; then the time of the next."""
    repeat = member.step >= len(policy.steps)
    step = policy.steps[min(member.step, len(policy.steps) - 1)]
    people = _people(turn, alarm, policy, step)
    # A repeat asks whoever handed it on or was not reached as well: nobody has answered, nobody is let off.
    fresh = people if repeat else [p for p in people if p not in member.declined and p not in member.told]
    for person in fresh:
        label = "repeat" if repeat else f"step {member.step + 1}"
        wanted.setdefault(person, (str(member.step), f"{label} of {policy.name}: {', '.join(map(str, step.to))}"))
    taken = member.step + 1
    if taken >= len(policy.steps):
        due_ns = turn.now_ns + policy.repeat_ns
    elif member.declined and not fresh:
        due_ns = turn.now_ns  # whoever could take it has handed it on: the step after, at once
    else:
        due_ns = member.start_ns + policy.wait_ns + policy.steps[taken].after_ns
    return replace(member, step=taken, due_ns=due_ns)


def _people(turn: Turn, alarm: OpenAlarm, policy: Policy, step: Step) -> list[str]:
    if alarm.patient == SYNTHETIC:
        return [SYNTHETIC]
    rota = turn.plan.rota
    team = rota.teams.get(policy.team) or rota.team_of(alarm.patient)
    out: list[str] = []
    for target in step.to:
        found = owners(
            rota, team, target, turn.now_ns, weak=turn.weak(), answered=turn.answered.get(alarm.alarm_id, "")
        )
        if found.because:
            turn.note("stand-in", f"{found.because}: {', '.join(found.people)}", alarm_id=alarm.alarm_id)
        out += found.people
    return list(dict.fromkeys(out))


def _tell(turn: Turn, page: Page, asks: _Asks) -> None:
    """One message to each person asked: about all that calls on this page, whichever alarm asked."""
    calling = {
        name: member for name, member in page.members.items() if member.start_ns <= turn.now_ns and not member.held_by
    }
    alarms = tuple(worst_first(turn.alarms[name] for name in calling))
    priority = max((member.priority for member in calling.values()), key=PRIORITY_RANK.__getitem__)
    for person, (label, because) in asks.items():
        send = Send(
            message_id=message_id(person, label),
            person=person,
            kind="page",
            page_id=page.page_id,
            priority=priority,
            alarms=alarms,
            alarm_ids=tuple(calling),
            at_ns=turn.now_ns,
            because=because,
            round=tuple(f"{name}#{member.since}" for name, member in calling.items()),
        )
        _send_or_hold(turn, send, page.key)
    heard = {person: Heard(turn.now_ns, priority) for person in asks}
    told = {name: _heard_by(member, asks) for name, member in calling.items()}
    turn.pages[page.key] = replace(page, members={**page.members, **told}, heard={**page.heard, **heard})


def _heard_by(member: Member, asks: _Asks) -> Member:
    later = {person: at_ns for person, at_ns in member.later.items() if person not in asks}
    return replace(member, told=tuple(dict.fromkeys((*member.told, *asks))), later=later)


def _send_or_hold(turn: Turn, send: Send, page_key: str) -> None:
    """Within the limit a page goes out; beyond it, it waits for the digest, unless it is of high priority."""
    policies, person = turn.plan.policies, send.person
    recent = tuple(at for at in turn.sent.get(person, ()) if at > turn.now_ns - HOUR_NS)
    if send.priority is Priority.HIGH or len(recent) < policies.per_hour:
        turn.sent[person] = (*recent, turn.now_ns)
        turn.decisions.append(send)
        return
    digest = turn.digests.get(person)
    if digest is None:
        digest = Digest(due_ns=turn.now_ns + policies.digest_every_ns)
        minutes = policies.digest_every_ns // 60_000_000_000
        note = (
            f"You have had {len(recent)} pages within an hour, which is the limit. From now on only high priority "
            f"comes singly; the rest comes together every {minutes} min. Nothing is left out."
        )
        turn.decisions.append(
            Send(
                message_id=message_id(person, "limit", str(turn.now_ns)),
                person=person,
                kind="limit",
                at_ns=turn.now_ns,
                note=note,
            )
        )
    item = HeldBack(message_id=send.message_id, page_key=page_key, alarm_ids=send.alarm_ids, at_ns=turn.now_ns)
    turn.digests[person] = replace(digest, items=(*digest.items, item))
    turn.decisions.append(HoldBack(item=item, person=person, due_ns=digest.due_ns))


def send_digests(turn: Turn) -> None:
    """What was held back goes out together; without anything new the limit is over."""
    for person, digest in list(turn.digests.items()):
        if digest.due_ns > turn.now_ns:
            continue
        if not digest.items:
            del turn.digests[person]
            continue
        names = dict.fromkeys(name for item in digest.items for name in item.alarm_ids)
        calling = [name for name in names if turn.member(name) is not None]
        alarms = tuple(worst_first(turn.alarms[name] for name in calling))
        gone = len(names) - len(calling)
        turn.decisions.append(
            Send(
                message_id=message_id(person, "digest", str(digest.due_ns)),
                person=person,
                kind="digest",
                priority=max((a.priority for a in alarms), key=PRIORITY_RANK.__getitem__, default=Priority.LOW),
                alarms=alarms,
                alarm_ids=tuple(calling),
                at_ns=turn.now_ns,
                because="held back beyond the limit of pages an hour",
                note=f"{len(names)} alarms were held back; {gone} of them were answered or are over meanwhile.",
                round=tuple(f"{name}#{m.since}" for name in calling if (m := turn.member(name)) is not None),
            )
        )
        turn.digests[person] = Digest(due_ns=turn.now_ns + turn.plan.policies.digest_every_ns)
