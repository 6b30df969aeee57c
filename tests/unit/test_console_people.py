"""Between page and pager: who has it, what is asked and told; and the audit, to search in."""

import asyncio

import pytest
from console_made_up import Alarms, at
from test_console_app import OURS, Ward

from dashboards.console.accounts import Role
from dashboards.console.audit_book import AuditBook, shown, story
from dashboards.console.people import NoAnswer, People
from vitals import duty, topics
from vitals.answers import Ask, Confirm, Shown, Told
from vitals.audit import Entry
from vitals.events import Priority

TOKEN = "0" * 24 + ".a.1." + "A" * 22


def entry(name, what="page-sent", person="imre", minute=0, alarms=("p-1:spo2-low:7",), text="channel 1"):
    return Entry(
        entry_id=name, at_ns=at(minute), part="pager", what=what, person=person, alarms=tuple(alarms), text=text
    )


@pytest.fixture
def book():
    made = AuditBook()
    made.add(entry("a", minute=1))
    made.add(entry("b", "page-answered", "lena", 2, text="acknowledge"))
    made.add(entry("c", "signed-in", "lena", 3, (), "lead"))
    made.add(entry("d", "page-sent", topics.SYNTHETIC, 4, (f"{topics.SYNTHETIC}:spo2-low:9",)))
    return made


def ids(found):
    return [one.entry_id for one in found]


def test_the_audit_is_searched_newest_first_by_words_person_and_kind(book):
    assert ids(book.search()) == ["d", "c", "b", "a"]
    assert ids(book.search("LENA acknow")) == ["b"]
    assert ids(book.search(person="lena")) == ["c", "b"]
    assert ids(book.search(what="page-sent")) == ["d", "a"]
    assert ids(book.search("nobody")) == []
    assert ids(book.search(before_ns=at(3))) == ["b", "a"]
    assert ids(book.search(most=1)) == ["d"]
    assert book.kinds() == ["page-answered", "page-sent", "signed-in"]


def test_the_test_patient_can_be_left_out(book):
    assert ids(book.search(tests=False)) == ["c", "b", "a"]


def test_an_entry_that_comes_again_is_one_and_the_oldest_go(book):
    assert not book.add(entry("a"))
    small = AuditBook(keep=2)
    for name in "xyz":
        small.add(entry(name))
    assert sorted(ids(small.search())) == ["y", "z"]


def test_an_alarm_is_named_in_words_beside_its_id():
    (told,) = shown(entry("a"))["alarms"]
    assert told == {"id": "p-1:spo2-low:7", "words": "p-1: SpO₂ low"}
    (odd,) = shown(entry("a", alarms=("nonsense",)))["alarms"]
    assert odd["words"] == "nonsense"


def test_a_story_is_what_the_ward_judged_and_what_people_did_in_one_order():
    alarms = Alarms()
    raised = alarms.raised("p-1", "spo2-low", 1)
    alarms.say(raised.alarm_id, "acknowledge", 3)
    told = story(alarms.events, [entry("sent", minute=2), entry("seen", "page-opened", minute=4)])
    assert [one.get("event", one.get("what")) for one in told] == ["raised", "page-sent", "acknowledged", "page-opened"]


async def test_the_audit_page_leaves_the_test_patient_out_until_asked(book):
    ward = Ward()
    for one in book.search():
        ward.console.on_audit(one)
    async with ward.client("lena") as lead:
        plain = (await lead.get("/api/audit")).json()
        whole = (await lead.get("/api/audit?tests=true")).json()
        older = (await lead.get(f"/api/audit?before={at(2) // 1_000_000}")).json()
    assert [one["id"] for one in plain["entries"]] == ["c", "b", "a"]
    assert len(whole["entries"]) == 4
    assert [one["id"] for one in older["entries"]] == ["a"]


async def test_one_alarms_story_over_http(book):
    ward = Ward()
    ward.console.on_audit(entry("e", alarms=(ward.alarm.alarm_id,), minute=2))
    async with ward.client("enzo") as engineer:
        told = (await engineer.get("/api/audit/alarm", params={"id": ward.alarm.alarm_id})).json()
        nothing = await engineer.get("/api/audit/alarm", params={"id": "p-9:x:1"})
    assert [one["kind"] for one in told["story"]] == ["event", "entry"]
    assert "store" in told["note"]
    assert nothing.status_code == 404


def people(say, timeout_s=0.05):
    return People(say, timeout_s)


async def test_what_the_pager_tells_reaches_who_asked():
    asked = []
    held = people(None)

    async def say(said):
        asked.append(said)
        held.on_told(Told(ask_id=said.ask_id, person="imre", action="acknowledge", used=True))

    held.say = say
    told = await held.ask(Ask(ask_id="1", token=TOKEN, use=True, at_ns=0))
    assert (told.person, told.used) == ("imre", True)
    assert [one.ask_id for one in asked] == ["1"]
    held.on_told(Told(ask_id="1"))  # told twice: nobody waits any more


async def test_a_pager_that_is_not_there_silent_or_broken_is_told_apart_and_nothing_is_said_to_be_done():
    with pytest.raises(NoAnswer) as none:
        await people(None).ask(Ask(ask_id="1", token=TOKEN, use=True, at_ns=0))
    assert (none.value.status, "No pager" in str(none.value)) == (503, True)

    async def silent(_said):
        await asyncio.sleep(0)

    with pytest.raises(NoAnswer) as late:
        await people(silent).ask(Ask(ask_id="1", token=TOKEN, use=True, at_ns=0))
    assert (late.value.status, "Nothing is certain" in str(late.value)) == (504, True)

    async def broken(_said):
        raise OSError("kafka at 10.0.0.1: password=hunter2")

    with pytest.raises(NoAnswer) as gone:
        await people(broken).ask(Confirm(ask_id="1", message_id="0" * 24, person="imre", at_ns=0))
    assert (gone.value.status, "hunter2" in str(gone.value)) == (503, False)


def message(person, *receipts):
    return duty.Message(
        message_id="0" * 24,
        person=person,
        kind="page",
        priority=Priority.HIGH,
        at_ns=at(1),
        title="look",
        alarms=("p-1:spo2-low:7",),
        receipts=tuple(duty.Receipt(what, at(minute)) for what, minute in receipts),
    )


def board():
    mine = message("imre", ("queued", 1), ("sent", 2))
    theirs = message("lena", ("queued", 3), ("sent", 4), ("answered", 5))
    return duty.Board(at_ns=at(6), zone="UTC", messages=(mine, theirs))


def test_receipts_of_others_are_for_who_answers_for_the_shift():
    held = people(None)
    assert held.shown("imre", Role.CLINICIAN, 0.0) == {"told": False, "quiet_s": 0.0}
    held.on_board(board(), 10.0)
    whose = {role: [m["person"] for m in held.shown("imre", role, 12.0)["messages"]] for role in Role}
    assert whose[Role.CLINICIAN] == whose[Role.VIEWER] == ["imre"]
    assert whose[Role.LEAD] == whose[Role.ENGINEER] == ["imre", "lena"]
    assert held.shown("imre", Role.LEAD, 12.0)["quiet_s"] == 2.0


def test_the_waterfall_knows_when_people_were_told_and_answered_first():
    held = people(None)
    assert held.stamps("p-1:spo2-low:7") == {}
    held.on_board(board(), 0.0)
    assert held.stamps("p-1:spo2-low:7") == {"queued": at(1), "sent": at(2), "answered": at(5)}
    assert held.stamps("p-1:spo2-low:8") == {}


def test_messages_are_for_one_person_once_and_go_when_answered():
    held = people(None)
    note = Shown(
        message_id="m1", person="imre", kind="page", priority="high", title="look", body="b", at_ns=at(1), alarms=("a",)
    )
    assert held.on_shown(note)
    assert not held.on_shown(note)
    (told,) = held.notices("imre")
    assert (told["message_id"], told["at"], told["alarms"]) == ("m1", at(1) // 1_000_000, ["a"])
    assert held.notices("lena") == []
    held.answered("m1")
    assert held.notices("imre") == []


async def test_a_patients_alarm_carries_its_way_up_to_people():
    ward = Ward()
    told = message("imre", ("queued", 11), ("sent", 12))
    told = duty.Message(**{f: getattr(told, f) for f in told.__struct_fields__} | {"alarms": (ward.alarm.alarm_id,)})
    ward.console.on_board(duty.Board(at_ns=at(13), zone="UTC", messages=(told,)))
    async with ward.client("imre") as client:
        (alarm,) = (await client.get("/api/patients/p-1/alarms")).json()["alarms"]
    hops = {hop["hop"]: hop for hop in alarm["why"]["hops"]}
    assert (hops["notice"]["ms"], hops["send"]["ms"]) == (120_000, 60_000)
    assert hops["send"]["start"] == hops["notice"]["start"] + 120_000
    assert "answer" not in hops


async def test_confirming_is_done_as_who_is_signed_in():
    ward = Ward()
    said = []

    async def say(what):
        said.append(what)
        ward.console.on_answer(Told(ask_id=what.ask_id, person="imre", kind="test", used=True))

    ward.console.people.say = say
    async with ward.client("imre") as client:
        answer = await client.post("/api/duty/confirm", headers=OURS, json={"message_id": "0" * 24})
        tested = await client.post("/api/duty/test", headers=OURS)
    assert (answer.status_code, tested.status_code) == (200, 200)
    assert [one.person for one in said] == ["imre", "imre"]
