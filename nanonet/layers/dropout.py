"""Dropout: random zeros in training, as regularization."""

from __future__ import annotations

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import finite_number
from nanonet.core.layer import Layer
from nanonet.core.parameter import Random


class Dropout(Layer):
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

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = finite_number(rate, "Dropout", "rate", low=0, high=1, open_high=True)
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array | None]:
        """Return x times a newly drawn mask, and the mask; in inference a copy of x."""
        if not training or self.rate == 0:
            return x.copy(), None
        kept = self.random.generator.random(x.shape, dtype=x.dtype) >= self.rate
        mask = kept.astype(x.dtype) / x.dtype.type(1 - self.rate)
        return x * mask, mask

    def backward(self, grad: Array, cache: Array | None) -> Array:
        """Return grad times the same mask."""
        return grad.copy() if cache is None else grad * cache

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape
