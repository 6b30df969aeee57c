"""Whatever reads bytes from elsewhere says so of all that are none of its own, and never fails in another way."""

import json

import pytest

from dashboards.console.accounts import AccountsError, Role, read_accounts
from dashboards.console.commands import Refusal, read
from dashboards.console.state import ConsoleState
from vitals import duty, quarantine
from vitals.ledger import Ledger, LedgerError

# No UTF-8 within a text: msgspec says so with UnicodeDecodeError, which is no DecodeError of its own.
BAD_TEXT = b'{"command_id": "\xff\xfe", "zone": "\xff", "accounts": [{"name": "\xff"}]}'
BAD_PACKED = b"\x81\xa6device\xa2\xff\xfe"
BAD_LEDGER = b"\x81\xa7version\xa2\xff\xfe"


@pytest.mark.parametrize("data", [b"", b"\x00", b"{", BAD_TEXT, b"[" * 100_000])
def test_a_command_that_is_none_is_refused_in_words(data):
    said = read(data, ConsoleState(), "imre", Role.CLINICIAN, 0)
    assert isinstance(said, Refusal)
    assert said.status == 422


@pytest.mark.parametrize("data", [b"", BAD_TEXT, b"[" * 100_000, b'{"at_ns": "x"}'])
def test_a_board_that_is_none_is_named(data):
    with pytest.raises(duty.DutyError, match="not a duty board"):
        duty.decode(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", BAD_PACKED, b"\x91" * 100_000])
def test_a_quarantine_record_that_is_none_is_named(data):
    with pytest.raises(quarantine.QuarantineError):
        quarantine.decode(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", BAD_LEDGER, b"\x91" * 100_000])
def test_a_ledger_that_is_none_is_named(data):
    with pytest.raises(LedgerError):
        Ledger.from_bytes(data)


@pytest.mark.parametrize("data", [BAD_TEXT, b"[" * 100_000])
def test_an_accounts_file_that_is_none_is_named(tmp_path, data):
    path = tmp_path / "accounts.json"
    path.write_bytes(data)
    with pytest.raises(AccountsError, match=r"accounts\.json"):
        read_accounts(path)


def test_a_board_survives_its_bytes():
    board = duty.Board(
        at_ns=1,
        zone="Europe/Berlin",
        people=(duty.Member(person="wren", teams=("ward",), channels=2, proven_ns=7),),
        holders=(duty.Holder(team="ward", line="first", people=("wren",), why="heron has not taken over"),),
        messages=(
            duty.Message(
                message_id="m1",
                person="wren",
                kind="page",
                priority="high",
                at_ns=3,
                title="URGENT",
                receipts=(duty.Receipt("sent", 4),),
            ),
        ),
    )
    again = duty.decode(duty.encoder.encode(board))
    assert again == duty.decode(duty.encoder.encode(again))
    assert json.loads(duty.encoder.encode(board))["holders"][0]["people"] == ["wren"]
