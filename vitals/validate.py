"""A bundle as sent -> accepted readings in canonical units, and refused ones with their fault.

One reading has one fault: the first that holds, in the order type, sign, unit, value, time, wearer. What a sensor
knows of itself (no contact, poor signal) and what is possible but not plausible are facts and stay in.

This is on the way of every reading: the tables below are made once, and nothing is made per reading but numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple, TypeAlias

import msgspec

from vitals import senml, wire
from vitals.faults import Fault
from vitals.log import Binding
from vitals.reading import Bundle, DeviceId, PatientId, Quality, Reading
from vitals.signs import SECOND_NS, SIGNS, UNITS, Consciousness, Sign
from vitals.wire import Incoming, Refused, SentReading


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What the check depends on.

    Attributes:
        future_tolerance_ns: A reading may be measured this much after it was received, by our clock: two clocks never
            agree. With 5 s, a reading received at 10:00:00 and measured at 10:00:05 is kept, at 10:00:06 refused.
    """

    future_tolerance_ns: int = 5 * SECOND_NS

    def __post_init__(self) -> None:
        if self.future_tolerance_ns < 0:
            raise ValueError(f"future_tolerance_ns is {self.future_tolerance_ns}, must not be negative")


DEFAULTS: Final = CheckSettings()


class Interval(NamedTuple):
    """Who wore a device from when to before when."""

    from_ns: int
    to_ns: int
    patient: str


_FOREVER: Final = 2**63 - 1


class Bindings:
    """Who wore which device when, as the registry says.

    The order in which bindings are said does not matter and repeats change nothing: of two with the same start the
    one said last counts, and each ends where the next begins. A binding that ends before it starts takes itself back.
    """

    def __init__(self) -> None:
        self._said: dict[str, dict[int, Binding]] = {}
        self._starts: dict[str, list[int]] = {}
        self._intervals: dict[str, list[Interval]] = {}

    def apply(self, binding: Binding) -> None:
        """Take a binding in; a rebinding closes the one before."""
        said = self._said.setdefault(binding.device, {})
        said[binding.from_ns] = binding
        kept = sorted(
            (b for b in said.values() if b.to_ns is None or b.to_ns > b.from_ns), key=lambda known: known.from_ns
        )
        ends = [*(b.from_ns for b in kept[1:]), _FOREVER][: len(kept)]
        self._intervals[binding.device] = [
            Interval(b.from_ns, end if b.to_ns is None else min(b.to_ns, end), b.patient)
            for b, end in zip(kept, ends, strict=True)
        ]
        self._starts[binding.device] = [b.from_ns for b in kept]

    def knows(self, device: str) -> bool:
        """Whether anybody ever wore it."""
        return bool(self._starts.get(device))

    def at(self, device: str, time_ns: int) -> Interval | None:
        """The binding that holds at an instant; None where nobody wore the device."""
        starts = self._starts.get(device)
        if starts is None:
            return None
        index = bisect_right(starts, time_ns) - 1
        if index < 0:
            return None
        interval = self._intervals[device][index]
        return interval if time_ns < interval.to_ns else None

    def patient_at(self, device: str, time_ns: int) -> PatientId | None:
        """Who wore the device at an instant; None where nobody did."""
        interval = self.at(device, time_ns)
        return None if interval is None else PatientId(interval.patient)


class RefusedReading(msgspec.Struct, frozen=True):
    """One reading that was refused.

    Attributes:
        index: Its place in the bundle, from 0.
        fault: Why.
        raw: Its bytes as sent (see `vitals.wire.raw_readings`).
        why: In words, where the fault alone does not say it; never a value.
    """

    index: int
    fault: Fault
    raw: bytes
    why: str = ""


class Accepted(msgspec.Struct, frozen=True):
    """A bundle that is accepted: a row of a block, with its accepted readings as columns.

    Fields as in `vitals.reading.Block`; the four lists have the same length and keep the device's order. A bundle of
    which all readings were refused is accepted all the same, with empty lists. `clock` is what the device heard of our
    time (`vitals.clocks.Echo`); None where it told nothing.
    """

    patient: PatientId
    device: DeviceId
    boot: int
    seq: int
    sent_ns: int
    received_ns: int
    n: int
    n_before: int
    refused: int
    battery_pct: float
    queued: int
    sign: list[int]
    quality: list[int]
    value: list[float]
    time_ns: list[int]
    clock: tuple[int, int] | None = None

    def bundle(self) -> Bundle:
        """The same as frozen values, for whoever looks at single readings."""
        columns = zip(self.sign, self.value, self.time_ns, self.quality, strict=True)
        return Bundle(
            device=self.device,
            boot=self.boot,
            seq=self.seq,
            sent_ns=self.sent_ns,
            n=self.n,
            n_before=self.n_before,
            battery_pct=self.battery_pct,
            queued=self.queued,
            readings=tuple(Reading(Sign(s), v, t, Quality(q)) for s, v, t, q in columns),
        )


class Checked(msgspec.Struct, frozen=True):
    """A message with a trusted header: its accepted part, and each reading that was refused."""

    accepted: Accepted
    refused: list[RefusedReading]


class _Row(NamedTuple):
    """What one unit of one sign means: `canonical = value * factor + offset`, and what is possible and plausible.

    `plain` holds where a number within the possible range needs no conversion: the way of nearly all readings.
    """

    sign: int
    plain: bool
    factor: float
    offset: float
    low: float
    high: float
    low_plausible: float
    high_plausible: float


_Rows: TypeAlias = dict[str | None, _Row]


def _rows(sign: Sign) -> _Rows:
    row = SIGNS[sign]
    units: _Rows = {}
    for unit, (factor, offset) in UNITS[sign].items():
        plain = (factor, offset) == (1.0, 0.0) and sign not in {Sign.CONSCIOUSNESS, Sign.OXYGEN}
        units[unit] = _Row(int(sign), plain, factor, offset, *row.possible, *row.plausible)
    units[None] = units[row.unit]
    return units


_TABLE: Final[dict[str, _Rows]] = {sign.column: _rows(sign) for sign in Sign}
_QUALITY: Final[dict[str, int]] = {
    "good": int(Quality.GOOD),
    "poor": int(Quality.POOR),
    "no_contact": int(Quality.NO_CONTACT),
}
_GOOD: Final = int(Quality.GOOD)
_DOUBTFUL: Final = int(Quality.DOUBTFUL)
_NO_CONTACT: Final = int(Quality.NO_CONTACT)
_LETTERS: Final[dict[str, float]] = {code.name: float(code) for code in Consciousness}
_CONSCIOUSNESS: Final = int(Sign.CONSCIOUSNESS)
_OXYGEN: Final = int(Sign.OXYGEN)
_NAN: Final = math.nan


def _number(row: _Row, value: object, quality: int) -> float | Fault:
    """The value in the sign's canonical unit, or why it is none. The slow and complete way."""
    number: float
    if value is None:
        return _NAN if quality == _NO_CONTACT else Fault.WRONG_TYPE
    if row.sign == _CONSCIOUSNESS:
        if not isinstance(value, str):
            return Fault.WRONG_TYPE
        number = _LETTERS.get(value, _NAN)
        if math.isnan(number):
            return _NAN if quality == _NO_CONTACT else Fault.IMPOSSIBLE
        return number
    if row.sign == _OXYGEN:
        return float(value) if isinstance(value, bool) else Fault.WRONG_TYPE
    if not isinstance(value, float):
        return Fault.WRONG_TYPE
    # Rounded, so that 100.4 [degF] is 38 Cel and not a hair above it: scores have sharp cut points.
    number = value if row.plain else round(value * row.factor + row.offset, 6)
    if row.low <= number <= row.high:
        return number
    if quality == _NO_CONTACT:  # monitors send all sorts of fillers for "probe off"; the fact is the missing contact
        return _NAN
    return Fault.IMPOSSIBLE if math.isfinite(value) else Fault.NOT_FINITE


def receive(
    data: bytes,
    topic_device: str,
    received_ns: int,
    bindings: Bindings,
    settings: CheckSettings = DEFAULTS,
) -> Checked | Refused:
    """Read and judge what came by a bundle topic, by whichever door its first byte names; see `check`."""
    incoming = senml.decode(data) if data.startswith(b"[") else wire.decode(data)
    if isinstance(incoming, Refused):
        return incoming
    return check(incoming, topic_device, received_ns, bindings, settings)


def check(
    incoming: Incoming,
    topic_device: str,
    received_ns: int,
    bindings: Bindings,
    settings: CheckSettings = DEFAULTS,
) -> Checked | Refused:
    """Judge a bundle.

    It belongs to one patient: the wearer at its newest reading that anybody wore the device for (else at the instant
    it was sent). So a bundle that spans two wearers does not become two rows with the same sequence number; the
    readings of anybody else's time in it are refused.

    Args:
        incoming: As `vitals.wire.decode` read it.
        topic_device: The device that the topic names, which the broker vouches for.
        received_ns: When it was received, by our clock.
        bindings: Who wore what.
        settings: See there.

    Returns:
        The accepted row and the refused readings, or why the whole message is refused.
    """
    header = incoming.header
    if header.device != topic_device:
        return Refused(Fault.DEVICE_MISMATCH, "device is not the topic's")
    if header.n != len(incoming.readings):
        return Refused(Fault.WRONG_COUNT, f"n is {header.n}, readings are {len(incoming.readings)}")
    judged = _judge(incoming, received_ns + settings.future_tolerance_ns)
    interval = _wearer(bindings, topic_device, judged.time_ns, min(header.sent_ns, received_ns))
    if interval is None:
        return Refused(Fault.UNBOUND, "nobody wore it then" if bindings.knows(topic_device) else "nobody ever wore it")
    if judged.time_ns and not (interval.from_ns <= min(judged.time_ns) and max(judged.time_ns) < interval.to_ns):
        judged = _worn(judged, interval)
    battery = header.battery_pct
    accepted = Accepted(
        PatientId(interval.patient),
        DeviceId(topic_device),
        header.boot,
        header.seq,
        header.sent_ns,
        received_ns,
        header.n,
        header.n_before,
        len(judged.faults),
        # A charge that is none (many encoders write -1 or 255 for "unknown") costs no reading.
        battery if battery is not None and 0 <= battery <= 100 else -1.0,
        header.queued,
        judged.sign,
        judged.quality,
        judged.value,
        judged.time_ns,
        header.clock,
    )
    if not judged.faults:
        return Checked(accepted, [])
    raw = wire.raw_readings(incoming)
    return Checked(accepted, [RefusedReading(place, fault, raw[place], why) for place, fault, why in judged.faults])


class _Judged(NamedTuple):
    sign: list[int]
    quality: list[int]
    value: list[float]
    time_ns: list[int]
    place: list[int]
    faults: list[tuple[int, Fault, str]]


def _judge(incoming: Incoming, latest_ns: int) -> _Judged:
    """Judge each reading by itself. Nothing here is called once per reading where the reading is an ordinary one."""
    signs: list[int] = []
    qualities: list[int] = []
    values: list[float] = []
    times: list[int] = []
    places: list[int] = []
    faults: list[tuple[int, Fault, str]] = []
    for place, reading in enumerate(incoming.readings):
        if not isinstance(reading, SentReading):
            faults.append((place, reading.fault, reading.why))
            continue
        units = _TABLE.get(reading.sign)
        if units is None:
            faults.append((place, Fault.UNKNOWN_SIGN, ""))
            continue
        row = units.get(reading.unit)
        if row is None:
            faults.append((place, Fault.WRONG_UNIT, ""))
            continue
        sign, plain, _, _, low, high, low_plausible, high_plausible = row
        quality = _QUALITY[reading.quality]
        sent = reading.value
        if plain and type(sent) is float and low <= sent <= high:
            value = sent
        else:
            number = _number(row, sent, quality)
            if isinstance(number, Fault):
                faults.append((place, number, ""))
                continue
            value = number
        time_ns = reading.time_ns
        if time_ns > latest_ns:
            faults.append((place, Fault.FUTURE, ""))
            continue
        if quality == _GOOD and not low_plausible <= value <= high_plausible:
            quality = _DOUBTFUL
        signs.append(sign)
        qualities.append(quality)
        values.append(value)
        times.append(time_ns)
        places.append(place)
    return _Judged(signs, qualities, values, times, places, faults)


def _wearer(bindings: Bindings, device: str, times: list[int], sent_ns: int) -> Interval | None:
    """The binding that a bundle belongs to."""
    if times:
        interval = bindings.at(device, max(times))
        if interval is not None:
            return interval
    for time_ns in (*sorted(times, reverse=True), sent_ns):
        interval = bindings.at(device, time_ns)
        if interval is not None:
            return interval
    return None


def _worn(judged: _Judged, interval: Interval) -> _Judged:
    """Refuse what was measured outside of a binding."""
    inside = [interval.from_ns <= time_ns < interval.to_ns for time_ns in judged.time_ns]
    outside = [place for place, kept in zip(judged.place, inside, strict=True) if not kept]
    faults = sorted(judged.faults + [(place, Fault.BEFORE_BINDING, "") for place in outside])
    return _Judged(
        list(compress(judged.sign, inside)),
        list(compress(judged.quality, inside)),
        list(compress(judged.value, inside)),
        list(compress(judged.time_ns, inside)),
        list(compress(judged.place, inside)),
        faults,
    )
