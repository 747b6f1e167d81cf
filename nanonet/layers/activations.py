"""Activation: the short form of a layer for an elementwise function; and the built-in ones."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Patterns, read_only
from nanonet.core.checks import finite_number
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.objects import obey_override
from nanonet.core.stable import exp_of_negative, sigmoid

# Constants as arrays of a model's dtype: beside a Python number, each saves 0.15 to 0.25 us of an operation.
ZERO, HALF, ONE = (
    {np.dtype(kind): read_only(np.array(number, kind)) for kind in (np.float32, np.float64)} for number in (0, 0.5, 1)
)


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

    With the class attribute ``derivative_formula = "-2 * a * y"``, ``trace.explain`` writes f'(a) out; see
    nanonet/inspection/explanation/formulas.py.
    """

    mixes_samples = False
    output_shape = input_pattern

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Make a class that overrides only ``function`` or ``derivative`` use its own version in both passes."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Activation, chosen=("function", "derivative"), dependent=("forward", "backward"))

    @abstractmethod
    def function(self, a: Array) -> Array:
        """Return f(a), in a new array of the shape and dtype of a.

        Parameters
        ----------
        a : array
            The pre-activation, shape (batch, ...).

        Returns
        -------
        array
            y.
        """

    @abstractmethod
    def derivative(self, a: Array, y: Array) -> Array:
        """Return f'(a); y = f(a) is passed in for reuse.

        Parameters
        ----------
        a, y : array
            The pre-activation and the output, of one shape.

        Returns
        -------
        array
            In the shape of a.
        """

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y = f(x), and (x, y) for the backward pass."""
        y = self.function(x)
        return y, (x, y)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return dE/da = dE/dy * f'(a)."""
        a, y = cache
        return grad * self.derivative(a, y)


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-a)) = (1 + tanh(a/2)) / 2, y' = y (1 - y); the second form never overflows.

    Examples
    --------
    >>> Sigmoid().function(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    derivative_formula = "y * (1 - y)"

    def function(self, a: Array) -> Array:
        """Return (1 + tanh(a/2)) / 2, with an absolute error of at most half the rounding of 1."""
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
        """Return 1 - y^2 as (1 - y) (1 + y), which does not underflow."""
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
    """y = a, y' = 1: a linear output, or a placeholder.

    Examples
    --------
    >>> Identity().function(np.array([-2.0, 3.0]))
    array([-2.,  3.])
    """

    mixes_samples = False
    derivative_formula = "1"

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return the input's shape, or those of several."""
        return input_shape

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return x itself; it may hold integers."""
        return x, None

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return grad itself, None for integers."""
        return grad

    def function(self, a: Array) -> Array:
        """Return a copy of a."""
        return a.copy()

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 everywhere."""
        return np.ones_like(a)


class LeakyReLU(Activation):
    """y = a where a > 0, slope a elsewhere; y' = 1 or slope, at 0 slope, as in PyTorch (Maas et al. 2013).

    Parameters
    ----------
    slope : float
        Of the negative side.

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

    Parameters
    ----------
    alpha : float
        Minus the limit of y far on the negative side.

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
    """y = scale ELU(a), self-normalizing: preserves mean 0 and variance 1 (Klambauer et al. 2017, eq. 2).

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


class Softplus(Activation):
    """y = log(1 + exp(beta a)) / beta, y' = sigmoid(beta a).

    Parameters
    ----------
    beta : float
        Above 0; larger values are closer to ReLU.
    threshold : float
        Where beta a exceeds it, y = a and y' = 1. PyTorch's default is 20: in float32 the same up to rounding, in
        float64 an error of 2e-9.

    Examples
    --------
    >>> Softplus().function(np.array([0.0, 1000.0])).round(6)
    array([6.93147e-01, 1.00000e+03])
    """

    def __init__(self, beta: float = 1.0, threshold: float = math.inf) -> None:
        self.beta = finite_number(beta, "Softplus", "beta")
        if self.beta <= 0:
            raise ValueError(f"Softplus: expected beta above 0, got {beta}")
        self.threshold = math.inf if threshold == math.inf else finite_number(threshold, "Softplus", "threshold")

    @property
    def derivative_formula(self) -> str:  # it depends on the settings
        """f'(a) for these settings."""
        z = "a" if self.beta == 1 else "beta * a"
        curve = f"1 / (1 + exp(-{z}))" if self.beta == 1 else f"1 / (1 + exp(-({z})))"
        return curve if self.threshold == math.inf else f"1 if {z} > threshold else {curve}"

    def function(self, a: Array) -> Array:
        """Return (max(z, 0) + log(1 + exp(-|z|))) / beta for z = beta a."""
        if self.beta == 1 and self.threshold == math.inf:
            return _softplus(a)
        z = self.beta * a
        return np.where(z > self.threshold, a, _softplus(z) / self.beta)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return sigmoid(beta a), and 1 above the threshold."""
        z: Array = a if self.beta == 1 else self.beta * a
        slope = sigmoid(z)
        return slope if self.threshold == math.inf else np.where(z > self.threshold, a.dtype.type(1), slope)


def _softplus(a: Array) -> Array:
    """Return log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|))."""
    y: Array = np.maximum(a, 0) + np.log1p(exp_of_negative(-np.abs(a)))
    return y


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
