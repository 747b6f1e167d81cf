"""Array, Arrays, Numbers, Shape and Pattern: the types of what layers compute with, and what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Arrays: TypeAlias = Any
"""An Array, or a tuple of Arrays where there are several inputs, outputs or targets. It is Any, so that a subclass may
declare Array alone, or return several where its parent returns one.
"""
Numbers: TypeAlias = npt.NDArray[Any]
"""An array of any dtype, such as labels."""
Shape: TypeAlias = tuple[int, ...]
# A partly unknown shape: None is any length, one ``...`` any number of axes.
Pattern: TypeAlias = tuple[int | EllipsisType | None, ...]
# A Pattern, or a tuple of Patterns where there are several inputs or outputs.
Patterns: TypeAlias = Any


def each(function: Callable[..., Any], *values: Arrays) -> Any:
    """Return function of arrays, or for tuples of arrays the tuple of its results, None where the first part is None.

    Examples
    --------
    >>> each(len, ([1, 2], [3])), each(len, [1, 2]), each(abs, (-1, None))
    ((2, 1), 2, (1, None))
    """
    if isinstance(values[0], tuple):
        return tuple(None if parts[0] is None else function(*parts) for parts in zip(*values, strict=True))
    return function(*values)


def parts_of(arrays: Arrays) -> tuple[Any, ...]:
    """Return a tuple as it is, anything else as a tuple of one."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


def batch_size_of(arrays: Arrays) -> int:
    """Return the length of the batch axis."""
    return len(arrays[0] if isinstance(arrays, tuple) else arrays)  # without parts_of: each step asks several times


def shape_of(arrays: Arrays) -> Any:
    """Return the shape without the batch axis, of a tuple of arrays a tuple of shapes."""
    return tuple(map(shape_of, arrays)) if isinstance(arrays, tuple) else arrays.shape[1:]


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
