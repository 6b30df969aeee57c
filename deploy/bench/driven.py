"""One load on a running stack: the load and the observer as processes beside it, and what each process took meanwhile.

Which pipeline it is that turns bundles into alarm events is the caller's matter: he says what the observer reads,
which processes count, and looks at his pipeline twice: when the warm time is over, and when all is sent.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from deploy.bench.load import LoadDone, LoadSpec
from deploy.bench.machine import Usage, usage
from deploy.bench.observer import ObserveSpec, Seen
from deploy.bench.stack import BenchStack
from deploy.bench.workload import Ward
from deploy.brokers import values
from transport.kafka import KafkaSettings, Record, TopicReader
from vitals.signs import SECOND_NS

Say = Callable[[str], None]
Look = TypeVar("Look")

PAUSE_S: Final = 4.0  # after the load: whatever is under way comes out, and every part says how it is once more
_MAKE_S: Final = 4.0  # starting the load's process,
_MAKE_S_PER_BUNDLE: Final = 40e-6  # and making its bytes; longer on a machine that is busy with other things


class BenchError(RuntimeError):
    """A run told nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Drive:
    """A load.

    Attributes:
        stack: What runs.
        ward: Who sends.
        seconds: How long is measured.
        warm_s: How long before that.
        boot: Of all devices; higher each time on one stack.
    """

    stack: BenchStack
    ward: Ward
    seconds: float
    warm_s: float
    boot: int = 1

    @property
    def total_s(self) -> float:
        """How long is sent."""
        return self.warm_s + self.seconds

    @property
    def bundles(self) -> int:
        """How many are measured."""
        return int(self.ward.rate * self.seconds)


@dataclass(frozen=True, slots=True)
class Driven(Generic[Look]):
    """How it went.

    Attributes:
        done: What the load says.
        seen: What the observer saw.
        window: From when to when bundles count, by their intended send time on the wall's clock.
        used: What each process had taken at the ends of the window.
        looks: What the caller saw of his pipeline: when the warm time was over, and when all was sent.
    """

    done: LoadDone
    seen: Seen
    window: tuple[int, int]
    used: tuple[Usage, Usage]
    looks: tuple[Look, Look]


async def drive(
    plan: Drive,
    observe: ObserveSpec,
    pids: dict[str, int],
    at_warm: Callable[[], Awaitable[Look]],
    at_end: Callable[[int], Awaitable[Look]],
    say: Say,
) -> Driven[Look]:
    """Send everything and watch.

    Args:
        plan: What is sent, on which stack.
        observe: What the observer reads.
        pids: Processes that count, by name; those of load and observer are added.
        at_warm: Looks at the pipeline when the warm time is over.
        at_end: Likewise when all is sent; is told when the first bundle was meant to be sent. The observer sees all
            that stands in its topic when this returns.
        say: Prints a line for people.

    Raises:
        BenchError: If the load or the observer broke.
    """
    async with AsyncExitStack() as running:
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        make_s = (_MAKE_S + plan.ward.rate * plan.total_s * _MAKE_S_PER_BUNDLE) * crowd
        start_ns = time.time_ns() + int(make_s * SECOND_NS)
        observer = Child("observer", plan.stack.folder, observe)
        load = Child("load", plan.stack.folder, _load_spec(plan, start_ns))
        for child in (observer, load):
            running.callback(child.kill)
            child.start()
        pids |= {"load": load.pid, "observer": observer.pid}
        window = (start_ns + int(plan.warm_s * SECOND_NS), start_ns + int(plan.total_s * SECOND_NS))
        await _until(window[0])
        before, first = usage(pids), await at_warm()
        say(f"warm: measuring {plan.seconds:g} s at {plan.ward.rate:g} bundles a second")
        await _until(window[1] - SECOND_NS // 10)
        after = usage(pids)
        done = msgspec.json.decode(await load.result(60), type=LoadDone)
        if done.error:
            raise BenchError(f"the load broke off: {done.error}")
        last = await at_end(start_ns)
        seen = msgspec.json.decode(await observer.result(60), type=Seen)
        return Driven(done, seen, window, (before, after), (first, last))


def _load_spec(plan: Drive, start_ns: int) -> LoadSpec:
    ward, stack = plan.ward, plan.stack
    return LoadSpec(
        port=stack.servers.mqtt_port, user=values.PLAYER_USER, password_file=stack.player_password_file,
        patients=ward.patients, rate=ward.rate, ill=ward.ill, seconds=plan.total_s, start_ns=start_ns, boot=plan.boot,
        speed=ward.speed, since_ns=ward.since_ns,
    )  # fmt: skip


async def _until(time_ns: int) -> None:
    await asyncio.sleep(max(0.0, (time_ns - time.time_ns()) / SECOND_NS))


async def end_of(kafka: KafkaSettings, topic: str) -> Mapping[tuple[str, int], int]:
    """Where the next records of a topic will stand."""
    async with TopicReader(kafka, (topic,)) as reader:
        return await reader.end_offsets()


async def arrived(
    kafka: KafkaSettings,
    topic: str,
    since: Mapping[tuple[str, int], int],
    due: Collection[str],
    name_of: Callable[[Record], str],
    within_s: float,
) -> list[Record]:
    """Read a topic until all that is due stands in it.

    Args:
        kafka: Where.
        topic: Which.
        since: Where reading begins (`end_of`, before the load).
        due: Names of what is waited for.
        name_of: Of a record.
        within_s: How long something due may be waited for once nothing more comes.

    Returns:
        All records until then; whatever else stands there by then is among them.
    """
    found: list[Record] = []
    missing = set(due)
    async with TopicReader(kafka, (topic,), offsets=since) as reader:
        while missing and (records := await reader.read(timeout_s=within_s)):
            missing -= {name_of(record) for record in records}
            found += records
        return found + await reader.read_to_end()


class Child:
    """A process of the benchmark itself: told a spec by a file, tells its result on standard output."""

    def __init__(self, name: str, folder: Path, spec: msgspec.Struct) -> None:
        """Nothing is started before `start`.

        Args:
            name: Module of this package.
            folder: Where the file goes.
            spec: What it is told.
        """
        self._name = name
        self._file = folder / f"{name}.json"
        self._file.write_bytes(msgspec.json.encode(spec))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"deploy.bench.{self._name}", str(self._file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def result(self, timeout_s: float) -> bytes:
        """End its standard input, and wait for what it has to say.

        Raises:
            BenchError: If it fails, or does not end.
        """
        process = self._process
        if process is None:
            raise BenchError(f"the {self._name} was not started")
        try:
            out, errors = await asyncio.to_thread(process.communicate, None, timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"the {self._name} did not come to its end") from None
        if process.returncode:
            raise BenchError(f"the {self._name} failed: {errors.decode(errors='replace')[-600:]}")
        return out

    def kill(self) -> None:
        """End it whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
