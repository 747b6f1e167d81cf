"""Seeding: where the chains that somebody else builds draw their weights from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from nanonet.core.checks import unseeded


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Make each Sequential that is built without rng within the block use this one; it holds for this thread alone.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> def weight() -> float:
    ...     with seeded(np.random.default_rng(0)):
    ...         return Sequential(Sequential(Linear(1, 1))).vector.value[0]
    >>> weight() == weight()
    np.True_
    """
    token = unseeded.set(rng)
    try:
        yield
    finally:
        unseeded.reset(token)
