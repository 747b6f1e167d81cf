"""LayerNorm, RMSNorm, GroupNorm, InstanceNorm: each sample is normalized on its own, in training as in inference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Pattern, Shape
from nanonet.core.checks import agreed, as_shape, finite_number, is_open, positive_int
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.core.parameter import Parameter
from nanonet.layers.initializers import Constant, Zeros

BLOCK = 65536  # numbers that stay in the cache, with two or three intermediate results


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

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return _same_shape(self, input_shape)


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

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return _same_shape(self, input_shape)


class GroupNorm(Layer):
    """y = (x - μ) / √(σ² + eps) · weight + bias; μ, σ²: mean, variance of a group of channels (Wu and He 2018, eq. 7).

    x has shape (N, C, ...); each of the groups of C / num_groups consecutive channels is normalized, with all further
    axes, and each channel has its own weight and bias.

    Parameters
    ----------
    num_groups, num_channels : int
        num_channels must be a multiple of num_groups.
    eps : float
        Keeps the divisor from 0.
    affine : bool
        If False, there is neither ``weight`` nor ``bias``.

    Examples
    --------
    >>> from nanonet import GroupNorm, Sequential
    >>> Sequential(GroupNorm(2, 4))([[1.0, 3.0, 10.0, 50.0]]).round(3)
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, *, affine: bool = True) -> None:
        self.num_groups = positive_int(num_groups, "GroupNorm", "num_groups")
        self.num_channels = positive_int(num_channels, "GroupNorm", "num_channels")
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: expected num_channels to be a multiple of num_groups, got {num_channels} channels "
                f"in {num_groups} groups"
            )
        self.eps = finite_number(eps, "GroupNorm", "eps", low=0)
        self.weight, self.bias = affine_parameters(num_channels, true_or_false(affine, "GroupNorm", "affine"))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x, and the mean and 1 / √(σ² + eps) of each group."""
        return _groups_forward(x, self.num_groups, self.weight, self.bias, self.eps)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z and dE/dbias = Σ g, z = (x - μ) / σ; return dE/dx.

        With h = g weight it is (h - mean(h) - z mean(h z)) / σ, the means over what is normalized together.
        """
        return _groups_backward(grad, cache, self.weight, self.bias)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return channels_first(self, input_shape, self.num_channels)


class InstanceNorm(Layer):
    """y = (x - μ) / √(σ² + eps) · weight + bias, μ and σ² of each channel of each sample (Ulyanov et al. 2016).

    x has shape (N, C, L) for sequences or (N, C, H, W) for images; PyTorch's InstanceNorm1d and InstanceNorm2d. There
    are no running statistics.

    Parameters
    ----------
    num_features : int
        The number of channels C.
    eps : float
        Keeps the divisor from 0.
    affine : bool
        If True, each channel has a ``weight`` and a ``bias``.

    Examples
    --------
    >>> from nanonet import InstanceNorm, Sequential
    >>> Sequential(InstanceNorm(2))([[[1.0, 3.0], [10.0, 50.0]]]).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        self.num_features = positive_int(num_features, "InstanceNorm", "num_features")
        self.eps = finite_number(eps, "InstanceNorm", "eps", low=0)
        self.weight, self.bias = affine_parameters(num_features, true_or_false(affine, "InstanceNorm", "affine"))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x, and the mean and 1 / √(σ² + eps) of each channel."""
        return _groups_forward(x, self.num_features, self.weight, self.bias, self.eps)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z and dE/dbias = Σ g, z = (x - μ) / σ; return dE/dx.

        With h = g weight it is (h - mean(h) - z mean(h z)) / σ, the means over what is normalized together.
        """
        return _groups_backward(grad, cache, self.weight, self.bias)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape; there must be more than one number in each channel."""
        shape = channels_first(self, input_shape, self.num_features, further=1)
        if shape[1:] and all(length == 1 for length in shape[1:]):
            raise ShapeError(f"{self}: expected more than one number in each channel, got {shape_text(shape)}")
        return shape


# ---- arguments and shapes, also of BatchNorm


def true_or_false(value: object, subject: str, name: str) -> bool:
    """Return value as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{subject}: expected {name} as True or False, got {value!r:.60}")
    return bool(value)


def affine_parameters(features: int, affine: bool) -> tuple[Parameter | None, Parameter | None]:
    """Return weight and bias, one number for each feature; None without them."""
    if not affine:
        return None, None
    return Parameter((features,), Constant(1.0)), Parameter((features,), Zeros())


def channels_first(layer: Layer, shape: Pattern, channels: int, further: int = 0) -> Shape:
    """Return the shape of a sample of so many channels and at least so many further axes, or raise ShapeError."""
    if is_open(shape):  # which axis is the first is not known
        return shape  # type: ignore[return-value]  # a pattern if it got one
    if len(shape) <= further or shape[0] not in (channels, None):
        least = f"(batch, {', '.join([str(channels), *['?'] * further])}"
        raise ShapeError(f"{layer}: expected input of shape {least}) or {least}, ...), got {shape_text(shape)}")
    return channels, *shape[1:]  # type: ignore[arg-type]


def _last_axes(shape: object, subject: str) -> Shape:
    axes = as_shape(shape, f"{subject}: normalized_shape")
    if not axes:
        raise ValueError(f"{subject}: expected normalized_shape of at least one axis, got ()")
    return axes


def _same_shape(layer: Layer, shape: Pattern) -> Shape:
    assert layer.input_shape is not None
    both = agreed(layer.input_shape, shape)
    if both is None:
        raise ShapeError.misfit(layer, expected=layer.input_shape, got=shape)
    return both  # type: ignore[return-value]  # a pattern if it got one


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
        _rate(r, size, eps)
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
    g, dx, whole = (
        grad.reshape(rows.shape),
        np.empty(rows.shape, grad.dtype),
        room_for_block(len(rows), rows.shape[1], grad.dtype),
    )
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


def _rate(squares: Array, size: int, eps: float) -> None:
    """Turn sums of squares of so many numbers into 1 / √(mean + eps), in place."""
    squares /= size
    squares += eps
    np.sqrt(squares, out=squares)
    np.reciprocal(squares, out=squares)


def _tiles(parameter: Parameter | None, rows: int) -> Array | None:
    return None if parameter is None else tiled(parameter.value, rows)


def _groups_forward(
    x: Array, groups: int, weight: Parameter | None, bias: Parameter | None, eps: float
) -> tuple[Array, Any]:
    """Return y and the cache of a norm over groups of channels."""
    samples, channels = x.shape[:2]
    size = math.prod(x.shape[1:]) // groups
    rows = x.reshape(-1, size)
    y, mean, rate = np.empty(rows.shape, x.dtype), *(np.empty((len(rows), 1), x.dtype) for _ in range(2))
    share = np.full((size, 1), 1 / size, x.dtype)
    for block in sample_blocks(samples, groups, size):
        z, r = y[block], rate[block]
        np.dot(rows[block], share, out=mean[block])
        np.subtract(rows[block], mean[block], out=z)
        np.vecdot(z, z, out=r[:, 0])
        _rate(r, size, eps)
        if weight is None or bias is None:
            z *= r
            continue
        z = z.reshape(-1, channels, groups * size // channels)
        z *= _by_channel(r, weight.value, groups)
        z += bias.value[:, None]
    return y.reshape(x.shape), (rows, mean, rate)


def _by_channel(r: Array, weight: Array, groups: int) -> Array:
    """Return the product of a number for each sample and group with one for each channel, (samples, channels, 1)."""
    return (r.reshape(-1, groups, 1) * weight.reshape(groups, -1)).reshape(-1, weight.size, 1)


def _groups_backward(grad: Array, cache: Any, weight: Parameter | None, bias: Parameter | None) -> Array:
    """Assign both gradients and return dE/dx."""
    rows, mean, rate = cache
    (samples, channels), size = grad.shape[:2], rows.shape[1]
    groups = len(rows) // max(samples, 1)
    g, dx = grad.reshape(rows.shape), np.empty(rows.shape, grad.dtype)
    room = room_for_block(samples, groups * size, grad.dtype).reshape(-1, size)
    w = np.ones(channels, g.dtype) if weight is None else weight.value
    dw, db = np.zeros(channels, g.dtype), np.zeros(channels, g.dtype)
    for block in sample_blocks(samples, groups, size):
        part, d, r = g[block], dx[block], rate[block]
        by_channel = (-1, channels, groups * size // channels)
        c = np.subtract(rows[block], mean[block], out=room[: len(part)])
        gc, gs = _sums(part.reshape(by_channel), c.reshape(by_channel))
        z = r.reshape(-1, groups)
        dw += (gc.reshape(*z.shape, -1) * z[:, :, None]).reshape(gc.shape).sum(axis=0)
        db += gs.sum(axis=0)
        slope, level = ((w * sums).reshape(len(r), -1).sum(axis=1, keepdims=True) / size for sums in (gc, gs))
        c *= slope * r * r * r
        c += level * r
        np.multiply(part.reshape(by_channel), _by_channel(r, w, groups), out=d.reshape(by_channel))
        d -= c
    if weight is not None and bias is not None:
        weight.grad, bias.grad = dw, db
    return dx.reshape(grad.shape)


def _sums(g: Array, c: Array) -> tuple[Array, Array]:
    """Return Σ g c and Σ g over the last axis."""
    if g.shape[-1] == 1:
        return (g * c)[..., 0], g[..., 0]
    return np.vecdot(g, c), g.dot(np.ones(g.shape[-1], g.dtype))


def sample_blocks(samples: int, rows: int, length: int) -> Iterator[slice]:
    """Yield slices of rows, so many to a sample, such that no sample is cut and a block is about BLOCK numbers."""
    for block in blocks(samples, rows * length):
        yield slice(block.start * rows, block.stop * rows)
