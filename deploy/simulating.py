"""``teleward simulate``: devices only, against any MQTT broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.clock import WardClock
from deploy.parts.environment import CLOCK, PULSE, Environment
from deploy.parts.pulse import Pulse
from deploy.ward_process import say as say_record
from deploy.ward_times import WardTimes
from device_sim import Simulation, load, plan
from transport.kafka import KafkaSettings, make_producer
from transport.mqtt import MqttClient, MqttSettings
from vitals import topics


@dataclass(frozen=True, slots=True)
class SimulateSettings:
    """What is simulated, and against which broker.

    Attributes:
        scenario: A shipped scenario or a file.
        mqtt: ``host:port``.
        kafka: ``host:port`` where enrolments and bindings are said; None: they were said before.
        speed: Seconds of the patients' time in one of the wall; None takes 1, the pace of a real ward.
        seed: Of all chance.
        minutes: Of the wall; None: to the scenario's end or Ctrl-C.
        truth: File for what really happened.
        user: At the broker, and the name of the session; a broker with accounts wants a player's.
        password: Of that user.
        tls: The authority to trust, where the broker wants TLS.
        clock: Ward time of a stack that runs faster than the wall, as ``TELEWARD_CLOCK`` says it; "" for the wall's.
    """

    scenario: str
    mqtt: str
    kafka: str | None = None
    speed: float | None = None
    seed: int | None = None
    minutes: float | None = None
    truth: Path | None = None
    user: str = ""
    password: str | None = None
    tls: Path | None = None
    clock: str = ""


async def run_simulate(settings: SimulateSettings, say: Callable[[str], None]) -> dict[str, Any]:
    """Play a scenario's devices until its end, the end of the time, or Ctrl-C.

    Raises:
        ScenarioError: If the scenario cannot be played.
        ValueError: If the broker's address is none.
    """
    host, _, port = settings.mqtt.rpartition(":")
    if not host or not port.isdigit():
        raise OSError(f"--mqtt is {settings.mqtt!r}; it takes host:port, such as 127.0.0.1:1883")
    clock = Environment({CLOCK: settings.clock}).clock() if settings.clock else WardClock(settings.speed or 1.0)
    planned = plan(load(settings.scenario, settings.seed), clock.now_ns())
    if settings.kafka is not None:
        producer = make_producer(KafkaSettings(settings.kafka))
        await producer.start()
        for record in planned.records:
            await say_record(producer, record)
        await producer.stop()
    broker = MqttSettings(
        settings.user or "simulator",
        host=host,
        port=int(port),
        username=settings.user or None,
        password=settings.password,
        tls=ssl.create_default_context(cafile=settings.tls) if settings.tls else None,
        session_expiry_s=0,
        max_in_flight=200,
    )
    async with MqttClient(broker, (topics.MQTT_CLOCK,)) as client:
        say(f"connecting to {settings.mqtt}")
        await client.until_connected()
        simulation = Simulation(planned, client, clock, settings.truth, WardTimes(client))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, simulation.stop)
        say(f"{len(planned.devices)} devices publish at {clock.speed:g} x time; Ctrl-C ends it")
        running = asyncio.create_task(simulation.run())
        words = f"{len(planned.devices)} devices publish"
        async with Pulse(os.environ.get(PULSE, ""), lambda: ("ok", words)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if settings.minutes is None else settings.minutes * 60):
                    await asyncio.shield(running)
            simulation.stop()
            await running
    return asdict(simulation.progress)
