"""What the simulator is handed: a clock and a way to publish. Both are protocols, so that tests hand in fakes."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Ward time: the wall's on a ward, a faster one in the demo, a fake one in tests."""

    def now_ns(self) -> int:
        """Ward time in nanoseconds UTC; never runs backwards."""
        ...

    async def sleep_until(self, t_ns: int) -> None:
        """Return when `now_ns()` has reached `t_ns`; at once where it has already."""
        ...


class Times(Protocol):
    """Where devices hear what time it is in the ward."""

    async def told(self) -> int:
        """Wait until it is said again.

        Returns:
            The time that was told, in nanoseconds.
        """
        ...


class Publisher(Protocol):
    """A connection to an MQTT broker, shared by many devices.

    Real devices have a connection each, under their own name, and the broker holds each to its own topic. A simulation
    shares a few connections instead; that fits the embedded broker, which has no such rule, and on a real stack it
    needs a user that may publish for all simulated devices.

    Attributes:
        connections: Good connections so far. Each one after the first says that one broke, and that the broker may
            have forgotten what it acknowledged lately.
    """

    @property
    def connections(self) -> int:
        """See above."""
        ...

    async def until_reconnected(self, after: int) -> int:
        """Wait until `connections` is more than `after`; how many there are then."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1.

        Returns:
            When the broker has acknowledged (PUBACK).

        Raises:
            Exception: Any, when it is not known whether the broker has it; the device sends the same bytes again.
        """
        ...
