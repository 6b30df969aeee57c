"""Nothing of the pager stands still without a word; two pagers do not page for one ward."""

from __future__ import annotations

import errno
import logging
import os

import msgspec
import pytest
from paging_world import START

from stream_processors.paging import own
from stream_processors.paging.keeper import AuditFile, lines_of
from stream_processors.paging.state import Found, PagerState
from stream_processors.paging.trouble import PATIENCE_S, Trouble
from stream_processors.paging.ward_view import WardFollower
from transport.kafka import KafkaSettings, Record
from transport.sqlite_file import FileInUse, sole_user
from vitals import audit, topics


class Scene:
    """A work, time of the wall, and the pager's own alarms as its findings make them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.state = PagerState()
        self.found: list[Found] = []
        self.trouble = Trouble("answers", lambda: self.state, self.take, lambda: self.now_s)

    def take(self, found: Found) -> None:
        self.found.append(found)
        name = own.key(found.rule, found.about)
        after, _ = own.judge(self.state.own.get(name), found.rule, found.about, found.cause, found.level, START)
        self.state = msgspec.structs.replace(self.state, own={**self.state.own, name: after})


def test_a_work_that_stands_still_is_logged_at_once_and_an_alarm_when_it_lasts_until_it_goes_on(caplog):
    caplog.set_level(logging.INFO)
    scene = Scene()
    scene.trouble.failed(OSError())
    scene.trouble.failed(OSError())
    assert [record.message for record in caplog.records] == ["answers stand still: OSError; tried again"]
    assert scene.found == []
    scene.now_s = PATIENCE_S
    scene.trouble.failed(OSError())
    scene.trouble.failed(OSError())
    (found,) = scene.found
    assert (found.rule, found.about, found.cause) == (own.CUT_OFF, "answers", "answers stand still for 30 s: OSError")
    scene.trouble.well()
    scene.trouble.well()
    assert scene.found[1:] == [Found(rule=own.CUT_OFF, about="answers")]
    scene.trouble.failed(OSError())
    assert len(scene.found) == 2


def test_an_alarm_of_an_earlier_process_ends_when_the_work_goes_on():
    scene = Scene()
    scene.take(Found(rule=own.CUT_OFF, about="answers", cause="before a kill"))
    scene.trouble.well()
    assert scene.found[-1].cause is None


def test_when_the_whole_of_kafka_is_away_one_alarm_says_so():
    scene = Scene()
    scene.take(Found(rule=own.BLIND, cause="the alarm topic cannot be read"))
    for scene.now_s in (0.0, PATIENCE_S, 10 * PATIENCE_S):
        scene.trouble.failed(TimeoutError())
    assert len(scene.found) == 1


def records(first: int, count: int, topic: str = topics.AUDIT.name) -> list[Record]:
    entry = audit.Entry(entry_id="e", at_ns=START, part="pager", what="page-sent")
    value = audit.entry_encoder.encode(entry)
    return [Record(topic, 0, first + n, b"", value, (), 0) for n in range(count)]


def test_a_full_disk_leaves_no_half_line_that_the_next_one_is_added_to(tmp_path, monkeypatch):
    file = AuditFile(tmp_path / "audit.jsonl")
    file.open()
    file.add(records(0, 2))

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        file.add(records(2, 2))
    monkeypatch.undo()
    assert file.add(records(0, 5)) == 3
    checked = audit.check(lines_of(file.path))
    assert (checked.lines, checked.broken) == (5, None)


def test_what_a_kafka_made_anew_says_is_kept_behind_what_is_there(tmp_path):
    file = AuditFile(tmp_path / "audit.jsonl")
    file.open()
    file.add(records(0, 5))
    place = (topics.AUDIT.name, 0)
    assert file.begin_anew({place: 5}) == []
    assert file.begin_anew({place: 2}) == [topics.AUDIT.name]
    assert file.add(records(0, 2)) == 2
    again = AuditFile(file.path)
    again.open()
    assert (again.positions[place], again.checked.lines) == (2, 7)


def test_a_database_has_one_user_until_that_one_ends(tmp_path):
    path = tmp_path / "pager.db"
    with sole_user(path), pytest.raises(FileInUse, match=r"pager\.db is used by another process"), sole_user(path):
        pytest.fail("two users")
    with sole_user(path):
        pass


def test_another_pager_of_the_same_ward_is_found_while_it_speaks():
    now = [0.0]
    follower = WardFollower(KafkaSettings("nowhere:1"), 10.0, lambda: now[0], me="a")
    follower.on_health({"part": "pager", "pager": "a"})
    assert follower.twice() == Found(rule=own.TWICE)
    follower.on_health({"part": "pager", "pager": "b"})
    assert follower.twice().cause == "another pager (b) pages for this ward as well"
    now[0] = 9.0
    assert follower.twice().cause is None
