"""Dropout, Dropout2d, GaussianNoise: randomness in training, as regularization."""

from __future__ import annotations

from abc import abstractmethod

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import finite_number
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Random


class _Masked(Layer):
    """y = x m / (1 - rate) in training, m 0 with probability rate, else 1; in inference y = x."""

    mixes_samples = False
    output_shape = input_pattern

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = finite_number(rate, type(self).__name__, "rate", low=0, high=1, open_high=True)
        self.random = Random()

    @abstractmethod
    def _drawn(self, shape: Shape) -> Shape:
        """Return the shape of the numbers to draw for x of a shape."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array | None]:
        """Return x times a newly drawn mask, and the mask; in inference a copy of x."""
        if not training or self.rate == 0:
            return x.copy(), None
        kept = self.random.generator.random(self._drawn(x.shape), dtype=x.dtype) >= self.rate
        mask = kept.astype(x.dtype) / x.dtype.type(1 - self.rate)
        return x * mask, mask

    def backward(self, grad: Array, cache: Array | None) -> Array:
        """Return grad times the same mask."""
        return grad.copy() if cache is None else grad * cache


class Dropout(_Masked):
    """y = x m / (1 - rate), m 0 with probability rate, else 1; in inference y = x (Srivastava et al. 2014, inverted).

    Parameters
    ----------
    rate : float
        The probability that an entry is dropped, 0 or more and below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Dropout, Sequential
    >>> model = Sequential(Dropout(0.5), rng=0)
    >>> model([[1.0, 2.0]])
    array([[1., 2.]], dtype=float32)
    >>> y, _ = model.forward(np.ones((1, 8)), training=True)
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    input_shape = (...,)

    def _drawn(self, shape: Shape) -> Shape:
        return shape


class Dropout2d(_Masked):
    """y = x m / (1 - rate), m 0 with probability rate, else 1, the same for a whole channel (Tompson et al. 2015).

    Neighbouring pixels are alike, so that one that is dropped alone is hardly missing. In inference y = x.

    Parameters
    ----------
    rate : float
        The probability that a channel of a sample is dropped, 0 or more and below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Dropout2d, Sequential
    >>> y, _ = Sequential(Dropout2d(0.5), rng=0).forward(np.ones((1, 4, 2, 2), np.float32), training=True)
    >>> sorted(set(y.sum(axis=(2, 3)).ravel().tolist()))
    [0.0, 8.0]
    """

    input_shape = (None, None, None)

    def _drawn(self, shape: Shape) -> Shape:
        return *shape[:2], 1, 1


class GaussianNoise(Layer):
    """y = x + std ε in training, ε normal and newly drawn for each number (Bishop 1995); in inference y = x.

    Parameters
    ----------
    std : float
        The standard deviation of the noise, 0 or more.

    Examples
    --------
    >>> from nanonet import GaussianNoise, Sequential
    >>> Sequential(GaussianNoise(0.1))([[1.0, 2.0]])
    array([[1., 2.]], dtype=float32)
    """

    mixes_samples = False
    output_shape = input_pattern
    input_shape = (...,)

    def __init__(self, std: float) -> None:
        self.std = finite_number(std, "GaussianNoise", "std", low=0)
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        """Return x with noise; in inference a copy of x."""
        if not training or self.std == 0:
            return x.copy(), None
        y = self.random.generator.standard_normal(x.shape, dtype=x.dtype)
        y *= self.std
        y += x
        return y, None

    def backward(self, grad: Array, cache: None) -> Array:
        """Return grad, since y - x does not depend on x."""
        return grad.copy()
