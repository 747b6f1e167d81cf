"""Array, Numbers, Shape and Pattern: the types of what layers compute with, and what is asked of arrays everywhere."""

from __future__ import annotations

import math
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Numbers: TypeAlias = npt.NDArray[Any]
"""An array of any dtype, such as labels."""

Shape: TypeAlias = tuple[int, ...]
Pattern: TypeAlias = tuple[int | EllipsisType | None, ...]
"""A partly unknown shape: None is any length, a leading ``...`` any number of axes."""


def is_finite(array: Array) -> bool:
    """Return whether no entry is NaN or infinite.

    The sum of squares, one BLAS call, usually decides; if it overflows, every entry is checked.
    """
    if array.ndim > 1:
        array = array.ravel(order="K")  # vdot would copy a Fortran-ordered array
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def read_only(array: Array) -> Array:
    """Return a read-only view."""
    view = array.view()
    view.flags.writeable = False
    return view
