"""Columns: convolution as matrix products, a few images at a time so that their columns stay in the cache.

A column holds what lies under the kernel at one place; the weight times all columns is the convolution (im2col).
Images are laid out as (channel, row, image, column). At stride 1, what one entry of the kernel sees at all places of
all images is then one run of memory: it is copied as one, and the sum over the kernel is one call with skewed strides.
The runs go over the ends of rows; the places there belong to no output and are cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nanonet.core.arrays import Array, Shape
from nanonet.layers.windows import Window

CACHE = 2**20  # bytes of columns at a time
SMALL = 10**6  # multiplications up to which OpenBLAS has a product for small matrices, twice as fast on thin ones
WORTH = 400  # columns from which that is worth more products


class Columns:
    """The memory for the columns of some images, which is used again for the next ones.

    Attributes
    ----------
    matrix : array
        The columns, shape (groups, channels / groups * kernel height * kernel width, places).
    """

    def __init__(self, window: Window, shape: Shape, images: int, groups: int, dtype: np.dtype[Any]) -> None:
        (top, bottom), (left, right) = window.padding
        (kh, kw), (dh, dw), (sh, sw) = window.kernel, window.dilation, window.stride
        channels, h, w = shape
        self._oh, self._ow = window.places((h, w))
        high, wide = h + top + bottom, w + left + right
        self._images, self._dtype, self._window = images, dtype, window
        self._is_run = window.stride == (1, 1)
        self._row = wide if self._is_run else self._ow  # of the products
        places = self._oh * images * self._row
        row, byte = images * wide, dtype.itemsize  # row: from one row of an image to the next

        self._inside = (slice(None), slice(top, top + h), slice(None), slice(left, left + w))
        self._shape = (channels, high, images, wide)
        frame = np.zeros(channels * high * row + dw * (kw - 1), dtype)  # the last run goes over its end
        self._frame = self._as_images(frame)
        entry = (high * row * byte, dh * row * byte, dw * byte)
        if self._is_run:
            self._taps = as_strided(frame, (channels, kh, kw, places), (*entry, byte))
        else:
            seen = (channels, kh, kw, self._oh, images, self._ow)
            self._taps = as_strided(frame, seen, (*entry, sh * row * byte, wide * byte, sw * byte))

        seam = dh * (kh - 1) * row + dw * (kw - 1) if self._is_run else 0  # zeros between columns, for the skewed sum
        pitch = places + seam
        memory = np.zeros(seam + channels * kh * kw * pitch, dtype)[seam:]
        entries = memory.reshape(groups, -1, pitch)
        self.matrix = entries[..., :places]
        self._columns = memory.reshape(channels, kh, kw, pitch)[..., :places].reshape(self._taps.shape)
        if self._is_run:
            skewed = (kh * kw * pitch, kw * pitch - dh * row, pitch - dw, 1)
            self._skewed = as_strided(memory, (channels, kh, kw, high * row), [n * byte for n in skewed])

    def _as_images(self, frame: Array) -> Array:
        """Return (image, channel, height, width) of a frame without its padding."""
        channels, high, images, wide = self._shape
        whole = frame[: channels * high * images * wide].reshape(self._shape)
        return whole[self._inside].transpose(2, 0, 1, 3)

    def fill(self, x: Array) -> Array:
        """Copy the columns of images into the matrix, and return it."""
        self._frame[...] = x
        np.copyto(self._columns, self._taps)
        return self.matrix

    def summed(self) -> Array:
        """Return images whose every entry is the sum of its entries in the columns: the transpose of ``fill``."""
        if self._is_run:
            sums = np.add.reduce(self._skewed, axis=(1, 2))
            return self._as_images(sums.reshape(-1))
        sums = np.zeros(self._shape, self._dtype)
        (kh, kw), (dh, dw), (sh, sw) = self._window.kernel, self._window.dilation, self._window.stride
        for i in range(kh):
            rows = slice(i * dh, i * dh + sh * (self._oh - 1) + 1, sh)
            for j in range(kw):
                sums[:, rows, :, j * dw : j * dw + sw * (self._ow - 1) + 1 : sw] += self._columns[:, i, j]
        return self._as_images(sums.reshape(-1))

    def outputs(self, channels: int) -> tuple[Array, Array]:
        """Return zeros of shape (channels, places), and their view as images (image, channel, height, width)."""
        places = np.zeros((channels, self._oh, self._images, self._row), self._dtype)
        return places.reshape(channels, -1), places[..., : self._ow].transpose(2, 0, 1, 3)


def correlate(window: Window, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return the cross-correlation of images with a weight (groups, outputs / groups, entries of the kernel)."""
    channels = weight.shape[0] * weight.shape[1]
    y = np.empty((len(x), channels, *window.places(x.shape[2:])), x.dtype)
    for part, columns, products, seen in _pieces(window, len(x), x.shape[1:], weight):
        np.matmul(weight, columns.fill(x[part]), out=products)
        if bias is None:
            y[part] = seen
        else:
            np.add(seen, bias[:, None, None], out=y[part])
    return y


def gradients(window: Window, grad: Array, x: Array, weight: Array, dx: Array | None) -> tuple[Array, Array]:
    """Return dE/dweight and dE/dbias of ``correlate``; dE/dx is stored in dx if that is not None."""
    dw = np.zeros((weight.shape[0], weight.shape[2], weight.shape[1]), x.dtype)  # transposed: the faster product
    db = np.zeros(grad.shape[1], x.dtype)
    for part, columns, g, seen in _pieces(window, len(x), x.shape[1:], weight):
        seen[...] = grad[part]
        dw += np.matmul(columns.fill(x[part]), g.swapaxes(1, 2))
        db += g.sum(axis=2).ravel()
        if dx is not None:
            np.matmul(weight.swapaxes(1, 2), g, out=columns.matrix)  # the columns of x are used up
            dx[part] = columns.summed()
    return dw.swapaxes(1, 2), db


def spread(window: Window, grad: Array, weight: Array, shape: Shape) -> Array:
    """Return dE/dx of ``correlate`` alone, for x of a shape (channels, height, width)."""
    dx = np.empty((len(grad), *shape), grad.dtype)
    for part, columns, g, seen in _pieces(window, len(grad), shape, weight):
        seen[...] = grad[part]
        np.matmul(weight.swapaxes(1, 2), g, out=columns.matrix)
        dx[part] = columns.summed()
    return dx


def _pieces(window: Window, batch: int, shape: Shape, weight: Array) -> Iterator[tuple[slice, Columns, Array, Array]]:
    """Yield slices of a batch, each with memory for its columns and its products, and the products' view as images."""
    groups, outputs, entries = weight.shape
    oh, ow = window.places(shape[1:])
    places = oh * (shape[2] + sum(window.padding[1]) if window.stride == (1, 1) else ow)
    most = CACHE // (groups * entries * places * weight.itemsize)
    small = SMALL // (outputs * entries)
    if small >= WORTH:
        most = min(most, small // places)
    count = -(-batch // max(1, most))
    step = -(-batch // count) if count else 1
    for start in range(0, batch, step):
        part = slice(start, min(start + step, batch))
        if start == 0 or part.stop - start < step:
            columns = Columns(window, shape, part.stop - start, groups, weight.dtype)
            products, seen = columns.outputs(groups * outputs)
            products = products.reshape(groups, outputs, -1)
        yield part, columns, products, seen
