"""Runs everybody in turn on one Kafka, looks at what they wrote, and tells how fast they were beside each other.

The input stands in Kafka before the first run. A run is one process, started cold; it is measured from the result of
its `WARM` share of bundles to its last, by the broker's clock (the output topic keeps the time of appending), so
neither start nor first steps count. Runs are interleaved: in each round everybody runs once, in an order of its own,
and ratios are taken within rounds.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.bench.machine import cpu_s, described, usage
from deploy.bench.peers.environments import Environments, PeerError
from deploy.bench.peers.standings import BLOCKS, BY_NAME, CONTESTANTS, MESSAGES, Contestant, Run, goals, ratios, summary
from deploy.bench.peers.ward import log_of
from deploy.bench.peers.work import ALPHA, BLOCK_BUNDLES, Workload, read_results, signs
from deploy.native.kafka import Kafka
from vitals import block, topics
from vitals import log as records
from vitals.digest import digest
from vitals.events import event_decoder
from vitals.reading import Block

Say = Callable[[str], None]

WARM: Final = 0.2
_HERE: Final = Path(__file__).parent
_LOOK_S: Final = 0.05
_SAMPLE_S: Final = 0.02
_TIMEOUT_S: Final = 240.0
_APPEND_TIME: Final = {"message.timestamp.type": "LogAppendTime"}
_WARD_TOPICS: Final = (topics.FRAMES, topics.ALARMS, topics.SNAPSHOTS, topics.DEADLETTER, topics.HEALTH)


# The file of a program by itself finds its neighbours; ours are modules of the package.
_MODULES: Final = {"arrays.py", "blocks.py", "ward.py"}


@dataclass(frozen=True, slots=True)
class PeersSettings:
    """A comparison.

    Attributes:
        bundles: Of those who are fast; the others get their share of it.
        rounds: How often everybody runs.
        only: Names; empty takes everybody who is installed.
        install: Whether the missing are installed first.
        folder: Where they are installed; None takes the native stack's folder.
    """

    bundles: int = 1_000_000
    rounds: int = 3
    only: tuple[str, ...] = ()
    install: bool = False
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        strange = sorted(set(self.only) - set(BY_NAME))
        if strange:
            raise PeerError(f"nobody is called {', '.join(strange)}; there are {', '.join(BY_NAME)}")
        if self.bundles < 50_000 or self.bundles % 50_000 or self.rounds < 1:
            raise PeerError("take a multiple of 50,000 bundles, and at least one round")


async def run_peers(settings: PeersSettings, say: Say) -> dict[str, Any]:
    """All rounds.

    Raises:
        PeerError: If one is missing that was asked for, breaks, or gives other results than the others.
        ServerError: If Kafka does not start.
    """
    there = Environments.found(settings.folder)
    chosen = [each for each in CONTESTANTS if not settings.only or each.name in settings.only]
    absent = []
    for each in chosen:
        if settings.install:
            there.install(each.name, say)
        if there.missing(each.name):
            if settings.only:
                raise PeerError(f"{each.name} is not installed: add --install")
            absent.append(each.name)
    chosen = [each for each in chosen if each.name not in absent]
    if absent:
        say(f"not installed, and left out: {', '.join(absent)} (--install fetches them)")
    if there.installed.java is None:
        raise PeerError("\n".join(str(one) for one in there.installed.missing()))
    with tempfile.TemporaryDirectory(prefix="teleward-peers-") as scratch:
        async with AsyncExitStack() as running:
            kafka = Kafka(Path(scratch, "kafka"), there.installed.java, there.installed.kafka_libs, heap_mb=768)
            await running.enter_async_context(kafka)
            contest = Contest(kafka.bootstrap, Path(scratch), there, Workload(settings.bundles))
            said = await asyncio.to_thread(_all_rounds, contest, chosen, settings.rounds, say)
    return {"bench": "peers", "machine": described(), "settings": {
        "bundles": settings.bundles, "rounds": settings.rounds, "patients": contest.workload.patients,
        "block_bundles": BLOCK_BUNDLES, "warm": WARM, "left_out": absent}, **said}  # fmt: skip


def _all_rounds(contest: Contest, chosen: list[Contestant], rounds: int, say: Say) -> dict[str, Any]:
    contest.prepare({each.source for each in chosen} - {""}, say)
    runs: list[tuple[int, Run]] = []
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        order = list(chosen)
        random.Random(number).shuffle(order)
        for each in order:
            before = usage({})
            run = contest.run(each)
            after = usage({})
            busy = after.busy_s - before.busy_s
            told = {
                "round": number, "who": run.who, "bundles_per_s": round(run.per_s),
                "cpu_s_per_1000": round(run.cpu_s_per_1000, 5),
                "machine_busy": round(busy / (busy + after.idle_s - before.idle_s), 2),
            }  # fmt: skip
            say("  ".join(f"{key} {value}" for key, value in told.items()))
            runs.append((number, run))
            rows.append(told)
    return {"runs": rows, "peers": summary(runs), "ratios": ratios(runs), "goals": goals(runs)}


class Contest:
    """One Kafka with the inputs, and whoever runs on it."""

    def __init__(self, bootstrap: str, folder: Path, there: Environments, workload: Workload) -> None:
        """Nothing is written before `prepare`."""
        self._bootstrap, self._folder, self._there = bootstrap, folder, there
        self.workload = workload
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._count = 0
        self._ward: dict[str, Any] = {}

    def prepare(self, sources: Iterable[str], say: Say) -> None:
        """Write the inputs that are needed."""
        makers: dict[str, Callable[[], Iterable[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]]] = {
            MESSAGES: lambda: ((key, value, []) for key, value in self.workload.messages()),
            BLOCKS: lambda: ((None, value, [(records.HEADER, records.BLOCK)]) for value in self.workload.records()),
            topics.INPUT.name: self._log,
        }
        for name in sorted(sources):
            say(f"writing {name}")
            self._create(name, {})
            producer = Producer(
                {"bootstrap.servers": self._bootstrap, "linger.ms": 20, "batch.size": 900_000, "acks": "all",
                 "queue.buffering.max.kbytes": 200_000, "log_level": 0}
            )  # fmt: skip
            for key, value, headers in makers[name]():
                while True:
                    try:
                        producer.produce(name, value, key=key, headers=headers, partition=0)
                        break
                    except BufferError:
                        producer.poll(0.1)
            if producer.flush(120):
                raise PeerError(f"Kafka did not take all of {name}")
        if topics.INPUT.name in sources:
            self._ward = self._said(BY_NAME["ward-alone"])

    def _log(self) -> Iterable[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]:
        for record in log_of(self.workload):
            kind, value = (records.BLOCK, block.encode(record)) if isinstance(record, Block) else records.encode(record)
            yield None, value, [(records.HEADER, kind)]

    def run(self, who: Contestant) -> Run:
        """One run, looked at.

        Raises:
            PeerError: If it breaks or its results are not the work's.
        """
        if who.told == "said":
            said = self._said(who)
            return Run(who.name, said["bundles"], said["wall_s"], said["cpu_s"], said)
        return self._ward_run(who) if who.told == "ward" else self._output_run(who)

    def _bundles(self, who: Contestant) -> int:
        patients = self.workload.patients
        return int(self.workload.bundles * who.share) // patients * patients

    def _spec(self, who: Contestant, output: str) -> Path:
        self._count += 1
        folder = self._folder / f"run-{self._count}"
        folder.mkdir()
        bundles = self._bundles(who)
        spec = {
            "bootstrap": self._bootstrap, "input": who.source, "output": output, "group": f"bench-{self._count}",
            "folder": str(folder / "state"), "alpha": ALPHA, "signs": signs(), "count": bundles,
            "warm": int(bundles * WARM),
        }  # fmt: skip
        path = folder / "spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def _command(self, who: Contestant, spec: Path) -> list[str]:
        program, *more = who.program
        if program == "Judge":
            streams = self._there.streams
            return [str(self._there.installed.java), "-Xmx1g", "-cp", f"{streams}/*:{streams}", "Judge", str(spec)]
        if program in _MODULES:
            module = f"deploy.bench.peers.{program.removesuffix('.py')}"
            return [sys.executable, "-m", module, str(spec), *more]
        return [self._there.python(who.name), str(_HERE / program), str(spec), *more]

    def _said(self, who: Contestant) -> dict[str, Any]:
        spec = self._spec(who, "")
        done = subprocess.run(
            self._command(who, spec), capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )  # fmt: skip
        if done.returncode:
            raise PeerError(f"{who.name} failed:\n{done.stderr[-1500:]}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    def _output_run(self, who: Contestant) -> Run:
        output = f"bench.out.{self._count + 1}"
        self._create(output, _APPEND_TIME)
        bundles = self._bundles(who)
        wanted = {"messages": bundles, "blocks": bundles // BLOCK_BUNDLES, "exit": None}[who.told]
        with _Watched(who.name, self._command(who, self._spec(who, output)), self._folder) as watched:
            self._until(watched, output, wanted)
        values, times = self._read(output)
        self._admin.delete_topics([output])
        found, upto = read_results(values)
        wrong = (
            found.differs(self.workload.expected(bundles))
            if who.told != "messages"
            else _prefix(found, bundles, self.workload)
        )
        if wrong:
            raise PeerError(f"{who.name} gives other results: {wrong}")
        first, last = int(np.searchsorted(upto, bundles * WARM)), int(np.searchsorted(upto, bundles))
        return _measured(who.name, int(upto[last] - upto[first]), times[first], times[last], watched)

    def _ward_run(self, who: Contestant) -> Run:
        for topic in _WARD_TOPICS:
            self._forget(topic.name)
            self._create(topic.name, _APPEND_TIME)
        frames: list[int] = self._ward["frames"]
        with _Watched(who.name, self._command(who, self._spec(who, "")), self._folder) as watched:
            self._until(watched, topics.FRAMES.name, len(frames))
            self._until_still(watched, topics.ALARMS.name)
        _, times = self._read(topics.FRAMES.name)
        events = [event_decoder.decode(value) for value in self._read(topics.ALARMS.name)[0]]
        if (mine := digest(events)) != self._ward["digest"]:
            raise PeerError(f"the monitoring app told other alarm events ({mine}) than the ward alone")
        sent = self.workload.sent_ns()
        upto = np.searchsorted(sent, frames)
        first, last = int(np.searchsorted(upto, len(sent) * WARM)), len(frames) - 1
        return _measured(who.name, int(upto[last] - upto[first]), times[first], times[last], watched)

    # -- Kafka -------------------------------------------------------------------------------------------------------

    def _create(self, name: str, config: dict[str, str]) -> None:
        for future in self._admin.create_topics([NewTopic(name, 1, 1, config=dict(config))]).values():
            future.result(30)

    def _forget(self, name: str) -> None:
        if name in self._admin.list_topics(timeout=10).topics:
            for future in self._admin.delete_topics([name], operation_timeout=10).values():
                future.result(30)
            until = time.monotonic() + 30
            while name in self._admin.list_topics(timeout=10).topics:
                if time.monotonic() > until:
                    raise PeerError(f"Kafka does not forget {name}")
                time.sleep(_LOOK_S)

    def _until(self, watched: _Watched, output: str, wanted: int | None) -> None:
        consumer = self._consumer()
        place = TopicPartition(output, 0)
        until = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < until:
            code = watched.code()
            if code is not None and (code or wanted is not None):
                raise PeerError(f"{watched.name} ended:\n{watched.last_words()}")
            if code == 0:
                consumer.close()
                return
            if wanted is not None and consumer.get_watermark_offsets(place, timeout=10)[1] >= wanted:
                consumer.close()
                return
            time.sleep(_LOOK_S)
        raise PeerError(f"{watched.name} was not done in {_TIMEOUT_S:.0f} s:\n{watched.last_words()}")

    def _until_still(self, watched: _Watched, output: str) -> None:
        wanted = int(self._ward["events"])
        if wanted:
            self._until(watched, output, wanted)

    def _consumer(self) -> Consumer:
        return Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "bench-reader", "enable.auto.commit": False,
             "queued.min.messages": 1_000_000, "log_level": 0}
        )  # fmt: skip

    def _read(self, name: str) -> tuple[list[bytes], list[float]]:
        """Values and append times (seconds) of all records."""
        consumer = self._consumer()
        end = consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10)[1]
        consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        values, times = [], []
        reached = 0
        while reached < end:
            for message in consumer.consume(10_000, 1.0):
                values.append(message.value())
                times.append(message.timestamp()[1] / 1e3)
                reached = message.offset() + 1
        consumer.close()
        return values, times


def _prefix(found: Any, bundles: int, workload: Workload) -> str:
    """The first so many results of somebody who was stopped somewhere behind them."""
    cut = type(found)(found.patient[:bundles], found.seq[:bundles], found.news2[:bundles], found.mean[:bundles])
    wrong: str = cut.differs(workload.expected(bundles))
    return wrong


def _measured(name: str, bundles: int, from_s: float, to_s: float, watched: _Watched) -> Run:
    if to_s <= from_s or not bundles:
        raise PeerError(f"{name} was done within a millisecond: give it more bundles")
    return Run(name, bundles, to_s - from_s, watched.cpu_s(from_s, to_s))


class _Watched:
    """A process, and its processor time at every instant; killed at the end."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self._log = (folder / f"{name}.log").open("w+b")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self._times: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._process.kill()
        self._process.wait()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            try:
                self._times.append((time.time(), cpu_s(self._process.pid)))
            except (OSError, IndexError):
                return

    def code(self) -> int | None:
        return self._process.poll()

    def last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def cpu_s(self, from_s: float, to_s: float) -> float:
        """Between two instants of the wall's clock."""
        at, spent = np.array(self._times).T
        return float(np.interp(to_s, at, spent) - np.interp(from_s, at, spent))
