"""Quix Streams: a data frame with state in RocksDB, as its documentation has it."""

from __future__ import annotations

from typing import Any

from plain import Work
from quixstreams import Application, State

work = Work.told()
spec = work.spec


def judge(bundle: dict[str, Any], state: State) -> dict[str, Any]:
    """One bundle."""
    means = state.get("means", {})
    result: dict[str, Any] = work.step(bundle, means)
    state.set("means", means)
    return result


def main() -> None:
    """Run until killed."""
    app = Application(
        broker_address=spec["bootstrap"],
        consumer_group=spec["group"],
        auto_offset_reset="earliest",
        state_dir=spec["folder"],
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(spec["input"], value_deserializer="json", key_deserializer="str"))
    frame = frame.apply(judge, stateful=True)
    frame.to_topic(app.topic(spec["output"], value_serializer="json", key_serializer="str"))
    app.run()


if __name__ == "__main__":
    main()
