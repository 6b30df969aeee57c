"""A made-up ward for the console: real console, real server, made-up frames and events. Nobody here exists.

Run as a program it serves the ward for looking at: ``python tests/browser/console_feed.py --port 8099``.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import uvicorn

from dashboards.console import Console, ConsoleSettings, Role
from vitals.alarm_book import Book
from vitals.alarm_state import Level, Raise, Return, Signal, Silent
from vitals.envelope import Envelope, envelope
from vitals.events import SCORES, AlarmEvent, Evidence, Frames, ScoreEvidence
from vitals.hops import CLOCK_LEAST, CLOCK_MOST
from vitals.log import Binding, Command, Enrolment, Limit
from vitals.rules import RULES
from vitals.scores import score
from vitals.signs import HOUR_NS, MINUTE_NS, N_MEASURES, N_SIGNS, SECOND_NS, SIGNS, SOURCES, Sign

START_NS = 1_790_000_000 * SECOND_NS // MINUTE_NS * MINUTE_NS  # a whole minute in September 2026
LIVE_SIGNS = (Sign.HR, Sign.SPO2, Sign.RESP)
USUAL = {
    Sign.HR: (72, 3),
    Sign.SPO2: (97, 0.6),
    Sign.RESP: (15, 1),
    Sign.TEMP_C: (36.8, 0.1),
    Sign.NIBP_SBP: (124, 5),
    Sign.NIBP_DBP: (76, 4),
    Sign.NIBP_MAP: (92, 4),
    Sign.CONSCIOUSNESS: (0, 0),
    Sign.OXYGEN: (0, 0),
}
T = TypeVar("T")


class WardClock:
    """Ward time that stands still until told, or runs with the wall."""

    def __init__(self, now_ns: int = START_NS, speed: float = 1.0, *, running: bool = False) -> None:
        self.speed = speed
        self._now_ns = now_ns
        self._wall0 = time.monotonic_ns() if running else None

    def now_ns(self) -> int:
        passed = 0 if self._wall0 is None else int((time.monotonic_ns() - self._wall0) * self.speed)
        return self._now_ns + passed

    def advance(self, ns: int) -> None:
        self._now_ns += ns


class Body:
    """One made-up patient's signs, minute by minute, kept as a store would."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self._rng = np.random.default_rng(seed)
        self.base = {sign: mean + self._rng.normal(0, spread * 1.5) for sign, (mean, spread) in USUAL.items()}
        self.drift: dict[Sign, float] = {}  # per hour, since `ill_from`
        self.ill_from = 1 << 62
        self.off: set[Sign] = set()
        self.readings: dict[Sign, list[tuple[int, float]]] = {sign: [] for sign in USUAL}

    def minute(self, end_ns: int) -> None:
        minute = end_ns // MINUTE_NS
        for sign, (_, spread) in USUAL.items():
            due = {Sign.TEMP_C: 10, Sign.NIBP_SBP: 30, Sign.NIBP_DBP: 30, Sign.NIBP_MAP: 30}.get(sign, 1)
            due = 240 if sign in (Sign.CONSCIOUSNESS, Sign.OXYGEN) else due
            first = not self.readings[sign]
            if sign in self.off or (minute % due and not first):
                continue
            hours = max(0.0, (end_ns - self.ill_from) / HOUR_NS)
            slow = 2 * spread * np.sin(minute / 43 + sign)
            value = self.base[sign] + self.drift.get(sign, 0.0) * hours + slow + self._rng.normal(0, spread * 0.5)
            low, high = SIGNS[sign].plausible
            value = float(np.clip(value, low, min(high, 100) if sign is Sign.SPO2 else high))
            if sign in (Sign.CONSCIOUSNESS, Sign.OXYGEN):
                value = float(round(self.base[sign]))
            self.readings[sign].append((end_ns - 20 * SECOND_NS, value))


class Remembered:
    """History as a store would tell it, from what the bodies have measured."""

    def __init__(self, bodies: dict[str, Body]) -> None:
        self._bodies = bodies
        self.events: dict[str, list[AlarmEvent]] = {}

    async def envelopes(
        self, patient: str, signs: Sequence[str], from_ns: int, to_ns: int, width_ns: int
    ) -> dict[str, Envelope]:
        body = self._bodies.get(patient)
        told: dict[str, Envelope] = {}
        for sign in signs:
            found = [] if body is None else body.readings.get(Sign[sign.upper()], [])
            inside = [(t, v) for t, v in found if from_ns <= t < to_ns]
            times, values = np.array([t for t, _ in inside], np.int64), np.array([v for _, v in inside], np.float64)
            told[sign] = envelope(times, values, from_ns, width_ns)
        return told

    async def watched(self, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
        return {patient: [(from_ns, to_ns)] for patient in self._bodies}

    async def alarm_events(
        self, patient: str | None, from_ns: int | None = None, to_ns: int | None = None
    ) -> Sequence[AlarmEvent]:
        kept = self.events if patient is None else {patient: self.events.get(patient, [])}
        found = [event for events in kept.values() for event in events]
        low, high = -(1 << 62) if from_ns is None else from_ns, (1 << 62) if to_ns is None else to_ns
        return sorted((e for e in found if low <= e.at_ns < high), key=lambda e: (e.at_ns, e.alarm_id, e.n))


class FakeWard:
    """Feeds a console and answers its commands: made-up patients, but the real alarm machine."""

    def __init__(self, settings: ConsoleSettings, clock: WardClock) -> None:
        self.clock = clock
        self.bodies: dict[str, Body] = {}
        self.history = Remembered(self.bodies)
        self.book = Book()
        self.commands: list[Command] = []
        self.deaf = False  # takes commands and never answers
        self.heard: Callable[[Sequence[AlarmEvent]], None] | None = None  # whoever else reads the alarm topic
        self.offset = 0
        self.console = Console(settings, self.history, self.send, clock)

    def body(self, name: str) -> Body:
        if name not in self.bodies:
            self.bodies[name] = Body(name, len(self.bodies))
            long_ago = START_NS - 9 * HOUR_NS
            self.console.on_registry(Enrolment(patient=name, state="admitted", at_ns=long_ago, by="admissions"))
            self.console.on_registry(Binding(device=f"watch-{name}", patient=name, from_ns=long_ago))
        return self.bodies[name]

    def minute(self, end_ns: int, names: Sequence[str] | None = None) -> None:
        """A minute of everybody's life, and its frames."""
        bodies = [self.bodies[name] for name in (names or self.bodies)]
        for body in bodies:
            body.minute(end_ns)
        self.console.on_frames(frames_of(bodies, end_ns))

    def signal(self, patient: str, rule: str, signal: Signal) -> str:
        """A judge speaks; returns the id of the alarm it is about."""
        events = self.book.signal(patient, rule, signal)
        self._emit(events)
        return events[-1].alarm_id

    def limit(self, patient: str, rule: str, value: float, ago_ns: int = 0, *, level: int = 1) -> str:
        """A limit of a measure was passed."""
        at_ns = self.clock.now_ns() - ago_ns
        row = RULES[rule]
        assert row.measure is not None
        sign, threshold = SOURCES[row.measure][0], row.bands[level - 1].threshold
        words = f"{row.measure.label} {value:g} {row.unit}, {row.direction} {threshold:g} {row.unit} for 1 min"
        found = (Evidence(sign=sign.column, value=value, time_ns=at_ns, device=f"watch-{patient}", limit=threshold),)
        return self.signal(patient, rule, Raise(at_ns=at_ns, cause=words, level=level, evidence=found))

    def worsen(self, patient: str, rule: str, value: float, level: int = 2) -> str:
        """It gets worse."""
        now = self.clock.now_ns()
        return self.signal(patient, rule, Level(at_ns=now, level=level, cause=f"worse: {value:g} now"))

    async def send(self, command: Command) -> None:
        """Take a command as the input log would; the ward's answer comes a little later, as an event."""
        self.commands.append(command)
        if not self.deaf:
            asyncio.get_running_loop().call_later(0.05, self.say, command)

    def say(self, command: Command, at_ns: int | None = None) -> None:
        self._emit(self.book.command(command, self.clock.now_ns() if at_ns is None else at_ns))

    def _emit(self, events: Sequence[AlarmEvent]) -> None:
        ends = ("measured", "published", "received", "appended", "fetched", "scored", "emitted")
        back_s = (6.1, 1.4, 1.32, 1.29, 1.27, 0.0, 0.0)
        now = self.clock.now_ns()
        stamps = {name: now - int(s * SECOND_NS * self.clock.speed) for name, s in zip(ends, back_s, strict=True)}
        stamps |= {CLOCK_LEAST: -int(0.02e9 * self.clock.speed), CLOCK_MOST: int(0.06e9 * self.clock.speed)}
        for event in events:
            self.offset += 1
            self.history.events.setdefault(event.patient, []).append(event)
            self.console.on_alarm(event, stamps, (0, self.offset))
        if self.heard is not None and events:
            self.heard(events)


def frames_of(bodies: Sequence[Body], end_ns: int) -> Frames:
    """The frames of some bodies, as a ward would close them."""
    shape = (len(bodies), N_SIGNS)
    value, measured = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    age = np.full(shape, -1, np.int64)
    for row, body in enumerate(bodies):
        for sign, readings in body.readings.items():
            if not readings:
                continue
            at_ns, number = readings[-1]
            age[row, sign] = end_ns - at_ns
            measured[row, sign] = at_ns > end_ns - MINUTE_NS
            if end_ns - at_ns <= SIGNS[sign].valid_ns:
                value[row, sign] = number
    measures = np.full((len(bodies), N_MEASURES), np.nan)
    for measure, signs in SOURCES.items():
        for sign in reversed(signs):
            known = ~np.isnan(value[:, sign])
            measures[known, measure] = value[known, sign]
    scores = score(measures, np.ones(len(bodies), np.int64))
    names = [body.name for body in bodies]
    detector = np.full((len(bodies), 1), 0.1)
    lows, highs = scores.low[:, : len(SCORES)], scores.high[:, : len(SCORES)]
    return Frames(
        end_ns - MINUTE_NS,
        end_ns,
        names,
        value,
        measured,
        age,
        lows,
        highs,
        scores.missing,
        detector,
        ("ewma",),
        end_ns,
    )


def fall_ill(body: Body, from_ns: int, **per_hour: float) -> None:
    """From then on its signs drift, so much an hour."""
    body.ill_from = from_ns
    body.drift = {Sign[name.upper()]: slope for name, slope in per_hour.items()}


def made_up_ward(
    ward: FakeWard, patients: int = 40, hours: float = 6.0, ill: Mapping[str, dict[str, float]] | None = None
) -> None:
    """Forty people, of whom some are ill, and six hours of their lives; `ill` since they began: name -> drifts."""
    names = [f"p-{i:02}" for i in range(1, patients + 1)]
    for name in names:
        ward.body(name)
    now = ward.clock.now_ns()
    b = ward.bodies
    fall_ill(b["p-07"], now - 4 * HOUR_NS, hr=11, resp=2.6, temp_c=0.55, nibp_sbp=-9, nibp_dbp=-5, spo2=-1.2)
    fall_ill(b["p-19"], now - 2 * HOUR_NS, spo2=-5.6, resp=6, hr=9)
    fall_ill(b["p-26"], now - HOUR_NS, hr=62)
    fall_ill(b["p-15"], now - 5 * HOUR_NS, temp_c=0.5)
    for name, drifts in (ill or {}).items():
        fall_ill(b[name], int(now - hours * HOUR_NS), **drifts)
    b["p-30"].off = {Sign.CONSCIOUSNESS, Sign.OXYGEN, Sign.TEMP_C}
    first = int(now - hours * HOUR_NS) // MINUTE_NS * MINUTE_NS
    for end_ns in range(first, now + 1, MINUTE_NS):
        ago = now - end_ns
        b["p-23"].off = {Sign.SPO2} if ago < 25 * MINUTE_NS or 170 * MINUTE_NS < ago < 215 * MINUTE_NS else set()
        b["p-12"].off = {Sign.NIBP_SBP, Sign.NIBP_DBP, Sign.NIBP_MAP} if ago < 95 * MINUTE_NS else set()
        ward.minute(end_ns, [name for name in names if name != "p-28" or ago > 9 * MINUTE_NS])
    _alarms(ward, now)


def _alarms(ward: FakeWard, now: int) -> None:
    m = MINUTE_NS

    def news(low: float, high: float, missing: tuple[str, ...] = (), **parts: float) -> ScoreEvidence:
        named = {name.replace("_", " "): points for name, points in parts.items()}
        return ScoreEvidence(name="news2", low=low, high=high, missing=missing, parts=named)

    first = news(5, 5, respiration=2, heart_rate=2, temperature=1)
    alarm = ward.signal("p-07", "news2", Raise(at_ns=now - 52 * m, cause="NEWS2 5, 5 or more for 5 min", score=first))
    ward.say(_command("p-07", alarm, "acknowledge", 1), now - 49 * m)
    ward.signal("p-07", "anomaly", Raise(at_ns=now - 95 * m, cause="ewma score 0.71, threshold 0.50: heart rate"))
    worse = news(7, 7, respiration=2, heart_rate=2, systolic_pressure=2, temperature=1)
    ward.book.advance(now - 21 * m)
    ward.signal("p-07", "news2", Level(at_ns=now - 3 * m, level=2, cause="NEWS2 7, 7 or more for 5 min", score=worse))
    ward.limit("p-19", "spo2-low", 84, 2 * m, level=2)
    ward.limit("p-26", "rate-high", 172, 6 * m)
    ward.limit("p-23", "spo2-low", 86, 31 * m)
    ward.signal("p-23", "spo2-low", Silent(since_ns=now - 25 * m, at_ns=now - 23 * m))
    ward.signal("p-23", "sensor-off-spo2", Raise(at_ns=now - 24 * m, cause="no contact for 1 min", device="watch-p-23"))
    shelved = ward.limit("p-15", "temp-high", 39.2, 40 * m)
    shelf = {"reason": "given paracetamol", "until_ns": now + 60 * m, "bound": 40.0, "direction": "above"}
    ward.say(_command("p-15", shelved, "shelve", 2, **shelf), now - 35 * m)
    ward.signal("p-04", "battery-low", Raise(at_ns=now - 70 * m, cause="battery 12 %, below 15 %", device="watch-p-04"))
    ward.signal(
        "p-30", "observe-consciousness", Raise(at_ns=now - 130 * m, cause="consciousness not observed for 12 h")
    )
    ward.signal("p-28", "device-silent", Raise(at_ns=now - 5 * m, cause="nothing heard for 4 min", device="watch-p-28"))
    closed = ward.limit("p-11", "sbp-low", 79, 80 * m)
    ward.signal("p-11", "sbp-low", Return(at_ns=now - 66 * m, cause="systolic pressure 104 mm[Hg], back for 60 s"))
    resolution = {"outcome": "dismissed", "note": "cuff was loose"}
    ward.say(_command("p-11", closed, "resolve", 3, **resolution), now - 60 * m)
    pause = Enrolment(
        patient="p-31", state="paused", at_ns=now - 20 * m, by="imre", reason="at radiology", until_ns=now + 40 * m
    )
    ward.console.on_registry(pause)
    own = Limit(patient="p-19", rule="spo2-low", threshold=88, at_ns=now - 300 * m, by="imre", reason="known COPD")
    ward.console.on_registry(own)


def _command(patient: str, alarm_id: str, action: Any, number: int, **more: Any) -> Command:
    return Command(
        command_id=f"made-up-{number:04}", patient=patient, alarm_id=alarm_id, action=action, by="imre", **more
    )


class Served:
    """A fake ward behind a real server on a free port, in a thread of its own."""

    def __init__(self, make: Callable[[], FakeWard], port: int = 0) -> None:
        self._make = make
        self._port = port
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()
        if not self._ready.wait(180):
            raise TimeoutError("the console did not start")
        if self._failed:
            raise self._failed

    @property
    def running(self) -> bool:
        """Whether it serves still."""
        return self._thread.is_alive()

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function on the server's loop and wait for its result."""

        async def run() -> T:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(90)

    def stall(self) -> Callable[[], None]:
        """Stop the server's loop dead, connections open; what is returned lets it go on."""
        go_on = threading.Event()
        self.loop.call_soon_threadsafe(go_on.wait)
        return go_on.set

    def stop(self, *, bye: bool = True) -> None:
        """End it: politely, or with its connections cut."""
        if bye:
            self.call(self.ward.console.stop)
        else:
            self.server.force_exit = True
        self.server.should_exit = True
        self._thread.join(90)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # told to the thread that waits
            self._failed = error
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ward = self._make()
        config = uvicorn.Config(
            self.ward.console.app, port=self._port, log_level="warning", timeout_graceful_shutdown=5
        )
        self.server = uvicorn.Server(config)
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started and not serving.done():  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self._ready.set()
        await serving


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--password", default="")
    args = parser.parse_args()
    directory = {f"p-{i:02}": f"Bed {i}" for i in range(1, 41)}

    def make() -> FakeWard:
        clock = WardClock(speed=args.speed, running=True)
        settings = ConsoleSettings(title="Ward 4 West", volatile=True, directory=directory, tick_silence_s=86400)
        ward = FakeWard(settings, clock)
        made_up_ward(ward)
        return ward

    served = Served(make, args.port)
    if args.password:
        from dashboards.console import Account, hash_password

        served.ward.console.accounts.add(Account("imre", Role.CLINICIAN, hash_password(args.password)))
    print(f"http://127.0.0.1:{served.port}/")
    newest = START_NS
    while True:
        time.sleep(0.2)
        while newest + MINUTE_NS + 10 * SECOND_NS <= served.ward.clock.now_ns():
            newest += MINUTE_NS
            served.call(served.ward.minute, newest, [n for n in served.ward.bodies if n != "p-28"])


if __name__ == "__main__":
    main()
