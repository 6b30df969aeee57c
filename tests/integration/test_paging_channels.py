"""Pages through a real SMTP server and a real webhook receiver on loopback, with failures, slow answers and outages."""

from __future__ import annotations

import asyncio
import dataclasses
import email
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import msgspec
import pytest
from aiosmtpd.smtp import SMTP
from paging_world import Outlets, S, WardStub, ask, rota
from webhooks import Webhook

from deploy.clock import WardClock
from deploy.paging import PagerPart, PagingError, demo_paging
from stream_processors.paging import own
from stream_processors.paging.channels import AllChannels, ChannelFailed, Outgoing
from stream_processors.paging.core import Plan
from stream_processors.paging.delivery import DeliverySettings
from stream_processors.paging.links import Links
from stream_processors.paging.pager import Pager, Surroundings
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.rota import Channel, Person
from stream_processors.paging.settings import PagerSettings
from stream_processors.paging.store import PagerStore
from stream_processors.paging.text import Words
from transport.kafka import KafkaSettings, make_producer, read_all
from vitals import topics
from vitals.events import AlarmEvent, event_encoder
from vitals.log import Command

pytestmark = [
    pytest.mark.integration,
    # Apprise still looks for this module on Pythons that have it.
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

MESSAGE = Outgoing("a" * 24, "wren", "high", "page", Words("HIGH: look now - bed 4", "SpO2 84 %"))
TESTS = Path(__file__).parent.parent


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    hook = Webhook()
    await hook.up()
    yield hook
    hook.answer.set()
    await hook.down()


class Mailbox:
    """An SMTP server's hands: keeps what comes, or refuses it."""

    def __init__(self) -> None:
        self.got: list[email.message.Message] = []
        self.refuse = ""
        self.answer = asyncio.Event()
        self.answer.set()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  # aiosmtpd's name
        await self.answer.wait()
        if self.refuse:
            return self.refuse
        self.got.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
async def mail() -> AsyncIterator[tuple[Mailbox, str]]:
    box = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, loop=loop, hostname="localhost"), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield box, f"mailto://127.0.0.1:{port}?from=pager@example.org&to=wren@example.org"
    server.close()
    await server.wait_closed()


async def test_a_mail_arrives_with_its_id(mail):
    box, address = mail
    await AllChannels().send(address, MESSAGE)
    (got,) = box.got
    assert got["Subject"] == "HIGH: look now - bed 4"
    assert got["X-Message-Id"] == MESSAGE.message_id
    assert "SpO2 84 %" in got.as_string()


async def test_a_mail_that_is_refused_has_failed(mail):
    box, address = mail
    box.refuse = "451 not now"
    with pytest.raises(ChannelFailed, match="mailto refused it or cannot be reached"):
        await AllChannels().send(address, MESSAGE)


async def test_a_webhook_gets_the_page_as_json_with_its_id(webhook):
    await AllChannels().send(webhook.address, MESSAGE)
    got = await webhook.next()
    assert (got["title"], got["message"]) == (MESSAGE.words.title, MESSAGE.words.body)
    assert (got["message_id"], got["priority"]) == (MESSAGE.message_id, "high")
    assert f"x-message-id: {MESSAGE.message_id}" in webhook.headers[0].lower()


async def test_what_is_sent_again_says_so(webhook):
    await AllChannels().send(webhook.address, dataclasses.replace(MESSAGE, repeat=True))
    assert "an earlier try may have reached you" in (await webhook.next())["message"]


async def test_a_webhook_that_refuses_is_slow_or_away_has_failed(webhook):
    webhook.status = 503
    with pytest.raises(ChannelFailed):
        await AllChannels().send(webhook.address, MESSAGE)
    webhook.status = 200
    webhook.answer.clear()
    with pytest.raises(ChannelFailed, match=r"json did not answer within 0.2 s"):
        await AllChannels(timeout_s=0.2).send(webhook.address, MESSAGE)
    webhook.answer.set()
    await webhook.down()
    with pytest.raises(ChannelFailed):
        await AllChannels().send(webhook.address, MESSAGE)


async def test_an_address_that_means_nothing_has_failed_and_shows_no_secret():
    with pytest.raises(ChannelFailed, match=r"^gibberish is no address that Apprise knows$"):
        await AllChannels().send("gibberish://topsecret", MESSAGE)
    with pytest.raises(ChannelFailed, match=r"^the secret TOKEN is not set$"):
        await AllChannels().send("ntfys://${TOKEN}", MESSAGE)


async def test_a_secret_comes_from_where_it_is_kept(webhook):
    await AllChannels(secrets={"PATH": "a b"}).send(f"json://127.0.0.1:{webhook.port}/${{PATH}}", MESSAGE)
    assert "/a%20b" in webhook.headers[0].splitlines()[0]


async def test_a_file_holds_each_message_once_and_mends_a_cut_line(tmp_path):
    await AllChannels(folder=tmp_path).send("file:wren", MESSAGE)
    path = tmp_path / "wren.jsonl"
    with path.open("a") as file:
        file.write('{"message_id": "cut')
    again = AllChannels(folder=tmp_path)
    for _ in range(2):
        await again.send("file:wren", MESSAGE)
        await again.send("file:wren", dataclasses.replace(MESSAGE, message_id="b" * 24))
    assert [json.loads(line)["message_id"][0] for line in path.read_text().splitlines()] == ["a", "b"]
    with pytest.raises(ChannelFailed):
        await again.send("file:../out", MESSAGE)


async def test_a_mail_server_that_is_slow_or_away_has_failed_and_the_mail_goes_out_when_it_is_back(mail, tmp_path):
    box, address = mail
    box.answer.clear()
    with pytest.raises(ChannelFailed, match=r"did not answer within 0\.2 s"):
        await AllChannels(folder=tmp_path, timeout_s=0.2).send(address, MESSAGE)
    box.answer.set()
    with pytest.raises(ChannelFailed):
        await AllChannels(folder=tmp_path).send("mailto://127.0.0.1:1?from=a@example.org&to=b@example.org", MESSAGE)
    box.got.clear()
    await AllChannels(folder=tmp_path).send(address, MESSAGE)
    assert [message["X-Message-Id"] for message in box.got] == [MESSAGE.message_id]


async def test_a_second_pager_of_one_database_or_one_ward_is_refused_with_words(tmp_path, kafka):
    first = demo_paging(kafka, tmp_path / "a", "")
    async with PagerPart(first, WardClock()) as part:
        with pytest.raises(PagingError, match="a pager runs with this database already"):
            await PagerPart(first, WardClock()).__aenter__()
        async with asyncio.timeout(20):
            while not [r for r in await read_all(kafka, topics.HEALTH.name) if part.pager.engine.store.id in str(r)]:
                await asyncio.sleep(0.01)
        with pytest.raises(PagingError, match=r"another pager .* spoke a moment ago: stop it first"):
            await PagerPart(demo_paging(kafka, tmp_path / "b", ""), WardClock()).__aenter__()
    async with PagerPart(first, WardClock()):  # its own words of a moment ago are no other pager's
        pass


class Ward:
    """The ward at the other end of Kafka: writes its events, obeys commands."""

    def __init__(self, kafka: KafkaSettings, clock) -> None:
        self.stub = WardStub()
        self.commands: list[Command] = []
        self._producer = make_producer(kafka)
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()

    async def say(self, events: list[AlarmEvent]) -> None:
        for event in events:
            partition = topics.partition_of(event.patient, 3)
            await self._producer.send_and_wait(
                topics.ALARMS.name, event_encoder.encode(event), key=event.patient.encode(), partition=partition
            )

    async def order(self, command: Command) -> None:
        self.commands.append(command)
        await self.say(self.stub.obey(command, self._clock.now_ns()))


class Running:
    """A pager under way on the embedded cluster, with a webhook for wren and files for the others."""

    def __init__(self, tmp_path: Path, kafka: KafkaSettings, clock, ward: Ward, webhook: Webhook) -> None:
        people = {
            "wren": Person(id="wren", channels=(Channel(webhook.address), Channel("file:wren", outside=False))),
            "heron": Person(id="heron", channels=(Channel("file:heron"),)),
            "kestrel": Person(id="kestrel", channels=(Channel("file:kestrel"),)),
        }
        self.folder = tmp_path
        self.store = PagerStore(tmp_path / "pager.db", durable=False)
        settings = PagerSettings(
            kafka=kafka, answer_url="https://ward.example/a/", delivery=DeliverySettings(tries=2, pause_ns=S)
        )
        self.pager = Pager(
            settings,
            Plan(rota(people=people), DEFAULT),
            self.store,
            Surroundings(
                channels=AllChannels(folder=tmp_path, timeout_s=2.0),
                clock=clock,
                outlets=Outlets(ward.order),
                names=lambda: ("Anna Example",),
            ),
            links=Links((b"k" * 32,), "site"),
        )
        self.clock = clock

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.pager.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.store.close()

    async def until(self, what) -> None:
        """Let loops come round until something holds."""
        async with asyncio.timeout(20):
            while not what():
                assert not self._task.done(), self._task.exception()
                self.pager._stir()
                await asyncio.sleep(0)

    def in_file(self, name: str, kind: str = "page") -> list[dict]:
        path = self.folder / f"{name}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if line["kind"] == kind]


async def pages(webhook: Webhook) -> dict:
    """The next page; test pages of the shift come by the same way."""
    while True:
        got = await webhook.next()
        if not got["title"].startswith("Test page"):
            return got


async def test_from_the_alarm_topic_to_a_person_and_back(tmp_path, kafka, clock, webhook):
    async with Ward(kafka, clock) as ward, Running(tmp_path, kafka, clock, ward, webhook) as running:
        raised = ward.stub.raise_("p-7", "spo2-low", clock.now_ns(), 2)
        await ward.say(raised)
        page = await pages(webhook)
        assert page["title"] == "HIGH: look now - p-7 - Oxygen saturation is very low"
        token = next(w.rpartition("/")[2] for w in page["message"].splitlines() if w.startswith("I am on my way"))
        assert running.pager.answering.judge(ask(token, clock.now_ns())).used
        running.pager._stir()
        await running.until(lambda: ward.commands)
        await running.until(lambda: not running.pager.engine.state.pages)
        assert (ward.commands[0].action, ward.commands[0].by) == ("acknowledge", "wren")
        for _ in range(9):
            await clock.go_on(60)
            await running.until(lambda: not running.store.due(clock.now_ns()))
        assert running.in_file("heron") == running.in_file("kestrel") == []
        # The answer may come before the webhook has said that it took the page.
        what = sorted(r.what for r in running.store.receipts_of_alarm(raised[0].alarm_id))
        assert what == ["answered", "answered", "queued", "sent"]
        assert running.pager.heart.stuck() == ()


async def test_an_outage_passes_over_the_channel_then_says_so(tmp_path, kafka, clock, webhook):
    async with Ward(kafka, clock) as ward, Running(tmp_path, kafka, clock, ward, webhook) as running:
        await webhook.down()
        await ward.say(ward.stub.raise_("p-7", "spo2-low", clock.now_ns(), 2))
        await running.until(lambda: running.pager.engine.state.pages)
        for _ in range(8):
            await clock.go_on(2)
            await running.until(lambda: not running.store.due(clock.now_ns()))
            if running.in_file("wren"):
                break
        assert [p["priority"] for p in running.in_file("wren")] == ["high"]
        alarm = running.pager.engine.state.own[own.key(own.CHANNEL, "wren")]
        assert (alarm.level, alarm.closed) == (1, False)
        await webhook.up()
        await clock.go_on(120)
        await running.until(lambda: running.in_file("heron"))
        await clock.go_on(120)
        await running.until(lambda: running.in_file("kestrel"))
        await clock.go_on(120)
        await pages(webhook)  # everybody is asked again, and the first way to wren is back
        await running.until(lambda: running.pager.engine.state.own[own.key(own.CHANNEL, "wren")].closed)


async def test_a_slow_channel_of_one_person_holds_up_nobody_else(tmp_path, kafka, clock, webhook):
    async with Ward(kafka, clock) as ward, Running(tmp_path, kafka, clock, ward, webhook) as running:
        webhook.answer.clear()
        await ward.say(ward.stub.raise_("p-7", "spo2-low", clock.now_ns(), 2))
        await running.until(lambda: running.pager.engine.state.pages)
        await clock.go_on(120)
        await running.until(lambda: running.in_file("heron"))
        webhook.answer.set()


async def test_no_name_of_a_patient_goes_outside(tmp_path, kafka, clock, webhook):
    async with Ward(kafka, clock) as ward, Running(tmp_path, kafka, clock, ward, webhook):
        (raised,) = ward.stub.raise_("p-7", "spo2-low", clock.now_ns(), 2)
        await ward.say([msgspec.structs.replace(raised, cause="Anna Example: 84 %")])
        page = await pages(webhook)
        assert "[name]: 84 %" in page["message"]
        assert "Anna" not in json.dumps(page)


async def test_a_pager_that_starts_again_goes_on_where_it_was(tmp_path, kafka, clock, webhook):
    async with Ward(kafka, clock) as ward:
        await ward.say(ward.stub.raise_("p-7", "spo2-low", clock.now_ns(), 2))
        async with Running(tmp_path, kafka, clock, ward, webhook) as running:
            await pages(webhook)
            await running.until(lambda: running.store.next_due_ns() is None)
            positions = running.store.positions()
        await clock.go_on(130)
        async with Running(tmp_path, kafka, clock, ward, webhook) as running:
            assert running.store.positions() == positions
            await running.until(lambda: running.in_file("heron"))
            assert running.in_file("wren") == []
        assert webhook.got.empty()


@pytest.mark.parametrize("left", [3, 8, 11, 14])
def test_kill_9_forgets_no_page_and_sends_none_twice_to_a_channel_that_knows_ids(tmp_path, left):
    def run(folder: Path, left: int) -> int:
        folder.mkdir(exist_ok=True)
        path = os.pathsep.join((str(TESTS), str(TESTS.parent)))
        command = [sys.executable, str(TESTS / "paging_killed.py"), str(folder), str(left)]
        return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False, timeout=60).returncode

    def told(folder: Path) -> list[tuple[str, str]]:
        lines = (line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines())
        return sorted((page["person"], page["message_id"]) for page in map(json.loads, lines))

    assert run(tmp_path / "whole", -1) == 0
    assert run(tmp_path / "killed", left) == -signal.SIGKILL
    assert run(tmp_path / "killed", left + 2) in (0, -signal.SIGKILL)
    assert run(tmp_path / "killed", -1) == 0
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert len(told(tmp_path / "whole")) == len(set(told(tmp_path / "whole"))) > 5
