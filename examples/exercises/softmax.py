"""Exercise 4, Softmax: every output depends on every input.

Forward, for each sample n, whose row of scores becomes a row of probabilities:

    y[n, j] = exp(x[n, j]) / sum over k of exp(x[n, k])         x, y: (batch, classes)

Within a row, moving one score moves all the probabilities: dy[k]/dx[j] is a matrix, the Jacobian. Derive

    dy[k]/dx[j]     for k = j, and for k other than j; both can be written in terms of y alone;
    dE/dx[n, j]     the sum over k of grad[n, k] * dy[n, k]/dx[n, j].

The sum can be done on paper, so that no such matrix is needed. Mark it with

    python examples/exercises/softmax.py
"""

import numpy as np
from marking import mark

from nanonet import Array, Layer


class Softmax(Layer):
    """y = exp(x) / sum of exp(x), in each row."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        e = np.exp(x - x.max(axis=1, keepdims=True))  # cancels in y, and keeps exp from overflowing
        y: Array = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, grad: Array, cache: Array) -> Array:
        # your turn: cache is y
        return np.zeros_like(grad)


if __name__ == "__main__":
    mark(Softmax())
