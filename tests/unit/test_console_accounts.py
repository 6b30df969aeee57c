"""Accounts, sessions, the throttle, and where a request comes from."""

import pytest

from dashboards.console.accounts import (
    Account,
    AccountBook,
    AccountsError,
    Role,
    generate_password,
    hash_password,
    read_accounts,
    verify_password,
    write_accounts,
)
from dashboards.console.auth import Sessions, Throttle, foreign

HASHED = hash_password("correct-horse")
IMRE = Account("imre", Role.CLINICIAN, HASHED)

ANA = '{"name": "ana", "role": "viewer", "password": "scrypt$"}'


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_password_fits_its_own_hash_and_no_other():
    assert verify_password("correct-horse", HASHED)
    assert not verify_password("correct-horsf", HASHED)
    assert "correct" not in HASHED


def test_the_same_password_is_hashed_differently_each_time():
    assert hash_password("x", b"0" * 16) != hash_password("x", b"1" * 16)


@pytest.mark.parametrize("broken", ["", "plain", "scrypt$1$8$3$aa$bb", "scrypt$15$8$3$??$??", "scrypt$30$8$3$aa$bb"])
def test_a_hash_that_cannot_be_read_fits_nothing(broken):
    assert not verify_password("x", broken)


def test_generated_passwords_are_long_and_never_twice_the_same():
    made = {generate_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 19 for one in made)


def test_accounts_survive_their_file_and_only_their_owner_may_read_it(tmp_path):
    path = tmp_path / "accounts.json"
    write_accounts(path, [IMRE])
    assert read_accounts(path) == [IMRE]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "accounts.json"),
        ('{"accounts": [{"name": "a", "role": "king", "password": "scrypt$"}]}', "king"),
        ('{"accounts": [{"name": "a b", "role": "viewer", "password": "scrypt$"}]}', "'a b'"),
        ('{"accounts": [{"name": "a", "role": "viewer", "password": "hunter2"}]}', "not hashed"),
        (f'{{"accounts": [{ANA}, {ANA}]}}', "twice"),
    ],
)
def test_a_broken_accounts_file_is_refused_and_says_why(tmp_path, text, said):
    path = tmp_path / "accounts.json"
    path.write_text(text)
    with pytest.raises(AccountsError, match=said):
        read_accounts(path)


def test_a_missing_accounts_file_is_named(tmp_path):
    with pytest.raises(AccountsError, match=r"none\.json"):
        read_accounts(tmp_path / "none.json")


def test_an_unknown_name_costs_the_same_work_as_a_wrong_password(monkeypatch):
    tried = []
    monkeypatch.setattr("dashboards.console.accounts.verify_password", lambda p, h: tried.append(h) or False)
    book = AccountBook([IMRE])
    assert book.check("imre", "x") is None
    assert book.check("nobody", "x") is None
    assert len(tried) == 2
    assert tried[1].startswith("scrypt$")


def sessions(clock, book=None, secret=b"s" * 32):
    return Sessions(secret, 3600, book or AccountBook([IMRE]), clock)


def test_a_cookie_speaks_for_its_person_until_it_ends():
    clock = Clock()
    held = sessions(clock)
    cookie = held.open(IMRE)
    assert held.read(cookie).name == "imre"
    clock.now += 3601
    assert held.read(cookie) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c[:-1] + ("0" if c[-1] != "0" else "1"),
        lambda c: "A" + c[1:],
        lambda c: c.replace(".", ""),
        lambda _: "",
        lambda _: "ü.ü",
        lambda c: c + ".x",
    ],
)
def test_a_forged_cookie_speaks_for_nobody(spoil):
    held = sessions(Clock())
    assert held.read(spoil(held.open(IMRE))) is None


def test_a_cookie_of_another_secret_speaks_for_nobody():
    assert sessions(Clock()).read(sessions(Clock(), secret=b"t" * 32).open(IMRE)) is None


def test_signing_out_ends_the_session_and_no_other():
    held = sessions(Clock())
    one, two = held.open(IMRE), held.open(IMRE)
    held.close(held.read(one))
    assert held.read(one) is None
    assert held.read(two) is not None


def test_a_new_password_and_a_new_role_count_at_once():
    book = AccountBook([IMRE])
    held = sessions(Clock(), book)
    cookie = held.open(IMRE)
    book.add(Account("imre", Role.VIEWER, HASHED))
    assert held.read(cookie).role is Role.VIEWER
    book.add(Account("imre", Role.CLINICIAN, hash_password("another")))
    assert held.read(cookie) is None


def test_guessing_gets_slower_and_slower():
    clock = Clock()
    throttle = Throttle(clock)
    waits = []
    for _ in range(8):
        throttle.failed("imre", "10.0.0.9")
        waits.append(throttle.wait_s("imre", "10.0.0.9"))
    assert waits == [0, 0, 0, 0, 0, 2, 4, 8]
    clock.now += 8
    assert throttle.wait_s("imre", "10.0.0.9") == 0


def test_a_stranger_cannot_lock_somebody_out_from_elsewhere():
    throttle = Throttle(Clock())
    for _ in range(50):
        throttle.failed("imre", "10.0.0.66")
    assert throttle.wait_s("imre", "10.0.0.66") > 0
    assert throttle.wait_s("imre", "10.0.0.7") == 0


def test_trying_every_name_from_one_address_is_slowed_too():
    throttle = Throttle(Clock())
    for i in range(30):
        throttle.failed(f"name-{i}", "10.0.0.66")
    assert throttle.wait_s("a-fresh-name", "10.0.0.66") > 0


def test_the_right_password_forgets_the_failures_of_its_name():
    throttle = Throttle(Clock())
    for _ in range(6):
        throttle.failed("imre", "10.0.0.9")
    throttle.succeeded("imre", "10.0.0.9")
    assert throttle.wait_s("imre", "10.0.0.9") == 0


def test_the_throttle_keeps_no_more_than_it_may():
    throttle = Throttle(Clock(), most=10)
    for i in range(100):
        throttle.failed(f"n{i}", f"a{i}")
    assert len(throttle._tries) <= 10


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"x-teleward": "console", "origin": "http://ward:8080", "host": "ward:8080"}, True),
        ({"x-teleward": "console", "origin": "https://WARD", "host": "ward"}, True),
        ({"origin": "http://ward:8080", "host": "ward:8080"}, False),
        ({"x-teleward": "console", "host": "ward:8080"}, False),
        ({"x-teleward": "console", "origin": "http://evil", "host": "ward:8080"}, False),
        ({"x-teleward": "console", "origin": "http://ward:9090", "host": "ward:8080"}, False),
        ({"x-teleward": "console", "origin": "null", "host": "ward:8080"}, False),
    ],
)
def test_only_our_own_page_may_change_something(headers, ours):
    assert (foreign(headers) == "") is ours
