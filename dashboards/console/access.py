"""Who may use what: the one table of endpoints and roles. A route that is not in it does not start."""

from __future__ import annotations

from typing import Final, TypeAlias

from dashboards.console.accounts import Role

Endpoint: TypeAlias = tuple[str, str]

PUBLIC: Final[frozenset[Role]] = frozenset()  # anybody, signed in or not: nothing about patients may be behind it
EVERYBODY: Final = frozenset(Role)
CLINICIANS: Final = frozenset({Role.CLINICIAN})

ACCESS: Final[dict[Endpoint, frozenset[Role]]] = {
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/sign-in"): PUBLIC,
    ("GET", "/api/session"): PUBLIC,
    ("POST", "/api/sign-in"): PUBLIC,
    ("GET", "/"): EVERYBODY,
    ("GET", "/patient/{patient}"): EVERYBODY,
    ("GET", "/latency"): EVERYBODY,
    ("GET", "/events"): EVERYBODY,
    ("GET", "/api/me"): EVERYBODY,
    ("POST", "/api/sign-out"): EVERYBODY,
    ("GET", "/api/patients/{patient}/trends"): EVERYBODY,
    ("GET", "/api/patients/{patient}/alarms"): EVERYBODY,
    ("GET", "/api/latency"): EVERYBODY,
    ("POST", "/api/shown"): EVERYBODY,
    ("POST", "/api/commands"): CLINICIANS,
}

# Pages for people: who is not signed in is led to the sign-in page; everything else answers 401.
PAGES: Final = frozenset({("GET", "/"), ("GET", "/patient/{patient}"), ("GET", "/latency")})


def may(role: Role | None, endpoint: Endpoint) -> bool:
    """Whether somebody of a role (None: not signed in) may use an endpoint of the table."""
    allowed = ACCESS[endpoint]
    return allowed == PUBLIC or role in allowed
