"""GELU, exact and approximate, with the derivative of each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.layer import Activation
from nanonet.layers.erf import END, normal_tail

BLOCK = 16384  # numbers that stay in the cache with a few intermediate results


class GELU(Activation):
    """y = a Φ(a), y' = Φ(a) + a φ(a), with the standard normal Φ and φ (Hendrycks and Gimpel 2016).

    Φ(a) = (1 + erf(a/√2)) / 2 and φ(a) = exp(-a²/2) / √(2π), computed without the cancellation of 1 + erf at negative
    a.

    Parameters
    ----------
    approximate : bool
        True: y = a/2 (1 + tanh u), u = √(2/π) (a + 0.044715 a³), PyTorch's ``GELU(approximate="tanh")``; the error
        is below 0.0005.

    Examples
    --------
    >>> GELU().function(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158655,  0.      ,  0.841345])
    >>> GELU(approximate=True).function(np.array([-1.0, 0.0, 1.0])).round(6)
    array([-0.158808,  0.      ,  0.841192])
    """

    cubic = 0.044715
    root = math.sqrt(2 / math.pi)
    pi = math.pi

    def __init__(self, *, approximate: bool = False) -> None:
        if not isinstance(approximate, (bool, np.bool_)):
            hint = "; PyTorch's 'tanh' is True, its 'none' is False" if isinstance(approximate, str) else ""
            raise TypeError(f"GELU: expected approximate as True or False, got {approximate!r}{hint}")
        self.approximate = bool(approximate)

    @property
    def derivative_formula(self) -> str:  # it depends on approximate
        """f'(a) for the exact or the approximate form."""
        if self.approximate:
            return (
                "u = root * (a + cubic * a**3); h = tanh(u); "
                "(1 + h) / 2 + a / 2 * (1 - h**2) * root * (1 + 3 * cubic * a**2)"
            )
        return "p = erfc(-a / sqrt(2)) / 2; p + a * exp(-a**2 / 2) / sqrt(2 * pi)"

    def function(self, a: Array) -> Array:
        """Return a Φ(a), or a/2 (1 + tanh u)."""
        return _in_blocks(self._by_tanh if self.approximate else self._exact, a)

    def derivative(self, a: Array, y: Array) -> Array:
        """Return Φ(a) + a φ(a), or (1 + tanh u)/2 + a/2 (1 - tanh(u)^2) u'."""
        return _in_blocks(self._slope_by_tanh if self.approximate else self._exact_slope, a, y)

    @staticmethod
    def _exact(a: Array) -> Array:
        """Return max(a, 0) - |a| Φ(-|a|), which is a Φ(a) without cancellation on either side of 0."""
        z = np.minimum(np.abs(a), END[a.dtype])
        tail = normal_tail(z)
        tail *= z
        y: Array = np.maximum(a, 0)
        y -= tail
        return y

    def _exact_slope(self, a: Array, y: Array) -> Array:
        near = np.clip(a, -END[a.dtype], END[a.dtype])  # beyond which φ is 0
        slope: Array = near * near
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= near
        slope *= self.root / 2  # 1 / √(2π)
        share = np.full_like(a, 0.5)  # Φ(a) = y / a, and 1/2 where a is 0 or so small that y has lost digits
        slope += np.divide(y, a, out=share, where=np.abs(a) > 1e-30)
        return slope

    def _by_tanh(self, a: Array) -> Array:
        y = self._tanh(self._near(a))
        y += 1
        y *= 0.5
        y *= a
        return y

    def _slope_by_tanh(self, a: Array, y: Array) -> Array:
        a = self._near(a)
        t = self._tanh(a)
        slope: Array = a * a
        slope *= 3 * self.cubic * self.root
        slope += self.root
        slope *= a
        slope *= 1 - t * t
        slope += t
        slope += 1
        slope *= 0.5
        return slope

    @staticmethod
    def _near(a: Array) -> Array:
        """Return a clipped to ±30, beyond which tanh u is ±1."""
        return np.clip(a, -30, 30)

    def _tanh(self, a: Array) -> Array:
        """Return tanh u."""
        u: Array = a * a
        u *= self.cubic * self.root
        u += self.root
        u *= a
        return np.tanh(u, out=u)


def _in_blocks(function: Callable[..., Array], *arrays: Array) -> Array:
    """Return function(*arrays), which works entry by entry, computed block by block; what underflows is 0.

    Where a function has many intermediate results, this halves the time of arrays that are larger than the cache.
    """
    shape, size = arrays[0].shape, arrays[0].size
    with np.errstate(under="ignore"):
        if size <= BLOCK:
            return function(*arrays)
        flat = [array.reshape(-1) for array in arrays]
        y = np.empty(size, arrays[0].dtype)
        for start in range(0, size, BLOCK):
            block = slice(start, start + BLOCK)
            y[block] = function(*(array[block] for array in flat))
    return y.reshape(shape)
