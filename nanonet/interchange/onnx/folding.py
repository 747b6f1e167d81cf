"""Folding: the few operators that exporters apply to constants, such as the sizes of a Pad, computed when read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers

MOST = 64
"""Entries of the arrays that are computed with: sizes and axes, not weights."""


def _axes(attributes: dict[str, Any], given: list[Numbers]) -> tuple[int, ...] | None:
    """Return the axes, an attribute until opset 12 and an input since; None for all."""
    axes = given[0].tolist() if given else attributes.get("axes")
    return None if axes is None else tuple(axes)


def _sliced(attributes: dict[str, Any], array: Numbers, *given: Numbers) -> Numbers:
    settings = [each.tolist() for each in given] or [attributes["starts"], attributes["ends"]]
    starts, ends = settings[:2]
    axes = settings[2] if len(settings) > 2 else attributes.get("axes") or list(range(len(starts)))
    steps = settings[3] if len(settings) > 3 else [1] * len(starts)
    index = [slice(None)] * array.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(*bounds)
    return array[tuple(index)]


def _full(attributes: dict[str, Any], shape: Numbers) -> Numbers:
    value = attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape.tolist(), value.reshape(-1)[0], value.dtype)


FOLDS: dict[str, Callable[..., Numbers]] = {
    "Concat": lambda attributes, *arrays: np.concatenate(arrays, axis=attributes["axis"]),
    "Reshape": lambda attributes, array, shape: array.reshape(shape.tolist()),
    "Unsqueeze": lambda attributes, array, *given: np.expand_dims(array, _axes(attributes, list(given)) or ()),
    "Squeeze": lambda attributes, array, *given: np.squeeze(array, _axes(attributes, list(given))),
    "Slice": _sliced,
    "ConstantOfShape": _full,
}
"""What each operator computes of its attributes and constant inputs."""


def folded(operator: str, attributes: dict[str, Any], arrays: list[Numbers]) -> Numbers:
    """Return the result of an operator on constants, or raise ValueError."""
    sizes = [array.size for array in arrays]
    if operator == "ConstantOfShape":
        sizes.append(math.prod(map(int, arrays[0].reshape(-1))))
    zeros = operator == "Reshape" and not arrays[1].all()  # which copy a length
    if max(sizes) > MOST or min(sizes) < 0 or zeros:
        raise ValueError(f"load computes with constants of at most {MOST} entries, and no reshape that copies a length")
    try:
        return FOLDS[operator](attributes, *arrays)
    except (IndexError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None
