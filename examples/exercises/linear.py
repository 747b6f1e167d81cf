"""Exercise 3, Linear: weighted sums, and which index goes where.

Forward, for each sample n and output j:

    y[n, j] = sum over i of x[n, i] * weight[j, i]  +  bias[j]

    x: (batch, in_features)     weight: (out_features, in_features)
    y: (batch, out_features)    bias: (out_features,)

Derive all three with indices first, and only then write each as a product of matrices, or a sum:

    dE/dx[n, i]         which outputs does one input reach?
    dE/dweight[j, i]    which two numbers meet in one weight? In how many samples?
    dE/dbias[j]         the same for one bias.

The layer that is marked is square. That is on purpose: a transposed matrix fits there too, as it did in the article
that nanonet began with. Mark it with

    python examples/exercises/linear.py
"""

import numpy as np
from marking import mark

from nanonet import Array, GlorotUniform, Layer, Parameter, Zeros


class Linear(Layer):
    """y = x W^T + b."""

    def __init__(self, in_features: int, out_features: int) -> None:
        self.input_shape = (in_features,)
        self.weight = Parameter((out_features, in_features), GlorotUniform())
        self.bias = Parameter((out_features,), Zeros())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x @ self.weight.value.T + self.bias.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        # your turn: cache is x
        self.weight.grad = np.zeros_like(self.weight.value)
        self.bias.grad = np.zeros_like(self.bias.value)
        return np.zeros_like(cache)


if __name__ == "__main__":
    mark(Linear(3, 3))
