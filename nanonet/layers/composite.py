"""Composite: a layer whose author says once how its parts are wired; backward, shapes and exports follow from that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Pattern, Patterns, parts_of
from nanonet.core.chain import output_pattern
from nanonet.core.checks import axes, is_open
from nanonet.core.errors import ContractError, ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern
from nanonet.layers.branches import joined_shape, summed, summed_shape

Numbers = npt.NDArray[Any]
ANY: Pattern = (...,)  # the shape of anything


class Call(Protocol):
    """What ``wire`` is given: ``call(layer, value)`` means ``layer(value)``; the methods join and split values."""

    def __call__(self, layer: Layer, value: Any) -> Any:
        """Return the value, or for several outputs the tuple of values, of a layer; value may be a tuple of values.

        Parameters
        ----------
        layer : Layer
            A part of the composite.
        value : object, or tuple of objects
            Its input.

        Returns
        -------
        object, or tuple of objects
        """

    def add(self, *values: Any) -> Any:
        """Return the sum of values of one shape.

        Parameters
        ----------
        *values : object

        Returns
        -------
        object
        """

    def multiply(self, *values: Any) -> Any:
        """Return the elementwise product of values of one shape.

        Parameters
        ----------
        *values : object

        Returns
        -------
        object
        """

    def concatenate(self, *values: Any, axis: int = -1) -> Any:
        """Return values joined along an axis, with the batch as axis 0.

        Parameters
        ----------
        *values : object
            Of one shape but for this axis.
        axis : int

        Returns
        -------
        object
        """

    def split(self, value: Any, *sizes: int, axis: int = -1) -> tuple[Any, ...]:
        """Return the pieces of a value along an axis; their sizes add up to its length.

        Parameters
        ----------
        value : object
        *sizes : int
        axis : int

        Returns
        -------
        tuple of objects
        """


class Composite(Layer):
    """A layer made of layers: assign them as attributes, and write ``wire`` once. There is no backward to write.

    Its backward pass is the article's recursion on a graph: gradients that meet at a value are added, and so are those
    of a layer that is called more than once. ``wire`` is run with arrays for the forward pass, with shapes for
    ``output_shape`` and with names for an export, so it may do nothing with a value but pass it on.

    Raises
    ------
    ShapeError
        When built, if the parts do not fit.

    Examples
    --------
    >>> from nanonet import Composite, Linear, Sequential, Tanh
    >>> class Gated(Composite):
    ...     '''tanh(A x) * B x + x'''
    ...
    ...     def __init__(self, features):
    ...         self.input_shape = (features,)
    ...         self.a, self.tanh, self.b = Linear(features, features), Tanh(), Linear(features, features)
    ...
    ...     def wire(self, call, x):
    ...         gate = call(self.tanh, call(self.a, x))
    ...         return call.add(call.multiply(gate, call(self.b, x)), x)
    >>> Sequential(Gated(3))([[1, 2, 3]]).shape
    (1, 3)
    """

    @abstractmethod
    def wire(self, call: Any, x: Any) -> Any:
        """Return the output for x; ``call`` is a :class:`nanonet.layers.composite.Call`.

        For several inputs x is a tuple of values; for several outputs return a tuple.

        Parameters
        ----------
        call : Call
            Runs a layer, and joins or splits values.
        x : object, or tuple of objects
            To be passed on only.

        Returns
        -------
        object, or tuple of objects
        """

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Return the output, and the steps by which to go back."""
        tape = Tape(training)
        entered = tuple(map(tape.enter, x)) if isinstance(x, tuple) else tape.enter(x)
        wired = self.wire(tape, entered)
        places = tuple(_checked(self, value).place for value in parts_of(wired))
        y: Any = tuple(value.array for value in wired) if isinstance(wired, tuple) else wired.array
        return y, (tape.steps, places, x)

    def backward(self, grad: Arrays, cache: Any) -> Any:
        """Assign all gradients, from the last step to the first, and return dE/dx."""
        steps, places, x = cache
        grads: dict[int, Array] = {}
        for place, g in zip(places, parts_of(grad), strict=True):
            _add(grads, place, g)
        ran: set[int] = set()
        for step in reversed(steps):
            if step.layer is None and grads.keys().isdisjoint(step.outputs):
                continue  # nothing depends on it; a layer has to assign its gradients all the same
            again = id(step.layer) in ran
            ran.add(id(step.layer))
            given = [grads.pop(place, None) for place in step.outputs]
            for place, g in zip(step.inputs, step.back(given, again), strict=True):
                _add(grads, place, g)
        found = tuple(grads.get(i, _nothing(part)) for i, part in enumerate(parts_of(x)))
        return found if isinstance(x, tuple) else found[0]

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the shape that ``wire`` gives for an input shape."""
        super().output_shape(input_shape)
        out: Patterns = self.wire(Shapes(type(self).__name__), input_shape)
        return out


class Value:
    """An array on a tape, by its place."""

    def __init__(self, array: Numbers, place: int) -> None:
        self.array, self.place = array, place


class _Step(NamedTuple):
    """One operation of a tape: the places of its inputs and outputs, and how to go back through it."""

    inputs: list[int]
    outputs: list[int]
    layer: Layer | None
    back: Callable[[list[Array | None], bool], Any]


class Tape:
    """The wiring with arrays: runs the parts, and keeps how to go back."""

    def __init__(self, training: bool) -> None:
        self.training = training
        self.steps: list[_Step] = []
        self._count = 0

    def enter(self, array: Numbers) -> Value:
        """Return a new value."""
        self._count += 1
        return Value(array, self._count - 1)

    def __call__(self, layer: Layer, value: Any) -> Any:
        """Run a layer."""
        values = tuple(_checked(layer, part) for part in parts_of(value))
        x: Any = tuple(part.array for part in values) if isinstance(value, tuple) else values[0].array
        y, cache = layer.forward(x, training=self.training)

        def back(given: list[Array | None], again: bool) -> tuple[Any, ...]:
            filled = tuple(_nothing(part) if g is None else g for g, part in zip(given, parts_of(y), strict=True))
            go = layer.backward_again if again else layer.backward
            return parts_of(go(filled if isinstance(y, tuple) else filled[0], cache))

        outputs = self._step(values, parts_of(y), layer, back)
        return outputs if isinstance(y, tuple) else outputs[0]

    def add(self, *values: Value) -> Value:
        """Return the sum."""
        y = reduce(np.add, _arrays("add", values))
        return self._step(values, (y,), None, lambda given, _: given * len(values))[0]

    def multiply(self, *values: Value) -> Value:
        """Return the product, whose gradient for each factor is that times all other factors."""
        arrays = _arrays("multiply", values)

        def back(given: list[Any], _: bool) -> list[Any]:
            (g,) = given
            others = (arrays[:i] + arrays[i + 1 :] for i in range(len(arrays)))
            return [reduce(np.multiply, rest, g) for rest in others]

        return self._step(values, (reduce(np.multiply, arrays),), None, back)[0]

    def concatenate(self, *values: Value, axis: int = -1) -> Value:
        """Return the values joined."""
        arrays = _arrays("concatenate", values)
        cuts = np.cumsum([array.shape[axis] for array in arrays])[:-1]

        y = np.concatenate(arrays, axis=axis)
        return self._step(values, (y,), None, lambda given, _: np.split(given[0], cuts, axis=axis))[0]

    def split(self, value: Value, *sizes: int, axis: int = -1) -> tuple[Value, ...]:
        """Return the pieces."""
        (array,) = _arrays("split", (value,))
        pieces = np.split(array, np.cumsum(sizes)[:-1], axis=axis)

        def back(given: list[Any], _: bool) -> list[Any]:
            filled = [np.zeros_like(piece) if g is None else g for g, piece in zip(given, pieces, strict=True)]
            return [np.concatenate(filled, axis=axis)]

        return self._step((value,), pieces, None, back)

    def _step(self, values: Any, arrays: Any, layer: Layer | None, back: Any) -> tuple[Value, ...]:
        outputs = tuple(map(self.enter, arrays))
        places = [value.place for value in values]
        self.steps.append(_Step(places, [output.place for output in outputs], layer, back))
        return outputs


class Shapes:
    """The wiring with shapes; ANY for one that is not known."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def __call__(self, layer: Layer, shape: Patterns) -> Patterns:
        """Return a layer's output shape."""
        found = output_pattern(layer, input_pattern(layer, shape))
        return ANY if found is None else found

    def add(self, *shapes: Pattern) -> Patterns:
        """Return the shape of a sum."""
        return summed_shape(f"{self.owner}: add", shapes)

    def multiply(self, *shapes: Pattern) -> Patterns:
        """Return the shape of a product."""
        return summed_shape(f"{self.owner}: multiply", shapes)

    def concatenate(self, *shapes: Pattern, axis: int = -1) -> Pattern:
        """Return the shape of joined arrays."""
        return joined_shape(f"{self.owner}: concatenate", shapes, axis) or ANY

    def split(self, shape: Pattern, *sizes: int, axis: int = -1) -> tuple[Pattern, ...]:
        """Return the shapes of the pieces."""
        if is_open(shape):
            return (ANY,) * len(sizes)
        lengths = axes(shape)
        place = axis - 1 if axis > 0 else axis + len(lengths)
        if not 0 <= place < len(lengths) or lengths[place] not in (None, sum(sizes)):
            raise ShapeError(f"{self.owner}: split: sizes {sizes} do not add up to axis {axis} of {shape_text(shape)}")
        return tuple((*lengths[:place], size, *lengths[place + 1 :]) for size in sizes)


def _nothing(x: Numbers) -> Array | None:
    """Return the gradient of an input that nothing depends on."""
    return np.zeros_like(x) if x.dtype.kind == "f" else None


def _add(grads: dict[int, Array], place: int, g: Array | None) -> None:
    if g is not None:
        grads[place] = summed(grads[place], g) if place in grads else g


def _arrays(owner: str, values: tuple[Any, ...]) -> list[Numbers]:
    return [_checked(owner, value).array for value in values]


def _checked(owner: object, value: Any) -> Value:
    if not isinstance(value, Value):
        raise ContractError(
            f"{owner}: wire may only pass values on, to call(layer, value), call.add, call.multiply, call.concatenate "
            f"and call.split, got {type(value).__name__}"
        )
    return value
