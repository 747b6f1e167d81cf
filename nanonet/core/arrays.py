"""What an array and a shape are here, and how a user's data becomes one: cast and checked once, at the door."""

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
    """Return the dtype of a model: float32 or float64, in this machine's byte order."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{subject}: expected dtype float32 or float64, got {dtype!r}") from None
    if dtype is None or wanted not in (np.float32, np.float64):
        raise ValueError(f"{subject}: expected dtype float32 or float64, got {dtype if dtype is None else wanted}")
    return wanted


def as_numbers(data: object, owner: object, name: str = "") -> npt.NDArray[Any]:
    """Return data as an array of real numbers, or say what came instead.

    Parameters
    ----------
    data : array
    owner : object
        Who asks for it, and
    name : str
        under which name; both are for the message alone.

    Raises
    ------
    TypeError
        For text, complex numbers, masked arrays and objects.
    ShapeError
        For rows of unequal lengths.
    """
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{_subject(owner, name)}: expected plain numbers, got a masked array; try array.filled(0)")
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"{_subject(owner, name)}: expected rows of one length, got a list whose parts differ in length"
        ) from None
    if array.dtype.kind not in "fiub":
        what = f"text, {data!r:.40}" if array.dtype.kind in "US" else f"{type(data).__name__} of dtype {array.dtype}"
        raise TypeError(f"{_subject(owner, name)}: expected numbers, got {what}")
    return array


def _subject(owner: object, name: str) -> str:
    return f"{called(owner)}: {name}" if name else called(owner)


def as_floats(data: object, dtype: np.dtype[Any], owner: object, name: str) -> Array:
    """Return data as an array of the model's dtype; an array that has it already is not copied."""
    if type(data) is np.ndarray and data.dtype == dtype:
        return data
    with np.errstate(over="ignore", invalid="ignore"):
        return as_numbers(data, owner, name).astype(dtype, copy=False)


def as_integers(data: object, owner: object, name: str) -> npt.NDArray[Any]:
    """Return data as an array of integers; floats are refused, whole ones too."""
    array = as_numbers(data, owner, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{_subject(owner, name)}: expected integers, got {array.dtype}; try array.astype(int)")
    return array


def as_weights(data: object, owner: object, name: str) -> Array:
    """Return weights in float64, where their sum neither overflows nor vanishes as it would in float32."""
    array = as_floats(data, np.dtype(np.float64), owner, name)
    fits = (array >= 0) & (array <= 1e100)  # NaN is neither
    if not fits.all():
        raise ValueError(f"{called(owner)}: expected {name} from 0 to 1e100, got {stranger(array, ~fits)}")
    return array


def stranger(array: npt.NDArray[Any], strange: npt.NDArray[np.bool_]) -> str:
    """Write the first strange entry of an array, with its place."""
    place = tuple(int(i) for i in np.argwhere(strange)[0])
    return f"{array[place]} at {place[0] if len(place) == 1 else place}"


def is_finite(array: Array) -> bool:
    """Tell whether no entry is NaN or infinite.

    The sum of squares, one BLAS call, decides nearly always; where it overflows, every entry is looked at.
    """
    if array.ndim > 1:
        array = array.ravel(order="K")  # of columns vdot would make a copy
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def read_only(array: Array) -> Array:
    """Return a view that refuses to be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
