"""PositionalEncoding: tells attention, which knows no order by itself, where in the sequence each vector stands."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Patterns, read_only
from nanonet.core.checks import positive_int
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.initializers import Normal

PERIOD = 10000.0  # the longest wave has 2π times this length


class PositionalEncoding(Layer):
    """yₜ = xₜ + pₜ for x of shape (N, T, embed_dim), with waves as p, or a table that is learned.

    The waves are p[t, 2i] = sin(t / 10000^(2i / embed_dim)) and p[t, 2i+1] = cos of the same (Vaswani et al. 2017,
    section 3.5).

    Parameters
    ----------
    embed_dim : int
    max_length : int, optional
        The longest sequence; default: any, which only the waves allow.
    learned : bool, Initializer or array
        Whether p is a parameter ``weight`` of shape (max_length, embed_dim), with initial values of its own; True:
        Normal(0.02).

    Raises
    ------
    ValueError
        If a table is to be learned and there is no max_length.
    ShapeError
        If a sequence is longer than max_length.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import PositionalEncoding, Sequential
    >>> Sequential(PositionalEncoding(4))(np.zeros((1, 2, 4))).round(3)
    array([[[0.   , 1.   , 0.   , 1.   ],
            [0.841, 0.54 , 0.01 , 1.   ]]], dtype=float32)
    """

    mixes_samples = False

    def __init__(self, embed_dim: int, max_length: int | None = None, *, learned: bool | Init = False) -> None:
        name = type(self).__name__
        self.embed_dim = positive_int(embed_dim, name, "embed_dim")
        self.max_length = None if max_length is None else positive_int(max_length, name, "max_length")
        self.input_shape = (None, self.embed_dim)
        self.weight: Parameter | None = None
        if learned is not False:
            if self.max_length is None:
                raise ValueError(f"{name}: expected max_length, the rows of the table to learn, got None")
            table = Normal(0.02) if learned is True else learned
            self.weight = Parameter((self.max_length, self.embed_dim), table, label=f"{name}.weight")

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        """Return x + p; there is nothing to keep."""
        length = x.shape[1]
        return x + (waves(length, self.embed_dim, x.dtype) if self.weight is None else self.weight.value[:length]), None

    def backward(self, grad: Array, cache: None) -> Array:
        """Assign dE/dweight, the sum over the batch, and 0 after the end of the sequences; return grad."""
        self._assign(grad)
        return grad

    def backward_parameters(self, grad: Array, cache: None) -> None:
        """Assign dE/dweight only."""
        self._assign(grad)

    def _assign(self, grad: Array) -> None:
        if self.weight is not None:
            length = grad.shape[1]
            self.weight.grad[:length] = grad.sum(axis=0)
            self.weight.grad[length:] = 0

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return the input's shape."""
        both: Any = input_pattern(self, input_shape)
        length = both[0]
        if self.max_length is not None and length is not None and length > self.max_length:
            raise ShapeError(f"{self}: expected sequences of at most {self.max_length}, got {length}")
        return both


@lru_cache(maxsize=16)
def waves(length: int, features: int, dtype: np.dtype[Any]) -> Array:
    """Return sin(t / 10000^(2i / features)) in the columns 2i, and the cosine in 2i + 1."""
    rates = np.exp(-math.log(PERIOD) / features * np.arange(0, features, 2))
    angles = np.arange(length)[:, None] * rates
    table = np.empty((length, features), dtype)
    table[:, ::2], table[:, 1::2] = np.sin(angles), np.cos(angles[:, : features // 2])
    return read_only(table)
