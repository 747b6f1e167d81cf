"""Standardize: the scaling of the data as the model's first layer, so that it is saved and exported with the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_floats, as_shape
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Buffer
from nanonet.layers.initializers import Constant, Zeros


class Standardize(Layer):
    """y = (x - mean) / scale, with the mean and the standard deviation of the data, as scikit-learn's StandardScaler.

    ``mean`` and ``scale`` are Buffers of the given shape, at first 0 and 1; :meth:`adapt` sets them, and training
    leaves them as they are. If it was not called, ``fit`` warns where the first layer is this and x needs it.

    Parameters
    ----------
    shape : int or tuple of int
        The last axes of x, with a mean and a scale for each entry: 3 for x of shape (N, 3) or (N, T, 3). A size of 1 is
        one number for the whole axis: (3, 1, 1) has one for each channel of images (N, 3, H, W); () one for all of x.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Standardize
    >>> scaler = Standardize(2)
    >>> model = Sequential(scaler, Linear(2, 1), rng=0)
    >>> scaler.adapt([[1.0, 7.0], [3.0, 7.0]])
    >>> model[:1]([[5.0, 8.0]])
    array([[3., 1.]], dtype=float32)
    """

    mixes_samples = False
    output_shape = input_pattern

    def __init__(self, shape: int | Shape) -> None:
        self.shape = as_shape(shape, "Standardize: shape")
        self.input_shape = (..., *(None if size == 1 else size for size in self.shape))
        self.mean = Buffer(self.shape, Zeros())
        self.scale = Buffer(self.shape, Constant(1.0))

    def adapt(self, x: npt.ArrayLike) -> None:
        """Set mean and scale to the mean and the standard deviation of x, over the axes that share them.

        A feature that is constant keeps scale 1. The layer must be part of a model.

        Parameters
        ----------
        x : array
            Shape (N, ...), N of 1 or more; usually the whole training set, and no data of the test set.

        Raises
        ------
        ShapeError
            If x has another shape.
        ValueError
            If x is empty, or holds NaN or infinity.
        """
        data = as_floats(x, np.dtype(np.float64), self, "x")
        if data.ndim == 0 or data.ndim <= len(self.shape):
            raise ShapeError(f"{self}: adapt: expected x of shape (batch, ...), got {data.shape}")
        self.output_shape(data.shape[1:])
        if data.size == 0:
            raise ValueError(f"{self}: adapt: expected at least one sample, got x of shape {data.shape}")
        if not np.isfinite(data).all():
            raise ValueError(f"{self}: adapt: expected finite x; scale it only once it holds no NaN and no infinity")
        first = data.ndim - len(self.shape)
        axes = (*range(first), *(first + i for i, size in enumerate(self.shape) if size == 1))
        mean = data.mean(axis=axes, keepdims=True)
        deviation = np.sqrt(np.mean((data - mean) ** 2, axis=axes, keepdims=True))
        constant = data.max(axis=axes, keepdims=True) == data.min(axis=axes, keepdims=True)
        deviation[constant | (deviation == 0)] = 1
        self.mean.value, self.scale.value = mean.reshape(self.shape), deviation.reshape(self.shape)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
        """Return (x - mean) / scale, and a copy of scale."""
        y: Array = x - self.mean.value
        y /= self.scale.value
        return y, self.scale.value.copy()

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return grad / scale."""
        dx: Array = grad / cache
        return dx
