"""What several rules need for their settings and bounds."""

from __future__ import annotations

import math

from nanonet.core.checks import finite_number


def quotient(numerator: float, denominator: float) -> float:
    """Return a quotient, infinity where the denominator is 0."""
    return numerator / denominator if denominator else math.inf


def expect_pair(pair: object, subject: str, name: str) -> None:
    """Raise TypeError unless it is a pair."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{subject}: expected {name} as two numbers, got {pair!r}")


def expect_betas(betas: tuple[float, float], subject: str) -> tuple[float, float]:
    """Return the factors by which two running sums or means keep the past, each from 0 to below 1."""
    expect_pair(betas, subject, "betas")
    first, second = (finite_number(beta, subject, "beta", low=0, high=1, open_high=True) for beta in betas)
    return first, second
