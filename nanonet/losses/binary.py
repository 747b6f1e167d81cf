"""BinaryCrossEntropy: the cross-entropy of yes or no, of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import stranger
from nanonet.core.errors import ShapeError
from nanonet.core.stable import exp_of_negative, sigmoid
from nanonet.losses.loss import Loss, set_reduction
from nanonet.losses.outputs import outputs, over_outputs
from nanonet.losses.predictions import float_array
from nanonet.losses.settings import factors


class BinaryCrossEntropy(Loss):
    """Mean over the outputs and the batch of -t log p - (1 - t) log(1 - p), where p = sigmoid(prediction).

    It takes logits, like PyTorch's BCEWithLogitsLoss: omit the Sigmoid from the model. Targets are from 0 to 1.

    Parameters
    ----------
    pos_weight : float or array, optional
        A factor on -t log p, one or one for each output: above 1 more of what is positive is found. With the number of
        negative samples divided by that of positive ones both weigh the same.
    weight : float or array, optional
        A factor on all of it, one or one for each output, by which the mean is not divided.
    reduction : {"mean", "sum"}
        "sum": the sum over the outputs and the batch.

    Examples
    --------
    >>> loss = BinaryCrossEntropy()
    >>> round(loss([[0.0]], [[1.0]]), 6), loss([[1000.0]], [[0.0]])
    (0.693147, 1000.0)
    >>> loss.probabilities([[0.0], [2.0]]).round(3)
    array([[0.5  ],
           [0.881]])
    """

    mixes_samples = False
    formula = "sum(log(1 + exp(y)) - t * y) / n"
    derivative_formula = "p = 1 / (1 + exp(-y)); (p - t) / n"

    def __init__(
        self,
        *,
        pos_weight: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
        reduction: str = "mean",
    ) -> None:
        name = type(self).__name__
        self.pos_weight = None if pos_weight is None else factors(pos_weight, name, "pos_weight")
        self.weight = None if weight is None else factors(weight, name, "weight")
        weighted, opened, closed = self.weight is not None, "weight * (", ")"
        if self.pos_weight is not None:
            inner = "(1 - t) * y + (1 + (pos_weight - 1) * t) * log(1 + exp(-y))"
            slope = "1 - t - (1 + (pos_weight - 1) * t) * (1 - p)"
        else:
            inner, slope = "log(1 + exp(y)) - t * y", "p - t"
        if weighted or self.pos_weight is not None:
            opened, closed = (opened, closed) if weighted else ("(", ")")
            self.formula = f"sum({opened}{inner}{closed}) / n"
            self.derivative_formula = f"p = 1 / (1 + exp(-y)); {opened}{slope}{closed} / n"
        set_reduction(self, reduction)

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the mean of log(1 + exp(aⱼ)) - tⱼ aⱼ over j, with the factors applied."""
        return over_outputs(self.elements(prediction, target), self)

    def elements(self, prediction: Array, target: Array) -> Array:
        """Return log(1 + exp(aⱼ)) - tⱼ aⱼ, as max(a, 0) - t a + log(1 + exp(-|a|)), with the factors applied."""
        size = np.abs(prediction)
        if self.pos_weight is None:
            each = np.maximum(prediction, 0) - target * prediction + np.log1p(exp_of_negative(-size))
        else:
            rest = np.log1p(exp_of_negative(-size)) + np.maximum(-prediction, 0)
            each = (1 - target) * prediction + self._of_positive(target) * rest
        return each if self.weight is None else each * self.weight.astype(each.dtype)

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return (sigmoid(a) - t) / outputs, with the factors applied."""
        if self.pos_weight is None:
            slope = (sigmoid(prediction) - target) / outputs(prediction, self)
        else:
            factor = self._of_positive(target)
            slope = (1 - target - factor * sigmoid(-prediction)) / outputs(prediction, self)
        return slope if self.weight is None else slope * self.weight.astype(slope.dtype)

    def _of_positive(self, target: Array) -> Array:
        """Return 1 + (v - 1) t, the factor on log(1 + exp(-a)), where v is pos_weight."""
        assert self.pos_weight is not None
        return 1 + (self.pos_weight.astype(target.dtype) - 1) * target

    def draw_target(self, shape: Shape, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return random numbers from 0 to 1."""
        return rng.random(shape)

    def check_target(self, prediction: Array, target: object) -> Array:
        """Return target, checked to have the shape of prediction and entries from 0 to 1."""
        array = super().check_target(prediction, target)
        for name, factor in (("pos_weight", self.pos_weight), ("weight", self.weight)):
            if factor is not None and factor.ndim and factor.shape != prediction.shape[1:]:
                raise ShapeError(
                    f"{type(self).__name__}: {name} has shape {factor.shape}, and a sample of prediction "
                    f"{prediction.shape[1:]}; give one number, or one for each output"
                )
        if not ((array >= 0) & (array <= 1)).all():
            outside = ~((array >= 0) & (array <= 1))
            raise ValueError(f"BinaryCrossEntropy: expected targets from 0 to 1, got {stranger(array, outside)}")
        return array

    def probabilities(self, logits: npt.ArrayLike) -> Array:
        """Return sigmoid(logits).

        Parameters
        ----------
        logits : array
            Shape (batch, ...).

        Returns
        -------
        array
            In the shape of logits.
        """
        return sigmoid(float_array(logits, self, "logits"))
