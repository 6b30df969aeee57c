"""What comes in: alarm events, answers of people, failed deliveries, findings. Changes who calls; tells nobody yet."""

from __future__ import annotations

from typing import Final

import msgspec

from stream_processors.paging import own
from stream_processors.paging.state import Answered, Found, Member, Publish, Send, Undelivered, message_id
from stream_processors.paging.state import Order as WardOrder
from stream_processors.paging.turn import Turn, replace
from vitals import rules
from vitals.alarm_fold import WHY, Fold, OpenAlarm, split_id
from vitals.alarm_state import Alarm
from vitals.events import PRIORITY_RANK, AlarmEvent, Priority
from vitals.log import Command
from vitals.rule import Rule
from vitals.topics import clinical

COMMAND_PREFIX: Final = "pg-"
"""Of the ids of commands that go out from here: whose refusal we tell."""


def rule_of(name: str) -> Rule | None:
    """A rule of the ward's or of the pager's own; None for one of a newer table."""
    return rules.RULES.get(name) or own.RULES.get(name)


def take_event(turn: Turn, event: AlarmEvent) -> None:
    """One event of the alarm topic, or of an own alarm. Repeats change nothing."""
    if event.event == "command_refused":
        _refused(turn, event)
        return
    name, raised_ns = split_id(event.alarm_id)
    if (raised_ns, event.n) <= turn.seen.get(name, (-1, 0)):
        return
    _end_older(turn, name, raised_ns)
    turn.seen[name] = (raised_ns, event.n)
    before = turn.alarms.pop(event.alarm_id, None)
    after = _folded(before, event)
    if after is None:
        turn.answered.pop(event.alarm_id, None)
        turn.drop(event.patient, event.alarm_id)
    else:
        turn.alarms[event.alarm_id] = after
    if event.event == "acknowledged" and event.by:
        turn.answered[event.alarm_id] = event.by
    turn.touched[event.alarm_id] = event


def _end_older(turn: Turn, name: str, raised_ns: int) -> None:
    """Of one rule, patient and device at most one alarm is open: an older one whose end we missed is over."""
    old = f"{name}:{turn.seen.get(name, (-1, 0))[0]}"
    if old != f"{name}:{raised_ns}" and (alarm := turn.alarms.pop(old, None)) is not None:
        turn.drop(alarm.patient, old)
        turn.note("end-missed", "a newer alarm of the same name came before the end of this one", alarm_id=old)


def _folded(before: OpenAlarm | None, event: AlarmEvent) -> OpenAlarm | None:
    """An alarm after an event, as the one fold of events has it; None where it is closed."""
    fold = Fold()
    if before is not None:
        fold.open[before.alarm_id] = before
    fold.apply(event)
    after = fold.open.get(event.alarm_id)
    if after is not None and before is None and event.event not in WHY:
        # Joined in the middle: the cause of a shelf or an expectation is a person's free text, which no page carries.
        rule = rule_of(event.rule)
        after = msgspec.structs.replace(after, why=rule.words if rule else event.rule)
    return after


def settle(turn: Turn) -> None:
    """Bring members into line with the alarms that were touched: who calls, from when, by which policy."""
    for alarm_id, event in turn.touched.items():
        alarm = turn.alarms.get(alarm_id)
        if alarm is None:
            continue
        policy = turn.policy(alarm)
        member = turn.member(alarm_id)
        if policy is None:
            turn.drop(alarm.patient, alarm_id)
        elif (
            member is None
            or member.policy != policy.name
            or PRIORITY_RANK[alarm.priority] > PRIORITY_RANK[member.priority]
        ):
            group = turn.own.get(own.GATEWAY)
            # The same alarm may call again without a new event of its own, when the group it was part of is over.
            since = f"{alarm.n}" if group is None or event is not None else f"{alarm.n}/{group.raised_ns}"
            start = turn.start_ns(policy)
            turn.put(
                alarm.patient,
                Member(
                    alarm_id=alarm_id,
                    since=since,
                    policy=policy.name,
                    priority=alarm.priority,
                    start_ns=start,
                    due_ns=start + policy.wait_ns,
                ),
            )
        elif event is not None and event.event == "worsened":
            # Worse at the same priority: all who heard of it hear again, and the next ones are not made to wait longer.
            again = replace(
                member,
                since=f"{alarm.n}",
                step=0,
                due_ns=member.start_ns + policy.wait_ns,
                told=(),
                declined=(),
                later={},
                held_by="",
                held_until_ns=0,
            )
            turn.put(alarm.patient, again)
    turn.touched.clear()


def take_found(turn: Turn, found: Found) -> None:
    """A watcher's finding raises, worsens or ends an own alarm."""
    name = own.key(found.rule, found.about)
    before = turn.own.get(name)
    after, events = own.judge(before, found.rule, found.about, found.cause, found.level, turn.now_ns)
    _keep(turn, name, after, events)


def take_command(turn: Turn, command: Command) -> None:
    """A person says something about an own alarm; about one that is not there they are told no, as by the ward."""
    for name, alarm in turn.own.items():
        if alarm.alarm_id == command.alarm_id:
            _keep(turn, name, *own.obey(alarm, command, turn.now_ns))
            return
    turn.decisions.append(Publish(own.no_such(command, turn.now_ns)))


def let_own_time_go(turn: Turn) -> None:
    """Ends of acknowledgements and shelves of own alarms."""
    for name, alarm in list(turn.own.items()):
        due = alarm.timer_ns()
        if due is not None and due <= turn.now_ns:
            _keep(turn, name, *own.let_time_go(alarm, turn.now_ns))


def _keep(turn: Turn, name: str, after: Alarm | None, events: tuple[AlarmEvent, ...]) -> None:
    if after is None:
        turn.own.pop(name, None)
    else:
        turn.own[name] = after
    for event in events:
        turn.decisions.append(Publish(event))
        take_event(turn, event)


def judge_gateway(turn: Turn) -> None:
    """Many silences at once are one fault: raise, worsen or end its alarm, and let what it covers call or not."""
    settings = turn.plan.policies.gateway
    group = turn.group()
    if group is None and not any(
        (alarm := turn.alarms.get(alarm_id)) is not None and alarm.rule in settings.rules for alarm_id in turn.touched
    ):
        return
    silent = [
        alarm
        for alarm in turn.alarms.values()
        if alarm.rule in settings.rules and alarm.state.get("condition") == "active" and clinical(alarm.patient)
    ]
    together = _together([alarm.raised_ns for alarm in silent], settings.within_ns)
    if together < settings.at_least and (group is None or 2 * len(silent) < settings.at_least):
        if group is None:
            return
        take_found(turn, Found(rule=own.GATEWAY))
    else:
        times = max(len(silent), settings.at_least) // settings.at_least
        patients = len({alarm.patient for alarm in silent})
        cause = f"{len(silent)} devices of {patients} patients are silent"
        take_found(turn, Found(rule=own.GATEWAY, cause=cause, level=times.bit_length()))
    if (turn.group() is None) != (group is None):
        for alarm in turn.alarms.values():
            if alarm.rule in settings.rules:
                turn.touched.setdefault(alarm.alarm_id, None)


def _together(instants: list[int], within_ns: int) -> int:
    """How many instants lie within a time of one another, at most."""
    instants = sorted(instants)
    best = first = 0
    for last, at in enumerate(instants):
        while at - instants[first] > within_ns:
            first += 1
        best = max(best, last - first + 1)
    return best


def take_answer(turn: Turn, answer: Answered) -> None:
    """A person answered; the ward decides about its alarms, and meanwhile nobody else is called."""
    for number, (alarm_id, seen) in enumerate(sorted(answer.alarms.items())):
        alarm, member = turn.alarms.get(alarm_id), turn.member(alarm_id)
        if alarm is None or member is None:
            turn.note("stale-answer", f"{answer.action}: it calls no more", person=answer.person, alarm_id=alarm_id)
        elif answer.action == "hand-on":
            _hand_on(turn, alarm, member, answer.person, "handed on")
        elif seen < int(member.since.partition("/")[0]):
            tell_refused(
                turn, answer.person, alarm_id, "it has become worse since it was seen: look again", answer.command_id
            )
        else:
            _order(turn, alarm, member, answer, f"{COMMAND_PREFIX}{answer.command_id}-{number}", seen)


def _order(turn: Turn, alarm: OpenAlarm, member: Member, answer: Answered, command_id: str, seen: int) -> None:
    rule = rule_of(alarm.rule)
    if answer.action == "snooze":
        why_not = _why_no_snooze(rule, alarm.priority)
        if why_not:
            tell_refused(turn, answer.person, alarm.alarm_id, why_not, answer.command_id)
            return
    longest_ns = turn.plan.policies.snooze_ns if rule is None else rule.shelf_max_ns
    wanted_ns = answer.until_ns or turn.now_ns + turn.plan.policies.snooze_ns
    snooze = answer.action == "snooze"
    command = Command(
        command_id=command_id,
        patient=alarm.patient,
        alarm_id=alarm.alarm_id,
        action="shelve" if snooze else "acknowledge",
        by=answer.person,
        at_ns=turn.now_ns,
        seen=seen,
        reason=answer.reason or ("snoozed from the phone" if snooze else ""),
        until_ns=min(wanted_ns, turn.now_ns + longest_ns) if snooze else None,
        note="on my way" if answer.action == "on-my-way" else "",
    )
    turn.answered[alarm.alarm_id] = answer.person
    if alarm.patient == own.OWN:
        name = own.key(alarm.rule, alarm.device)
        if (machine := turn.own.get(name)) is not None:
            _keep(turn, name, *own.obey(machine, command, turn.now_ns))
        return
    turn.decisions.append(WardOrder(command))
    held = replace(member, held_by=answer.person, held_until_ns=turn.now_ns + turn.plan.policies.confirm_ns)
    turn.put(alarm.patient, held)


def _why_no_snooze(rule: Rule | None, priority: Priority) -> str:
    """Why an alarm can't be snoozed (ALARMS: the floor list); "" where it can. The ward asks the same again."""
    if rule is None:
        return "its rule is not known here: acknowledge it or look at the console"
    if not rule.shelvable:
        return f"{rule.id} cannot be shelved"
    if rule.on_floor_list and priority is Priority.HIGH:
        return f"{rule.id} cannot be shelved at high priority"
    return ""


def take_undelivered(turn: Turn, failed: Undelivered) -> None:
    """No channel took a page: it is the next one's turn, now."""
    for alarm_id in failed.alarm_ids:
        alarm, member = turn.alarms.get(alarm_id), turn.member(alarm_id)
        if alarm is not None and member is not None:
            _hand_on(turn, alarm, member, failed.person, "not reached")


def _hand_on(turn: Turn, alarm: OpenAlarm, member: Member, person: str, why: str) -> None:
    if person in member.declined:
        return
    turn.note("handed-on", why, person=person, alarm_id=alarm.alarm_id)
    policy = turn.policy(alarm)
    last = policy is not None and member.step >= len(policy.steps)  # all have been told: there is no next one to hurry
    due_ns = member.due_ns if last else turn.now_ns
    turn.put(alarm.patient, replace(member, declined=(*member.declined, person), due_ns=due_ns))


def _refused(turn: Turn, event: AlarmEvent) -> None:
    """The ward refused a command: what it answered still calls, and the person is told."""
    if not event.command_id.startswith(COMMAND_PREFIX):
        return
    alarm_id = str(event.state.get("alarm_id", ""))
    member = turn.member(alarm_id)
    alarm = turn.alarms.get(alarm_id)
    if member is None or alarm is None or not member.held_by:
        return
    turn.put(alarm.patient, replace(member, held_by="", held_until_ns=0))
    tell_refused(turn, event.by, alarm_id, event.cause, event.command_id)


def tell_refused(turn: Turn, person: str, alarm_id: str, why: str, command_id: str) -> None:
    """A person learns that their answer did not hold."""
    turn.note("refused", why, person=person, alarm_id=alarm_id)
    alarm = turn.alarms.get(alarm_id)
    if person in turn.plan.rota.people:
        turn.decisions.append(
            Send(
                message_id=message_id(person, "refused", alarm_id, command_id),
                person=person,
                kind="refused",
                alarms=() if alarm is None else (alarm,),
                at_ns=turn.now_ns,
                note=f"Your answer does not hold: {why}.",
            )
        )
