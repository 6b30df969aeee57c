"""What holds of the whole pager, killed anywhere: shifts, tests, hand-overs, digests, gateways, answers, outages."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from paging_host import LENGTH_NS, PEOPLE, POLICIES, STEP_NS, Host, World, play
from paging_world import START, M

from stream_processors.paging import own
from stream_processors.paging.auditor import attended
from stream_processors.paging.owners import owners
from stream_processors.paging.policy import Target
from stream_processors.paging.state import Send
from vitals.alarm_fold import Fold
from vitals.events import Priority

# Shrinking a history of a whole night takes longer than reading one.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
QUIET = (START + 55 * M, START + 70 * M)
PATIENTS = ("p-1", "p-2", "p-3", "p-4")
RULES = ("spo2-low", "news2-single", "rate-high", "device-silent", "device-silent", "anomaly")

instants = st.integers(0, LENGTH_NS // STEP_NS - 1).map(lambda n: START + n * STEP_NS)
happenings = st.lists(
    st.tuples(instants, st.sampled_from((*PATIENTS, "all")), st.sampled_from(RULES), st.sampled_from((0, 1, 2))),
    max_size=20,
)
manners = st.lists(
    st.tuples(
        st.sampled_from(("", "", "acknowledge", "on-my-way", "hand-on", "snooze")),
        st.integers(0, 6).map(STEP_NS.__mul__),
    ),
    max_size=4,
)
outages = st.lists(
    st.tuples(instants, st.integers(1, 40).map(STEP_NS.__mul__)).map(lambda o: (o[0], sum(o))), max_size=1
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    does: dict[int, list[tuple[str, str, int]]] = {}
    for at, patient, rule, level in draw(happenings):
        if patient != "all":
            does.setdefault(at, []).append((patient, rule, level))
            continue
        for one in PATIENTS:  # their gateway
            does.setdefault(at, []).append((one, "device-silent", min(level, 1)))
    return World(
        ward_does=does,
        manner={person: draw(manners) for person in PEOPLE},
        away={person: draw(outages) for person in PEOPLE},
    )


def copy(world: World) -> World:
    return World(ward_does=world.ward_does, manner=world.manner, away=world.away)


class Folder:
    """A fresh folder for one example."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp())
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)


@settings(deadline=None, max_examples=12, phases=PHASES)
@given(worlds(), st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_after_kills_at_any_point_the_same_people_have_been_told(world, kills):
    other = copy(world)
    with Folder() as folder:
        whole = play(world, folder / "whole.db", [])
        killed = play(other, folder / "killed.db", kills)
        assert {(p, m) for p, m, _ in other.arrived} == {(p, m) for p, m, _ in world.arrived}
        # Twice only what was under way at a kill, and under the same id.
        assert len(world.arrived) == len(set(world.arrived))
        assert len(other.arrived) - len(world.arrived) <= len(kills)
        assert killed.pager.engine.state == whole.pager.engine.state
        assert killed.pager._watch == whole.pager._watch
        assert other.obeyed == world.obeyed
        for host in (whole, killed):
            host.store.close()


class Watcher:
    """Looks at a pager after every instant and keeps what it saw."""

    def __init__(self) -> None:
        self.high: list[tuple[int, set[str]]] = []
        self.overdue: set[str] = set()
        self.fold, self.read, self.since = Fold(), 0, dict[str, int]()

    def __call__(self, host: Host, now_ns: int) -> None:
        state = host.pager.engine.state
        members = [member for page in state.pages.values() for member in page.members.values()]
        self.high.append((now_ns, {m.alarm_id for m in members if m.priority is Priority.HIGH and not m.held_by}))
        self._audit(host)
        rota = host.pager.engine.plan.rota
        for hand_over in host.pager._watch.hand_overs.values():
            if hand_over.from_ns <= now_ns < hand_over.to_ns:
                team = rota.teams[hand_over.team]
                (holder,) = owners(rota, team, Target("line", hand_over.line), now_ns).people
                assert holder == (hand_over.out if hand_over.accepted_ns is None else hand_over.into)

    def _audit(self, host: Host) -> None:
        """As the auditor does: the topic alone, folded apart."""
        for _, event in host.world.topic[self.read :]:
            self.fold.apply(event)
        self.read = len(host.world.topic)
        self.since = host.pager.auditing.walk(self.fold, self.since)
        self.overdue |= {name for name in host.pager.engine.state.own if name.startswith(own.AUDIT)}


@settings(deadline=None, max_examples=12, phases=PHASES)
@given(worlds(), st.lists(st.integers(0, 400), max_size=5))
def test_however_often_it_is_killed(world, kills):
    with Folder() as folder:
        watcher = Watcher()
        host = play(world, folder / "pager.db", kills, watcher)
        sends = [send for send, _ in host.sends]
        every_high_alarm_that_no_one_answers_reaches_everyone_in_time(watcher, sends)
        assert watcher.overdue == set()
        for send in sends:
            # Whom a page calls about an alarm, that alarm nobody has in hand.
            assert not [a for a in send.alarms if send.kind == "page" and a.alarm_id in send.alarm_ids and attended(a)]
        what_is_beyond_the_limit_comes_together(host, sends)
        quiet = Counter((send.person, send.at_ns) for send in sends if send.kind == "quiet")
        assert quiet == {(person, at_ns): 1 for person in PEOPLE for at_ns in QUIET}
        host.store.close()


def every_high_alarm_that_no_one_answers_reaches_everyone_in_time(watcher: Watcher, sends: list[Send]) -> None:
    since: dict[str, int] = {}
    reach_ns = POLICIES.policies[0].reach_ns + STEP_NS
    for at, high in watcher.high:
        since = {name: since.get(name, at) for name in high}
        for name, began in since.items():
            if reach_ns <= at - began < reach_ns + STEP_NS:
                told = {s.person for s in sends if began - STEP_NS <= s.at_ns <= at and name in s.alarm_ids}
                assert told == set(PEOPLE), f"{name} calls since {began - START} and reached only {told}"


def what_is_beyond_the_limit_comes_together(host: Host, sends: list[Send]) -> None:
    rows = host.store._db.execute("SELECT person, at_ns FROM receipt WHERE what = 'held-back'").fetchall()
    for person, at_ns in rows:
        told = [send for send in sends if send.person == person and send.kind in ("limit", "digest")]
        assert any(at_ns - POLICIES.digest_every_ns <= send.at_ns <= at_ns for send in told), "nobody said so before"
        due_ns = at_ns + POLICIES.digest_every_ns
        if due_ns <= host.world.now_ns:
            assert any(send.kind == "digest" and at_ns <= send.at_ns <= due_ns for send in told), "it came never"
