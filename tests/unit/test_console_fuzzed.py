"""Every endpoint of the console, asked what its description allows and what it forbids, by schemathesis.

Nothing may break it: no answer of 5xx but the two that are meant, each refusal in words, no trace of the inside.
"""

import json

import hypothesis
import schemathesis
from test_console_app import BASE, OURS, Ward

from dashboards.console.access import ACCESS
from dashboards.console.web import COOKIE

MEANT = {503, 504}  # no pager here; a command that is not confirmed
ENDLESS = "/events"


def description(ward):
    told = ward.console.app.openapi()
    # A stream that never ends is tested where streams are.
    return told | {"paths": {path: how for path, how in told["paths"].items() if path != ENDLESS}}


WARD = Ward(command_timeout_s=0.05)
schema = schemathesis.openapi.from_dict(description(WARD), config=schemathesis.Config.from_dict({"seed": 20260101}))
schema.app = WARD.console.app
WARD.console.accounts.check = lambda _name, _password: None  # hashing is slow on purpose, and tested elsewhere


@schema.parametrize()
@hypothesis.settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_nothing_that_is_sent_breaks_an_endpoint(case):
    cookie = WARD.console.sessions.open(WARD.console.accounts.get("lena"))
    headers = {**OURS, "host": BASE.partition("//")[2]}
    answer = case.call(base_url=BASE, headers=headers, cookies={COOKIE: cookie})
    assert answer.status_code < 500 or answer.status_code in MEANT
    assert answer.headers["x-content-type-options"] == ["nosniff"]
    text = answer.content.decode()
    assert "Traceback" not in text
    if answer.status_code >= 400 and case.path.startswith("/api/"):
        assert json.loads(text)["detail"]


def test_the_description_names_every_endpoint_of_the_table():
    paths = WARD.console.app.openapi()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(ACCESS)


def test_whatever_takes_a_body_describes_it():
    bodiless = {"/api/sign-out", "/api/duty/test"}
    for path, methods in WARD.console.app.openapi()["paths"].items():
        if "post" in methods and path not in bodiless:
            assert "requestBody" in methods["post"], path
