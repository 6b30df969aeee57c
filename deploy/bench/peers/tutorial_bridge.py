"""From MQTT to Kafka as the tutorials of paho-mqtt and aiokafka have it: each message becomes a record, one by one.

Where tutorials differ the quicker way is taken: a record is handed to the producer without waiting for Kafka's
acknowledgement of the one before, and MQTT's acknowledgement waits for nothing. So a crash here loses what both
brokers were told is safe; the bridge that this is compared with does not.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from aiokafka import AIOKafkaProducer
from paho.mqtt.enums import CallbackAPIVersion


async def main(spec: dict[str, Any], password: str) -> None:
    """Carry messages until killed."""
    producer = AIOKafkaProducer(bootstrap_servers=spec["bootstrap"])
    await producer.start()
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def on_connect(client: Any, *_: Any) -> None:
        client.subscribe(spec["filter"], qos=1)

    def on_subscribe(*_: Any) -> None:
        print("ready", flush=True)

    def on_message(_client: Any, _userdata: Any, message: Any) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, (message.topic, message.payload))

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(spec["mqtt_user"], password)
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect("127.0.0.1", spec["mqtt_port"])
    client.loop_start()
    while True:
        topic, payload = await messages.get()
        await producer.send(spec["input"], payload, key=topic.split("/")[2].encode())


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    asyncio.run(main(told, Path(told["mqtt_password_file"]).read_text("utf-8").strip()))
