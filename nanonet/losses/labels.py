"""LabelsCrossEntropy: scikit-learn's loss of many labels, with which rates and alpha mean what they mean there."""

from __future__ import annotations

from nanonet.core.arrays import Array
from nanonet.losses.binary import BinaryCrossEntropy
from nanonet.losses.outputs import outputs


class LabelsCrossEntropy(BinaryCrossEntropy):
    """Sum over the labels of -t log p - (1 - t) log(1 - p), mean over the batch, where p = sigmoid(prediction).

    BinaryCrossEntropy is the mean over the labels.

    Examples
    --------
    >>> round(LabelsCrossEntropy()([[0.0, 0.0]], [[1.0, 0.0]]) / BinaryCrossEntropy()([[0.0]], [[1.0]]), 6)
    2.0
    """

    mixes_samples = False
    formula = "sum(log(1 + exp(y)) - t * y)"
    derivative_formula = "p = 1 / (1 + exp(-y)); p - t"

    def function(self, prediction: Array, target: Array) -> Array:
        """Return the sum over the labels."""
        each: Array = outputs(prediction, self) * super().function(prediction, target)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        """Return p - t."""
        slope: Array = outputs(prediction, self) * super().derivative(prediction, target)
        return slope
