"""joins: the layers of Keras that make one value of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanonet.interchange.keras.nodes import Described, Shape
from nanonet.interchange.keras.reached import scaling
from nanonet.interchange.keras.steps import Steps, Value


def _alike(steps: Steps, values: list[Value]) -> list[Value]:
    """Return several values, with the channels of all where the first has them."""
    if len(values) < 2:
        raise ValueError(f"is called with {len(values)} values, and needs two or more")
    return [steps.aligned(value, moved=values[0].moved) for value in values]


def _common(values: list[Value]) -> Shape:
    """Return the shape of all; raise ValueError if one would be repeated to fit another."""
    shapes = [value.shape for value in values]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"expected values of one shape, got {' and '.join(map(str, shapes))}; nanonet does not broadcast"
        )
    return shapes[0]


def _elementwise(operation: str) -> Callable[[Steps, Described, list[Value]], Value]:
    def join(steps: Steps, one: Described, values: list[Value]) -> Value:
        given = _alike(steps, values)
        numbers = tuple(value.number for value in given)
        return steps.step(operation, numbers, shape=_common(given), moved=given[0].moved)

    return join


def _average(steps: Steps, one: Described, values: list[Value]) -> Value:
    """Return the sum, divided by how many there are."""
    total = JOINS["Add"](steps, one, values)
    layer, fills = scaling(0.0, float(len(values)))
    steps.fills += fills
    return steps.step(layer, total.number, shape=total.shape, moved=total.moved)


def _concatenate(steps: Steps, one: Described, values: list[Value]) -> Value:
    """Return values joined along an axis, which counts in Keras's order."""
    if one.is_operation:
        raise TypeError("load takes the layer Concatenate, and not the function")
    given = _alike(steps, values)
    count, axis = len(given[0].shape), one.config.get("axis", -1)
    axis = axis + 1 + count if type(axis) is int and axis < 0 else axis
    if type(axis) is not int or not 1 <= axis <= count:
        raise ValueError(f"axis={one.config.get('axis')!r:.60} is no axis of {given[0].shape} after the batch")
    shapes = [list(value.shape) for value in given]
    lengths = [shape.pop(axis - 1) for shape in shapes if len(shape) == count]
    if len(lengths) < len(given) or any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"expected values that differ in axis {axis} alone, got {[value.shape for value in given]}")
    whole = None if None in lengths else sum(n for n in lengths if n is not None)
    shape: Any = (*shapes[0][: axis - 1], whole, *shapes[0][axis - 1 :])
    place = (1 if axis == count else axis + 1) if given[0].moved else axis
    numbers = tuple(value.number for value in given)
    return steps.step("concatenate", numbers, place, shape=shape, moved=given[0].moved)


JOINS: dict[str, Callable[[Steps, Described, list[Value]], Value]] = {
    "Add": _elementwise("add"),
    "Average": _average,
    "Concatenate": _concatenate,
    "Multiply": _elementwise("multiply"),
}
"""What joins values."""
