"""Activation: an elementwise function, given by f(a) and f'(a)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer
from nanonet.core.repr import obey_override


class Activation(Layer):
    """An elementwise layer y = f(a), whose backward pass is dE/da = dE/dy * f'(a).

    Below an Activation, grad is the article's error signal g = dE/da. Write two one-line methods:

    >>> import numpy as np
    >>> from nanonet import Activation, Array, check_gradients
    >>> class Gaussian(Activation):
    ...     def function(self, a: Array) -> Array:
    ...         return np.exp(-a * a)
    ...
    ...     def derivative(self, a: Array, y: Array) -> Array:
    ...         return -2 * a * y
    >>> report = check_gradients(Gaussian())  # raises GradientError if it is wrong

    Attributes
    ----------
    derivative_formula : str or None
        f'(a) as ``trace.explain`` writes it: an expression in a, y and the layer's own numbers, "-2 * a * y" above.
        None: only the value is shown. nanonet/inspection/explanation/formulas.py defines the syntax.
    """

    derivative_formula: ClassVar[str | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Make a class that overrides only ``function`` or ``derivative`` use its own version in both passes."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Activation, chosen=("function", "derivative"), dependent=("forward", "backward"))
        passes = ("function", "derivative", "forward", "backward")
        obey_override(cls, Activation, chosen=passes, dependent=("derivative_formula",))

    @abstractmethod
    def function(self, a: Array) -> Array:
        """Return f(a), in a new array of the shape and dtype of a."""

    @abstractmethod
    def derivative(self, a: Array, y: Array) -> Array:
        """Return f'(a); y = f(a) is passed in for reuse."""

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
