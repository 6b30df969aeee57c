"""What outlives the page: links for carers, ended sessions, accounts that change while it runs. And TLS."""

import ssl

import httpx
import pytest
from test_console_app import OURS, PASSWORD, Ward

from dashboards.console import Account, ConsoleSettings, Role, SettingsError, hash_password, write_accounts
from dashboards.console.accounts import AccountBook
from dashboards.console.auth import Sessions
from dashboards.console.session_book import Pass, SessionBook, SessionBookError
from deploy.brokers import certificates
from deploy.cli import app as commands
from deploy.page import PageError, check_tls, serving

SECRET = b"s" * 32
HASHED = hash_password(PASSWORD)
IMRE = Account("imre", Role.CLINICIAN, HASHED)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def sessions(file, clock=None):
    clock = clock or Clock()
    return Sessions(SECRET, 3600.0, AccountBook([IMRE]), clock, SessionBook(file, clock))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "console" / "sessions.jsonl"


def test_a_signed_out_session_stays_out_after_a_restart(file):
    held = sessions(file)
    one, two = held.open(IMRE), held.open(IMRE)
    held.close(held.read(one))
    again = sessions(file)
    assert again.read(one) is None
    assert again.read(two).name == "imre"


def test_a_link_works_once_whatever_happens_in_between(file):
    link = sessions(file).invite("p-1", "lena", 60.0)
    used, cookie = sessions(file).accept(link, 600.0)
    assert (used.patient, used.by) == ("p-1", "lena")
    again = sessions(file)
    assert again.accept(link, 600.0) is None
    assert again.read(cookie).patient == "p-1"


def test_a_link_that_was_taken_back_opens_nothing_and_who_came_by_it_is_out(file):
    held = sessions(file)
    unused, link = held.invite("p-1", "lena", 60.0), held.invite("p-1", "lena", 60.0)
    used, cookie = held.accept(link, 600.0)
    for one in held.book.of("p-1"):
        assert held.take_back(one.id, "lena").taken_back_by == "lena"
    assert held.read(cookie) is None
    for later in (held, sessions(file)):
        assert later.accept(unused, 600.0) is None
        assert later.read(cookie) is None
        assert later.book.of("p-1") == []
    assert held.take_back("nobody's", "lena") is None
    assert used.id != "nobody's"


def test_links_end_by_themselves(file):
    clock = Clock()
    held = sessions(file, clock)
    late, early = held.invite("p-1", "lena", 60.0), held.invite("p-1", "lena", 60.0)
    _, cookie = held.accept(early, 600.0)
    clock.now += 61
    assert held.accept(late, 600.0) is None
    assert held.read(cookie) is not None
    clock.now += 600
    assert held.read(cookie) is None


def test_what_is_over_leaves_the_file_at_the_next_start_and_only_its_owner_reads_it(file):
    clock = Clock()
    held = sessions(file, clock)
    for _ in range(20):
        held.close(held.read(held.open(IMRE)))
    held.invite("p-1", "lena", 10_000.0)
    assert len(file.read_text().splitlines()) == 21
    clock.now += 5000
    sessions(file, clock)
    assert len(file.read_text().splitlines()) == 1
    assert file.stat().st_mode & 0o077 == 0


def test_half_a_line_of_a_power_cut_is_left_out_and_anything_else_is_told(file):
    sessions(file).invite("p-1", "lena", 60.0)
    with file.open("a") as opened:
        opened.write('{"what":"ended","sess')
    assert len(sessions(file).book.of("p-1")) == 1
    file.write_text('nonsense\n{"what":"ended","session":"a","ends_s":1}\n')
    with pytest.raises(SessionBookError, match="line 1"):
        sessions(file)


async def test_what_cannot_be_written_down_is_not_done(tmp_path):
    ward = Ward(sessions_file=tmp_path / "sessions.jsonl")
    (tmp_path / "sessions.jsonl").unlink()
    (tmp_path / "sessions.jsonl").mkdir()  # as a full or broken disk would refuse it
    async with ward.client("lena") as lead:
        answer = await lead.post("/api/passes", headers=OURS, json={"patient": "p-1"})
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    assert ward.console.sessions.book.of("p-1") == []


async def test_a_clinician_sees_a_patients_links_and_takes_one_back():
    ward = Ward()
    async with ward.client("lena") as lead, ward.client() as carer:
        made = await lead.post("/api/passes", headers=OURS, json={"patient": "p-1"})
        link = made.json()["path"].partition("#")[2]
        (one,) = (await lead.get("/api/patients/p-1/passes")).json()["passes"]
        assert (one["by"], one["used"]) == ("lena", None)
        assert link not in str(one)
        assert (await carer.post("/api/my/enter", headers=OURS, json={"invitation": link})).status_code == 200
        (one,) = (await lead.get("/api/patients/p-1/passes")).json()["passes"]
        assert one["used"] is not None
        assert (await lead.post("/api/passes/end", headers=OURS, json={"id": one["id"]})).status_code == 200
        assert (await carer.get("/api/my")).status_code == 401
        assert (await lead.get("/api/patients/p-1/passes")).json()["passes"] == []
        assert (await lead.post("/api/passes/end", headers=OURS, json={"id": "x"})).status_code == 404
        assert (await lead.get("/api/patients/p-99/passes")).status_code == 404
    said = [ward.console.outbox.get_nowait().what for _ in range(ward.console.outbox.qsize())]
    assert said == ["pass-made", "pass-used", "pass-taken-back"]


def test_an_id_of_a_pass_is_not_its_key(file):
    held = sessions(file)
    held.invite("p-1", "lena", 60.0)
    (made,) = held.book.of("p-1")
    assert isinstance(made, Pass)
    assert held.accept(made.id, 60.0) is None


def test_accounts_that_change_on_disk_count_at_once(tmp_path):
    path = tmp_path / "accounts.json"
    write_accounts(path, [IMRE])
    book = AccountBook(file=path)
    held = Sessions(SECRET, 3600.0, book, Clock())
    cookie = held.open(book.get("imre"))
    write_accounts(path, [Account("vera", Role.VIEWER, HASHED)])
    assert held.read(cookie) is None
    assert book.check("vera", PASSWORD).role is Role.VIEWER
    path.write_text("{")
    assert book.get("vera") is not None
    assert str(path) in book.wrong
    write_accounts(path, [IMRE])
    assert held.read(cookie).name == "imre"
    assert book.wrong == ""


async def test_a_list_of_accounts_that_cannot_be_read_is_told_on_every_page(tmp_path):
    path = tmp_path / "accounts.json"
    write_accounts(path, [IMRE])
    ward = Ward(accounts_file=path)
    assert "accounts" not in [problem["part"] for problem in ward.console.beat()["problems"]]
    path.write_text("[]")
    ward.console.accounts.get("imre")
    assert "accounts" in [problem["part"] for problem in ward.console.beat()["problems"]]


@pytest.mark.parametrize("host", ["ward.example", "192.168.1.4", "::"])
def test_nobody_is_served_in_the_clear_by_accident(host, tmp_path):
    with pytest.raises(SettingsError, match="no TLS"):
        ConsoleSettings(host=host)
    assert not ConsoleSettings(host=host, plain=True).secure
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    assert ConsoleSettings(host=host, tls_certificate=certificate, tls_key=key).secure


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_alone_needs_no_tls(host):
    assert not ConsoleSettings(host=host).tls


def test_a_certificate_without_its_key_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="both"):
        ConsoleSettings(tls_certificate=tmp_path / "c.pem")


def test_what_is_no_certificate_is_told_before_anything_listens(tmp_path):
    made = tmp_path / "c.pem"
    made.write_text("no certificate")
    with pytest.raises(PageError, match="no certificate and its key"):
        check_tls(ConsoleSettings(tls_certificate=made, tls_key=made))


def test_a_certificate_of_the_page_is_for_no_other_part():
    from typer.testing import CliRunner

    result = CliRunner().invoke(commands, ["run", "bridge", "--tls-cert", "c.pem"])
    assert result.exit_code != 0
    assert "not to bridge" in " ".join(result.output.replace("│", " ").split())


async def test_the_page_speaks_tls_and_its_cookies_go_by_nothing_else(tmp_path):
    made = certificates.server(tmp_path, ("localhost", "127.0.0.1"))
    ward = Ward(port=0, tls_certificate=made.certificate, tls_key=made.key)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    async with serving(ward.console) as address, httpx.AsyncClient(verify=trusted, base_url=address) as client:
        assert address.startswith("https://")
        headers = {"x-teleward": "console", "origin": address.rstrip("/")}
        answer = await client.post("/api/sign-in", headers=headers, json={"name": "imre", "password": PASSWORD})
        assert answer.status_code == 200
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "max-age" in answer.headers["strict-transport-security"]
        assert (await client.get("/api/me")).json()["name"] == "imre"
