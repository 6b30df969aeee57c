r"""By how much a device's clock is off ours: bounds, from time stamps in both directions.

The bridge says what time it is; a device that hears it writes both times into its next bundle (an *echo*)::

    bridge   told 10:00:00.000                    received 10:00:00.900
                       \                             /
    device          heard 10:00:02.030    sent 10:00:02.870

Nothing arrives before it is sent. So the device's clock is ahead of ours by at most heard - told (2.03 s) and by at
least sent - received (1.97 s), whatever the ways took, and however unequal they were. The newest minutes' tightest pair
is what is known; their distance is the quickest turn there and back (RFC 5905 halves it and calls that the error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

_NEVER: Final = -(2**63)
_EVER: Final = 2**63 - 1
WINDOW_NS: Final = 300 * 1_000_000_000
"""Bounds are of the newest five to ten minutes: a quartz wrong by 50 millionths moves by 30 ms in ten."""
_TOLD: Final = 128  # times we remember to have told; an echo of any other is nobody's, or another bridge's


class Echo(NamedTuple):
    """What a device heard of our time.

    Attributes:
        told_ns: The time that the bridge told.
        heard_ns: When the device heard it, by its own clock.
    """

    told_ns: int
    heard_ns: int


class Bounds(NamedTuple):
    """By how much a device's clock is ahead of the bridge's, in nanoseconds; negative: behind."""

    least: int
    most: int


class _Said(msgspec.Struct, frozen=True):
    v: int
    now_ns: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Said)


def say(now_ns: int) -> bytes:
    """What the bridge publishes on `vitals.topics.MQTT_CLOCK`."""
    return _encoder.encode(_Said(1, now_ns))


def heard(payload: bytes) -> int | None:
    """The time that was told; None where the bytes tell none."""
    try:
        return _decoder.decode(payload).now_ns
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


@dataclass(slots=True)
class _Clock:
    """Of one device: the tightest bounds since an instant, and of the window before it."""

    since_ns: int
    least: int = _NEVER
    most: int = _EVER
    least_before: int = _NEVER
    most_before: int = _EVER


class DeviceClocks:
    """What is known of the clocks of devices that echo our time; nothing is kept of others."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[int, None] = {}  # in the order in which they were told
        self._clocks: dict[str, _Clock] = {}

    def told(self, now_ns: int) -> None:
        """We are about to say that it is so late."""
        self._told[now_ns] = None
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]

    def saw(self, device: str, sent_ns: int, received_ns: int, echo: tuple[int, int] | None) -> Bounds | None:
        """Take the stamps of a bundle.

        Args:
            device: Whose.
            sent_ns: By the device's clock.
            received_ns: By ours.
            echo: As `Echo`, what the bundle carries of our time; None for nothing.

        Returns:
            What is known now; None while one direction is not.
        """
        clock = self._clocks.get(device)
        if clock is None:
            if echo is None:
                return None
            clock = self._clocks[device] = _Clock(received_ns)
        if received_ns - clock.since_ns >= WINDOW_NS:
            kept = received_ns - clock.since_ns < 2 * WINDOW_NS
            clock.least_before, clock.most_before = (clock.least, clock.most) if kept else (_NEVER, _EVER)
            clock.since_ns, clock.least, clock.most = received_ns, _NEVER, _EVER
        least = sent_ns - received_ns
        most = echo[1] - echo[0] if echo is not None and echo[0] in self._told else _EVER
        clock.least, clock.most = max(clock.least, least), min(clock.most, most)
        bounds = Bounds(max(clock.least, clock.least_before), min(clock.most, clock.most_before))
        if bounds.least > bounds.most:  # somebody set the clock: what was known before holds no longer
            clock.since_ns, clock.least_before, clock.most_before = received_ns, _NEVER, _EVER
            clock.least, clock.most = least, most if most >= least else _EVER
            bounds = Bounds(clock.least, clock.most)
        return None if bounds.most == _EVER else bounds

    def numbers(self) -> dict[str, float]:
        """For the bridge's health, over devices of which both directions are known: how many, and milliseconds.

        ``clocks``: how many; ``clock_off_ms``: the most that any is surely off; ``clock_width_ms``: the widest
        distance between the bounds of one.
        """
        known = [
            (max(clock.least, clock.least_before), min(clock.most, clock.most_before))
            for clock in self._clocks.values()
            if min(clock.most, clock.most_before) != _EVER
        ]
        surely_off = (max(least, -most, 0) for least, most in known)
        return {
            "clocks": len(known),
            "clock_off_ms": max(surely_off, default=0) / 1e6,
            "clock_width_ms": max((most - least for least, most in known), default=0) / 1e6,
        }
