"""What one MQTT message is and where it goes. Pure: topic and bytes in, a decision out."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from ingest import quarantine
from ingest.horizon import probe_topic
from vitals import topics, wire
from vitals.faults import Fault
from vitals.quarantine import Quarantined
from vitals.validate import Accepted, Bindings, CheckSettings, check
from vitals.wire import Incoming

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A bundle that joins the block of its patient's partition.

    Attributes:
        accepted: Its row.
        refused: Readings of it that go to quarantine; None where all are good.
    """

    accepted: Accepted
    refused: Quarantined | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A player says that time has come to an instant: whatever it sends from here on is received then."""

    player: str
    now_ns: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Our own probe has come back: all that was published before it is here."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A player says when the bundles that it publishes next were received, where that was not at its newest mark.

    Attributes:
        times: (fingerprint of the message, received_ns), in the order in which they come.
    """

    times: tuple[tuple[int, int], ...]


Decision: TypeAlias = Taken | Quarantined | Mark | Arrivals | Probe


class _MarkSaid(msgspec.Struct, frozen=True):
    now_ns: int


def where(error: BaseException) -> str:
    """An error for the log: its kind and place, never its text, which may quote what a device sent."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


_mark_decoder = msgspec.json.Decoder(_MarkSaid)
_arrivals_decoder = msgspec.json.Decoder(tuple[tuple[int, int], ...])


class Intake:
    """Judges messages by the bindings that were said so far."""

    def __init__(self, bindings: Bindings, *, bridge: str, check_settings: CheckSettings) -> None:
        self._bindings = bindings
        self._bridge = bridge
        self._check = check_settings
        self._probe_topic = probe_topic(bridge)

    def judge(self, topic: str, payload: bytes, received_ns: int) -> Decision:
        """Decide; never raises: a message that made us raise would come again for ever.

        Args:
            topic: Where it came by.
            payload: Its bytes.
            received_ns: When it counts as received: the bridge's clock, or the player's newest mark.
        """
        if topic == self._probe_topic:
            return Probe(payload)
        device = topics.device_of(topic)
        try:
            return self._judge(topic, device, payload, received_ns)
        except Exception as error:  # noqa: BLE001 - see above
            why = f"the receiver failed on it: {type(error).__name__}"
            log.error("a message could not be judged: %s", where(error))  # noqa: TRY400 - a traceback may tell values
            return self._refuse(topic, device, payload, received_ns, Fault.UNDECODABLE, why)

    def _judge(self, topic: str, device: str | None, payload: bytes, received_ns: int) -> Decision:
        if device is None:
            why = "the topic names no device"
            return self._refuse(topic, device, payload, received_ns, Fault.DEVICE_MISMATCH, why)
        if topic == topics.mark_topic(device):
            return self._mark(topic, device, payload, received_ns)
        if topic == topics.arrivals_topic(device):
            return self._arrivals(topic, device, payload, received_ns)
        if topic != topics.bundle_topic(device):
            return self._refuse(topic, device, payload, received_ns, Fault.UNDECODABLE, "not a topic of bundles")
        incoming = wire.decode(payload)
        if not isinstance(incoming, Incoming):
            return self._refuse(topic, device, payload, received_ns, incoming.fault, incoming.why)
        checked = check(incoming, device, received_ns, self._bindings, self._check)
        if isinstance(checked, wire.Refused):
            return self._refuse(topic, device, payload, received_ns, checked.fault, checked.why)
        refused = quarantine.readings(
            topic=topic,
            header=incoming.header,
            checked=checked,
            size=len(payload),
            received_ns=received_ns,
            bridge=self._bridge,
        )
        return Taken(checked.accepted, refused)

    def _mark(self, topic: str, player: str, payload: bytes, received_ns: int) -> Mark | Quarantined:
        try:
            return Mark(player, _mark_decoder.decode(payload).now_ns)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._refuse(topic, player, payload, received_ns, Fault.UNDECODABLE, "not a mark")

    def _arrivals(self, topic: str, player: str, payload: bytes, received_ns: int) -> Arrivals | Quarantined:
        try:
            return Arrivals(_arrivals_decoder.decode(payload))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self._refuse(topic, player, payload, received_ns, Fault.UNDECODABLE, "not times of arrival")

    def _refuse(
        self, topic: str, device: str | None, payload: bytes, received_ns: int, fault: Fault, why: str
    ) -> Quarantined:
        return quarantine.whole(
            topic=topic,
            device=device,
            payload=payload,
            received_ns=received_ns,
            bridge=self._bridge,
            fault=fault,
            why=why,
        )
