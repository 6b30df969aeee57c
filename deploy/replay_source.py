"""What a replay plays: a recording or a capture, perhaps multiplied, perhaps with faults on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from device_sim.disturb import Restart, disturbed, load_disturbances
from device_sim.multiply import multiplied, new_name
from device_sim.turns import Turn, turns_of, turns_of_capture
from transport.captures import is_capture, open_capture
from transport.recordings import open_recording
from vitals.capture import Capture
from vitals.log import Command
from vitals.recording import Recording

Make = Callable[[], Iterable[Turn]]


@dataclass(frozen=True, slots=True)
class Source:
    """Something to play, as often as wanted.

    Attributes:
        patients: Who is in it.
        readings: How many readings, as far as is known before it is played.
        make: Makes its turns anew.
        live_digest: Of the alarm events that a live stack told of it; "" where it was none, or is not played as it was.
    """

    patients: tuple[str, ...]
    readings: int
    make: Callable[[], Iterable[Turn | Restart]]
    live_digest: str = ""

    def turns(self) -> Iterator[Turn | Restart]:
        """Its turns from the first."""
        return iter(self.make())

    @classmethod
    def of(cls, recording: Recording) -> Source:
        """A recording as it is."""
        return cls(recording.patients, recording.readings, lambda: turns_of(recording))

    @classmethod
    def of_capture(cls, capture: Capture) -> Source:
        """What a live stack received, as it was."""
        patients = tuple(capture.bundles.patients)
        live = capture.events if capture.whole else ""
        return cls(patients, capture.readings, lambda: turns_of_capture(capture), live)


def open_source(path: Path, *, patients: int | None = None, seed: int = 0, faults: Path | None = None) -> Source:
    """Open what is to be played.

    Args:
        path: A recording of any kind, or a capture.
        patients: Only the first so many; more than there are: copies under new pseudonyms, at shifted times.
        seed: Of the copies.
        faults: File of what goes wrong on the way.

    Raises:
        RecordingError: If it cannot be read.
        ScenarioError: If the file of faults is wrong.
    """
    what: Recording | Capture = open_capture(path) if is_capture(path) else open_recording(path)
    there = list(what.patients if isinstance(what, Recording) else what.bundles.patients)
    wanted = len(there) if patients is None else patients
    source = _source(_some(what, there, min(wanted, len(there))))
    if wanted > len(there) > 0:
        source = _larger(what, there, wanted, seed)
    if faults is not None:
        scenario = load_disturbances(faults)
        plain = source.make
        source = Source(source.patients, source.readings, lambda: disturbed(plain(), scenario))  # type: ignore[arg-type]
    return source


def _source(what: Recording | Capture) -> Source:
    return Source.of(what) if isinstance(what, Recording) else Source.of_capture(what)


def _some(what: Recording | Capture, there: list[str], count: int) -> Recording | Capture:
    return what if count >= len(there) else what.select(there[:count])


def _larger(what: Recording | Capture, there: list[str], wanted: int, seed: int) -> Source:
    full, rest = divmod(wanted, len(there))
    parts = [what] * full + ([_some(what, there, rest)] if rest else [])
    sources = [_source(part) for part in parts]
    commands = any(isinstance(record, Command) for _, record in what.between) if isinstance(what, Capture) else False
    names = tuple(
        name if not copy else new_name("p", name, copy, seed)
        for copy, source in enumerate(sources)
        for name in source.patients
    )
    makes: list[Make] = [source.make for source in sources]  # type: ignore[misc]  # no faults yet: no restarts
    readings = sum(source.readings for source in sources)
    return Source(names, readings, lambda: multiplied(makes, seed=seed, commands=commands))
