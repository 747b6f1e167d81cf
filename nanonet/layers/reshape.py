"""Reshape and Permute: the same numbers in other axes, between layers that expect them so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import known
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern


class Reshape(Layer):
    """Reshape (batch, ...) to the batch and the given shape, in C order; PyTorch's Unflatten(1, shape) for vectors.

    Parameters
    ----------
    *shape : int
        The shape of a sample, without the batch axis. One size may be -1, which is then computed.

    Raises
    ------
    ShapeError
        If a sample has another number of entries.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Reshape, Sequential
    >>> Sequential(Reshape(1, 28, -1))(np.zeros((5, 784))).shape
    (5, 1, 28, 28)
    """

    mixes_samples = False

    def __init__(self, *shape: int) -> None:
        self.shape = _integers(shape, "Reshape", "each size", hint="Reshape(1, 28, 28)")
        if any(size < 1 and size != -1 for size in self.shape):
            raise ValueError(f"Reshape: expected sizes of 1 or more, or -1, got {self.shape}")
        if self.shape.count(-1) > 1:
            raise ValueError(f"Reshape: expected at most one -1, got {self.shape}")

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the reshaped x, and the shape of x."""
        return x.reshape(len(x), *self._filled(math.prod(x.shape[1:]), x.shape[1:])), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return grad in the shape of x."""
        return grad.reshape(cache)

    def output_shape(self, input_shape: Shape) -> Any:
        """Return the new shape."""
        shape = known(input_shape)
        if shape is None:
            return tuple(None if size == -1 else size for size in self.shape)
        return self._filled(math.prod(shape), shape)

    def _filled(self, size: int, shape: Shape) -> Shape:
        """Return the new shape for samples of so many entries."""
        rest = math.prod(length for length in self.shape if length != -1)
        if size % rest or (size != rest and -1 not in self.shape):
            many = f"a multiple of {rest}" if -1 in self.shape else str(rest)
            raise ShapeError(f"{self}: expected samples of {many} entries, got {size}, of shape {shape_text(shape)}")
        return tuple(size // rest if length == -1 else length for length in self.shape)


class Permute(Layer):
    """Reorder the axes of each sample: axis i of y is axis axes[i] of x. PyTorch has no such module.

    Axes count from 1, since axis 0 is the batch, as in ``x.permute(0, *axes)`` and ``np.transpose(x, (0, *axes))``.

    Parameters
    ----------
    *axes : int
        Each of 1, ..., number of axes once.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Permute, Sequential
    >>> Sequential(Permute(3, 1, 2))(np.zeros((5, 28, 32, 3))).shape
    (5, 3, 28, 32)
    """

    mixes_samples = False

    def __init__(self, *axes: int) -> None:
        self.axes = _integers(axes, "Permute", "each axis", hint="Permute(3, 1, 2)")
        count = len(self.axes)
        if sorted(self.axes) != list(range(1, count + 1)):
            raise ValueError(
                f"Permute: expected each of the axes 1 to {count} once, got {self.axes}; axis 0, the batch, stays"
            )
        self.input_shape = (None,) * count

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        """Return x with its axes reordered, in C order."""
        return np.ascontiguousarray(x.transpose(0, *self.axes)), None

    def backward(self, grad: Array, cache: None) -> Array:
        """Return grad with its axes in the order of x."""
        back = [self.axes.index(axis) + 1 for axis in range(1, len(self.axes) + 1)]
        return np.ascontiguousarray(grad.transpose(0, *back))

    def output_shape(self, input_shape: Shape) -> Any:
        """Return the input's axes in their new order."""
        shape: Any = input_pattern(self, input_shape)
        return tuple(shape[axis - 1] for axis in self.axes)


def _integers(sizes: tuple[Any, ...], subject: str, name: str, hint: str) -> tuple[int, ...]:
    """Return the arguments as a tuple of Python ints; there must be one."""
    wanted = f"{subject}: expected {name} as an int"
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        raise TypeError(f"{wanted}, got {sizes[0]!r:.60}; write {subject}(*sizes), such as {hint}")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(f"{wanted}, got {size!r:.60}")
    if not sizes:
        raise ValueError(f"{subject}: expected at least one argument, such as {hint}")
    return tuple(map(int, sizes))
