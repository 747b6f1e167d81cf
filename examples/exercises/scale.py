"""Exercise 1, Scale: one gain for each feature.

Forward, for each sample n and feature i:

    y[n, i] = x[n, i] * gain[i]                 x, y: (batch, features)   gain: (features,)

`backward` gets grad = dE/dy, which has the shape of y. Derive

    dE/dx[n, i]     what does moving one entry of x do to y? The chain rule multiplies that by grad.
    dE/dgain[i]     the same for one gain; but how many samples use it?

Replace the zeros below, and let the script mark your solution:

    python examples/exercises/scale.py
"""

import numpy as np
from marking import mark

from nanonet import Array, Layer, Parameter, Uniform


class Scale(Layer):
    """y = x * gain."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.gain = Parameter((features,), Uniform(0.5, 2.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        return x * self.gain.value, x

    def backward(self, grad: Array, cache: Array) -> Array:
        # your turn: cache is x, as forward returned it
        self.gain.grad = np.zeros_like(self.gain.value)
        return np.zeros_like(grad)


if __name__ == "__main__":
    mark(Scale(3))
