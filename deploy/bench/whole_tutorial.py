"""The tutorials' pipeline on the whole way: the same load, Mosquitto and Kafka as ours, other programs between them.

MQTT -> a subscriber that sends each message to Kafka by itself -> a Faust app with an agent and a table -> an alarm
event for each bundle that passes a limit (`deploy.bench.peers.tutorial_bridge`, `.tutorial_alarms`). It keeps nothing
but its table: readings are not stored, nothing is refused, nobody has a page. All that is in its favour.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.bench.driven import PAUSE_S, BenchError, Drive, Driven, Say, arrived, drive, end_of
from deploy.bench.due import Judged, limits, wrong_in
from deploy.bench.latency import histogram_of, load_told, told
from deploy.bench.load import say_once
from deploy.bench.machine import taken
from deploy.bench.observer import ObserveSpec
from deploy.bench.peers.work import ALPHA, signs
from deploy.bench.stack import BenchStack
from deploy.bench.workload import Ward, device, low_bundle, payloads
from deploy.brokers import values
from deploy.brokers.mosquitto import Role
from deploy.native.process import LEASH, last_words, until_ended
from transport.kafka import KafkaSettings, Record, TopicReader
from vitals import topics

INPUT: Final = "tutorial.bundles"
ALARMS: Final = "tutorial.alarms"
_USER: Final = "tutorial"
_READY: Final = b"ready"
_HERE: Final = Path(__file__).parent / "peers"
_LOOK_S: Final = 0.05
_START_S: Final = 60.0
_OWED_S: Final = 20.0  # how long nothing may come while an event is due


@dataclass
class Tutorial:
    """Its two processes on a running stack: ``async with Tutorial(stack, ward) as tutorial``.

    Attributes:
        stack: Its servers; the ward's parts do not run.
        ward: Who will send; a device beyond theirs is used to see that everything is up.
    """

    stack: BenchStack
    ward: Ward
    _exit: AsyncExitStack = field(init=False)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _judged: Judged = field(default_factory=Judged)

    async def __aenter__(self) -> Self:
        self._exit = AsyncExitStack()
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    @property
    def pids(self) -> dict[str, int]:
        """Every process of the pipeline by name; of the servers those that it uses."""
        servers = {name: pid for name, pid in self.stack.pids.items() if name != self.stack.servers.influx.name}
        return servers | {name: process.pid for name, process in self._processes.items()}

    @property
    def _kafka(self) -> KafkaSettings:
        return KafkaSettings(self.stack.servers.bootstrap, client_id="bench")

    async def _start(self) -> None:
        await asyncio.to_thread(self._create_topics)
        self.stack.servers.password(_USER, Role.BRIDGE)
        folder = self.stack.folder / "tutorial"
        folder.mkdir(exist_ok=True)
        spec = {
            "bootstrap": self.stack.servers.bootstrap, "input": INPUT, "output": ALARMS, "group": "tutorial-alarms",
            "folder": str(folder / "state"), "alpha": ALPHA, "signs": signs(), "limits": limits(),
            "filter": topics.MQTT_BUNDLES, "mqtt_port": self.stack.servers.mqtt_port, "mqtt_user": _USER,
            "mqtt_password_file": str(self.stack.servers.mqtt.accounts.own_file(_USER)),
        }  # fmt: skip
        path = folder / "spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        for name in ("tutorial_alarms", "tutorial_bridge"):
            self._begin(name, path)
        async with asyncio.timeout(_START_S):
            while _READY not in self._log("tutorial_bridge").read_bytes().split():
                self._still()
                await asyncio.sleep(_LOOK_S)
        await self._try()

    def _create_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.stack.servers.bootstrap, "log_level": 0})
        for future in admin.create_topics([NewTopic(name, 1, 1) for name in (INPUT, ALARMS)]).values():
            future.result(30)

    def _log(self, name: str) -> Path:
        return self.stack.folder / "tutorial" / f"{name}.log"

    def _begin(self, name: str, spec: Path) -> None:
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), sys.executable,
                 str(_HERE / f"{name}.py"), str(spec)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._processes[name.replace("_", "-")] = process
        self._exit.push_async_callback(_end, process)

    def _still(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise BenchError(f"{name} ended: {last_words(self._log(name.replace('-', '_')), 0)}")

    async def _try(self) -> None:
        """One low bundle of somebody who is not in the ward, until its event is there."""
        who = self.ward.patients
        user = values.PLAYER_USER
        password = self.stack.servers.password(user, Role.PLAYER)
        payload = low_bundle(who, time.time_ns(), boot=0)
        topic = topics.bundle_topic(device(who))
        await asyncio.to_thread(say_once, self.stack.servers.mqtt_port, user, password, topic, payload)
        until = time.monotonic() + _START_S
        async with TopicReader(self._kafka, (ALARMS,)) as reader:
            while not await reader.read(timeout_s=1.0):
                self._still()
                if time.monotonic() > until:
                    raise BenchError("the tutorial's pipeline gives no event of a first bundle")

    async def measure(self, ward: Ward, seconds: float, warm_s: float, say: Say, *, boot: int = 1) -> dict[str, Any]:
        """One load; see `deploy.bench.latency.measure`.

        Raises:
            BenchError: If the load, the observer or the pipeline broke, or it told what the bundles do not say.
        """
        plan = Drive(self.stack, ward, seconds, warm_s, boot)
        since = await end_of(self._kafka, ALARMS)
        due: dict[str, dict[str, Any]] = {}

        async def at_warm() -> int:
            return 0

        async def at_end(start_ns: int) -> int:
            await asyncio.sleep(PAUSE_S)
            in_time = sum((await end_of(self._kafka, ALARMS)).values()) - sum(since.values())
            due.update(self._judged.breaches(payloads(ward, start_ns, plan.total_s, boot=boot)[2]))
            records = await arrived(self._kafka, ALARMS, since, due, _name, _OWED_S)
            self._still()
            if wrong := wrong_in([msgspec.json.decode(record.value or b"") for record in records], due):
                raise BenchError(f"the tutorial's pipeline tells {wrong}")
            return in_time

        pids = self.pids
        driven = await drive(plan, ObserveSpec(self.stack.servers.bootstrap, ALARMS, peer=True), pids, at_warm, at_end,
                             say)  # fmt: skip
        return _report(plan, driven, pids, set(due))


def _name(record: Record) -> str:
    event: dict[str, Any] = msgspec.json.decode(record.value or b"{}")
    return str(event.get("event_id"))


async def _end(process: subprocess.Popen[bytes]) -> None:
    # Nothing of it is wanted any more: to end in order would take Faust seconds.
    process.kill()
    await until_ended(process)


def _report(plan: Drive, driven: Driven[int], pids: dict[str, int], due: set[str]) -> dict[str, Any]:
    begin, end = driven.window
    sent = {event_id: plan.ward.wall_ns(stamps["published"]) for event_id, _, stamps in driven.seen.events}
    times = [came_ns - sent[event_id] for event_id, came_ns, _ in driven.seen.events if begin <= sent[event_id] < end]
    share = min(1.0, driven.looks[1] / len(due)) if due else 1.0
    return {
        "load": load_told(driven.done),
        "ways": {"to_event": told(histogram_of(times))},
        "hops": {},
        "alarms": {"due": len(due), "came": len(due & sent.keys())},
        # Breaches stand for all bundles: nothing else tells from outside how far the pipeline is.
        "judged": round(share * plan.bundles),
        **taken(driven.used[0], driven.used[1], plan.bundles, pids),
    }
