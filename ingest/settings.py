"""Settings of the bridge, frozen and checked at birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from transport.kafka import KafkaSettings
from transport.mqtt import MqttSettings
from vitals import topics
from vitals.validate import CheckSettings

TickSource: TypeAlias = Literal["clock", "marks"]

DEFAULT_BRIDGE: Final = "bridge"


class Clock(Protocol):
    """Ward time: the wall's on a ward, a faster one in the demo, a fake one in tests."""

    def now_ns(self) -> int:
        """Ward time in nanoseconds UTC; never runs backwards."""
        ...

    async def sleep_until(self, t_ns: int) -> None:
        """Return when `now_ns()` has reached `t_ns`; at once where it has already."""
        ...


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """All that the bridge depends on.

    Attributes:
        mqtt: Where bundles come from. Its Receive Maximum bounds what the bridge holds: 1,000 bundles of 2 kB are
            2 MB, of the largest allowed 64 kB 64 MB. (The embedded broker never sends more than 100.)
        kafka: Where they go.
        bridge: Name of this bridge: in its ticks, in quarantine, as a level of its own MQTT topics. Two bridges of
            one name would hold each other's time.
        ticks: ``clock``: time goes on by itself; ``marks``: only a player's marks are time, for replays.
        tick_ns: Ward time between two ticks.
        ticks_per_s: Most ticks a second of the wall; at 60 times the wall's pace 20 a second are one for each 3 s.
        patience_s: When nothing at all comes from the broker for so long, not even our own probe, time goes on all
            the same: that nobody hears the patients must be said. Seconds of the wall, while we ourselves ran.
        block_bundles: A block is closed when it holds so many bundles ...
        block_bytes: ... or about so many bytes, whatever is under way. A bundle may overshoot it by its own 64 kB.
        gather_s: Seconds that bundles gather at most before their block is closed, on a busy ward; see `ingest.pace`.
        busy_per_s: Bundles a second from which a ward is that busy.
        slow_after_s: When the oldest message waits so long for Kafka, the bridge says that it is slow.
        status_every_s: How often the bridge says how it is, besides at every change.
        clock_every_s: How often the bridge tells devices what time it is, so that those that echo it can be compared;
            seconds of the wall.
        stop_timeout_s: How long a stop waits for Kafka to take what is under way; the rest comes again.
        check: How readings are judged.
    """

    mqtt: MqttSettings = field(default_factory=lambda: MqttSettings(DEFAULT_BRIDGE, receive_maximum=1_000))
    kafka: KafkaSettings = field(default_factory=lambda: KafkaSettings("127.0.0.1:9092", client_id=DEFAULT_BRIDGE))
    bridge: str = DEFAULT_BRIDGE
    ticks: TickSource = "clock"
    tick_ns: int = 1_000_000_000
    ticks_per_s: float = 20.0
    patience_s: float = 10.0
    block_bundles: int = 1_000
    block_bytes: int = 256 * 1024
    gather_s: float = 0.008
    busy_per_s: float = 1_000.0
    slow_after_s: float = 1.0
    status_every_s: float = 2.0
    clock_every_s: float = 10.0
    stop_timeout_s: float = 5.0
    check: CheckSettings = field(default_factory=CheckSettings)

    def __post_init__(self) -> None:
        if not topics.DEVICE_ID.fullmatch(self.bridge):
            raise ValueError(f"bridge is {self.bridge!r}, which can't be a level of a topic")
        if self.mqtt.session_expiry_s == 0:
            raise ValueError("mqtt.session_expiry_s is 0: what comes while the bridge is away would be lost")
        for name in (
            "tick_ns", "ticks_per_s", "patience_s", "block_bundles", "busy_per_s", "slow_after_s", "status_every_s",
            "clock_every_s",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must be positive")
        # A group of records travels as one batch of at most max_record_bytes, and a block is its largest record.
        largest = self.kafka.max_record_bytes // 2
        if not 0 < self.block_bytes <= largest:
            raise ValueError(f"block_bytes is {self.block_bytes}, not in 1..{largest} (half of max_record_bytes)")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> BridgeSettings:
        """From ``TELEWARD_MQTT_HOST``, ``_PORT``, ``_USER``, ``_PASSWORD``, ``TELEWARD_KAFKA``, ``TELEWARD_BRIDGE``."""
        bridge = environ.get("TELEWARD_BRIDGE", DEFAULT_BRIDGE)
        mqtt = MqttSettings(
            client_id=bridge,
            host=environ.get("TELEWARD_MQTT_HOST", "127.0.0.1"),
            port=int(environ.get("TELEWARD_MQTT_PORT", "1883")),
            username=environ.get("TELEWARD_MQTT_USER"),
            password=environ.get("TELEWARD_MQTT_PASSWORD"),
            receive_maximum=1_000,
        )
        kafka = KafkaSettings(environ.get("TELEWARD_KAFKA", "127.0.0.1:9092"), client_id=bridge)
        return cls(mqtt=mqtt, kafka=kafka, bridge=bridge)
