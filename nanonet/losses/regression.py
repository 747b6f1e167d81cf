"""Losses for numeric targets, among them counts, and the hinge loss for targets -1 and 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import finite_number, stranger, true_or_false
from nanonet.core.stable import exp_of_negative
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.outputs import outputs, over_outputs
from nanonet.losses.predictions import float_array
from nanonet.losses.settings import above_0


class SquaredError(Loss):
    """Half the sum of squares over the outputs, mean over the batch: E = 1/N Σᵢ 1/2 Σⱼ (yᵢⱼ - tᵢⱼ)^2.

    The derivative of one sample's loss is y - t, as in the article and in most textbooks. PyTorch's MSELoss also takes
    the mean over the outputs, and has no 1/2.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        "sum": the sum over the batch, which is not divided.

    Examples
    --------
    >>> SquaredError()([[1.0, 3.0]], [[0.0, 1.0]])
    2.5
    """

    mixes_samples = False
    formula = "sum((y - t)**2) / 2"
    derivative_formula = "y - t"

    def __init__(self, *, reduction: str = "mean") -> None:
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return 1/2 Σⱼ (yⱼ - tⱼ)^2."""
        return _half_squares(prediction - target)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return y - t."""
        return prediction - target

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        """Return E, and the cache: y - t and the share of each sample."""
        difference = prediction - target
        if weight is None and self.reduction == "mean":
            count = len(difference)
            return 0.5 * float(np.vdot(difference, difference)) / count, (difference, 1 / count)
        value = self.mean(_half_squares(difference), target, weight)
        return value, (difference, self.shares(difference, target, weight))

    def backward(self, cache: Any) -> Array:
        """Return (y - t) times the share of each sample."""
        difference, share = cache
        grad: Array = difference * share
        return grad


def _half_squares(difference: Array) -> Array:
    rows = difference.reshape(len(difference), -1)
    each: Array = 0.5 * np.einsum("ij,ij->i", rows, rows)
    return each


class MeanSquaredError(Loss):
    """Mean of (y - t)^2 over the outputs and the batch: PyTorch's MSELoss.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> MeanSquaredError()([[1.0, 3.0]], [[0.0, 1.0]])
    2.5
    """

    mixes_samples = False
    formula = "sum((y - t)**2) / n"
    derivative_formula = "2 * (y - t) / n"

    def __init__(self, *, reduction: str = "mean") -> None:
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of (yⱼ - tⱼ)^2 over j."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return (yⱼ - tⱼ)^2."""
        squares: Array = (prediction - target) ** 2
        return squares

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return 2 (y - t) / outputs."""
        return (2 / outputs(prediction, self)) * (prediction - target)


class MeanAbsoluteError(Loss):
    """Mean of |y - t| over the outputs and the batch: PyTorch's L1Loss. The derivative at y = t is 0.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> MeanAbsoluteError()([[1.0, 3.0]], [[0.0, 1.0]])
    1.5
    """

    mixes_samples = False
    formula = "sum(abs(y - t)) / n"
    derivative_formula = "(1 if y > t else -1 if y < t else 0) / n"

    def __init__(self, *, reduction: str = "mean") -> None:
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of |yⱼ - tⱼ| over j."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return |yⱼ - tⱼ|."""
        return np.abs(prediction - target)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return sign(y - t) / outputs."""
        return np.sign(prediction - target) / outputs(prediction, self)


class Huber(Loss):
    """Mean over the outputs and the batch of 1/2 d^2 where |d| = |y - t| <= h, else h (|d| - h/2) (Huber 1964).

    PyTorch's HuberLoss: quadratic near the target, linear beyond the threshold h.

    Parameters
    ----------
    threshold : float
        h, above 0.
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> Huber()([[0.5, 3.0]], [[0.0, 0.0]])
    1.3125
    """

    mixes_samples = False
    formula = "sum((y - t)**2 / 2 if abs(y - t) <= threshold else threshold * (abs(y - t) - threshold / 2)) / n"
    derivative_formula = "max(-threshold, min(y - t, threshold)) / n"

    def __init__(self, threshold: float = 1.0, *, reduction: str = "mean") -> None:
        set_reduction(self, reduction)
        self.threshold = finite_number(threshold, "Huber", "threshold", low=0)
        if self.threshold == 0:
            raise ValueError("Huber: expected a threshold above 0; at 0 the loss would be 0 everywhere")

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean over j of the Huber function of yⱼ - tⱼ."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return the Huber function of yⱼ - tⱼ."""
        distance = np.abs(prediction - target)
        near = np.minimum(distance, self.threshold)
        return near * (distance - 0.5 * near)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return y - t clipped to ±h, / outputs."""
        held: Array = np.clip(prediction - target, -self.threshold, self.threshold) / outputs(prediction, self)
        return held


class PoissonNLL(Loss):
    """Mean of exp(y) - t y over the outputs and the batch, for counts t: PyTorch's PoissonNLLLoss.

    The negative log-likelihood of t, without log t!, under a Poisson distribution of the mean exp(y): the model gives
    the logarithm of the rate. Targets are 0 or more, and need not be integers. Where exp(y) overflows, so does E.

    Parameters
    ----------
    log_input : bool
        False: the model gives the rate itself, 0 or more, as with a Softplus at its end: y - t log(y + eps).
    full : bool
        Whether to add log t!, by Stirling's formula, t log t - t + log(2 pi t) / 2 where t is above 1, else 0.
    eps : float
        Above 0; for ``log_input=False``.
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> loss = PoissonNLL()
    >>> loss([[0.0]], [[3.0]]), round(loss([[1.0]], [[3.0]]), 6)
    (1.0, -0.281718)
    >>> loss.expected([[0.0], [1.0]]).round(3)
    array([[1.   ],
           [2.718]])
    """

    mixes_samples = False
    formula = "sum(exp(y) - t * y) / n"
    derivative_formula = "(exp(y) - t) / n"

    def __init__(
        self, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        self.log_input = true_or_false(log_input, "PoissonNLL", "log_input")
        self.full = true_or_false(full, "PoissonNLL", "full")
        self.eps = above_0(eps, "PoissonNLL", "eps")
        if not self.log_input:
            self.formula, self.derivative_formula = "sum(y - t * log(y + eps)) / n", "(1 - t / (y + eps)) / n"
        if self.full:
            self.formula = self.formula.replace(
                "sum(", "sum((t * log(t) - t + log(6.283185307179586 * t) / 2 if t > 1 else 0) + "
            )
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of exp(yⱼ) - tⱼ yⱼ over j."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return exp(yⱼ) - tⱼ yⱼ, or yⱼ - tⱼ log(yⱼ + eps); with log tⱼ! if full."""
        if self.log_input:
            each = _exp(prediction) - target * prediction
        else:
            with np.errstate(divide="ignore", invalid="ignore"):  # NaN of a negative rate stops the training
                each = prediction - target * np.log(prediction + self.eps)
        return each + _log_factorial(target) if self.full else each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return (exp(y) - t) / outputs, or (1 - t / (y + eps)) / outputs."""
        if self.log_input:
            return (_exp(prediction) - target) / outputs(prediction, self)
        slope: Array = (1 - target / (prediction + self.eps)) / outputs(prediction, self)
        return slope

    def expected(self, prediction: npt.ArrayLike) -> Array:
        """Return exp(prediction), the mean of the target; the prediction itself without log_input.

        Parameters
        ----------
        prediction : array
            Shape (batch, ...).

        Returns
        -------
        array
            In the shape of prediction.
        """
        array = float_array(prediction, self, "prediction")
        return _exp(array) if self.log_input else array

    def draw_prediction(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random numbers; rates above 0 without log_input."""
        return rng.normal(size=shape) if self.log_input else rng.uniform(0.5, 4, size=shape)

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random counts."""
        return rng.poisson(2.0, size=shape)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction and entries of 0 or more."""
        array = super().check_target(prediction, target)
        if not (array >= 0).all():
            raise ValueError(f"PoissonNLL: expected targets of 0 or more, got {stranger(array, ~(array >= 0))}")
        return array


def _exp(a: Array) -> Array:
    """Return exp(a), infinity where it overflows: a step from there is not taken, and the error names the loss."""
    with np.errstate(over="ignore"):
        return exp_of_negative(a)


def _log_factorial(t: Array) -> Array:
    """Return log t! by Stirling's formula, and 0 for t up to 1."""
    above = np.maximum(t, 1)
    return np.where(t > 1, above * np.log(above) - above + 0.5 * np.log(2 * math.pi * above), 0).astype(t.dtype)


class Hinge(Loss):
    """Sum of max(0, 1 - t y) over the outputs, mean over the batch, for targets t of -1 or 1 (Cortes and Vapnik 1995).

    Parameters
    ----------
    reduction : {"mean", "sum"}
        "sum": the sum over the batch, which is not divided.

    Examples
    --------
    >>> Hinge()([[0.5], [-2.0]], [[1.0], [1.0]])
    1.75
    """

    mixes_samples = False
    formula = "sum(max(1 - t * y, 0))"
    derivative_formula = "-t if t * y < 1 else 0"

    def __init__(self, *, reduction: str = "mean") -> None:
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return Σⱼ max(0, 1 - tⱼ yⱼ)."""
        each: Array = np.maximum(1 - target * prediction, 0).reshape(len(prediction), -1).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return -t where t y < 1, else 0."""
        return np.where(target * prediction < 1, -target, 0)

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random entries -1 and 1."""
        return rng.choice([-1.0, 1.0], size=shape)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction and entries -1 and 1."""
        array = super().check_target(prediction, target)
        if not (np.abs(array) == 1).all():
            raise ValueError(f"Hinge: expected targets of -1 and 1, got {stranger(array, np.abs(array) != 1)}")
        return array
