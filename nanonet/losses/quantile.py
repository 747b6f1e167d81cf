"""Quantile: the pinball loss, whose best constant prediction is a quantile of the targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_floats, as_numbers
from nanonet.core.errors import ShapeError
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.outputs import outputs, over_outputs


class Quantile(Loss):
    """Mean over the outputs and the batch of max(q (t - y), (q - 1) (t - y)): the pinball loss (Koenker, Bassett 1978).

    A model trained with it predicts the quantile q of the target: one that a fraction q of the targets lies below. At
    q = 1/2 it is half of the absolute error, and what is predicted is the median. The derivative at y = t is 0.

    Parameters
    ----------
    quantiles : float or sequence of float
        q, between 0 and 1. Of several, the last axis of prediction has one output for each, and the target is the same
        for all of them: for quantiles=(0.1, 0.5, 0.9) prediction has shape (batch, 3) and target (batch, 1) or
        (batch,).
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> Quantile(0.75)([[1.0], [3.0]], [[2.0], [2.0]])
    0.5
    >>> round(Quantile((0.1, 0.9))([[1.0, 3.0]], [[2.0]]), 3)
    0.1
    """

    mixes_samples = False
    formula = "sum((quantiles if t > y else quantiles - 1) * (t - y)) / n"
    derivative_formula = "(-quantiles if t > y else 1 - quantiles if t < y else 0) / n"

    def __init__(self, quantiles: float | npt.ArrayLike = 0.5, *, reduction: str = "mean") -> None:
        q = as_numbers(quantiles, "Quantile", "quantiles").astype(np.float64)
        if q.ndim > 1 or q.size == 0 or not ((q > 0) & (q < 1)).all():
            raise ValueError(
                f"Quantile: expected quantiles between 0 and 1, one or a list of them, got {quantiles!r:.60}"
            )
        self.quantiles = q
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of the pinball loss over the outputs."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return q (t - y) where t is above y, else (1 - q) (y - t)."""
        above = target - prediction
        q = self.quantiles.astype(prediction.dtype)
        return np.maximum(q * above, (q - 1) * above)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return -q where t is above y, 1 - q where it is below, over the outputs."""
        q = self.quantiles.astype(prediction.dtype)
        slope: Array = ((target < prediction) * (1 - q) - (target > prediction) * q) / outputs(prediction, self)
        return slope

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, of several quantiles with one entry on its last axis."""
        if self.quantiles.ndim == 0:
            return super().check_target(prediction, target)
        count = len(self.quantiles)
        if prediction.ndim < 2 or prediction.shape[-1] != count:
            raise ShapeError(
                f"{self}: expected a prediction of shape (batch, ..., {count}), one output for each quantile, "
                f"got {prediction.shape}"
            )
        array, each = as_floats(target, prediction.dtype, self, "target"), prediction.shape[:-1]
        if array.shape not in (each, (*each, 1)):
            raise ShapeError(
                f"{self}: prediction has shape {prediction.shape} but target has shape {array.shape}; expected "
                f"{(*each, 1)} or {each}, the same for all quantiles"
            )
        return array.reshape(*each, 1)

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random numbers."""
        return rng.normal(size=shape if self.quantiles.ndim == 0 else (*shape[:-1], 1))
