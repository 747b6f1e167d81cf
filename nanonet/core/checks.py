"""Validation of scalar arguments: an int, a number, a shape, a random generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Shape


def positive_int(value: object, subject: str, name: str) -> int:
    """Return value as an int of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{subject}: expected {name} as an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{subject}: expected {name} of 1 or more, got {value}")
    return int(value)


def finite_number(
    value: Any, subject: str, name: str, *, low: float = -math.inf, high: float = math.inf, open_high: bool = False
) -> float:
    """Return value as a finite Python float from low to high."""
    if isinstance(value, (bool, str)):
        raise TypeError(f"{subject}: expected {name} as a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{subject}: expected {name} as a number, got {value!r:.60}") from None
    if not math.isfinite(number) or not low <= number <= high or (open_high and number == high):
        bounds = f" of {low:g} or more" if low > -math.inf else ""
        bounds += f" and {'below' if open_high else 'at most'} {high:g}" if high < math.inf else ""
        raise ValueError(f"{subject}: expected a finite {name}{bounds}, got {value}")
    return number


def expect(value: object, kind: type, subject: str, *, called: str = "", hint: str = "") -> None:
    """Raise TypeError unless value is an instance of kind; subject is such as "Trainer: expected loss"."""
    if not isinstance(value, kind):
        wanted = called or kind.__name__
        article = "an" if wanted[0] in "AEIOU" else "a"
        hint = f"; write {value.__name__}(...)" if isinstance(value, type) else hint
        raise TypeError(f"{subject} to be {article} {wanted}, got {value!r:.60}{hint}")


def as_shape(shape: object, subject: str) -> Shape:
    """Return shape as a tuple of positive ints; a single int means one axis."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(positive_int(size, subject, "each size") for size in sizes)


def as_generator(rng: object, subject: str) -> np.random.Generator:
    """Return rng as a Generator: an int is a seed, a Generator is returned as is, None gives fresh entropy."""
    if isinstance(rng, bool) or not isinstance(
        rng, (int, np.integer, np.random.Generator, np.random.SeedSequence, np.random.BitGenerator, type(None))
    ):
        raise TypeError(f"{subject}: expected rng as an int, a numpy Generator or None, got {rng!r}")
    if isinstance(rng, (int, np.integer)) and rng < 0:
        raise ValueError(f"{subject}: expected rng of 0 or more, got {rng}")
    return np.random.default_rng(rng)
