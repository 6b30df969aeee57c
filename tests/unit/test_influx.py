"""InfluxDB without a server of its own: what answers mean, what lines look like, how 2.x is set up."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from email.utils import formatdate

import influx_2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client import Point

from transport.stores.base import StoreUnavailable
from transport.stores.influx_http import InfluxHttp, InfluxSettings, Rows
from transport.stores.influx_lines import Known, joined, keys, lines
from transport.stores.influx_reads import InfluxReads
from transport.stores.influx_setup import DOWNSAMPLING, Retention, check_influx, set_up_influx
from vitals import measurements as m
from vitals.measurements import Policy
from vitals.signs import Sign

ROWS = pa.array([f"hops,hop=h,part=p count={i}i {i}\n" for i in range(20)])


@pytest.fixture
def server():
    with influx_2.running() as server:
        yield server


@pytest.fixture
def http(server):
    http = InfluxHttp(InfluxSettings(server.url, token=influx_2.TOKEN, timeout_s=5.0))
    yield http
    http.close()


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, headers, wait_s", [
    (429, {"Retry-After": "7"}, 7.0),
    (503, {"Retry-After": "3"}, 3.0),
    (503, {"Retry-After": "86400"}, 60.0),
    (503, {"Retry-After": "soon"}, 5.0),
    (503, {}, 5.0),
    (500, {}, 5.0),
    (401, {}, 15.0),
    (404, {}, 15.0),
])  # fmt: skip
def test_what_another_try_may_mend_says_when(server, http, status, headers, wait_s):
    server.answers = [(status, headers, {"code": "x", "message": "p-1 hr=80"})]
    rejected = Counter()
    with pytest.raises(StoreUnavailable, match=str(status)) as caught:
        http.write(Policy.RAW, ROWS, rejected)
    assert caught.value.retry_after_s == wait_s
    assert "p-1" not in str(caught.value), "no patient in what is logged"
    assert not rejected
    http.write(Policy.RAW, ROWS, rejected)
    assert server.writes == [("teleward/raw", "".join(ROWS.to_pylist()))]


def test_a_date_to_try_again_at_is_understood(server, http):
    import time

    server.answers = [(503, {"Retry-After": formatdate(time.time() + 30, usegmt=True)}, {})]
    with pytest.raises(StoreUnavailable) as caught:
        http.write(Policy.RAW, ROWS, Counter())
    assert 20 < caught.value.retry_after_s <= 30


def test_a_full_disk_has_its_name(server, http):
    server.answers = [(500, {}, {"code": "internal", "message": "write wal: no space left on device"})]
    with pytest.raises(StoreUnavailable, match="disk is full"):
        http.write(Policy.RAW, ROWS, Counter())


def test_nobody_there_is_told_soon():
    http = InfluxHttp(InfluxSettings("http://127.0.0.1:9", timeout_s=1.0))
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        http.write(Policy.RAW, ROWS, Counter())
    assert caught.value.retry_after_s <= 1
    http.close()


@pytest.mark.parametrize("status, body, reason", [
    (400, {"code": "invalid", "message": "unable to parse 'hops,hop=h x': missing field"}, "not readable"),
    (422, {"code": "unprocessable entity", "message": "field type conflict: x"}, "another type stands in the store"),
    (422, {"message": "point is outside retention policy"}, "older than the store keeps"),
    (413, {}, "request too large"),
])  # fmt: skip
def test_a_bad_point_is_found_and_the_others_are_written(server, http, status, body, reason):
    bad = 13
    # What the halves hold decides: a request with the bad line is refused whole, as 2.x does.
    spans = [(0, 20), (0, 10), (10, 20), (10, 15), (10, 12), (12, 15), (12, 13), (13, 15), (13, 14), (14, 15), (15, 20)]
    server.answers = [(status, {}, body) if a <= bad < b else (204, {}, None) for a, b in spans]
    rejected = Counter()
    http.write(Policy.RAW, ROWS, rejected)
    assert rejected == {reason: 1}
    assert sorted("".join(text for _, text in server.writes).splitlines()) == sorted(
        row.strip() for i, row in enumerate(ROWS.to_pylist()) if i != bad
    )


def test_bodies_are_cut_and_large_ones_compressed(server):
    http = InfluxHttp(InfluxSettings(server.url, token=influx_2.TOKEN, lines=7, gzip_from=100))
    http.write(Policy.LONG, ROWS, Counter())
    http.close()
    assert [text.count("\n") for _, text in server.writes] == [7, 7, 6]
    assert "".join(text for _, text in server.writes) == "".join(ROWS.to_pylist())


@pytest.mark.parametrize("changed", [
    {"url": "127.0.0.1:8086"}, {"database": ""}, {"database": 'a"b'}, {"timeout_s": 0}, {"lines": 0}, {"fold_at": 0},
])  # fmt: skip
def test_settings_that_cannot_work_are_refused(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        InfluxSettings(**({"url": "http://x"} | changed))


# -- lines -------------------------------------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda text: not text.endswith("\\")
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(names, names, st.integers(0, 3), st.floats(width=64) | st.none(), st.integers(-(2**62), 2**62)),
        min_size=1,
        max_size=5,
    )
)
def test_lines_say_what_the_clients_own_points_say(rows):
    patient, device, quality, value, at = zip(*rows, strict=True)
    floats = np.array([np.nan if v is None else v for v in value])
    key = keys(m.VITALS, {"patient": patient, "device": device, "sign": ["hr"] * len(rows)})
    fields = {"quality": np.array(quality), "value": floats, "boot": Known(np.array(quality), np.array(quality) > 1)}
    ours = joined(lines(m.VITALS, key, fields, np.array(at))).decode()
    theirs = ""
    for p, d, q, v, t in zip(patient, device, quality, floats.tolist(), at, strict=True):
        point = Point("vitals").tag("patient", p).tag("device", d).tag("sign", "hr").field("quality", q)
        point = point.field("boot", q) if q > 1 else point
        theirs += point.field("value", v if np.isfinite(v) else None).time(t).to_line_protocol() + "\n"
    assert [parsed(line) for line in ours.split("\n")] == [parsed(line) for line in theirs.split("\n")]


def parsed(line):
    if not line:
        return None
    head, _, at = line.rpartition(" ")
    key, _, fields = head.rpartition(" ")
    told = dict(one.split("=") for one in fields.split(","))
    return key, {n: float(v) if not v.endswith("i") else v for n, v in told.items()}, at


def test_a_slice_of_lines_is_only_that():
    assert joined(ROWS.slice(3, 2)).decode() == "hops,hop=h,part=p count=3i 3\nhops,hop=h,part=p count=4i 4\n"
    assert joined(ROWS.slice(20)) == b""


def test_a_measurement_wants_its_tags_and_its_first_field():
    with pytest.raises(ValueError, match="has the tags"):
        keys(m.HOPS, {"part": ["p"]})
    key = keys(m.HOPS, {"part": ["p"], "hop": ["h"]})
    with pytest.raises(ValueError, match="missing from a line"):
        lines(m.HOPS, key, {"mean_ns": np.array([np.nan])}, np.array([1]))


# -- 2.x ---------------------------------------------------------------------------------------------------------------


def of(server, **changed):
    return InfluxSettings(**({"url": server.url, "token": influx_2.TOKEN} | changed))


def test_a_server_of_2x_gets_buckets_mappings_and_tasks_once(server):
    said = set_up_influx(of(server), Retention(raw_days=3, long_days=30))
    assert [line for line in said if "bucket" in line] == [
        f"bucket teleward/{policy} is not there" for policy in Policy
    ]
    assert {b["name"]: b["retentionRules"][0]["everySeconds"] for b in server.buckets} == {
        "teleward/raw": 3 * 86_400,
        "teleward/long": 30 * 86_400,
        "teleward/books": 0,
    }
    assert {(d["database"], d["retention_policy"], d["default"]) for d in server.dbrps} == {
        ("teleward", "raw", True),
        ("teleward", "long", False),
        ("teleward", "books", False),
    }
    assert all(d["bucketID"] in {b["id"] for b in server.buckets} for d in server.dbrps)
    assert {task["name"] for task in server.tasks} == {f"teleward_{name}" for name in DOWNSAMPLING}
    assert check_influx(of(server), Retention(raw_days=3, long_days=30)) == []
    assert set_up_influx(of(server), Retention(raw_days=3, long_days=30)) == []


def test_what_somebody_changed_on_2x_is_named_and_mended(server):
    set_up_influx(of(server))
    server.buckets[0]["retentionRules"] = []
    server.dbrps[1]["bucketID"] = "ffffffffffffffff"
    server.tasks[0]["status"] = "inactive"
    said = check_influx(of(server))
    assert said == [
        "bucket teleward/raw keeps for ever, should keep 14 days",
        "InfluxQL's teleward.long is mapped to another bucket",
        "task teleward_vitals_1m is another or does not run",
    ]
    assert set_up_influx(of(server)) == said
    assert check_influx(of(server)) == []


def test_a_token_that_is_none_is_said(server):
    with pytest.raises(StoreUnavailable, match="does not know our token"):
        check_influx(of(server, token="another"))


def test_deleting_on_2x_goes_by_its_own_api(server, http):
    http.delete(m.ALARM_EVENTS, 1_700_000_000_000_000_001, from_ns=1_700_000_000_000_000_000, patient="p")
    assert server.deletes == [
        {
            "org": "teleward",
            "bucket": "teleward/long",
            "start": "2023-11-14T22:13:20.000000000Z",
            "stop": "2023-11-14T22:13:20.000000000Z",
            "predicate": '_measurement="alarm_events" AND patient="p"',
        }
    ]


def test_keeping_shorter_than_it_should_is_refused():
    with pytest.raises(ValueError, match="the second no less"):
        Retention(raw_days=10, long_days=9)


# -- points that are being written -------------------------------------------------------------------------------------


class Answers:
    """A server that gives prepared answers, the last of them for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def ask(self, statements):
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0] for _ in statements]


def test_a_point_of_which_not_all_fields_are_there_yet_is_not_there_yet():
    columns = {"time": (1, 2, 3), "value": (80.0, 81.0, 82.0), "quality": (0, None, 0), "received_ns": (5, 6, None)}
    rows = Rows({"patient": "p", "sign": "hr", "device": "d"}, columns)
    series = InfluxReads(Answers([rows])).series("p", [Sign.HR], 0, 10)[Sign.HR]
    assert (series.time_ns.tolist(), series.value.tolist(), series.devices) == ([1], [80.0], ("d",))
    half = Rows(rows.tags, {"time": (3,), "value": (82.0,), "quality": (None,)})
    assert InfluxReads(Answers([half])).last().patient == []


def book(pieces, *body):
    return [Rows({"name": "host:a"}, {"time": tuple(range(len(body))), "pieces": pieces, "body": body})]


def test_a_book_that_is_being_written_is_read_again():
    whole = base64.b64encode(zlib.compress(b"of the host" * 9)).decode()
    pieces = whole[:20], whole[20:]
    torn = (
        book((2, None), pieces[0]),
        book((2, 2), pieces[0], None),
        book((None, 2), *pieces),
        book((2, 2), pieces[0], "bm90aGluZw=="),
    )
    assert InfluxReads(Answers(*torn, book((2, 2), *pieces))).books("") == {"a": b"of the host" * 9}
    with pytest.raises(StoreUnavailable, match="being written, or damaged"):
        InfluxReads(Answers(torn[-1])).books("")
