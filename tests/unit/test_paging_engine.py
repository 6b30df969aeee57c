"""Core and store together: what was decided is written down first, and a kill anywhere changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paging_host import Killed, MortalStore
from paging_world import START, M, S, WardStub, rota

from stream_processors.paging import own
from stream_processors.paging.delivery import Again, DeliverySettings, GiveUp, after_failure
from stream_processors.paging.engine import Engine, LinkDone
from stream_processors.paging.links import LinkRefused, Links
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.store import PagerStore, StoreMismatch
from stream_processors.paging.turn import Plan

KEY = b"k" * 32
QUICK = DeliverySettings()


def engine(path: Path, left: int | None = None, keys: tuple[bytes, ...] = (KEY,)) -> Engine:
    store = MortalStore(path, durable=False)
    store.left = left
    return Engine(Plan(rota(), DEFAULT), store, Links(keys, "site"), delivery=QUICK)


def history() -> list:
    """A topic as a ward would write it, with the times at which the pager reads it."""
    ward = WardStub()
    out = []
    for at, events in (
        (0, ward.raise_("p-1", "spo2-low", START, 2)),
        (20 * S, ward.raise_("p-2", "news2-single", START + 20 * S)),
        (3 * M, ward.raise_("p-1", "rate-high", START + 3 * M, 1)),
        (5 * M, ward.end("p-2", "news2-single", START + 5 * M)),
        (6 * M, ward.raise_("p-3", "sbp-low", START + 6 * M, 2)),
    ):
        out += [(START + at, event) for event in events]
    return out


class Post:
    """What arrived at people; survives every kill, as people do."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str]] = []


def live(engine: Engine, post: Post, topic: list, until_ns: int, left: int | None = None) -> None:
    """What the host does, without waiting: read from the kept position, send what is due, mark it.

    `left` is how many sends happen before a kill in the middle of one (after it arrived, before it was marked).
    """
    now_ns = START
    while now_ns <= until_ns:
        position = engine.store.positions().get(("alarms", 0), 0)
        for number in range(position, len(topic)):
            at, event = topic[number]
            if at <= now_ns:
                engine.take_events([event], now_ns, {("alarms", 0): number + 1})
        engine.tick(now_ns)
        for queued in engine.to_send(now_ns):
            engine.store.intend(queued, now_ns)
            post.arrived.append((queued.send.person, queued.send.message_id))
            engine.sent(queued, now_ns)
        now_ns += 5 * S


def undisturbed(tmp_path: Path) -> set[tuple[str, str]]:
    post = Post()
    live(engine(tmp_path / "whole.db"), post, history(), START + 12 * M)
    assert len(post.arrived) == len(set(post.arrived)) > 10
    return set(post.arrived)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> set[tuple[str, str]]:
    return undisturbed(tmp_path_factory.mktemp("whole"))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=5))
def test_after_kills_at_any_point_the_same_people_have_been_told(whole, tmp_path_factory, kills):
    path = tmp_path_factory.mktemp("killed") / "pager.db"
    post, doubts = Post(), 0
    for left in [*kills, None]:
        now = engine(path, None)
        now.store.left = left
        try:
            live(now, post, history(), START + 12 * M)
        except Killed:
            doubts += 1
        now.store.close()
    assert set(post.arrived) == whole
    # Twice only what was under way when the process was killed, and under the same id.
    assert len(post.arrived) - len(whole) <= doubts
    again = engine(path)
    for _, message in post.arrived:
        repeats = post.arrived.count((again.store.message(message).person, message)) - 1
        assert len([r for r in again.store.receipts(message) if r.what == "in-doubt"]) >= repeats
        assert [r.what for r in again.store.receipts(message)].count("sent") == 1
    again.store.close()


def test_the_file_holds_the_state_and_refuses_another_versions(tmp_path):
    first = engine(tmp_path / "p.db")
    for at, event in history():
        first.take_events([event], at)
    first.store.close()
    second = engine(tmp_path / "p.db")
    assert second.state == first.state
    second.store._db.execute("UPDATE about SET value = '99'")
    second.store.close()
    with pytest.raises(StoreMismatch, match=r"p.db holds state version 99"):
        PagerStore(tmp_path / "p.db")


def test_a_backlog_tells_of_its_outcome_only(tmp_path):
    ward = WardStub()
    events = ward.raise_("p-1", "news2-single", START) + ward.raise_("p-2", "spo2-low", START, 2)
    alarm = ward.alarms["p-2", "spo2-low", ""]
    from vitals.log import Command

    events += ward.obey(
        Command(
            command_id="c", patient="p-2", alarm_id=alarm.alarm_id, action="resolve", by="wren", outcome="dismissed"
        ),
        START + M,
    )
    pager = engine(tmp_path / "p.db")
    pager.take_events(events[:2], START + 9 * M, more=True)
    assert pager.to_send(START + 9 * M) == []
    pager.take_events(events[2:], START + 9 * M)
    pager.tick(START + 10 * M)
    assert [q.send.alarms[0].patient for q in pager.to_send(START + 10 * M)] == ["p-1"]


def test_pauses_grow_then_the_next_channel_then_the_next_person():
    quick = DeliverySettings(tries=3, pause_ns=2 * S, grow=3)
    assert after_failure(0, 0, 2, START, quick) == Again(0, 1, START + 2 * S, passed_over=False)
    assert after_failure(0, 1, 2, START, quick) == Again(0, 2, START + 6 * S, passed_over=False)
    assert after_failure(0, 2, 2, START, quick) == Again(1, 0, START, passed_over=True)
    assert after_failure(1, 2, 2, START, quick) == GiveUp()
    assert after_failure(0, 2, 0, START, quick) == GiveUp()


def test_who_cannot_be_reached_is_passed_over_and_that_is_an_alarm_until_a_channel_works(tmp_path):
    pager = engine(tmp_path / "p.db")
    pager.take_events([history()[0][1]], START)
    now = START
    for _ in range(3):
        (queued,) = [q for q in pager.to_send(now) if q.send.person == "wren"]
        pager.store.intend(queued, now)
        pager.failed(queued, "refused", now)
        now += 20 * S
    assert [q.send.person for q in pager.to_send(now)] == ["heron"]
    alarm = pager.state.own[own.key(own.CHANNEL, "wren")]
    assert (alarm.level, alarm.closed) == (2, False)
    assert "wren works: refused" in pager.store.events()[0].cause
    pager.tick(START + 4 * M)
    pager.tick(START + 6 * M)
    later = next(q for q in pager.to_send(START + 6 * M) if q.send.person == "wren")
    pager.sent(later, START + 6 * M)
    assert pager.state.own[own.key(own.CHANNEL, "wren")].closed


def test_receipts_tell_what_became_of_a_page(tmp_path):
    ward = WardStub()
    pager = engine(tmp_path / "p.db")
    raised = ward.raise_("p-1", "spo2-low", START, 2)
    pager.take_events(raised, START)
    (queued,) = pager.to_send(START)
    pager.store.intend(queued, START)
    pager.sent(queued, START + S)
    token = pager.tokens_of(queued.send, ("acknowledge",))["acknowledge"]
    assert pager.open_link(token, START + 5 * S) == queued.send
    done = pager.use_link(token, START + 8 * S)
    assert isinstance(done, LinkDone)
    (command,) = pager.store.commands()
    pager.take_events(ward.obey(command, START + 9 * S), START + 9 * S)
    pager.store.passed(command)
    assert pager.store.commands() == []
    confirmed = msgspec.structs.replace(command, command_id="c2", action="resolve", outcome="confirmed")
    pager.take_events(ward.obey(confirmed, START + M), START + M)
    receipts = pager.store.receipts_of_alarm(raised[0].alarm_id)
    assert [(r.what, (r.at_ns - START) // S) for r in receipts] == [
        ("queued", 0), ("sent", 1), ("opened", 5), ("answered", 8), ("answered", 9), ("acted", 60),
    ]  # fmt: skip


def link(pager: Engine, action: str = "acknowledge") -> tuple[str, object]:
    pager.take_events([history()[0][1]], START)
    (queued,) = pager.to_send(START)
    return pager.tokens_of(queued.send, (action,))[action], queued.send


def refused(pager: Engine, token: str, now_ns: int = START + S, person: str | None = None) -> str:
    found = pager.use_link(token, now_ns, person=person)
    assert isinstance(found, LinkRefused)
    assert pager.store.commands() == []
    assert pager.store.journal()[-1][1] == f"link-{found.why}"
    return found.why


def test_a_link_works_once(tmp_path):
    pager = engine(tmp_path / "p.db")
    token, _ = link(pager)
    assert isinstance(pager.use_link(token, START + S, person="wren"), LinkDone)
    assert isinstance(pager.use_link(token, START + S), LinkRefused)
    assert len(pager.store.commands()) == 1


def test_forged_old_and_foreign_links_are_refused_and_recorded(tmp_path):
    pager = engine(tmp_path / "p.db")
    token, send = link(pager)
    message, action, until, mac = token.split(".")
    assert refused(pager, token, START + 60 * M) == "old"
    assert refused(pager, token, person="heron") == "foreign"
    assert refused(pager, f"{message}.s.{until}.{mac}") == "forged"
    assert refused(pager, f"{message}.{action}.{int(until, 16) + 999:x}.{mac}") == "forged"
    assert refused(pager, f"{'0' * 24}.{action}.{until}.{mac}") == "foreign"
    assert refused(pager, "nonsense") == "forged"
    assert refused(pager, Links((b"x" * 32,), "site").sign(send, "acknowledge", START + M)) == "forged"
    assert refused(pager, Links((KEY,), "elsewhere").sign(send, "acknowledge", START + M)) == "forged"


@pytest.fixture(scope="module")
def signed(tmp_path_factory) -> tuple[Engine, str]:
    pager = engine(tmp_path_factory.mktemp("links") / "p.db")
    return pager, link(pager)[0]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_letter_of_a_link_can_be_changed(signed, data):
    pager, token = signed
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        assert isinstance(pager.check_link(changed, START + S), LinkRefused)


def test_keys_can_be_changed_without_breaking_what_is_under_way(tmp_path):
    old = engine(tmp_path / "p.db", keys=(b"o" * 32,))
    token, _ = link(old)
    new = engine(tmp_path / "p.db", keys=(KEY, b"o" * 32))
    assert isinstance(new.use_link(token, START + S), LinkDone)
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Links((b"short",), "site")


def test_settings_that_cannot_work_are_refused():
    for wrong in ({"tries": 0}, {"pause_ns": 0}, {"grow": 0}, {"timeout_s": 0}):
        with pytest.raises(ValueError, match="above 0"):
            dataclasses.replace(QUICK, **wrong)
