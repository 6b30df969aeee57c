"""The long fault runs stay outside of `make test`: `make test-faults` takes all."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, and say how many, unless they are asked for."""
    if os.environ.get("TELEWARD_FAULTS") == "all":
        return
    left = [item for item in items if item.get_closest_marker("long_faults")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
