"""Lengths: arithmetic of shapes in which some lengths, such as that of the batch, are not known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Numbers


class Unproven(Exception):
    """What a graph computes could not be derived."""


@dataclass(frozen=True)
class Length:
    """A number times lengths that are not known, by name.

    Examples
    --------
    >>> rows = Length(3) * Length(1, ("batch",))
    >>> rows // Length(3) == Length(1, ("batch",)), rows.is_multiple_of(Length(2))
    (True, False)
    """

    number: int
    unknown: tuple[str, ...] = ()

    def __mul__(self, other: Length) -> Length:
        return Length(self.number * other.number, tuple(sorted(self.unknown + other.unknown)))

    def is_multiple_of(self, other: Length) -> bool:
        """Return whether it can be divided by another for all values of the unknown."""
        more = Counter(other.unknown) - Counter(self.unknown)
        return other.number > 0 and self.number % other.number == 0 and not more

    def __floordiv__(self, other: Length) -> Length:
        if not self.is_multiple_of(other):
            raise Unproven(f"{self} is not known to be a multiple of {other}")
        left = Counter(self.unknown) - Counter(other.unknown)
        return Length(self.number // other.number, tuple(sorted(left.elements())))


ONE = Length(1)


def product(lengths: Any) -> Length:
    """Return the product of lengths."""
    whole = ONE
    for each in lengths:
        whole = whole * each
    return whole


Sizes = npt.NDArray[Any]
"""An array of numbers, or of Lengths if some of them are not known."""


def sizes(lengths: list[Length]) -> Sizes:
    """Return lengths as an array: of integers if all are known."""
    if all(not each.unknown for each in lengths):
        return np.array([each.number for each in lengths], np.int64)
    found = np.empty(len(lengths), object)
    found[:] = lengths
    return found


def lengths(array: Sizes) -> list[Length]:
    """Return the entries of an array of sizes as lengths."""
    return [each if isinstance(each, Length) else Length(int(each)) for each in array.reshape(-1).tolist()]


# ---- operators on sizes, and on what is made of them


def computed(operator: str, attributes: dict[str, Any], given: list[Sizes], most: int) -> Sizes:
    """Return the result of an operator on sizes and numbers, which has at most so many entries."""
    rule = RULES.get(operator)
    if rule is None:
        raise Unproven(f"{operator} of numbers")
    if operator in ("Expand", "ConstantOfShape"):
        shape = lengths(given[-1])
        if any(each.unknown for each in shape) or not 0 <= product(shape).number <= most:
            raise Unproven(f"{operator} to lengths that are not known, or to too many")
    try:
        found = np.asarray(rule(attributes, *_alike(operator, given)))
    except (ValueError, IndexError, TypeError, KeyError, AttributeError) as error:
        raise Unproven(f"{operator}: {error}") from None
    if found.dtype == object and all(not each.unknown for each in found.reshape(-1)):
        return np.array([each.number for each in found.reshape(-1)], np.int64).reshape(found.shape)
    return found


def _alike(operator: str, given: list[Sizes]) -> list[Sizes]:
    """Return numbers as lengths where others are."""
    if operator not in ("Mul", "Div", "Concat") or not any(each.dtype == object for each in given):
        return given
    return [_as_lengths(each) for each in given]


def _as_lengths(array: Sizes) -> Sizes:
    found = np.empty(array.size, object)
    found[:] = lengths(array)
    return found.reshape(array.shape)


def _axes(attributes: dict[str, Any], given: tuple[Numbers, ...]) -> tuple[int, ...] | None:
    axes = given[0].reshape(-1).tolist() if given else attributes.get("axes")
    return None if axes is None else tuple(axes)


def sliced(attributes: dict[str, Any], ndim: int, given: list[Numbers]) -> list[slice]:
    """Return the slice of each axis that a Slice takes."""
    settings = [each.reshape(-1).tolist() for each in given] or [attributes["starts"], attributes["ends"]]
    starts, ends = settings[:2]
    axes = settings[2] if len(settings) > 2 else attributes.get("axes") or list(range(len(starts)))
    steps = settings[3] if len(settings) > 3 else [1] * len(starts)
    index = [slice(None)] * ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(*bounds)
    return index


def _divided(attributes: dict[str, Any], a: Sizes, b: Sizes) -> Sizes:
    whole: Sizes = a // b if a.dtype == object or a.dtype.kind in "iu" else a / b
    return whole


def _cast(attributes: dict[str, Any], array: Sizes) -> Sizes:
    if array.dtype == object:
        return array
    kinds: dict[int, Any] = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}
    return array.astype(kinds[attributes["to"]])


def _full(attributes: dict[str, Any], shape: Sizes) -> Sizes:
    value = attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape.tolist(), value.reshape(-1)[0], value.dtype)


def _lower(attributes: dict[str, Any], array: Sizes, *k: Sizes) -> Sizes:
    triangle = np.triu if attributes.get("upper", 1) else np.tril
    return triangle(array, int(k[0].reshape(())) if k else 0)


RULES: dict[str, Any] = {
    "Identity": lambda attributes, array: array,
    "Add": lambda attributes, a, b: a + b,
    "Cast": _cast,
    "Concat": lambda attributes, *arrays: np.concatenate(arrays, axis=attributes["axis"]),
    "ConstantOfShape": _full,
    "Div": _divided,
    "Equal": lambda attributes, a, b: np.equal(a, b),
    "Expand": lambda attributes, array, shape: array * np.ones(shape.tolist(), array.dtype),
    "Gather": lambda attributes, array, index: np.take(array, index.astype(int), axis=attributes["axis"]),
    "Mod": lambda attributes, a, b: np.mod(a, b),
    "Mul": lambda attributes, a, b: a * b,
    "Not": lambda attributes, a: np.logical_not(a),
    "Reshape": lambda attributes, array, shape: array.reshape(shape.tolist()),
    "Slice": lambda attributes, array, *given: array[tuple(sliced(attributes, array.ndim, list(given)))],
    "Sqrt": lambda attributes, array: np.sqrt(array),
    "Sub": lambda attributes, a, b: a - b,
    "Squeeze": lambda attributes, array, *given: np.squeeze(array, _axes(attributes, given)),
    "Trilu": _lower,
    "Unsqueeze": lambda attributes, array, *given: np.expand_dims(array, _axes(attributes, given) or ()),
    "Where": lambda attributes, where, a, b: np.where(where, a, b),
}
"""What each operator computes of its attributes, and of inputs that are numbers or sizes."""
