"""The host without Kafka: what the auditor does about what it finds, how a shift is taken over, and docs that hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paging_world import START, H, M, Outlets, S, WardStub, ask, rota

from stream_processors.paging import own
from stream_processors.paging.channels import Outgoing
from stream_processors.paging.core import Plan
from stream_processors.paging.links import Links
from stream_processors.paging.outside import Unreachable, fetch
from stream_processors.paging.pager import Pager, Surroundings
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.policy_file import read_policies
from stream_processors.paging.rota import on_call
from stream_processors.paging.rota_file import CalendarSource, read_rota
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.state import Found
from stream_processors.paging.store import PagerStore
from transport.kafka import KafkaSettings
from vitals.alarm_fold import Fold

DOCS = Path(__file__).parents[2] / "docs" / "paging.md"


class StillClock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.at_ns = START

    def now_ns(self) -> int:
        return self.at_ns

    async def sleep_until(self, t_ns: int) -> None:
        raise NotImplementedError


class NoChannels:
    async def send(self, address: str, message: Outgoing) -> None:
        raise NotImplementedError


def pager(path: Path, plan: Plan | None = None, **changes) -> tuple[Pager, StillClock]:
    clock = StillClock()
    around = Surroundings(channels=NoChannels(), clock=clock, outlets=Outlets(), fetch=changes.pop("fetch", fetch))
    made = Pager(
        PagerSettings(KafkaSettings("nowhere:1"), answer_url=":"),
        plan or Plan(rota(), DEFAULT),
        PagerStore(path, durable=False),
        around,
        links=Links((b"k" * 32,), "site"),
        **changes,
    )
    return made, clock


def lost_alarm() -> Fold:
    fold = Fold()
    for event in WardStub().raise_("p-7", "spo2-low", START, 2):
        fold.apply(event)
    return fold


def test_what_the_pager_forgot_the_auditor_finds_and_pages_until_it_is_answered(tmp_path):
    host, clock = pager(tmp_path / "p.db")
    fold = lost_alarm()
    since = host.auditing.walk(fold, {})
    assert host.engine.state.own == {}
    clock.at_ns += 3 * M
    host.auditing.walk(fold, since)
    (queued,) = host.engine.to_send(clock.at_ns)
    assert (queued.send.person, queued.send.priority, queued.send.alarms[0].rule) == ("wren", "high", own.AUDIT)
    assert "spo2-low of p-7: nobody has answered it" in queued.send.alarms[0].why
    fold.open.clear()
    host.auditing.walk(fold, since)
    assert all(alarm.closed for alarm in host.engine.state.own.values())


def test_when_the_core_itself_fails_everyone_is_told_past_it(tmp_path, monkeypatch, caplog):
    host, clock = pager(tmp_path / "p.db")
    since = host.auditing.walk(lost_alarm(), {})
    clock.at_ns += 3 * M

    def broken(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(host.engine, "apply", broken)
    for _ in range(2):  # told once, however often it is found within a minute
        host.auditing.walk(lost_alarm(), since)
    queued = host.engine.to_send(clock.at_ns)
    assert sorted(q.send.person for q in queued) == ["heron", "kestrel", "wren"]
    assert "The pager has failed (RuntimeError)" in queued[0].send.note
    assert "the core cannot take a finding" in caplog.text


def test_a_shift_is_taken_over_by_the_link_of_the_hand_over(tmp_path):
    text = DOCS.read_text()
    read = read_rota(_yaml(text, "zone:"), "docs/paging.md").rota
    monday = Plan(rota(shifts=read.shifts, zone="UTC", people=rota().people), DEFAULT)
    host, clock = pager(tmp_path / "p.db", monday)
    clock.at_ns = evening = START + 7 * H  # 19:00 of the rota's zone
    clock.at_ns -= 20 * M
    host.look(clock.at_ns)
    clock.at_ns = evening - 10 * M
    host.look(clock.at_ns)
    assert on_call(host.engine.plan.rota, "ward", "first", evening + M) == ()  # its shifts begin on the 5th
    clock.at_ns = evening = START + (4 * 24 + 7) * H
    clock.at_ns -= 10 * M
    host.look(clock.at_ns)
    before = on_call(host.engine.plan.rota, "ward", "first", evening - M)
    assert on_call(host.engine.plan.rota, "ward", "first", evening + M) == before
    send = next(q.send for q in host.engine.to_send(clock.at_ns) if q.send.kind == "hand-over")
    token = host.engine.tokens_of(send, ("confirm",))["confirm"]
    opened = host.answering.judge(ask(token, clock.at_ns, use=False))
    assert (opened.person, opened.action, opened.kind, opened.used) == (send.person, "confirm", "hand-over", False)
    assert host.answering.judge(ask(token, clock.at_ns, person=send.person)).used
    assert on_call(host.engine.plan.rota, "ward", "first", evening + M) == (send.person,)
    assert send.person not in before


async def test_a_calendar_that_cannot_be_read_is_an_alarm_until_it_can(tmp_path):
    answers = [Unreachable("answered 500"), b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n"]

    def read(_address: str) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = CalendarSource("https://example.org/secret.ics", "ward", "first")
    host, clock = pager(tmp_path / "p.db", calendars=(source,), fetch=read)
    await host.read_calendars(clock.at_ns)
    (alarm,) = host.engine.state.alarms.values()
    assert alarm.why == "calendar 1: answered 500"
    await host.read_calendars(clock.at_ns + M)
    assert host.engine.state.alarms == {}


def test_other_watchers_findings_page_as_well(tmp_path):
    host, clock = pager(tmp_path / "p.db")
    host.found(Found(rule=own.BLIND, cause="no tick for 10 s"))
    assert [q.send.person for q in host.engine.to_send(clock.at_ns)] == ["wren"]


@pytest.mark.parametrize("address", ["gopher://x", "http://127.0.0.1:1/x", "/nowhere/at/all", "http://[bad"])
def test_what_cannot_be_fetched_says_so_without_the_address(address):
    with pytest.raises(Unreachable) as caught:
        fetch(address, timeout_s=1)
    assert address not in str(caught.value)


def test_old_messages_are_forgotten_and_new_ones_kept(tmp_path):
    host, clock = pager(tmp_path / "p.db")
    host.found(Found(rule=own.BLIND, cause="x"))
    (queued,) = host.engine.to_send(clock.at_ns)
    assert host.engine.store.prune(START + H) == 0  # not sent yet
    host.engine.sent(queued, START + S)
    assert host.engine.store.prune(START) == 0
    assert host.engine.store.prune(START + H) == 1
    assert host.engine.store.receipts(queued.send.message_id) == []


def test_settings_that_would_always_look_stuck_are_refused():
    with pytest.raises(ValueError, match="stuck_s is 30"):
        PagerSettings(KafkaSettings("x:1"), stuck_s=30)


def _yaml(text: str, begin: str) -> str:
    return next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith(begin))


def test_the_examples_of_the_docs_are_read():
    text = DOCS.read_text()
    read = read_rota(_yaml(text, "zone:"), "docs/paging.md").rota
    policies = read_policies(_yaml(text, "limit:"), "docs/paging.md", read)
    assert [policy.name for policy in policies.policies] == ["high", "equipment", "medium"]
