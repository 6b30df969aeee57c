"""What monitoring promises on the embedded brokers it promises on Apache Kafka too: the same tests, other fixtures.

The suite is `integration/test_streams.py`; here stand those of its tests in which Kafka has a say: dead letters,
another version's snapshot, snapshots in shards, offsets behind snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator

import natives
import pytest

from deploy.clock import WardClock
from deploy.native.kafka import QUICK_START
from deploy.native.servers import Kafka
from transport.kafka import KafkaSettings

pytest.register_assert_rewrite("integration.test_streams")
from integration import test_streams as suite  # noqa: E402 - after the line above, so that its asserts speak

pytestmark = pytest.mark.integration

monitoring, producer, write = suite.monitoring, suite.producer, suite.write


@pytest.fixture(scope="module")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    there = natives.installed()
    server = Kafka(tmp_path_factory.mktemp("kafka"), there.java, there.kafka_libs, jvm=QUICK_START)
    natives.done(server.start())
    yield server
    natives.done(server.stop())


@pytest.fixture
async def kafka(real_kafka: Kafka) -> KafkaSettings:
    """How to reach Apache Kafka; every topic is empty."""
    await natives.fresh_topics(real_kafka.bootstrap)
    return KafkaSettings(real_kafka.bootstrap, fetch_max_wait_ms=10)


@pytest.fixture
def clock() -> WardClock:
    return WardClock()


test_dead_letters = suite.test_what_cannot_be_read_goes_to_the_dead_letters_and_the_others_go_on
test_the_ward_fails = suite.test_a_block_on_which_the_ward_fails_goes_to_the_dead_letters_and_the_others_go_on
test_another_version = suite.test_a_snapshot_of_another_version_is_refused_with_what_to_do
test_judged_anew = suite.test_told_so_it_judges_the_log_anew_and_goes_on
test_shards = suite.test_a_large_snapshot_goes_in_shards_and_is_restored
test_commits = suite.test_an_offset_is_committed_after_its_snapshot_and_effects_never_before
