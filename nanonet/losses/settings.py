"""Settings of losses, checked when a loss is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import as_numbers, finite_number


def whole_number(value: object, owner: str, name: str, other: str = "") -> int:
    """Return an int, negative ones too."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: expected {name} as an int{other}, got {value!r:.60}")
    return int(value)


def above_0(value: Any, owner: str, name: str) -> float:
    """Return a finite number above 0."""
    number = finite_number(value, owner, name, low=0)
    if number == 0:
        raise ValueError(f"{owner}: expected {name} above 0, got 0")
    return number


def factors(value: Any, owner: str, name: str) -> npt.NDArray[Any]:
    """Return one factor, or one for each output, from 0 to 1e30."""
    array = as_numbers(value, owner, name)
    if not ((array >= 0) & (array <= 1e30)).all() or not array.any():
        raise ValueError(f"{owner}: expected {name} from 0 to 1e30, and not 0 alone, got {value!r:.60}")
    return array.astype(np.float64)
