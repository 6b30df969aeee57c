"""Which detectors serve in the ward, and under which rule; the same for demo, stream and replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from models.anomaly import AnomalyDetector
from models.artifact import load
from models.sepsis import SepsisDetector
from vitals.detector import Detector
from vitals.ewma import Ewma
from vitals.ward import Plugged, Ward, WardSettings
from vitals.ward_parts import DETECTORS_AFTER_NS, Plugs

_KINDS: dict[str, Callable[[Path], Detector]] = {"sepsis": SepsisDetector, "anomaly": AnomalyDetector}


class ShadowError(ValueError):
    """An artifact cannot run beside those that serve; the message says why."""


@cache
def _served() -> Plugs:
    """Loaded once for each process: a detector keeps nothing of a patient, so all wards share it."""
    return Plugged(SepsisDetector(), "sepsis-risk"), Plugged(AnomalyDetector(), "anomaly"), Plugged(Ewma(), None)


@cache
def _shadow(folder: Path) -> Plugged:
    """An artifact in shadow, stored under its detector's name and version: ``sepsis-1.1.0``."""
    detector = _KINDS[load(folder).manifest.kind](folder)
    if any((p.detector.name, p.detector.version) == (detector.name, detector.version) for p in _served()):
        raise ShadowError(
            f"{folder.name}: {detector.name} {detector.version} is the one that serves; a shadow needs another version"
        )
    return Plugged(detector, None, f"{detector.name}-{detector.version}")


def make_ward(shadow: tuple[Path, ...] = ()) -> Ward:
    """An empty ward with the shipped detectors; the EWMA control runs beside them in shadow: scored, never alarmed.

    Args:
        shadow: Folders of artifacts that run in shadow too.

    Raises:
        ArtifactError: If a folder holds none that can be served.
        ShadowError: If its version is the one that serves.
    """
    settings = WardSettings(detectors_after_ns=DETECTORS_AFTER_NS)
    return Ward(settings, (*_served(), *(_shadow(folder) for folder in shadow)))


def wards_with(shadow: tuple[Path, ...]) -> Callable[[], Ward]:
    """What makes wards with these artifacts in shadow; they are read now, so that a bad one stops the start."""
    for folder in shadow:
        _shadow(folder)
    return partial(make_ward, shadow)
