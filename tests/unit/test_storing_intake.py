"""What the storing app says is settled: events that came before their cause wait for it, no longer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from wards import SentBundle, admitted, block, ns

from stream_processors import storing_intake
from stream_processors.storing_intake import Intake
from vitals import block as blocks
from vitals import frames_codec, log, topics
from vitals.events import Frames, event_encoder
from vitals.log import Record, Tick
from vitals.reading import Block
from vitals.signs import N_SIGNS
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


def frames_of(patients: int, end_s: int) -> Frames:
    """A minute of a ward without detectors."""
    ward, out = Ward(), []
    for i in range(patients):
        for record in admitted(f"p-{i}", {f"d-{i}": 10}):
            ward.step(record)
    for second in range(0, end_s + 11, 10):
        out += ward.step(Tick(now_ns=ns(second))).frames
    return out[-1]


def message_of(frames: Frames, offset: int) -> Any:
    return message(topics.FRAMES.name, offset, frames_codec.encode(frames))


def test_frames_of_many_patients_go_piece_by_piece_and_are_settled_with_the_last(intake, monkeypatch):
    monkeypatch.setattr(storing_intake, "FRAMES_AT_ONCE", 4)
    place = topics.FRAMES.name, 0
    frames = frames_of(10, 60)
    assert len(frames.patients) == 10
    taken(intake, [message_of(frames, 7), message_of(frames_of(1, 60), 8)])
    assert (intake.records, intake.frames_values) == (2, 11 * N_SIGNS)
    records, _ = ill()
    taken(intake, records[:1])
    batches = []
    while not intake.empty:
        batches.append(intake.take_all())
    assert [[len(f.patients) for f in batch.frames] for batch in batches] == [[4], [4], [2, 1]]
    assert [batch.settled.get(place) for batch in batches] == [None, None, 9]
    assert [batch.count for batch in batches] == [1, 0, 2]
    assert [p for batch in batches for f in batch.frames for p in f.patients] == [*frames.patients, "p-0"]
    assert intake.frames_values == 0


def test_a_batch_with_pieces_that_could_not_be_written_keeps_them_and_what_they_settle(intake, monkeypatch):
    monkeypatch.setattr(storing_intake, "FRAMES_AT_ONCE", 4)
    place = topics.FRAMES.name, 0
    taken(intake, [message_of(frames_of(6, 60), 7)])
    failed = intake.take_all()
    failed.join(intake.waiting)
    intake.waiting = failed
    batch = intake.take_all()
    assert [len(f.patients) for f in batch.frames] == [4, 2]
    assert batch.settled[place] == 8
    assert intake.empty


def test_frames_that_cannot_be_read_are_settled_behind_those_before_them(intake, monkeypatch):
    monkeypatch.setattr(storing_intake, "FRAMES_AT_ONCE", 4)
    place = topics.FRAMES.name, 0
    taken(intake, [message_of(frames_of(6, 60), 7)])
    broken = message(topics.FRAMES.name, 8, b"no frames")
    with pytest.raises(ValueError, match="frames"):
        intake.take(broken)
    intake.settle(broken)
    assert place not in intake.take_all().settled
    assert intake.take_all().settled[place] == 9


def test_what_is_forgotten_is_not_written(intake):
    taken(intake, [message_of(frames_of(2, 60), 7)])
    intake.forget()
    assert intake.empty
    assert (intake.records, intake.frames_values) == (0, 0)
