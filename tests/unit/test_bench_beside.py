"""Two pipelines beside each other: what each must tell of a workload, and what is made of their reports."""

from __future__ import annotations

import copy
import importlib.util
import json
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deploy.bench.peers
from deploy.bench.beside import (
    BesideSettings,
    KneeSettings,
    knee_ratios,
    latency_ratios,
    merged,
    pipelines,
    row_of,
)
from deploy.bench.capacity import CapacitySettings, knee, step_of
from deploy.bench.compare import compare
from deploy.bench.driven import BenchError
from deploy.bench.due import Judged, came_of, limits, raised, wrong_in
from deploy.bench.latency import LatencySettings, histogram_of, told
from deploy.bench.load import say_once
from deploy.bench.peers.work import ALPHA, signs
from deploy.bench.report import in_words, page
from deploy.bench.workload import Ward, course, payloads
from deploy.cli import app
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.wire import Incoming, decode

BEGIN = 1_700_000_000 * SECOND_NS
MS = 1_000_000


# -- what is due ------------------------------------------------------------------------------------------------


def test_whoever_is_low_for_the_rules_minute_is_due_and_nobody_else():
    ward = Ward(patients=50, rate=50.0, ill=0.2)
    run = course(ward, BEGIN, 100.0)
    ill = {f"bench-{i:06d}:spo2-low" for i in run.who[run.low].tolist()}
    assert 5 <= len(ill) <= 15
    assert raised(ward, BEGIN, 100.0) == ill
    assert raised(ward, BEGIN, 59.0) == set()
    half = raised(ward, BEGIN, 78.0)  # they fall ill over half a minute, so half of them are due by then
    assert set() < half < ill


def test_a_silence_in_which_no_value_stands_begins_the_minute_anew():
    every_two_and_a_half_minutes = Ward(patients=4, rate=4 / 150, ill=1.0)
    assert course(every_two_and_a_half_minutes, BEGIN, 900.0).low.any()
    assert raised(every_two_and_a_half_minutes, BEGIN, 900.0) == set()


def test_ward_time_may_run_faster_and_comes_back_to_the_wall():
    ward = Ward(patients=5, rate=10.0, ill=1.0, speed=10.0, since_ns=BEGIN)
    assert ward.period_ns == 5 * SECOND_NS
    run = course(ward, BEGIN + SECOND_NS, 10.0)
    assert run.said[0] == BEGIN + 10 * SECOND_NS
    assert run.said[-1] - run.said[0] == pytest.approx(10 * (run.at[-1] - run.at[0]))
    assert ward.wall_ns(int(run.said[7])) == pytest.approx(int(run.at[7]), abs=1)
    body = payloads(ward, BEGIN + SECOND_NS, 10.0, boot=3)[2][7]
    incoming = decode(body)
    assert isinstance(incoming, Incoming)
    assert incoming.header.sent_ns == run.said[7]
    assert len(raised(ward, BEGIN + SECOND_NS, 10.0)) == 5


def test_the_first_event_of_an_alarm_is_told_from_later_ones():
    assert came_of("bench-000001:spo2-low:1700000000000000000:1") == "bench-000001:spo2-low"
    assert came_of("bench-000001:spo2-low:1700000000000000000:2") == ""


def test_limits_are_the_first_bands_of_the_rules():
    assert limits() == {
        "hr": (40, 170), "spo2": (87, None), "resp": (8, 35), "temp_c": (34.0, 39.1), "sbp": (80, 200),
    }  # fmt: skip


def tutorial_says(bodies: list[bytes]) -> list[dict]:
    """The tutorial's judging, without Faust: `plain` is loaded by its file, as the program loads it."""
    where = Path(deploy.bench.peers.__file__).with_name("plain.py")
    spec = importlib.util.spec_from_file_location("plain", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    work = module.Work(json.loads(json.dumps({"alpha": ALPHA, "signs": signs(), "limits": limits()})))
    means: dict[str, dict[str, float]] = {}
    events = []
    for body in bodies:
        bundle = json.loads(body)
        name = bundle["device"]
        values = {reading["sign"]: reading["value"] for reading in bundle["readings"]}
        mine = means.setdefault(name, {})
        result = work.step({"patient": name, "seq": bundle["seq"], "sent_ns": bundle["sent_ns"], **values}, mine)
        breached = work.breached(values)
        if breached:
            events.append(
                {"event_id": f"{name}:{bundle['boot']}:{bundle['seq']}", "patient": name, "breached": breached,
                 "sent_ns": bundle["sent_ns"], "news2": result["news2"], "means": {s: result[s] for s in values}}
            )  # fmt: skip
    return events


def test_what_the_tutorial_must_say_is_what_plain_python_says_run_after_run():
    ward, judged = Ward(patients=20, rate=40.0, ill=0.3), Judged()
    first = payloads(ward, BEGIN, 60.0, boot=1)[2]
    second = payloads(ward, BEGIN + 2 * MINUTE_NS, 60.0, boot=2)[2]
    due = [judged.breaches(first), judged.breaches(second)]
    events = tutorial_says(first + second)
    assert [event["event_id"] for event in events] == [*due[0], *due[1]]
    assert wrong_in(events, due[0] | due[1]) == ""
    low = course(ward, BEGIN, 60.0).low.sum()
    assert len(due[0]) == low > 0
    assert all(event["breached"] == ["spo2"] for event in events)
    # Whoever forgets the first run's state says other means, and is found out.
    assert "means" in wrong_in(tutorial_says(second), due[1])


def test_strange_doubled_and_altered_events_are_named():
    due = Judged().breaches(payloads(Ward(5, 10.0, ill=1.0), BEGIN, 40.0, boot=1)[2])
    events = [copy.deepcopy(event) for event in due.values()]
    assert wrong_in(events[:-1], due) == ""  # the last may still come
    name = events[0]["event_id"]
    assert wrong_in([*events, events[0]], due) == f"two events of {name}"
    assert wrong_in([{"event_id": "bench-d-000009:1:1"}], due).startswith("an event of bench-d-000009:1:1, which")
    events[0]["sent_ns"] += 1
    assert wrong_in(events, due).startswith(f"the event of {name} is")


# -- reports ------------------------------------------------------------------------------------------------


def processes(**cpu: float) -> dict:
    return {
        name: {"cpu_s": 1.0, "cpu_s_per_1000": spent, "share": 0.2, "memory_mb": 1.0} for name, spent in cpu.items()
    }


def ours(p50: int, scored: int) -> dict:
    return {
        "load": {}, "ways": {"to_event": told(histogram_of([p50 * MS] * 9))},
        "hops": {"to_scored": told(histogram_of([scored * MS] * 9))}, "alarms": {"due": 9, "came": 9}, "judged": 100,
        "processes": processes(bridge=1.0, load=5.0), "busy": 0.5, "ours": 0.5, "others": 0.0,
    }  # fmt: skip


def theirs(p50: int) -> dict:
    return {
        "load": {}, "ways": {"to_event": told(histogram_of([p50 * MS] * 20))}, "hops": {},
        "alarms": {"due": 20, "came": 20}, "judged": 100, "processes": processes(faust=3.0, observer=7.0),
        "busy": 0.5, "ours": 0.5, "others": 0.0,
    }  # fmt: skip


def test_ratios_of_latency_are_taken_within_rounds():
    rounds = [
        {"teleward": ours(4, 2), "tutorial": theirs(8)},
        {"teleward": ours(40, 20), "tutorial": theirs(80)},  # others took the machine, from both alike
        {"teleward": ours(4, 2), "tutorial": theirs(12)},
    ]
    found = latency_ratios(rounds)
    alarm = found["tutorial's alarm / alarm, p50"]
    assert (alarm["ratio"], alarm["least"], alarm["greatest"]) == pytest.approx((2.0, 2.0, 3.0), rel=0.02)
    assert alarm["tutorial_ms"] == pytest.approx(12, rel=0.02)
    assert found["tutorial's alarm / judged, every bundle, p99"]["ratio"] == pytest.approx(4.0, rel=0.02)
    assert found["CPU s per 1,000 bundles"]["ratio"] == 3.0  # load and observer are nobody's


def test_rounds_are_told_together_and_each_by_itself():
    both = merged([ours(4, 2), ours(8, 2)])
    assert both["ways"]["to_event"]["count"] == 18
    assert both["ways"]["to_event"]["max_ms"] == pytest.approx(8.0)
    assert both["alarms"] == {"due": 18, "came": 18}
    rows = [row_of(1, "teleward", ours(4, 2)), row_of(1, "tutorial", theirs(9))]
    assert (rows[0]["alarms"], rows[1]["judged_p50_ms"]) == (9, "")
    report = {"bench": "latency", "runs": rows, "teleward": both, "tutorial": merged([theirs(9)]),
              "ratios": latency_ratios([{"teleward": ours(4, 2), "tutorial": theirs(9)}])}  # fmt: skip
    words = in_words(report)
    assert "teleward round 2" in words
    assert words.rstrip().splitlines()[-1].startswith("CPU s per 1,000 bundles")
    html = page(json.loads(json.dumps(report)))
    assert "tutorial round 1" in html
    assert "tutorial&#x27;s alarm / alarm, p50" in html


def test_two_reports_of_both_pipelines_are_compared_each_with_its_own():
    report = {"bench": "latency", "settings": {}, "teleward": merged([ours(4, 2)]), "tutorial": merged([theirs(9)])}
    slower = report | {"teleward": merged([ours(40, 2)])}
    said = {row["what"]: row["verdict"] for row in compare(report, slower)["steps"]}
    assert said["teleward to_event: p50 ms"] == "worse"
    assert said["tutorial to_event: p50 ms"] == "same"


def test_of_who_says_nothing_of_judging_the_alarms_stand_for_all():
    steps = [step_of(100, 1, theirs(9)), step_of(200, 1, theirs(9)), step_of(100, 1, theirs(1500))]
    assert [step["verdict"] for step in steps] == ["holds", "falls behind", "falls behind"]  # half was judged; too late
    assert knee(steps[:2])["knee_per_s"] == 100


def test_the_ratio_of_knees_says_which_is_only_a_bound():
    searched = {"scaling": [{"workers": 1, "knee_per_s": 9000}], "1 workers": {"reached": False}}
    found = knee_ratios(searched, {"knee_per_s": 600, "reached": True})["knee, 1 workers / tutorial"]
    assert found["ratio"] == 15.0
    assert (found["teleward_reached"], found["tutorial_reached"]) == (False, True)
    assert knee_ratios(searched, {"knee_per_s": 0, "reached": True})["knee, 1 workers / tutorial"]["ratio"] is None


# -- what is asked ------------------------------------------------------------------------------------------------


def test_a_word_means_pipelines_in_their_order():
    assert pipelines("both") == ("teleward", "tutorial")
    assert pipelines("tutorial,teleward") == ("tutorial", "teleward")
    assert pipelines("tutorial") == ("tutorial",)
    for wrong in ("flink", "", "teleward,teleward"):
        with pytest.raises(BenchError, match="nothing goes through"):
            pipelines(wrong)


def test_what_cannot_be_run_is_refused():
    with pytest.raises(BenchError, match="at least one round"):
        BesideSettings(LatencySettings(), rounds=0)
    with pytest.raises(BenchError, match="one worker and one partition"):
        BesideSettings(LatencySettings(workers=2))
    BesideSettings(LatencySettings(workers=2), through="teleward")
    with pytest.raises(BenchError, match="above 1"):
        KneeSettings(CapacitySettings(), factor=1.0)


@pytest.mark.parametrize("command", ["latency", "capacity"])
def test_the_command_line_refuses_before_it_starts_anything(command):
    done = CliRunner().invoke(app, ["bench", command, "--through", "flink"])
    assert isinstance(done.exception, BenchError)
    assert "flink" in str(done.exception)


def test_one_message_is_said_and_its_acknowledgement_awaited():
    server = socket.create_server(("127.0.0.1", 0))
    got = bytearray()

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            got.extend(peer.recv(4096))
            peer.sendall(b"\x20\x03\x00\x00\x00")
            while b"payload" not in got:
                got.extend(peer.recv(4096))
            peer.sendall(b"\x40\x02\x00\x01")
            while chunk := peer.recv(4096):
                got.extend(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        say_once(server.getsockname()[1], "user", "word", "topic", b"payload")
        thread.join()
    assert got[:1] == b"\x10"
    assert got.endswith(b"payload\xe0\x00")


def test_a_broker_that_goes_away_is_not_waited_for():
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"\x20\x03\x00\x00\x00")
            peer.recv(4096)

    thread = threading.Thread(target=serve)
    thread.start()
    with server, pytest.raises(ConnectionError):
        say_once(server.getsockname()[1], "user", "word", "topic", b"payload")
    thread.join()
