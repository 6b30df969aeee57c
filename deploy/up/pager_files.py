"""What the pager of a new stack of one machine begins with: a rota with one person, a key for its links."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy import pager_environment as pager

_ROTA = """# Who is on call: docs/paging.md says what may stand here. It is read again whenever it changes.
zone: UTC
people:
  {person}:
    channels:
      - {{address: "console:", outside: false}}   # whoever is signed in on the page
      - {{address: "file:{person}", outside: false}}
      # - "ntfys://example.org/${{TOPIC}}"          # any Apprise address; TELEWARD_SECRET_TOPIC fills ${{TOPIC}} in
teams:
  ward: {{members: [{person}], leads: [{person}], lines: [first]}}
shifts:
  - {{team: ward, line: first, people: [{person}], from: "00:00", to: "00:00", since: 2026-01-01}}
"""


def pager_variables(folder: Path, page: str, person: str, secret: Callable[[Path], Path]) -> dict[str, str]:
    """What the pager is told; its files are made where they are missing.

    Args:
        folder: Of the pager.
        page: Where people find the console.
        person: Who is on call at first.
        secret: Makes a secret file where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rota = folder / "rota.yaml"
    if not rota.exists():
        rota.write_text(_ROTA.format(person=person), encoding="utf-8")
    told = {
        pager.ROTA: str(rota),
        pager.DB: str(folder / "pager.db"),
        pager.CONSOLE_URL: page,
        pager.LINK_KEY_FILE: str(secret(folder / "link-key")),
    }
    policies = folder / "policies.yaml"
    return told | ({pager.POLICY: str(policies)} if policies.exists() else {})
