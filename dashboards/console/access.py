"""Who may use what: the one table of endpoints and roles. A route that is not in it does not start."""

from __future__ import annotations

from typing import Final, TypeAlias

from dashboards.console.accounts import Role

Endpoint: TypeAlias = tuple[str, str]

PUBLIC: Final[frozenset[Role]] = frozenset()  # anybody, signed in or not: nothing about patients may be behind it
SIGNED_IN: Final = frozenset(Role)
STAFF: Final = SIGNED_IN - {Role.CARER}
HANDS: Final = frozenset({Role.CLINICIAN, Role.LEAD, Role.ENGINEER})  # an engineer's reach no further than equipment
CLINICIANS: Final = frozenset({Role.CLINICIAN, Role.LEAD})
OVERSEERS: Final = frozenset({Role.LEAD, Role.ENGINEER})
CARERS: Final = frozenset({Role.CARER})

ACCESS: Final[dict[Endpoint, frozenset[Role]]] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/sign-in"): PUBLIC,
    ("GET", "/offline"): PUBLIC,
    ("GET", "/sw.js"): PUBLIC,
    ("GET", "/manifest.webmanifest"): PUBLIC,
    ("GET", "/api/session"): PUBLIC,
    ("POST", "/api/sign-in"): PUBLIC,
    # The link itself is the key, and the pager judges it; the page alone says nothing.
    ("GET", "/a/{token}"): PUBLIC,
    ("POST", "/api/link"): PUBLIC,
    ("POST", "/api/answer"): PUBLIC,
    ("GET", "/my/enter"): PUBLIC,
    ("POST", "/api/my/enter"): PUBLIC,
    ("POST", "/api/sign-out"): SIGNED_IN,
    ("GET", "/"): STAFF,
    ("GET", "/patient/{patient}"): STAFF,
    ("GET", "/alarms"): STAFF,
    ("GET", "/shift"): STAFF,
    ("GET", "/rota"): STAFF,
    ("GET", "/burden"): STAFF,
    ("GET", "/latency"): STAFF,
    ("GET", "/events"): STAFF,
    ("GET", "/api/me"): STAFF,
    ("GET", "/api/patients/{patient}/trends"): STAFF,
    ("GET", "/api/patients/{patient}/alarms"): STAFF,
    ("GET", "/api/alarms"): STAFF,
    ("GET", "/api/duty"): STAFF,
    ("GET", "/api/burden"): STAFF,
    ("GET", "/api/latency"): STAFF,
    ("POST", "/api/shown"): STAFF,
    ("POST", "/api/duty/confirm"): STAFF,
    ("POST", "/api/duty/test"): STAFF,
    ("POST", "/api/commands"): HANDS,
    ("POST", "/api/passes"): CLINICIANS,
    ("GET", "/api/patients/{patient}/passes"): CLINICIANS,
    ("POST", "/api/passes/end"): CLINICIANS,
    ("GET", "/audit"): OVERSEERS,
    ("GET", "/api/audit"): OVERSEERS,
    ("GET", "/api/audit/alarm"): OVERSEERS,
    ("GET", "/my"): CARERS,
    ("GET", "/api/my"): CARERS,
}

# Pages for people: who is not signed in is led to the sign-in page, and who may not is told so in words; everything
# else answers 401 and 403.
PAGES: Final = frozenset(
    ("GET", path)
    for path in ("/", "/patient/{patient}", "/alarms", "/shift", "/rota", "/burden", "/audit", "/latency", "/my")
)


def may(role: Role | None, endpoint: Endpoint) -> bool:
    """Whether somebody of a role (None: not signed in) may use an endpoint of the table."""
    allowed = ACCESS[endpoint]
    return allowed == PUBLIC or role in allowed
