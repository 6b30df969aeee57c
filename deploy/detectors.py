"""Which detectors serve in the ward, and under which rule; the same for demo, stream and replay."""

from __future__ import annotations

from functools import cache

from models.anomaly import AnomalyDetector
from models.sepsis import SepsisDetector
from vitals.detector import Detector
from vitals.ewma import Ewma
from vitals.ward import Plugged, Ward, WardSettings
from vitals.ward_parts import DETECTORS_AFTER_NS


@cache
def _served() -> tuple[tuple[Detector, str | None], ...]:
    """Loaded once for each process: a detector keeps nothing of a patient, so all wards share it."""
    return ((SepsisDetector(), "sepsis-risk"), (AnomalyDetector(), "anomaly"), (Ewma(), None))


def make_ward() -> Ward:
    """An empty ward with the shipped detectors; the EWMA control runs beside them in shadow: scored, never alarmed."""
    settings = WardSettings(detectors_after_ns=DETECTORS_AFTER_NS)
    return Ward(settings, tuple(Plugged(detector, rule) for detector, rule in _served()))
