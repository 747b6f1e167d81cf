"""Pad: makes sequences, images or volumes longer at their ends, by a constant or by entries of their own."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Patterns, Shape
from nanonet.core.checks import finite_number, is_open
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern
from nanonet.layers.arguments import sizes

MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""PyTorch's names, and NumPy's."""


class Pad(Layer):
    """y = x with more entries around it: a constant, x mirrored at its ends, its end entries, or x repeated.

    On an axis a b c d, padding of 2 gives, before and after: v v and v v ("constant"), c b and c b ("reflect"), a a and
    d d ("replicate"), c d and a b ("circular"): PyTorch's ConstantPad, ReflectionPad, ReplicationPad and CircularPad
    for 1, 2 and 3 axes. For zeros around images there is :class:`ZeroPad2d` too.

    Parameters
    ----------
    padding : tuple of int
        Two for each spatial axis, the last axis first: left and right; top and bottom; front and back. Input
        (batch, C, L), (batch, C, H, W) or (batch, C, D, H, W) by their number.
    mode : {"constant", "reflect", "replicate", "circular"}
        "reflect" needs less padding than there are entries, "circular" at most as much.
    value : float
        v, of mode "constant".

    Examples
    --------
    >>> from nanonet import Pad, Sequential
    >>> Sequential(Pad((2, 1), "reflect"))([[[1.0, 2.0, 3.0]]])
    array([[[3., 2., 1., 2., 3., 2.]]], dtype=float32)
    """

    mixes_samples = False

    def __init__(
        self,
        padding: tuple[int, ...],
        mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
        value: float = 0.0,
    ) -> None:
        if not isinstance(padding, (tuple, list)) or len(padding) not in (2, 4, 6):
            raise ValueError(f"Pad: expected padding as 2, 4 or 6 ints, two for each axis, got {padding!r:.60}")
        self.padding = sizes(tuple(padding), len(padding), "Pad", "padding", least=0)
        if mode not in MODES:
            raise ValueError(f"Pad: expected mode as one of {', '.join(MODES)}, got {mode!r:.60}")
        self.mode = mode
        self.value = finite_number(value, "Pad", "value")
        if mode != "constant" and value != 0:
            raise ValueError(f'Pad: expected value only with mode "constant", got {value} with "{mode}"')
        self.input_shape = (None,) * (1 + len(padding) // 2)

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """What is added before and after each spatial axis, in the order of the axes."""
        pairs = zip(self.padding[::2], self.padding[1::2], strict=True)
        return tuple(pairs)[::-1]

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Shape]:
        """Return the longer x, and the shape of x."""
        if self.mode == "constant":
            return np.pad(x, ((0, 0), (0, 0), *self.ends), constant_values=self.value), x.shape
        y = x
        for axis, places in enumerate(self._places(x.shape), 2):
            y = y.take(places, axis)
        return y, x.shape

    def backward(self, grad: Array, cache: Shape) -> Array:
        """Return for each entry of x the sum of dE/dy over the places to which it went."""
        inner = tuple(slice(before, before + n) for (before, _), n in zip(self.ends, cache[2:], strict=True))
        if self.mode == "constant":
            return grad[:, :, *inner]
        for axis, (places, middle) in enumerate(zip(self._places(cache), inner, strict=True), 2):
            g = np.moveaxis(grad, axis, 0)
            summed = g[middle].copy()
            for i in (*range(middle.start), *range(middle.stop, len(g))):
                summed[places[i]] += g[i]
            grad = np.moveaxis(summed, 0, axis)
        return grad

    def _places(self, shape: Shape) -> list[npt.NDArray[np.intp]]:
        """Return for each spatial axis which entry of x each of y is."""
        each = zip(shape[2:], self.ends, strict=True)
        mode: Any = MODES[self.mode]
        return [np.pad(np.arange(n), ends, mode=mode) for n, ends in each]

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return (C, ...), each spatial axis longer by its padding."""
        shape: Any = input_pattern(self, input_shape)
        if is_open(shape):
            return shape
        for n, ends in zip(shape[1:], self.ends, strict=True):
            most = {"reflect": n and n - 1, "circular": n}.get(self.mode)
            if most is not None and max(ends) > most:
                raise ShapeError(
                    f"{self}: expected at most {most} of padding for {n} entries, got {max(ends)}, on "
                    f"{shape_text(input_shape)}"
                )
        both = zip(shape[1:], self.ends, strict=True)
        return (shape[0], *(None if n is None else n + sum(ends) for n, ends in both))
