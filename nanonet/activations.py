"""Activation: a function applied to every number by itself, written as f(a) and f'(a)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from nanonet.arrays import Array, Shape
from nanonet.layer import Layer
from nanonet.recorded import obey_override


class Activation(Layer):
    """A layer y = f(a), entry by entry, whose backward pass is dE/da = dE/dy * f'(a).

    Below an Activation, grad is the article's error signal g = dE/da. Write two methods of one line each:

    >>> import numpy as np
    >>> from nanonet import Activation, Array, check_gradients
    >>> class Gaussian(Activation):
    ...     def function(self, a: Array) -> Array:
    ...         return np.exp(-a * a)
    ...
    ...     def derivative(self, a: Array, y: Array) -> Array:
    ...         return -2 * a * y
    >>> report = check_gradients(Gaussian())  # raises GradientError where it is wrong
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        """See to it that a class that overrides only a short method is obeyed."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Activation, chosen=("function", "derivative"), dependent=("forward", "backward"))

    @abstractmethod
    def function(self, a: Array) -> Array:
        """Return f(a), in a new array of the shape and dtype of a."""

    @abstractmethod
    def derivative(self, a: Array, y: Array) -> Array:
        """Return f'(a), where y = f(a) is there to be used again."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y = f(x), and (x, y) for the backward pass."""
        y = self.function(x)
        return y, (x, y)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return dE/da = dE/dy * f'(a)."""
        a, y = cache
        return grad * self.derivative(a, y)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-a)) = (1 + tanh(a/2)) / 2, y' = y (1 - y); the second form never overflows.

    Examples
    --------
    >>> Sigmoid().function(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    def function(self, a: Array) -> Array:
        """Return (1 + tanh(a/2)) / 2."""
        y: Array = 0.5 * np.tanh(0.5 * a) + 0.5
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return y (1 - y)."""
        return y * (1 - y)


class Tanh(Activation):
    """y = tanh(a), y' = 1 - y^2.

    Examples
    --------
    >>> Tanh().function(np.array([0.0, 1000.0]))
    array([0., 1.])
    """

    def function(self, a: Array) -> Array:
        """Return tanh(a)."""
        return np.tanh(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 - y^2 as (1 - y) (1 + y), in which nothing underflows."""
        return (1 - y) * (1 + y)


class ReLU(Activation):
    """y = max(a, 0); y' = 1 where a > 0 and 0 elsewhere, at 0 too, as in PyTorch.

    Examples
    --------
    >>> ReLU().function(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """

    def function(self, a: Array) -> Array:
        """Return max(a, 0)."""
        return np.maximum(a, 0)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where a > 0, else 0."""
        return (a > 0).astype(a.dtype)


class Identity(Activation):
    """y = a, y' = 1: a linear output, or a place kept free.

    Examples
    --------
    >>> Identity().function(np.array([-2.0, 3.0]))
    array([-2.,  3.])
    """

    def function(self, a: Array) -> Array:
        """Return a copy of a."""
        return a.copy()

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 everywhere."""
        return np.ones_like(a)
