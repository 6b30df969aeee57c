"""A recording through the ward in virtual time, no broker: the same bytes, the same judges, nothing between.

What a device would have published is encoded, decoded and judged exactly as the bridge does it; only MQTT and Kafka
are left out. So the events are those of the same recording through the brokers, bit for bit (a test holds that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from deploy.detectors import make_ward
from device_sim.disturb import Restart
from device_sim.recorded import Outgoing
from device_sim.turns import Turn, turns_of
from ingest.intake import Intake, Taken
from ingest.registry import Registry
from vitals import topics
from vitals.block import BlockBuilder
from vitals.events import AlarmEvent, Frames
from vitals.limit_rules import RULE_INDEX
from vitals.log import Command, Limit, Outage, Tick
from vitals.recording import Recording
from vitals.validate import CheckSettings
from vitals.ward import Outcome, Ward

PLAYER = "player"
_BLOCK = 1000  # bundles of one instant that a block holds, as the bridge has it


@dataclass(slots=True)
class Replayed:
    """What a replay brought about.

    Attributes:
        events: Alarm events, in the order of the log.
        instants: Instants played.
        bundles: Bundles played.
        readings: Readings in them.
        refused: Readings that were refused.
        frames: Frames closed.
    """

    events: list[AlarmEvent] = field(default_factory=list)
    instants: int = 0
    bundles: int = 0
    readings: int = 0
    refused: int = 0
    frames: int = 0


def replay(
    played: Recording | Iterable[Turn | Restart],
    *,
    make_ward: Callable[[], Ward] = make_ward,
    limits: tuple[Limit, ...] = (),
    on_frames: Callable[[Frames], None] | None = None,
    on_instant: Callable[[int, Replayed], None] | None = None,
) -> Replayed:
    """Play a recording to its end.

    Args:
        played: What is played: a recording, or turns.
        make_ward: Makes the ward.
        limits: Patients' own limits, said before the first reading.
        on_frames: Called with every closed frame.
        on_instant: Called after each instant with its time and what has been played.

    Raises:
        DeviceConflictError: If two patients of the recording wore a device at the same time.
    """
    player = _WardPlayer(make_ward(), on_frames, on_instant)
    pending: tuple[Limit, ...] = limits
    for turn in turns_of(played) if isinstance(played, Recording) else played:
        if pending and isinstance(turn, Tick | Outgoing):
            for limit in pending:
                player.say(limit)
            pending = ()
        player.take(turn)
    player.end_instant()
    return player.done


class _WardPlayer:
    """One ward, and before it the bridge's own judges."""

    def __init__(
        self,
        ward: Ward,
        on_frames: Callable[[Frames], None] | None,
        on_instant: Callable[[int, Replayed], None] | None,
    ) -> None:
        self.done = Replayed()
        self._ward, self._on_frames, self._on_instant = ward, on_frames, on_instant
        self._registry = Registry(1)
        self._intake = Intake(self._registry.bindings, bridge=PLAYER, check_settings=CheckSettings())
        self._builder = BlockBuilder()
        self._now_ns: int | None = None

    def take(self, turn: Turn | Restart) -> None:
        """One turn. A server that is restarted loses nothing, so here it changes nothing."""
        match turn:
            case Tick(now_ns=now_ns):
                self.end_instant()
                self._now_ns = now_ns
                self._step(self._ward.step(Tick(now_ns=now_ns, bridge=PLAYER)))
            case Outgoing():
                self._receive(turn)
            case Restart():
                pass
            case _:
                self.say(turn)

    def say(self, said: object) -> None:
        """What people said: to the judges before the ward, and to the ward."""
        self._close_block()
        if isinstance(said, Command | Outage):
            self._step(self._ward.step(said))
        elif not (isinstance(said, Limit) and said.rule not in RULE_INDEX):
            for _, copy in self._registry.apply(said):  # type: ignore[arg-type]  # a binding, an enrolment or a limit
                self._step(self._ward.step(copy))

    def end_instant(self) -> None:
        """All bundles of the instant are judged."""
        self._close_block()
        if self._now_ns is None:
            return
        self.done.instants += 1
        if self._on_instant is not None:
            self._on_instant(self._now_ns, self.done)
        self._now_ns = None

    def _receive(self, bundle: Outgoing) -> None:
        done = self.done
        done.bundles += 1
        done.readings += bundle.n
        received_ns = bundle.received_ns if bundle.received_ns is not None else (self._now_ns or 0)
        judged = self._intake.judge(topics.bundle_topic(bundle.device), bundle.payload, received_ns)
        if isinstance(judged, Taken):
            done.refused += judged.accepted.refused
            self._builder.append(judged.accepted)
            if len(self._builder) >= _BLOCK:
                self._close_block()
        else:
            done.refused += bundle.n

    def _close_block(self) -> None:
        if len(self._builder):
            self._step(self._ward.step(self._builder.take()))

    def _step(self, out: Outcome) -> None:
        self.done.events += out.events
        self.done.frames += len(out.frames)
        if self._on_frames is not None:
            for frames in out.frames:
                self._on_frames(frames)
