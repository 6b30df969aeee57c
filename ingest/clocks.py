"""What time it is, said to devices; and what their echoes tell of their clocks (`vitals.clocks`)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from ingest.settings import BridgeSettings, Clock
from transport.mqtt import MqttClient, MqttError
from vitals import topics
from vitals.clocks import WINDOW_NS, Bounds, DeviceClocks, say
from vitals.validate import Accepted

_LONGEST_NS: Final = WINDOW_NS // 5  # where ward time runs faster than the wall


class Clocks:
    """The bridge's side of it. In a replay nothing is told, so nothing is known."""

    def __init__(self, settings: BridgeSettings, clock: Clock, client: MqttClient) -> None:
        """Nothing is said before `run`.

        Args:
            settings: How often.
            clock: Ward time.
            client: The bridge's connection.
        """
        self._every_s = settings.clock_every_s
        self._clock = clock
        self._client = client
        self._devices = DeviceClocks()

    async def run(self) -> None:
        """Say it, again and again."""
        while True:
            now_ns = self._clock.now_ns()
            self._devices.told(now_ns)
            with contextlib.suppress(MqttError):  # the next one will do
                await self._client.publish(topics.MQTT_CLOCK, say(now_ns), qos=0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._clock.sleep_until(now_ns + _LONGEST_NS)

    def saw(self, accepted: Accepted) -> Bounds | None:
        """Take a bundle's stamps; what is known of its device's clock now."""
        return self._devices.saw(accepted.device, accepted.sent_ns, accepted.received_ns, accepted.clock)

    def numbers(self) -> dict[str, float]:
        """For the bridge's health, see `vitals.clocks.DeviceClocks.numbers`."""
        return self._devices.numbers()
