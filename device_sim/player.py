"""Plays a recording through a broker, as devices would: paced by a clock, or as fast as the broker takes it.

For each instant: its mark first, so that whatever comes after it is received *at* that instant; then all its bundles
at once; then their acknowledgements. Time never goes on while something before it is under way, so how quickly things
arrive changes nothing. Bundles that were received at other instants than the newest mark's (of a live stack) are
announced, with when, before they are published.

After a broken connection it first says again, in order, what was acknowledged and is not safe yet: all that no echo has
told of, or of the last `vitals.wire.RESEND_S` where nobody echoes. Older marks and repeated bundles change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from device_sim.device import Counts
from device_sim.disturb import Restart
from device_sim.ports import Clock, Publisher
from device_sim.recorded import Outgoing
from device_sim.turns import Turn, turns_of
from vitals import topics
from vitals.capture import Said
from vitals.log import Tick
from vitals.recording import Recording
from vitals.wire import RESEND_S, Format, fingerprint

_log: Final = logging.getLogger(__name__)

PLAYER: Final = "player"
_CHUNK: Final = 256  # bundles announced at once, at most: well within what one message may hold
_AT_ONCE: Final = 64  # bundles under way: enough to fill a connection's window, few enough to keep its memory small
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Played:
    """How far a player has come.

    Attributes:
        now_ns: The newest instant whose mark the broker has.
        instants: So many instants, the closing one included.
        bundles: Bundles made.
        readings: Readings in them.
        failures: Tries that failed.
        finished: True after the closing mark.
        counts: Per device, what it made and what the broker has: the truth for the ledger.
    """

    now_ns: int = 0
    instants: int = 0
    bundles: int = 0
    readings: int = 0
    failures: int = 0
    finished: bool = False
    counts: dict[str, Counts] = field(default_factory=dict)


def mark_payload(now_ns: int) -> bytes:
    """What a mark says."""
    return msgspec.json.encode({"now_ns": now_ns})


class Echoes:
    """Keeps a player no further ahead of its receiver than a few instants; its `settled` is for `Player`.

    A receiver says `topics.MARK_ACK_SUFFIX` under the player's name, with the mark's own bytes, when all it made of
    the mark is safe. An echo may be missed (it is a courtesy): a later one says the same of all before it.

    Args:
        ahead: Instants that the player may be ahead. 0: each is waited for.
    """

    def __init__(self, ahead: int = 8) -> None:
        self._ahead = ahead
        self._sent: deque[int] = deque()
        self._heard_ns = -1
        self._news = asyncio.Event()

    def heard(self, payload: bytes) -> None:
        """An echo came."""
        self._heard_ns = max(self._heard_ns, int(msgspec.json.decode(payload)["now_ns"]))
        self._news.set()

    async def settled(self, now_ns: int) -> int:
        """Wait until the receiver is near enough; the newest instant whose mark is safe there (-1: none)."""
        self._sent.append(now_ns)
        while True:
            while self._sent and self._sent[0] <= self._heard_ns:
                self._sent.popleft()
            if len(self._sent) <= self._ahead:
                return self._heard_ns
            self._news.clear()
            await self._news.wait()


class Player:
    """A recording being played.

    Args:
        played: What is played: turns, or a recording. A recording's bindings and enrolments
            (`device_sim.recorded.records_of`) must have been said.
        publisher: Where to; marks and bundles go by the same connection, in order. The receiver must take both by one
            subscription: the embedded broker keeps an order within a subscription only.
        clock: Paces it: an instant is not played before the clock has reached it. None: as fast as possible.
        marks: False plays bundles only, on a ward whose time comes from elsewhere.
        name: The player's, a level of its marks' topic.
        settled: Called after each instant when the broker has all of it; may wait until the receiver has, too, so
            that a fast player does not fill the broker's queues (`Echoes.settled`). Returns the newest instant
            whose mark, and all before it, is safe at the receiver; -1 for none.
        say: Called with what people say, and with what is to be restarted, between the bundles before and after it;
            None: it has been said already.
        encoding: How the devices of a recording write.
        sleep: Waits between tries, in seconds of the wall.
        now_s: Seconds of the wall.
    """

    def __init__(
        self,
        played: Recording | Iterable[Turn | Restart],
        publisher: Publisher,
        clock: Clock | None = None,
        *,
        marks: bool = True,
        name: str = PLAYER,
        settled: Callable[[int], Awaitable[int]] | None = None,
        say: Callable[[Said | Restart], Awaitable[None]] | None = None,
        encoding: Format = "msgpack",
        sleep: Sleep = asyncio.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.played = Played()
        self._turns = turns_of(played, encoding, said=False) if isinstance(played, Recording) else played
        self._publisher = publisher
        self._clock = clock
        self._marks = marks
        self._name = name
        self._settled = settled
        self._say = say
        self._sleep = sleep
        self._now_s = now_s
        self._kept: deque[_Kept] = deque()  # acknowledged, and not known to be safe
        self._instant_ns = -1
        self._told = 0  # of which connection we have been told
        self._again = asyncio.Lock()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._stopping = False
        self._due: list[Outgoing] = []

    def stop(self) -> None:
        """Play the instant that is under way to its end, and no further. No closing mark is made."""
        self._stopping = True

    async def run(self) -> Played:
        """Play to the end of the recording, or until `stop`."""
        began = False
        for turn in self._turns:
            match turn:
                case Outgoing():
                    self._due.append(turn)
                    if len(self._due) >= _CHUNK:
                        await self._publish_due()
                case Tick(now_ns=now_ns):
                    if began:
                        await self._end_instant()
                    if not await self._begin_instant(now_ns):
                        return self.played
                    began = True
                case _:
                    await self._publish_due()
                    if self._say is not None:
                        await self._say(turn)
        await self._publish_due()
        if began:
            await self._end_instant()
        self.played.finished = True
        return self.played

    async def _begin_instant(self, now_ns: int) -> bool:
        if self._clock is not None:
            await self._clock.sleep_until(now_ns)
        if self._stopping:
            return False
        self._instant_ns = now_ns
        if self._marks and not await self._publish(topics.mark_topic(self._name), mark_payload(now_ns)):
            return False
        self.played.now_ns = now_ns
        return True

    async def _end_instant(self) -> None:
        await self._publish_due()
        self.played.instants += 1
        if self._settled is not None:
            await self._until_settled(self._settled(self.played.now_ns))

    async def _publish_due(self) -> None:
        due, self._due = self._due, []
        now_ns = self.played.now_ns
        told = [(bundle, bundle.received_ns) for bundle in due if bundle.received_ns is not None]
        if self._marks and any(received_ns != now_ns for _, received_ns in told):
            times = [(fingerprint(bundle.payload), received_ns) for bundle, received_ns in told]
            if not await self._publish(topics.arrivals_topic(self._name), msgspec.json.encode(times)):
                return
        await asyncio.gather(*map(self._bundle, due))

    async def _bundle(self, bundle: Outgoing) -> None:
        counts = self.played.counts.setdefault(bundle.device, Counts())
        counts.bundles += 1
        counts.readings += bundle.n
        self.played.bundles += 1
        self.played.readings += bundle.n
        async with self._room:
            if await self._publish(topics.bundle_topic(bundle.device), bundle.payload):
                counts.acknowledged_bundles += 1
                counts.acknowledged += bundle.n

    async def _publish(self, topic: str, payload: bytes) -> bool:
        """The same bytes again and again until the broker has them; False when we are stopping and it has not."""
        tries = 0
        while True:
            await self._say_again()
            if await self._try(topic, payload):
                self._keep(_Kept(self._instant_ns, self._now_s(), topic, payload))
                return True
            if self._stopping:
                return False
            await self._sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    async def _try(self, topic: str, payload: bytes) -> bool:
        try:
            await self._publisher.publish(topic, payload)
        except Exception as error:  # noqa: BLE001 - whatever it was: not acknowledged, so the same bytes again
            self.played.failures += 1
            _log.debug("a publish failed: %s", type(error).__name__)
            return False
        return True

    def _keep(self, kept: _Kept) -> None:
        self._kept.append(kept)
        if self._settled is None:
            while self._kept[0].at_s < self._now_s() - RESEND_S:
                self._kept.popleft()

    async def _until_settled(self, settled: Awaitable[int]) -> None:
        """The receiver may wait for what the broker has forgotten: then that goes out again."""
        waiting = asyncio.ensure_future(settled)
        try:
            while not waiting.done():
                news = asyncio.ensure_future(self._publisher.until_reconnected(self._told))
                await asyncio.wait((waiting, news), return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if not waiting.done():
                    await self._say_again()
            safe_ns = waiting.result()
        finally:
            waiting.cancel()
        while self._kept and self._kept[0].now_ns < safe_ns:
            self._kept.popleft()

    async def _say_again(self) -> None:
        """After a new connection, before anything else goes out on it."""
        while self._told != self._publisher.connections and not self._stopping:
            async with self._again:
                if self._told == (connections := self._publisher.connections):
                    continue
                for kept in tuple(self._kept):
                    if not await self._try(kept.topic, kept.payload):
                        await self._sleep(_PAUSES_S[0])
                        break
                else:
                    self._told = connections


@dataclass(slots=True)
class _Kept:
    """A message that the broker has acknowledged, with the instant it belongs to and when it was acknowledged."""

    now_ns: int
    at_s: float
    topic: str
    payload: bytes
