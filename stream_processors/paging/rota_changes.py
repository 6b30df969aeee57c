"""What a new rota or new policies change, in words for the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stream_processors.paging.turn import Plan


def plan_changes(before: Plan, after: Plan) -> Iterator[str]:
    """One sentence for each part that is different.

    Addresses of channels may hold secrets: that they changed is said, not what they are.
    """
    for person in sorted({*before.rota.people, *after.rota.people}):
        old, new = before.rota.people.get(person), after.rota.people.get(person)
        if old is None or new is None:
            yield f"{person} {'joins' if old is None else 'leaves'} the rota"
        elif old != new:
            yield f"the channels of {person} changed"
    for field in msgspec.structs.fields(type(after.rota)):
        if field.name == "people":
            continue
        old_value, new_value = getattr(before.rota, field.name), getattr(after.rota, field.name)
        if old_value == new_value:
            continue
        if isinstance(new_value, tuple):
            gone = [item for item in old_value if item not in new_value]
            come = [item for item in new_value if item not in old_value]
            yield from (f"{field.name}: taken out {_said(item)}" for item in gone)
            yield from (f"{field.name}: added {_said(item)}" for item in come)
        else:
            yield f"{field.name} changed"
    if before.policies != after.policies:
        names = ", ".join(policy.name for policy in after.policies.policies)
        yield f"the policies changed; they are now {names}"


def _said(item: object) -> str:
    return msgspec.json.encode(item).decode()
