"""What the bridge counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class BridgeCounts:
    """What the bridge has counted since it started.

    Attributes:
        messages: MQTT messages taken, those that came again included.
        bundles: Bundles put into blocks.
        readings: Accepted readings in them.
        refused: Readings refused of bundles that were taken.
        quarantined: Messages refused whole.
        blocks: Blocks appended.
        ticks: Instants that time went on to.
        announced: A player's announcements of when bundles were received.
        registry: Bindings, enrolments and limits copied into the log.
        unreadable: Records of the registry that were none.
    """

    messages: int = 0
    bundles: int = 0
    readings: int = 0
    refused: int = 0
    quarantined: int = 0
    blocks: int = 0
    ticks: int = 0
    announced: int = 0
    registry: int = 0
    unreadable: int = 0
