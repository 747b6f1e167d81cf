"""PReLU: a ReLU whose slope below 0 is learned."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import positive_int
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.initializers import Constant


class PReLU(Layer):
    """y = a where a > 0, w a elsewhere; dE/dw = Σ a dE/dy over all a <= 0 (He et al. 2015).

    Parameters
    ----------
    num_parameters : int
        1: one w for all; else the number of channels, on axis 1, each with its own.
    weight : Initializer or array
        Initial w, shape (num_parameters,). It should not decay: see ``decays`` of the optimizers.

    Examples
    --------
    >>> from nanonet import PReLU, Sequential
    >>> Sequential(PReLU())([[-2.0, 3.0]])
    array([[-0.5,  3. ]], dtype=float32)
    """

    mixes_samples = False
    output_shape = input_pattern

    def __init__(self, num_parameters: int = 1, *, weight: Init = Constant(0.25)) -> None:
        self.num_parameters = positive_int(num_parameters, "PReLU", "num_parameters")
        self.weight = Parameter(self.num_parameters, weight)
        self.input_shape = (...,) if self.num_parameters == 1 else (self.num_parameters, ...)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return y, and x for the backward pass."""
        return np.where(x > 0, x, self._slope(x) * x), x

    def backward(self, grad: Array, cache: Array) -> Array:
        """Assign dE/dw, and return dE/da: dE/dy where a > 0, else w dE/dy."""
        self._assign(grad, cache)
        return np.where(cache > 0, grad, self._slope(cache) * grad)

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        """Assign dE/dw only."""
        self._assign(grad, cache)

    def _assign(self, grad: Array, x: Array) -> None:
        below = grad * np.minimum(x, 0)
        axes = tuple(axis for axis in range(below.ndim) if axis != 1)
        self.weight.grad = below.sum(keepdims=True).reshape(1) if self.num_parameters == 1 else below.sum(axis=axes)

    def _slope(self, x: Array) -> Array:
        """Return w, broadcastable with x."""
        if self.num_parameters == 1:
            return self.weight.value
        return self.weight.value.reshape(-1, *[1] * (x.ndim - 2))
