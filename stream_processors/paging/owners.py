"""From a place ("the first line") to people, always to somebody: an alarm without an owner is the one thing refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from stream_processors.paging.policy import Target
from stream_processors.paging.rota import Rota, Team, on_call


@dataclass(frozen=True, slots=True)
class Owners:
    """Who is meant.

    Attributes:
        people: At least one, in order.
        because: Why it is not simply who the target names; "" where it is.
    """

    people: tuple[str, ...]
    because: str = ""


def owners(
    rota: Rota, team: Team, target: Target, at_ns: int, *, weak: frozenset[str] = frozenset(), answered: str = ""
) -> Owners:
    """The people behind a target at an instant.

    Where there is nobody, the next line, then the leads, the team and at last everyone stand in. Where all of them
    are weak, they are told, and the next one who is not weak is told with them.

    Args:
        rota: With at least one person.
        team: Whose lines are meant.
        target: Who is meant.
        at_ns: When.
        weak: People who are not proven reachable: never alone on call.
        answered: Who answered last, for the target of that name.
    """
    named = tuple(dict.fromkeys(_named(rota, team, target, at_ns, answered)))
    chain = [group for group in _stand_ins(rota, team, target, at_ns) if group]
    if not named:
        found = chain[0]
        if all(person in weak for person in found):
            found += _first_strong(chain[1:], weak)
        return Owners(tuple(dict.fromkeys(found)), f"nobody is {target} of {team.id}")
    if target.kind != "everyone" and all(person in weak for person in named):
        more = tuple(person for person in _first_strong(chain, weak) if person not in named)
        return Owners((*named, *more), f"{', '.join(named)} not proven reachable" if more else "")
    return Owners(named)


def _named(rota: Rota, team: Team, target: Target, at_ns: int, answered: str) -> Iterable[str]:
    match target.kind:
        case "line":
            return on_call(rota, team.id, target.name, at_ns)
        case "person":
            return (target.name,) if target.name in rota.people else ()
        case "team":
            return (person for person in team.members if person in rota.people)
        case "lead":
            return (person for person in team.leads if person in rota.people)
        case "everyone":
            return rota.people
        case "answered":
            return (answered,) if answered in rota.people else ()
        case _:
            assert_never(target.kind)


def _stand_ins(rota: Rota, team: Team, target: Target, at_ns: int) -> Iterator[tuple[str, ...]]:
    """Who could stand in, in order: the lines after the one meant and then those before it, the leads, all."""
    after = team.lines.index(target.name) + 1 if target.kind == "line" and target.name in team.lines else 0
    for line in (*team.lines[after:], *team.lines[:after]):
        yield on_call(rota, team.id, line, at_ns)
    yield tuple(person for person in team.leads if person in rota.people)
    yield tuple(person for person in team.members if person in rota.people)
    yield tuple(rota.people)


def _first_strong(chain: Iterable[tuple[str, ...]], weak: frozenset[str]) -> tuple[str, ...]:
    for group in chain:
        strong = tuple(person for person in group if person not in weak)
        if strong:
            return strong
    return ()
