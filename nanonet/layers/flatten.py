"""Flatten: turns images and sequences into vectors, as input for Linear."""

from __future__ import annotations

import math

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import known
from nanonet.core.layer import Layer


class Flatten(Layer):
    """Reshape (batch, ...) to (batch, product of the rest), in C order.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Flatten, Sequential
    >>> Sequential(Flatten())(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    mixes_samples = False
    input_shape = (...,)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the flattened x, and the shape of x."""
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return grad in the shape of x."""
        return grad.reshape(cache)

    def output_shape(self, input_shape: Shape) -> Shape | None:
        """Return one axis with the same number of entries."""
        shape = known(input_shape)
        return None if shape is None else (math.prod(shape),)
