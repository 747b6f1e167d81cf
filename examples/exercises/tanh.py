"""Exercise 2, Tanh: an elementwise function, and a cache that saves work.

Forward, for each entry:

    y = tanh(x)                                 x, y: (batch, features)

There is no parameter, so `backward` only returns dE/dx. Derive

    dE/dx[n, i]     the slope of tanh at x[n, i], times grad[n, i].

forward caches y instead of x: the slope of tanh can be written in terms of tanh itself. Mark it with

    python examples/exercises/tanh.py
"""

import numpy as np
from marking import mark

from nanonet import Array, Layer


class Tanh(Layer):
    """y = tanh(x)."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        y = np.tanh(x)
        return y, y

    def backward(self, grad: Array, cache: Array) -> Array:
        # your turn: cache is y
        return np.zeros_like(grad)


if __name__ == "__main__":
    mark(Tanh())
