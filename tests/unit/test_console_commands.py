"""From a page's words to a command of the log."""

import json

import pytest
from console_made_up import Alarms, at

from dashboards.console.accounts import Role
from dashboards.console.commands import Refusal, read
from dashboards.console.state import ConsoleState
from vitals.alarm_state import Return
from vitals.log import Command
from vitals.signs import HOUR_NS

NOW = at(10)


@pytest.fixture
def ward():
    alarms = Alarms()
    alarms.raised("p-1", "temp-high", 1)
    gone = alarms.raised("p-2", "spo2-low", 1)
    alarms.signal("p-2", "spo2-low", Return(at_ns=at(3), cause="back"))
    alarms.say(gone.alarm_id, "acknowledge", 4)
    state = ConsoleState()
    for i, event in enumerate(alarms.events):
        state.on_alarm(event, (0, i))
    return state


def wish(**more):
    told = {
        "command_id": "0123-4567",
        "alarm_id": f"p-1:temp-high:{at(1)}",
        "patient": "p-1",
        "action": "acknowledge",
        "seen": 1,
    }
    return json.dumps(told | more).encode()


def test_an_acknowledgement_names_the_person_who_is_signed_in(ward):
    told = read(wish(), ward, "imre", Role.CLINICIAN, NOW)
    assert isinstance(told, Command)
    assert (told.by, told.at_ns, told.seen, told.action) == ("imre", NOW, 1, "acknowledge")


def test_a_shelf_ends_in_ward_time(ward):
    shelf = wish(action="shelve", reason=" fever is treated ", for_s=1800, bound=40.5, direction="above")
    told = read(shelf, ward, "imre", Role.CLINICIAN, NOW)
    assert told.until_ns == at(40)
    assert (told.reason, told.bound, told.direction) == ("fever is treated", 40.5, "above")


def test_an_expectation_says_within_what_time(ward):
    told = read(wish(action="expect", reason="gave fluids", within_s=1200), ward, "imre", Role.CLINICIAN, NOW)
    assert told.within_ns == HOUR_NS // 3


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"by": "somebody-else"}, 422, "by"),
        ({"command_id": "x"}, 422, "command_id"),
        ({"action": "forget"}, 422, "action|forget"),
        ({"seen": "1"}, 422, "seen"),
        ({"alarm_id": "p-1:none:1"}, 409, "not known"),
        ({"patient": "p-3"}, 409, "not known"),
        ({"patient": "p-2", "alarm_id": f"p-2:spo2-low:{at(1)}"}, 409, "closed"),
        ({"action": "shelve", "for_s": 60}, 422, "reason"),
        ({"action": "shelve", "reason": "  ", "for_s": 60}, 422, "reason"),
        ({"action": "shelve", "reason": "x"}, 422, "end"),
        ({"action": "shelve", "reason": "x", "for_s": -1}, 422, "for_s"),
        ({"action": "shelve", "reason": "x", "for_s": 8 * 3600}, 422, "120 minutes at most"),
        ({"action": "shelve", "reason": "x", "for_s": 60, "bound": 40}, 422, "side"),
        ({"action": "expect", "within_s": 60}, 422, "what was done"),
        ({"action": "expect", "reason": "x"}, 422, "how long"),
        ({"action": "resolve"}, 422, "what it was"),
        ({"action": "resolve", "outcome": "bored"}, 422, "outcome|bored"),
        ({"note": "n" * 501}, 422, "note"),
    ],
)
def test_what_could_never_be_meant_is_refused_at_once(ward, more, status, said):
    told = read(wish(**more), ward, "imre", Role.CLINICIAN, NOW)
    assert isinstance(told, Refusal)
    assert told.status == status
    assert any(piece in told.text for piece in said.split("|"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"command_id": 1}'])
def test_what_is_no_command_is_refused(ward, body):
    assert read(body, ward, "imre", Role.CLINICIAN, NOW).status == 422
