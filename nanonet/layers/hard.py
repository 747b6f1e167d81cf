"""Activations of straight pieces: Hardsigmoid and Hardswish, cheap forms of curves, and those that shrink towards 0."""

from __future__ import annotations

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.layers.activations import Activation


class Hardsigmoid(Activation):
    """y = min(max(a / 6 + 1/2, 0), 1); y' = 1/6 where -3 < a < 3 and 0 elsewhere, at the ends too, as in PyTorch.

    Examples
    --------
    >>> Hardsigmoid().function(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """

    derivative_formula = "1 / 6 if abs(a) < 3 else 0"

    def function(self, a: Array) -> Array:
        """Return a / 6 + 1/2, clipped to 0 and 1."""
        return _gate(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1/6 where |a| < 3, else 0."""
        return np.where(np.abs(a) < 3, a.dtype.type(1 / 6), a.dtype.type(0))


class Hardswish(Activation):
    """y = a min(max(a / 6 + 1/2, 0), 1); y' = 0 up to a = -3, 1 from 3 on, a / 3 + 1/2 between (Howard et al. 2019).

    Examples
    --------
    >>> Hardswish().function(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([-0.   ,  0.   ,  1.125,  4.   ])
    """

    derivative_formula = "(1 if a >= 3 else a / 3 + 1 / 2) if a > -3 else 0"

    def function(self, a: Array) -> Array:
        """Return a times its Hardsigmoid."""
        return a * _gate(a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 0 up to a = -3, 1 from 3 on, and a / 3 + 1/2 between."""
        inside: Array = np.clip(a, -3, 3) / 3 + a.dtype.type(0.5)
        return np.where(a <= -3, a.dtype.type(0), np.where(a >= 3, a.dtype.type(1), inside))


def _gate(a: Array) -> Array:
    """Return min(max(a / 6 + 1/2, 0), 1), from which a huge a does not overflow."""
    gate: Array = np.clip(a, -3, 3) / 6 + a.dtype.type(0.5)
    return gate


class _Shrink(Activation):
    """y = 0 where |a| <= threshold."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = finite_number(threshold, type(self).__name__, "threshold", low=0)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 0 where |a| <= threshold, else 1."""
        return (np.abs(a) > self.threshold).astype(a.dtype)


class Hardshrink(_Shrink):
    """y = 0 where |a| <= threshold, a elsewhere: hard thresholding; y' = 0 or 1 (Donoho and Johnstone 1994).

    Parameters
    ----------
    threshold : float
        0 or more; PyTorch's lambd.

    Examples
    --------
    >>> Hardshrink().function(np.array([-2.0, 0.5, 0.75]))
    array([-2.  ,  0.  ,  0.75])
    """

    derivative_formula = "0 if abs(a) <= threshold else 1"

    def function(self, a: Array) -> Array:
        """Return 0 where |a| <= threshold, else a."""
        return np.where(np.abs(a) <= self.threshold, a.dtype.type(0), a)


class Softshrink(_Shrink):
    """y = sign(a) max(|a| - threshold, 0): soft thresholding; y' = 0 or 1 (Donoho and Johnstone 1994).

    A step of sparse coding: what minimizes (y - a)^2 / 2 + threshold |y|.

    Parameters
    ----------
    threshold : float
        0 or more; PyTorch's lambd.

    Examples
    --------
    >>> Softshrink().function(np.array([-2.0, 0.5, 0.75]))
    array([-1.5 ,  0.  ,  0.25])
    """

    derivative_formula = "0 if abs(a) <= threshold else 1"

    def function(self, a: Array) -> Array:
        """Return a - a clipped to ±threshold."""
        y: Array = a - np.clip(a, -self.threshold, self.threshold)
        return y
