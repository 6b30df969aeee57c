"""Evaluation of an anomaly artifact; to be filled."""
