"""The pager's core, a pure function: (plan, state, what is said, time) -> the next state and what to do.

```
 alarm events ----+                              +-- Send       tell a person
 answers ---------+--> step(plan, state, said, --+-- HoldBack   tell them with the next digest
 failed pages ----+         now_ns)              +-- Order      a command for the ward
 findings, time --+                              +-- Publish    an event of an own alarm
                                                 +-- Note       for the journal
```

It reads no clock, knows no channel and writes nothing down: the shell (`pager`) does, state and decisions in one
transaction. Told the time often or seldom it decides the same, only later where it is told late.
"""

from __future__ import annotations

from typing import Literal, assert_never

from stream_processors.paging.calling import call, send_digests
from stream_processors.paging.intake import (
    judge_gateway,
    let_own_time_go,
    settle,
    take_answer,
    take_command,
    take_event,
    take_found,
    take_undelivered,
)
from stream_processors.paging.state import (
    Answered,
    Decision,
    Found,
    Happened,
    Input,
    PagerState,
    Said,
    Send,
    Tick,
    Undelivered,
)
from stream_processors.paging.turn import Plan, Turn

__all__ = ["Plan", "next_ns", "step", "wanted"]


def step(plan: Plan, state: PagerState, said: Input, now_ns: int) -> tuple[PagerState, tuple[Decision, ...]]:
    """What one input does.

    Example: `spo2-low` is raised at high priority at 12:00:00 and nobody answers. The event gives a `Send` to whoever
    is first on call; a `Tick` of 12:01:59 gives nothing, one of 12:02:00 a `Send` to the second, and so on.

    Args:
        plan: Who is there and how they are called; may be another one than at the last step.
        state: As the last step left it.
        said: What happened.
        now_ns: Ward time; not before that of the last step.

    Returns:
        The state afterwards, and what to do, in order.
    """
    turn = Turn(plan, state, now_ns)
    match said:
        case Happened():
            take_event(turn, said.event)
        case Answered():
            take_answer(turn, said)
        case Undelivered():
            take_undelivered(turn, said)
        case Found():
            take_found(turn, said)
        case Said():
            take_command(turn, said.command)
        case Tick():
            pass
        case _:
            assert_never(said)
    let_own_time_go(turn)
    judge_gateway(turn)
    settle(turn)
    if not (isinstance(said, Happened) and said.more):
        call(turn)
        send_digests(turn)
    return turn.done(), tuple(turn.decisions)


def next_ns(state: PagerState) -> int | None:
    """When to look again if nothing is said before; None: not by itself."""
    times = [member.next_ns() for page in state.pages.values() for member in page.members.values()]
    times += [digest.due_ns for digest in state.digests.values()]
    times += [due for alarm in state.own.values() if (due := alarm.timer_ns()) is not None]
    return min(times, default=None)


def wanted(state: PagerState, send: Send) -> Literal["now", "later", "never"]:
    """Whether a message that was decided earlier should still go out.

    ``later`` while an answer stands that the ward has not confirmed; ``never`` once nothing it tells of calls any
    more, or only in a newer round, which has messages of its own.
    """
    if not send.round:
        return "now"
    answer: Literal["later", "never"] = "never"
    for name in send.round:
        alarm_id, _, since = name.rpartition("#")
        alarm = state.alarms.get(alarm_id)
        page = state.pages.get(alarm.patient) if alarm else None
        member = page.members.get(alarm_id) if page else None
        if member is None or member.since != since:
            continue
        if not member.held_by:
            return "now"
        answer = "later"
    return answer
