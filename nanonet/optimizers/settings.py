"""What several rules need for their settings and bounds."""

from __future__ import annotations

import math


def quotient(numerator: float, denominator: float) -> float:
    """Return a quotient, infinity where the denominator is 0."""
    return numerator / denominator if denominator else math.inf


def expect_pair(pair: object, subject: str, name: str) -> None:
    """Raise TypeError unless it is a pair."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{subject}: expected {name} as two numbers, got {pair!r}")
