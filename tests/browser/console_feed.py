"""A made-up ward for the console: real console, real server, made-up frames and events. Nobody here exists.

Run as a program it serves the ward for looking at: ``python tests/browser/console_feed.py --port 8099``.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import uvicorn

from dashboards.console import Console, ConsoleSettings, Role, Series
from vitals.events import SCORES, AlarmEvent, Evidence, Frames, ScoreEvidence
from vitals.log import Binding, Command, Enrolment, Limit
from vitals.rules import RULES, RULES_VERSION
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
    """History as a store would tell it, from what the bodies have measured; `broken` makes it fail."""

    def __init__(self, bodies: dict[str, Body]) -> None:
        self._bodies = bodies
        self.events: dict[str, list[AlarmEvent]] = {}

    async def series(self, patient: str, sign: str, from_ns: int, to_ns: int) -> Series:
        body = self._bodies.get(patient)
        found = [] if body is None else body.readings.get(Sign[sign.upper()], [])
        inside = [(t, v) for t, v in found if from_ns <= t < to_ns]
        return Series(np.array([t for t, _ in inside], np.int64), np.array([v for _, v in inside], np.float64))

    async def alarm_events(self, patient: str) -> Sequence[AlarmEvent]:
        return self.events.get(patient, [])


class FakeWard:
    """Feeds a console and answers its commands much as a ward would."""

    def __init__(self, settings: ConsoleSettings, clock: WardClock) -> None:
        self.clock = clock
        self.bodies: dict[str, Body] = {}
        self.history = Remembered(self.bodies)
        self.commands: list[Command] = []
        self.refuse: str = ""
        self.silent = False
        self.offset = 0
        self.n: dict[str, int] = {}
        self.newest: dict[str, AlarmEvent] = {}
        self.console = Console(settings, self.history, self.send, clock)

    def body(self, name: str, seed: int | None = None) -> Body:
        if name not in self.bodies:
            self.bodies[name] = Body(name, len(self.bodies) if seed is None else seed)
            enrolment = Enrolment(patient=name, state="admitted", at_ns=START_NS - 9 * HOUR_NS, by="admissions")
            self.console.on_registry(enrolment)
            self.console.on_registry(Binding(device=f"watch-{name}", patient=name, from_ns=START_NS - 9 * HOUR_NS))
        return self.bodies[name]

    def minute(self, end_ns: int, names: Sequence[str] | None = None) -> None:
        """A minute of everybody's life, and its frames."""
        bodies = [self.bodies[name] for name in (names or self.bodies)]
        for body in bodies:
            body.minute(end_ns)
        self.console.on_frames(frames_of(bodies, end_ns))

    def alarm(self, patient: str, rule: str, event: str = "raised", **more: Any) -> AlarmEvent:
        """One event of an alarm; the first makes it, later ones name it by patient and rule."""
        row = RULES[rule]
        level = more.pop("level", 1)
        at_ns = more.pop("at_ns", self.clock.now_ns())
        key = f"{patient}:{rule}"
        if event == "raised" and key not in self.newest:
            self.newest[key] = None  # type: ignore[assignment]
            self.n[key] = 0
            more["alarm_id"] = f"{key}:{at_ns}"
        self.n[key] += 1
        before = self.newest[key]
        alarm_id = more.pop("alarm_id", before.alarm_id if before else "")
        made = AlarmEvent(
            event_id=f"{alarm_id}:{self.n[key]}",
            alarm_id=alarm_id,
            n=self.n[key],
            patient=patient,
            rule=rule,
            rule_version=RULES_VERSION,
            kind=more.pop("kind", row.kind),
            priority=more.pop("priority", row.priority(level)),
            event=event,  # type: ignore[arg-type]
            at_ns=at_ns,
            cause=more.pop("cause", row.words),
            level=level,
            state=more.pop("state", {}),
            **more,
        )
        self.newest[key] = made
        self.history.events.setdefault(patient, []).append(made)
        self._emit(made)
        return made

    async def send(self, command: Command) -> None:
        """Take a command as the input log would; the ward's answer comes a little later, as an event."""
        self.commands.append(command)
        if not self.silent:
            asyncio.get_running_loop().call_later(0.05, self.answer, command)

    def answer(self, command: Command) -> None:
        rule = command.alarm_id.split(":")[1]
        said = {"by": command.by, "command_id": command.command_id, "at_ns": self.clock.now_ns()}
        if self.refuse:
            refused = self.newest[f"{command.patient}:{rule}"]
            self._emit(
                AlarmEvent(
                    event_id=f"{command.patient}:command:{command.command_id}:1",
                    alarm_id=f"{command.patient}:command:{command.command_id}",
                    n=1,
                    patient=command.patient,
                    rule="command",
                    rule_version=RULES_VERSION,
                    kind=refused.kind,
                    priority=refused.priority,
                    event="command_refused",
                    cause=self.refuse,
                    **said,
                )
            )
            return
        level = self.newest[f"{command.patient}:{rule}"].level
        until = {"due_ns": command.until_ns or said["at_ns"] + 30 * MINUTE_NS}
        match command.action:
            case "acknowledge":
                self.alarm(command.patient, rule, "acknowledged", cause="seen", level=level, **said, **until)
            case "shelve":
                state = {"shelf": "shelved", "shelf_bound": command.bound, "shelf_direction": command.direction}
                self.alarm(
                    command.patient, rule, "shelved", cause=command.reason, level=level, state=state, **said, **until
                )
            case "expect":
                due = {"due_ns": said["at_ns"] + (command.within_ns or 0)}
                self.alarm(command.patient, rule, "expecting", cause=command.reason, level=level, **said, **due)
            case _:
                cause = f"{command.outcome}: {command.note}"
                self.alarm(command.patient, rule, "closed", cause=cause, level=level, **said)

    def _emit(self, event: AlarmEvent) -> None:
        self.offset += 1
        now = self.clock.now_ns()
        ends = ("measured", "published", "received", "appended", "fetched", "scored", "emitted")
        back_s = (6.1, 1.4, 1.32, 1.29, 1.27, 0.02, 0.0)
        stamps = {name: now - int(s * SECOND_NS * self.clock.speed) for name, s in zip(ends, back_s, strict=True)}
        self.console.on_alarm(event, stamps, (0, self.offset))


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


def made_up_ward(ward: FakeWard, patients: int = 40, hours: float = 6.0) -> None:
    """Forty people, of whom some are ill, and six hours of their lives."""
    names = [f"p-{i:02}" for i in range(1, patients + 1)]
    for name in names:
        ward.body(name)
    now = ward.clock.now_ns()
    b = ward.bodies
    b["p-07"].ill_from, b["p-07"].drift = (
        now - 4 * HOUR_NS,
        {Sign.HR: 11, Sign.RESP: 2.6, Sign.TEMP_C: 0.55, Sign.NIBP_SBP: -9, Sign.NIBP_DBP: -5, Sign.SPO2: -1.2},
    )
    b["p-19"].ill_from, b["p-19"].drift = now - 2 * HOUR_NS, {Sign.SPO2: -5.6, Sign.RESP: 6, Sign.HR: 9}
    b["p-26"].ill_from, b["p-26"].drift = now - HOUR_NS, {Sign.HR: 62}
    b["p-15"].ill_from, b["p-15"].drift = now - 5 * HOUR_NS, {Sign.TEMP_C: 0.5}
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
    news = ScoreEvidence(name="news2", low=7, high=7, parts={"resp": 3, "rate": 2, "temp_c": 1, "sbp": 1})
    ward.alarm(
        "p-07",
        "news2",
        at_ns=now - 52 * m,
        cause="NEWS2 5 to 5 at or above 5 for 5 min",
        due_ns=now - 42 * m,
        score=ScoreEvidence(name="news2", low=5, high=5, parts={"resp": 2, "rate": 2, "temp_c": 1}),
    )
    ward.alarm(
        "p-07",
        "news2",
        "acknowledged",
        at_ns=now - 49 * m,
        by="imre",
        cause="seen",
        due_ns=now - 19 * m,
        command_id="c-0001-0001",
    )
    ward.alarm(
        "p-07",
        "news2",
        "worsened",
        at_ns=now - 3 * m,
        level=2,
        cause="NEWS2 7 at or above 7",
        score=news,
        due_ns=now - m,
    )
    ward.alarm(
        "p-07",
        "news2-single",
        at_ns=now - 11 * m,
        cause="respiration 25 /min gives 3 points for 5 min",
        evidence=(Evidence(sign="resp", value=25.3, time_ns=now - 11 * m, device="watch-p-07"),),
    )
    ward.alarm("p-07", "anomaly", at_ns=now - 95 * m, cause="EWMA of heart rate 4.2 standard deviations above own mean")
    ward.alarm(
        "p-19",
        "spo2-low",
        at_ns=now - 2 * m,
        level=2,
        cause="SpO2 84 % at or below 85 % for 60 s",
        evidence=(
            Evidence(sign="spo2", value=84, time_ns=now - 2 * m, device="watch-p-19", limit=85),
            Evidence(sign="spo2", value=85, time_ns=now - 3 * m, device="watch-p-19", limit=85),
        ),
        due_ns=now,
    )
    ward.alarm(
        "p-26",
        "rate-high",
        at_ns=now - 6 * m,
        cause="heart rate 172 /min at or above 170 /min for 60 s",
        evidence=(Evidence(sign="hr", value=172, time_ns=now - 6 * m, device="watch-p-26", limit=170),),
    )
    ward.alarm("p-23", "spo2-low", at_ns=now - 31 * m, cause="SpO2 86 % at or below 87 % for 60 s")
    ward.alarm(
        "p-23",
        "spo2-low",
        "unobserved",
        at_ns=now - 23 * m,
        cause="no reading of oxygen saturation",
        state={"observation": "unobserved", "unobserved_since_ns": now - 25 * m},
    )
    ward.alarm("p-23", "sensor-off-spo2", at_ns=now - 24 * m, cause="no contact for 60 s", device="watch-p-23")
    ward.alarm("p-15", "temp-high", at_ns=now - 40 * m, cause="temperature 39.2 °C at or above 39.1 °C for 10 min")
    ward.alarm(
        "p-15",
        "temp-high",
        "shelved",
        at_ns=now - 35 * m,
        by="imre",
        cause="given paracetamol",
        due_ns=now + 85 * m,
        state={"shelf": "shelved", "shelf_bound": 40.0, "shelf_direction": "above"},
    )
    ward.alarm("p-04", "battery-low", at_ns=now - 70 * m, cause="battery 12 % at or below 15 %", device="watch-p-04")
    ward.alarm("p-30", "observe-consciousness", at_ns=now - 130 * m, cause="consciousness not observed for 12 h")
    ward.alarm("p-28", "device-silent", at_ns=now - 5 * m, cause="watch-p-28 silent for 3 periods", device="watch-p-28")
    ward.alarm("p-11", "sbp-low", at_ns=now - 80 * m, cause="systolic pressure 79 mmHg at or below 80 mmHg")
    ward.alarm(
        "p-11",
        "sbp-low",
        "returned",
        at_ns=now - 66 * m,
        cause="systolic pressure 104 mmHg for 60 s",
        state={"condition": "returned"},
    )
    ward.alarm(
        "p-11",
        "sbp-low",
        "closed",
        at_ns=now - 60 * m,
        by="imre",
        cause="dismissed: cuff was loose",
        state={"closed": True, "condition": "returned"},
    )
    ward.console.on_registry(
        Enrolment(
            patient="p-31", state="paused", at_ns=now - 20 * m, by="imre", reason="at radiology", until_ns=now + 40 * m
        )
    )
    ward.console.on_registry(
        Limit(patient="p-19", rule="spo2-low", threshold=88, at_ns=now - 300 * m, by="imre", reason="known COPD")
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
        if not self._ready.wait(30):
            raise TimeoutError("the console did not start")
        if self._failed:
            raise self._failed

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a function on the server's loop and wait for its result."""

        async def run() -> T:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)

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
        self._thread.join(20)

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
        while not self.server.started and not serving.done():
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
