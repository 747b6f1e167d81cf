"""Layers with several inputs or outputs: Fork, Parallel, Concatenate and Add, to chain layers side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Arrays, Pattern, Patterns
from nanonet.core.checks import agreed, axes, expect, is_open
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern


class _Branches(Layer):
    """Base of the layers that consist of branches, which compute one output each."""

    mixes_samples = False

    def __init__(self, *branches: Layer) -> None:
        name = type(self).__name__
        if not branches:
            raise ValueError(f"{name}: expected one layer or more; write {name}(Linear(2, 3), Linear(2, 1))")
        for i, branch in enumerate(branches):
            hint = f"; write {name}(*layers)" if isinstance(branch, (list, tuple)) else ""
            expect(branch, Layer, f"{name}: expected branch {i}", hint=hint)
        self.branches = branches

    @abstractmethod
    def _joined(self, grads: Iterator[Any]) -> Any:
        """Return dE/dx for that of each branch."""

    def backward(self, grad: Arrays, cache: Any) -> Any:
        """Assign the gradients of the branches, and return dE/dx."""
        return self._joined(branch.backward(g, c) for branch, g, c in zip(self.branches, grad, cache, strict=True))

    def backward_parameters(self, grad: Arrays, cache: Any) -> None:
        """Assign the gradients of the branches only."""
        for branch, g, c in zip(self.branches, grad, cache, strict=True):
            branch.backward_parameters(g, c)


class Fork(_Branches):
    """(f₁(x), f₂(x), ...): several layers on one input, whose outputs are a tuple; dE/dx is the sum of theirs.

    Parameters
    ----------
    *branches : Layer
        Each takes x. For x itself use Identity().

    Raises
    ------
    ShapeError
        When built, if the branches take different inputs.

    Examples
    --------
    >>> from nanonet import Fork, Linear, Sequential
    >>> y, z = Sequential(Linear(2, 8), Fork(Linear(8, 1), Linear(8, 3)))([[1, 2]])
    >>> y.shape, z.shape
    ((1, 1), (1, 3))
    """

    mixes_samples = False

    def __init__(self, *branches: Layer) -> None:
        super().__init__(*branches)
        pinned = [branch.input_shape for branch in branches if branch.input_shape is not None]
        both = _common(pinned) if pinned else None
        if pinned and both is None:
            texts = ", ".join(map(shape_text, pinned))
            raise ShapeError(f"Fork: expected branches that take the same input, got {texts}")
        self.input_shape = both
        self.integer_input = branches[0].integer_input

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Arrays, Any]:
        """Return the tuple of outputs, and the caches."""
        outputs, caches = zip(*(branch.forward(x, training=training) for branch in self.branches), strict=True)
        return outputs, caches

    def _joined(self, grads: Iterator[Any]) -> Any:
        return reduce(summed, grads)

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the tuple of the branches' output shapes."""
        shapes = tuple(branch.output_shape(input_shape) for branch in self.branches)
        return None if None in shapes else shapes


class Parallel(_Branches):
    """(f₁(x₁), f₂(x₂), ...): each of several inputs through a layer of its own.

    Parameters
    ----------
    *branches : Layer
        One for each input. To pass an input on use Identity().

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Concatenate, Linear, Parallel, Sequential
    >>> model = Sequential(Parallel(Linear(2, 8), Linear(3, 8)), Concatenate(), Linear(16, 1))
    >>> model((np.ones((5, 2)), np.ones((5, 3)))).shape
    (5, 1)
    """

    mixes_samples = False
    several_inputs = True

    def __init__(self, *branches: Layer) -> None:
        super().__init__(*branches)
        self.input_shape = tuple((...,) if b.input_shape is None else b.input_shape for b in branches)
        integers = tuple(bool(branch.integer_input) for branch in branches)
        self.integer_input = any(integers) and integers

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Arrays, Any]:
        """Return the tuple of outputs, and the caches."""
        pairs = zip(self.branches, x, strict=True)
        outputs, caches = zip(*(branch.forward(part, training=training) for branch, part in pairs), strict=True)
        return outputs, caches

    def _joined(self, grads: Iterator[Any]) -> Any:
        return tuple(grads)

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the tuple of the branches' output shapes."""
        input_pattern(self, input_shape)
        shapes = tuple(b.output_shape(part) for b, part in zip(self.branches, input_shape, strict=True))
        return None if None in shapes else shapes


class Concatenate(Layer):
    """[x₁, x₂, ...]: several inputs joined along an axis; dE/dxᵢ is its part of the gradient.

    Parameters
    ----------
    axis : int
        As in ``numpy.concatenate``, with the batch as axis 0, which cannot be joined. Default: the last; the channels
        of images are axis 1.

    Raises
    ------
    ShapeError
        If the inputs differ in another axis.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Concatenate, Sequential
    >>> Sequential(Concatenate())((np.ones((5, 2)), np.ones((5, 3)))).shape
    (5, 5)
    """

    mixes_samples = False
    several_inputs = True

    def __init__(self, axis: int = -1) -> None:
        if axis == 0:
            raise ValueError("Concatenate: axis 0 is the batch, which cannot be joined; expected another axis")
        self.axis = axis

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Return the joined array, and where to cut the gradient."""
        return np.concatenate(x, axis=self.axis), np.cumsum([part.shape[self.axis] for part in x])[:-1]

    def backward(self, grad: Array, cache: Any) -> Any:
        """Return the part of the gradient for each input."""
        return tuple(np.split(grad, cache, axis=self.axis))

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the joined shape."""
        return joined_shape(self, input_shape, self.axis)


class Add(Layer):
    """x₁ + x₂ + ...: the sum of several inputs of one shape; each has the gradient of the sum.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Add, Fork, Identity, Linear, Sequential
    >>> Sequential(Fork(Identity(), Linear(2, 2)), Add())([[1, 2]]).shape
    (1, 2)
    """

    mixes_samples = False
    several_inputs = True

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, int]:
        """Return the sum, and the number of inputs."""
        total: Array = reduce(np.add, x)
        return total, len(x)

    def backward(self, grad: Array, cache: int) -> Any:
        """Return the gradient for each input."""
        return (grad,) * cache

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the shape of each input."""
        return summed_shape(self, input_shape)


def joined_shape(owner: object, shapes: tuple[Pattern, ...], axis: int) -> Pattern | None:
    """Return the shape of arrays joined along an axis, or raise ShapeError if they differ elsewhere."""
    if any(is_open(shape) for shape in shapes):
        ends = [shape[min(axis, 0)] for shape in shapes if shape and axis in (1, -1)]
        sizes = [size for size in ends if isinstance(size, int)]
        whole = sum(sizes) if len(sizes) == len(shapes) else None
        return None if whole is None else (whole, ...) if axis == 1 else (..., whole)
    lengths = [axes(shape) for shape in shapes]
    count = len(lengths[0])
    place = axis - 1 if axis > 0 else axis + count
    if not 0 <= place < count or any(len(some) != count for some in lengths):
        raise ShapeError(f"{owner}: expected inputs with the same axes and an axis {axis}, got {shape_text(shapes)}")
    rest = _common([(*some[:place], *some[place + 1 :]) for some in lengths])
    if rest is None:
        raise ShapeError(f"{owner}: expected inputs that differ only in axis {axis}, got {shape_text(shapes)}")
    parts = [some[place] for some in lengths]
    whole = None if None in parts else sum(part for part in parts if part is not None)
    return (*rest[:place], whole, *rest[place:])


def summed_shape(owner: object, shapes: tuple[Pattern, ...]) -> Patterns:
    """Return the common shape of arrays, or raise ShapeError."""
    both = _common(shapes)
    if both is None:
        raise ShapeError(f"{owner}: expected inputs of the same shape, got {shape_text(shapes)}")
    return both


def _common(patterns: Sequence[Patterns]) -> Any:
    """Return the common pattern of several patterns, or None if two contradict each other."""
    common = patterns[0]
    for pattern in patterns[1:]:
        common = None if common is None else agreed(common, pattern)
    return common


def summed(one: Arrays, other: Arrays) -> Arrays:
    """Return the sum of two gradients of one x, whose parts may be None."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(map(summed, one, other)) if isinstance(one, tuple) else one + other
