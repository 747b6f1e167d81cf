"""Upsample and ZeroPad2d: layers without arithmetic of their own that make images larger."""

from __future__ import annotations

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer
from nanonet.layers.windows import Sizes, images, padded, pair, sizes


class Upsample(Layer):
    """y[n, c, i, j] = x[n, c, i // f, j // f]: each entry becomes an area of f x f (nearest neighbour).

    Input (batch, C, H, W), output (batch, C, f H, f W).

    Parameters
    ----------
    scale_factor : int or (int, int)
        f, or one for the height and one for the width.

    Examples
    --------
    >>> from nanonet import Sequential, Upsample
    >>> Sequential(Upsample(2))([[[[1.0, 2.0]]]])
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]], dtype=float32)
    """

    input_shape = (None, None, None)

    def __init__(self, scale_factor: Sizes) -> None:
        self.scale_factor = pair(scale_factor, 2, "Upsample", "scale_factor")

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        """Return the enlarged images."""
        rows, columns = self.scale_factor
        return x.repeat(columns, axis=3).repeat(rows, axis=2), None

    def backward(self, grad: Array, cache: None) -> Array:
        """Return dE/dy summed over each area."""
        rows, columns = self.scale_factor
        dx = grad[:, :, ::rows].copy()
        for i in range(1, rows):
            dx += grad[:, :, i::rows]
        wide, dx = dx, dx[..., ::columns].copy()
        for j in range(1, columns):
            dx += wide[..., j::columns]
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C, f H, f W)."""
        channels, *lengths = images(self, input_shape)
        both = zip(lengths, self.scale_factor, strict=True)
        return (channels, *(None if n is None else n * f for n, f in both))  # type: ignore[arg-type]  # if not all known


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
