"""LayerNorm, RMSNorm: normalize over the last axes, each sample on its own; and what all norms share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_shape, finite_number, true_or_false
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Parameter
from nanonet.layers.initializers import Constant, Zeros

BLOCK = 32768  # numbers that stay in the cache, with two or three intermediate results


class LayerNorm(Layer):
    """y = (x - μ) / √(σ² + eps) · weight + bias; μ, σ²: mean, variance over the last axes (Ba et al. 2016, eq. 4).

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which the mean and the variance are taken. x has any number of axes before them.
    eps : float
        Keeps the divisor from 0.
    elementwise_affine : bool
        If False, there is neither ``weight`` nor ``bias``.
    bias : bool
        If False, there is no ``bias``.

    Examples
    --------
    >>> from nanonet import LayerNorm, Sequential
    >>> Sequential(LayerNorm(3))([[1.0, 2.0, 3.0]]).round(3)
    array([[-1.225,  0.   ,  1.225]], dtype=float32)
    """

    mixes_samples = False
    output_shape = input_pattern

    def __init__(
        self, normalized_shape: int | Shape, eps: float = 1e-5, *, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        self.normalized_shape = _last_axes(normalized_shape, "LayerNorm")
        self.eps = finite_number(eps, "LayerNorm", "eps", low=0)
        self.input_shape = (..., *self.normalized_shape)
        affine = true_or_false(elementwise_affine, "LayerNorm", "elementwise_affine")
        shifted = true_or_false(bias, "LayerNorm", "bias") and affine
        self.weight = Parameter(self.normalized_shape, Constant(1.0)) if affine else None
        self.bias = Parameter(self.normalized_shape, Zeros()) if shifted else None

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x, the mean, and 1 / √(σ² + eps)."""
        return _rows_forward(x, math.prod(self.normalized_shape), self.weight, self.bias, self.eps, centred=True)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z and dE/dbias = Σ g, z = (x - μ) / σ; return dE/dx.

        With h = g weight it is (h - mean(h) - z mean(h z)) / σ, the means over what is normalized together.
        """
        return _rows_backward(grad, cache, self.weight, self.bias)


class RMSNorm(Layer):
    """y = x / √(mean(x²) + eps) · weight, the mean over the last axes (Zhang and Sennrich 2019, eq. 4).

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which the mean is taken. x has any number of axes before them.
    eps : float, optional
        Keeps the divisor from 0; default: the machine epsilon of x's dtype.
    elementwise_affine : bool
        If False, there is no ``weight``.

    Examples
    --------
    >>> from nanonet import RMSNorm, Sequential
    >>> Sequential(RMSNorm(2))([[3.0, 4.0]]).round(3)
    array([[0.849, 1.131]], dtype=float32)
    """

    mixes_samples = False
    output_shape = input_pattern

    def __init__(
        self, normalized_shape: int | Shape, eps: float | None = None, *, elementwise_affine: bool = True
    ) -> None:
        self.normalized_shape = _last_axes(normalized_shape, "RMSNorm")
        self.eps = None if eps is None else finite_number(eps, "RMSNorm", "eps", low=0)
        self.input_shape = (..., *self.normalized_shape)
        affine = true_or_false(elementwise_affine, "RMSNorm", "elementwise_affine")
        self.weight = Parameter(self.normalized_shape, Constant(1.0)) if affine else None

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x and 1 / √(mean(x²) + eps)."""
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return _rows_forward(x, math.prod(self.normalized_shape), self.weight, None, eps, centred=False)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z; return dE/dx = (h - z mean(h z)) / r: the divisor r, z = x / r, h = g weight."""
        return _rows_backward(grad, cache, self.weight, None)


# ---- parameters and shapes


def affine_parameters(features: int, affine: bool) -> tuple[Parameter | None, Parameter | None]:
    """Return the weight and the bias of a norm, one number for each feature; None without them."""
    if not affine:
        return None, None
    return Parameter(features, Constant(1.0)), Parameter(features, Zeros())


def _last_axes(shape: object, subject: str) -> Shape:
    axes = as_shape(shape, f"{subject}: normalized_shape")
    if not axes:
        raise ValueError(f"{subject}: expected normalized_shape of at least one axis, got ()")
    return axes


# ---- computation, in blocks that stay in the cache


def blocks(rows: int, length: int) -> Iterator[slice]:
    """Yield slices of so many rows that a block is about BLOCK numbers."""
    step = max(1, BLOCK // max(length, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def room_for_block(rows: int, length: int, dtype: npt.DTypeLike) -> Array:
    """Return an uninitialized array of the size of a block of so many rows."""
    return np.empty((min(rows, max(1, BLOCK // max(length, 1))), length), dtype)


def tiled(row: Array, rows: int) -> Array:
    """Return a row repeated for each row of a block: NumPy computes with two whole arrays twice as fast."""
    row = row.reshape(1, -1)
    step = max(1, BLOCK // row.size)
    return np.repeat(row, step, axis=0) if rows > step else row


def _rows_forward(
    x: Array, size: int, weight: Parameter | None, bias: Parameter | None, eps: float, *, centred: bool
) -> tuple[Array, Any]:
    """Return y and the cache of LayerNorm, or of RMSNorm if not centred, for rows of so many numbers."""
    rows = x.reshape(-1, size)
    y, rate, mean = np.empty(rows.shape, x.dtype), np.empty((len(rows), 1), x.dtype), None
    share, scale, shift = np.full((size, 1), 1 / size, x.dtype), _tiles(weight, len(rows)), _tiles(bias, len(rows))
    if centred:
        mean = np.empty_like(rate)
    for block in blocks(*rows.shape):
        z, r = y[block], rate[block]
        if mean is not None:
            np.dot(rows[block], share, out=mean[block])
            np.subtract(rows[block], mean[block], out=z)
        squares = z if centred else rows[block]
        np.vecdot(squares, squares, out=r[:, 0])
        to_rate(r, size, eps)
        np.multiply(squares, r, out=z)
        if scale is not None:
            z *= scale[: len(z)]
        if shift is not None:
            z += shift[: len(z)]
    return y.reshape(x.shape), (rows, mean, rate)


def _rows_backward(grad: Array, cache: Any, weight: Parameter | None, bias: Parameter | None) -> Array:
    """Assign both gradients and return dE/dx."""
    rows, mean, rate = cache
    size = rows.shape[1]
    g, dx = grad.reshape(rows.shape), np.empty(rows.shape, grad.dtype)
    whole = room_for_block(len(rows), size, grad.dtype)
    row = np.ones(size, g.dtype) if weight is None else weight.value.reshape(-1)
    scale, share, ones = _tiles(weight, len(g)), row / size, np.ones(len(g), g.dtype)
    dw, db = np.zeros(size, g.dtype), np.zeros(size, g.dtype)
    for block in blocks(*rows.shape):
        part, d, r = g[block], dx[block], rate[block]
        room = whole[: len(part)]
        c = rows[block] if mean is None else np.subtract(rows[block], mean[block], out=room)
        np.multiply(part, c, out=d)
        slope = d.dot(share)[:, None]
        slope *= r
        slope *= r
        if weight is not None:
            dw += r[:, 0].dot(d)
        if bias is not None:
            db += ones[block].dot(part)
        c = np.multiply(c, slope, out=room)
        if mean is not None:
            c += part.dot(share)[:, None]
        if scale is None:
            np.subtract(part, c, out=d)
        else:
            np.multiply(part, scale[: len(part)], out=d)
            d -= c
        d *= r
    if weight is not None:
        weight.grad = dw.reshape(weight.shape)
    if bias is not None:
        bias.grad = db.reshape(bias.shape)
    return dx.reshape(grad.shape)


def to_rate(squares: Array, size: int, eps: float) -> None:
    """Turn sums of squares of so many numbers into 1 / √(mean + eps), in place."""
    squares /= size
    squares += eps
    np.sqrt(squares, out=squares)
    np.reciprocal(squares, out=squares)


def _tiles(parameter: Parameter | None, rows: int) -> Array | None:
    return None if parameter is None else tiled(parameter.value, rows)
