"""When a channel is tried again, when the next one, and when a person is given up. Pure.

```
channel 1: try - 2 s - try - 6 s - try --> passed over --> channel 2: try - 2 s - ... --> all failed
```
"""

from __future__ import annotations

from dataclasses import dataclass

from vitals.signs import SECOND_NS


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How patient the pager is with a channel.

    Attributes:
        tries: On each channel, before it is passed over.
        pause_ns: After the first failure.
        grow: Each further pause is so many times the one before. Example: 2 s, 6 s, 18 s.
        timeout_s: How long a channel may take to answer, in time of the wall. What comes later may have arrived all
            the same: the message is then in doubt, and is sent again under the same id.
    """

    tries: int = 3
    pause_ns: int = 2 * SECOND_NS
    grow: int = 3
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.tries < 1 or self.pause_ns <= 0 or self.grow < 1 or self.timeout_s <= 0:
            raise ValueError(f"tries, pause, grow and timeout must be above 0: {self}")

    @property
    def longest_ns(self) -> int:
        """How long pauses on one channel take together."""
        return sum(self.pause_ns * self.grow**n for n in range(self.tries - 1))


@dataclass(frozen=True, slots=True)
class Again:
    """Try again.

    Attributes:
        channel: Which.
        tries: How often it has failed.
        due_ns: When.
        passed_over: True where this is another channel than before.
    """

    channel: int
    tries: int
    due_ns: int
    passed_over: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No channel took it: it is the next person's turn."""


def after_failure(channel: int, tries: int, channels: int, now_ns: int, settings: DeliverySettings) -> Again | GiveUp:
    """What to do when a channel has failed.

    Args:
        channel: Which failed.
        tries: How often it had failed before.
        channels: How many the person has.
        now_ns: Ward time.
        settings: How patient to be.
    """
    tries += 1
    if tries < settings.tries:
        return Again(channel, tries, now_ns + settings.pause_ns * settings.grow ** (tries - 1), passed_over=False)
    if channel + 1 < channels:
        return Again(channel + 1, 0, now_ns, passed_over=True)
    return GiveUp()
