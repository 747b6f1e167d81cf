"""Conv1d, Conv2d and ConvTranspose2d: kernels that slide over sequences and images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import positive_int
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.core.parameter import Init, Parameter
from nanonet.layers.arguments import Sizes, sizes
from nanonet.layers.columns import correlate, gradients, spread
from nanonet.layers.initializers import HeUniform, Zeros
from nanonet.layers.windows import Ends, Window, images

Padding = Sizes | Literal["same", "valid"]


class _Kernel(Layer):
    """What convolutions have in common: channels, groups, a weight and a bias."""

    @property
    @abstractmethod
    def axes(self) -> int:
        """The number of spatial axes."""

    def _set_channels(self, in_channels: int, out_channels: int, groups: int) -> None:
        name = type(self).__name__
        self.in_channels = positive_int(in_channels, name, "in_channels")
        self.out_channels = positive_int(out_channels, name, "out_channels")
        self.groups = positive_int(groups, name, "groups")
        for label, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name}: expected {label} as a multiple of groups={groups}, got {channels}")
        self.input_shape = (self.in_channels, *[None] * self.axes)

    def _set_parameters(self, shape: Shape, weight: Init, bias: Init | bool) -> None:
        self.weight = Parameter(shape, weight, label=f"{self}.weight")
        self.bias: Parameter | None = None
        if bias is not False:
            self.bias = Parameter(self.out_channels, Zeros() if bias is True else bias, label=f"{self}.bias")

    def _matrix(self) -> Array:
        """Return the weight as (groups, its axis 0 / groups, the rest)."""
        return self.weight.value.reshape(self.groups, self.weight.shape[0] // self.groups, -1)


class _Convolution(_Kernel):
    """y = b + W ⋆ x over one or two axes; sequences are images of height 1."""

    mixes_samples = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        *,
        weight: Init = HeUniform(),
        bias: Init | bool = True,
    ) -> None:
        name, count = type(self).__name__, self.axes
        self._set_channels(in_channels, out_channels, groups)
        self.kernel_size = sizes(kernel_size, count, name, "kernel_size")
        self.stride = sizes(stride, count, name, "stride")
        self.dilation = sizes(dilation, count, name, "dilation")
        named = _named(padding, self.stride, name)
        each = sizes(0 if named else padding, count, name, "padding", least=0)
        self.padding: Padding = named or each
        same = tuple(map(_same, self.kernel_size, self.dilation))
        ends = same if named == "same" else tuple(zip(each, each, strict=True))
        self.window = Window.over(self.kernel_size, self.stride, self.dilation, ends)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._set_parameters(shape, weight, bias)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return y, and x for the backward pass."""
        bias = None if self.bias is None else self.bias.value
        y = correlate(self.window, x if x.ndim == 4 else x[:, :, None], self._matrix(), bias)
        return y if x.ndim == 4 else y[:, :, 0], x

    def backward(self, grad: Array, cache: Array) -> Array:
        """Assign dE/dW and dE/db, and return dE/dx."""
        dx = np.empty(cache.shape, cache.dtype)
        self._assign(grad, cache, dx)
        return dx

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        """Assign dE/dW and dE/db only."""
        self._assign(grad, cache, None)

    def _assign(self, grad: Array, x: Array, dx: Array | None) -> None:
        if x.ndim == 3:
            grad, x, dx = grad[:, :, None], x[:, :, None], None if dx is None else dx[:, :, None]
        dw, db = gradients(self.window, grad, x, self._matrix(), dx)
        self.weight.grad = dw.reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad = db

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_channels, ...): for each spatial axis the number of places of the kernel."""
        return self.window.output(self, input_shape, self.out_channels)  # type: ignore[return-value]  # may be open


class Conv1d(_Convolution):
    """y[n, o, i] = b[o] + Σ_{c, k} W[o, c, k] x[n, c, i * stride + k * dilation], x with zeros around it.

    Input (batch, in_channels, L), output (batch, out_channels, (L + 2 padding - dilation (kernel_size - 1) - 1) //
    stride + 1). A sequence laid out as (batch, L, features), as Linear takes it, must be transposed first.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int
    stride, dilation : int
    padding : int, "same" or "valid"
        Zeros at both ends; "same": as many as keep the length, at stride 1; "valid": none.
    groups : int
        The channels are split into so many groups, each convolved on its own.
    weight : Initializer or array
        Initial W, shape (out_channels, in_channels / groups, kernel_size).
    bias : Initializer, array or bool
        Initial b, shape (out_channels,); True: zeros; False: no bias.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Conv1d, Sequential
    >>> Sequential(Conv1d(3, 8, 5, padding="same"))(np.zeros((2, 3, 100))).shape
    (2, 8, 100)
    """

    axes = 1


class Conv2d(_Convolution):
    """y[n, o] = b[o] + Σ_c W[o, c] ⋆ x[n, c], where ⋆ is the cross-correlation of a kernel with an image.

    In full, y[n, o, i, j] = b[o] + Σ_{c, k, l} W[o, c, k, l] x[n, c, i s + k d, j s + l d] with stride s, dilation d
    and zeros around x (LeCun et al. 1998, Gradient-based learning applied to document recognition). Input (batch,
    in_channels, H, W); an axis of length n gets length (n + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
        Height and width.
    stride, dilation : int or (int, int)
    padding : int, (int, int), "same" or "valid"
        Zeros above and below, and left and right; "same": as many as keep the size, at stride 1; "valid": none.
    groups : int
        The channels are split into so many groups, each convolved on its own.
    weight : Initializer or array
        Initial W, shape (out_channels, in_channels / groups, kernel height, kernel width).
    bias : Initializer, array or bool
        Initial b, shape (out_channels,); True: zeros; False: no bias.

    Raises
    ------
    ShapeError
        If an initial array has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Conv2d, Sequential
    >>> layer = Conv2d(1, 6, 5, padding=2)
    >>> model = Sequential(layer, rng=0)
    >>> layer.weight.value.shape, model(np.zeros((4, 1, 28, 28))).shape
    ((6, 1, 5, 5), (4, 6, 28, 28))
    """

    axes = 2


class ConvTranspose2d(_Kernel):
    """The transpose of Conv2d: each x[n, c, i, j] adds W[c, o] x[n, c, i, j] to the image y[n, o], at (i, j) * stride.

    In full, y[n, o, r, q] is b[o] plus the sum of W[c, o, k, l] x[n, c, i, j] over all c, i, j, k, l for which
    r = i s + k d - p and q = j s + l d - p, with stride s, dilation d and padding p (Zeiler et al. 2010,
    Deconvolutional networks). Input (batch, in_channels, H, W); an axis of length n gets length (n - 1) stride
    - 2 padding + dilation (kernel_size - 1) + output_padding + 1.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
        Height and width.
    stride : int or (int, int)
        How far neighbours are apart in y.
    padding : int or (int, int)
        Rows and columns that are cut off on each side of y.
    output_padding : int or (int, int)
        Rows below and columns on the right that are added to y; below stride or dilation.
    groups : int
        The channels are split into so many groups, each on its own.
    dilation : int or (int, int)
    weight : Initializer or array
        Initial W, shape (in_channels, out_channels / groups, kernel height, kernel width).
    bias : Initializer, array or bool
        Initial b, shape (out_channels,); True: zeros; False: no bias.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import ConvTranspose2d, Sequential
    >>> Sequential(ConvTranspose2d(8, 3, 2, stride=2))(np.zeros((4, 8, 7, 7))).shape
    (4, 3, 14, 14)
    """

    mixes_samples = False
    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        *,
        dilation: Sizes = 1,
        weight: Init = HeUniform(),
        bias: Init | bool = True,
    ) -> None:
        name = type(self).__name__
        self._set_channels(in_channels, out_channels, groups)
        self.kernel_size = sizes(kernel_size, 2, name, "kernel_size")
        self.stride, self.dilation = sizes(stride, 2, name, "stride"), sizes(dilation, 2, name, "dilation")
        self.padding = sizes(padding, 2, name, "padding", least=0)
        self.output_padding = sizes(output_padding, 2, name, "output_padding", least=0)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise ValueError(
                f"{name}: expected output_padding below stride={stride} or dilation={dilation}, got {output_padding}"
            )
        self.window = Window(self.kernel_size, self.stride, dilation=self.dilation)
        self._set_parameters((self.in_channels, self.out_channels // self.groups, *self.kernel_size), weight, bias)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return y, and x for the backward pass."""
        whole = spread(self.window, x, self._matrix(), (self.out_channels, *self._whole(x.shape[2:])))
        y = whole
        if any(self.padding) or any(self.output_padding):
            y = np.zeros((len(x), self.out_channels, *self._size(x.shape[2:])), x.dtype)
            inner, outer = self._common(whole.shape, y.shape)
            y[inner] = whole[outer]
        if self.bias is not None:
            y += self.bias.value[:, None, None]
        return y, x

    def backward(self, grad: Array, cache: Array) -> Array:
        """Assign dE/dW and dE/db, and return dE/dx, the cross-correlation of dE/dy with W."""
        return correlate(self.window, self._assign(grad, cache), self._matrix(), None)

    def backward_parameters(self, grad: Array, cache: Array) -> None:
        """Assign dE/dW and dE/db only."""
        self._assign(grad, cache)

    def _assign(self, grad: Array, x: Array) -> Array:
        """Assign both gradients, and return dE/dy before the padding was cut off."""
        whole = grad
        if any(self.padding) or any(self.output_padding):
            whole = np.zeros((*grad.shape[:2], *self._whole(x.shape[2:])), grad.dtype)
            inner, outer = self._common(whole.shape, grad.shape)
            whole[outer] = grad[inner]
        dw, _ = gradients(self.window, x, whole, self._matrix(), None)
        self.weight.grad = dw.reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad = grad.sum(axis=(0, 2, 3))
        return whole

    def _whole(self, size: Shape) -> Shape:
        """Return the height and width of y before the padding is cut off."""
        return tuple((n - 1) * s + r for n, s, r in zip(size, self.stride, self.window.reach, strict=True))

    def _size(self, size: Shape) -> Shape:
        """Return the height and width of y."""
        both = zip(self._whole(size), self.padding, self.output_padding, strict=True)
        return tuple(n - 2 * p + more for n, p, more in both)

    def _common(self, whole: Shape, y: Shape) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the indices, in y and in the whole, of what both have: output_padding may reach over its end."""
        ends = [(p, min(p + n, m)) for p, n, m in zip(self.padding, y[2:], whole[2:], strict=True)]
        return (..., *(slice(b - a) for a, b in ends)), (..., *(slice(a, b) for a, b in ends))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (out_channels, height, width)."""
        _, *lengths = images(self, input_shape)
        size = [
            None if n is None else m for n, m in zip(lengths, self._size(tuple(n or 1 for n in lengths)), strict=True)
        ]
        if any(n is not None and n < 1 for n in size):
            raise ShapeError(
                f"{self}: expected an input from which padding={self.padding} leaves something, "
                f"got {shape_text(input_shape)}"
            )
        return (self.out_channels, *size)  # type: ignore[arg-type]  # None where unknown


def _named(padding: object, stride: tuple[int, ...], name: str) -> Literal["same", "valid"] | None:
    """Return a padding that is given by name, or None for one that is not."""
    if not isinstance(padding, str):
        return None
    if padding == "valid":
        return "valid"
    if padding != "same":
        raise ValueError(f'{name}: expected padding as a number, "same" or "valid", got {padding!r:.60}')
    if any(n != 1 for n in stride):
        raise ValueError(f'{name}: padding="same" needs stride 1, got stride {stride}')
    return "same"


def _same(kernel: int, dilation: int) -> Ends:
    """Return the padding that keeps a length; an odd one more goes behind, as in PyTorch."""
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2
