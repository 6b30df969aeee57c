"""Names of topics and keys: promises between parts, and to whoever reads Kafka."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitals import measurements, topics

DEVICES = [
    ("teleward/v1/dev-1/bundle", "dev-1"),
    ("teleward/v1/dev-1/mark", "dev-1"),
    ("teleward/v1/player/mark/done", "player"),
    ("teleward/v1/a.b_c-9/bundle", "a.b_c-9"),
    ("teleward/v1/dev-1", None),
    ("teleward/v2/dev-1/bundle", None),
    ("other/v1/dev-1/bundle", None),
    ("teleward/v1//bundle", None),
    ("teleward/v1/-dev/bundle", None),
    ("teleward/v1/dév/bundle", None),
    ("teleward/v1/dev 1/bundle", None),
    ("teleward/v1/dev-1\n/bundle", None),
    (f"teleward/v1/{'x' * 64}/bundle", "x" * 64),
    (f"teleward/v1/{'x' * 65}/bundle", None),
    ("", None),
]


@pytest.mark.parametrize("topic, device", DEVICES)
def test_the_device_of_a_topic(topic, device):
    assert topics.device_of(topic) == device


@settings(deadline=None, max_examples=100)
@given(st.from_regex(topics.DEVICE_ID, fullmatch=True))
def test_what_is_built_is_parsed(device: str):
    for build in (topics.bundle_topic, topics.mark_topic):
        assert topics.device_of(build(device)) == device


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=40))
def test_any_topic_has_a_lawful_device_or_none(topic: str):
    device = topics.device_of(topic)
    assert device is None or topics.DEVICE_ID.fullmatch(device)


def test_a_patients_partition_never_changes():
    # Written down: a change would send a patient's records to another ward, and lose its alarms.
    assert [topics.partition_of(f"p-{i}") for i in range(8)] == [zlib.crc32(f"p-{i}".encode()) % 4 for i in range(8)]
    assert [topics.partition_of(p, 12) for p in ("p-1", "p-2", "p-7")] == [
        zlib.crc32(p.encode()) % 12 for p in ("p-1", "p-2", "p-7")
    ]
    assert topics.partition_of("p-7") == 2


def test_all_partitions_are_used():
    assert {topics.partition_of(f"p-{i}") for i in range(100)} == set(range(topics.PARTITIONS))


def test_keys_of_the_registry():
    assert topics.registry_key("enrolment", "p-7") == b"enrolment:p-7"
    assert topics.registry_key("limit", "p-7", "spo2-low") == b"limit:p-7:spo2-low"
    assert topics.registry_key("binding", "dev-1") == b"binding:dev-1"


def test_topics_have_names_of_their_own_and_say_what_they_are():
    names = [topic.name for topic in topics.ALL]
    assert len(set(names)) == len(names)
    assert all(name.startswith("teleward.") for name in names)
    assert all(topic.what for topic in topics.ALL)
    for_ever = {topic for topic in topics.ALL if not topic.retention_h}
    # A snapshot is needed however old it is: its topic is bounded in bytes (deploy.kafka_topics).
    assert for_ever == {topic for topic in topics.ALL if topic.compacted} | {topics.SNAPSHOTS}


def test_what_a_snapshot_goes_with_has_as_many_partitions_as_the_input():
    assert all(t.partitioned for t in (topics.INPUT, topics.SNAPSHOTS, topics.ALARMS, topics.FRAMES))
    assert not topics.INPUT.compacted, "offsets of the input must have no holes"


def test_measurements_have_names_of_their_own_and_bounded_tags():
    names = [measurement.name for measurement in measurements.MEASUREMENTS]
    assert len(set(names)) == len(names)
    # What only grows would make a series of every point.
    grows = {"seq", "boot", "event_id", "alarm_id", "n", "offset", "body"}
    for measurement in measurements.MEASUREMENTS:
        assert not grows & set(measurement.tags)
        assert not set(measurement.tags) & set(measurement.fields), "a name is a tag or a field, never both"
        assert measurement.what
        assert measurement.time


def test_what_is_asked_in_influxql_names_its_policy():
    assert measurements.VITALS.source == '"raw"."vitals"'
    assert measurements.bucket(measurements.Policy.RAW) == "teleward/raw"
