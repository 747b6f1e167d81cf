"""Upsample and ZeroPad2d: layers without arithmetic of their own that make images larger."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer
from nanonet.layers.arguments import Sizes, sizes
from nanonet.layers.windows import images, padded


class Upsample(Layer):
    """Enlarge images: y[n, c, i, j] = x[n, c, i // f, j // f], so each entry becomes an area of f x f, or bilinearly.

    In mode "bilinear", y at i is interpolated at (i + 1/2) / f - 1/2 between the two nearest rows, clipped to the
    image; columns likewise (PyTorch's align_corners=False). Input (batch, C, H, W), output (batch, C, f H, f W).

    Parameters
    ----------
    scale_factor : int or (int, int)
        f, or one for the height and one for the width.
    mode : {"nearest", "bilinear"}

    Examples
    --------
    >>> from nanonet import Sequential, Upsample
    >>> Sequential(Upsample(2))([[[[1.0, 2.0]]]])
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]], dtype=float32)
    >>> Sequential(Upsample((1, 2), mode="bilinear"))([[[[1.0, 2.0]]]])
    array([[[[1.  , 1.25, 1.75, 2.  ]]]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (None, None, None)

    def __init__(self, scale_factor: Sizes, mode: Literal["nearest", "bilinear"] = "nearest") -> None:
        self.scale_factor = sizes(scale_factor, 2, "Upsample", "scale_factor")
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f'Upsample: expected mode as "nearest" or "bilinear", got {mode!r:.60}')
        self.mode = mode

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the enlarged images, and the shape of x."""
        rows, columns = self.scale_factor
        if self.mode == "nearest":
            return x.repeat(columns, axis=3).repeat(rows, axis=2), x.shape
        high, wide = self._shares(x.shape, x.dtype)
        return np.matmul(high, np.matmul(x, wide.T)), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return for each entry of x the sum of dE/dy, each times the entry's share in that y."""
        if self.mode == "bilinear":
            high, wide = self._shares(cache, grad.dtype)
            summed: Array = np.matmul(np.matmul(high.T, grad), wide)
            return summed
        rows, columns = self.scale_factor
        dx = grad[:, :, ::rows].copy()
        for i in range(1, rows):
            dx += grad[:, :, i::rows]
        tall, dx = dx, dx[..., ::columns].copy()
        for j in range(1, columns):
            dx += tall[..., j::columns]
        return dx

    def _shares(self, shape: Shape, dtype: np.dtype[Any]) -> list[Array]:
        """Return, for height and width, the share of each entry of x in each y, shape (f n, n)."""
        each = zip(shape[2:], self.scale_factor, strict=True)
        return [np.maximum(0, 1 - np.abs(_sources(n, f)[:, None] - np.arange(n))).astype(dtype) for n, f in each]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C, f H, f W)."""
        channels, *lengths = images(self, input_shape)
        both = zip(lengths, self.scale_factor, strict=True)
        return (channels, *(None if n is None else n * f for n, f in both))  # type: ignore[arg-type]  # if not all known


def _sources(n: int, factor: int) -> Array:
    """Return where on an axis of n entries each of factor * n is interpolated."""
    return np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)


class ZeroPad2d(Layer):
    """y = x with zeros around each image.

    Input (batch, C, H, W), output (batch, C, top + H + bottom, left + W + right).

    Parameters
    ----------
    padding : int or (int, int, int, int)
        One number for all sides, or left, right, top and bottom.

    Examples
    --------
    >>> from nanonet import Sequential, ZeroPad2d
    >>> Sequential(ZeroPad2d((1, 2, 0, 1)))([[[[7.0]]]])
    array([[[[0., 7., 0., 0.],
             [0., 0., 0., 0.]]]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (None, None, None)

    def __init__(self, padding: Sizes) -> None:
        self.padding = sizes(padding, 4, "ZeroPad2d", "padding", least=0)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the images with zeros around them, and the shape of x."""
        left, right, top, bottom = self.padding
        return padded(x, ((top, bottom), (left, right))), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return dE/dy without what belongs to the zeros."""
        left, _, top, _ = self.padding
        return grad[:, :, top : top + cache[2], left : left + cache[3]]

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C, top + H + bottom, left + W + right)."""
        channels, *lengths = images(self, input_shape)
        left, right, top, bottom = self.padding
        both = zip(lengths, (top + bottom, left + right), strict=True)
        return (channels, *(None if n is None else n + more for n, more in both))  # type: ignore[arg-type]  # as above
