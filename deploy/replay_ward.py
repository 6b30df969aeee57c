"""A recording through the ward in virtual time, no broker: the same bytes, the same judges, nothing between.

What a device would have published is encoded, decoded and judged exactly as the bridge does it; only MQTT and Kafka
are left out. So the events are those of the same recording through the brokers, bit for bit (a test holds that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.detectors import make_ward
from device_sim.recorded import outgoing_at_instants, records_of
from vitals.block import BlockBuilder
from vitals.events import AlarmEvent, Frames
from vitals.log import Binding, Limit, Tick
from vitals.recording import Recording
from vitals.validate import Bindings, Checked, receive
from vitals.ward import Outcome, Ward

PLAYER = "player"


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
    recording: Recording,
    *,
    make_ward: Callable[[], Ward] = make_ward,
    limits: tuple[Limit, ...] = (),
    on_frames: Callable[[Frames], None] | None = None,
    on_instant: Callable[[int, Replayed], None] | None = None,
) -> Replayed:
    """Play a recording to its end.

    Args:
        recording: What is played.
        make_ward: Makes the ward.
        limits: Patients' own limits, said before the first reading.
        on_frames: Called with every closed frame.
        on_instant: Called after each instant with its time and what has been played.

    Raises:
        DeviceConflictError: If two patients of the recording wore a device at the same time.
    """
    ward, bindings, builder, done = make_ward(), Bindings(), BlockBuilder(), Replayed()

    def take(out: Outcome) -> None:
        done.events += out.events
        done.frames += len(out.frames)
        if on_frames is not None:
            for frames in out.frames:
                on_frames(frames)

    for record in (*records_of(recording), *limits):
        if isinstance(record, Binding):
            bindings.apply(record)
        take(ward.step(record))
    for now_ns, bundles in outgoing_at_instants(recording, "msgpack"):
        take(ward.step(Tick(now_ns=now_ns, bridge=PLAYER)))
        for bundle in bundles:
            checked = receive(bundle.payload, bundle.device, now_ns, bindings)
            done.bundles += 1
            done.readings += bundle.n
            if isinstance(checked, Checked):
                done.refused += len(checked.refused)
                builder.append(checked.accepted)
            else:
                done.refused += bundle.n
        if len(builder):
            take(ward.step(builder.take()))
        done.instants += 1
        if on_instant is not None:
            on_instant(now_ns, done)
    return done
