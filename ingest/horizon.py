"""How far time may go: the rule of the ticks. Pure: clocks are arguments.

A tick says that nothing received before it is still to come. But what the bridge has not received yet may wait at the
broker: because the bridge was away, or slow, or Kafka was. So the bridge does not ask its clock, it asks the broker:
it publishes a *probe* to a topic of its own that it also hears, in the same subscription as all bundles. When the
probe comes back, everything that was published before it has come too, and time may go on to when it was sent::

    published   b1  b2 [probe 10:00:00]  b3          the bridge was busy until 10:00:07
    received    b1  b2 [probe 10:00:00]  b3          ... and takes them now, in this order
    appended    b1  b2  tick 10:00:00    b3

A pause of whatever cause thereby needs no rule of its own: the bridge first drains what waited for it. Only when
nothing at all comes back for a while, time goes on without a probe: that nobody hears the patients must be said.

All bundles of one subscription come in the order in which the broker got them. Both brokers do so (rumqttd keeps one
log for each filter, Mosquitto one queue for each client) as long as it is *one* filter; with two, a mark could
overtake the bundles before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from vitals import topics

EVERYTHING: Final = f"{topics.MQTT_ROOT}/+/+"  # one filter for bundles, marks and probes: see above
_LONGEST_STEP_S: Final = 1.0


def probe_topic(bridge: str) -> str:
    """Where a bridge publishes its probes, and hears them."""
    return f"{topics.MQTT_ROOT}/{bridge}/probe"


class _ProbeSaid(msgspec.Struct, frozen=True):
    life: str
    now_ns: int


_probe_encoder = msgspec.json.Encoder()
_probe_decoder = msgspec.json.Decoder(_ProbeSaid)


@dataclass(slots=True)
class Horizon:
    """How far time may go, as far as this life of the bridge knows.

    Attributes:
        life: Tells the probes of this life from those of an earlier one that waited in the session.
        patience_s: See `BridgeSettings`.
        now_ns: The horizon: ward time of the newest tick that may be written; -1: none yet.
        blind: True while time goes on without anybody being heard.
    """

    life: str
    patience_s: float
    now_ns: int = -1
    blind: bool = False
    _sent_by: int = -1  # the connection that the probe under way was sent on; -1: none is under way
    _sent_ns: int = 0
    _silent_s: float = 0.0
    _looked_s: float | None = None

    def probe(self, now_ns: int, generation: int) -> bytes | None:
        """The payload of a probe to send now; None while one is under way.

        One at a time: while Kafka is slow they would pile up at the broker like everything else. One that was sent
        on a connection that is gone may never have arrived, so a new connection gets a new one.

        Args:
            now_ns: Ward time.
            generation: Which connection it would go by.
        """
        if self._sent_by == generation:
            return None
        self._sent_by, self._sent_ns = generation, now_ns
        return _probe_encoder.encode(_ProbeSaid(self.life, now_ns))

    def not_sent(self) -> None:
        """The probe that was asked for last did not go out."""
        self._sent_by = -1

    def returned(self, payload: bytes) -> bool:
        """A probe came back.

        Returns:
            Whether time may go on further than before.
        """
        try:
            said = _probe_decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeError):
            return False
        if said.life != self.life:
            return False
        if said.now_ns == self._sent_ns:
            self._sent_by = -1
        self.heard()
        return self._advance(said.now_ns)

    def heard(self) -> None:
        """Something came from the broker, or is still in our hands: we are not deaf."""
        self._silent_s = 0.0
        self.blind = False

    def looked(self, now_ns: int, at_s: float) -> bool:
        """Called now and then while the bridge runs; counts how long nothing was heard.

        Args:
            now_ns: Ward time.
            at_s: A monotonic clock of the wall. A longer step than a second counts as one: while the process was
                stopped, nobody can have listened, and what waits must come first.

        Returns:
            Whether time may go on further than before.
        """
        if self._looked_s is not None:
            self._silent_s += min(at_s - self._looked_s, _LONGEST_STEP_S)
        self._looked_s = at_s
        if self._silent_s < self.patience_s:
            return False
        self.blind = True
        self._sent_by = -1  # the probe under way is lost: try another
        return self._advance(now_ns)

    def _advance(self, now_ns: int) -> bool:
        if now_ns <= self.now_ns:
            return False
        self.now_ns = now_ns
        return True
