"""The made-up ward of a benchmark: who is in it, and every bundle of a run with when it is to be sent.

All of it is made before the run. The times of an open loop are known beforehand, so a bundle's bytes can hold the
instant at which it is *meant* to be sent: whoever looks at them later counts from there, and a stall counts against
every message that it delays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vitals.log import Binding, Enrolment
from vitals.signs import SECOND_NS

SIGNS: Final = ("hr", "spo2", "resp", "temp_c", "sbp")
MEAN: Final = np.array([75.0, 97.0, 15.0, 36.8, 122.0])
SD: Final = np.array([2.5, 0.5, 1.0, 0.05, 3.0])
_SPO2_LOW: Final = 80.0
_SWING_NS: Final = 70 * SECOND_NS  # ill and well again by turns, a little longer than the minute that raises an alarm

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ward:
    """A made-up ward.

    Attributes:
        patients: How many; each wears one device.
        rate: Bundles a second of all devices together.
        ill: Share of the patients whose oxygen falls and recovers by turns, and brings alarms.
        seed: Of all chance.
        speed: Seconds of ward time in a second of the wall; above 1 in trials only, where nobody measures.
        since_ns: Instant at which ward time and the wall agree; matters only where `speed` is not 1.
    """

    patients: int
    rate: float
    ill: float = 0.1
    seed: int = 7
    speed: float = 1.0
    since_ns: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        if self.patients < 1 or not self.rate > 0 or not 0 <= self.ill <= 1:
            raise ValueError(
                f"{self.patients} patients at {self.rate:g} bundles a second, {self.ill:g} of them ill: take at least "
                "one patient, a rate above 0 and a share from 0 to 1"
            )

    @property
    def period_ns(self) -> int:
        """Between two bundles of a device, in ward time."""
        return int(self.patients / self.rate * self.speed * SECOND_NS)

    def said_ns(self, wall_ns: IntArray) -> IntArray:
        """Ward time of some instants of the wall."""
        if self.speed == 1:
            return wall_ns
        return self.since_ns + ((wall_ns - self.since_ns) * self.speed).astype(np.int64)

    def wall_ns(self, said_ns: int) -> int:
        """The wall's instant of one of ward time."""
        return said_ns if self.speed == 1 else self.since_ns + int((said_ns - self.since_ns) / self.speed)

    def records(self, from_ns: int) -> Iterator[Enrolment | Binding]:
        """Who is watched and wears what."""
        for i in range(self.patients):
            yield Enrolment(patient=patient(i), state="admitted", at_ns=from_ns)
            yield Binding(
                device=device(i), patient=patient(i), from_ns=from_ns, period_ns=max(10 * SECOND_NS, self.period_ns)
            )


def patient(i: int) -> str:
    """A patient's pseudonym."""
    return f"bench-{i:06d}"


def device(i: int) -> str:
    """A patient's device."""
    return f"bench-d-{i:06d}"


@dataclass(frozen=True, slots=True)
class Course:
    """What happens in a run; an entry of each array for each bundle.

    Attributes:
        at: When it is to be sent, by the wall (evenly, so that no burst of ours makes a queue).
        said: The same in ward time: what its bytes say.
        who: Which patient's it is.
        low: Whether the oxygen is low in it.
    """

    at: IntArray
    said: IntArray
    who: IntArray
    low: npt.NDArray[np.bool_]


def course(ward: Ward, start_ns: int, seconds: float) -> Course:
    """Who sends when, and who is ill then.

    Args:
        ward: Whose.
        start_ns: When the first is to be sent.
        seconds: How long.
    """
    count = int(ward.rate * seconds)
    at = start_ns + (np.arange(count) * (SECOND_NS / ward.rate)).astype(np.int64)
    who = np.arange(count) % ward.patients
    said = ward.said_ns(at)
    passed = said - ward.said_ns(np.array([start_ns]))[0]
    is_ill = _spread(ward.patients) < ward.ill
    phase = (_spread(ward.patients, 1) * 0.5 * _SWING_NS).astype(np.int64)
    # All ill patients begin ill: alarms come when the first minute is over, spread over half a minute.
    swing = ((passed - phase[who]) // _SWING_NS) % 2 == 0
    return Course(at, said, who, is_ill[who] & swing & (passed >= phase[who]))


def payloads(ward: Ward, start_ns: int, seconds: float, *, boot: int) -> tuple[IntArray, IntArray, list[bytes]]:
    """Every bundle of a run.

    Args:
        ward: Whose.
        start_ns: When the first is to be sent.
        seconds: How long.
        boot: Of all devices: higher than in an earlier run on the same stack.

    Returns:
        When each is to be sent, which patient's it is, its bytes.
    """
    run = course(ward, start_ns, seconds)
    seq = np.arange(len(run.at)) // ward.patients
    rng = np.random.default_rng(ward.seed)
    # Values from a table: 5 normal numbers for each bundle would cost more than the bundle itself.
    table = MEAN + SD * rng.standard_normal((4096, len(SIGNS)))
    table[:, 1] = np.minimum(table[:, 1], 100.0)
    texts = [[f"{value:.2f}" for value in row] for row in table.tolist()]
    pick = rng.integers(0, len(texts), len(run.at))
    rows = zip(run.said.tolist(), run.who.tolist(), seq.tolist(), run.low.tolist(), pick.tolist(), strict=True)
    out = [_bundle(boot, ns, i, s, texts[k], is_low=is_low) for ns, i, s, is_low, k in rows]
    return run.at, run.who, out


def low_bundle(who: int, at_ns: int, *, boot: int) -> bytes:
    """One bundle of somebody whose oxygen is low: to see whether a pipeline is there."""
    return _bundle(boot, at_ns, who, 0, [f"{value:.2f}" for value in MEAN.tolist()], is_low=True)


def _spread(n: int, salt: int = 0) -> npt.NDArray[np.float64]:
    """A number in 0..1 for each patient, evenly spread and not in order."""
    return ((np.arange(n) * 0.6180339887498949 + 0.37 * salt) % 1.0).astype(np.float64)


def _bundle(boot: int, at_ns: int, who: int, seq: int, values: list[str], *, is_low: bool) -> bytes:
    # Written by hand, as JSON: an encoder would take longer than the run of a large ward lasts.
    readings = ",".join(
        f'{{"sign":"{sign}","value":{_SPO2_LOW if is_low and sign == "spo2" else value},"time_ns":{at_ns}}}'
        for sign, value in zip(SIGNS, values, strict=True)
    )
    return (
        f'{{"v":1,"device":"{device(who)}","boot":{boot},"seq":{seq},"sent_ns":{at_ns},"n":5,"n_before":{5 * seq},'
        f'"readings":[{readings}]}}'
    ).encode()
