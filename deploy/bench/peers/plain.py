"""The work on one message, in plain Python: what every pipeline that goes message by message does alike.

Needs nothing but the standard library, because it runs in the environments of the others.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from pathlib import Path
from typing import Any


class Work:
    """What a spec asks for.

    Attributes:
        spec: The file as it was read: ``bootstrap``, ``input``, ``output``, ``group``, ``folder``, ``alpha``,
            ``signs``, and ``limits`` where limits are judged.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        """From a spec."""
        self.spec = spec
        self._alpha: float = spec["alpha"]
        self._signs = [(name, sign["cuts"], sign["points"]) for name, sign in spec["signs"].items()]
        self._limits: dict[str, list[float | None]] = spec.get("limits", {})

    @classmethod
    def told(cls) -> Work:
        """From the file that the command line names."""
        return cls(json.loads(Path(sys.argv[1]).read_text("utf-8")))

    def step(self, bundle: dict[str, Any], means: dict[str, float]) -> dict[str, Any]:
        """The result of one bundle.

        Args:
            bundle: ``patient``, ``seq``, ``sent_ns``, and a value for each sign.
            means: The patient's moving means by sign; moved on in place.
        """
        news2 = 0
        alpha = self._alpha
        result = {"patient": bundle["patient"], "seq": bundle["seq"], "sent_ns": bundle["sent_ns"]}
        for name, cuts, points in self._signs:
            value = bundle[name]
            news2 += points[bisect_right(cuts, value)]
            mean = means.get(name)
            mean = value if mean is None else mean + alpha * (value - mean)
            means[name] = result[name] = mean
        result["news2"] = news2
        return result

    def breached(self, values: dict[str, float]) -> list[str]:
        """Signs whose value is at or past one of their limits."""
        return [
            name
            for name, (low, high) in self._limits.items()
            if (low is not None and values[name] <= low) or (high is not None and values[name] >= high)
        ]
