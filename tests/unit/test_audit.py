"""The audit's chain: whoever changes, takes out, swaps or puts in a line is found, and the line is named."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import msgspec
import pytest
from paging_world import START, H, M, S

from deploy import cli
from stream_processors.paging.keeper import AuditFile, ChainBroken, lines_of
from transport.kafka import Record
from vitals import audit, topics
from vitals.audit import FIRST, Entry
from vitals.events import AlarmEvent, Evidence, Priority, event_encoder
from vitals.log import Binding, Limit, encode
from vitals.rules import RULES_VERSION

ALARM = f"p1:spo2-low:{START}"
OTHER = f"p2:hr-high:{START}"


def event(alarm_id: str, n: int, name: str, at_ns: int, **more: object) -> AlarmEvent:
    patient, rule, _ = alarm_id.split(":")
    return AlarmEvent(
        event_id=f"{alarm_id}:{n}", alarm_id=alarm_id, n=n, patient=patient, rule=rule, rule_version="7",
        kind="physiological", priority=Priority.HIGH, event=name, at_ns=at_ns, cause=name, **more,
    )  # fmt: skip


def entry(number: int, what: str, at_ns: int, alarm: str = ALARM) -> Entry:
    return Entry(
        entry_id=f"e{number}", at_ns=at_ns, part="pager", what=what, person="wren", message="m1", alarms=(alarm,)
    )


def records() -> list[Record]:
    """Six facts as Kafka gives them: two topics, the page written before the raise is read."""
    entries = [
        entry(1, "page-queued", START + S),
        entry(2, "page-sent", START + 2 * S),
        entry(3, "page-sent", START + 2 * S, OTHER),
    ]
    events = [
        event(ALARM, 1, "raised", START),
        event(OTHER, 1, "raised", START),
        event(ALARM, 2, "acknowledged", START + M, by="wren"),
    ]
    out = [
        Record(topics.AUDIT.name, 0, n, b"", audit.entry_encoder.encode(one), 0, ()) for n, one in enumerate(entries)
    ]
    return out + [
        Record(topics.ALARMS.name, 0, n, b"", event_encoder.encode(one), 0, ()) for n, one in enumerate(events)
    ]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.open()
    assert file.add(records()) == 6
    return file.path


def rewrite(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_a_chain_that_nobody_touched_holds(chain):
    lines = list(lines_of(chain))
    checked = audit.check(lines)
    assert (checked.lines, checked.broken) == (6, None)
    assert checked.head == hashlib.sha256(lines[-1]).hexdigest()
    assert audit.check(lines, checked.head).broken is None


def test_an_empty_chain_holds_and_has_no_head():
    assert audit.check([]) == audit.Checked(0, FIRST)


def test_any_hash_tool_can_follow_it(chain):
    prev = "0" * 64
    for number, line in enumerate(lines_of(chain), 1):
        told = json.loads(line)
        assert (told["seq"], told["prev"]) == (number, prev)
        prev = hashlib.sha256(line).hexdigest()


def test_every_changed_byte_is_found_at_its_line_or_the_next(chain):
    lines = list(lines_of(chain))
    for number, line in enumerate(lines[:-1], 1):
        for place in range(len(line)):
            changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
            broken = audit.check([*lines[: number - 1], changed, *lines[number:]]).broken
            assert broken is not None, (number, place)
            assert broken.line in (number, number + 1), (number, place)


def test_a_change_in_the_last_line_shows_against_the_head_that_was_noted(chain):
    lines = list(lines_of(chain))
    head = audit.check(lines).head
    lines[-1] = lines[-1].replace(b"acknowledged", b"acknowledgee")
    assert audit.check(lines).broken is None
    assert audit.check(lines, head).broken is not None


@pytest.mark.parametrize("number", range(1, 6))
def test_a_line_taken_out_is_found_where_it_stood(chain, number):
    lines = list(lines_of(chain))
    del lines[number - 1]
    checked = audit.check(lines)
    assert (checked.lines, checked.broken.line) == (number - 1, number)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_line_taken_out_and_the_rest_numbered_anew_is_found_all_the_same(chain, number):
    lines = [json.loads(line) for line in lines_of(chain)]
    del lines[number - 1]
    anew = [json.dumps({**line, "seq": seq}, separators=(",", ":")).encode() for seq, line in enumerate(lines, 1)]
    assert audit.check(anew).broken.line == number


@pytest.mark.parametrize("number", range(1, 6))
def test_swapped_lines_are_found_at_the_first_of_them(chain, number):
    lines = list(lines_of(chain))
    lines[number - 1], lines[number] = lines[number], lines[number - 1]
    assert audit.check(lines).broken.line == number


@pytest.mark.parametrize("number", range(1, 7))
def test_a_line_put_in_is_found_there_or_at_the_next(chain, number):
    lines = list(lines_of(chain))
    before = audit.check(lines[: number - 1]).head
    good = {**json.loads(lines[number - 1]), "seq": number, "prev": before, "body": {"entry_id": "made up"}}
    lines.insert(number - 1, json.dumps(good).encode())
    assert audit.check(lines).broken.line == number + 1
    lines[number - 1] = b"a word"
    broken = audit.check(lines).broken
    assert (broken.line, broken.why) == (number, "is no line of the chain")


@pytest.mark.parametrize("left", range(6))
def test_lines_cut_off_the_end_show_against_the_head_that_was_noted(chain, left):
    lines = list(lines_of(chain))
    head = audit.check(lines).head
    assert audit.check(lines[:left]).broken is None
    broken = audit.check(lines[:left], head).broken
    assert broken.line == left + 1
    assert "cut off" in broken.why


def test_the_keeper_goes_on_where_it_was_and_writes_nothing_twice(chain):
    before = chain.read_bytes()
    chain.write_bytes(before + b'{"seq":7,"prev":"half a li')
    again = AuditFile(chain, audit.check(lines_of(chain)).head)
    again.open()
    assert chain.read_bytes() == before
    assert again.add(records()) == 0
    more = Record(topics.AUDIT.name, 0, 3, b"", audit.entry_encoder.encode(entry(4, "page-opened", START)), 0, ())
    assert again.add([more, *records()]) == 1
    assert audit.check(lines_of(chain)).lines == 7


def test_the_keeper_takes_what_is_no_json_as_it_came(chain):
    file = AuditFile(chain)
    file.open()
    odd = [
        Record(topics.AUDIT.name, 0, n, b"", body, 0, ())
        for n, body in ((3, b"\xff{"), (4, None), (5, b'{\r\n"a\\n":\n1}\n'))
    ]
    assert file.add(odd) == 3
    assert audit.check(lines_of(chain)).lines == 9
    assert [json.loads(line)["body"] for line in list(lines_of(chain))[6:]] == ["ff7b", None, {"a\n": 1}]


def test_the_keeper_adds_to_no_chain_that_is_broken_or_was_cut(chain):
    lines = list(lines_of(chain))
    head = audit.check(lines).head
    rewrite(chain, lines[:4])
    with pytest.raises(ChainBroken, match="ends before the line that was noted last"):
        AuditFile(chain, head).open()
    rewrite(chain, [lines[0], *lines[2:]])
    with pytest.raises(ChainBroken, match=r"^line 2 of audit\.jsonl"):
        AuditFile(chain).open()


@pytest.fixture
def teleward(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["teleward", *words])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return int(code or 0), out, " ".join(err.split())

    return run


def test_one_alarms_whole_story_in_the_order_of_its_time(teleward, chain):
    code, out, _ = teleward("audit", "p1:spo2", "--file", str(chain), "--json")
    told = json.loads(out.splitlines()[-1])
    assert (code, told["alarm"], told["broken"]) == (0, ALARM, None)
    assert [(fact["fact"], fact.get("event") or fact["what"], fact["line"]) for fact in told["story"]] == [
        ("event", "raised", 4),
        ("entry", "page-queued", 1),
        ("entry", "page-sent", 2),
        ("event", "acknowledged", 6),
    ]
    code, out, _ = teleward("audit", ALARM, "--file", str(chain))
    assert code == 0
    assert "first answered by wren after 60 s; still open in this audit" in out
    told = " ".join(out.split())
    assert "12:00:01 +1 s message 1 to wren" in told
    assert "12:00:02 +2 s message 1 sent, wren" in told
    assert "12:01:00 +60 s ACKNOWLEDGED by wren [high]" in told
    head = audit.check(lines_of(chain)).head
    assert f"the chain holds this far: 6 lines, head {head}" in out


def test_a_chain_is_verified_and_a_broken_one_ends_with_its_line(teleward, chain):
    lines = list(lines_of(chain))
    head = audit.check(lines).head
    code, out, _ = teleward("audit", "--verify", "--file", str(chain), "--head", head, "--json")
    assert code == 0
    assert json.loads(out) == {"file": str(chain), "lines": 6, "head": head, "broken": None}

    rewrite(chain, [*lines[:2], lines[2].replace(b"wren", b"lark"), *lines[3:]])
    code, out, err = teleward("audit", "--verify", "--file", str(chain), "--json")
    assert code == 1
    assert json.loads(out)["broken"]["line"] == 4
    assert "is broken at line 4: it does not fit line 3" in err
    code, out, err = teleward("audit", ALARM, "--file", str(chain), "--json")
    assert code == 1
    assert "broken at line 4" in err


def test_a_story_that_ends_at_a_broken_line_tells_what_is_before_it_and_says_so(teleward, chain):
    """The alarm's raise stands at line 4, its acknowledgement behind the break."""
    lines = list(lines_of(chain))
    rewrite(chain, [*lines[:4], lines[4].replace(b"hr-high", b"hr-lows"), lines[5]])
    code, out, _ = teleward("audit", ALARM, "--file", str(chain), "--json")
    told = json.loads(out.splitlines()[-1])
    assert code == 1
    assert told["broken"]["line"] == 6
    assert [fact["line"] for fact in told["story"]] == [4, 1, 2]


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (("p3",), "there is no alarm of this name"),
        (("p",), "2 alarms begin so"),
    ],
)
def test_what_cannot_be_told_ends_in_a_sentence(teleward, chain, words, say):
    code, _, err = teleward("audit", *words, "--file", str(chain))
    assert code == 1
    assert say in err


def test_a_file_that_is_not_there_is_no_chain_that_holds(teleward, tmp_path):
    code, _, err = teleward("audit", "--verify", "--file", str(tmp_path / "none.jsonl"))
    assert code == 1
    assert "there is no audit at" in err
    assert teleward("audit", "--file", str(tmp_path))[0] == 2


def test_what_held_when_an_alarm_was_raised_is_told_and_nothing_that_came_later():
    limit = {"type": "limit", "patient": "p1", "rule": "spo2-low", "by": "wren", "reason": "COPD"}
    worn = {"type": "binding", "device": "oxi", "to_ns": None}
    said = [
        {"type": "enrolment", "patient": "p1", "state": "admitted", "at_ns": START - H},
        worn | {"patient": "p1", "from_ns": START - H},
        worn | {"patient": "p1", "from_ns": START - H, "device": "cuff", "to_ns": START},
        limit | {"threshold": 92.0, "at_ns": START - M},
        limit | {"threshold": None, "at_ns": START + M},
        {"type": "enrolment", "patient": "p1", "state": "paused", "at_ns": START + M},
        worn | {"patient": "p2", "from_ns": START + M},
    ]
    held = audit.circumstances(said, "p1", "spo2-low", START)
    assert held["enrolment"]["state"] == "admitted"
    assert held["limit"]["threshold"] == 92.0
    assert [body["device"] for body in held["devices"]] == ["oxi"]
    later = audit.circumstances(said, "p1", "spo2-low", START + M)
    assert (later["enrolment"]["state"], later["limit"], later["devices"]) == ("paused", None, [])


def test_a_story_tells_of_limits_devices_readings_and_why(teleward, tmp_path):
    evidence = (Evidence(sign="spo2", value=84.0, time_ns=START - 41 * S, device="oxi", limit=85.0),)
    raised = msgspec.structs.replace(event(ALARM, 1, "raised", START), rule_version=RULES_VERSION, evidence=evidence)
    closed = event(ALARM, 2, "closed", START + 5 * M, by="heron", state={"outcome": "confirmed"})
    registry = [
        Binding(device="oxi", patient="p1", from_ns=START - H),
        Limit(patient="p1", rule="spo2-low", threshold=92.0, at_ns=START - M, by="wren", reason="COPD"),
    ]
    file = AuditFile(tmp_path / "audit.jsonl")
    file.open()
    file.add(
        [
            *(Record(topics.REGISTRY.name, 0, n, b"", encode(one)[1], (), 0) for n, one in enumerate(registry)),
            *(Record(topics.ALARMS.name, 0, n, b"", event_encoder.encode(one), (), 0)
              for n, one in enumerate((raised, closed))),
        ]
    )  # fmt: skip
    code, out, _ = teleward("audit", ALARM, "--file", str(file.path))
    told = " ".join(out.split())
    assert code == 0
    assert "limits: at or below 87 medium, 85 high (%)" in told
    assert "own limit: 92, set by wren 2026-01-01 11:59:00 (COPD)" in told
    assert "wore oxi" in told
    assert "spo2 84 %, limit 85, 41 s before, oxi" in told
    assert "first answered by heron after 5 min; closed after 5 min (confirmed)" in told
