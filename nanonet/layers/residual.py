"""Residual: a layer with a skip connection, which keeps gradients from vanishing in deep networks."""

from __future__ import annotations

from typing import Any

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import agreed, expect
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer


class Residual(Layer):
    """y = x + inner(x); dE/dx = g + inner.backward(g) for g = dE/dy (He et al. 2016).

    Parameters
    ----------
    inner : Layer
        Any layer, such as a Sequential, whose output has its input's shape.

    Raises
    ------
    ShapeError
        If the shapes differ, when the model is built or at the first batch.

    Examples
    --------
    >>> from nanonet import Linear, ReLU, Residual, Sequential
    >>> model = Sequential(Residual(Sequential(Linear(3, 8), ReLU(), Linear(8, 3))))
    >>> list(model.parameters())
    ['0.inner.0.weight', '0.inner.0.bias', '0.inner.2.weight', '0.inner.2.bias']
    """

    mixes_samples = False

    def __init__(self, inner: Layer) -> None:
        expect(inner, Layer, "Residual: expected inner")
        self.inner = inner
        self.input_shape = inner.input_shape

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return x + inner(x), and the cache of inner."""
        y, cache = self.inner.forward(x, training=training)
        if y.shape != x.shape:
            raise self._misfit(x.shape[1:], y.shape[1:])
        return x + y, cache

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return the sum of both branches' gradients."""
        return grad + self.inner.backward(grad, cache)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        """Assign the gradients of inner only."""
        self.inner.backward_parameters(grad, cache)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        inside = self.inner.output_shape(input_shape)
        both = input_shape if inside is None else agreed(inside, input_shape)
        if both is None:
            assert inside is not None
            raise self._misfit(input_shape, inside)
        return both

    def _misfit(self, before: Shape, after: Shape) -> ShapeError:
        return ShapeError(
            f"Residual: inner must keep the shape of its input, but maps {shape_text(before)} to {shape_text(after)}"
        )
