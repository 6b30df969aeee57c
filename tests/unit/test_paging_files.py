"""Rotas, policies and calendars as people write them: read, and refused with the line and what to do."""

# ruff: noqa: E501  # tables of complaints, a row each

from __future__ import annotations

import datetime as dt

import pytest

from stream_processors.paging.ical import CalendarError, calendar_duties
from stream_processors.paging.policy import DEFAULT
from stream_processors.paging.policy_file import read_policies
from stream_processors.paging.rota import duties, gaps, instant, on_call, without_channel
from stream_processors.paging.rota_file import CalendarSource, read_rota
from transport.yaml_lines import FileError

H = 3_600_000_000_000
BERLIN = "Europe/Berlin"

ROTA = """\
zone: Europe/Berlin
people:
  wren: {channels: ["ntfys://example.org/wren", {address: "file:wren", outside: false}]}
  heron: {channels: ["mailtos://example.org"]}
  kestrel: {}
teams:
  ward: {members: [wren, heron, kestrel], leads: [kestrel], lines: [first]}
shifts:
  - {team: ward, line: first, people: [wren, heron], from: "07:00", to: "19:00", since: 2026-01-05}
  - {team: ward, line: first, people: [kestrel], from: "19:00", to: "07:00", since: 2026-01-05}
swaps:
  - {out: kestrel, in: heron, from: 2026-01-06 22:00, to: 2026-01-07 02:00}
away:
  - {person: wren, from: 2026-01-08 00:00, to: 2026-01-09 00:00}
holidays: [2026-12-25]
patients:
  p-7: {bed: "4", team: ward}
"""


def at(day: str, time: str = "12:00", zone: str = BERLIN) -> int:
    hour, minute = map(int, time.split(":"))
    return instant(zone, dt.date.fromisoformat(day), hour * 60 + minute)


def who(day: str, time: str) -> tuple[str, ...]:
    return on_call(read_rota(ROTA, "rota.yaml").rota, "ward", "first", at(day, time))


@pytest.mark.parametrize(
    ("day", "time", "person"),
    [
        ("2026-01-05", "07:00", "wren"),
        ("2026-01-05", "06:59", None),  # nothing has begun yet
        ("2026-01-05", "18:59", "wren"),
        ("2026-01-05", "19:00", "kestrel"),
        ("2026-01-06", "06:59", "kestrel"),
        ("2026-01-06", "21:59", "kestrel"),
        ("2026-01-06", "22:00", "heron"),  # the swap
        ("2026-01-07", "02:00", "kestrel"),
        ("2026-01-08", "12:00", None),  # away, and nobody was swapped in
        ("2026-01-12", "12:00", "heron"),  # the next week is the next one's turn
        ("2026-01-19", "12:00", "wren"),
    ],
)
def test_who_is_on_call(day, time, person):
    assert who(day, time) == (() if person is None else (person,))


def test_gaps_and_people_without_a_channel_are_found_ahead():
    rota = read_rota(ROTA, "rota.yaml").rota
    week = at("2026-01-05", "07:00"), at("2026-01-12", "07:00")
    assert [(g.from_ns, g.to_ns) for g in gaps(rota, *week)] == [(at("2026-01-08", "07:00"), at("2026-01-08", "19:00"))]
    assert {d.person for d in without_channel(rota, frozenset(), *week)} == {"kestrel"}
    assert {d.person for d in without_channel(rota, frozenset({"wren"}), *week)} == {"kestrel", "wren"}


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 11), ("2026-03-29", 12), ("2026-10-24", 13), ("2026-10-25", 12)]
)
def test_a_night_has_an_hour_less_or_more_when_the_clock_changes(day, hours):
    rota = read_rota(ROTA, "rota.yaml").rota
    (night,) = [d for d in duties(rota, at(day, "20:00"), at(day, "20:01")) if d.person == "kestrel"]
    assert night.to_ns - night.from_ns == hours * H


def test_a_holiday_is_no_other_day():
    text = ROTA.replace("since: 2026-01-05}\n  - {team", "since: 2026-01-05, days: [thu, fri]}\n  - {team").replace(
        "shifts:",
        "shifts:\n  - {team: ward, line: first, people: [heron], from: '07:00', to: '19:00', since: 2026-01-01, days: [holiday]}",
    )
    rota = read_rota(text, "rota.yaml").rota
    assert on_call(rota, "ward", "first", at("2026-12-24")) == ("wren",)  # their week
    assert on_call(rota, "ward", "first", at("2026-12-25")) == ("heron",)  # the holiday's shift
    assert len(duties(rota, at("2026-12-25"), at("2026-12-25", "12:01"))) == 1


WRONG_ROTAS = [
    ("zone: Europe/Berlin", "zone: Mars", "rota.yaml:1: zone of the file is 'Mars'; write a zone like Europe/Berlin"),
    ("members: [wren, heron, kestrel]", "members: [wren, robin]", "rota.yaml:7: members of team 'ward' has 'robin'; write a person: wren, heron, kestrel"),
    ('from: "07:00", to: "19:00"', 'from: "7h", to: "19:00"', "rota.yaml:9: from of a shift is '7h'; write a time of day like \"07:30\", in quotes"),
    ("line: first, people: [kestrel]", "line: second, people: [kestrel]", "rota.yaml:10: line of a shift is 'second'; write a line of the team: first"),
    ("in: heron", "inn: heron", "rota.yaml:12: a swap has no 'in'; add it\nrota.yaml:12: a swap has an unknown field 'inn'; known are from, in, out, to"),
    ("to: 2026-01-07 02:00", "to: 2026-01-06 02:00", "rota.yaml:12: a swap ends before it begins; mend `from` or `to`"),
    ("2026-12-25", "25.12.", "rota.yaml:15: holidays of the file has '25.12.'; write a date like 2026-12-25"),
    ("file:wren", "wren", "rota.yaml:3: a channel of person 'wren' is no address; write one like `ntfys://host/topic`, `file:NAME`, `console:`"),
    ("since: 2026-01-05}\nswaps", "since: soon}\nswaps", "rota.yaml:10: since of a shift is 'soon'; write a date like 2026-12-25"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "complaint"), WRONG_ROTAS)
def test_a_wrong_rota_is_refused_with_the_line_and_what_to_do(right, wrong, complaint):
    assert right in ROTA
    with pytest.raises(FileError) as caught:
        read_rota(ROTA.replace(right, wrong, 1), "rota.yaml")
    assert str(caught.value) == complaint


def test_all_that_is_wrong_is_told_at_once_and_an_empty_file_says_how_to_begin():
    with pytest.raises(FileError) as caught:
        read_rota("people: {}\n", "r.yaml")
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(FileError, match=r"r.yaml:1: the file is empty; begin with `zone:`"):
        read_rota("", "r.yaml")
    with pytest.raises(FileError, match=r"r.yaml:2: not YAML"):
        read_rota("a: [\n:", "r.yaml")


POLICIES = """\
limit: {per_hour: 6, digest_every: 10m}
gateway: {rules: [device-silent], at_least: 4, within: 90s}
answers: {links_last: 30m, snooze: 20m}
shifts: {test_before: 30m, look_ahead: 7d}
quiet_shift: {at: ["06:00", "22:00"], to: [line first]}
policies:
  - name: high
    for: high
    steps:
      - {after: 0, to: [line first]}
      - {after: 2m, to: [lead]}
      - {after: 4m, to: [everyone]}
    repeat: 2m
  - name: equipment
    for: medium
    rules: [device-*, no-device]
    steps: [{after: 0, to: [line first]}]
    repeat: 1h
    not_between: ["22:00", "07:00"]
  - name: medium
    for: medium
    wait: 15s
    at_most_every: 5m
    steps:
      - {after: 0, to: [line first]}
      - {after: 10m, to: [person kestrel, team]}
    repeat: 10m
"""


def policies(text: str = POLICIES):
    return read_policies(text, "p.yaml", read_rota(ROTA, "rota.yaml").rota)


def test_policies_are_read():
    read = policies()
    assert [p.name for p in read.policies] == ["high", "equipment", "medium"]
    assert read.of("device-silent", DEFAULT.policies[1].priority).name == "equipment"
    assert read.of("spo2-low", DEFAULT.policies[1].priority).name == "medium"
    assert (read.per_hour, read.gateway.at_least, read.quiet_messages) == (6, 4, (360, 1320))
    assert 23 * 60 in read.policies[1].quiet
    assert 12 * 60 not in read.policies[1].quiet


WRONG_POLICIES = [
    ("to: [everyone]", "to: [team]", "p.yaml:10: policy 'high' is for high priority; let its last step be `to: [everyone]`"),
    ("after: 2m", "after: 0s", "p.yaml:11: a step of policy 'high' is not after the one before it; write a longer `after`"),
    ("{after: 0, to: [line first]}\n      - {after: 2m", "{after: 1m, to: [line first]}\n      - {after: 2m", "p.yaml:10: the first step of policy 'high' is not at 0; write `after: 0` (use `wait` to wait)"),
    ("to: [lead]", "to: [line third]", "p.yaml:11: to of a step of policy 'high' has 'line third'; write a line of a team: first"),
    ("to: [lead]", "to: [kestrel]", "p.yaml:11: to of a step of policy 'high' has 'kestrel'; write `line NAME`, `person NAME`, team, lead, everyone or answered"),
    ("rules: [device-*,", "rules: [devices-*,", "p.yaml:16: rules of policy 'equipment' has 'devices-*'; no rule is called so; docs/alarms.md has them all"),
    ("    wait: 15s", "    waits: 15s", "p.yaml:22: policy 'medium' has an unknown field 'waits'; known are at_most_every, for, name, not_between, repeat, rules, steps, team, wait"),
    ("at_most_every: 5m", "at_most_every: 11m", "p.yaml:23: at_most_every of policy 'medium' is longer than repeat; make it at most that"),
    ("per_hour: 6", "per_hour: many", "p.yaml:1: per_hour of limit is 'many'; write a whole number from 1 to 1000"),
    ("  - name: medium\n    for: medium", "  - name: medium\n    for: low", "p.yaml:21: policy 'medium' is for low priority, which never pages; take it out\np.yaml:7: no policy is for medium and all rules; add one without `rules` at the end"),
    ("    repeat: 2m\n", "    repeat: 2m\n    not_between: ['22:00', '07:00']\n", "p.yaml:14: policy 'high' is for high priority, which waits for no morning; take it out"),
    ("    rules: [device-*, no-device]\n", "", "p.yaml:19: policy 'medium' never holds: one for all rules stands before it; move it up"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "complaint"), WRONG_POLICIES)
def test_a_wrong_policy_is_refused_with_the_line_and_what_to_do(right, wrong, complaint):
    assert right in POLICIES
    with pytest.raises(FileError) as caught:
        policies(POLICIES.replace(right, wrong, 1))
    assert str(caught.value) == complaint


CALENDAR = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//example//rota//EN\r
BEGIN:VEVENT\r
UID:1\r
SUMMARY:On call: Wren\r
DTSTART;TZID=Europe/Berlin:20260323T190000\r
DTEND;TZID=Europe/Berlin:20260324T070000\r
RRULE:FREQ=DAILY\r
EXDATE;TZID=Europe/Berlin:20260326T190000\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:2\r
SUMMARY:stand-in\r
ATTENDEE:mailto:heron@example.org\r
DTSTART:20260326T180000Z\r
DTEND:20260327T060000Z\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:3\r
SUMMARY:summer party\r
DTSTART;VALUE=DATE:20260327\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:4\r
SUMMARY:kestrel\r
STATUS:CANCELLED\r
DTSTART;VALUE=DATE:20260327\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_a_calendar_gives_duties_and_names_what_is_nobodys():
    rota = read_rota(ROTA, "rota.yaml").rota
    source = CalendarSource("https://example.org/rota.ics", "ward", "first")
    found, strangers = calendar_duties(CALENDAR, source, rota, at("2026-03-25"), at("2026-03-30"))
    by_start = {d.from_ns: (d.person, (d.to_ns - d.from_ns) // H) for d in found}
    assert by_start == {
        at("2026-03-25", "19:00"): ("wren", 12),
        at("2026-03-26", "19:00"): ("heron", 12),
        at("2026-03-27", "19:00"): ("wren", 12),
        at("2026-03-28", "19:00"): ("wren", 11),  # the night that summer time shortens
        at("2026-03-29", "19:00"): ("wren", 12),
    }
    assert strangers == ("the event of 2026-03-27 00:00 names nobody of the rota; write a person's id in its title",)


def test_what_is_no_calendar_is_refused():
    rota = read_rota(ROTA, "rota.yaml").rota
    with pytest.raises(CalendarError, match="not a calendar"):
        calendar_duties(b"<html>", CalendarSource("x:", "ward", "first"), rota, 0, H)
