"""``teleward replay``: a recording through the ward alone, or through MQTT, Kafka and Faust: the same events."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.clock import WardClock
from deploy.demo_summary import latency, ledger_summary
from deploy.replay_source import Source, open_source
from deploy.replay_stream import Keeper, echo_client
from deploy.replay_ward import Replayed
from deploy.replay_ward import replay as replay_ward
from deploy.ward_process import RegistryRecord, WardProcess, WardProcessSettings
from device_sim import Echoes, Player
from device_sim.disturb import Restart
from device_sim.turns import Turn
from vitals.digest import digest, ordered
from vitals.events import AlarmEvent, event_encoder
from vitals.ledger import Account
from vitals.log import Command, Limit, Tick
from vitals.recording import Recording

OnProgress = Callable[[int, int], None]

_AHEAD = 8  # instants that the player may be ahead of the bridge


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how.

    Attributes:
        recording: The file.
        stream: Through the brokers; else through the ward alone.
        speed: Seconds of recorded time in one of the wall; None as fast as it goes.
        alarms: File for the events, ``-`` for standard output.
        patients: Only the first so many; more than there are: copies under new pseudonyms, at shifted times.
        seed: Of the copies.
        faults: File of what goes wrong on the way; None: nothing.
        limits: File of limits that are said before the first reading; None: none.
        diff: Alarm events of another run to be compared with; None: no comparison.
    """

    recording: Path
    stream: bool = False
    speed: float | None = None
    alarms: Path | None = None
    patients: int | None = None
    seed: int = 0
    faults: Path | None = None
    limits: Path | None = None
    diff: Path | None = None


def run_replay(settings: ReplaySettings, on_progress: OnProgress) -> dict[str, Any]:
    """Replay, and give the summary; see `ReplaySettings`."""
    source = open_source(settings.recording, patients=settings.patients, seed=settings.seed, faults=settings.faults)
    began = time.monotonic()
    more: dict[str, Any] = {}
    if settings.limits is not None:
        from deploy.what_if import read_limits, what_if

        if settings.stream:
            raise ValueError("--limits asks what would have been, which needs no brokers; leave out --through stream")
        limits = read_limits(settings.limits, source.patients)
        events, told = what_if(source, limits, on_progress)
        more = {"what_if": told}
    elif settings.stream:
        events, more = asyncio.run(through_stream(source, settings.speed, on_progress))
    else:
        done = through_ward(source, settings.speed, on_progress)
        events, more = done.events, {"bundles": done.bundles, "readings": done.readings, "refused": done.refused}
    events = ordered(events)
    _write(settings.alarms, events)
    if settings.diff is not None:
        from deploy.alarm_differences import differences_from

        more["diff"] = differences_from(settings.diff, events, source)
    if source.live_digest and settings.limits is None:  # other limits tell other alarms: nothing is wrong with that
        more["live_digest"] = source.live_digest
        more["as_live"] = digest(events) == source.live_digest
    return {
        "through": "stream" if settings.stream else "ward",
        "patients": len(source.patients),
        **more,
        "events": len(events),
        "alarms": sum(event.event == "raised" for event in events),
        "digest": digest(events),
        "wall_s": round(time.monotonic() - began, 2),
    }


def through_ward(
    played: Recording | Source,
    speed: float | None,
    on_progress: OnProgress,
    *,
    limits: tuple[Limit, ...] = (),
    commands: bool = True,
) -> Replayed:
    """Without brokers; a speed only paces it.

    Args:
        played: What is played.
        speed: Seconds of recorded time in one of the wall; None as fast as it goes.
        on_progress: Called with readings played, readings in all.
        limits: Said before the first reading.
        commands: False leaves out what people said about alarms.
    """
    source = played if isinstance(played, Source) else Source.of(played)
    turns: Iterable[Turn | Restart] = source.turns()
    if not commands:
        turns = (turn for turn in turns if not isinstance(turn, Command))
    pace: WardClock | None = None

    def on_instant(now_ns: int, done: Replayed) -> None:
        nonlocal pace
        on_progress(done.readings, source.readings)
        if speed is not None:
            pace = pace or WardClock(speed, now_ns)
            if (left := now_ns - pace.now_ns()) > 0:
                time.sleep(left / speed / 1e9)

    return replay_ward(turns, limits=limits, on_instant=on_instant)


async def through_stream(
    played: Recording | Source, speed: float | None, on_progress: OnProgress, store_file: Path | None = None
) -> tuple[list[AlarmEvent], dict[str, Any]]:
    """Through MQTT, Kafka and Faust on the embedded stack.

    Args:
        played: What is played.
        speed: Seconds of recorded time in one of the wall; None as fast as it goes.
        on_progress: Readings played, readings in all.
        store_file: Where everything is kept; None: in a folder that goes with the replay.

    Returns:
        The alarm events, and counts, ledger and latency.
    """
    source = played if isinstance(played, Source) else Source.of(played)
    said, first, turns = _before_time(source.turns())
    with tempfile.TemporaryDirectory(prefix="teleward-replay-") as folder:
        clock = WardClock()  # for stamps alone: time itself comes from the player's marks
        file = store_file or Path(folder) / "replay.sqlite"
        process = WardProcess(WardProcessSettings(file, ticks="marks"), clock, said)
        async with process as ward:
            senders = await ward.publisher(1)  # marks and bundles by one connection, in order
            echoes = Echoes(_AHEAD)
            pace = None if speed is None else WardClock(speed, first)
            keeper = Keeper(ward, senders, echoes, on_progress, source.readings)
            player = Player(turns, senders, pace, settled=keeper.settled, say=keeper.say)
            keeper.player = player
            async with echo_client(ward, echoes):
                playing = asyncio.create_task(player.run())
                await ward.unless_failed(playing)
                played_all = await playing
                await keeper.drained()
            accounts = [
                Account(device=device, at_ns=clock.now_ns(), sent=counts.readings)
                for device, counts in played_all.counts.items()
            ]
            ledger = ledger_summary(await asyncio.to_thread(ward.store.ledger), accounts)
            return list(ward.alarms.events), {
                "bundles": played_all.bundles,
                "readings": played_all.readings,
                "refused": ledger["refused"],
                "ledger": ledger,
                # What begins with a device's stamp is recorded time, and says nothing of this machine.
                "latency": {hop: row for hop, row in latency(ward, 1.0).items() if hop not in {"radio", "to_alarm"}},
            }


def _before_time(
    turns: Iterator[Turn | Restart],
) -> tuple[list[RegistryRecord], int, Iterator[Turn | Restart]]:
    """What was said before the first tick, when that is, and the turns from there on."""
    said: list[RegistryRecord] = []
    for turn in turns:
        if isinstance(turn, Tick):
            return said, turn.now_ns, _with(turn, turns)
        if isinstance(turn, RegistryRecord):
            said.append(turn)
    return said, 0, iter(())


def _with(first: Turn, rest: Iterator[Turn | Restart]) -> Iterator[Turn | Restart]:
    yield first
    yield from rest


def _write(path: Path | None, events: Iterable[AlarmEvent]) -> None:
    """Events as JSON Lines."""
    if path is None:
        return
    if str(path) == "-":
        for event in events:
            sys.stdout.write(event_encoder.encode(event).decode() + "\n")
        return
    with path.open("wb") as file:
        for event in events:
            file.write(event_encoder.encode(event) + b"\n")
