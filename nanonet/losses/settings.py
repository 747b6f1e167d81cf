"""Settings of losses, checked when a loss is made."""

from __future__ import annotations

import numpy as np


def whole_number(value: object, owner: str, name: str, other: str = "") -> int:
    """Return an int, negative ones too."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: expected {name} as an int{other}, got {value!r:.60}")
    return int(value)
