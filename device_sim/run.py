"""Plays a scenario: devices wake when they are due, what they send goes out, in order for each device.

Shell. One heap of devices by when they next want something, instead of a task for each: between two wakings nothing
runs. A device with something to publish gets a task that lives until its line is empty; within a device one message
is under way at a time, so that a broker sees each device's messages in order, whatever fails and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from device_sim.device import Sending
from device_sim.ports import Clock, Publisher, Times
from device_sim.scenario import Plan, QueueOf, Scenario, in_memory, plan
from device_sim.truth import Truth
from vitals.signs import SECOND_NS

_log: Final = logging.getLogger(__name__)

# Ward time between tries; a demo at speed 60 then tries again after 33 ms of the wall, at most after half a second.
FIRST_PAUSE_NS: Final = 2 * SECOND_NS
LONGEST_PAUSE_NS: Final = 32 * SECOND_NS
_BREATHE: Final = 64  # devices woken before others on the event loop get a turn


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a simulation has come.

    Attributes:
        now_ns: Ward time of the newest waking.
        bundles: Bundles made.
        readings: Readings in them.
        acknowledged: Readings that the broker has.
        queued: Readings it does not have.
        published: Messages the broker took, repeats and garbage among them.
        failures: Tries that failed.
        under_way: Messages handed to the connection and not answered.
        behind_ns: By how much of ward time the newest waking came late: the machine, or a clock too fast for it.
    """

    now_ns: int
    bundles: int
    readings: int
    acknowledged: int
    queued: int
    published: int
    failures: int
    under_way: int
    behind_ns: int


class Simulation:
    """A scenario being played.

    Args:
        plan: What is played, from when.
        publisher: Where to; shared by all devices (see `device_sim.ports.Publisher`).
        clock: Ward time.
        sidecar: File for the truth, JSON Lines; overwritten. None for none.
        times: Where devices hear what time it is in the ward; None: they hear nothing, and echo nothing.
    """

    def __init__(
        self, plan: Plan, publisher: Publisher, clock: Clock, sidecar: Path | None = None, times: Times | None = None
    ) -> None:
        self.plan = plan
        self._publisher = publisher
        self._clock = clock
        self._times = times
        self._lines: list[deque[Sending]] = [deque() for _ in plan.devices]
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._told = [0] * len(plan.devices)  # by device: of which connection it has been told
        self._news = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._stopping = False
        self._now_ns = plan.start_ns
        self._behind_ns = 0
        self._published = 0
        self._failures = 0
        self._under_way = 0
        self._sidecar: TextIO | None = None if sidecar is None else sidecar.open("w", encoding="utf-8")
        self.truth = Truth(
            onsets=plan.onsets,
            faults=plan.faults,
            counts={device.device: device.counts for device in plan.devices},
            hits={device.device: device.faults.hits for device in plan.devices},
            write=None if self._sidecar is None else _writer(self._sidecar),
        )

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        counts = self.truth.counts.values()
        return Progress(
            now_ns=self._now_ns,
            bundles=sum(c.bundles for c in counts),
            readings=sum(c.readings for c in counts),
            acknowledged=sum(c.acknowledged for c in counts),
            queued=sum(c.queued for c in counts),
            published=self._published,
            failures=self._failures,
            under_way=self._under_way,
            behind_ns=self._behind_ns,
        )

    def stop(self) -> None:
        """No more samples. `run` then waits for the answers to what is under way, and returns."""
        self._stopping = True
        if self._loop_task is not None:
            self._loop_task.cancel()

    async def run(self, grace_s: float = 10.0) -> Truth:
        """Play to the end of the scenario, or until `stop`.

        Args:
            grace_s: How many seconds of the wall to wait, at the end, for the broker's answers. What is not answered
                by then counts as queued, though the broker may have it.

        Returns:
            The truth, complete.
        """
        scenario = self.plan.scenario
        self.truth.begin({"name": scenario.name, "seed": scenario.seed, "start_ns": self.plan.start_ns})
        watching = asyncio.gather(self._watch(), self._listen())
        try:
            self._loop_task = asyncio.ensure_future(self._play())
            if self._stopping:
                self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            if not self._stopping and self._cancelled():
                raise asyncio.CancelledError
            self._stopping = True
            await self._settle(grace_s)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await self._close()
        return self.truth

    @staticmethod
    def _cancelled() -> bool:
        """Whether the task that runs us was itself cancelled, rather than stopped."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _play(self) -> None:
        devices, end_ns = self.plan.devices, self.plan.end_ns
        heap = [(device.next_ns, index) for index, device in enumerate(devices)]
        heapq.heapify(heap)
        woken = 0
        while heap:
            due_ns, index = heap[0]
            if end_ns is not None and due_ns >= end_ns:
                await self._clock.sleep_until(end_ns)
                self._now_ns = end_ns
                return
            if due_ns > self._clock.now_ns():
                woken = 0
                await self._clock.sleep_until(due_ns)
            self._now_ns, self._behind_ns = due_ns, max(0, self._clock.now_ns() - due_ns)
            device = devices[index]
            self._hand_over(index, device.advance(due_ns))
            if device.made:
                self.truth.bundles(device.device, device.made)
                device.made.clear()
            heapq.heapreplace(heap, (device.next_ns, index))
            woken += 1
            if woken >= _BREATHE:
                woken = 0
                await asyncio.sleep(0)

    def _hand_over(self, index: int, sendings: list[Sending]) -> None:
        if not sendings:
            return
        self._lines[index].extend(sendings)
        self._begin(index)

    def _begin(self, index: int) -> None:
        if index not in self._tasks:
            self._tasks[index] = asyncio.ensure_future(self._empty(index))

    async def _watch(self) -> None:
        """On each new connection: nobody waits any longer, and who has nothing new to say says again what it said."""
        seen = self._publisher.connections
        while True:
            seen = await self._publisher.until_reconnected(seen)
            self._news.set()
            self._news = asyncio.Event()
            if not self._stopping:
                for index in range(len(self._lines)):
                    self._begin(index)

    async def _listen(self) -> None:
        """All devices hear what time it is in the ward."""
        while self._times is not None:
            heard = await self._times.told(), self._clock.now_ns()
            for device in self.plan.devices:
                device.heard = heard

    async def _empty(self, index: int) -> None:
        """Publish a device's line, one at a time, each again and again until the broker has it.

        Garbage is tried once: a broker may refuse it for good, and it must not hold up the bundles behind it.
        """
        line, device = self._lines[index], self.plan.devices[index]
        pause_ns = FIRST_PAUSE_NS
        try:
            while True:
                # In one breath with the publish: nothing new may overtake what the broker has perhaps forgotten.
                if self._told[index] != self._publisher.connections:
                    self._told[index] = self._publisher.connections
                    line.extendleft(reversed(device.reconnected(self._now_ns)))
                if not line:
                    return
                if await self._publish(line[0]):
                    device.acknowledged(line.popleft())
                    pause_ns = FIRST_PAUSE_NS
                elif line[0].key is None:
                    line.popleft()
                elif self._stopping:
                    return
                else:
                    await self._wait(pause_ns)
                    pause_ns = min(2 * pause_ns, LONGEST_PAUSE_NS)
        finally:
            del self._tasks[index]

    async def _publish(self, sending: Sending) -> bool:
        """Whether the broker has it."""
        self._under_way += 1
        try:
            await self._publisher.publish(sending.topic, sending.payload)
        except Exception as error:  # noqa: BLE001 - whatever it was: not acknowledged, so the same bytes again
            self._failures += 1
            _log.debug("a publish failed: %s", type(error).__name__)
            return False
        finally:
            self._under_way -= 1
        self._published += 1
        return True

    async def _wait(self, pause_ns: int) -> None:
        """Until the next try: a pause, or less if there is a new connection."""
        news = asyncio.ensure_future(self._news.wait())
        pause = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_ns() + pause_ns))
        try:
            await asyncio.wait((news, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            pause.cancel()

    async def _settle(self, grace_s: float) -> None:
        """Wait for what is under way; a line that a stopping publish left stays queued."""
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks.values()), timeout=grace_s)
            if late:
                _log.warning("%d devices still wait for the broker's answer; counted as queued", len(late))

    async def _close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for device in self.plan.devices:
            device.queue.close()
        self.truth.end(self._now_ns)
        if self._sidecar is not None:
            self._sidecar.close()


def _writer(file: TextIO) -> Callable[[Mapping[str, Any]], None]:
    def write(line: Mapping[str, Any]) -> None:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")

    return write


async def simulate(
    scenario: Scenario,
    publisher: Publisher,
    clock: Clock,
    *,
    start_ns: int | None = None,
    sidecar: Path | None = None,
    queue_of: QueueOf = in_memory,
    announce: Callable[[Simulation], None] | None = None,
) -> Truth:
    """Play a scenario to its end: `plan`, then `Simulation.run`.

    The bindings and enrolments it needs (`Plan.records`) must have been said before; whoever needs them first plans
    and runs a `Simulation` of its own.

    Args:
        scenario: What is played.
        publisher: Where to.
        clock: Ward time.
        start_ns: When it starts; None: now.
        sidecar: File for the truth.
        queue_of: Where devices keep what is not acknowledged.
        announce: Called with the simulation before it runs, for its `progress` and `stop`.

    Returns:
        The truth, complete.
    """
    planned = plan(scenario, clock.now_ns() if start_ns is None else start_ns, queue_of)
    simulation = Simulation(planned, publisher, clock, sidecar)
    if announce is not None:
        announce(simulation)
    return await simulation.run()
