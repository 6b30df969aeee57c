"""What time it is in the ward, as simulated devices hear it: `device_sim.ports.Times` over an MQTT connection."""

from __future__ import annotations

from transport.mqtt import MqttClient
from vitals.clocks import heard


class WardTimes:
    """Reads a client that has subscribed to `vitals.topics.MQTT_CLOCK`, and to nothing else."""

    def __init__(self, client: MqttClient) -> None:
        """It takes every message of the client."""
        self._client = client

    async def told(self) -> int:
        """See `device_sim.ports.Times`; of several that waited, the newest."""
        while True:
            messages = await self._client.receive()
            for message in messages:
                self._client.ack(message)
            for message in reversed(messages):
                if (now_ns := heard(message.payload)) is not None:
                    return now_ns
