"""BatchNorm: normalizes each feature over the batch; the only layer whose training differs by running statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number, positive_int, true_or_false
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Buffer
from nanonet.layers.initializers import Constant, Zeros
from nanonet.layers.norm import affine_parameters, blocks, room_for_block, tiled

LONG = 256  # numbers to a feature and sample from which it is faster to sum them first, then the samples


class BatchNorm(Layer):
    """y = (x - μ) / √(σ² + eps) · weight + bias, μ and σ² of each feature (Ioffe and Szegedy 2015, algorithm 1).

    x has shape (N, C), (N, C, L) for sequences or (N, C, H, W) for images, the features on axis 1: PyTorch's
    BatchNorm1d and BatchNorm2d. In training, μ and σ² are the mean and the variance of the batch, over all axes but 1;
    in inference they are ``running_mean`` and ``running_var``, which training moves by

        running ← (1 - momentum) running + momentum · statistic

    The variance that goes into ``running_var`` is the unbiased one, Σ (x - μ)² / (n - 1).

    Parameters
    ----------
    num_features : int
        The number of features C.
    eps : float
        Keeps the divisor from 0.
    momentum : float, optional
        From 0 to 1; None: 1 / the number of batches so far, so that the running statistics are plain means.
    affine : bool
        If False, there is neither ``weight`` nor ``bias``.
    track_running_stats : bool
        If False, there are no running statistics, and inference uses those of its batch too.

    Raises
    ------
    ValueError
        In ``forward``, if there is only one number for each feature to take the statistics of.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import BatchNorm, Sequential
    >>> layer = BatchNorm(2)
    >>> model = Sequential(layer)
    >>> y, _ = model.forward(np.array([[1.0, 10.0], [3.0, 50.0]], np.float32), training=True)
    >>> y.round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean.value, layer.running_var.value
    (array([0.2, 3. ], dtype=float32), array([ 1.1, 80.9], dtype=float32))
    """

    output_shape = input_pattern
    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = positive_int(num_features, "BatchNorm", "num_features")
        self.input_shape = (self.num_features, ...)
        self.eps = finite_number(eps, "BatchNorm", "eps", low=0)
        self.momentum = None if momentum is None else finite_number(momentum, "BatchNorm", "momentum", low=0, high=1)
        self.weight, self.bias = affine_parameters(num_features, true_or_false(affine, "BatchNorm", "affine"))
        self.running_mean = self.running_var = self.num_batches_tracked = None
        self.mixes_samples = "training" if track_running_stats else True
        if true_or_false(track_running_stats, "BatchNorm", "track_running_stats"):
            self.running_mean = Buffer((num_features,), Zeros())
            self.running_var = Buffer((num_features,), Constant(1.0))
            self.num_batches_tracked = Buffer((), Zeros(), dtype=np.int64)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache is x, μ, 1 / √(σ² + eps), and whether μ and σ² are those of the batch."""
        rows = x.reshape(len(x), math.prod(x.shape[1:]))
        y = np.empty(rows.shape, x.dtype)
        running = None if training or self.running_mean is None else self.running_mean
        if running is None or self.running_var is None:
            mean, variance = self._statistics(x, rows, y)
        else:
            mean, variance = running.value.copy(), self.running_var.value
        rate = (1 / np.sqrt(variance + self.eps)).astype(x.dtype)
        centre = self._tiled(mean, rows)
        scale = self._tiled(rate if self.weight is None else rate * self.weight.value, rows)
        shift = None if self.bias is None else self._tiled(self.bias.value, rows)
        for block in blocks(*rows.shape):
            z = y[block]
            if running is not None:
                np.subtract(rows[block], centre[: len(z)], out=z)
            z *= scale[: len(z)]
            if shift is not None:
                z += shift[: len(z)]
        return y.reshape(x.shape), (rows, mean, rate, running is None)

    def _statistics(self, x: Array, rows: Array, z: Array) -> tuple[Array, Array]:
        """Return mean and variance of the batch, and store x - mean in z; move the running statistics, if any."""
        count = rows.size // self.num_features
        if count < 2:
            raise ValueError(
                f"{self}: expected more than one number for each feature, since it divides by their deviation, got x "
                f"of shape {x.shape}; train with larger batches, and leave out a last batch of one sample"
            )
        total, squares = np.zeros(self.num_features), np.zeros(self.num_features)  # float64, for large batches
        for block in blocks(*rows.shape):
            total += self._sum(rows[block])
        mean = (total / count).astype(x.dtype)
        centre = self._tiled(mean, rows)
        for block in blocks(*rows.shape):
            part = np.subtract(rows[block], centre[: block.stop - block.start], out=z[block])
            squares += self._dot(part, part)
        self._follow(mean, squares / (count - 1))
        return mean, squares / count

    def _follow(self, mean: Array, variance: Array) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        batches = int(self.num_batches_tracked.value) + 1
        m = 1 / batches if self.momentum is None else self.momentum
        self.num_batches_tracked.value = batches
        self.running_mean.value = (1 - m) * self.running_mean.value + m * mean
        self.running_var.value = (1 - m) * self.running_var.value + m * variance

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dweight = Σ g z and dE/dbias = Σ g; return dE/dx.

        With z = (x - μ) / σ, dE/dx = weight / σ · (g - mean(g) - z mean(g z)), the means over the batch; for running
        statistics, which do not depend on x, weight / σ · g.
        """
        rows, _, rate, of_batch = cache
        dx = np.empty(rows.shape, grad.dtype)
        sums, products = self._assign(grad, cache, dx)
        g, count = grad.reshape(rows.shape), max(rows.size // self.num_features, 1)
        slope = rate if self.weight is None else rate * self.weight.value
        scale = self._tiled(slope, rows)
        if not of_batch:
            for block in blocks(*rows.shape):
                np.multiply(g[block], scale[: block.stop - block.start], out=dx[block])
            return dx.reshape(grad.shape)
        bend = self._tiled((slope * rate * rate * products / count).astype(g.dtype), rows)
        level = self._tiled((slope * sums / count).astype(g.dtype), rows)
        room = room_for_block(len(rows), rows.shape[1], g.dtype)
        for block in blocks(*rows.shape):
            d, n = dx[block], block.stop - block.start  # d is x - μ
            d *= bend[:n]
            d += level[:n]
            np.subtract(np.multiply(g[block], scale[:n], out=room[:n]), d, out=d)
        return dx.reshape(grad.shape)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        """Assign the gradients of weight and bias only."""
        self._assign(grad, cache, None)

    def _assign(self, grad: Array, cache: Any, z: Array | None) -> tuple[Array, Array]:
        """Assign both gradients; return Σ g and Σ g (x - μ), and store x - μ in z."""
        rows, mean, rate, _ = cache
        g, centre = grad.reshape(rows.shape), self._tiled(mean, rows)
        sums, products = np.zeros(self.num_features), np.zeros(self.num_features)
        room = room_for_block(len(rows), rows.shape[1], g.dtype) if z is None else z
        for block in blocks(*rows.shape):
            n = block.stop - block.start
            part = np.subtract(rows[block], centre[:n], out=room[:n] if z is None else z[block])
            sums += self._sum(g[block])
            products += self._dot(g[block], part)
        if self.weight is not None and self.bias is not None:
            self.weight.grad, self.bias.grad = products * rate, sums
        return sums, products

    # ---- rows are samples, with the numbers of one feature beside each other

    def _tiled(self, numbers: Array, rows: Array) -> Array:
        """Return one number a feature, repeated for each row of a block."""
        return tiled(np.repeat(numbers, rows.shape[1] // self.num_features), len(rows))

    def _sum(self, rows: Array) -> Array:
        """Return the sum for each feature."""
        length = rows.shape[1] // self.num_features
        if length == 1:
            summed: Array = np.ones(len(rows), rows.dtype).dot(rows)
            return summed
        sums: Array = rows.reshape(-1, length).dot(np.ones(length, rows.dtype)).reshape(len(rows), -1).sum(axis=0)
        return sums

    def _dot(self, a: Array, b: Array) -> Array:
        """Return Σ a b for each feature."""
        length = a.shape[1] // self.num_features
        if length >= LONG:
            shape = (len(a), self.num_features, length)
            sums: Array = np.vecdot(a.reshape(shape), b.reshape(shape)).sum(axis=0)
            return sums
        products: Array = np.einsum("ij,ij->j", a, b)
        return products if length == 1 else products.reshape(-1, length).sum(axis=1)
