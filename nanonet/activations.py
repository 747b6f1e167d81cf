"""Activation: a function applied to every number by itself, written as f(a) and f'(a)."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from nanonet.arrays import Array, Shape, finite_number
from nanonet.layer import Layer
from nanonet.numerics import HALF, ONE, ZERO, sigmoid, softplus
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

    Attributes
    ----------
    derivative_formula : str or None
        f'(a) as ``trace.explain`` writes it: an expression in a, y and the layer's own numbers, "-2 * a * y" above.
        None: only its number is shown. nanonet/explaining/formulas.py says what may stand in it.
    """

    derivative_formula: ClassVar[str | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """See to it that a class that overrides only a short method is obeyed."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Activation, chosen=("function", "derivative"), dependent=("forward", "backward"))
        passes = ("function", "derivative", "forward", "backward")
        obey_override(cls, Activation, chosen=passes, dependent=("derivative_formula",))

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

    derivative_formula = "y * (1 - y)"

    def function(self, a: Array) -> Array:
        """Return (1 + tanh(a/2)) / 2, right to half a rounding of 1."""
        half = HALF.get(a.dtype, 0.5)
        y: Array = half * a
        np.tanh(y, out=y)
        y *= half
        y += half
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return y (1 - y)."""
        return y * (ONE.get(y.dtype, 1) - y)


class Tanh(Activation):
    """y = tanh(a), y' = 1 - y^2.

    Examples
    --------
    >>> Tanh().function(np.array([0.0, 1000.0]))
    array([0., 1.])
    """

    derivative_formula = "1 - y**2"

    def function(self, a: Array) -> Array:
        """Return tanh(a)."""
        return np.tanh(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 - y^2 as (1 - y) (1 + y), in which nothing underflows."""
        one = ONE.get(y.dtype, 1)
        return (one - y) * (one + y)


class ReLU(Activation):
    """y = max(a, 0); y' = 1 where a > 0 and 0 elsewhere, at 0 too, as in PyTorch.

    Examples
    --------
    >>> ReLU().function(np.array([-2.0, 0.0, 3.0]))
    array([0., 0., 3.])
    """

    derivative_formula = "1 if a > 0 else 0"

    def function(self, a: Array) -> Array:
        """Return max(a, 0)."""
        return np.maximum(a, ZERO.get(a.dtype, 0))

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where a > 0, else 0."""
        return (a > ZERO.get(a.dtype, 0)).astype(a.dtype)


class Identity(Activation):
    """y = a, y' = 1: a linear output, or a place kept free.

    Examples
    --------
    >>> Identity().function(np.array([-2.0, 3.0]))
    array([-2.,  3.])
    """

    derivative_formula = "1"

    def function(self, a: Array) -> Array:
        """Return a copy of a."""
        return a.copy()

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 everywhere."""
        return np.ones_like(a)


class LeakyReLU(Activation):
    """y = a where a > 0, slope a elsewhere; y' = 1 or slope, at 0 slope, as in PyTorch (Maas et al. 2013).

    Examples
    --------
    >>> LeakyReLU(0.1).function(np.array([-2.0, 3.0]))
    array([-0.2,  3. ])
    """

    derivative_formula = "1 if a > 0 else slope"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = finite_number(slope, "LeakyReLU", "slope")

    def function(self, a: Array) -> Array:
        """Return a where a > 0, else slope a."""
        return np.where(a > 0, a, self.slope * a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where a > 0, else slope."""
        return np.where(a > 0, a.dtype.type(1), a.dtype.type(self.slope))


class ELU(Activation):
    """y = a where a > 0, alpha (exp(a) - 1) elsewhere; y' = 1 or y + alpha (Clevert et al. 2016, eq. 15).

    Examples
    --------
    >>> ELU().function(np.array([-1000.0, 0.0, 3.0]))
    array([-1.,  0.,  3.])
    """

    derivative_formula = "1 if a > 0 else y + alpha"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = finite_number(alpha, "ELU", "alpha")

    def function(self, a: Array) -> Array:
        """Return a where a > 0, else alpha (exp(a) - 1)."""
        return np.where(a > 0, a, self.alpha * np.expm1(np.minimum(a, 0)))

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where a > 0, else y + alpha, which is alpha exp(a)."""
        return np.where(a > 0, a.dtype.type(1), y + self.alpha)


class SELU(Activation):
    """y = scale ELU(a), with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017, eq. 2).

    alpha = 1.6732632423543772, scale = 1.0507009873554805.

    Examples
    --------
    >>> SELU().function(np.array([0.0, 1.0])).round(6)
    array([0.      , 1.050701])
    """

    derivative_formula = "scale if a > 0 else y + scale * alpha"
    alpha = 1.6732632423543772
    scale = 1.0507009873554805

    def function(self, a: Array) -> Array:
        """Return scale a where a > 0, else scale alpha (exp(a) - 1)."""
        return np.where(a > 0, self.scale * a, self.scale * self.alpha * np.expm1(np.minimum(a, 0)))

    def derivative(self, a: Array, y: Array) -> Array:
        """Return scale where a > 0, else y + scale alpha."""
        return np.where(a > 0, a.dtype.type(self.scale), y + self.scale * self.alpha)


class SiLU(Activation):
    """y = a s, y' = s + y (1 - s), where s = sigmoid(a); also known as swish (Elfwing et al. 2018).

    Examples
    --------
    >>> SiLU().function(np.array([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """

    derivative_formula = "s = 1 / (1 + exp(-a)); s + y * (1 - s)"

    def function(self, a: Array) -> Array:
        """Return a sigmoid(a)."""
        return a * sigmoid(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return s + y (1 - s)."""
        s = sigmoid(a)
        d: Array = s + y * (1 - s)
        return d


class GELU(Activation):
    """y = a/2 (1 + tanh u), u = sqrt(2/pi) (a + 0.044715 a^3): the tanh form (Hendrycks and Gimpel 2016).

    PyTorch's ``GELU(approximate="tanh")``. The form with erf differs from it by less than 0.0005; NumPy has no erf.

    Examples
    --------
    >>> GELU().function(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158808,  0.      ,  0.841192])
    """

    derivative_formula = (
        "u = root * (a + cubic * a**3); h = tanh(u); (1 + h) / 2 + a / 2 * (1 - h**2) * root * (1 + 3 * cubic * a**2)"
    )
    cubic = 0.044715
    root = math.sqrt(2 / math.pi)

    def _tanh(self, a: Array) -> Array:
        with np.errstate(under="ignore"):  # the cube of a tiny number is 0 beside the number itself
            return np.tanh(self.root * (a + self.cubic * a * a * a))

    @staticmethod
    def _near(a: Array) -> Array:
        """Return a held within ±30, beyond which tanh u is ±1."""
        return np.clip(a, -30, 30)

    def function(self, a: Array) -> Array:
        """Return a/2 (1 + tanh u)."""
        y: Array = 0.5 * a * (1 + self._tanh(self._near(a)))
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return (1 + tanh u)/2 + a/2 (1 - tanh(u)^2) u'."""
        a = self._near(a)
        t = self._tanh(a)
        with np.errstate(under="ignore"):
            slope = self.root * (1 + 3 * self.cubic * a * a)
            d: Array = 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * slope
        return d


class Softplus(Activation):
    """y = log(1 + exp(a)), y' = sigmoid(a).

    Examples
    --------
    >>> Softplus().function(np.array([0.0, 1000.0])).round(6)
    array([6.93147e-01, 1.00000e+03])
    """

    derivative_formula = "1 / (1 + exp(-a))"

    def function(self, a: Array) -> Array:
        """Return max(a, 0) + log(1 + exp(-|a|))."""
        return softplus(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return sigmoid(a)."""
        return sigmoid(a)


class Softsign(Activation):
    """y = a / (1 + |a|), y' = 1 / (1 + |a|)^2.

    Examples
    --------
    >>> Softsign().function(np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """

    derivative_formula = "1 / (1 + abs(a))**2"

    def function(self, a: Array) -> Array:
        """Return a / (1 + |a|)."""
        y: Array = a / (1 + np.abs(a))
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 / (1 + |a|)^2."""
        root: Array = 1 / (1 + np.abs(a))
        return root * root
