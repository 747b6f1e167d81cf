"""Pooling: layers that make images and sequences smaller by a maximum or a mean."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Patterns, Shape
from nanonet.core.checks import positive_int, true_or_false
from nanonet.core.layer import Layer, input_pattern
from nanonet.layers.arguments import Sizes, sizes
from nanonet.layers.windows import Window, images

CACHE = 2**19  # bytes of images at a time


class _Pool(Layer):
    """A number from what lies under a kernel, channel by channel; sequences are images of height 1."""

    @property
    @abstractmethod
    def axes(self) -> int:
        """The number of spatial axes."""

    def _set_window(
        self, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes = 1, *, ceil_mode: bool = False
    ) -> None:
        name, count = type(self).__name__, self.axes
        self.kernel_size = sizes(kernel_size, count, name, "kernel_size")
        self.stride = self.kernel_size if stride is None else sizes(stride, count, name, "stride")
        self.padding = sizes(padding, count, name, "padding", least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{name}: expected padding of at most half of kernel_size={kernel_size}, got {padding}, "
                "so that no kernel lies on padding alone"
            )
        self.window = Window.over(
            self.kernel_size,
            self.stride,
            sizes(dilation, count, name, "dilation"),
            tuple(zip(self.padding, self.padding, strict=True)),
            ceil=true_or_false(ceil_mode, name, "ceil_mode"),
        )
        self.input_shape = (None,) * (count + 1)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (channels, ...): for each spatial axis the number of places of the kernel."""
        return self.window.output(self, input_shape, None)  # type: ignore[return-value]  # if not all is known


class _MaxPool(_Pool):
    """y = the largest x under the kernel; dE/dy goes to the first such x."""

    mixes_samples = False

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self._set_window(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, tuple[Array, Array]]:
        """Return the maxima, and (x, y) for the backward pass."""
        wide = self.window.padded(x if x.ndim == 4 else x[:, :, None], -math.inf)
        y = _folded(np.maximum, self.window, wide)
        y = y.copy() if np.may_share_memory(x, y) else y
        return y if x.ndim == 4 else y[:, :, 0], (x, y)

    def backward(self, grad: Array, cache: tuple[Array, Array]) -> Array:
        """Return, where x is the first maximum under a kernel, dE/dy summed over such kernels; 0 elsewhere."""
        x, y = cache
        g, image = (grad, x) if x.ndim == 4 else (grad[:, :, None], x[:, :, None])
        wide = self.window.padded(image, -math.inf)
        dx = (np.empty if self.window.tiles(wide.shape[2:]) else np.zeros)(wide.shape, grad.dtype)
        give = self._scatter if self.window.overlaps else self._give
        step = max(1, CACHE * len(x) // max(1, wide.nbytes))
        for start in range(0, len(x), step):  # a few images at a time, which stay in the cache
            part = slice(start, start + step)
            give(g[part], wide[part], y[part], dx[part])
        return self.window.cropped(dx, image.shape[2:]).reshape(x.shape)

    def _give(self, g: Array, x: Array, y: Array, dx: Array) -> None:
        """Store each g in dx where x is the first under the kernel that equals y."""
        free = np.ones(y.shape, bool)
        for rows in self.window.under(2, x.shape[2]):
            for columns in self.window.under(3, x.shape[3]):
                mine = x[rows][columns] == y
                mine &= free
                free ^= mine
                np.multiply(g, mine, out=dx[rows][columns])

    def _scatter(self, g: Array, x: Array, y: Array, dx: Array) -> None:
        """Store the same where kernels overlap: sums by the number of each first maximum, in 0.75 of the time."""
        entries, corners = self.window.numbers(x.shape[2:])
        free, first = np.ones(y.shape, bool), np.zeros(y.shape, np.min_scalar_type(len(entries)))
        for rows in self.window.under(2, x.shape[2]):
            for columns in self.window.under(3, x.shape[3]):
                free &= x[rows][columns] != y
                first += free
        places = entries.take(first, mode="clip") + corners  # there is no first where y is NaN
        places += np.arange(0, x.size, math.prod(x.shape[2:])).reshape(*x.shape[:2], 1, 1)
        dx[...] = np.bincount(places.ravel(), g.ravel(), minlength=x.size).reshape(x.shape)


class MaxPool1d(_MaxPool):
    """y[n, c, i] = the largest of x[n, c, i * stride + k * dilation] for k below kernel_size.

    dE/dy goes to the first of several equal maxima, as in PyTorch. Input (batch, C, L), output (batch, C, M) with
    M = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Parameters
    ----------
    kernel_size : int
    stride : int, optional
        Default: kernel_size.
    padding : int
        At both ends, by -infinity; at most half of kernel_size.
    dilation : int
    ceil_mode : bool
        Round the output's length up, so that a last place that reaches over the end counts.

    Examples
    --------
    >>> from nanonet import MaxPool1d, Sequential
    >>> Sequential(MaxPool1d(2))([[[1.0, 3.0, 2.0, 2.0, 9.0]]])
    array([[[3., 2.]]], dtype=float32)
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """y[n, c, i, j] = the largest x[n, c, ...] under a kernel at (i, j) * stride.

    dE/dy goes to the first of several equal maxima in the order of rows, as in PyTorch. Input (batch, C, H, W); an
    axis of length n gets length (n + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width.
    stride : int or (int, int), optional
        Default: kernel_size.
    padding : int or (int, int)
        Above and below, and left and right, by -infinity; at most half of kernel_size.
    dilation : int or (int, int)
    ceil_mode : bool
        Round the output's lengths up, so that a last place that reaches over the end counts.

    Examples
    --------
    >>> from nanonet import MaxPool2d, Sequential
    >>> Sequential(MaxPool2d(2))([[[[1.0, 3.0], [2.0, 2.0]]]])
    array([[[[3.]]]], dtype=float32)
    """

    axes = 2


class _AvgPool(_Pool):
    """y = the mean of x under the kernel."""

    mixes_samples = False

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        *,
        count_include_pad: bool = True,
    ) -> None:
        self._set_window(kernel_size, stride, padding)
        self.count_include_pad = true_or_false(count_include_pad, type(self).__name__, "count_include_pad")

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the means, and the shape of x."""
        wide = self.window.padded(x if x.ndim == 4 else x[:, :, None], 0.0)
        y = _folded(np.add, self.window, wide) * self._share(x.shape, x.dtype)
        return y if x.ndim == 4 else y[:, :, 0], x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return dE/dy divided by the number of entries, summed over the kernels that x is under."""
        size = cache[2:] if len(cache) == 4 else (1, *cache[2:])
        g = (grad if grad.ndim == 4 else grad[:, :, None]) * self._share(cache, grad.dtype)
        (top, bottom), (left, right) = self.window.padding
        for axis, length in ((3, size[1] + left + right), (2, size[0] + top + bottom)):
            wide = np.zeros((*g.shape[:axis], length, *g.shape[axis + 1 :]), g.dtype)
            for places in self.window.under(axis, length):
                if self.window.overlaps:
                    wide[places] += g
                else:
                    wide[places] = g
            g = wide
        return self.window.cropped(g, size).reshape(cache)

    def _share(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return 1 / the number of entries that a mean is taken of, for each place if they differ."""
        if self.count_include_pad or not any(self.padding):
            return np.asarray(1 / math.prod(self.window.kernel), dtype)
        ones = np.ones((1, 1, *(shape[2:] if len(shape) == 4 else (1, *shape[2:]))))
        return (1 / _folded(np.add, self.window, self.window.padded(ones, 0.0))).astype(dtype)


class AvgPool1d(_AvgPool):
    """y[n, c, i] = the mean of x[n, c, i * stride + k] for k below kernel_size.

    Input (batch, C, L), output (batch, C, (L + 2 padding - kernel_size) // stride + 1).

    Parameters
    ----------
    kernel_size : int
    stride : int, optional
        Default: kernel_size.
    padding : int
        Zeros at both ends; at most half of kernel_size.
    count_include_pad : bool
        Whether these zeros count in the mean.

    Examples
    --------
    >>> from nanonet import AvgPool1d, Sequential
    >>> Sequential(AvgPool1d(2))([[[1.0, 3.0, 2.0, 2.0, 9.0]]])
    array([[[2., 2.]]], dtype=float32)
    """

    axes = 1


class AvgPool2d(_AvgPool):
    """y[n, c, i, j] = the mean of x[n, c, ...] under a kernel at (i, j) * stride.

    Input (batch, C, H, W); each axis of length n gets length (n + 2 padding - kernel_size) // stride + 1.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width.
    stride : int or (int, int), optional
        Default: kernel_size.
    padding : int or (int, int)
        Zeros above and below, and left and right; at most half of kernel_size.
    count_include_pad : bool
        Whether these zeros count in the mean.

    Examples
    --------
    >>> from nanonet import AvgPool2d, Sequential
    >>> Sequential(AvgPool2d(2))([[[[1.0, 3.0], [2.0, 2.0]]]])
    array([[[[2.]]]], dtype=float32)
    """

    axes = 2


class GlobalAvgPool(Layer):
    """y[n, c] = the mean of x[n, c] over all axes after the channel (Lin et al. 2014, Network in network).

    Input (batch, C, ...) with one or more further axes, output (batch, C).

    Examples
    --------
    >>> from nanonet import GlobalAvgPool, Sequential
    >>> Sequential(GlobalAvgPool())([[[[1.0, 3.0], [2.0, 2.0]]]])
    array([[2.]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (None, None, ...)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the means, and the shape of x."""
        entries = math.prod(x.shape[2:])
        y: Array = x.reshape(len(x) * x.shape[1], entries).dot(np.full(entries, 1 / entries, x.dtype))
        return y.reshape(x.shape[:2]), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return dE/dy divided by the number of entries."""
        dx = np.empty(cache, grad.dtype)
        dx[...] = (grad / math.prod(cache[2:])).reshape(*grad.shape, *[1] * (len(cache) - 2))
        return dx

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return (C,)."""
        both: Any = input_pattern(self, input_shape)
        return (None if both[0] is ... else both[0],)


class AdaptiveAvgPool2d(Layer):
    """The mean over rows from floor(i H / h) up to ceil((i + 1) H / h) for output row i of h; columns likewise.

    Input (batch, C, H, W), output (batch, C, h, w). The areas overlap where h does not divide H.

    Parameters
    ----------
    output_size : int or (int, int)
        h and w; one of the two may be None, to keep the input's.

    Examples
    --------
    >>> from nanonet import AdaptiveAvgPool2d, Sequential
    >>> Sequential(AdaptiveAvgPool2d((1, 2)))([[[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]]])
    array([[[[1.5, 2.5]]]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (None, None, None)

    def __init__(self, output_size: int | tuple[int | None, int | None]) -> None:
        both = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        if len(both) != 2:
            raise ValueError(f"AdaptiveAvgPool2d: expected output_size as an int or two of them, got {output_size}")
        h, w = (None if n is None else positive_int(n, "AdaptiveAvgPool2d", "output_size") for n in both)
        self.output_size = (h, w)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the means, and the shape of x."""
        if self._wanted(x.shape) == (1, 1):
            y, _ = GlobalAvgPool().forward(x)
            return y[:, :, None, None], x.shape
        if (pool := self._even(x.shape)) is not None:
            return pool.forward(x)
        rows, columns = self._means(x.shape, x.dtype)
        return np.matmul(rows, _last_axis(x, columns.T)), x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return dE/dy divided by the size of its area, summed over the areas that x is in."""
        if self._wanted(cache) == (1, 1):
            return GlobalAvgPool().backward(grad[:, :, 0, 0], cache)
        if (pool := self._even(cache)) is not None:
            return pool.backward(grad, cache)
        rows, columns = self._means(cache, grad.dtype)
        return _last_axis(np.matmul(rows.T, grad), columns)

    def _even(self, shape: Shape) -> AvgPool2d | None:
        """Return the pooling with areas of equal size, if that is what it is; it is faster."""
        (_, _, h, w), (rows, columns) = shape, self._wanted(shape)
        return None if h % rows or w % columns else _mean_of((h // rows, w // columns))

    def _wanted(self, shape: Shape) -> tuple[int, int]:
        return self.output_size[0] or shape[2], self.output_size[1] or shape[3]

    def _means(self, shape: Shape, dtype: np.dtype[Any]) -> list[Array]:
        """Return the matrices that take the means of rows and of columns; a product is faster than a sum an area."""
        both = []
        for n, out in zip(shape[2:], self._wanted(shape), strict=True):
            matrix = np.zeros((out, n), dtype)
            for i in range(out):
                start, stop = i * n // out, -(-(i + 1) * n // out)
                matrix[i, start:stop] = 1 / (stop - start)
            both.append(matrix)
        return both

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C, h, w)."""
        channels, *lengths = images(self, input_shape)
        both = zip(lengths, self.output_size, strict=True)
        return (channels, *(n if out is None else out for n, out in both))  # type: ignore[arg-type]  # None where unknown


@lru_cache(maxsize=16)
def _mean_of(area: tuple[int, int]) -> AvgPool2d:
    """Return the pooling of such areas; to make one takes several times as long as to pool a small image."""
    return AvgPool2d(area)


def _last_axis(x: Array, matrix: Array) -> Array:
    """Return x @ matrix as one product, where @ would take one for each image."""
    product: Array = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).dot(matrix)
    return product.reshape(*x.shape[:-1], matrix.shape[1])


def _folded(fold: np.ufunc, window: Window, wide: Array) -> Array:
    """Return what is under the kernel, folded by maximum or add: rows first, so kh + kw steps, not kh kw."""
    for axis in (2, 3):
        first, *others = window.under(axis, wide.shape[axis])
        whole, wide = wide, wide[first]
        for i, each in enumerate(others):
            wide = fold(wide, whole[each], out=wide if i else None)
    return wide
