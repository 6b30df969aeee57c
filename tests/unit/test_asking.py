"""A detector that is late, falls over or gives nonsense: scores and limits go on, the frame says so, an alarm too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.wards import SentBundle, admitted, block, ns
from vitals.asking import Absence
from vitals.detector import Scored
from vitals.ewma import Ewma
from vitals.log import Outage, Tick
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.ward import Plugged, Ward, WardSettings

WELL = {"hr": 72.0, "spo2": 97.0, "resp": 15.0, "temp_c": 36.8, "sbp": 122.0, "consciousness": 0.0, "oxygen": 0.0}
ILL = WELL | {"resp": 26.0, "hr": 134.0, "spo2": 90.0}


class Told:
    """A detector that says what a test wants of each frame: a number, or a fault."""

    name, version, grid_ns, warm_up, parts, threshold = "told", "1", MINUTE_NS, 3, ("it",), 0.5

    def __init__(self, said):
        self.said, self.asked = said, []

    def start(self, rows):
        return {"frames": np.zeros(rows, np.int64)}

    def step(self, frames, state):
        minute = (frames.end_ns - ns(0)) // MINUTE_NS
        self.asked.append(minute)
        say = self.said(minute)
        if say == "raise":
            raise RuntimeError("a model broke")
        n = len(frames.value) + (1 if say == "shape" else 0)
        score = np.full(n, {"nan": np.nan, "outside": 1.5}.get(say, say if isinstance(say, float) else 0.1))
        part = np.full(n, -1 if say == "absent" else 0, np.int64)
        if say == "absent":
            score[:] = np.nan
        failed = np.full(n, True) if say == "failed" else None
        return Scored(score, part, np.full(n, -1, np.int64), failed), {"frames": state["frames"] + 1}


def ward(detector, after_s=0):
    settings = WardSettings(detectors_after_ns=after_s * SECOND_NS)
    return Ward(settings, detectors=(Plugged(detector, "anomaly"), Plugged(Ewma(), None)))


def minute(w, k, values=WELL):
    """One bundle a minute, at its second 30, and ticks through the end of the minute's frame."""
    bundle = SentBundle("dev", "p", k, 60 * k + 30, [(s, v, 60 * k + 30) for s, v in values.items()])
    events, frames = [], []
    for record in (block([bundle]), *(Tick(now_ns=ns(60 * k + s)) for s in (40, 71, 73, 80))):
        out = w.step(record)
        events += out.events
        frames += out.frames
    return events, frames


def begin(w):
    for record in admitted("p", {"dev": 60.0}):
        w.step(record)
    w.step(Tick(now_ns=ns(10)))
    return w


def play(w, minutes, between=None, values=WELL):
    events, frames = [], []
    for k in minutes:
        for record in (between or {}).get(k, ()):
            out = w.step(record)
            events += out.events
            frames += out.frames
        more = minute(w, k, values(k) if callable(values) else values)
        events += more[0]
        frames += more[1]
    return events, frames


def said(events, rule):
    return [(e.event, (e.at_ns - ns(0)) // MINUTE_NS) for e in events if e.rule == rule]


@pytest.mark.parametrize("fault", ["raise", "shape", "nan", "outside", "failed"])
def test_a_detector_that_fails_is_marked_and_alarmed_and_the_published_scores_go_on(fault):
    detector = Told(lambda m: fault if 5 <= m < 15 else 0.1)
    w = begin(ward(detector))
    events, frames = play(w, range(25), values=lambda k: ILL if k >= 3 else WELL)
    absent = [int(f.absent[0, 0]) for f in frames]
    assert absent == [Absence.FAILED if 5 <= m < 15 else Absence.GIVEN for m in range(1, 26)]
    assert said(events, "model-late") == [("raised", 10), ("returned", 15), ("closed", 15)]
    late = next(e for e in events if e.rule == "model-late")
    assert (late.kind, late.priority) == ("technical", "low")
    assert late.cause == "no answer of the model told for 5 min; limits and published scores go on"
    assert [e.event for e in events if e.rule == "news2"] == ["raised"]  # while the detector was failing
    assert all(f.low[0, 0] >= 7 for f in frames[8:])


def test_not_assessable_is_no_failure():
    w = begin(ward(Told(lambda _: "absent")))
    events, frames = play(w, range(12))
    assert {int(f.absent[0, 0]) for f in frames} == {Absence.NOT_ASSESSABLE}
    assert not said(events, "model-late")


def outage(state, version="1"):
    return Outage(detector="told", version=version, state=state, at_ns=0)


def test_a_late_detector_is_not_asked_until_the_log_says_it_is_back():
    detector = Told(lambda _: 0.1)
    w = begin(ward(detector))
    events, frames = play(w, range(20), between={4: [outage("late")], 13: [outage("over")]})
    assert detector.asked == [*range(1, 5), *range(14, 21)]
    assert [int(f.absent[0, 0]) for f in frames] == [0] * 4 + [Absence.LATE] * 9 + [0] * 7
    assert said(events, "model-late") == [("raised", 10), ("returned", 14), ("closed", 14)]
    # Out for longer than its warm-up: what it remembered is too old to go on with.
    assert w.detector_state[0]["frames"][0] == 7


def test_a_detector_that_was_out_for_a_moment_goes_on_where_it_was():
    w = begin(ward(Told(lambda _: 0.1)))
    play(w, range(10), between={4: [outage("late")], 6: [outage("over")]})
    assert w.detector_state[0]["frames"][0] == 8


def test_the_word_about_another_version_changes_nothing():
    detector = Told(lambda _: 0.1)
    w = begin(ward(detector))
    play(w, range(6), between={2: [outage("late", version="0")]})
    assert detector.asked == list(range(1, 7))


def test_an_alarm_of_a_withdrawn_detector_is_unobserved_and_never_returns():
    w = begin(ward(Told(lambda m: 0.9 if m < 30 else 0.1)))
    events, _ = play(w, range(40), between={10: [outage("failed")], 35: [outage("over")]})
    assert said(events, "anomaly") == [("raised", 4), ("unobserved", 11), ("observed", 36)]


def test_a_patient_whose_state_broke_it_begins_anew():
    w = begin(ward(Told(lambda m: "failed" if m == 5 else 0.1)))
    play(w, range(9))
    assert w.detector_state[0]["frames"][0] == 4


def test_asked_later_it_says_the_same_and_the_frame_goes_out_with_its_answer():
    now, later = (
        begin(ward(Told(lambda m: 0.9 if m > 6 else 0.1))),
        begin(ward(Told(lambda m: 0.9 if m > 6 else 0.1), 2)),
    )
    one, two = play(now, range(15), values=ILL), play(later, range(15), values=ILL)
    assert [(e.event_id, e.event, e.at_ns, e.cause) for e in one[0]] == [
        (e.event_id, e.event, e.at_ns, e.cause) for e in two[0]
    ]
    assert len(one[1]) == len(two[1]) == 15
    for a, b in zip(one[1], two[1], strict=True):
        assert np.array_equal(a.detector, b.detector, equal_nan=True)


def test_what_is_late_may_be_said_between_the_frames_end_and_the_asking():
    detector = Told(lambda _: 0.1)
    w = begin(ward(detector, after_s=2))
    play(w, range(3))
    bundle = SentBundle("dev", "p", 3, 210, [(s, v, 210) for s, v in WELL.items()])
    frames = []
    for record in (block([bundle]), Tick(now_ns=ns(251)), outage("late"), Tick(now_ns=ns(253))):
        frames += w.step(record).frames
    assert detector.asked == [1, 2, 3]
    assert [int(f.absent[0, 0]) for f in frames] == [Absence.LATE]


def test_a_snapshot_between_the_frames_end_and_the_asking_goes_on_the_same():
    def made():
        return begin(ward(Told(lambda m: 0.9 if m > 2 else 0.1), after_s=2))

    whole, cut = made(), made()
    play(whole, range(6), values=ILL)
    play(cut, range(6), values=ILL)
    bundle = SentBundle("dev", "p", 6, 390, [(s, v, 390) for s, v in ILL.items()])
    for w in (whole, cut):
        w.step(block([bundle]))
        w.step(Tick(now_ns=ns(431)))
    assert whole.unasked is not None
    again = ward(Told(lambda m: 0.9 if m > 2 else 0.1), after_s=2)
    again.restore(cut.snapshot())
    one, two = whole.step(Tick(now_ns=ns(440))), again.step(Tick(now_ns=ns(440)))
    assert one.events == two.events
    assert np.array_equal(one.frames[0].detector, two.frames[0].detector, equal_nan=True)
    assert whole.snapshot() == again.snapshot()


def test_what_a_host_computed_ahead_is_taken():
    w = begin(ward(Told(lambda _: 0.1), after_s=2))
    ready = {}

    def solve(batch):
        return ready.pop(id(batch), None) or batch.run()

    w.solve = solve
    play(w, range(2))
    bundle = SentBundle("dev", "p", 2, 150, [(s, v, 150) for s, v in WELL.items()])
    w.step(block([bundle]))
    w.step(Tick(now_ns=ns(191)))
    batches = w.batches()
    assert [(b.detector.name, trial) for b, trial in batches] == [("told", False), ("ewma", False)]
    ready |= {id(b): b.run() for b, _ in batches}
    frames = w.step(Tick(now_ns=ns(193))).frames
    assert not ready
    assert frames[0].detector[0, 0] == 0.1
    assert w.batches() == []


def test_a_wait_that_reaches_into_the_next_frame_is_refused():
    with pytest.raises(ValueError, match="below a frame"):
        WardSettings(detectors_after_ns=MINUTE_NS)
