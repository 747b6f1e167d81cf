"""Window: where a kernel lies on an image; convolution and pooling share its arithmetic and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Pattern, Shape
from nanonet.core.checks import axes
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern

Ends = tuple[int, int]
"""What is added before and after an axis."""


@dataclass(frozen=True)
class Window:
    """The places of a kernel on an image of height and width; a sequence is an image of height 1.

    Along each axis, output i covers the inputs i * stride + dilation * (0, ..., kernel - 1) of the padded image.
    """

    kernel: Shape
    stride: Shape = (1, 1)
    padding: tuple[Ends, ...] = ((0, 0), (0, 0))
    dilation: Shape = (1, 1)
    ceil: bool = False  # whether a last place that only begins on the image counts

    @classmethod
    def over(
        cls, kernel: Shape, stride: Shape, dilation: Shape, padding: tuple[Ends, ...], *, ceil: bool = False
    ) -> Window:
        """Return the window over two axes, or over one."""
        if len(kernel) == 1:
            kernel, stride, dilation, padding = (1, *kernel), (1, *stride), (1, *dilation), ((0, 0), *padding)
        return cls(kernel, stride, padding, dilation, ceil)

    @property
    def reach(self) -> tuple[int, int]:
        """The height and width from the kernel's first to its last entry."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    def places(self, size: Shape) -> tuple[int, int]:
        """Return how many places the kernel has along the height and width of an image."""
        return self._along(0, size[0]), self._along(1, size[1])

    def _along(self, axis: int, length: int) -> int:
        stride, (before, after) = self.stride[axis], self.padding[axis]
        free = length + before + after - self.reach[axis]
        if not self.ceil:
            return free // stride + 1
        last = -(-free // stride)
        return last if last * stride >= length + before else last + 1  # it must not begin in the padding behind

    def output(self, layer: Layer, pattern: Pattern, channels: int | None) -> Pattern:
        """Return a layer's output shape for an input pattern, unknown lengths as None.

        Raises
        ------
        ShapeError
            If the input has other axes than the layer's ``input_shape``, or is smaller than the kernel.
        """
        channel, *lengths = images(layer, pattern)
        first = 2 - len(lengths)
        found = [None if n is None else self._along(first + i, n) for i, n in enumerate(lengths)]
        if any(n is not None and n < 1 for n in found):
            least = [self._least(i) for i in range(first, 2)]
            names = ("L",) if first else ("H", "W")
            wanted = " and ".join(f"{name} >= {n}" for name, n in zip(names, least, strict=True))
            raise ShapeError(
                f"{layer}: expected input of shape (batch, C, {', '.join(names)}) with {wanted}, "
                f"got {shape_text(pattern)}"
            )
        return (channels or channel, *found)

    def _least(self, axis: int) -> int:
        """Return the smallest length of an axis at which the kernel has a place."""
        whole = self.reach[axis] - sum(self.padding[axis])
        begun = whole - self.stride[axis] + 1 if self.ceil else whole
        return next(n for n in (max(1, begun), max(1, whole)) if self._along(axis, n) >= 1)

    def padded(self, x: Array, fill: float) -> Array:
        """Return images with as much padding as the places need; x itself if they need none."""
        size = x.shape[2:]
        ends = [
            (before, max(after, (count - 1) * stride + reach - before - n))
            for n, count, stride, reach, (before, after) in zip(
                size, self.places(size), self.stride, self.reach, self.padding, strict=True
            )
        ]
        return padded(x, (ends[0], ends[1]), fill)

    def cropped(self, wide: Array, size: Shape) -> Array:
        """Return padded images without their padding."""
        (top, _), (left, _) = self.padding
        return wide[:, :, top : top + size[0], left : left + size[1]]

    @property
    def overlaps(self) -> bool:
        """Whether an entry of the image may be under the kernel at several places."""
        return any(stride < reach for stride, reach in zip(self.stride, self.reach, strict=True))

    def tiles(self, size: Shape) -> bool:
        """Return whether every entry of padded images of a size is under the kernel at exactly one place."""
        each = zip(size, self.kernel, self.stride, self.reach, strict=True)
        return all(kernel == stride == reach and n % stride == 0 for n, kernel, stride, reach in each)

    def under(self, axis: int, length: int) -> Iterator[tuple[slice, ...]]:
        """Yield, for each entry of the kernel along axis 2 or 3, the index of what lies under it on padded images."""
        kernel, stride, dilation = (each[axis - 2] for each in (self.kernel, self.stride, self.dilation))
        last = (length - self.reach[axis - 2]) // stride * stride
        for start in range(0, kernel * dilation, dilation):
            yield (slice(None),) * axis + (slice(start, start + last + 1, stride),)

    def numbers(self, size: Shape) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return which numbers the entries of a padded image have, counted row by row.

        First those under a kernel, relative to its first; then those under the kernel's first at each of its places.
        """
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        oh, ow = ((n - reach) // stride + 1 for n, reach, stride in zip(size, self.reach, self.stride, strict=True))
        entries = np.arange(kh)[:, None] * dh * size[1] + np.arange(kw) * dw
        return entries.ravel(), np.arange(oh)[:, None] * sh * size[1] + np.arange(ow) * sw


def padded(x: Array, ends: tuple[Ends, Ends], fill: float = 0.0) -> Array:
    """Return images with so many rows and columns of a number around them; x itself if there are none."""
    if not any(map(any, ends)):
        return x
    (top, bottom), (left, right) = ends
    n, c, h, w = x.shape
    wide = np.full((n, c, h + top + bottom, w + left + right), fill, x.dtype)
    wide[:, :, top : top + h, left : left + w] = x
    return wide


def images(layer: Layer, pattern: Pattern) -> tuple[int | None, ...]:
    """Return the lengths of a layer's input pattern, or raise ShapeError if it does not fit ``layer.input_shape``."""
    both: Any = input_pattern(layer, pattern)
    return axes(both)
