"""Readings -> numbered bundles: the part that simulated devices and players of recordings share."""

from __future__ import annotations

import msgspec

from vitals import wire
from vitals.wire import Format, SentBundle, SentReading


class Bundler:
    """Numbers the bundles of one boot of one device.

    Args:
        device: Its id.
        boot: Number of the start.
    """

    def __init__(self, device: str, boot: int) -> None:
        self.device = device
        self.boot = boot
        self.seq = 0
        self.n_before = 0

    def make(self, readings: list[SentReading], battery_pct: float | None = None) -> SentBundle:
        """The next bundle, without its send time (0) yet."""
        bundle = SentBundle(
            device=self.device,
            boot=self.boot,
            seq=self.seq,
            sent_ns=0,
            n=len(readings),
            n_before=self.n_before,
            battery_pct=battery_pct,
            readings=readings,
        )
        self.seq += 1
        self.n_before += len(readings)
        return bundle


def stamped(
    bundle: SentBundle, sent_ns: int, queued: int, encoding: Format, clock: tuple[int, int] | None = None
) -> bytes:
    """The bytes of a bundle that goes to the radio for the first time.

    Args:
        bundle: From `Bundler.make`.
        sent_ns: Now, by the device's clock.
        queued: How many bundles wait behind it.
        encoding: How the device writes.
        clock: The ward's time that it heard last, and when, by its own clock.
    """
    return wire.encode(msgspec.structs.replace(bundle, sent_ns=sent_ns, queued=queued, clock=clock), encoding)
