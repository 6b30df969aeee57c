"""Learned detectors: artifacts, the run time that serves them, and (in training/) torch."""
