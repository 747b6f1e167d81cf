"""Checks of what a user passes in: shapes, numbers, generators, and arrays, which are converted once, on entry."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextvars import ContextVar
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Pattern, Patterns, Shape
from nanonet.core.errors import ShapeError
from nanonet.core.objects import called


def is_several(pattern: Patterns) -> bool:
    """Return whether a pattern is a tuple of patterns."""
    return bool(pattern) and isinstance(pattern[0], tuple)


def agreed(one: Patterns, other: Patterns) -> Patterns | None:
    """Return the common pattern of two patterns, or None if they contradict each other.

    A shape that fits both fits the common pattern. The reverse holds too, unless the longer beginning of one and the
    longer end of the other may lie on the same axes, as those of (3, ...) and (..., 3) do for (3,) but not for (3, 3):
    then the end is kept.

    Examples
    --------
    >>> agreed((..., 8), (5, 8)), agreed((3, ...), (None, None, 8)), agreed((3, None), (None, 7))
    ((5, 8), (3, None, 8), (3, 7))
    >>> agreed((3, ...), (None, None, ...)), agreed((3, ...), (..., 8)), agreed((3, ...), (..., 3))
    ((3, None, Ellipsis), (3, Ellipsis, 8), (Ellipsis, 3))
    >>> agreed((3, ...), (4, ...)), agreed((None, 8), (8,)), agreed(((..., 8), (3,)), (3,))
    (None, None, None)
    """
    if is_several(one) or is_several(other):
        if not (is_several(one) and is_several(other) and len(one) == len(other)):
            return None
        pairs_of_parts = tuple(agreed(*pair) for pair in zip(one, other, strict=True))
        return None if None in pairs_of_parts else pairs_of_parts
    least = max(len(axes(one)), len(axes(other)))
    if not (is_open(one) and is_open(other)):
        return _joined(one, other, least)
    fronts = one.index(...), other.index(...)
    front, back = max(fronts), max(len(one) - fronts[0], len(other) - fronts[1]) - 1
    both = _joined(one, other, front + back)
    if any(_joined(one, other, count) for count in range(least, front + back)):
        front = min(fronts)
    return None if both is None else (*both[:front], ..., *both[len(both) - back :])


def _joined(one: Pattern, other: Pattern, count: int) -> Pattern | None:
    """Return the common pattern of two patterns for shapes of so many axes, or None if they contradict each other."""
    first, second = _widened(one, count), _widened(other, count)
    if len(first) != len(second) or any(n != m and None not in (n, m) for n, m in zip(first, second, strict=True)):
        return None
    return tuple(m if n is None else n for n, m in zip(first, second, strict=True))


def _widened(pattern: Pattern, count: int) -> Pattern:
    """Return an open pattern with so many axes; any other as it is."""
    if not is_open(pattern):
        return pattern
    place = pattern.index(...)
    return (*pattern[:place], *[None] * (count + 1 - len(pattern)), *pattern[place + 1 :])


def axes(pattern: Pattern) -> tuple[int | None, ...]:
    """Return the lengths of a pattern without ``...``.

    Examples
    --------
    >>> axes((..., None, 8))
    (None, 8)
    """
    return tuple(length for length in pattern if not isinstance(length, EllipsisType))


def is_open(pattern: Pattern) -> bool:
    """Return whether a pattern holds ``...``, so that further axes are allowed."""
    return ... in pattern


def known(pattern: Patterns) -> Any:
    """Return a fully known pattern as a shape; None for any other.

    Examples
    --------
    >>> known((5, 8)), known((None, 8)), known((..., 8)), known(((5, 8), (3,)))
    ((5, 8), None, None, ((5, 8), (3,)))
    """
    if is_several(pattern):
        shapes = tuple(map(known, pattern))
        return None if None in shapes else shapes
    return pattern if all(isinstance(length, int) for length in pattern) else None


def true_or_false(value: object, subject: str, name: str) -> bool:
    """Return value as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{subject}: expected {name} as True or False, got {value!r:.60}")
    return bool(value)


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


# The generator that rng=None stands for; None for fresh entropy.
unseeded: ContextVar[Any] = ContextVar("unseeded", default=None)


def as_generator(rng: object, subject: str) -> np.random.Generator:
    """Return rng as a Generator: an int is a seed, a Generator is returned as is, None gives fresh entropy."""
    if isinstance(rng, bool) or not isinstance(
        rng, (int, np.integer, np.random.Generator, np.random.SeedSequence, np.random.BitGenerator, type(None))
    ):
        raise TypeError(f"{subject}: expected rng as an int, a numpy Generator or None, got {rng!r}")
    if isinstance(rng, (int, np.integer)) and rng < 0:
        raise ValueError(f"{subject}: expected rng of 0 or more, got {rng}")
    return np.random.default_rng(unseeded.get() if rng is None else rng)


def floating_dtype(dtype: npt.DTypeLike, subject: str) -> np.dtype[Any]:
    """Return dtype as float32 or float64 in native byte order."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{subject}: expected dtype float32 or float64, got {dtype!r}") from None
    if dtype is None or wanted not in (np.float32, np.float64):
        raise ValueError(f"{subject}: expected dtype float32 or float64, got {dtype if dtype is None else wanted}")
    return wanted


# What turns data of other libraries into arrays, given the name for errors; nanonet/training/tables.py enters it.
conversions: list[Callable[[Any, str], Any]] = []


def as_numbers(data: Any, owner: object, name: str = "") -> npt.NDArray[Any]:
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
    if type(data) not in (np.ndarray, list):
        for convert in conversions:
            data = convert(data, _subject(owner, name))
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"{_subject(owner, name)}: expected rows of equal length, got a list whose parts differ in length"
        ) from None
    if array.dtype.kind not in "fiub":
        such_as = f", such as {array.item(0)!r:.40}" if array.dtype.kind in "USO" and array.size > 0 else ""
        what = "text" if array.dtype.kind in "US" and such_as else f"{type(data).__name__} of dtype {array.dtype}"
        raise TypeError(f"{_subject(owner, name)}: expected numbers, got {what}{such_as}")
    return array


def _subject(owner: object, name: str) -> str:
    return f"{called(owner)}: {name}" if name else called(owner)


def as_floats(data: object, dtype: np.dtype[Any], owner: object, name: str) -> Array:
    """Return data as an array of the model's dtype, without a copy if it already is one."""
    if type(data) is np.ndarray and data.dtype == dtype:
        return data
    with np.errstate(over="ignore", invalid="ignore"):
        return as_numbers(data, owner, name).astype(dtype, copy=False)


def as_integers(data: object, owner: object, name: str, kinds: str = "iu") -> npt.NDArray[Any]:
    """Return data as an array of integers, with "iub" also of booleans; floats are rejected, even if integral."""
    array = as_numbers(data, owner, name)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{_subject(owner, name)}: expected integers, got {array.dtype}; try array.astype(int)")
    return array


def as_input(
    data: object, several: bool, integers: bool | tuple[bool, ...], dtype: np.dtype[Any], owner: object
) -> Any:
    """Return the input of a model, or a tuple of several: each of the model's dtype or, of integers, of its own."""
    if not several:
        return _as_one(data, integers, dtype, owner, "x", "iu")
    if not isinstance(data, (tuple, list)):
        raise TypeError(f"{called(owner)}: expected x as a tuple of arrays, got {type(data).__name__}; write (x1, x2)")
    whole = integers if isinstance(integers, tuple) else (integers,) * len(data)
    if len(whole) != len(data):
        raise ShapeError(f"{called(owner)}: expected x as a tuple of {len(whole)} arrays, got {len(data)}")
    parts = enumerate(zip(data, whole, strict=True))
    arrays = tuple(_as_one(part, is_whole, dtype, owner, f"x[{i}]", "iub") for i, (part, is_whole) in parts)
    if len({len(array) for array in arrays}) > 1:
        lengths = ", ".join(str(array.shape[:1]) for array in arrays)
        raise ShapeError(f"{called(owner)}: expected all arrays of x to have the same batch length, got {lengths}")
    return arrays


def _as_one(
    data: object, integers: object, dtype: np.dtype[Any], owner: object, name: str, kinds: str
) -> npt.NDArray[Any]:
    array = as_integers(data, owner, name, kinds) if integers else as_floats(data, dtype, owner, name)
    if array.ndim == 0:
        raise ShapeError(f"{called(owner)}: expected {name} of shape (batch, ...), got a single number")
    return array


def optional(owner: str, package: str, extra: str, *modules: str) -> Any:
    """Return the first of some modules of an optional package; all are imported, or an ImportError names the extra."""
    try:
        first, *_ = [importlib.import_module(name) for name in modules]
    except ImportError:
        raise ImportError(f"{owner} needs {package}: pip install 'nanonet[{extra}]'") from None
    return first


def stranger(array: npt.NDArray[Any], strange: npt.NDArray[np.bool_]) -> str:
    """Return the first invalid entry of an array with its index, as text."""
    place = tuple(int(i) for i in np.argwhere(strange)[0])
    return f"{array[place]} at {place[0] if len(place) == 1 else place}"
