"""The benchmark's own parts: intended times, packets, histograms, steps of a search. Times of a machine are no test."""

from __future__ import annotations

import socket
import threading
import time

import msgspec
import numpy as np
import pytest

from deploy.bench.capacity import CapacitySettings, cost, full, knee, step_of
from deploy.bench.driven import BenchError
from deploy.bench.latency import added, histogram_of, told
from deploy.bench.load import Acknowledgements, connect_packet, publish_packet, send
from deploy.bench.machine import Usage, taken, usage
from deploy.bench.report import in_words, page
from deploy.bench.workload import Ward, device, payloads
from vitals.hops import Histogram
from vitals.signs import SECOND_NS
from vitals.wire import Incoming, decode

BEGIN = 1_700_000_000 * SECOND_NS


def test_every_bundle_has_its_time_before_the_run_and_carries_it():
    ward = Ward(patients=7, rate=50.0, ill=0.3)
    at, who, bodies = payloads(ward, BEGIN, 3.0, boot=4)
    assert np.diff(at).tolist() == [20_000_000] * 149
    sequences: dict[int, list[int]] = {}
    for when, i, body in zip(at.tolist(), who.tolist(), bodies, strict=True):
        incoming = decode(body)
        assert isinstance(incoming, Incoming)
        head = incoming.header
        assert (head.device, head.boot, head.sent_ns, head.n, head.n_before) == (device(i), 4, when, 5, 5 * head.seq)
        sequences.setdefault(i, []).append(head.seq)
    assert all(seqs == list(range(len(seqs))) for seqs in sequences.values())
    assert len(sequences) == 7


def test_some_patients_are_ill_and_the_others_never():
    ward = Ward(patients=100, rate=100.0, ill=0.2)
    _, who, bodies = payloads(ward, BEGIN, 60.0, boot=1)
    low = {i for i, body in zip(who.tolist(), bodies, strict=True) if b'"spo2","value":80.0,' in body}
    assert 15 <= len(low) <= 25


@pytest.mark.parametrize("given", [{"patients": 0}, {"rate": 0.0}, {"ill": 1.5}])
def test_a_ward_that_cannot_be_played_is_refused(given):
    with pytest.raises(ValueError, match="at least one patient"):
        Ward(**{"patients": 1, "rate": 1.0, **given})


def test_acknowledgements_are_counted_however_the_bytes_come():
    stream = b"".join(bytes((0x40, 2, 0, i)) for i in range(1, 9)) + bytes((0xD0, 0)) + bytes((0x40, 3, 0, 9, 0x10))
    for size in (1, 2, 3, 5, 100):
        counted = Acknowledgements()
        for begin in range(0, len(stream), size):
            counted.feed(stream[begin : begin + size])
        assert counted.count == 9
    with pytest.raises(ConnectionError, match="0x8b"):
        Acknowledgements().feed(bytes((0xE0, 2, 0x8B, 0)))


def test_the_load_hands_over_all_that_is_due_whatever_becomes_of_it():
    """A peer that takes nothing for a while: its packets wait in order, and each is as late as it is."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # less than all of it: some has to wait
    packets = [publish_packet(b"t", 1 + k, b"x" * 1000) for k in range(200)]
    at = time.time_ns() - np.arange(200, 0, -1) * 1_000_000
    received = bytearray()

    def serve() -> None:
        while len(received) < sum(map(len, packets)):
            received.extend(theirs.recv(1 << 16))
        theirs.sendall(b"\x40\x02\x00\x01" * 200)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        done = send(ours, at, np.cumsum([len(p) for p in packets]), memoryview(b"".join(packets)))
    finally:
        thread.join()
        ours.close()
        theirs.close()
    assert (done.sent, done.acknowledged, done.error) == (200, 200, "")
    assert bytes(received) == b"".join(packets)
    assert done.late_max_ms >= 200.0


def test_a_load_tells_that_the_broker_went_away():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    packet = publish_packet(b"t", 1, b"x")
    with ours:
        done = send(ours, np.array([time.time_ns()]), np.array([len(packet)]), memoryview(packet))
    assert done.error


def test_packets_are_mqtt_5():
    connect = bytes.fromhex("10160004" + b"MQTT".hex() + "05c2001e00" + "000175000175000170")
    assert connect_packet("u", "p") == connect[:1] + bytes((len(connect) - 2,)) + connect[2:]
    packet = publish_packet(b"t", 258, b"x" * 200)
    assert packet[:3] == bytes((0x32, 206 & 0x7F | 0x80, 206 >> 7))
    assert packet[3:9] == b"\x00\x01t\x01\x02\x00"


def test_a_report_tells_the_mean_as_total_by_count():
    found = told(histogram_of([1_000_000, 2_000_000, 6_000_000]))
    assert (found["count"], found["mean_ms"], found["max_ms"]) == (3, 3.0, 6.0)
    assert found["p50_ms"] == pytest.approx(2.0, rel=0.01)
    assert Histogram.from_bytes(bytes.fromhex(found["histogram"])).count == 3
    assert told(histogram_of([])) == {"count": 0}


def test_workers_of_a_part_are_added_up():
    one = {"counts": {"bundles": 2}, "ways": {"to_scored": histogram_of([5]).to_bytes().hex()}}
    both = added(one, {"counts": {"bundles": 3, "events": 1}, "ways": one["ways"] | {"more": one["ways"]["to_scored"]}})
    assert both["counts"] == {"bundles": 5, "events": 1}
    assert Histogram.from_bytes(bytes.fromhex(both["ways"]["to_scored"])).count == 2
    assert set(both["ways"]) == {"to_scored", "more"}


def test_processor_time_is_told_by_process_and_of_the_machine():
    import os

    first = usage({"me": os.getpid()})
    assert first.cpu_s["me"] > 0
    before, after = Usage({"me": 1.0}, 10.0, 10.0), Usage({"me": 3.0}, 16.0, 14.0)
    found = taken(before, after, 1000, {"me": os.getpid()})
    assert found["processes"]["me"]["cpu_s_per_1000"] == 2.0
    assert (found["busy"], found["ours"], found["others"]) == (0.6, 0.2, 0.4)


def result(p99: float, judged: int, share: float = 0.3, busy: float = 0.5) -> dict:
    row = {"cpu_s": 1.0, "cpu_s_per_1000": 0.2, "share": share, "memory_mb": 1.0}
    rest = {"cpu_s": 0.5, "cpu_s_per_1000": 0.1, "share": 0.1, "memory_mb": 1.0}
    return {
        "hops": {"to_scored": {"p50_ms": 2.0, "p99_ms": p99}}, "ways": {}, "judged": judged, "busy": busy,
        "others": 0.0, "processes": {"bridge": row, "load": rest},
    }  # fmt: skip


def test_the_knee_is_the_last_step_that_held():
    steps = [
        step_of(100, 10, result(20.0, 1000)),
        step_of(200, 10, result(30.0, 1990)),
        step_of(400, 10, result(900.0, 3000, share=0.97)),  # not all was judged: its lag grows
    ]
    found = knee(steps)
    assert [step["verdict"] for step in steps] == ["holds", "holds", "falls behind"]
    assert (found["knee_per_s"], found["reached"]) == (200, True)
    assert found["full"] == "bridge: 97% of a processor"
    assert found["patients_at_a_bundle_each_10_s"] == 2000
    assert found["cpu_share_of_a_patient"] == pytest.approx(0.2 / 1000 / 10)
    assert knee([step_of(100, 10, result(2000.0, 1000))])["knee_per_s"] == 0
    assert not knee(steps[:2])["reached"]


def test_what_is_full_is_said():
    assert full(result(1.0, 1, busy=0.99)) == "the machine; most of ours by bridge"
    assert (
        full({**result(1.0, 1, busy=0.99), "others": 0.5}) == "the machine, 50% of it others'; most of ours by bridge"
    )
    assert full(result(1.0, 1)) == ""
    assert cost(result(1.0, 1)) == 0.2
    with pytest.raises(BenchError, match="factor above 1"):
        CapacitySettings(factor=1.0)


def test_a_report_is_readable_and_its_page_whole():
    report = {
        "bench": "latency", "machine": {"processors": 2}, "settings": {"rate": 5},
        "ways": {"to_event<b>": told(histogram_of(range(1_000_000, 90_000_000, 1_000_000)))},
        "processes": {"bridge": {"cpu_s": 1.0, "cpu_s_per_1000": 0.2, "share": 0.3, "memory_mb": 9.0}},
        "busy": 0.5, "ours": 0.4, "others": 0.1,
    }  # fmt: skip
    words = in_words(report)
    assert "to_event<b>" in words
    assert "machine 50% busy, 40% ours, 10% of others" in words
    html = page(msgspec.json.decode(msgspec.json.encode(report)))
    assert "to_event&lt;b&gt;" in html
    assert "<polyline" in html
    assert "http" not in html
