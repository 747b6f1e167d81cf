"""Array and Shape types, and the conversion of user data: cast and checked once, on entry."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nanonet.core.errors import ShapeError
from nanonet.core.repr import called
from nanonet.core.shapes import Shape as Shape

Array: TypeAlias = npt.NDArray[np.floating[Any]]


def floating_dtype(dtype: npt.DTypeLike, subject: str) -> np.dtype[Any]:
    """Return dtype as float32 or float64 in native byte order."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{subject}: expected dtype float32 or float64, got {dtype!r}") from None
    if dtype is None or wanted not in (np.float32, np.float64):
        raise ValueError(f"{subject}: expected dtype float32 or float64, got {dtype if dtype is None else wanted}")
    return wanted


def as_numbers(data: object, owner: object, name: str = "") -> npt.NDArray[Any]:
    """Return data as an array of real numbers.

    Parameters
    ----------
    data : array
    owner : object
        The object that takes the data, for the error message.
    name : str
        The name of the argument, for the error message.

    Raises
    ------
    TypeError
        If data holds text, complex numbers or objects, or is a masked array.
    ShapeError
        If rows differ in length.
    """
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{_subject(owner, name)}: expected plain numbers, got a masked array; try array.filled(0)")
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"{_subject(owner, name)}: expected rows of equal length, got a list whose parts differ in length"
        ) from None
    if array.dtype.kind not in "fiub":
        what = f"text, {data!r:.40}" if array.dtype.kind in "US" else f"{type(data).__name__} of dtype {array.dtype}"
        raise TypeError(f"{_subject(owner, name)}: expected numbers, got {what}")
    return array


def _subject(owner: object, name: str) -> str:
    return f"{called(owner)}: {name}" if name else called(owner)


def as_floats(data: object, dtype: np.dtype[Any], owner: object, name: str) -> Array:
    """Return data as an array of the model's dtype, without a copy if it already is one."""
    if type(data) is np.ndarray and data.dtype == dtype:
        return data
    with np.errstate(over="ignore", invalid="ignore"):
        return as_numbers(data, owner, name).astype(dtype, copy=False)


def as_integers(data: object, owner: object, name: str) -> npt.NDArray[Any]:
    """Return data as an array of integers; floats are rejected, even if integral."""
    array = as_numbers(data, owner, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{_subject(owner, name)}: expected integers, got {array.dtype}; try array.astype(int)")
    return array


def as_weights(data: object, owner: object, name: str) -> Array:
    """Return weights in float64, whose sum neither overflows nor underflows as it might in float32."""
    array = as_floats(data, np.dtype(np.float64), owner, name)
    fits = (array >= 0) & (array <= 1e100)  # False for NaN
    if not fits.all():
        raise ValueError(f"{called(owner)}: expected {name} from 0 to 1e100, got {stranger(array, ~fits)}")
    return array


def stranger(array: npt.NDArray[Any], strange: npt.NDArray[np.bool_]) -> str:
    """Return the first invalid entry of an array with its index, as text."""
    place = tuple(int(i) for i in np.argwhere(strange)[0])
    return f"{array[place]} at {place[0] if len(place) == 1 else place}"


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
