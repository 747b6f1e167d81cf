"""Exercise 5, LayerNorm: three paths from x to y, two of them hidden.

Forward, for each sample n; mean and variance are those of its own row:

    z[n, j] = (x[n, j] - mean[n]) / deviation[n]        deviation[n] = sqrt(variance[n] + EPSILON)
    y[n, j] = gain[j] * z[n, j] + bias[j]

    x, y, z: (batch, features)    mean, deviation: (batch, 1)    gain, bias: (features,)

Derive

    dE/dgain, dE/dbias    as in the exercises Scale and Linear;
    dE/dz                 likewise;
    dE/dx                 from dE/dz: x[n, j] moves z[n, j] directly, but also the mean and the deviation of its
                          row, and through them the whole of z[n]. Add up the three.

Mark it with

    python examples/exercises/layer_norm.py
"""

import numpy as np
from marking import mark

from nanonet import Array, Layer, Parameter, Uniform, Zeros

EPSILON = 1e-5  # a row of equal numbers has no deviation to divide by


class LayerNorm(Layer):
    """y = gain * z + bias, where z is x with mean 0 and variance 1 in each row."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.gain = Parameter((features,), Uniform(0.5, 2.0))
        self.bias = Parameter((features,), Zeros())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, tuple[Array, Array]]:
        deviation = np.sqrt(x.var(axis=1, keepdims=True) + EPSILON)
        z: Array = (x - x.mean(axis=1, keepdims=True)) / deviation
        return self.gain.value * z + self.bias.value, (z, deviation)

    def backward(self, grad: Array, cache: tuple[Array, Array]) -> Array:
        # your turn: cache is z and deviation
        self.gain.grad = np.zeros_like(self.gain.value)
        self.bias.grad = np.zeros_like(self.bias.value)
        return np.zeros_like(grad)


if __name__ == "__main__":
    mark(LayerNorm(4))
