"""Detectors beside the stream: each in a thread of its own, and a word in the log when one is late.

A frame has closed, its limits and published scores are out; until the ward asks its detectors (2 s of ward time later)
they compute here, on copies. One that takes longer than its deadline, or fails, is withdrawn by a record of the log
(`vitals.log.Outage`); a trial with each closed frame finds out when it answers again. The ward itself never looks at
how long anything took (docs/decisions.md, "A late model").
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from vitals.asking import Answer, Batch
from vitals.ward import Ward

State: TypeAlias = Literal["late", "failed", "over"]
Who: TypeAlias = tuple[str, str]  # name and version: one in shadow must not hold up the one that serves

_HANG_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1


class ModelHangsError(RuntimeError):
    """The ward must have an answer to go on, and the detector gives none: the process has to be started again."""


class Word(NamedTuple):
    """What is to be said in the log of a partition about a detector."""

    partition: int
    detector: str
    version: str
    state: State
    reason: str


@dataclass(eq=False, slots=True)
class _Job:
    batch: Batch
    partition: int
    trial: bool
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    error: BaseException | None = None
    started_s: float | None = None
    took_s: float = 0.0


def _who(job: _Job) -> Who:
    return job.batch.detector.name, job.batch.detector.version


class _Worker:
    """One detector's thread. It dies with the process: a call that never returns must not hold that up."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.running: _Job | None = None
        threading.Thread(target=self._work, name=f"detector-{name}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self.jobs.get()
            job.started_s = self._clock()
            self.running = job
            try:
                job.answer = job.batch.run()
            except BaseException as error:  # noqa: BLE001  # raised where the answer is wanted
                job.error = error
            job.took_s = self._clock() - job.started_s
            self.running = None
            job.done.set()


class Ahead:
    """Computes what wards are about to ask, and finds out who is late."""

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing runs before a batch comes.

        Args:
            deadline_s: Longest that one batch may take.
            clock: Seconds, for deadlines.
        """
        self._deadline_s = deadline_s
        self._clock = clock
        self._workers: dict[Who, _Worker] = {}
        self._waiting: list[_Job] = []
        self._ready: dict[int, _Job] = {}  # by id of the batch, which the job keeps alive
        self._begun: dict[int, tuple[int, int]] = {}  # partition -> the frame that was begun
        self._out: dict[tuple[int, Who], State] = {}

    def forget(self) -> None:
        """Partitions come and go: what runs, runs for nobody."""
        self._waiting.clear()
        self._ready.clear()
        self._begun.clear()
        self._out.clear()

    def host(self, ward: Ward) -> Ward:
        """Let a ward take its answers from here."""
        ward.solve = self._solve
        return ward

    def begin(self, partition: int, ward: Ward) -> None:
        """After a step: where a frame has just closed, start on what its detectors will be asked."""
        if ward.unasked is None or self._begun.get(partition) == ward.unasked:
            return
        self._begun[partition] = ward.unasked
        # What nobody asked for in the end (an outage came between, a patient was enrolled) is dropped.
        mine = [job for job in self._ready.values() if job.partition == partition]
        for job in mine:
            del self._ready[id(job.batch)]
        for batch, trial in ward.batches():
            job = _Job(batch, partition, trial)
            if not trial:
                self._ready[id(batch)] = job
            if not (trial and self._busy(_who(job))):
                self._waiting.append(job)
                self._worker(_who(job)).jobs.put(job)

    async def keep(self, say: Callable[[Word], Awaitable[None]]) -> None:
        """Look who is late, for as long as the part runs, and say it."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for word in self.words():
                await say(word)

    def words(self) -> list[Word]:
        """Who has become late, has failed or answers again since the last call."""
        found, still = [], []
        for job in self._waiting:
            word = self._judge(job)
            if word is None:
                if not job.done.is_set():
                    still.append(job)
                continue
            if not job.done.is_set() and job.trial:
                still.append(job)
            key = (job.partition, _who(job))
            # A ward that was restored may have been told by the process before: nothing is known of it here.
            known = self._out.get(key, "" if job.trial else "over")
            if word.state != known and not (job.trial and word.state != "over"):
                self._out[key] = word.state
                found.append(word)
        self._waiting = still
        return found

    def out(self) -> dict[str, State]:
        """Detectors that are withdrawn in at least one partition, by name and version, for the health of the part."""
        return {" ".join(who): state for (_, who), state in self._out.items() if state != "over"}

    def _judge(self, job: _Job) -> Word | None:
        state: State
        if job.done.is_set():
            if job.error is not None:
                state, reason = "failed", type(job.error).__name__
            elif job.took_s > self._deadline_s:
                state, reason = "late", f"took {job.took_s:.1f} s, may take {self._deadline_s:g} s"
            elif job.answer is not None and job.answer.failed.size and job.answer.failed.all():
                state, reason = "failed", "raised, or answered what is no score"
            elif job.trial:
                state, reason = "over", f"took {job.took_s:.1f} s"
            else:
                return None
        elif self._overdue(job):
            state, reason = "late", f"not answered within {self._deadline_s:g} s"
        else:
            return None
        detector = job.batch.detector
        return Word(job.partition, detector.name, detector.version, state, reason)

    def _overdue(self, job: _Job) -> bool:
        """It has taken too long, or waits behind one that has. Waiting its turn behind others is no lateness."""
        running = self._worker(_who(job)).running
        began = None if running is None else running.started_s
        return began is not None and self._clock() - began > self._deadline_s

    def _busy(self, who: Who) -> bool:
        worker = self._workers.get(who)
        return worker is not None and (worker.running is not None or not worker.jobs.empty())

    def _worker(self, who: Who) -> _Worker:
        if who not in self._workers:
            self._workers[who] = _Worker(" ".join(who), self._clock)
        return self._workers[who]

    def _solve(self, batch: Batch) -> Answer:
        """The answer of a batch: computed ahead, or now.

        Raises:
            ModelHangsError: If the log does not say that it is late, and it does not come either.
        """
        job = self._ready.pop(id(batch), None)
        if job is None:
            return batch.run()
        if not job.done.wait(_HANG_S):
            raise ModelHangsError(f"{batch.detector.name} has not answered for {_HANG_S:g} s; the ward waits for it")
        if job.error is not None:
            raise job.error
        if job.answer is None:
            raise RuntimeError("a job is done without an answer")
        return job.answer
