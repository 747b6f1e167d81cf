"""GELU, exact and approximate, with the derivative of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.layers.activations import Activation
from nanonet.layers.erf import END, tail_and_peak

BLOCK = 32768  # numbers that stay in the cache with a few intermediate results


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

    mixes_samples = False
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
        (y,) = _in_blocks(self._value_by_tanh if self.approximate else self._value, 1, a)
        return y

    def derivative(self, a: Array, y: Array) -> Array:
        """Return Φ(a) + a φ(a), or (1 + tanh u)/2 + a/2 (1 - tanh(u)^2) u'."""
        (slope,) = _in_blocks(self._slope_by_tanh if self.approximate else self._slope, 1, a, y)
        return slope

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y = f(x), and the cache: in training the derivative, which shares most of its computation with y."""
        if not training:
            return super().forward(x)
        y, slope = _in_blocks(self._both_by_tanh if self.approximate else self._both, 2, x)
        return y, slope

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return dE/da = dE/dy * f'(a)."""
        return super().backward(grad, cache) if isinstance(cache, tuple) else grad * cache

    # ---- exact; results go into the last arguments

    def _value(self, a: Array, y: Array) -> None:
        """Store a Φ(a) in y."""
        self._parts(a, y, np.empty_like(y))

    def _slope(self, a: Array, y: Array, slope: Array) -> None:
        """Store Φ(a) + a φ(a) in slope."""
        near = np.clip(a, -END[a.dtype], END[a.dtype])  # beyond which φ is 0
        np.multiply(near, near, out=slope)
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= near
        slope *= self.root / 2  # 1 / √(2π)
        share = np.full_like(a, 0.5)  # Φ(a) = y / a, and 1/2 where a is 0 or so small that y has lost digits
        slope += np.divide(y, a, out=share, where=np.abs(a) > 1e-30)

    def _both(self, a: Array, y: Array, slope: Array) -> None:
        """Store the same as _value and _slope."""
        share, peak = self._parts(a, y, slope)
        peak *= self.root / 2
        slope *= peak
        slope += share

    @staticmethod
    def _parts(a: Array, y: Array, near: Array) -> tuple[Array, Array]:
        """Store a Φ(a) in y, and in near a clipped to where φ is not 0; return Φ(a) and exp(-a²/2).

        Φ(a) is the tail Φ(-|a|) where a < 0, and 1 minus it elsewhere: no cancellation on either side.
        """
        end = END[a.dtype]
        np.maximum(a, -end, out=y)
        np.minimum(y, end, out=near)
        tail, peak = tail_and_peak(np.abs(near))
        share = (a > 0).astype(a.dtype)
        share -= tail
        np.abs(share, out=share)
        y *= share
        return share, peak

    # ---- by tanh

    def _value_by_tanh(self, a: Array, y: Array) -> None:
        near = self._near(a)
        np.multiply(near, near, out=y)
        self._to_tanh(near, y)
        y += 1
        y *= 0.5
        y *= a

    def _slope_by_tanh(self, a: Array, y: Array, slope: Array) -> None:
        self._both_by_tanh(a, np.empty_like(y), slope)

    def _both_by_tanh(self, a: Array, y: Array, slope: Array) -> None:
        near = self._near(a)
        np.multiply(near, near, out=y)
        np.multiply(y, 3 * self.cubic * self.root, out=slope)
        slope += self.root
        slope *= near
        self._to_tanh(near, y)
        flat = y * y
        np.subtract(1, flat, out=flat)
        slope *= flat  # a u' (1 - tanh(u)²)
        y += 1
        slope += y
        slope *= 0.5
        y *= 0.5
        y *= a

    @staticmethod
    def _near(a: Array) -> Array:
        """Return a clipped to ±30, beyond which tanh u is ±1."""
        return np.clip(a, -30, 30)

    def _to_tanh(self, a: Array, square: Array) -> None:
        """Turn a² into tanh u."""
        square *= self.cubic * self.root
        square += self.root
        square *= a
        np.tanh(square, out=square)


def _in_blocks(function: Callable[..., None], outputs: int, *arrays: Array) -> tuple[Array, ...]:
    """Return the outputs of function(*arrays, *outputs), computed block by block; what underflows is 0.

    The function works entry by entry. Where it has many intermediate results, this halves the time of arrays that are
    larger than the cache.
    """
    shape, size = arrays[0].shape, arrays[0].size
    results = tuple(np.empty(size, arrays[0].dtype) for _ in range(outputs))
    flat = [array.reshape(-1) for array in (*arrays, *results)]
    with np.errstate(under="ignore"):
        for start in range(0, size, BLOCK):
            function(*(array[start : start + BLOCK] for array in flat))
    return tuple(result.reshape(shape) for result in results)
