"""Clip: the identity between two bounds, with ReLU6 and Hardtanh, which are such."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.layers.activations import Activation


class Clip(Activation):
    """y = min(max(a, low), high); y' = 1 where low < a < high and 0 elsewhere, at the bounds too.

    That is PyTorch's Hardtanh; ``torch.clamp`` has slope 1 at its bounds. NaN stays NaN.

    Parameters
    ----------
    low, high : float or None
        low <= high; None or an infinity: no bound on that side.

    Examples
    --------
    >>> Clip(0, 6).function(np.array([-2.0, 3.0, 7.0]))
    array([0., 3., 6.])
    """

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low = _bound(low, "low", -math.inf)
        self.high = _bound(high, "high", math.inf)
        if self.low == -math.inf and self.high == math.inf:
            raise ValueError("Clip: expected at least one bound, got none; for y = a write Identity()")
        if self.low > self.high:
            raise ValueError(f"Clip: expected low <= high, got {low} and {high}")

    @property
    def derivative_formula(self) -> str:  # it depends on which bounds are set
        """f'(a) for the bounds that are set."""
        if self.high == math.inf:
            return "1 if a > low else 0"
        return "1 if a < high else 0" if self.low == -math.inf else "(1 if a < high else 0) if a > low else 0"

    def function(self, a: Array) -> Array:
        """Return min(max(a, low), high)."""
        y: Array = np.clip(a, *self._bounds(a.dtype))
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return 1 where low < a < high, else 0."""
        low, high = self._bounds(a.dtype)
        inside: Array = ((a > low) & (a < high)).astype(a.dtype)
        return inside

    def _bounds(self, dtype: np.dtype[Any]) -> Any:
        """Return both bounds in a dtype; a bound beyond its range becomes infinite."""
        with np.errstate(over="ignore"):
            return np.array([self.low, self.high]).astype(dtype)


def _bound(value: float | None, name: str, none: float) -> float:
    if value is None or (isinstance(value, (float, np.floating)) and value == none):
        return none
    return finite_number(value, "Clip", name)


def ReLU6() -> Clip:
    """Return Clip(0.0, 6.0), called ReLU6 in PyTorch and Keras.

    Returns
    -------
    Clip

    Examples
    --------
    >>> ReLU6()
    Clip(0.0, 6.0)
    """
    return Clip(0.0, 6.0)


def Hardtanh(low: float = -1.0, high: float = 1.0) -> Clip:
    """Return Clip(low, high), with the name and default bounds of PyTorch's.

    Parameters
    ----------
    low, high : float
        Bounds of y.

    Returns
    -------
    Clip

    Examples
    --------
    >>> Hardtanh()
    Clip(-1.0, 1.0)
    """
    return Clip(low, high)
