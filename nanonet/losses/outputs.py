"""Means over the outputs of a sample."""

from __future__ import annotations

from nanonet.core.arrays import Array


def mean_over_outputs(numbers: Array) -> Array:
    """Return the mean over all axes except the batch."""
    each: Array = numbers.reshape(len(numbers), -1).mean(axis=1)
    return each


def outputs(prediction: Array) -> int:
    """Return the number of outputs per sample."""
    return prediction.size // len(prediction)
