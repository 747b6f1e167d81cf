"""Arguments: what layers ask of the sizes that they are given."""

from __future__ import annotations

import numpy as np

from nanonet.core.checks import positive_int

Sizes = int | tuple[int, ...]
"""One number for all spatial axes, or one for each."""


def sizes(value: object, count: int, subject: str, name: str, *, least: int = 1) -> tuple[int, ...]:
    """Return one int for each of ``count`` axes; a single int stands for all of them."""
    each = tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
    if len(each) != count:
        wanted = "an int" if count == 1 else f"an int or {count} of them"
        raise ValueError(f"{subject}: expected {name} as {wanted}, got {value!r:.60}")
    return tuple(_int(n, subject, name, least) for n in each)


def _int(value: object, subject: str, name: str, least: int) -> int:
    if least > 0 or isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return positive_int(value, subject, name)
    if value < 0:
        raise ValueError(f"{subject}: expected {name} of 0 or more, got {value}")
    return int(value)
