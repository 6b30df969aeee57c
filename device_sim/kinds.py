"""Kinds of devices: which signs each measures, how often, and in which encoding it talks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vitals.signs import HOUR_NS, MEASURE_OF, MINUTE_NS, SECOND_NS, Measure, Sign
from vitals.wire import Format

MAX_AGE_NS: Final = 9 * SECOND_NS
"""The oldest reading of a bundle may be this old when it is sent: older than 10 s it would count as late."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device.

    Attributes:
        name: As scenarios write it, and the end of the device's id.
        label: In words.
        signs: What it measures each `sample_ns`.
        slow_signs: What it measures each `slow_ns`.
        sample_ns: Time between two readings of the same sign.
        slow_ns: The same for `slow_signs`; a multiple of `sample_ns`.
        bundle_ns: Time between two bundles; a multiple of `sample_ns`.
        encoding: How it writes its bundles.
    """

    name: str
    label: str
    signs: tuple[Sign, ...]
    sample_ns: int
    bundle_ns: int
    encoding: Format
    slow_signs: tuple[Sign, ...] = ()
    slow_ns: int = MINUTE_NS

    def __post_init__(self) -> None:
        """Refuse periods that do not fit each other.

        Raises:
            ValueError: With what does not fit.
        """
        if self.sample_ns < SECOND_NS or self.sample_ns % SECOND_NS:
            raise ValueError(
                f"{self.name}: a reading every {self.sample_ns / SECOND_NS:g} s; whole seconds, at least 1"
            )
        if self.bundle_ns % self.sample_ns:
            raise ValueError(f"{self.name}: the time between bundles is not a multiple of the time between readings")
        if self.bundle_ns - self.sample_ns > MAX_AGE_NS:
            raise ValueError(
                f"{self.name}: a bundle every {self.bundle_ns / SECOND_NS:g} s with a reading every "
                f"{self.sample_ns / SECOND_NS:g} s holds readings that are late before they are sent; "
                f"send at least every {(self.sample_ns + MAX_AGE_NS) / SECOND_NS:g} s"
            )

    def every(self, sample_ns: int, bundle_ns: int | None = None) -> Kind:
        """The same kind at another pace; slow signs keep at least theirs, rounded up to whole samples."""
        slow_ns = -(-max(self.slow_ns, sample_ns) // sample_ns) * sample_ns
        return replace(self, sample_ns=sample_ns, slow_ns=slow_ns, bundle_ns=bundle_ns or sample_ns)

    def period_of(self, measure: Measure) -> int | None:
        """How often it tells a measure; None where it does not."""
        if any(MEASURE_OF[sign] is measure for sign in self.signs):
            return self.sample_ns
        return self.slow_ns if any(MEASURE_OF[sign] is measure for sign in self.slow_signs) else None


# A reading every 15 s gives a frame of a minute four values, so that its median shrugs off a spike; real patches
# report from once a second to once in two minutes (docs/clinical.md). Two encodings, so that both are always tried.
KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "chest",
            "chest patch",
            (Sign.HR, Sign.RESP),
            15 * SECOND_NS,
            15 * SECOND_NS,
            "msgpack",
            slow_signs=(Sign.TEMP_C,),
        ),
        Kind("wrist", "wrist band", (Sign.PULSE, Sign.SPO2), 15 * SECOND_NS, 15 * SECOND_NS, "json"),
        Kind(
            "cuff",
            "blood pressure cuff",
            (Sign.NIBP_SBP, Sign.NIBP_DBP, Sign.NIBP_MAP),
            15 * MINUTE_NS,
            15 * MINUTE_NS,
            "json",
        ),
        Kind(
            "tablet",
            "nurse's tablet",
            (Sign.CONSCIOUSNESS, Sign.OXYGEN),
            4 * HOUR_NS,
            4 * HOUR_NS,
            "json",
        ),
    )
}
