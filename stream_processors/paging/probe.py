"""The test patient: a device of nobody whose oxygen falls on a schedule, pushed through everything and answered.

```
 bundle -> broker -> bridge -> Kafka -> ward -> alarm -> pager -> this channel -> link used -> pager -> ward
   ^                                      |raise|         |page|                |answer|              acknowledged
   +---- falls every so often, recovers when the page is here
```

It wears `topics.SYNTHETIC_DEVICE` under the name `topics.SYNTHETIC`, which every clinical count leaves out. A trial
that is not acknowledged in its time is an alarm of the pager's own and says how far it came.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from stream_processors.paging import own
from stream_processors.paging.channels import Outgoing
from stream_processors.paging.policy import TEST_RULE
from stream_processors.paging.state import Found
from stream_processors.paging.waiting import Clock, until
from transport.mqtt_types import MqttError
from vitals import wire
from vitals.answers import Ask
from vitals.burden import percentile
from vitals.events import AlarmEvent
from vitals.log import Binding, Enrolment
from vitals.signs import MINUTE_NS, SECOND_NS
from vitals.topics import SYNTHETIC, SYNTHETIC_DEVICE, bundle_topic
from vitals.wire import SentBundle, SentReading

log = logging.getLogger(__name__)

_LOW: Final = 70.0
# Everybody is well: what is missing would ask people to observe somebody who is not there.
_WELL: Final[dict[str, float | str | bool]] = {
    "hr": 70.0, "spo2": 97.0, "resp": 14.0, "temp_c": 36.8, "nibp_sbp": 120.0, "nibp_dbp": 75.0, "nibp_map": 90.0,
    "consciousness": "A", "oxygen": False,
}  # fmt: skip
_KEPT: Final = 200
_WAITING: Final = 360
"""Bundles that wait for a broker: an hour of them. Nobody needs what was well before that."""

Publish = Callable[[str, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How the test patient behaves.

    Attributes:
        every_ns: From one trial to the next.
        first_ns: From the start to the first trial.
        period_ns: Between two bundles.
        give_up_ns: A trial that is not acknowledged by then has failed. Longer than the rule's delay of a minute.
        give_up_s: And by then, in time of the wall: where ward time runs fast, people and machines do not.
        speed: Seconds of ward time in one of the wall.
    """

    every_ns: int = 30 * MINUTE_NS
    first_ns: int = MINUTE_NS
    period_ns: int = 10 * SECOND_NS
    give_up_ns: int = 3 * MINUTE_NS
    give_up_s: float = 30.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not MINUTE_NS + 2 * self.period_ns < self.give_up_ns < self.every_ns:
            raise ValueError(
                f"give_up_ns is {self.give_up_ns}; it lies between the rule's minute with two bundles and every_ns"
            )


@dataclass(slots=True)
class Trial:
    """One trial; instants by ward time, moments by a clock that only rises.

    Attributes:
        began_ns: First low reading.
        began_s: Likewise.
        alarm_id: The alarm that came of it; "" none yet.
        raised_ns: When the ward says that it was raised.
        read_s: When the pager had it.
        raise_ms: From the one to the other, wall.
        paged_s: When the page was here.
        asked_s: When the link was used.
    """

    began_ns: int
    began_s: float
    alarm_id: str = ""
    raised_ns: int = 0
    read_s: float = 0.0
    raise_ms: float = 0.0
    paged_s: float = 0.0
    asked_s: float = 0.0

    def how_far(self, unsent: str = "") -> str:
        """Where it stands still, in words.

        Args:
            unsent: Why the broker does not take what the device sends; "" where it does.
        """
        if not self.alarm_id:
            return f"the MQTT broker does not take it ({unsent})" if unsent else "no alarm came of it"
        if not self.paged_s:
            return "its alarm was raised, and no page came"
        if not self.asked_s:
            return "its page came, and its link could not be used"
        return "its page was answered, and the ward did not acknowledge it"


class Probe:
    """The test patient.

    Args:
        settings: How it behaves.
        clock: Ward time.
        publish: Sends a bundle to the MQTT broker; returns when that has it.
        ask: Uses a link, as whoever serves the answer page does.
        found: Told of a trial that failed, and that one went through again.
        monotonic_s: A clock that only rises.

    Attributes:
        sent: Bundles that the broker has.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        clock: Clock,
        publish: Publish,
        ask: Callable[[Ask], Awaitable[None]],
        found: Callable[[Found], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._publish = publish
        self._ask = ask
        self._found = found
        self._monotonic_s = monotonic_s
        self._boot = max(1, clock.now_ns() // SECOND_NS)
        self._seq = self._n_before = 0
        self._trial: Trial | None = None
        self._next_ns = clock.now_ns() + settings.first_ns
        self._failed = 0
        self._totals: deque[float] = deque(maxlen=_KEPT)
        self._newest: dict[str, Any] = {}
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._unsent = ""
        self._stopping = asyncio.Event()
        self.sent = 0

    async def run(self) -> None:
        """Send bundles until `stop`."""
        while not self._stopping.is_set():
            now_ns = self._clock.now_ns()
            self.look(now_ns)
            self._waiting.append(self.bundle(now_ns))
            await self._send()
            await until(self._clock, now_ns + self._settings.period_ns, self._stopping)

    async def _send(self) -> None:
        """All that waits, in order. A broker that does not take it is what a trial finds, in its own time."""
        try:
            while self._waiting:
                await self._publish(bundle_topic(SYNTHETIC_DEVICE), self._waiting[0])
                self._waiting.popleft()
                self.sent += 1
        except (MqttError, OSError) as error:
            self._unsent = type(error).__name__
        else:
            self._unsent = ""

    def stop(self) -> None:
        """End with the bundle that is under way."""
        self._stopping.set()

    def look(self, now_ns: int) -> None:
        """Begin a trial that is due; give up one that takes too long."""
        trial, settings = self._trial, self._settings
        if trial is not None:
            waited_s = self._monotonic_s() - trial.began_s
            if now_ns - trial.began_ns >= settings.give_up_ns and waited_s >= settings.give_up_s:
                self._give_up(trial, now_ns)
        if self._trial is None and now_ns >= self._next_ns:
            self._trial = Trial(began_ns=now_ns, began_s=self._monotonic_s())
            self._next_ns = now_ns + settings.every_ns

    def bundle(self, now_ns: int) -> bytes:
        """What the device sends now: low while a trial waits for its page."""
        low = self._trial is not None and not self._trial.paged_s
        values = _WELL | ({"spo2": _LOW} if low else {})
        readings = [SentReading(sign=sign, value=value, time_ns=now_ns) for sign, value in values.items()]
        sent = SentBundle(
            device=SYNTHETIC_DEVICE,
            boot=self._boot,
            seq=self._seq,
            sent_ns=now_ns,
            n=len(readings),
            n_before=self._n_before,
            readings=readings,
        )
        self._seq += 1
        self._n_before += len(readings)
        return wire.encode(sent, "json")

    def on_event(self, event: AlarmEvent) -> None:
        """An alarm event of the test patient, as the pager read it."""
        trial = self._trial
        if trial is None or event.rule != TEST_RULE:
            return
        if event.event in ("raised", "recurred", "worsened") and not trial.alarm_id:
            trial.alarm_id, trial.raised_ns, trial.read_s = event.alarm_id, event.at_ns, self._monotonic_s()
            trial.raise_ms = (self._clock.now_ns() - event.at_ns) / self._settings.speed / 1e6
        if event.event == "acknowledged" and event.alarm_id == trial.alarm_id and event.by == SYNTHETIC:
            self._done(trial)

    async def take(self, message: Outgoing) -> None:
        """The channel ``test:``: a page is here; it is opened and answered by its link."""
        trial = self._trial
        if trial is not None and not trial.paged_s:
            trial.paged_s = self._monotonic_s()
        token = message.tokens.get("acknowledge")
        if token is None:
            return
        for use in (False, True):
            ask_id = f"test-{secrets.token_hex(8)}"
            await self._ask(Ask(ask_id=ask_id, token=token, use=use, at_ns=self._clock.now_ns(), person=SYNTHETIC))
        if trial is not None:
            trial.asked_s = self._monotonic_s()

    def _done(self, trial: Trial) -> None:
        now_s = self._monotonic_s()
        hops = {
            "raise": trial.raise_ms,
            "page": 1e3 * (trial.paged_s - trial.read_s),
            "answer": 1e3 * (now_s - trial.paged_s),
            "total": trial.raise_ms + 1e3 * (now_s - trial.read_s),
        }
        self._totals.append(hops["total"])
        self._newest = {"at_ns": trial.raised_ns, "ok": True, "hops": {k: round(ms, 1) for k, ms in hops.items()}}
        self._trial = None
        self._found(Found(rule=own.TEST))

    def _give_up(self, trial: Trial, now_ns: int) -> None:
        self._failed += 1
        why = trial.how_far(self._unsent)
        self._newest = {"at_ns": now_ns, "ok": False, "why": why}
        self._trial = None
        log.warning("a trial of the test patient failed: %s", why)
        self._found(Found(rule=own.TEST, cause=f"the test patient's oxygen fell, and {why}"))

    def told(self) -> dict[str, Any]:
        """The newest trial and how long trials took, for words of health; milliseconds of the wall."""
        ordered = sorted(self._totals)
        more = {f"p{p}_ms": round(percentile(ordered, p), 1) for p in (50, 90)} if ordered else {}
        counts = {"trials": len(ordered) + self._failed, "failed": self._failed, "sent": self.sent}
        return {**self._newest, **counts, "due_ns": self._next_ns, **more}


def bindings(now_ns: int, settings: ProbeSettings) -> tuple[Enrolment, Binding]:
    """What has to stand in the registry."""
    return (
        Enrolment(patient=SYNTHETIC, state="admitted", at_ns=now_ns, by="teleward"),
        Binding(device=SYNTHETIC_DEVICE, patient=SYNTHETIC, from_ns=now_ns, period_ns=settings.period_ns),
    )
