"""Fitting and evaluating the learned detectors; the only place that imports torch."""
