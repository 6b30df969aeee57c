"""Reads paging policies as a site writes them. Every complaint names file and line and says what to write.

```yaml
policies:
  - name: high
    for: high
    steps:
      - {after: 0,  to: [line first]}
      - {after: 2m, to: [line second]}
      - {after: 4m, to: [everyone]}
    repeat: 2m
```
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Final, get_args

from yaml.nodes import Node

from stream_processors.paging import own
from stream_processors.paging.policy import DEFAULT, Gateway, Policies, Policy, Quiet, Step, Target, TargetKind
from stream_processors.paging.rota import Rota
from transport.yaml_lines import Complaints, Table, compose, minute_of_day, positive_span, span, whole, word
from vitals.events import Priority
from vitals.rules import RULES

_NAMED: Final = ("line", "person")
_KNOWN_RULES: Final = (*RULES, *own.RULES)


def read_policies(text: str, file: str, rota: Rota) -> Policies:
    """A site's policies.

    Args:
        text: The file.
        file: Its name, for complaints.
        rota: Whose lines, people and teams the policies may name.

    Raises:
        FileError: With a line for everything that is wrong.
    """
    complaints = Complaints(file)
    root = Table(compose(text, complaints, "`policies:`"), "the file", complaints)
    nodes = root.items("policies")
    policies = [_policy(node, rota, complaints) for node in nodes]
    _check_order(list(zip(nodes, policies, strict=True)), root, complaints)
    limit = _part(root, "limit", complaints)
    gateway = _part(root, "gateway", complaints)
    answers = _part(root, "answers", complaints)
    shifts = _part(root, "shifts", complaints)
    quiet = _part(root, "quiet_shift", complaints)
    made = Policies(
        policies=tuple(policies),
        per_hour=limit.read("per_hour", whole(1, 1000), DEFAULT.per_hour),
        digest_every_ns=limit.read("digest_every", positive_span, DEFAULT.digest_every_ns),
        gateway=Gateway(
            rules=gateway.each("rules", _rule) or DEFAULT.gateway.rules,
            at_least=gateway.read("at_least", whole(2, 10_000), DEFAULT.gateway.at_least),
            within_ns=gateway.read("within", positive_span, DEFAULT.gateway.within_ns),
        ),
        confirm_ns=answers.read("confirm_within", positive_span, DEFAULT.confirm_ns),
        link_valid_ns=answers.read("links_last", positive_span, DEFAULT.link_valid_ns),
        snooze_ns=answers.read("snooze", positive_span, DEFAULT.snooze_ns),
        test_before_ns=shifts.read("test_before", positive_span, DEFAULT.test_before_ns),
        look_ahead_ns=shifts.read("look_ahead", positive_span, DEFAULT.look_ahead_ns),
        quiet_messages=quiet.each("at", minute_of_day),
        quiet_to=quiet.each("to", lambda text: _target(text, rota)) or DEFAULT.quiet_to,
    )
    for table in (limit, gateway, answers, shifts, quiet, root):
        table.finish()
    complaints.raise_if_any()
    return made


def _part(root: Table, name: str, complaints: Complaints) -> Table:
    """A mapping that may be left out."""
    if root.has(name):
        return Table(root.node_of(name), name, complaints)
    empty = compose("{}", complaints, "")
    return Table(empty, name, complaints)


def _policy(node: Node, rota: Rota, complaints: Complaints) -> Policy:
    table = Table(node, "a policy", complaints)
    name = table.need("name", str, "?")
    table.what = f"policy {name!r}"
    priority = Priority(table.need("for", word([p.value for p in Priority]), Priority.MEDIUM.value))
    if priority is Priority.LOW:
        complaints.add(table.node_of("for"), f"{table.what} is for low priority, which never pages; take it out")
    policy = Policy(
        name=name,
        priority=priority,
        steps=_steps(table, rota, complaints),
        rules=table.each("rules", _rule),
        team=table.read("team", lambda text: _one_of(text, rota.teams, "a team of the rota"), ""),
        wait_ns=table.read("wait", span, 0),
        repeat_ns=table.need("repeat", positive_span, DEFAULT.policies[0].repeat_ns),
        at_most_every_ns=table.read("at_most_every", span, 0),
        quiet=_quiet(table, complaints),
    )
    if policy.at_most_every_ns > policy.repeat_ns:
        complaints.add(
            table.node_of("at_most_every"), f"at_most_every of {table.what} is longer than repeat; make it at most that"
        )
    if priority is Priority.HIGH:
        _check_high(table, policy, complaints)
    table.finish()
    return policy


def _check_high(table: Table, policy: Policy, complaints: Complaints) -> None:
    """What holds for every site: high priority does not wait, does not stop at one person, and ends at everyone."""
    if policy.quiet is not None:
        complaints.add(
            table.node_of("not_between"), f"{table.what} is for high priority, which waits for no morning; take it out"
        )
    if all(target.kind != "everyone" for target in policy.steps[-1].to):
        complaints.add(
            table.node_of("steps"), f"{table.what} is for high priority; let its last step be `to: [everyone]`"
        )
    if len(policy.steps) < 2:
        complaints.add(table.node_of("steps"), f"{table.what} has one step; add a next one, for when nobody answers")


def _steps(policy: Table, rota: Rota, complaints: Complaints) -> tuple[Step, ...]:
    steps: list[Step] = []
    for node in policy.items("steps"):
        table = Table(node, f"a step of {policy.what}", complaints)
        step = Step(
            after_ns=table.need("after", span, 0),
            to=table.each("to", lambda text: _target(text, rota)),
        )
        if not table.items("to"):
            complaints.add(node, f"{table.what} has nobody in `to`; write `to: [line first]`")
        if not steps and step.after_ns != 0:
            complaints.add(node, f"the first step of {policy.what} is not at 0; write `after: 0` (use `wait` to wait)")
        if steps and step.after_ns <= steps[-1].after_ns:
            complaints.add(node, f"{table.what} is not after the one before it; write a longer `after`")
        table.finish()
        steps.append(step)
    if not steps:
        complaints.add(policy.node_of("steps"), f"{policy.what} has no steps; add `- {{after: 0, to: [line first]}}`")
        return (Step(0, (Target("everyone"),)),)
    return tuple(steps)


def _quiet(table: Table, complaints: Complaints) -> Quiet | None:
    """``not_between: ["22:00", "07:00"]``: what waits for the morning."""
    times = table.each("not_between", minute_of_day)
    if not times:
        return None
    if len(times) != 2 or times[0] == times[1]:
        complaints.add(
            table.node_of("not_between"),
            f'not_between of {table.what} is no span; write `not_between: ["22:00", "07:00"]`',
        )
        return None
    return Quiet(times[0], times[1])


def _target(text: str, rota: Rota) -> Target:
    kind, _, name = text.strip().partition(" ")
    if kind not in get_args(TargetKind) or (kind in _NAMED) != bool(name):
        raise ValueError("write `line NAME`, `person NAME`, team, lead, everyone or answered")
    if kind == "line":
        _one_of(name, {line: None for team in rota.teams.values() for line in team.lines}, "a line of a team")
    if kind == "person":
        _one_of(name, rota.people, "a person of the rota")
    return Target(kind, name)  # type: ignore[arg-type]  # one of the kinds, as just asked


def _one_of(text: str, known: Mapping[str, object], what: str) -> str:
    if text not in known:
        raise ValueError(f"write {what}: {', '.join(known)}")
    return text


def _rule(text: str) -> str:
    if not fnmatch.filter(_KNOWN_RULES, text):
        raise ValueError("no rule is called so; docs/alarms.md has them all")
    return text


def _check_order(policies: list[tuple[Node, Policy]], root: Table, complaints: Complaints) -> None:
    """Each priority that pages has a policy for whatever no other fits, and none stands behind it unseen."""
    names: set[str] = set()
    for number, (node, policy) in enumerate(policies):
        if policy.name in names:
            complaints.add(node, f"two policies are called {policy.name!r}; name one otherwise")
        names.add(policy.name)
        if any(p.priority == policy.priority and not p.rules for _, p in policies[:number]):
            complaints.add(node, f"policy {policy.name!r} never holds: one for all rules stands before it; move it up")
    for priority in (Priority.HIGH, Priority.MEDIUM):
        if not any(p.priority == priority and not p.rules for _, p in policies):
            complaints.add(
                root.node_of("policies"),
                f"no policy is for {priority} and all rules; add one without `rules` at the end",
            )
