"""The machine of one alarm, as tables over time.

Each row says something at a second; the columns beside it are what must be true afterwards. An empty cell is not
looked at, `-` means nothing. Events stand as `word` or `word@second` where their own time differs from the row's.

Every table is played in three ways that must give the same events: as it stands, with time told every seven seconds
in between, and with a snapshot and a restart before every row.
"""

from __future__ import annotations

import json
import pathlib
import re
from typing import get_args

import msgspec
import pytest

from vitals.alarm import Heard, Level, Raise, Return, Silent, Value, step
from vitals.alarm_book import Book, BookError, key_of
from vitals.alarm_fold import Fold, fold, worst_first
from vitals.events import AlarmEvent, EventName, Evidence, Priority, ScoreEvidence, event_decoder, event_encoder
from vitals.log import Command
from vitals.rules import RULES, RULES_VERSION
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Measure

PATIENT = "p-1"


class Player:
    """One patient and one rule, spoken to in short words."""

    def __init__(self, rule: str, *, tick_every: int = 0, restart: bool = False) -> None:
        self.book = Book()
        self.rule = rule
        self.tick_every = tick_every
        self.restart = restart
        self.events: list[AlarmEvent] = []
        self.now = 0
        self.commands = 0
        self.alarm_id = "p-1:none:0"

    def say(self, second: int, said: str, seen: int | None = None) -> list[AlarmEvent]:
        """Say something at a second; give the events since the last row."""
        before = len(self.events)
        if self.restart:
            self.book = Book.from_state(json.loads(json.dumps(self.book.to_state())))
        if self.tick_every:
            for tick in range(self.now + 1, second + 1, self.tick_every):
                self.events += self.book.advance(tick * SECOND_NS)
        self.now = second
        self.events += self.one(second * SECOND_NS, said.split(), seen)
        for event in self.events[before:]:
            if event.event == "raised":
                self.alarm_id = event.alarm_id
        return self.events[before:]

    def one(self, now: int, words: list[str], seen: int | None) -> list[AlarmEvent]:
        """One input, as the ward would hand it over."""
        measure = RULES[self.rule].measure or Measure.SPO2
        match words:
            case ["due"]:
                return self.book.advance(now)
            case ["raise" | "level" as word, level]:
                kind = Raise if word == "raise" else Level
                evidence = (Evidence(sign="spo2", value=90.0 - int(level), time_ns=now, device="oxi-1"),)
                return self.book.signal(
                    PATIENT, self.rule, kind(at_ns=now, level=int(level), cause=f"at {level}", evidence=evidence)
                )
            case ["return"]:
                evidence = (Evidence(sign="spo2", value=96.0, time_ns=now, device="oxi-1"),)
                return self.book.signal(PATIENT, self.rule, Return(at_ns=now, evidence=evidence))
            case ["silent", ago]:
                silent = Silent(since_ns=now - int(ago) * SECOND_NS, at_ns=now)
                return self.book.signal(PATIENT, self.rule, silent)
            case ["heard"]:
                return self.book.signal(PATIENT, self.rule, Heard(at_ns=now))
            case ["value", value]:
                return self.book.value(PATIENT, Value(measure=measure, value=float(value), time_ns=now))
            case ["discharge", by]:
                return self.book.discharge(PATIENT, by, now)
            case _:
                return self.book.command(self.command(now, words, seen), now)

    def command(self, now: int, words: list[str], seen: int | None) -> Command:
        """``ack ann``, ``shelve ann 3600 below 80``, ``expect ann 1200 above 92``, ``resolve ann dismissed``."""
        self.commands += 1
        action, by, *rest = words
        bound = {"direction": rest[1], "bound": float(rest[2])} if len(rest) == 3 else {}
        more: dict[str, object] = {}
        if action == "shelve":
            more = {"until_ns": now + int(rest[0]) * SECOND_NS, "reason": "physiotherapy", **bound}
        elif action == "expect":
            more = {"within_ns": int(rest[0]) * SECOND_NS, "reason": "gave oxygen", **bound}
        elif action == "resolve":
            more = {"outcome": rest[0]}
        return Command(
            command_id=f"c-{self.commands}",
            patient=PATIENT,
            alarm_id=self.alarm_id,
            action="acknowledge" if action == "ack" else action,
            by=by,
            seen=seen,
            **more,
        )

    def cell(self, column: str) -> str:
        """What a column of the table shows now."""
        alarms = self.book.open_alarms()
        if not alarms:
            return "closed" if column == "condition" else "-"
        facts, due = alarms[0].facts(), alarms[0].due_ns()
        if column == "due":
            assert due is not None
            return str(due // SECOND_NS)
        if column == "priority":
            return str(RULES[self.rule].priority(alarms[0].peak))
        return str(facts[column])


def play(table: str, rule: str = "spo2-low") -> Player:
    """Play a table in every way; give the player of the plain way."""
    header, *rows = [[c.strip() for c in line.split("|")] for line in table.strip().splitlines()]
    players = [Player(rule), Player(rule, tick_every=7), Player(rule, restart=True)]
    plain = players[0]
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        second = int(cells["second"])
        for player in players:
            told = player.say(second, cells["said"])
            if player is plain:
                words = " ".join(e.event + ("" if e.at_ns == second * SECOND_NS else _at(e)) for e in told)
                assert (words or "-") == cells["events"], row
            for column in header[3:]:
                if cells[column]:
                    assert player.cell(column) == cells[column], (column, row)
    for player in players[1:]:
        assert player.events == plain.events
    assert_whole(plain)
    return plain


def _at(event: AlarmEvent) -> str:
    return f"@{event.at_ns // SECOND_NS}"


def assert_whole(player: Player) -> None:
    """What holds for every stream: the fold is the book, and numbers have no gaps."""
    book = {alarm.alarm_id: (alarm.n, alarm.due_ns(), alarm.facts()) for alarm in player.book.open_alarms()}
    assert {name: (a.n, a.due_ns, a.state) for name, a in fold(player.events).items()} == book
    for name in {event.alarm_id for event in player.events}:
        numbers = [event.n for event in player.events if event.alarm_id == name]
        assert numbers == list(range(1, len(numbers) + 1))


def test_an_alarm_is_raised_acknowledged_and_closes_when_it_has_returned():
    play("""
        second | said     | events          | condition | attention      | due  | priority
        0      | raise 1  | raised          | active    | unacknowledged | 600  | medium
        60     | ack ann  | acknowledged    | active    | acknowledged   | 1860 |
        300    | return   | returned closed | closed    |                |      |
    """)


def test_a_latched_alarm_waits_for_a_person_after_it_has_returned():
    play("""
        second | said     | events              | condition | attention      | due
        0      | raise 1  | raised              | active    | unacknowledged | 600
        120    | return   | returned            | returned  | unacknowledged | 600
        5000   | due      | -                   | returned  | unacknowledged | 600
        5001   | ack ann  | acknowledged closed | closed    |                |
    """)


def test_an_unlatched_alarm_closes_by_itself_on_fresh_readings():
    play(
        """
        second | said     | events          | condition | due  | priority
        0      | raise 1  | raised          | active    | 3600 | low
        120    | return   | returned closed | closed    |      |
    """,
        rule="anomaly",
    )


def test_what_returns_and_comes_back_is_the_same_alarm():
    player = play("""
        second | said     | events    | condition | attention      | due
        0      | raise 1  | raised    | active    | unacknowledged | 600
        120    | return   | returned  | returned  | unacknowledged | 600
        200    | raise 1  | recurred  | active    | unacknowledged | 600
    """)
    assert len({event.alarm_id for event in player.events}) == 1


def test_an_acknowledgement_ends_at_its_time_and_the_answer_is_owed_again():
    play("""
        second | said     | events                       | attention      | due
        0      | raise 1  | raised                       | unacknowledged | 600
        60     | ack ann  | acknowledged                 | acknowledged   | 1860
        4000   | due      | acknowledgement_expired@1860 | unacknowledged | 2460
        4100   | ack bob  | acknowledged                 | acknowledged   | 5900
    """)


def test_getting_worse_breaks_what_was_given_for_better():
    play("""
        second | said               | events       | attention      | shelf   | due  | priority
        0      | raise 1            | raised       | unacknowledged | none    | 600  | medium
        10     | ack ann            | acknowledged | acknowledged   | none    | 1810 |
        20     | shelve ann 3600    | shelved      | acknowledged   | shelved | 1810 |
        30     | level 2            | worsened     | unacknowledged | none    | 150  | high
        40     | ack ann            | acknowledged | acknowledged   | none    | 640  |
        50     | level 1            | -            | acknowledged   |         | 640  | high
        60     | level 2            | -            | acknowledged   |         | 640  | high
    """)


def test_an_acknowledgement_given_while_it_was_better_does_not_cover_the_old_peak():
    play("""
        second | said     | events       | attention      | priority
        0      | raise 2  | raised       | unacknowledged | high
        10     | level 1  | -            | unacknowledged | high
        20     | ack ann  | acknowledged | acknowledged   | high
        30     | level 2  | worsened     | unacknowledged | high
    """)


def test_a_shelf_given_after_a_return_does_not_cover_the_recurrence():
    play("""
        second | said            | events   | condition | shelf   | due
        0      | raise 1         | raised   | active    | none    | 600
        10     | return          | returned | returned  | none    | 600
        20     | shelve ann 3600 | shelved  | returned  | shelved | 3620
        30     | raise 1         | recurred | active    | none    | 630
    """)


def test_an_answer_that_is_owed_is_never_put_off_by_something_worse():
    play("""
        second | said    | events   | due
        0      | raise 1 | raised   | 600
        590    | level 2 | worsened | 600
    """)


def test_absence_changes_the_observation_and_nothing_else():
    player = play("""
        second | said      | events          | condition | observation | unobserved_since_ns | due
        0      | raise 1   | raised          | active    | observed    |                     | 600
        100    | silent 90 | unobserved      | active    | unobserved  | 10000000000         | 600
        9000   | due       | -               | active    | unobserved  | 10000000000         | 600
        9001   | silent 5  | -               | active    | unobserved  | 10000000000         | 600
        9010   | heard     | observed        | active    | observed    |                     | 600
        9020   | ack ann   | acknowledged    | active    | observed    |                     |
        9030   | return    | returned closed | closed    |             |                     |
    """)
    assert "unobserved_since_ns" not in player.events[2].state


def test_a_return_after_silence_says_first_that_readings_are_back():
    play("""
        second | said      | events            | condition | observation
        0      | raise 1   | raised            | active    | observed
        100    | silent 90 | unobserved        | active    | unobserved
        200    | return    | observed returned | returned  | observed
    """)


def test_a_shelf_ends_at_its_time():
    play("""
        second | said           | events        | shelf   | attention      | due
        0      | raise 1        | raised        | none    | unacknowledged | 600
        10     | shelve ann 900 | shelved       | shelved | unacknowledged | 910
        2000   | due            | unshelved@910 | none    | unacknowledged | 1510
    """)


def test_a_shelf_ends_when_a_value_passes_its_bound():
    player = play("""
        second | said                    | events    | shelf   | due
        0      | raise 1                 | raised    | none    | 600
        10     | shelve ann 900 below 84 | shelved   | shelved | 910
        20     | value 85                | -         | shelved | 910
        30     | value 84                | unshelved | none    | 630
    """)
    assert player.events[-1].evidence[0].value == 84
    assert not player.book.watching(PATIENT, Measure.SPO2)


def test_a_shelf_is_capped_by_its_rule_and_can_be_taken_back():
    player = play("""
        second | said             | events    | shelf   | due
        0      | raise 1          | raised    | none    | 600
        10     | shelve ann 90000 | shelved   | shelved | 7210
        20     | unshelve ann     | unshelved | none    | 620
    """)
    assert "the longest this rule allows" in player.events[1].cause


def test_an_unshelved_alarm_that_was_acknowledged_stays_so():
    play("""
        second | said           | events        | shelf   | attention    | due
        0      | raise 1        | raised        | none    |              | 600
        5      | ack ann        | acknowledged  | none    | acknowledged | 1805
        10     | shelve ann 900 | shelved       | shelved | acknowledged | 910
        1000   | due            | unshelved@910 | none    | acknowledged | 1805
    """)


def test_a_high_alarm_of_the_floor_list_cannot_be_shelved():
    player = play("""
        second | said           | events          | shelf | due
        0      | raise 2        | raised          | none  | 120
        10     | shelve ann 900 | command_refused | none  | 120
    """)
    refused = player.events[-1]
    assert refused.alarm_id == "p-1:command:c-1"
    assert (refused.n, refused.by, refused.state["alarm_id"]) == (1, "ann", player.events[0].alarm_id)
    assert refused.cause == "spo2-low cannot be shelved at high priority"


def test_an_expectation_that_is_met_closes_the_alarm():
    player = play("""
        second | said                     | events    | condition | attention    | due
        0      | raise 1                  | raised    | active    |              | 600
        10     | expect ann 1200 above 92 | expecting | active    | acknowledged | 1210
        300    | value 91                 | -         | active    |              | 1210
        400    | value 92                 | closed    | closed    |              |
    """)
    assert player.events[-1].state["outcome"] == "expectation-met"
    assert player.events[-1].cause == "oxygen saturation 92, as ann expected"


def test_only_a_reading_measured_later_meets_an_expectation():
    play("""
        second | said                     | events    | condition
        0      | raise 1                  | raised    | active
        10     | expect ann 1200 above 92 | expecting | active
        10     | value 95                 | -         | active
    """)


def test_an_expectation_that_is_not_met_raises_the_same_alarm_again():
    player = play("""
        second | said                     | events      | condition | attention      | due
        0      | raise 1                  | raised      | active    | unacknowledged | 600
        10     | expect ann 1200 above 92 | expecting   | active    | acknowledged   | 1210
        700    | ack bob                  | acknowledged | active   | acknowledged   | 1210
        3000   | due                      | raised@1210 | active    | unacknowledged | 1810
        3001   | ack ann                  | acknowledged | active   | acknowledged   | 4801
    """)
    assert player.events[3].n == 4
    assert player.events[3].cause == "not met in time: oxygen saturation at least 92, expected by ann"


def test_an_expectation_that_nothing_was_observed_for_is_not_met():
    player = play("""
        second | said                     | events      | condition | observation | due
        0      | raise 1                  | raised      | active    | observed    | 600
        10     | expect ann 1200 above 92 | expecting   | active    | observed    | 1210
        100    | silent 60                | unobserved  | active    | unobserved  | 1210
        3000   | due                      | raised@1210 | active    | unobserved  | 1810
    """)
    assert player.events[-1].cause.endswith("nothing was observed")


def test_a_return_short_of_what_was_expected_closes_nothing_until_somebody_looks():
    play(
        """
        second | said                     | events              | condition | attention      | due
        0      | raise 1                  | raised              | active    | unacknowledged | 3600
        10     | expect ann 1200 below 38 | expecting           | active    | acknowledged   | 1210
        300    | return                   | returned            | returned  | acknowledged   | 1210
        1300   | due                      | raised@1210         | returned  | unacknowledged | 4810
        1400   | ack ann                  | acknowledged closed | closed    |                |
    """,
        rule="sensor-off-spo2",
    )


def test_without_a_bound_it_is_the_return_that_is_expected():
    play(
        """
        second | said                    | events          | condition | due
        0      | raise 1                 | raised          | active    | 600
        10     | expect ann 1200 above 9 | command_refused | active    | 600
        11     | expect ann 1200         | expecting       | active    | 1211
        300    | return                  | returned closed | closed    |
    """,
        rule="news2",
    )


def test_an_expectation_ends_early_where_its_priority_allows_no_more():
    play("""
        second | said                      | events    | due
        0      | raise 2                   | raised    | 120
        10     | expect ann 86400 above 92 | expecting | 1810
    """)


def test_what_a_person_closed_while_it_held_raises_again_only_after_the_refractory_time():
    player = play("""
        second | said                 | events     | condition | due
        0      | raise 1              | raised     | active    | 600
        10     | resolve ann dismissed | closed    | closed    |
        20     | level 1              | -          | closed    |
        900    | due                  | -          | closed    |
        1000   | due                  | raised@910 | active    | 1510
    """)
    first, _, second = player.events
    assert second.alarm_id == "p-1:spo2-low:910000000000" != first.alarm_id
    assert second.cause == "still so 15 min after ann closed it"


def test_after_a_person_closed_it_something_worse_raises_at_once():
    play("""
        second | said                  | events | condition | priority
        0      | raise 1               | raised | active    | medium
        10     | resolve ann dismissed | closed | closed    |
        20     | level 2               | raised | active    | high
    """)


def test_after_a_return_a_new_occurrence_raises_at_once():
    play("""
        second | said                  | events | condition
        0      | raise 1               | raised | active
        10     | resolve ann confirmed | closed | closed
        20     | return                | -      | closed
        30     | raise 1               | raised | active
        40     | resolve ann confirmed | closed | closed
        45     | return                | -      | closed
        9999   | due                   | -      | closed
    """)


def test_silence_in_the_refractory_time_is_no_return_and_no_alarm_either():
    play("""
        second | said                  | events      | condition
        0      | raise 1               | raised      | active
        10     | resolve ann confirmed | closed      | closed
        20     | silent 5              | -           | closed
        5000   | due                   | -           | closed
        5001   | heard                 | -           | closed
        5060   | due                   | -           | closed
        5070   | due                   | raised@5061 | active
    """)


def test_what_an_expectation_closed_still_raises_again_if_the_judges_never_saw_a_return():
    play("""
        second | said                     | events     | condition
        0      | raise 1                  | raised     | active
        10     | expect ann 1200 above 92 | expecting  | active
        50     | value 93                 | closed     | closed
        1000   | due                      | raised@950 | active
    """)


def test_a_missed_event_is_over_when_it_is_told_and_closes_when_it_was_reviewed():
    play(
        """
        second | said    | events              | condition | attention      | due  | priority
        0      | raise 1 | raised              | returned  | unacknowledged | 3600 | low
        60     | raise 1 | recurred            | returned  | unacknowledged | 3600 | low
        90     | ack ann | acknowledged closed | closed    |                |      |
    """,
        rule="missed-spo2-low",
    )


def test_a_discharge_closes_all_of_a_patient_in_somebodys_name():
    player = play("""
        second | said          | events | condition
        0      | raise 1       | raised | active
        10     | discharge ann | closed | closed
        9000   | due           | -      | closed
    """)
    assert (player.events[-1].by, player.events[-1].state["outcome"]) == ("ann", "discharged")


def test_a_command_given_in_sight_of_less_is_refused():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    player.say(10, "level 2")
    (refused,) = player.say(20, "ack ann", seen=1)
    assert refused.event == "command_refused"
    assert refused.cause == "it has become worse since it was seen: look again"
    assert refused.state["n"] == 2
    (done,) = player.say(30, "ack ann", seen=2)
    assert done.event == "acknowledged"
    player.say(40, "shelve ann 60")  # refused: high
    (told,) = player.say(50, "silent 5")
    assert told.n == 4
    # Something that is not worse does not make a command old.
    assert [e.event for e in player.say(60, "ack ann", seen=2)] == ["acknowledged"]


def test_unshelving_is_never_refused_for_being_late():
    player = Player("temp-high")
    player.say(0, "raise 1")
    player.say(10, "shelve ann 600")
    player.say(20, "silent 5")
    assert [e.event for e in player.say(30, "unshelve ann", seen=0)] == ["unshelved"]


REFUSED = [
    ({"action": "shelve", "until_ns": 5000 * SECOND_NS}, "a shelf needs a reason"),
    ({"action": "shelve", "reason": "  ", "until_ns": 5000 * SECOND_NS}, "a shelf needs a reason"),
    ({"action": "shelve", "reason": "x"}, "a shelf needs an end that lies ahead"),
    ({"action": "shelve", "reason": "x", "until_ns": 5 * SECOND_NS}, "a shelf needs an end that lies ahead"),
    (
        {"action": "shelve", "reason": "x", "until_ns": 5000 * SECOND_NS, "bound": 80.0},
        "a bound and its direction go together",
    ),
    ({"action": "unshelve"}, "it is not shelved"),
    ({"action": "expect"}, "an expectation needs a time within which it is to be met"),
    ({"action": "expect", "within_ns": 9, "direction": "above"}, "a bound and its direction go together"),
    ({"action": "resolve"}, "an outcome is needed: confirmed, dismissed or duplicate"),
    (
        {"action": "acknowledge", "alarm_id": "p-1:spo2-low:1"},
        "no open alarm of this name: it has closed, or there never was one",
    ),
    (
        {"action": "acknowledge", "alarm_id": "nonsense"},
        "no open alarm of this name: it has closed, or there never was one",
    ),
    (
        {"action": "acknowledge", "patient": "p-2"},
        "no open alarm of this name: it has closed, or there never was one",
    ),
]


@pytest.mark.parametrize("said, reason", REFUSED)
def test_what_cannot_be_done_is_answered_with_the_reason(said, reason):
    player = Player("spo2-low")
    player.say(0, "raise 1")
    before = player.book.to_state()["alarms"]
    fields = {"command_id": "c-9", "patient": PATIENT, "alarm_id": player.alarm_id, "by": "ann"} | said
    (refused,) = player.book.command(Command(**fields), 10 * SECOND_NS)
    assert (refused.event, refused.cause, refused.command_id) == ("command_refused", reason, "c-9")
    assert refused.event_id == f"{fields['patient']}:command:c-9:1"
    assert player.book.to_state()["alarms"] == before


def test_a_command_about_a_closed_alarm_says_who_closed_it():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    player.say(10, "resolve ann duplicate")
    (refused,) = player.say(20, "ack bob")
    assert refused.cause == "closed by ann"
    assert refused.state["closed"] is True


def test_the_same_command_twice_does_nothing_the_second_time_for_a_day():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    command = Command(command_id="c", patient=PATIENT, alarm_id=player.alarm_id, action="acknowledge", by="ann")
    assert len(player.book.command(command, 10)) == 1
    assert player.book.command(command, 20) == []
    state = player.book.to_state()
    assert state["commands"] == [["c", 10]]
    player.book.advance(25 * HOUR_NS)
    assert player.book.to_state()["commands"] == []


def test_a_closed_alarm_is_forgotten_after_a_day():
    player = Player("anomaly")
    player.say(0, "raise 1")
    player.say(10, "return")
    assert len(player.book.to_state()["alarms"]) == 1
    player.book.advance(24 * HOUR_NS + 10 * SECOND_NS)
    assert player.book.to_state()["alarms"] == []
    assert player.book.next_due_ns() is None


def test_each_device_has_an_alarm_of_its_own_where_the_rule_says_so():
    book = Book()
    (one,) = book.signal(PATIENT, "device-silent", Raise(at_ns=5, cause="silent", device="oxi-1"))
    (two,) = book.signal(PATIENT, "device-silent", Raise(at_ns=5, cause="silent", device="cuff"))
    assert [one.alarm_id, two.alarm_id] == ["p-1:device-silent@oxi-1:5", "p-1:device-silent@cuff:5"]
    assert (one.rule, one.device) == ("device-silent", "oxi-1")
    assert key_of(one.alarm_id) == (PATIENT, "device-silent", "oxi-1")
    events = book.signal(PATIENT, "device-silent", Return(at_ns=9, device="cuff"))
    assert [(e.event, e.device) for e in events] == [("returned", "cuff"), ("closed", "cuff")]
    assert [a.device for a in book.open_alarms(PATIENT)] == ["oxi-1"]
    assert book.active(PATIENT, "device-silent", "oxi-1")
    with pytest.raises(BookError, match="names none"):
        book.signal(PATIENT, "device-silent", Raise(at_ns=5, cause="silent"))


def test_a_signal_for_no_rule_is_an_error_that_names_it():
    with pytest.raises(BookError, match="no-such-rule"):
        Book().signal(PATIENT, "no-such-rule", Heard(at_ns=0))


def test_signals_about_nothing_do_nothing():
    book = Book()
    for signal in (Return(at_ns=1), Silent(since_ns=0, at_ns=1), Heard(at_ns=1)):
        assert book.signal(PATIENT, "spo2-low", signal) == []
    assert book.value(PATIENT, Value(measure=Measure.SPO2, value=80, time_ns=1)) == []
    assert book.to_state()["alarms"] == []


def test_two_alarms_of_one_rule_never_share_a_name():
    book = Book()
    (first,) = book.signal(PATIENT, "anomaly", Raise(at_ns=7, cause="a"))
    book.signal(PATIENT, "anomaly", Return(at_ns=7))
    (second,) = book.signal(PATIENT, "anomaly", Raise(at_ns=7, cause="b"))
    assert (first.alarm_id, second.alarm_id) == ("p-1:anomaly:7", "p-1:anomaly:8")
    assert second.at_ns == 7


def test_an_event_is_never_earlier_than_its_evidence():
    book = Book()
    late = (Evidence(sign="spo2", value=80.0, time_ns=90),)
    (event,) = book.signal(PATIENT, "spo2-low", Raise(at_ns=50, cause="x", evidence=late))
    assert event.at_ns == 90


def test_things_fall_due_in_time_order_over_all_alarms():
    book = Book()
    for patient, at in (("p-2", 30), ("p-1", 10), ("p-3", 20)):
        (raised,) = book.signal(patient, "spo2-low", Raise(at_ns=at, cause="x"))
        fields = {"command_id": patient, "patient": patient, "alarm_id": raised.alarm_id, "by": "ann"}
        book.command(Command(action="acknowledge", **fields), at)
    assert book.next_due_ns() == 30 * MINUTE_NS + 10
    events = book.advance(HOUR_NS)
    assert [(e.patient, e.at_ns - 30 * MINUTE_NS) for e in events] == [("p-1", 10), ("p-3", 20), ("p-2", 30)]


def test_the_ward_is_told_cheaply_which_readings_somebody_waits_for():
    player = Player("spo2-low")
    version = player.book.watch_version
    player.say(0, "raise 1")
    player.say(10, "ack ann")
    assert (player.book.watch_version, player.book.watched()) == (version, [])
    player.say(20, "expect ann 600 above 92")
    assert player.book.watch_version != version
    assert player.book.watched() == [(PATIENT, Measure.SPO2)]
    assert player.book.watching(PATIENT, Measure.SPO2)
    assert not player.book.watching(PATIENT, Measure.RATE)
    restored = Book.from_state(player.book.to_state())
    assert restored.watched() == player.book.watched()


def test_a_book_of_another_form_or_an_unknown_rule_is_not_read():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    state = player.book.to_state()
    with pytest.raises(BookError, match="form 99"):
        Book.from_state(state | {"state_version": 99})
    with pytest.raises(BookError, match="no rule 'spo2-low'"):
        Book.from_state(state, {})


def test_a_step_needs_nothing_but_its_arguments():
    rule = RULES["spo2-low"]
    alarm, events = step(None, Raise(at_ns=5, cause="x"), 0, rule, patient="p-9", version="v")
    assert alarm is not None
    assert (alarm.alarm_id, events[0].rule_version, alarm.n) == ("p-9:spo2-low:5", "v", 1)
    again, none = step(alarm, Heard(at_ns=6), 0, rule)
    assert (again, none) == (alarm, ())


def test_an_event_keeps_its_words_through_json():
    book = Book()
    score = ScoreEvidence(name="news2", low=7, high=9, missing=("temperature",), parts={"respiration": 3.0})
    (event,) = book.signal(PATIENT, "news2", Raise(at_ns=5, cause="NEWS2 7", level=2, score=score, delayed=True))
    assert event.rule_version == RULES_VERSION
    assert event_decoder.decode(event_encoder.encode(event)) == event
    assert (event.priority, event.delayed, event.level) == (Priority.HIGH, True, 2)


def test_a_fold_takes_no_event_twice_and_opens_nothing_that_has_closed():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    player.say(10, "silent 5")
    player.say(15, "ack ann")
    state = Fold()
    assert [state.apply(e) for e in player.events] == [True, True, True]
    (alarm,) = state.open.values()
    assert (alarm.why, alarm.last, alarm.n, alarm.raised_ns) == ("at 1", "acknowledged", 3, 0)
    assert alarm.evidence[0].device == "oxi-1"
    player.say(20, "return")
    assert [state.apply(e) for e in player.events] == [False] * 3 + [True] * 3
    assert state.open == {}
    assert [state.apply(e) for e in player.events[1:]] == [False] * 5


def test_a_page_shows_the_worst_first():
    book = Book()
    events = []
    for patient, level, at in (("a", 1, 1), ("b", 2, 5), ("c", 1, 0), ("d", 1, 0)):
        events += book.signal(patient, "spo2-low", Raise(at_ns=at, cause="x", level=level))
    fields = {"command_id": "1", "patient": "c", "alarm_id": "c:spo2-low:0", "by": "ann"}
    events += book.command(Command(action="acknowledge", **fields), 6)
    assert [a.patient for a in worst_first(fold(events).values())] == ["b", "d", "a", "c"]


def test_states_are_values():
    player = Player("spo2-low")
    player.say(0, "raise 1")
    (alarm,) = player.book.open_alarms()
    with pytest.raises(AttributeError):
        alarm.level = 3
    assert msgspec.convert(msgspec.to_builtins(alarm), type(alarm)) == alarm


DOC = (pathlib.Path(__file__).parents[2] / "docs" / "alarms.md").read_text()


def test_the_docs_show_an_event_as_the_encoder_writes_it():
    shown = re.search(r"```json\n(.*?)```", DOC, re.DOTALL)
    assert shown is not None
    event = event_decoder.decode(shown[1].encode())
    assert json.loads(event_encoder.encode(event)) == json.loads(shown[1])
    (told,) = Book().signal(
        "p-7",
        "spo2-low",
        Raise(at_ns=event.at_ns, cause=event.cause, level=event.level, evidence=event.evidence),
    )
    assert told == event


def test_the_docs_tell_every_word_and_no_other():
    words = DOC.split("## The words")[1].split("What is closed")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", words, re.MULTILINE) == list(get_args(EventName))
