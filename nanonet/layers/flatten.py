"""Flatten: images and sequences become rows, as Linear takes them."""

from __future__ import annotations

import math

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer


class Flatten(Layer):
    """Shape (batch, ...) becomes (batch, product of the rest), in the order of memory (C order).

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Flatten, Sequential
    >>> Sequential(Flatten())(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the rows, and the shape of x."""
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return grad in the shape of x."""
        return grad.reshape(cache)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return one axis with as many entries."""
        return (math.prod(input_shape),)
