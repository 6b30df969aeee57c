"""NEWS2 over time: minutes of frames, the five-minute delay, missing inputs (see tests/spec/conftest.py)."""

from __future__ import annotations

WELL = {"hr": 70, "spo2": 97, "resp": 15, "temp_c": 36.8, "sbp": 120, "consciousness": "A", "oxygen": 0}


def test_somebody_well_raises_nothing(play):
    events = play(
        """
        second | spo2 | news2 | news2-single
        0      | 97   | -     | -
        1200   |      | - x0  | - x0
        """,
        **WELL,
    )
    assert not [e for e in events if e.kind == "physiological"]
    assert not [e for e in events if e.rule.startswith("observe-")]


def test_five_points_for_five_minutes_are_medium(play):
    events = play(
        """
        second | resp | spo2 | hr  | news2
        0      | 15   | 97   | 70  | -
        60     | 22   | 93   | 100 | pending
        419    |      |      |     | pending
        420    |      |      |     | active medium unacknowledged
        """,
        **WELL,
    )
    raised = next(e for e in events if e.rule == "news2")
    assert (raised.score.low, raised.score.high, raised.score.missing) == (5, 5, ())
    assert raised.cause == "NEWS2 5: oxygen saturation 2, respiration 2, heart rate 1"


def test_five_points_for_a_run_to_the_bus_are_nothing(play):
    play(
        """
        second | resp | spo2 | hr  | news2
        0      | 15   | 97   | 70  | -
        60     | 22   | 93   | 100 | pending
        300    | 15   | 97   | 70  | pending
        1200   |      |      |     | - x0
        """,
        **WELL,
    )


def test_seven_points_are_high_and_worse_than_five(play):
    play(
        """
        second | resp | spo2 | hr  | temp_c | sbp | say     | news2
        0      | 22   | 93   | 100 | 36.8   | 120 |         | -
        360    |      |      |     |        |     |         | active medium
        400    |      |      |     |        |     | ack ann | acknowledged
        600    |      |      |     | 38.5   | 105 |         | active medium acknowledged
        959    |      |      |     |        |     |         | active medium acknowledged
        960    |      |      |     |        |     |         | active high unacknowledged worsened!
        """,
        **WELL,
    )


def test_seven_points_at_once_are_raised_once(play):
    play(
        """
        second | resp | spo2 | hr  | temp_c | sbp | news2
        0      | 22   | 93   | 100 | 38.5   | 105 | -
        360    |      |      |     |        |     | active high n1
        """,
        **WELL,
    )


def test_one_parameter_of_three_points_is_medium(play):
    events = play(
        """
        second | resp | news2-single | news2
        0      | 15   | -            | -
        60     | 25   | pending      | -
        420    |      | active       | - x0
        600    | 24   | active       | -
        1020   |      | returned     | -
        """,
        **WELL,
    )
    assert next(e for e in events if e.rule == "news2-single").cause == "3 points for respiration; NEWS2 3"


def test_new_confusion_alone_is_three_points(play):
    play(
        """
        second | consciousness | news2-single
        0      | A             | -
        60     | C             | pending
        420    |               | active medium
        """,
        **WELL,
    )


def test_a_lower_bound_that_reaches_the_threshold_raises_whatever_is_missing(play):
    play(
        """
        second | resp | spo2 | hr  | news2  | observe-consciousness
        0      | 25   | 93   | 100 |        |
        360    |      |      |     | active |
        900    |      |      |     | active | - x0
        """,
        oxygen=0,
    )


def test_what_cannot_be_excluded_asks_for_the_missing_observation_and_pages_nobody(play):
    events = play(
        """
        second | consciousness | oxygen | news2 | observe-consciousness | observe-oxygen
        0      | -             | -      | -     | -                     | -
        599    |               |        | -     | -                     | -
        600    |               |        | - x0  | active low            | active low
        700    | A             |        | -     | active                | active
        720    |               |        | -     | closed                | closed
        900    |               |        | - x0  | closed x1             | closed x1
        """,
        hr=100, spo2=94, resp=15, temp_c=36.8, sbp=120,
    )  # fmt: skip
    assert not [e for e in events if e.kind == "physiological"]


def test_a_raised_score_whose_inputs_are_gone_is_unobserved_and_never_returns(play):
    play(
        """
        second | resp | spo2 | hr  | news2
        0      | 22   | 93   | 100 | -
        360    |      |      |     | active observed
        400    | -    | -    | -   | active observed
        600    |      |      |     | active unobserved
        1800   |      |      |     | active unobserved
        1860   | 15   | 97   | 70  |
        1980   |      |      |     | active observed
        2220   |      |      |     | returned
        """,
        **WELL,
    )
