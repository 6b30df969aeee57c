"""Bytewax: a stateful map between its Kafka connectors, JSON by orjson."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main

sys.path.insert(0, str(Path(__file__).parent))

from plain import Work

work = Work.told()
spec = work.spec


def judge(means: dict[str, float] | None, bundle: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """One bundle."""
    means = {} if means is None else means
    return means, work.step(bundle, means)


def keyed(message: Any) -> tuple[str, dict[str, Any]]:
    """A message as its patient and what it says."""
    return message.key.decode(), orjson.loads(message.value)


def packed(result: tuple[str, dict[str, Any]]) -> KafkaSinkMessage[bytes, bytes]:
    """A result as a message."""
    return KafkaSinkMessage(result[0].encode(), orjson.dumps(result[1]))


flow = Dataflow("judge")
found = kop.input("in", flow, brokers=[spec["bootstrap"]], topics=[spec["input"]], batch_size=1000)
results = op.stateful_map("judge", op.map("keyed", found.oks, keyed), judge)
kop.output("out", op.map("packed", results, packed), brokers=[spec["bootstrap"]], topic=spec["output"])

if __name__ == "__main__":
    cluster_main(flow, [], 0)
