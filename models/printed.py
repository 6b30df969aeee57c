"""How explanations print what is stored as UCUM."""

from __future__ import annotations

from typing import Final

PRINTED: Final = {"/min": "/min", "%": "%", "Cel": "°C", "mm[Hg]": "mmHg"}
"""UCUM unit of a sign -> as people write it."""
NEITHER: Final = 0.05
"""Contributions, in log-odds, below which a measurement is told as neither raising nor lowering a score."""
EFFECT: Final = {"raises": "raises", "lowers": "lowers", "neither": "hardly moves"}
"""Direction of a contribution -> verb."""


def direction_of(log_odds: float) -> str:
    """A contribution in a word."""
    return "neither" if abs(log_odds) < NEITHER else "raises" if log_odds > 0 else "lowers"
