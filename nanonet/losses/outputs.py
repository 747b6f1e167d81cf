"""Means over the outputs of a sample, or sums of a loss that is one."""

from __future__ import annotations

from nanonet.core.arrays import Array
from nanonet.losses.loss import Loss


def over_outputs(numbers: Array, loss: Loss) -> Array:
    """Return the mean over all axes except the batch; of a loss that is a sum, the sum."""
    rows = numbers.reshape(len(numbers), -1)
    each: Array = rows.mean(axis=1) if loss.reduction == "mean" else rows.sum(axis=1)
    return each


def outputs(prediction: Array, loss: Loss) -> int:
    """Return by what a derivative is divided: the number of outputs per sample, and of a loss that is a sum 1."""
    return prediction.size // len(prediction) if loss.reduction == "mean" else 1
