"""Regression: how far predicted numbers are off, each a mean over the outputs of the number of one output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.training.described import described_by
from nanonet.training.metrics.metric import Metric, accumulated_by
from nanonet.training.metrics.reading import both, weights_of


class Distance(Metric):
    """Base of metrics of numbers, sums over the samples in float64, one for each output."""

    name = ""

    def __init__(self) -> None:
        self.total: Any = 0.0
        self.weight = 0.0

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add a batch."""
        given, wanted = both(prediction, target, self.name)
        y, t = (array.reshape(len(given), -1).astype(np.float64) for array in (given, wanted))
        weights = weights_of(weight, len(y), self.name)
        self.add(y, t, np.ones(len(y)) if weights is None else weights)

    def add(self, y: Array, t: Array, weights: Array) -> None:
        """Add the distances of a batch, y and t of shape (batch, outputs)."""
        self.total = self.total + weights @ self.distance(y, t)
        self.weight += float(weights.sum())

    def distance(self, y: Array, t: Array) -> Array:
        """Return the distance of each output of each sample."""
        raise NotImplementedError

    def means(self) -> Array:
        """Return the mean distance of each output."""
        return np.asarray(self.total) / self.weight if self.weight else np.array(math.nan)


class MeanAbsolute(Distance):
    """See :func:`nanonet.mean_absolute_error`."""

    name = "mean_absolute_error"

    def distance(self, y: Array, t: Array) -> Array:
        """Return |y - t|."""
        off: Array = np.abs(y - t)
        return off

    def value(self) -> float:
        """Return the mean."""
        return float(self.means().mean())


class RootMeanSquared(Distance):
    """See :func:`nanonet.root_mean_squared_error`."""

    name = "root_mean_squared_error"

    def distance(self, y: Array, t: Array) -> Array:
        """Return (y - t)²."""
        return (y - t) ** 2

    def value(self) -> float:
        """Return the mean of the roots."""
        return float(np.sqrt(self.means()).mean())


class R2(RootMeanSquared):
    """See :func:`nanonet.r2`.

    The spread of the targets is added up about their mean so far (Chan, Golub and LeVeque 1979): a difference of large
    sums would lose it.
    """

    name = "r2"

    def __init__(self) -> None:
        super().__init__()
        self.mean: Any = 0.0
        self.spread: Any = 0.0
        self.low: Any = math.inf
        self.high: Any = -math.inf
        self.samples = 0

    def add(self, y: Array, t: Array, weights: Array) -> None:
        """Add a batch to the squares and to the spread of the targets."""
        self.samples += len(t)
        own = float(weights.sum())
        if own == 0:
            return
        mean = weights @ t / own
        apart, both_weights = mean - self.mean, self.weight + own
        self.spread = self.spread + weights @ (t - mean) ** 2 + apart**2 * (self.weight * own / both_weights)
        self.mean = self.mean + apart * (own / both_weights)
        counted = t[weights > 0]
        self.low, self.high = np.minimum(self.low, counted.min(axis=0)), np.maximum(self.high, counted.max(axis=0))
        super().add(y, t, weights)

    def value(self) -> float:
        """Return the mean over the outputs."""
        if self.samples < 2 or self.weight == 0:
            return math.nan
        same = np.equal(self.low, self.high) | np.equal(self.spread, 0)
        constant = np.where(np.equal(self.total, 0), 1.0, 0.0)  # as scikit-learn has it
        shares = 1 - self.total / np.where(same, 1.0, self.spread)
        return float(np.where(same, constant, shares).mean())


@accumulated_by(MeanAbsolute)
def mean_absolute_error(prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Return the mean of |y - t| over samples and outputs.

    Parameters
    ----------
    prediction, target : array
        Shape (batch, ...), both the same.
    weight : array, optional
        Shape (batch,): the weight of each sample.

    Returns
    -------
    float

    Examples
    --------
    >>> mean_absolute_error([[1.0], [4.0]], [[2.0], [2.0]])
    1.5
    """
    return MeanAbsolute()(prediction, target, weight)  # type: ignore[no-any-return]


@described_by(mean_absolute_error)
@accumulated_by(RootMeanSquared)
def root_mean_squared_error(
    prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None
) -> float:
    """Return the root of the mean of (y - t)² over the samples, mean over the outputs; of the whole epoch.

    Examples
    --------
    >>> root_mean_squared_error([[1.0], [4.0]], [[2.0], [-3.0]])
    5.0
    """
    return RootMeanSquared()(prediction, target, weight)  # type: ignore[no-any-return]


@described_by(mean_absolute_error)
@accumulated_by(R2)
def r2(prediction: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Return 1 - Σ (y - t)² / Σ (t - mean t)², mean over the outputs: 1 is perfect, 0 as good as the mean target.

    NaN for a single sample. Of an output whose targets are all the same: 1 if the predictions are too, else 0.

    Examples
    --------
    >>> r2([[1.0], [2.0], [4.0]], [[1.0], [2.0], [3.0]])
    0.5
    """
    return R2()(prediction, target, weight)  # type: ignore[no-any-return]
