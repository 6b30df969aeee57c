"""The console over HTTP: who may do what, headers, signing in, commands."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from console_made_up import WELL, Alarms, at, frames

from dashboards.console import Account, Console, ConsoleSettings, NoHistory, Role, hash_password
from dashboards.console.access import ACCESS, PAGES, PUBLIC
from dashboards.console.history import HistoryUnavailable
from vitals.envelope import Envelope, envelope
from vitals.hops import Histogram
from vitals.signs import MINUTE_NS

BASE = "http://ward.test"
OURS = {"x-teleward": "console", "origin": BASE}
PASSWORD = "correct-horse"
HASHED = hash_password(PASSWORD)


class Clock:
    speed = 1.0

    def now_ns(self):
        return at(10)


class Ward:
    """A console with two accounts, one alarm, and a list of the commands it sent."""

    def __init__(self, history=None, **settings):
        self.commands = []
        self.fails = None
        self.console = Console(ConsoleSettings(**settings), history or NoHistory(), self.send, Clock())
        self.console.accounts.add(Account("vera", Role.VIEWER, HASHED))
        self.console.accounts.add(Account("imre", Role.CLINICIAN, HASHED))
        self.console.accounts.add(Account("lena", Role.LEAD, HASHED))
        self.console.accounts.add(Account("enzo", Role.ENGINEER, HASHED))
        self.console.accounts.add(Account("cora", Role.CARER, HASHED, "p-1"))
        alarms = Alarms()
        self.alarm = alarms.raised("p-1", "temp-high", 1)
        self.console.on_alarm(self.alarm, {"scored": at(9), "emitted": at(10)}, (0, 0))
        self.console.on_frames(frames({"p-1": WELL}, 9))

    async def send(self, command):
        self.commands.append(command)
        if self.fails:
            raise self.fails
        if self.fails is TimeoutError:
            await asyncio.sleep(60)

    def client(self, name=None):
        cookies = {}
        if name:
            cookies["teleward_session"] = self.console.sessions.open(self.console.accounts.get(name))
        transport = httpx.ASGITransport(app=self.console.app)
        return httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies)

    def wish(self, **more):
        told = {"command_id": "0123-4567", "alarm_id": self.alarm.alarm_id, "patient": "p-1", "seen": 1}
        return told | {"action": "acknowledge"} | more


@pytest.fixture
def ward():
    return Ward()


async def ask(client, endpoint, **more):
    method, path = endpoint
    if endpoint == ("GET", "/events"):
        return await asked_stream(client)
    return await client.request(method, path.replace("{patient}", "p-1").replace("{token}", "x"), headers=OURS, **more)


async def asked_stream(client):
    """The answer's head: the stream itself never ends, so the request is left after it."""
    app = client._transport.app
    streams = app.state.console.streams
    asking = asyncio.create_task(client.get("/events"))
    for _ in range(200):
        await asyncio.sleep(0)
        if streams._open or asking.done():
            break
    streams.stop()
    return await asking


@pytest.mark.parametrize("endpoint", sorted(ACCESS), ids=" ".join)
@pytest.mark.parametrize("name", [None, "vera", "imre", "lena", "enzo", "cora"])
async def test_every_endpoint_lets_in_whom_the_table_says(ward, endpoint, name):
    role = ward.console.accounts.get(name).role if name else None
    async with ward.client(name) as client:
        status = (await ask(client, endpoint)).status_code
    if ACCESS[endpoint] == PUBLIC or role in ACCESS[endpoint]:
        assert status not in (401, 403) or endpoint == ("POST", "/api/sign-in")
    elif role is None:
        assert status == (303 if endpoint in PAGES else 401)
    else:
        assert status == 403


@pytest.mark.parametrize("endpoint", sorted(e for e in ACCESS if e[0] != "GET"), ids=" ".join)
@pytest.mark.parametrize("headers", [{}, {"origin": BASE}, {"x-teleward": "console"}, OURS | {"origin": "http://evil"}])
async def test_nothing_changes_on_the_word_of_another_site(ward, endpoint, headers):
    async with ward.client("imre") as client:
        answer = await client.post(endpoint[1], headers=headers, json=ward.wish())
    assert answer.status_code == 403
    assert ward.commands == []


@pytest.mark.parametrize("path", ["/api/patients/p-1/alarms", "/api/patients/p-1/trends", "/api/alarms", "/events"])
async def test_a_carer_comes_to_no_data_of_the_ward(ward, path):
    async with ward.client("cora") as client:
        assert (await client.get(path)).status_code == 403


async def test_a_carer_sees_the_own_patient_and_cannot_name_another(ward):
    ward.console.on_frames(frames({"p-1": WELL, "p-2": WELL | {"hr": 199}}, 9.5))
    async with ward.client("cora") as client:
        told = await client.get("/api/my?patient=p-2")
    assert told.status_code == 200
    assert "199" not in told.text
    assert "p-2" not in told.text
    assert next(v["text"] for v in told.json()["values"] if v["measure"] == "rate") == "72"


async def test_a_pass_opens_one_patients_page_once(ward):
    async with ward.client("lena") as lead:
        made = await lead.post("/api/passes", headers=OURS, json={"patient": "p-1"})
    invitation = made.json()["path"].partition("#")[2]
    async with ward.client() as carer:
        assert (await carer.post("/api/my/enter", headers=OURS, json={"invitation": invitation})).status_code == 200
        assert (await carer.get("/api/my")).status_code == 200
        assert (await carer.get("/api/patients/p-1/alarms")).status_code == 403
    async with ward.client() as again:
        assert (await again.post("/api/my/enter", headers=OURS, json={"invitation": invitation})).status_code == 409
        assert (await again.get("/api/my")).status_code == 401


async def test_an_engineer_speaks_about_equipment_only(ward):
    async with ward.client("enzo") as client:
        answer = await client.post("/api/commands", headers=OURS, json=ward.wish())
    assert answer.status_code == 403
    assert ward.commands == []


async def test_a_link_that_is_none_never_reaches_the_pager(ward):
    async with ward.client() as client:
        assert (await client.post("/api/link", headers=OURS, json={"token": "x"})).status_code == 422
        good = "0" * 24 + ".a.1." + "A" * 22
        assert (await client.post("/api/link", headers=OURS, json={"token": good})).status_code == 503
        answers = [await client.post("/api/link", headers=OURS, json={"token": good}) for _ in range(30)]
    assert answers[-1].status_code == 429


async def test_no_documentation_page_and_no_schema_are_served(ward):
    async with ward.client("imre") as client:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/me", "/nowhere", "/static/js/main.js", "/healthz"])
async def test_every_answer_carries_the_headers(ward, path):
    async with ward.client("imre") as client:
        headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


async def test_pages_hold_no_script_and_no_style_of_their_own_and_nothing_from_elsewhere(ward):
    async with ward.client("imre") as client:
        anonymous = ward.client()
        pages = [(await client.get("/")).text, (await anonymous.get("/sign-in")).text]
        await anonymous.aclose()
    for page in pages:
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick" not in page
        assert "http" not in page.replace("http-equiv", "")
        assert page.count("<script") == page.count('<script type="module" src="/static/js/')


async def test_signing_in_opens_and_signing_out_closes(ward):
    async with ward.client() as client:
        assert (await client.get("/api/session")).json() == {"signed_in": False, "home": ""}
        answer = await client.post("/api/sign-in", headers=OURS, json={"name": "imre", "password": PASSWORD})
        assert answer.json() == {"name": "imre", "role": "clinician", "home": "/"}
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        me = (await client.get("/api/me")).json()
        assert (me["name"], me["role"], me["may_command"], me["may_audit"]) == ("imre", "clinician", True, False)
        stolen = dict(client.cookies)
        await client.post("/api/sign-out", headers=OURS)
        client.cookies.update(stolen)
        assert (await client.get("/api/me")).status_code == 401


async def test_behind_tls_cookies_are_secure_and_stay_so():
    ward = Ward(secure_cookies=True)
    async with ward.client() as client:
        answer = await client.post("/api/sign-in", headers=OURS, json={"name": "imre", "password": PASSWORD})
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "max-age" in answer.headers["strict-transport-security"]


async def test_wrong_names_and_wrong_passwords_are_answered_alike(ward):
    async with ward.client() as client:
        said = []
        for name in ("imre", "nobody"):
            answer = await client.post("/api/sign-in", headers=OURS, json={"name": name, "password": "wrong"})
            said.append((answer.status_code, answer.text))
    assert said[0] == said[1]
    assert said[0][0] == 401


async def test_guessing_is_throttled_before_any_password_is_hashed(ward, monkeypatch):
    for _ in range(7):
        ward.console.throttle.failed("imre", "127.0.0.1")
    monkeypatch.setattr(ward.console.accounts, "check", None)
    async with ward.client() as client:
        answer = await client.post("/api/sign-in", headers=OURS, json={"name": "imre", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


async def test_who_is_not_signed_in_comes_back_to_where_they_wanted(ward):
    async with ward.client() as client:
        answer = await client.get("/patient/p-1")
    assert answer.headers["location"] == "/sign-in?next=/patient/p-1"


async def test_a_command_goes_out_under_the_name_of_the_session(ward):
    async with ward.client("imre") as client:
        answer = await client.post("/api/commands", headers=OURS, json=ward.wish())
    assert answer.status_code == 202
    (command,) = ward.commands
    assert (command.by, command.alarm_id, command.at_ns) == ("imre", ward.alarm.alarm_id, at(10))


async def test_a_command_that_could_not_be_sent_is_told(ward):
    ward.fails = OSError("broker is gone: password=hunter2")
    async with ward.client("imre") as client:
        answer = await client.post("/api/commands", headers=OURS, json=ward.wish())
    assert answer.status_code == 503
    assert "Nothing was done" in answer.json()["detail"]
    assert "hunter2" not in answer.text


async def test_a_command_without_an_answer_is_not_called_done():
    ward = Ward(command_timeout_s=0.01)

    async def hang(_command):
        await asyncio.sleep(60)

    ward.console.send_command = hang
    async with ward.client("imre") as client:
        answer = await client.post("/api/commands", headers=OURS, json=ward.wish())
    assert answer.status_code == 504
    assert "send it again" in answer.json()["detail"]


async def test_an_oversized_body_is_not_read(ward):
    async with ward.client("imre") as client:
        answer = await client.post("/api/commands", headers=OURS, content=b"x" * 100_000)
    assert answer.status_code == 413


async def test_no_patient_means_not_found_everywhere(ward):
    async with ward.client("imre") as client:
        for what in ("trends", "alarms"):
            assert (await client.get(f"/api/patients/p-99/{what}")).status_code == 404
        assert (await client.get("/api/patients/p-1/trends?hours=7")).status_code == 422
        assert (await client.get("/api/patients/p-1/trends?hours=abc")).status_code == 422


async def test_without_a_store_the_page_shows_what_it_saw_and_says_so(ward):
    async with ward.client("imre") as client:
        trends = (await client.get("/api/patients/p-1/trends")).json()
        alarms = (await client.get("/api/patients/p-1/alarms")).json()
    assert "store" in trends["note"]
    assert [track["track"] for track in trends["tracks"] if track["lines"]]
    assert "store" in alarms["note"]
    assert [alarm["id"] for alarm in alarms["alarms"]] == [ward.alarm.alarm_id]
    assert [hop["hop"] for hop in alarms["alarms"][0]["why"]["hops"]] == ["emit", "show:read"]


class Store:
    """Tells a past alarm that the console itself never saw."""

    def __init__(self):
        past = Alarms()
        raised = past.raised("p-1", "spo2-low", -300)
        past.say(raised.alarm_id, "acknowledge", -299)
        self.events = past.events

    async def envelopes(self, patient, signs, from_ns, to_ns, width_ns):
        times = np.arange(from_ns, to_ns, 60 * MINUTE_NS)
        rate = envelope(times, np.full(len(times), 70.0), from_ns, width_ns)
        return {sign: rate if sign == "hr" else Envelope.empty() for sign in signs}

    async def watched(self, from_ns, to_ns):
        return {"p-1": [(to_ns - 60 * MINUTE_NS, to_ns)]}

    async def alarm_events(self, patient, from_ns=None, to_ns=None):
        return self.events


async def test_the_past_comes_from_the_store_and_each_event_once():
    ward = Ward(Store())
    async with ward.client("imre") as client:
        alarms = (await client.get("/api/patients/p-1/alarms")).json()
        trends = (await client.get("/api/patients/p-1/trends?hours=12")).json()
    assert [alarm["rule"] for alarm in alarms["alarms"]] == ["temp-high", "spo2-low"]
    assert [len(alarm["story"]) for alarm in alarms["alarms"]] == [1, 2]
    rate = next(track for track in trends["tracks"] if track["track"] == "rate")
    assert len(rate["lines"][0]["segments"]) == 12  # hourly readings of a sign valid for minutes: no line joins them
    assert trends["note"] == ""


async def test_a_store_that_breaks_takes_only_the_past_away():
    class Broken(Store):
        async def alarm_events(self, patient, from_ns=None, to_ns=None):
            raise HistoryUnavailable("disk is gone")

    ward = Ward(Broken())
    async with ward.client("imre") as client:
        alarms = (await client.get("/api/patients/p-1/alarms")).json()
    assert "disk is gone" in alarms["note"]
    assert len(alarms["alarms"]) == 1


async def test_a_made_account_signs_in_and_its_password_is_kept_nowhere(ward):
    password = ward.console.make_account("demo")
    async with ward.client() as client:
        answer = await client.post("/api/sign-in", headers=OURS, json={"name": "demo", "password": password})
    assert answer.status_code == 200
    assert password not in ward.console.accounts.get("demo").password


async def test_shown_is_believed_only_of_what_was_pushed(ward):
    told = {"page": "somewhere", "events": [{"id": ward.alarm.event_id, "waited_ms": 3}]}
    async with ward.client("vera") as client:
        answer = await client.post("/api/shown", headers=OURS, json=told)
    assert answer.json() == {"known": 0}


async def test_the_table_of_times_is_served(ward):
    async with ward.client("vera") as client:
        told = (await client.get("/api/latency")).json()
    assert told["hops"] == []  # the alarm was judged before this console started: told, not counted
    assert json.dumps(told)


async def test_the_parts_own_times_are_served_too(ward):
    histogram = Histogram()
    histogram.record(5_000_000)
    told = {"part": "bridge", "status": "ok", "text": "", "at_ns": at(10)}
    ward.console.on_health(told | {"hops": {"ingest": histogram.to_bytes().hex(), "log": "no histogram"}})
    async with ward.client("vera") as client:
        (row,) = (await client.get("/api/latency")).json()["all"]
    assert (row["hop"], row["part"], row["count"], row["mean"]) == ("ingest", "bridge", 1, 5)


async def test_stopped_it_opens_no_stream_and_is_not_healthy(ward):
    ward.console.stop()
    async with ward.client("imre") as client:
        assert (await client.get("/events")).status_code == 503
        assert (await client.get("/healthz")).status_code == 503
