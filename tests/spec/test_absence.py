"""What happens when data stop, come late, or are poor: never recovery (see tests/spec/conftest.py)."""

from __future__ import annotations


def test_when_its_input_falls_silent_an_alarm_stays_and_says_since_when(play):
    events = play("""
        second | spo2 | hr | spo2-low
        0      | 84   | 70 | pending
        60     |      |    | active observed
        100    | -    |    | active observed
        209    |      |    | active observed
        210    |      |    | active unobserved
        900    |      |    | active unobserved
        910    | 84   |    | active observed
        960    | 97   |    | active
        1020   |      |    | returned
    """)
    since = next(e for e in events if e.event == "unobserved").state["unobserved_since_ns"]
    raised = next(e for e in events if e.event == "raised").at_ns
    assert since - raised == 30_000_000_000  # its last reading: second 90, half a minute after it was raised


def test_back_after_a_silence_it_must_be_back_through_the_whole_hysteresis(play):
    play("""
        second | spo2 | hr | spo2-low
        0      | 84   | 70 | pending
        60     |      |    | active
        70     | 97   |    | active
        100    | -    |    | active
        400    |      |    | unobserved
        410    | 97   |    | active observed
        469    |      |    | active
        470    |      |    | returned
    """)


def test_a_device_that_falls_silent_and_is_heard_again(play):
    play("""
        second | spo2 | say    | device-silent
        0      | 97   |        | -
        100    |      | silent | -
        119    |      |        | -
        120    |      |        | active low
        990    |      |        | active medium
        1200   |      | speak  | closed
        1300   |      |        | closed x1
    """)


def test_a_poor_signal_is_the_sensors_alarm_and_nobodys_recovery(play):
    play("""
        second | spo2 | say  | spo2-low          | sensor-off-spo2
        0      | 84   |      | pending           | -
        60     |      |      | active            | -
        70     | 97   | poor | active            | -
        179    |      |      | active observed   | -
        180    |      |      | active unobserved | -
        240    |      |      | active unobserved | active low
        310    | 97   | good | active observed   | active
        370    |      |      | returned          |
        420    |      |      | returned          | closed
    """)


def test_what_was_sent_late_is_a_missed_event_and_pages_nobody(play):
    events = play("""
        second | spo2 | say     | spo2-low | missed-spo2-low
        0      | 97   |         | -        | -
        60     | 84   | offline | -        | -
        119    |      |         | -        | -
        120    |      |         | -        | returned low unacknowledged
        200    | 97   |         | -        |
        400    |      | online  | -        |
        500    |      |         | - x0     | x1 n1
    """)
    missed = next(e for e in events if e.rule == "missed-spo2-low")
    assert missed.cause.startswith("sent late: ")


def test_a_paused_patients_silence_is_no_alarm(play):
    play("""
        second | spo2 | say           | device-silent
        0      | 97   |               | -
        100    |      | silent        | -
        105    |      | pause ann     | -
        900    |      |               | - x0
    """)


def test_a_pause_that_ends_lets_silence_speak_again(play):
    play("""
        second | spo2 | say           | device-silent
        0      | 97   |               | -
        100    |      | silent        | -
        105    |      | pause ann 600 | -
        704    |      |               | -
        705    |      |               | active low
    """)


def test_pausing_ends_an_alarm_about_silence(play):
    play("""
        second | spo2 | say       | device-silent
        0      | 97   |           | -
        100    |      | silent    | -
        120    |      |           | active
        200    |      | pause ann |
        300    |      |           | closed
    """)


def test_a_paused_patient_who_is_ill_still_pages(play):
    play("""
        second | spo2 | say       | spo2-low
        0      | 97   | pause ann | -
        100    | 84   |           | pending
        160    |      |           | active high
    """)


def test_a_discharge_closes_everything_and_nothing_is_raised_after_it(play):
    events = play("""
        second | spo2 | hr  | say           | spo2-low      | rate-high
        0      | 84   | 170 |               | pending       | pending
        50     |      | 195 |               | pending       | pending
        60     |      |     |               | active        | active
        70     |      |     | discharge ann | closed        | closed
        600    |      |     |               | closed x1     | closed x1
    """)
    assert {e.by for e in events if e.event == "closed"} == {"ann"}


def test_what_is_pending_at_a_discharge_is_forgotten(play):
    play(
        """
        second | nibp_sbp | say           | sbp-low
        0      | 66       |               | pending
        30     |          | discharge ann | pending
        300    |          |               | - x0
        310    | 66       | admit ann     | pending
        369    | -        |               | pending
        370    |          |               | active
        """,
        period_s=3600,
    )


def test_a_device_that_goes_to_somebody_else_takes_its_silence_along(play):
    play("""
        second | spo2 | say    | device-silent
        0      | 97   |        | -
        100    |      | silent | -
        120    |      |        | active
        200    |      | move   | closed
        300    |      |        | closed x1
    """)
