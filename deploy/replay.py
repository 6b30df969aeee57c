"""``teleward replay``: a recording through the ward alone, or through MQTT, Kafka and Faust: the same events."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.clock import WardClock
from deploy.demo_summary import latency, ledger_summary
from deploy.replay_ward import Replayed
from deploy.replay_ward import replay as replay_ward
from deploy.ward_process import Senders, WardProcess, WardProcessSettings
from device_sim import Echoes, Player, records_of
from transport.mqtt import MqttClient, MqttSettings
from transport.recordings import open_recording
from vitals import topics
from vitals.digest import digest, ordered
from vitals.events import AlarmEvent, event_encoder
from vitals.ledger import Account
from vitals.recording import Recording

OnProgress = Callable[[int, int], None]

_AHEAD = 8  # instants that the player may be ahead of the bridge
# The embedded cluster keeps 5 MB a partition: everything is judged and kept before more than this is on its way.
_UNREAD_BYTES = 500_000
_UNREAD_NS = 2 * 3600 * 1_000_000_000  # of ward time: frames are on their way too


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how.

    Attributes:
        recording: The file.
        stream: Through the brokers; else through the ward alone.
        speed: Seconds of recorded time in one of the wall; None as fast as it goes.
        alarms: File for the events, ``-`` for standard output.
        patients: Only the first so many.
    """

    recording: Path
    stream: bool = False
    speed: float | None = None
    alarms: Path | None = None
    patients: int | None = None


def run_replay(settings: ReplaySettings, on_progress: OnProgress) -> dict[str, Any]:
    """Replay, and give the summary; see `ReplaySettings`."""
    recording = open_recording(settings.recording)
    if settings.patients is not None:
        recording = recording.select(recording.patients[: settings.patients])
    began = time.monotonic()
    if settings.stream:
        events, more = asyncio.run(through_stream(recording, settings.speed, on_progress))
    else:
        done = through_ward(recording, settings.speed, on_progress)
        events, more = done.events, {"bundles": done.bundles, "readings": done.readings, "refused": done.refused}
    events = ordered(events)
    _write(settings.alarms, events)
    return {
        "through": "stream" if settings.stream else "ward",
        "patients": len(recording.patients),
        **more,
        "events": len(events),
        "alarms": sum(event.event == "raised" for event in events),
        "digest": digest(events),
        "wall_s": round(time.monotonic() - began, 2),
    }


def through_ward(recording: Recording, speed: float | None, on_progress: OnProgress) -> Replayed:
    """Without brokers; a speed only paces it."""
    clock = WardClock(speed or 1.0, int(recording.time_ns.min()) if recording.rows else 0)

    def on_instant(now_ns: int, done: Replayed) -> None:
        on_progress(done.readings, recording.readings)
        if speed is not None and (left := now_ns - clock.now_ns()) > 0:
            time.sleep(left / speed / 1e9)

    return replay_ward(recording, on_instant=on_instant)


async def through_stream(
    recording: Recording, speed: float | None, on_progress: OnProgress, store_file: Path | None = None
) -> tuple[list[AlarmEvent], dict[str, Any]]:
    """Through MQTT, Kafka and Faust on the embedded stack.

    Args:
        recording: What is played.
        speed: Seconds of recorded time in one of the wall; None as fast as it goes.
        on_progress: Readings played, readings in all.
        store_file: Where everything is kept; None: in a folder that goes with the replay.

    Returns:
        The alarm events, and counts, ledger and latency.
    """
    with tempfile.TemporaryDirectory(prefix="teleward-replay-") as folder:
        clock = WardClock()  # for stamps alone: time itself comes from the player's marks
        file = store_file or Path(folder) / "replay.sqlite"
        process = WardProcess(WardProcessSettings(file, ticks="marks"), clock, records_of(recording))
        async with process as ward:
            senders = await ward.publisher(1)  # marks and bundles by one connection, in order
            echoes = Echoes(_AHEAD)
            pace = None if speed is None else WardClock(speed, int(recording.time_ns.min()))
            keeper = _Keeper(ward, senders, echoes, on_progress, recording.readings)
            player = Player(recording, senders, pace, settled=keeper.settled)
            keeper.player = player
            async with _echo_client(ward, echoes):
                playing = asyncio.create_task(player.run())
                await ward.unless_failed(playing)
                played = await playing
                await ward.drained(senders.published)
            accounts = [
                Account(device=device, at_ns=clock.now_ns(), sent=counts.readings)
                for device, counts in played.counts.items()
            ]
            ledger = ledger_summary(await asyncio.to_thread(ward.store.ledger), accounts)
            return list(ward.alarms.events), {
                "bundles": played.bundles,
                "readings": played.readings,
                "refused": ledger["refused"],
                "ledger": ledger,
                # What begins with a device's stamp is recorded time, and says nothing of this machine.
                "latency": {hop: row for hop, row in latency(ward, 1.0).items() if hop not in {"radio", "to_alarm"}},
            }


class _Keeper:
    """Keeps the player near: the bridge within some instants, the judges and the store within some bytes."""

    def __init__(
        self,
        ward: WardProcess,
        senders: Senders,
        echoes: Echoes,
        on_progress: OnProgress,
        readings: int,
    ) -> None:
        self._ward, self._senders, self._echoes = ward, senders, echoes
        self._on_progress, self._readings = on_progress, readings
        self._bytes = 0
        self._since_ns = -1
        self.player: Player

    async def settled(self, now_ns: int) -> int:
        self._on_progress(self.player.played.readings, self._readings)
        safe_ns = await self._echoes.settled(now_ns)
        if self._since_ns < 0:
            self._since_ns = now_ns
        if self._senders.sent_bytes - self._bytes > _UNREAD_BYTES or now_ns - self._since_ns >= _UNREAD_NS:
            await self._ward.drained(self._senders.published)
            self._bytes, self._since_ns = self._senders.sent_bytes, now_ns
        return safe_ns


class _echo_client:  # noqa: N801  # used as a context manager only
    """Hears the bridge say which marks are safe."""

    def __init__(self, ward: WardProcess, echoes: Echoes) -> None:
        topic = f"{topics.MQTT_ROOT}/player/{topics.MARK_ACK_SUFFIX}"
        self._client = MqttClient(MqttSettings("replay-echo", port=ward.stack.mqtt_port, session_expiry_s=0), (topic,))
        self._echoes = echoes

    async def __aenter__(self) -> None:
        await self._client.start()
        await self._client.until_connected()
        self._task = asyncio.create_task(self._hear())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.stop()

    async def _hear(self) -> None:
        while True:
            for message in await self._client.receive():
                self._client.ack(message)
                self._echoes.heard(message.payload)


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
