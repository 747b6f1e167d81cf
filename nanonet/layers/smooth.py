"""Smooth activations that are used more seldom than those of activations.py: CELU, LogSigmoid and Mish."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.core.stable import exp_of_negative, sigmoid
from nanonet.layers.activations import Activation, Softplus


class CELU(Activation):
    """y = a where a > 0, alpha (exp(a / alpha) - 1) elsewhere; y' = 1 or y / alpha + 1 (Barron 2017).

    An ELU whose slope is continuous for every alpha.

    Parameters
    ----------
    alpha : float
        Above 0.

    Examples
    --------
    >>> CELU(2.0).function(np.array([-1000.0, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    derivative_formula = "1 if a > 0 else y / alpha + 1"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = finite_number(alpha, "CELU", "alpha")
        if self.alpha <= 0:
            raise ValueError(f"CELU: expected alpha above 0, got {alpha}")

    def function(self, a: Array) -> Array:
        """Return a where a > 0, else alpha (exp(a / alpha) - 1)."""
        return np.where(a > 0, a, self.alpha * np.expm1(np.minimum(a, 0) / self.alpha))

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where a > 0, else exp(a / alpha)."""
        return np.where(a > 0, a.dtype.type(1), exp_of_negative(np.minimum(a, 0) / self.alpha))


class LogSigmoid(Activation):
    """y = log(1 / (1 + exp(-a))) = -log(1 + exp(-a)), y' = 1 / (1 + exp(a)).

    Examples
    --------
    >>> LogSigmoid().function(np.array([-1000.0, 0.0])).round(6)
    array([-1.00000e+03, -6.93147e-01])
    """

    derivative_formula = "1 / (1 + exp(a))"

    def function(self, a: Array) -> Array:
        """Return min(a, 0) - log(1 + exp(-|a|))."""
        y: Array = np.minimum(a, 0) - np.log1p(exp_of_negative(-np.abs(a)))
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return sigmoid(-a)."""
        return sigmoid(-a)


class Mish(Activation):
    """y = a t, y' = t + a (1 - t^2) sigmoid(a), where t = tanh(log(1 + exp(a))) (Misra 2019).

    Examples
    --------
    >>> Mish().function(np.array([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """

    derivative_formula = "t = tanh(log(1 + exp(a))); t + a * (1 - t**2) / (1 + exp(-a))"

    def function(self, a: Array) -> Array:
        """Return a tanh(log(1 + exp(a)))."""
        return a * np.tanh(_softplus(a))

    def derivative(self, a: Array, y: Array) -> Array:
        """Return t + a (1 - t) (1 + t) sigmoid(a)."""
        t = np.tanh(_softplus(a))
        slope: Array = t + a * ((1 - t) * (1 + t)) * sigmoid(a)
        return slope


_softplus = Softplus().function
