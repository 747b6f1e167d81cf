"""Softmax and LogSoftmax: from logits to probabilities; not Activations, since every output depends on all inputs."""

from __future__ import annotations

from nanonet.core.arrays import Array, Shape
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.core.stable import exp_of_negative, log_softmax, softmax


class Softmax(Layer):
    """y = exp(aⱼ) / Σₖ exp(aₖ) along the last axis; dE/da = y (g - Σₖ gₖ yₖ) for g = dE/dy.

    For training, omit it and pass the logits to CrossEntropy. An entry of -inf is masked: y and dE/da are 0 there. If
    all entries along the last axis are masked, y is NaN.

    Examples
    --------
    >>> from nanonet import Sequential, Softmax
    >>> Sequential(Softmax())([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (..., None)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return the probabilities, which are also the cache."""
        _along_last(self, x.shape[1:])
        y = softmax(x)
        return y, y

    def backward(self, grad: Array, cache: Array) -> Array:
        """Return y (g - Σ g y)."""
        dx: Array = cache * (grad - (grad * cache).sum(axis=-1, keepdims=True))
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return _along_last(self, input_shape)


class LogSoftmax(Layer):
    """y = aⱼ - log Σₖ exp(aₖ) along the last axis; dE/da = g - softmax(a) Σₖ gₖ for g = dE/dy.

    An entry of -inf is masked: it stays -inf and does not affect the others. If all entries along the last axis are
    masked, y is NaN.

    Examples
    --------
    >>> from nanonet import LogSoftmax, Sequential
    >>> Sequential(LogSoftmax())([[1000.0, 0.0]])
    array([[    0., -1000.]], dtype=float32)
    """

    mixes_samples = False
    input_shape = (..., None)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return the log-probabilities, which are also the cache."""
        _along_last(self, x.shape[1:])
        y = log_softmax(x)
        return y, y

    def backward(self, grad: Array, cache: Array) -> Array:
        """Return g - exp(y) Σ g."""
        dx: Array = grad - exp_of_negative(cache) * grad.sum(axis=-1, keepdims=True)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return _along_last(self, input_shape)


def _along_last(layer: Layer, shape: Shape) -> Shape:
    """Return the shape of a sample, or raise ShapeError if it has no last axis or an empty one."""
    if not shape or shape[-1] == 0:
        raise ShapeError(f"{layer}: expected input of shape (batch, ..., n) with n >= 1, got {shape_text(shape)}")
    return shape
