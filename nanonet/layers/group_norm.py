"""GroupNorm, InstanceNorm: normalize groups of channels, each sample on its own, in training as in inference."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Patterns
from nanonet.core.checks import finite_number, is_open, positive_int, true_or_false
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern
from nanonet.layers.norm import affine_parameters, blocks, room_for_block, to_rate


class _GroupsNorm(Layer):
    """y = (x - μ) / √(σ² + eps) · weight + bias, μ and σ² of each group of consecutive channels of each sample."""

    mixes_samples = False
    output_shape = input_pattern

    @abstractmethod
    def __init__(self, groups: int, channels: int, eps: float, affine: bool) -> None:
        name = type(self).__name__
        self._groups = groups
        self.eps = finite_number(eps, name, "eps", low=0)
        self.weight, self.bias = affine_parameters(channels, true_or_false(affine, name, "affine"))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x, and the mean and 1 / √(σ² + eps) of each group."""
        weight, bias, groups = self.weight, self.bias, self._groups
        samples, channels = x.shape[:2]
        size = math.prod(x.shape[1:]) // groups
        rows = x.reshape(-1, size)
        y, mean, rate = np.empty(rows.shape, x.dtype), *(np.empty((len(rows), 1), x.dtype) for _ in range(2))
        share = np.full((size, 1), 1 / size, x.dtype)
        for block in _sample_blocks(samples, groups, size):
            z, r = y[block], rate[block]
            np.dot(rows[block], share, out=mean[block])
            np.subtract(rows[block], mean[block], out=z)
            np.vecdot(z, z, out=r[:, 0])
            to_rate(r, size, self.eps)
            if weight is None or bias is None:
                z *= r
                continue
            z = z.reshape(-1, channels, groups * size // channels)
            z *= _by_channel(r, weight.value, groups)
            z += bias.value[:, None]
        return y.reshape(x.shape), (rows, mean, rate)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z and dE/dbias = Σ g, z = (x - μ) / σ; return dE/dx.

        With h = g weight it is (h - mean(h) - z mean(h z)) / σ, the means over what is normalized together.
        """
        weight, bias, groups = self.weight, self.bias, self._groups
        rows, mean, rate = cache
        (samples, channels), size = grad.shape[:2], rows.shape[1]
        g, dx = grad.reshape(rows.shape), np.empty(rows.shape, grad.dtype)
        room = room_for_block(samples, groups * size, grad.dtype).reshape(-1, size)
        w = np.ones(channels, g.dtype) if weight is None else weight.value
        dw, db = np.zeros(channels, g.dtype), np.zeros(channels, g.dtype)
        for block in _sample_blocks(samples, groups, size):
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


class GroupNorm(_GroupsNorm):
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
        self.input_shape = (self.num_channels, ...)
        super().__init__(self.num_groups, self.num_channels, eps, affine)


class InstanceNorm(_GroupsNorm):
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
        self.input_shape = (self.num_features, None, ...)
        super().__init__(self.num_features, self.num_features, eps, affine)

    def output_shape(self, input_shape: Patterns) -> Patterns | None:
        """Return the input's shape; there must be more than one number in each channel."""
        shape: Any = super().output_shape(input_shape)
        if not is_open(shape) and all(length == 1 for length in shape[1:]):
            raise ShapeError(f"{self}: expected more than one number in each channel, got {shape_text(shape)}")
        return shape


def _by_channel(r: Array, weight: Array, groups: int) -> Array:
    """Return the product of a number for each sample and group with one for each channel, (samples, channels, 1)."""
    return (r.reshape(-1, groups, 1) * weight.reshape(groups, -1)).reshape(-1, weight.size, 1)


def _sums(g: Array, c: Array) -> tuple[Array, Array]:
    """Return Σ g c and Σ g over the last axis."""
    if g.shape[-1] == 1:
        return (g * c)[..., 0], g[..., 0]
    return np.vecdot(g, c), g.dot(np.ones(g.shape[-1], g.dtype))


def _sample_blocks(samples: int, rows: int, length: int) -> Iterator[slice]:
    """Yield slices of rows, so many to a sample, such that no sample is cut and a block is about BLOCK numbers."""
    for block in blocks(samples, rows * length):
        yield slice(block.start * rows, block.stop * rows)
