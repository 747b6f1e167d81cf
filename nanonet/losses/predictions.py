"""Predictions as a user gives them to a loss: one array, or a tuple of as many as the loss compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import as_floats, as_numbers


def float_array(data: npt.ArrayLike, owner: object, name: str) -> Array:
    """Return user data as floats: float32 is kept, everything else becomes float64."""
    given = as_numbers(data, owner, name)
    dtype = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return as_floats(given, dtype, owner, name)


def float_arrays(prediction: Any, count: int, owner: object) -> Any:
    """Return a prediction, or a tuple of ``count`` of them, as floats; what is no tuple waits for ``first_of``."""
    if count == 1:
        return float_array(prediction, owner, "prediction")
    if not isinstance(prediction, (tuple, list)):
        return prediction
    return tuple(float_array(part, owner, f"prediction[{k}]") for k, part in enumerate(prediction))


def first_of(prediction: Any, count: int, owner: object) -> Array:
    """Return the first of several predictions, or raise TypeError unless there are ``count``."""
    got = len(prediction) if isinstance(prediction, tuple) else 1
    if count == 1:
        raise TypeError(
            f"{owner}: the model has {got} outputs; give each a loss of its own: "
            f"Together({', '.join([repr(owner)] * got)})"
        )
    if got != count:
        given = f"{got} arrays" if isinstance(prediction, tuple) else type(prediction).__name__
        raise TypeError(f"{owner}: expected prediction as a tuple of {count} arrays, got {given}")
    first: Array = prediction[0]
    return first
