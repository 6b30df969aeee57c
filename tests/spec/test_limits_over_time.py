"""Limits of one sign over time: delay, hysteresis, bands, latching, what people say (see tests/spec/conftest.py)."""

from __future__ import annotations


def test_an_alarm_waits_for_persistence(play):
    play("""
        second | spo2 | spo2-low
        0      | 87   | pending
        59     | 87   | pending
        60     | 87   | active medium unacknowledged
    """)


def test_a_dip_shorter_than_the_delay_reaches_nobody(play):
    play("""
        second | spo2 | spo2-low
        0      | 84   | pending
        50     | 97   | pending
        100    | 84   | pending
        150    | 97   | pending
        300    |      | - x0
    """)


def test_it_returns_only_past_the_margin_and_through_the_hysteresis(play):
    play("""
        second | spo2 | spo2-low
        0      | 87   | pending
        60     |      | active
        100    | 88   | active
        300    | 89   | active
        400    | 90   | active
        459    |      | active
        460    |      | returned unacknowledged
    """)


def test_a_latched_alarm_that_returned_stays_until_it_is_acknowledged(play):
    play("""
        second | spo2 | say     | spo2-low
        0      | 84   |         | pending
        60     |      |         | active high
        100    | 97   |         | active
        160    |      |         | returned unacknowledged
        600    |      |         | returned unacknowledged
        700    |      | ack ann | closed
    """)


def test_acknowledged_before_it_returned_it_closes_with_the_return(play):
    play("""
        second | spo2 | say     | spo2-low
        0      | 84   |         | pending
        60     |      |         | active
        90     |      | ack ann | active acknowledged
        100    | 97   |         | active acknowledged
        160    |      |         | closed
    """)


def test_an_acknowledgement_lasts_ten_minutes_at_high_priority(play):
    play("""
        second | spo2 | say     | spo2-low
        0      | 84   |         | pending
        60     |      |         | active high
        90     |      | ack ann | acknowledged
        689    |      |         | active acknowledged
        690    |      |         | active unacknowledged acknowledgement_expired!
    """)


def test_the_same_alarm_recurs(play):
    play("""
        second | spo2 | spo2-low
        0      | 84   | pending
        60     |      | active n1
        100    | 97   | active
        160    |      | returned n2
        200    | 84   | returned
        260    |      | active unacknowledged n3 x1
    """)


def test_after_it_closed_it_is_another_alarm(play):
    play("""
        second | spo2 | say     | spo2-low
        0      | 84   |         | pending
        60     |      |         | active
        90     |      | ack ann | acknowledged
        100    | 97   |         | acknowledged
        160    |      |         | closed x1
        200    | 84   |         | closed x1
        260    |      |         | active unacknowledged x2
    """)


def test_worse_through_the_bands_and_an_acknowledgement_no_longer_covers_it(play):
    play("""
        second | hr  | say     | rate-high
        0      | 172 |         | pending
        60     |     |         | active medium
        70     |     | ack ann | acknowledged
        100    | 195 |         | active medium acknowledged
        159    |     |         | active medium acknowledged
        160    |     |         | active high unacknowledged worsened!
        200    | 172 |         | active high
    """)


def test_three_bands_of_fever(play):
    play("""
        second | temp_c | temp-high
        0      | 39.1   | pending
        599    |        | pending
        600    |        | active low
        700    | 41     | active low
        1300   |        | active medium
        1400   | 42     | active medium
        2000   |        | active high
    """)


def test_a_patients_own_limit_comes_and_goes(play):
    play("""
        second | spo2 | say               | spo2-low
        0      | 91   |                   | -
        100    |      |                   | -
        110    |      | limit spo2-low 92 | pending
        170    |      |                   | active medium
    """)
    play("""
        second | spo2 | say               | spo2-low
        0      | 86   | limit spo2-low 84 | -
        300    |      |                   | -
        310    |      | limit spo2-low -  | pending
        370    |      |                   | active medium
    """)


def test_an_hourly_cuffs_value_needs_no_second_reading(play):
    play(
        """
        second | nibp_sbp | sbp-low
        0      | 66       | pending
        59     | -        | pending
        60     |          | active high
        """,
        period_s=3600,
    )


def test_a_shelf_is_off_the_phone_until_its_end(play):
    play("""
        second | hr  | say               | rate-high
        0      | 172 |                   | pending
        60     |     |                   | active on-phone
        100    |     | shelve ann 600    | active shelved
        699    |     |                   | active shelved
        700    |     |                   | active on-phone unshelved!
    """)


def test_a_value_past_its_bound_breaks_a_shelf(play):
    play("""
        second | hr  | say                         | rate-high
        0      | 172 |                             | pending
        60     |     |                             | active
        100    |     | shelve ann 1800 above 180   | shelved
        200    | 179 |                             | shelved
        250    | 180 |                             | active on-phone unshelved!
    """)


def test_something_worse_breaks_a_shelf(play):
    play("""
        second | hr  | say               | rate-high
        0      | 172 |                   | pending
        60     |     |                   | active
        100    |     | shelve ann 1800   | shelved
        200    | 195 |                   | shelved
        260    |     |                   | active high on-phone worsened!
    """)


def test_an_expectation_that_is_met_closes_it(play):
    play("""
        second | spo2 | say                        | spo2-low
        0      | 84   |                            | pending
        60     |      |                            | active
        100    |      | expect ann 1200 above 92   | active expecting acknowledged
        300    | 91   |                            | expecting
        350    | 92   |                            | closed
    """)


def test_an_expectation_that_is_missed_raises_it_again(play):
    play("""
        second | spo2 | say                       | spo2-low
        0      | 84   |                           | pending
        60     |      |                           | active
        100    |      | expect ann 600 above 92   | expecting
        699    |      |                           | expecting
        700    |      |                           | active unacknowledged raised! x1
    """)


def test_who_resolves_it_closes_it_and_it_raises_again_after_the_refractory_time(play):
    play("""
        second | spo2 | say                   | spo2-low
        0      | 86   |                       | pending
        60     |      |                       | active
        100    |      | resolve ann dismissed | closed x1
        900    |      |                       | closed x1
        999    |      |                       | closed x1
        1000   |      |                       | active unacknowledged x2
    """)


def test_what_is_worse_than_what_was_resolved_raises_at_once(play):
    play("""
        second | spo2 | say                   | spo2-low
        0      | 86   |                       | pending
        60     |      |                       | active medium
        100    |      | resolve ann dismissed | closed x1
        120    | 84   |                       | closed x1
        180    |      |                       | active high x2
    """)


def test_commands_that_cannot_be_done_are_refused(play):
    events = play(
        """
        second | spo2 | say               | spo2-low
        0      | 84   |                   | pending
        60     |      |                   | active high
        70     |      | shelve ann 600    | active on-phone refused
        80     |      | ack ann other     | active unacknowledged refused
        90     |      | resolve ann -     | active refused
    """.replace("resolve ann -", "expect ann 0")
    )
    reasons = [e.cause for e in events if e.event == "command_refused"]
    assert reasons == [
        "spo2-low cannot be shelved at high priority",
        "no open alarm of this name: it has closed, or there never was one",
        "an expectation needs a time within which it is to be met",
    ]


def test_a_command_about_what_has_become_worse_since_is_refused(play):
    play("""
        second | hr  | say            | rate-high
        0      | 172 |                | pending
        60     |     |                | active medium n1
        70     | 195 |                | active
        130    |     |                | active high n2
        140    |     | ack ann seen 1 | active unacknowledged refused
        150    |     | ack ann seen 2 | active acknowledged
    """)
