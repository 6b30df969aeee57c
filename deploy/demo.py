"""``teleward demo``: the whole ward in one process, with simulated patients or a recording played through devices."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboards.console import ConsoleSettings, Role, loopback
from deploy.clock import WardClock
from deploy.demo_summary import closing_summary
from deploy.paging import PagingError, PagingSettings, demo_paging, demo_probe
from deploy.ward_process import Senders, WardProcess, WardProcessSettings
from device_sim import Player, Simulation, Truth, load, plan, records_of, volatile
from device_sim.scenario import Plan
from stream_processors.paging.probe import bindings
from transport.kafka import KafkaSettings
from transport.recordings import open_recording
from transport.stores.base import Store
from vitals.ledger import Account
from vitals.recording import Recording
from vitals.signs import HOUR_NS, SECOND_NS

DRAIN_S = 60.0  # how long the end waits until everything that was sent is judged and kept


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo shows.

    Attributes:
        scenario: A shipped scenario or a file.
        recording: Plays this recording instead.
        speed: Seconds of the patients' time in a second of the wall; None takes the scenario's.
        seed: Of all chance; None takes the scenario's.
        minutes: Minutes of the wall after which it ends; None: at Ctrl-C.
        headless: Without a page.
        host: Where the page is served.
        port: Likewise; 0 takes a free one.
        truth: File for what really happened; None keeps it in memory.
        page_to: Apprise addresses that whoever is on call is paged at.
        keep: Folder for store, pages and audit, which then stay; None: they go with the demo.
    """

    scenario: str = "demo"
    recording: Path | None = None
    speed: float | None = None
    seed: int | None = None
    minutes: float | None = None
    headless: bool = False
    host: str = "127.0.0.1"
    port: int = 8080
    truth: Path | None = None
    page_to: tuple[str, ...] = ()
    keep: Path | None = None


Say = Callable[[str], None]


@dataclass(slots=True)
class _Cast:
    """What is played, and what must be said before it."""

    speed: float
    start_ns: int
    said: tuple[Any, ...]
    plan: Plan | None = None
    recording: Recording | None = None
    patients: int = 0
    devices: int = 0
    started: list[Simulation | Player] = field(default_factory=list)


def _cast(settings: DemoSettings) -> _Cast:
    """Read scenario or recording."""
    if settings.recording is not None:
        recording = open_recording(settings.recording)
        start_ns = int(recording.time_ns.min())
        said = records_of(recording)
        devices = len({r.device for r in said if hasattr(r, "device")})
        return _Cast(settings.speed or 60.0, start_ns, said, None, recording, len(recording.patients), devices)
    scenario = load(settings.scenario, settings.seed)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start_ns = int(midnight.timestamp()) * SECOND_NS + int(scenario.start_h * HOUR_NS)
    planned = plan(scenario, start_ns, volatile)
    return _Cast(
        settings.speed or scenario.speed,
        start_ns,
        planned.records,
        planned,
        None,
        len(scenario.patients),
        len(planned.devices),
    )


async def run_demo(
    settings: DemoSettings,
    say: Say,
    *,
    store: Callable[[], Store] | None = None,
    beside: Callable[[WardProcess], Coroutine[Any, Any, None]] | None = None,
) -> dict[str, Any]:
    """Run it to its end.

    Args:
        settings: What is shown.
        say: Prints a line for people.
        store: Makes another store than a file in the demo's folder.
        beside: Runs beside the devices, and is cancelled when they stop.

    Returns:
        The closing summary; `summary["promise"]` says in words what did not hold, "" where everything did.

    Raises:
        WardFailedError: If a part could not go on.
        ScenarioError, RecordingError: If what should be played cannot be read.
    """
    began = time.monotonic()
    cast = _cast(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    with tempfile.TemporaryDirectory(prefix="teleward-demo-") as folder:
        clock = WardClock(cast.speed, cast.start_ns, waiting=True)
        page = None
        if not settings.headless:
            # A demo may be looked at from a phone beside it; that it goes in the clear is said (`_greet`).
            page = ConsoleSettings(host=settings.host, port=settings.port, title="Demo ward", volatile=True, plain=True)
        kept = _folder(settings.keep, Path(folder))
        made_of = replace(_made_of(kept, page, settings.page_to, cast.speed), store=store)
        process = WardProcess(made_of, clock, (*cast.said, *bindings(cast.start_ns, demo_probe(cast.speed))))
        async with process as ward:
            _greet(settings, cast, ward, time.monotonic() - began, say)
            senders = await ward.publisher()
            clock.begin()
            if ward.pager is not None:
                ward.pager.start_probe(senders.publish)
            playing, truth = _play(cast, senders, clock, settings)
            async with _running(beside(ward) if beside is not None else None):
                await _until_over(playing, ward, stopped, settings.minutes)
            say("stopping: devices first, then what they have sent is judged and kept")
            if ward.pager is not None:
                await ward.pager.stop_probe()
            rest = await _end(cast, playing, ward, senders, clock)
            wall_s = time.monotonic() - began
            result = await closing_summary(ward, cast.plan, truth(), accounts(cast, clock.now_ns()), clock, wall_s)
            result["promise"] = "; ".join(filter(None, (rest, result["promise"])))
            return result


def _greet(settings: DemoSettings, cast: _Cast, ward: WardProcess, took_s: float, say: Say) -> None:
    what = f"recording {settings.recording}" if settings.recording else f"scenario {settings.scenario}"
    say(f"ward up in {took_s:.1f} s: {cast.patients} patients, {cast.devices} devices, {what}, {cast.speed:g} x time")
    say("volatile: brokers and store live in this process and forget everything when it ends")
    say("research software, not a medical device")
    if ward.console is not None:
        password = ward.console.make_account("demo", Role.LEAD)
        say(f"\n  page      {ward.page}")
        say("  user      demo")
        say(f"  password  {password}\n")
        if not loopback(settings.host):
            say("no TLS: whoever listens on this network reads the page and its password; for a trial only")
    ways = ", ".join(address.partition(":")[0] for address in settings.page_to)
    say(f"pages go to {ways + ', ' if ways else ''}the page and a file; 'demo' is on call")
    if settings.keep is not None:
        say(f"store, pages and audit stay in {settings.keep}")
    say("Ctrl-C ends it")


def _play(
    cast: _Cast, senders: Senders, clock: WardClock, settings: DemoSettings
) -> tuple[asyncio.Task[Any], Callable[[], Truth | None]]:
    """Start the devices."""
    if cast.recording is not None:
        player = Player(cast.recording, senders, clock, marks=False)
        cast.started.append(player)
        return asyncio.create_task(player.run()), lambda: None
    if cast.plan is None:
        raise ValueError("neither a scenario nor a recording")
    simulation = Simulation(cast.plan, senders, clock, settings.truth, senders.times)
    cast.started.append(simulation)
    return asyncio.create_task(simulation.run()), lambda: simulation.truth


@asynccontextmanager
async def _running(beside: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Run something meanwhile; what goes wrong in it is raised at the end."""
    if beside is None:
        yield
        return
    task = asyncio.create_task(beside)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _until_over(
    playing: asyncio.Task[Any], ward: WardProcess, stopped: asyncio.Event, minutes: float | None
) -> None:
    """Until Ctrl-C, the end of the time or of what is played, or a part's failure."""
    waiting = asyncio.create_task(stopped.wait())
    try:
        await ward.unless_failed(waiting, playing, timeout_s=None if minutes is None else minutes * 60)
    finally:
        waiting.cancel()
    if playing.done() and not stopped.is_set():
        playing.result()


def _made_of(folder: Path, page: ConsoleSettings | None, page_to: tuple[str, ...], speed: float) -> WardProcessSettings:
    """One partition: more of them share work between workers, and here there is one process."""

    def paging(kafka: KafkaSettings, address: str) -> PagingSettings:
        return demo_paging(kafka, folder, address, page_to, speed=speed)

    return WardProcessSettings(folder / "ward.sqlite", partitions=1, ticks_per_s=10, console=page, paging=paging)


def _folder(wanted: Path | None, otherwise: Path) -> Path:
    """Where everything is written; a fresh one, for what a volatile cluster numbered another one numbers anew.

    Raises:
        PagingError: If something stands there.
    """
    if wanted is None:
        return otherwise
    if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
        raise PagingError(f"--keep {wanted} is not an empty folder; name a new one")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


async def _end(cast: _Cast, playing: asyncio.Task[Any], ward: WardProcess, senders: Senders, clock: WardClock) -> str:
    """Stop time and the devices, and wait until everything they sent is judged and kept.

    Returns:
        What could not be waited for, in words; "" where all was.
    """
    for started in cast.started:
        started.stop()
    clock.hold()
    await playing
    try:
        async with asyncio.timeout(DRAIN_S):
            await ward.drained(senders.published)
    except TimeoutError:
        return f"not all that was sent was judged and kept within {DRAIN_S:.0f} s: the machine is too slow for this"
    return ""


def accounts(cast: _Cast, now_ns: int) -> list[Account]:
    """What the devices say of themselves, for the ledger."""
    if cast.plan is not None:
        return [
            Account(
                device=device.device,
                at_ns=now_ns,
                sent=device.counts.readings,
                queued=tuple((*item.key, item.n) for item in device.queue.waiting()),
            )
            for device in cast.plan.devices
        ]
    player = cast.started[0]
    if not isinstance(player, Player):
        raise TypeError("a recording is played by a player")
    return [
        Account(device=device, at_ns=now_ns, sent=counts.acknowledged)
        for device, counts in player.played.counts.items()
    ]
