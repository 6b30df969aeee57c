"""Kafka's topics and InfluxDB's buckets of the containers: made where they are missing, compared where they are.

``python -m deploy.compose.settle`` runs in a container of its own once both answer, and ends.
"""

from __future__ import annotations

import asyncio
import os
import sys

from deploy.kafka_topics import TopicsError, ensure, plan
from deploy.parts.environment import INFLUX_TOKEN_FILE, STORE, Environment, SettingError
from transport.kafka import KafkaError
from transport.stores.base import StoreUnavailable
from transport.stores.influx_setup import set_up_influx
from transport.stores.opened import StoreAddressError, influx_settings


def settle(environment: Environment) -> list[str]:
    """Make and compare.

    Returns:
        What was made, in words.

    Raises:
        TopicsError, KafkaError: Of the topics.
        StoreUnavailable, StoreAddressError, SettingError: Of the store.
    """
    wanted = plan(partitions=environment.partitions())
    made = [f"the topic {name}" for name in asyncio.run(ensure(environment.kafka("settle").bootstrap, wanted))]
    settings = influx_settings(environment.text(STORE), environment.secret("", INFLUX_TOKEN_FILE) or "")
    return made if settings is None else [*made, *set_up_influx(settings)]


def main() -> int:
    """See the module."""
    try:
        for line in settle(Environment(os.environ)):
            print(f"made {line}")
    except (TopicsError, KafkaError, StoreUnavailable, StoreAddressError, SettingError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
