"""A device: samples its body, bundles, queues, sends, and sends again until acknowledged. No input or output in here.

A state machine in virtual time. `next_ns` says when it wants to be called; `advance(t)` does what is due and returns
what goes out now; `acknowledged(sending)` tells it that the broker has something. What it makes and when it first
sends it depends on virtual time alone, so that a slow machine or a broker that is away changes no byte.

```
  body --sample--> bundle (draft) --radio--> bytes fixed --air--> Sending --> broker
                     |  queue: kept until acknowledged  |     lost: again in 4 s
                     |  no radio: waits, unsent         |     twice, overtaken
```

While the radio is out nothing is stamped as sent. While it is the *broker* that is away, bundles have been handed to
the radio, keep their send time, and the same bytes are tried again: late is the device's doing, delayed is ours.
"""

from __future__ import annotations

import enum
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from device_sim.bundling import Bundler, stamped
from device_sim.faults import BROKEN, Faults, broken_reading, garbage, is_reading_fault
from device_sim.kinds import Kind
from device_sim.queue import Key, Queue, Queued
from vitals.signs import HOUR_NS, MINUTE_NS, SECOND_NS, Consciousness, Sign
from vitals.topics import bundle_topic
from vitals.wire import SentReading

RESEND_NS: Final = 4 * SECOND_NS  # twice within the 10 s that a receiver waits for a gap to fill
REPEAT_NS: Final = SECOND_NS
SPACING_NS: Final = 20_000_000  # between bundles of a backlog: what a small radio manages
AIR_NS: Final = 50_000_000  # from the sample to the radio: filtering, encoding, waking the radio up
_MAX_TRIES: Final = 8  # chance loses no packet more often than this

_NOTHING: Final = ((-1, -1), 0)

Body = Callable[[int], list[float]]
"""All signs of the patient who wears the device at an instant, in the order of `Sign`."""


class _Act(enum.IntEnum):
    """What a device does at an instant; of several at the same instant the least first."""

    POWER_OFF = 0
    POWER_ON = 1
    RADIO_BACK = 2
    SAMPLE = 3
    SEND = 4
    TRANSMIT = 5


@dataclass(slots=True)
class Sending:
    """One message to publish.

    Attributes:
        topic: Where.
        payload: The bytes.
        key: The bundle it holds; None for a message outside of the sequence.
        n: Readings of that bundle.
        repeat: True where what was acknowledged goes out once more: the fault "twice", or a broken connection.
    """

    topic: str
    payload: bytes
    key: Key | None
    n: int
    repeat: bool = False


@dataclass(slots=True)
class Counts:
    """What a device did, in bundles and readings.

    Attributes:
        bundles: Made, each with a sequence number of its own.
        readings: In them. This is the ledger's *sent*: all that a device ever put into a bundle.
        acknowledged_bundles: That the broker has.
        acknowledged: Readings in those.
        repeated_bundles: Bundles that the broker got once more (fault "twice", or after a broken connection).
        repeated: Readings in those; a receiver counts them as duplicates, but for what the broker had forgotten.
        broken: Readings that broken firmware spoilt inside good bundles; a receiver refuses them.
        truncated: Readings of bundles that broken firmware cut short; a receiver quarantines the message.
        garbage: Messages outside of the sequence that nobody can read and the broker took.
    """

    bundles: int = 0
    readings: int = 0
    acknowledged_bundles: int = 0
    acknowledged: int = 0
    repeated_bundles: int = 0
    repeated: int = 0
    broken: int = 0
    truncated: int = 0
    garbage: int = 0

    @property
    def queued_bundles(self) -> int:
        """Bundles that the broker has not acknowledged."""
        return self.bundles - self.acknowledged_bundles

    @property
    def queued(self) -> int:
        """Readings in bundles that the broker has not acknowledged."""
        return self.readings - self.acknowledged


class Device:
    """One simulated device.

    Args:
        device: Its id.
        kind: What it measures and how often.
        body: Whom it measures.
        faults: What goes wrong with it.
        queue: Where bundles wait. What waits there from an earlier life goes out first, byte for byte.
        start_ns: When it is switched on; in whole seconds its boot number.
        phase_ns: From there to the first sample.
        battery_pct: Charge at the start.
    """

    def __init__(
        self,
        device: str,
        kind: Kind,
        body: Body,
        faults: Faults,
        queue: Queue,
        *,
        start_ns: int,
        phase_ns: int,
        battery_pct: float = 100.0,
    ) -> None:
        self.device = device
        self.kind = kind
        self.faults = faults
        self.queue = queue
        self.counts = Counts()
        self.made: list[tuple[int, int, int, int]] = []
        """Boot, sequence number, readings and instant of every bundle since the caller last emptied it."""
        self.heard: tuple[int, int] | None = None
        """The ward's time that it was told, and ward time at which it heard that; the next bundle echoes it, once."""
        self._body = body
        self._topic = bundle_topic(device)
        self._start_ns = start_ns
        self._first_sample_ns = start_ns + phase_ns
        self._charged_pct = battery_pct
        self._charged_ns = start_ns
        self._waiting: dict[Key, Queued] = {}
        self._unsent: deque[Key] = deque()
        self._radio_busy = False
        self._radio_free_ns = start_ns
        self._dead = False
        self._spike_before = False
        self._cut_next = False
        self._aired: set[Key] = set()  # went out in this life, not acknowledged yet: never sent again by a reboot
        self._repeats: dict[Key, Sending] = {}
        self._owes_again = False  # a connection broke while there was no radio
        self._acts: list[tuple[int, _Act, int, tuple[Key, int]]] = []
        self._order = 0
        self._plan()
        self._switch_on(start_ns)

    @property
    def next_ns(self) -> int:
        """When it next has something to do."""
        return self._acts[0][0]

    def advance(self, t_ns: int) -> list[Sending]:
        """Do all that is due up to an instant, in order.

        Returns:
            What goes out, in order.
        """
        out: list[Sending] = []
        while self._acts[0][0] <= t_ns:
            at_ns, act, _, what = heapq.heappop(self._acts)
            match act:
                case _Act.SAMPLE:
                    self._sample(at_ns, out)
                case _Act.SEND:
                    self._send(at_ns)
                case _Act.TRANSMIT:
                    self._transmit(at_ns, *what, out=out)
                case _Act.POWER_OFF:
                    self._switch_off()
                case _Act.POWER_ON:
                    self._charged_pct, self._charged_ns = 100.0, at_ns
                    self._switch_on(at_ns)
                    out += self._owed(at_ns)
                case _Act.RADIO_BACK:
                    self._radio(at_ns)
                    out += self._owed(at_ns)
                case _:
                    assert_never(act)
        return out

    def reconnected(self, t_ns: int) -> list[Sending]:
        """There is a connection again: what was acknowledged lately goes out once more, before all else.

        Nothing where there is no power or no radio: then it goes out when they are back.
        """
        self._owes_again = True
        return self._owed(t_ns)

    def _owed(self, t_ns: int) -> list[Sending]:
        if not self._owes_again or self._dead or self.faults.active("offline", t_ns) is not None:
            return []
        self._owes_again = False
        return [Sending(self._topic, kept.payload, kept.key, kept.n, repeat=True) for kept in self.queue.lately()]

    def acknowledged(self, sending: Sending) -> None:
        """The broker has it. The second acknowledgement of a bundle changes nothing."""
        if sending.key is None:
            self.counts.garbage += 1
            return
        if sending.repeat:
            self.counts.repeated_bundles += 1
            self.counts.repeated += sending.n
        if self._waiting.pop(sending.key, None) is not None:
            self.queue.done(sending.key)
            self._aired.discard(sending.key)
            self.counts.acknowledged_bundles += 1
            self.counts.acknowledged += sending.n

    # -- the plan ------------------------------------------------------------------------------------------------

    def _at(self, t_ns: int, act: _Act, what: tuple[Key, int] = _NOTHING) -> None:
        self._order += 1
        heapq.heappush(self._acts, (t_ns, act, self._order, what))

    def _plan(self) -> None:
        self._at(self._first_bundle_ns(), _Act.SAMPLE)
        for fault in self.faults.of("battery"):
            self._at(fault.from_ns, _Act.POWER_OFF)
            self._at(fault.to_ns, _Act.POWER_ON)
        for fault in self.faults.of("offline"):
            self._at(fault.to_ns, _Act.RADIO_BACK)

    def _first_bundle_ns(self) -> int:
        return self._first_sample_ns + self.kind.bundle_ns - self.kind.sample_ns

    def _switch_off(self) -> None:
        """What was on its way to the radio is forgotten; what the queue keeps is not."""
        self._dead = True
        self._acts = [act for act in self._acts if act[1] not in {_Act.SEND, _Act.TRANSMIT}]
        heapq.heapify(self._acts)
        self._repeats.clear()
        self._radio_busy = False

    def _switch_on(self, t_ns: int) -> None:
        """A boot: a number of its own, and what waits from before goes out first."""
        boot = max(t_ns // SECOND_NS, self.queue.last_boot() + 1)
        self.queue.started(boot)
        self._bundler = Bundler(self.device, boot)
        self._dead = False
        items = self.queue.waiting()
        known = self._waiting
        self._waiting = {item.key: item for item in items}
        for item in items:
            if item.key not in known:  # from an earlier life of the process: it has not been counted here yet
                self.counts.bundles += 1
                self.counts.readings += item.n
        self._unsent = deque(item.key for item in items if item.payload is None)
        again = [item.key for item in items if item.payload is not None and item.key not in self._aired]
        for i, key in enumerate(again):
            self._at(t_ns + i * SPACING_NS, _Act.TRANSMIT, (key, 0))
        self._radio_free_ns = t_ns + len(again) * SPACING_NS
        self._radio(t_ns)

    # -- measuring -----------------------------------------------------------------------------------------------

    def _sample(self, t_ns: int, out: list[Sending]) -> None:
        """Measure, and make a bundle of what was measured since the last one."""
        self._at(t_ns + self.kind.bundle_ns, _Act.SAMPLE)
        if self._dead:
            return
        readings = self._readings(t_ns)
        if self.faults.active("malformed", t_ns) is not None and self.faults.strikes("malformed", t_ns):
            self._break(readings, out)
        bundle = self._bundler.make(readings, round(self._battery_pct(t_ns), 1))
        item = Queued((bundle.boot, bundle.seq), bundle.n, bundle)
        self.queue.put(item)
        self._waiting[item.key] = item
        self._unsent.append(item.key)
        self.counts.bundles += 1
        self.counts.readings += bundle.n
        self.made.append((bundle.boot, bundle.seq, bundle.n, t_ns))
        self._radio(t_ns + AIR_NS)

    def _readings(self, t_ns: int) -> list[SentReading]:
        kind = self.kind
        out: list[SentReading] = []
        for at_ns in range(t_ns - kind.bundle_ns + kind.sample_ns, t_ns + 1, kind.sample_ns):
            values = self._body(at_ns)
            shown_ns = self.faults.device_time(at_ns)
            off = self.faults.active("sensor-off", at_ns) is not None
            spike = self._spike(at_ns)
            for sign in self._due(at_ns):
                if off:
                    self.faults.count("sensor-off")
                    out.append(SentReading(sign=sign.column, time_ns=shown_ns, quality="no_contact"))
                else:
                    out.append(_measured(sign, values[sign], shown_ns, spike))
        return out

    def _due(self, at_ns: int) -> tuple[Sign, ...]:
        """Fast signs at every sample; slow ones at the first and then each time their period has passed."""
        if not self.kind.slow_signs or (at_ns - self._first_sample_ns) % self.kind.slow_ns:
            return self.kind.signs
        return self.kind.signs + self.kind.slow_signs

    def _spike(self, at_ns: int) -> float:
        """Beats a minute that movement adds to this sample; 0 for none, negative where the sensor noticed.

        Never two in a row: what lasts is not a spike, and a device's own filter holds a second one back.
        """
        if self._spike_before or not self.faults.strikes("motion", at_ns):
            self._spike_before = False
            return 0.0
        self._spike_before = True
        size = 35.0 + self.faults.pick(60)
        return size if self.faults.pick(2) else -size

    def _break(self, readings: list[SentReading], out: list[Sending]) -> None:
        how = BROKEN[self.faults.pick(len(BROKEN))]
        if is_reading_fault(how):
            k = self.faults.pick(len(readings))
            readings[k] = broken_reading(readings[k], how)
            self.counts.broken += 1
        elif how == "truncated":
            self._cut_next = True
        else:
            out.append(Sending(self._topic, garbage(how, self.device), None, 0))

    def _battery_pct(self, t_ns: int) -> float:
        """Charge: falls by 0.8 % an hour and is charged every day; low before it dies of the fault."""
        for fault in self.faults.of("battery"):
            left_ns = fault.from_ns - t_ns
            if 0 <= left_ns < fault.low_for_ns:
                return 14.0 * left_ns / fault.low_for_ns
        return max(20.0, self._charged_pct - 0.8 * ((t_ns - self._charged_ns) / HOUR_NS % 24))

    # -- sending -------------------------------------------------------------------------------------------------

    def _radio(self, t_ns: int) -> None:
        """See to it that the radio takes what it has not had yet; not while it is busy or out of reach."""
        if self._unsent and not (self._radio_busy or self._dead or self.faults.active("offline", t_ns)):
            self._radio_busy = True
            self._at(max(t_ns, self._radio_free_ns), _Act.SEND)

    def _send(self, t_ns: int) -> None:
        """The oldest bundle's first time on the radio: its bytes are fixed, and kept before they go out."""
        self._radio_busy = False
        if self._dead or self.faults.active("offline", t_ns) is not None:
            return
        key = self._unsent.popleft()
        item, behind = self._waiting[key], len(self._unsent)
        heard, self.heard = self.heard, None
        echo = None if heard is None else (heard[0], max(0, self.faults.device_time(heard[1])))
        payload = stamped(item.draft, self.faults.device_time(t_ns), behind, self.kind.encoding, echo)
        if self._cut_next:
            # The firmware cuts what it writes, and takes it for sent. The header stays: it comes first.
            self._cut_next = False
            payload = payload[: max(len(payload) * 3 // 4, len(payload) - 40)]
            self.counts.truncated += item.n
        item.payload = payload
        self.queue.fix(key, payload)
        self._at(t_ns, _Act.TRANSMIT, (key, 0))
        self._radio_free_ns = t_ns + SPACING_NS
        self._radio(t_ns)

    def _transmit(self, t_ns: int, key: Key, tries: int, *, out: list[Sending]) -> None:
        """Once through the air, where packets are lost, doubled and overtaken."""
        item = self._waiting.get(key)
        repeat = tries < 0
        offline = self.faults.active("offline", t_ns)
        if offline is not None:
            if not repeat:
                self._at(offline.to_ns, _Act.TRANSMIT, (key, 0))
            return
        if repeat:
            out.append(self._repeats.pop(key))
            return
        if item is None or item.payload is None:
            return
        if tries < _MAX_TRIES and self.faults.strikes("lost", t_ns):
            self._at(t_ns + RESEND_NS, _Act.TRANSMIT, (key, tries + 1))
            return
        if tries == 0 and self.faults.strikes("reordered", t_ns):
            hold_ns = min(self.kind.bundle_ns, MINUTE_NS) + SECOND_NS
            self._at(t_ns + hold_ns, _Act.TRANSMIT, (key, _MAX_TRIES))
            return
        self._aired.add(key)
        out.append(Sending(self._topic, item.payload, key, item.n))
        if self.faults.strikes("twice", t_ns):
            self._repeats[key] = Sending(self._topic, item.payload, key, item.n, repeat=True)
            self._at(t_ns + REPEAT_NS, _Act.TRANSMIT, (key, -1))


def _measured(sign: Sign, value: float, time_ns: int, spike: float) -> SentReading:
    """A reading as the device writes it: letters for consciousness, true or false for oxygen."""
    if sign is Sign.CONSCIOUSNESS:
        return SentReading(sign=sign.column, value=Consciousness(int(value)).name, time_ns=time_ns)
    if sign is Sign.OXYGEN:
        return SentReading(sign=sign.column, value=value > 0, time_ns=time_ns)
    if spike and sign in _SHAKEN:
        shaken = float(round(value + abs(spike) * _SHAKEN[sign]))
        return SentReading(sign=sign.column, value=shaken, time_ns=time_ns, quality="good" if spike > 0 else "poor")
    return SentReading(sign=sign.column, value=value, time_ns=time_ns)


# Share of a spike that each sign takes: movement is counted as beats and breaths, and blurs an oximeter's light.
_SHAKEN: Final = {Sign.HR: 1.0, Sign.PULSE: 1.0, Sign.RESP: 0.3, Sign.SPO2: -0.1}
