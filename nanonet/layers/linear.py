"""Linear: the fully connected layer, y = x Wᵀ + b."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Patterns, read_only
from nanonet.core.checks import positive_int
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.initializers import GlorotUniform, Zeros

LARGE = 2**24  # multiplications that are worth sharing: more than 0.1 ms
FEWEST = 256  # rows of a piece; with fewer, BLAS prepares b too often
WIDE = 32  # features from which the products are faster if a batch lies feature after feature in memory


class Linear(Layer):
    """y = x Wᵀ + b, on the last axis of x.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of x and of y.
    weight : Initializer or array
        Initial W, shape (out_features, in_features). W[j, i] is the weight from input i to output j.
    bias : Initializer, array or bool
        Initial b, shape (out_features,); True: zeros; False: no bias.

    Raises
    ------
    ShapeError
        If an initial array has another shape.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> layer = Linear(2, 3)
    >>> model = Sequential(layer, rng=0)
    >>> layer.weight.value.shape, layer.bias.value.shape, model([[1, 2]]).shape
    ((3, 2), (3,), (1, 3))
    """

    mixes_samples = False

    def __init__(
        self, in_features: int, out_features: int, *, weight: Init = GlorotUniform(), bias: Init | bool = True
    ) -> None:
        self.in_features = positive_int(in_features, "Linear", "in_features")
        self.out_features = positive_int(out_features, "Linear", "out_features")
        self.input_shape = (..., self.in_features)
        label = f"{type(self).__name__}({self.in_features}, {self.out_features})"
        self.weight = Parameter((self.out_features, self.in_features), weight, label=f"{label}.weight")
        self.bias: Parameter | None = None
        if bias is not False:
            self.bias = Parameter(self.out_features, Zeros() if bias is True else bias, label=f"{label}.bias")

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return y = x Wᵀ + b, and x for the backward pass."""
        y = _product(x, self.weight.value.T)
        if self.bias is not None:
            bias = self.bias.value
            y += bias if len(y) > 1 else bias[None]  # of equal shapes, which takes a third of the time
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features), x

    def backward(self, grad: Array, cache: Array) -> Array:
        """Assign dE/dW = gᵀ x and dE/db = Σ g, both over the batch; return dE/dx = g W."""
        self._assign(grad, cache)
        dx = _product(grad, self.weight.value)
        return dx if cache.ndim == 2 else dx.reshape(cache.shape)

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        """Assign dE/dW and dE/db only, without the product for dE/dx."""
        self._assign(grad, cache)

    def _assign(self, grad: Array, x: Array) -> None:
        g = _rows(grad)
        if sharing:
            product(g.T, _rows(x), self.weight.grad)
        else:
            g.T.dot(_rows(x), out=self.weight.grad)
        if self.bias is not None:
            _ones(len(g), g.dtype).dot(g, out=self.bias.grad)

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return the input's shape with out_features as its last axis."""
        both: Any = input_pattern(self, input_shape)
        return *both[:-1], self.out_features


def _product(x: Array, w: Array) -> Array:
    """Return the rows of x times w; if it is wide, feature after feature in memory: all three products are fast.

    Sequences are not turned: their norms, and the sums of a residual layer, would have to turn them back.
    """
    if x.ndim != 2 or w.shape[1] < WIDE:
        rows = _rows(x) if x.ndim != 2 else x
        return product(rows, w) if sharing else rows.dot(w)
    turned: Array = product(w.T, x.T) if sharing else w.T.dot(x.T)
    return turned.T


sharing: dict[int, Callable[[Callable[[slice], Any], list[slice]], object]] = {}
"""For each thread whose large products others share, by id: the function that runs their pieces."""


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """Return a b; a large one in pieces, which the ``workers`` of the trainer share whose step it is in.

    The pieces are rows of a, and their number follows from the sizes alone.
    """
    share = sharing.get(threading.get_ident()) if a.size * b.shape[1] >= LARGE else None
    pieces = min(8, len(a) // FEWEST)
    if share is None or pieces < 2:
        return a.dot(b) if out is None else a.dot(b, out=out)
    whole = np.empty((len(a), b.shape[1]), a.dtype) if out is None else out
    height = -(-len(a) // pieces)
    rows = [slice(start, start + height) for start in range(0, len(a), height)]
    share(lambda piece: np.matmul(a[piece], b, out=whole[piece]), rows)  # dot would copy rows of a transposed array
    return whole


@lru_cache(maxsize=16)
def _ones(rows: int, dtype: np.dtype[Any]) -> Array:
    """Return ones to sum rows with: the BLAS product 1ᵀ g is two to three times as fast as ``sum``."""
    return read_only(np.ones(rows, dtype))


def _rows(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return x as a matrix: a product with more axes would not use BLAS."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
