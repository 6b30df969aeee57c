"""No patient in the logs: whatever goes well or wrong, neither a name nor a value is written there.

The names and numbers used here occur nowhere else, so finding one is finding a leak.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from deploy.replay import through_stream
from deploy.ward_process import WardProcess, WardProcessSettings
from stream_processors.monitoring import Monitoring
from stream_processors.settings import StoringSettings, StreamSettings
from stream_processors.storing import Storing
from transport.kafka import make_producer
from transport.stores.sqlite import SqliteStore
from vitals import log, records, topics
from vitals.log import Binding, Command, Enrolment
from vitals.signs import SECOND_NS

pytestmark = pytest.mark.integration

NAMES = ("walrus-71", "walrus-72")
SPO2, HR, IMPOSSIBLE = 83.8317, 171.7193, 3771.9337
SECRETS = (*NAMES, "83.83", "171.71", "3771", "heliotrope")  # the last is what a person writes
HOUSE = ("vitals", "models", "transport", "ingest", "stream_processors", "dashboards", "device_sim", "deploy")


@pytest.fixture
def listening(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything the house says, debugging included; everybody else from INFO on."""
    caplog.set_level(logging.INFO)
    for name in HOUSE:
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def leaks(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> list[str]:
    lines = [f"{r.name}: {r.getMessage()} {r.exc_text or ''}" for r in caplog.records]
    lines += [line for stream in capfd.readouterr() for line in stream.splitlines()]
    return [line for line in lines if any(secret in line for secret in SECRETS)]


def recording() -> records.Recording:
    rows = 30
    time_ns = np.tile(np.arange(rows) * 10 * SECOND_NS, len(NAMES)) + 1_700_000_000 * SECOND_NS
    hr = np.full(rows * len(NAMES), HR)
    hr[5] = IMPOSSIBLE
    return records.recording(
        {
            "patient": records.Text(NAMES, np.repeat(np.arange(len(NAMES)), rows)),
            "time_ns": time_ns,
            "spo2": np.full(rows * len(NAMES), SPO2),
            "hr": hr,
        }
    )


async def test_a_ward_at_work_names_nobody(listening, capfd, tmp_path: Path):
    events, result = await through_stream(recording(), None, lambda *_: None, tmp_path / "store.sqlite")
    assert {event.patient for event in events} == set(NAMES), "it had something to tell"
    assert result["refused"] == 1
    assert not leaks(listening, capfd)


async def test_whatever_is_refused_at_the_door_is_not_quoted_in_the_logs(listening, capfd, tmp_path: Path, clock):
    from deploy.clock import WardClock

    device = "cuff-9"
    header = {"v": 1, "device": device, "boot": 1, "sent_ns": clock.now_ns(), "n": 1, "n_before": 0}
    reading = {"sign": "spo2", "value": SPO2, "unit": "%", "time_ns": clock.now_ns()}
    wrong = [
        NAMES[0].encode(),
        b"\xff" + str(SPO2).encode(),
        json.dumps({**header, "seq": 0, "readings": [{**reading, "value": str(SPO2)}]}).encode(),
        json.dumps({**header, "seq": 1, "readings": [{**reading, "sign": NAMES[1]}]}).encode(),
        json.dumps({**header, "seq": 2, "readings": [{**reading, "value": IMPOSSIBLE}]}).encode(),
        json.dumps({**header, "seq": 3, "device": NAMES[0], "readings": [reading]}).encode(),
        json.dumps({**header, "seq": 4, "readings": [reading]}).encode()[:-20],
    ]
    said = [
        Enrolment(patient=NAMES[0], state="admitted", at_ns=0, by="heliotrope"),
        Binding(device=device, patient=NAMES[0], from_ns=0),
    ]
    settings = WardProcessSettings(tmp_path / "store.sqlite", partitions=2)
    async with WardProcess(settings, WardClock(1.0, clock.now_ns()), said) as ward:
        senders = await ward.publisher(1)
        for payload in wrong:
            await senders.publish(topics.bundle_topic(device), payload)
        await senders.publish(topics.bundle_topic("nobodys-own"), wrong[-1])
        await ward.drained(senders.published)
        assert ward.bridge.counts.quarantined > 0
    assert not leaks(listening, capfd)


async def test_what_cannot_be_read_or_kept_is_not_quoted_in_the_logs(listening, capfd, kafka, clock, tmp_path: Path):
    settings = StreamSettings(kafka, partitions=3, session_s=1.0)
    failures: list[BaseException] = []
    store = SqliteStore(tmp_path / "store.sqlite")
    judge = Monitoring(settings, clock, fatal=lambda _, error: failures.append(error))
    keep = Storing(StoringSettings(settings), clock, store, fatal=lambda _, error: failures.append(error))
    producer = make_producer(kafka)
    await producer.start()
    garbage = [
        (log.BLOCK, NAMES[0].encode()),
        (b"tick", json.dumps({"type": "tick", "now_ns": SPO2}).encode()),
        (b"limit", json.dumps({"type": "limit", "patient": NAMES[0], "rule": "news2", "threshold": SPO2, "at_ns": 1,
                               "by": "heliotrope", "reason": "heliotrope"}).encode()),
        (b"enrolment", json.dumps({"type": "enrolment", "patient": NAMES[0], "state": NAMES[1], "at_ns": 1}).encode()),
        (b"command", log.encode(Command(command_id="c", patient=NAMES[0], alarm_id=NAMES[1], action="shelve",
                                        by="heliotrope", reason="heliotrope"))[1]),
    ]  # fmt: skip
    try:
        await asyncio.gather(judge.start(), keep.start())
        for kind, value in garbage:
            await producer.send_and_wait(topics.INPUT.name, value, partition=0, headers=[(log.HEADER, kind)])
        for topic in (topics.ALARMS, topics.FRAMES, topics.QUARANTINE, topics.HEALTH):
            for value in (NAMES[0].encode(), json.dumps({"patient": NAMES[0], "value": SPO2}).encode()):
                await producer.send_and_wait(topic.name, value, partition=0)
        await judge.ready.wait()
        while judge.positions.get(0) != len(garbage) or store.settled(topics.HEALTH.name, 0) is None:
            await asyncio.sleep(0.01)
    finally:
        await asyncio.gather(judge.stop(), keep.stop())
        await producer.stop()
        store.close()
    assert not failures
    assert judge.counts.dead == 4
    assert not leaks(listening, capfd)


def test_the_listener_would_have_heard(listening, capfd):
    logging.getLogger("ingest.bridge").debug("spo2 of %s is %s", NAMES[0], SPO2)
    assert len(leaks(listening, capfd)) == 1
