"""What the storing app says is settled: events that came before their cause wait for it, no longer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from wards import SentBundle, admitted, block, ns

from stream_processors.storing_intake import Intake
from vitals import block as blocks
from vitals import log, topics
from vitals.events import event_encoder
from vitals.log import Record, Tick
from vitals.reading import Block
from vitals.ward import Ward

PLACE = topics.ALARMS.name, 0


def message(topic: str, offset: int, value: bytes, **headers: bytes) -> Any:
    return SimpleNamespace(topic=topic, partition=0, offset=offset, value=value, headers=list(headers.items()))


def input_of(record: Record, offset: int) -> Any:
    kind, value = (log.BLOCK, blocks.encode(record)) if isinstance(record, Block) else log.encode(record)
    return message(topics.INPUT.name, offset, value, **{log.HEADER: kind})


def ill() -> tuple[list[Any], list[Any]]:
    """Messages of the input, and those of the alarms that come of them; the last of the causes are the last records."""
    records: list[Record] = [*admitted("p-ill", {"d-ill": 10})]
    for seq, second in enumerate(range(0, 180, 10)):
        value = 80 if second >= 60 else 97
        records += [
            Tick(now_ns=ns(second)),
            block([SentBundle("d-ill", "p-ill", seq, second, [("spo2", value, second)], received_s=second + 0.5)]),
        ]
    ward, alarms = Ward(), []
    for offset, record in enumerate(records):
        for event in ward.step(record).events:
            cause = f"0:{offset}".encode()
            alarms.append(message(topics.ALARMS.name, len(alarms), event_encoder.encode(event), cause=cause))
    assert alarms
    return [input_of(record, offset) for offset, record in enumerate(records)], alarms


@pytest.fixture
def intake() -> Intake:
    found = Intake()
    assert found.restore({}, {0: 1 << 40}) == []
    return found


def taken(intake: Intake, messages: list[Any]) -> None:
    for each in messages:
        intake.take(each)
        intake.settle(each)


def test_events_that_wait_for_their_cause_are_settled_when_it_comes_though_no_event_comes_with_it(intake):
    records, alarms = ill()
    taken(intake, alarms)
    assert intake.take_all().settled[PLACE] == 0
    taken(intake, records)
    assert intake.take_all().settled[PLACE] == len(alarms)
    assert PLACE not in intake.take_all().settled, "said once"


def test_a_batch_that_could_not_be_written_settles_no_less_the_next_time(intake):
    records, alarms = ill()
    taken(intake, alarms)
    failed = intake.take_all()
    failed.join(intake.waiting)
    intake.waiting = failed
    taken(intake, records)
    assert intake.take_all().settled[PLACE] == len(alarms)


def test_what_is_read_anew_owes_nothing(intake):
    _, alarms = ill()
    taken(intake, alarms)
    intake.take_all()
    intake.restore({}, {0: 1 << 40})
    assert PLACE not in intake.take_all().settled
