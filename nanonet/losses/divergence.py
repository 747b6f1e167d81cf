"""KLDivergence: how far predicted probabilities are from given ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import stranger, true_or_false
from nanonet.core.stable import log_softmax
from nanonet.losses.loss import Loss, set_reduction


class KLDivergence(Loss):
    """Sum over the outputs of t (log t - y), mean over the batch, where y are logarithms of probabilities.

    The Kullback-Leibler divergence of the target from the prediction, PyTorch's KLDivLoss with
    reduction="batchmean". The model gives logarithms, such as those of LogSoftmax. Where t is 0 the summand is 0.

    For logits, without the constant log t, use CrossEntropy, which takes probabilities too.

    Parameters
    ----------
    log_target : bool
        Whether the target holds log t.
    reduction : {"mean", "sum"}
        "sum": the sum over the batch, which is not divided.

    Examples
    --------
    >>> round(KLDivergence()(np.log([[0.5, 0.5]]), [[0.75, 0.25]]), 6)
    0.130812
    """

    mixes_samples = False
    formula = "sum(t * (log(t) - y) if t > 0 else 0)"
    derivative_formula = "-t"

    def __init__(self, *, log_target: bool = False, reduction: str = "mean") -> None:
        self.log_target = true_or_false(log_target, "KLDivergence", "log_target")
        if self.log_target:
            self.formula, self.derivative_formula = "sum(exp(t) * (t - y))", "-exp(t)"
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return Σⱼ tⱼ (log tⱼ - yⱼ)."""
        each: Array = self.elements(prediction, target).reshape(len(prediction), -1).sum(axis=1)
        return each

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return tⱼ (log tⱼ - yⱼ), 0 where tⱼ is 0."""
        t = self._probabilities(target)
        is_possible = t > 0
        log = target if self.log_target else np.log(np.where(is_possible, t, 1))
        apart = np.where(is_possible, log, 0) - np.where(is_possible, prediction, 0)
        each: Array = t * apart
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return -t."""
        return -self._probabilities(target)

    def _probabilities(self, target: Array) -> Array:
        if not self.log_target:
            return target
        with np.errstate(under="ignore"):
            t: Array = np.exp(target)
        return t

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction, and without log_target entries of 0 or more."""
        array = super().check_target(prediction, target)
        if not self.log_target and not (array >= 0).all():
            raise ValueError(
                f"{self}: expected probabilities of 0 or more, got {stranger(array, ~(array >= 0))}; for their "
                "logarithms write KLDivergence(log_target=True)"
            )
        if self.log_target and not (array <= 1e-3).all():
            raise ValueError(
                f"{self}: expected logarithms of probabilities, 0 or less, got {stranger(array, ~(array <= 1e-3))}; "
                "for probabilities write KLDivergence()"
            )
        return array

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random probabilities, or their logarithms."""
        log = log_softmax(rng.normal(size=shape or (1,)).reshape(shape))
        return log if self.log_target else np.exp(log)
