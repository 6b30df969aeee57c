"""Stories: what is due is reached and held, from what the needed devices tell alone; what is harmless stays so."""

from __future__ import annotations

import numpy as np
import pytest
from test_bodies import SIGN_OF, STEP_NS, news2, people

from device_sim.bodies import Bodies, Drive
from device_sim.stories import SETTLE_NS, STORIES, Courses, Story
from vitals import scores
from vitals.reading import BoolArray, FloatArray
from vitals.rules import RULES
from vitals.signs import MINUTE_NS, N_MEASURES, SECOND_NS, Measure, Sign

N = 40
HELD = 6  # minutes in a row: five of persistence and the one it began in
ILL = [name for name, row in STORIES.items() if row.expects_alarm]
HARMLESS = [name for name, row in STORIES.items() if not row.expects_alarm]


def told(name: str, *, hours: int, severity: float = 1.0, start_h: float = 8.0) -> tuple[Story, FloatArray]:
    """A story told to forty people at once, an hour after the start."""
    who = people(N, seed=9)
    stories = [Story(p.patient, name, 60 * MINUTE_NS, severity=severity) for p in who]
    courses = Courses([p.patient for p in who], stories, STEP_NS)
    body = Bodies(who, seed=9, step_ns=STEP_NS, start_h=start_h, drives=courses)
    return stories[0], body.run(hours * 240)


def alarming(signs: FloatArray, needs: tuple[Measure, ...]) -> BoolArray:
    """Whether NEWS2 from these measures alone is 5 or has a single 3, for each minute and person."""
    minutes = np.median(signs[: len(signs) // 4 * 4].reshape(-1, 4, *signs.shape[1:]), axis=1)
    value = np.full((*minutes.shape[:2], N_MEASURES), np.nan)
    for measure in needs:
        value[..., measure] = minutes[..., SIGN_OF[measure]]
    scored = scores.score(value.reshape(-1, N_MEASURES), np.ones(minutes.shape[0] * N, np.int64))
    held = (scored.low[:, 0] >= 5) | (scored.part_low.max(axis=1) >= 3)
    return held.reshape(minutes.shape[:2])


@pytest.mark.parametrize("name", ILL)
@pytest.mark.parametrize("severity, start_h", [(0.95, 20.0), (1.0, 8.0), (1.15, 14.0)])
def test_every_illness_is_reached_and_held_by_the_time_its_alarm_is_due(
    name: str, severity: float, start_h: float
) -> None:
    story, signs = told(name, hours=5, severity=severity, start_h=start_h)
    due = story.due_ns(0)
    assert due is not None
    held = alarming(signs, story.row.needs)
    by = (due - 2 * MINUTE_NS) // MINUTE_NS  # two minutes remain for the frame to close and the alarm to come
    for person in range(N):
        runs = np.convolve(held[:by, person], np.ones(HELD, int))
        assert (runs >= HELD).any(), f"{name}: person {person} is not held by minute {by}"
    assert held[by:].mean() > 0.98, "and it goes on"


@pytest.mark.parametrize("name", ILL)
def test_no_illness_shows_before_it_begins(name: str) -> None:
    story, signs = told(name, hours=2)
    before = signs[: int(story.at_ns // STEP_NS)]
    assert not alarming(before, story.row.needs).any()


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_story_never_holds_long_enough_for_an_alarm(name: str) -> None:
    _, signs = told(name, hours=8)
    total, single = news2(signs)
    bad = (total >= 5) | (single >= 3)
    longest = max(
        len(max("".join("x" if b else " " for b in bad[:, p]).split(), default="", key=len)) for p in range(N)
    )
    assert longest < 5
    for rule in RULES.values():
        if rule.subject == "limit" and rule.measure in SIGN_OF and rule.bands[0].priority != "low":
            value = signs[..., SIGN_OF[rule.measure]]
            over = value >= rule.bands[0].threshold if rule.direction == "above" else value <= rule.bands[0].threshold
            assert over.mean() < 0.001, rule.id


def test_a_run_for_the_bus_takes_the_heart_to_150_for_three_minutes_and_is_over_after_eight() -> None:
    story, signs = told("bus", hours=2)
    hr = np.median(signs[..., Sign.HR], axis=1)
    start = int(story.at_ns // STEP_NS)
    assert 148 <= hr[start + 3 : start + 12].mean() <= 162
    assert hr[start + 32 :].max() < 95
    assert story.end_ns == story.at_ns + 8 * MINUTE_NS


def test_a_fever_that_passes_goes_to_about_38_6_and_back() -> None:
    _, signs = told("fever", hours=8)
    temp = signs[..., Sign.TEMP_C]
    assert 38.2 <= np.median(temp.max(axis=0)) <= 38.7
    assert temp.max() <= 38.9
    assert temp[-60:].max() < 37.6


def test_sepsis_ends_in_confusion_and_respiratory_failure_in_oxygen() -> None:
    story, signs = told("sepsis", hours=8)
    confused_from = int((story.at_ns + 300 * MINUTE_NS) // STEP_NS)
    assert (signs[: confused_from - 4, :, Sign.CONSCIOUSNESS] == 0).all()
    assert (signs[confused_from + 4 :, :, Sign.CONSCIOUSNESS] >= 1).all()
    _, signs = told("respiratory-failure", hours=4)
    assert signs[-1, :, Sign.OXYGEN].all()
    assert signs[-60:, :, Sign.SPO2].max() < 96


def test_tempo_shortens_the_course_but_not_the_time_an_alarm_needs() -> None:
    slow, fast = Story("p-1", "sepsis", 0), Story("p-1", "sepsis", 0, tempo=2.0)
    assert fast.onset_ns * 2 == slow.onset_ns
    due_slow, due_fast = slow.due_ns(MINUTE_NS), fast.due_ns(MINUTE_NS)
    assert due_slow is not None
    assert due_fast is not None
    fixed = SETTLE_NS + MINUTE_NS
    assert due_slow - slow.onset_ns - fixed == 2 * (due_fast - fast.onset_ns - fixed)


def test_stories_of_one_patient_add_up_and_touch_nobody_else() -> None:
    stories = [Story("a", "fever", 0), Story("a", "bus", 100 * MINUTE_NS)]
    drives = Courses(["a", "b"], stories, 15 * SECOND_NS)(408, 8)  # 102 to 104 minutes
    assert drives[0, 0, Drive.FEVER] == pytest.approx(1.6)
    assert drives[0, 0, Drive.EXERTION] == 1.0
    assert not drives[:, 1].any()


def test_every_family_of_a_story_is_the_beginning_of_a_rule() -> None:
    beginnings = {rule.split("-", 1)[0] for rule in RULES}
    for row in STORIES.values():
        assert set(row.families) <= beginnings
